//! The wire referee: decodes every packet of every connection, at both ends and in both directions, and knows the rules.
//!
//! A packet counts as sent when its sender has handed it to the transport, and as received when its receiver has read it. So each end
//! is judged by what it could know.

mod frames;
mod limits;
mod memory;
mod receiving;
mod requests;
mod seat;
mod sending;
mod trouble;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mqtt5_client::Instant;
use mqtt5_proto::{Packet, Role};

use crate::hub::{Hub, ProcessId};
use crate::transcript::Invariant;
pub(crate) use limits::Limits;
use memory::Memory;
use seat::{Broken, Scene, Seat};

/// Watches every connection.
#[derive(Debug)]
pub(crate) struct Referees {
    hub: Rc<Hub>,
    connections: BTreeMap<u64, Connection>,
    /// What outlives a connection, as each process sees it.
    processes: BTreeMap<ProcessId, Memory>,
    /// The same, as the broker sees it, for each Client Identifier.
    clients: BTreeMap<usize, Memory>,
    /// And as it saw it before it began the last session: for what it had still to write on connections that were taken over.
    former: BTreeMap<usize, Memory>,
    /// Clients to which the broker loses or repeats packets on purpose.
    pub(crate) troubled: BTreeSet<usize>,
    /// How many PUBLISHes to a client the broker was told to repeat: each may be one more message to it.
    pub(crate) repeats: BTreeMap<usize, usize>,
}

/// One connection with its two ends.
#[derive(Debug)]
struct Connection {
    process: ProcessId,
    client: Seat,
    broker: Seat,
    /// It belongs to a session that another connection has ended.
    is_former: bool,
    /// When the client has last finished writing.
    wrote: Instant,
    /// When the client read a successful CONNACK.
    accepted: Option<Instant>,
    /// What the client knew before it stopped reading, with packets in its hand that it has not looked at.
    before: Option<Memory>,
}

impl Referees {
    pub(crate) fn new(hub: Rc<Hub>) -> Self {
        Self {
            hub,
            connections: BTreeMap::new(),
            processes: BTreeMap::new(),
            clients: BTreeMap::new(),
            former: BTreeMap::new(),
            troubled: BTreeSet::new(),
            repeats: BTreeMap::new(),
        }
    }

    pub(crate) fn open(&mut self, number: u64, process: ProcessId) {
        let connection = Connection {
            process,
            client: Seat::new(Role::Client, number),
            broker: Seat::new(Role::Server, number),
            is_former: false,
            wrote: self.hub.clock.now(),
            accepted: None,
            before: None,
        };
        self.connections.insert(number, connection);
    }

    /// The client has handed these bytes to its transport.
    pub(crate) fn client_sent(&mut self, number: u64, bytes: &[u8]) {
        self.check_silence(number);
        self.observe(number, Role::Client, true, bytes);
    }

    /// The transport of the client has taken bytes.
    pub(crate) fn client_wrote(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.wrote = self.hub.clock.now();
        }
    }

    /// The client has read these bytes; `looked` says whether it has looked at all of them.
    pub(crate) fn client_received(&mut self, number: u64, bytes: &[u8], looked: bool) {
        if let Some(connection) = self.connections.get_mut(&number) {
            if looked {
                connection.before = None;
            } else if connection.before.is_none() {
                connection.before = self.processes.get(&connection.process).cloned();
            }
        }
        let before = self.is_accepted(number);
        self.observe(number, Role::Client, false, bytes);
        if let Some(connection) = self.connections.get_mut(&number).filter(|_| looked) {
            connection.client.catches_up();
        }
        if !before && self.is_accepted(number) {
            self.client_wrote(number);
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.accepted = Some(self.hub.clock.now());
            }
        }
    }

    pub(crate) fn broker_sent(&mut self, number: u64, bytes: &[u8]) {
        self.observe(number, Role::Server, true, bytes);
    }

    pub(crate) fn broker_received(&mut self, number: u64, bytes: &[u8]) {
        self.observe(number, Role::Server, false, bytes);
    }

    /// The broker has begun a session for the client of this connection, whether or not the client ever hears of it.
    pub(crate) fn session_begun(&mut self, number: u64) {
        let Some(connection) = self.connections.get(&number) else {
            return;
        };
        let process = connection.process;
        let memory = self.clients.entry(process.client).or_default();
        self.former.insert(process.client, memory.clone());
        memory.forget();
        for (other, connection) in &mut self.connections {
            let is_other = connection.process.client == process.client && *other != number;
            connection.is_former |= is_other && connection.broker.has_begun();
        }
        self.hub.ledger.borrow_mut().session_begun(process.client);
        let text = || format!("#{number} broker begins a session");
        self.hub.transcript.say(process, text);
    }

    /// The broker forgets the session of a client.
    pub(crate) fn broker_forgets(&mut self, client: usize) {
        let memory = self.clients.get_mut(&client);
        memory.into_iter().for_each(Memory::forget);
    }

    /// The client has seen the end of the connection.
    pub(crate) fn client_closed(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if let (Some(before), Some(memory)) = (
            connection.before.take(),
            self.processes.get_mut(&connection.process),
        ) {
            memory.doubt(before);
        }
        if let Some(memory) = self
            .processes
            .get_mut(&connection.process)
            .filter(|_| connection.client.is_accepted())
        {
            memory.stalled = connection.client.stalled;
        }
        let mut ledger = self.hub.ledger.borrow_mut();
        for filter in connection.client.unanswered_filters() {
            ledger.may_subscribe(connection.process, filter);
        }
        if connection.client.session_ends_with_connection() {
            ledger.session_lost(connection.process);
        }
    }

    /// Whether the broker has accepted the connection and the client knows.
    fn is_accepted(&self, number: u64) -> bool {
        self.connections
            .get(&number)
            .is_some_and(|c| c.client.is_accepted())
    }

    /// Whether a SUBSCRIBE of the client is unanswered, or was so since this was asked last.
    pub(crate) fn is_asking(&mut self, number: u64) -> bool {
        let client = self.connections.get_mut(&number).map(|c| &mut c.client);
        client.is_some_and(|client| {
            core::mem::replace(&mut client.has_asked, !client.requests.is_empty())
        })
    }

    /// How many sessions a process may have had, and whether its last connection ended with a stall.
    pub(crate) fn sessions(&self, process: ProcessId) -> (usize, bool) {
        let memory = self.processes.get(&process);
        memory.map_or((0, false), |memory| (memory.sessions, memory.stalled))
    }

    /// Whether a request of the client is unanswered.
    pub(crate) fn has_requests(&self, number: u64) -> bool {
        let connection = self.connections.get(&number);
        connection.is_some_and(|c| !c.client.requests.is_empty())
    }

    /// When the client read a successful CONNACK.
    pub(crate) fn accepted(&self, number: u64) -> Option<Instant> {
        self.connections.get(&number)?.accepted
    }

    /// Whether the broker has sent a successful CONNACK.
    pub(crate) fn has_accepted(&self, number: u64) -> bool {
        self.connections
            .get(&number)
            .is_some_and(|c| c.broker.is_accepted())
    }

    /// The Keep Alive in force on a connection, unless it is off.
    pub(crate) fn keep_alive(&self, number: u64) -> Option<Duration> {
        self.connections.get(&number)?.client.keep_alive()
    }

    /// Fails when the client has said nothing for too long: [MQTT-3.1.2-20].
    pub(crate) fn check_silence(&self, number: u64) {
        let Some(connection) = self.connections.get(&number) else {
            return;
        };
        let Some(keep_alive) = connection.client.keep_alive() else {
            return;
        };
        let silence = self
            .hub
            .clock
            .now()
            .saturating_duration_since(connection.wrote);
        self.hub
            .transcript
            .check(Invariant::KeepAlive, silence <= keep_alive, || {
                format!(
                    "{} was silent for {silence:?} with a Keep Alive of {keep_alive:?}",
                    connection.process
                )
            });
    }

    fn observe(&mut self, number: u64, role: Role, sent: bool, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let process = connection.process;
        let (seat, memory) = match role {
            Role::Client => (
                &mut connection.client,
                self.processes.entry(process).or_default(),
            ),
            Role::Server => {
                let memories = if connection.is_former {
                    &mut self.former
                } else {
                    &mut self.clients
                };
                let memory = memories.entry(process.client).or_default();
                (&mut connection.broker, memory)
            }
        };
        let frames = match seat.frames(sent).push(bytes) {
            Ok(frames) => frames,
            Err(error) => {
                return self
                    .hub
                    .transcript
                    .fail(Invariant::Wire, format!("{process}: {error}"));
            }
        };
        for (frame, decoding) in frames {
            let packet = match Packet::decode(&frame, &decoding) {
                Ok(packet) => packet,
                Err(error) => {
                    return self
                        .hub
                        .transcript
                        .fail(Invariant::Wire, format!("{process}: {error}"));
                }
            };
            let mut ledger = self.hub.ledger.borrow_mut();
            tell(&self.hub, process, number, role, sent, &packet);
            let now = self.hub.clock.now();
            self.hub
                .watch
                .observe(now, process, number, (role, sent), &packet);
            let mut scene = Scene {
                process,
                memory,
                ledger: &mut ledger,
                length: frame.len(),
                troubled: self.troubled.contains(&process.client),
            };
            let outcome = if sent {
                seat.sent(&mut scene, &packet)
            } else {
                seat.received(&mut scene, &packet)
            };
            if let Err(Broken(invariant, text)) = outcome {
                let who = if role == Role::Client {
                    process.to_string()
                } else {
                    format!("broker to {process}")
                };
                return self
                    .hub
                    .transcript
                    .fail(invariant, format!("{who} on connection {number}: {text}"));
            }
        }
    }
}

fn tell(hub: &Hub, process: ProcessId, number: u64, role: Role, sent: bool, packet: &Packet<'_>) {
    let arrow = match (role, sent) {
        (Role::Client, true) => "--> sends",
        (Role::Client, false) => "<-- reads",
        (Role::Server, true) => "broker sends",
        (Role::Server, false) => "broker reads",
    };
    hub.transcript.say(process, || {
        format!("#{number} {arrow} {}", frames::describe(packet))
    });
}
