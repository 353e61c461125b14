//! The broker as a machine at the far ends of all links.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Buf as _;
use mqtt5_broker::{Action, Broker, Fault, Mishap, Outgoing};
use mqtt5_client::Instant;
use mqtt5_proto::{Decoding, FixedHeader, Packet, Role};

use crate::hub::Hub;
use crate::ledger::number_of;
use crate::link::Network;
use crate::options::{BrokerOptions, client_id};
use crate::plan::BrokerFault;
use crate::referee::Referees;

/// The broker, and bytes of it that the links have no room for.
pub(crate) struct BrokerSide {
    hub: Rc<Hub>,
    broker: Broker,
    pending: BTreeMap<u64, Outgoing>,
    /// The beginning of a packet that has not arrived as a whole, though the broker has it.
    halves: BTreeMap<u64, Vec<u8>>,
    /// Clients that perhaps wait for something that was lost, or that comes too late.
    lossy: BTreeSet<usize>,
}

impl BrokerSide {
    pub(crate) fn new(hub: &Rc<Hub>, options: &BrokerOptions) -> Self {
        let mut broker = Broker::new(options.build());
        broker.handle_open(Instant::ZERO, WITNESS);
        broker.handle_received(Instant::ZERO, WITNESS, WITNESS_SAYS);
        let mut wills = hub.watch.wills.borrow_mut();
        wills.limit_expiry(options.maximum_session_expiry);
        drop(wills);
        Self {
            hub: hub.clone(),
            broker,
            pending: BTreeMap::new(),
            halves: BTreeMap::new(),
            lossy: BTreeSet::new(),
        }
    }

    pub(crate) fn open(&mut self, now: Instant, connection: u64) {
        self.broker.handle_open(now, connection);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.broker.poll_timeout().map(|(at, _)| at)
    }

    /// Messages that wait in sessions.
    pub(crate) fn waiting(&self) -> usize {
        self.broker.statistics().waiting
    }

    /// Whether it has bytes that a link has no room for.
    pub(crate) fn is_writing(&self) -> bool {
        self.pending.values().any(|bytes| !bytes.is_empty())
    }

    pub(crate) fn fault(&mut self, now: Instant, number: usize, fault: BrokerFault) {
        let client = client_id(number);
        let _had_one = match fault {
            BrokerFault::Disconnect(reason) => self.broker.disconnect(now, &client, reason),
            BrokerFault::Cut => self.broker.cut(now, &client),
            BrokerFault::Forget | BrokerFault::ForgetUnseen => {
                let mut wills = self.hub.watch.wills.borrow_mut();
                wills.session_ends(number);
                drop(wills);
                self.broker.forget(now, &client)
            }
            BrokerFault::Redirect(farewell) => self.broker.disconnect(now, &client, farewell),
            BrokerFault::Rule { on, mishap, times } => {
                if matches!(mishap, Mishap::Drop | Mishap::Delay(_)) {
                    self.lossy.insert(number);
                }
                self.broker
                    .inject(Fault::new(on, mishap).client(client).times(times));
                true
            }
        };
    }

    /// Nothing goes wrong any more. What is lost on a connection that lives does not come again while it does [MQTT-4.4.0-1].
    pub(crate) fn heal(&mut self, now: Instant) {
        self.broker.clear_faults();
        for client in core::mem::take(&mut self.lossy) {
            self.broker.cut(now, &client_id(client));
        }
    }

    /// Does everything that there is to do now; tells whether that was anything.
    pub(crate) fn run(
        &mut self,
        now: Instant,
        network: &mut Network,
        referees: &mut Referees,
    ) -> bool {
        // The broker uses the same parts of `mqtt5-proto`: a fault is planted in the client alone.
        let _sound = crate::planting::Sound::begin();
        if self.next().is_some_and(|at| at <= now) {
            // What the witness is waited for, if Keep Alive is dictated: PINGREQ.
            self.broker.handle_received(now, WITNESS, b"\xC0\0");
            self.broker.handle_timeout(now);
        }
        let mut moved = self.act(now, network, referees);
        let numbers: Vec<u64> = network.connections.keys().copied().collect();
        for number in numbers {
            moved |= self.read(now, number, network, referees);
            moved |= self.write(now, number, network, referees);
        }
        moved
    }

    fn read(
        &mut self,
        now: Instant,
        number: u64,
        network: &mut Network,
        referees: &mut Referees,
    ) -> bool {
        let Some(connection) = network
            .get(number)
            .filter(|connection| !connection.broker_left)
        else {
            return false;
        };
        let bytes = connection.broker_read();
        let ended = connection.has_client_ended();
        // Packet by packet: what follows one that ends the connection is not looked at.
        let half = self.halves.entry(number).or_default();
        for piece in split(Role::Client, half, &bytes) {
            if network
                .get(number)
                .is_some_and(|connection| !connection.broker_left)
            {
                referees.broker_received(number, &piece);
                let sessions = self.broker.statistics().sessions_begun;
                self.broker.handle_received(now, number, &piece);
                if self.broker.statistics().sessions_begun > sessions {
                    referees.session_begun(number);
                }
                self.act(now, network, referees);
            }
        }
        if ended {
            self.close(now, number, network);
            self.act(now, network, referees);
        }
        ended || !bytes.is_empty()
    }

    fn act(&mut self, now: Instant, network: &mut Network, referees: &mut Referees) -> bool {
        let mut acted = false;
        while let Some(action) = self.broker.poll_action() {
            acted = true;
            match action {
                Action::Write(WITNESS) => self.hear(now),
                Action::Write(number) => drop(self.write(now, number, network, referees)),
                Action::Close(number) => {
                    let mut bytes = Vec::new();
                    let pending = self.pending.remove(&number);
                    for mut outgoing in pending
                        .into_iter()
                        .chain([self.broker.take_outgoing(number)])
                    {
                        drain(&mut outgoing, |chunk| {
                            bytes.extend_from_slice(chunk);
                            chunk.len()
                        });
                    }
                    referees.broker_sent(number, &bytes);
                    if let Some(connection) = network.get(number) {
                        connection.broker_finish(now, &bytes);
                    }
                    self.end(now, number, network);
                }
                Action::Abort(number) => {
                    if let Some(connection) = network.get(number) {
                        connection.reset();
                    }
                    self.close(now, number, network);
                }
            }
        }
        acted
    }

    fn close(&mut self, now: Instant, number: u64, network: &mut Network) {
        self.pending.remove(&number);
        self.end(now, number, network);
        if let Some(connection) = network.get(number) {
            connection.broker_finish(now, &[]);
        }
    }

    fn end(&mut self, now: Instant, number: u64, network: &mut Network) {
        if let Some(connection) = network.get(number) {
            let mut wills = self.hub.watch.wills.borrow_mut();
            wills.closed(now, connection.client, number);
        }
        self.broker.handle_closed(now, number);
    }

    /// The witness gets what is published where wills are.
    fn hear(&mut self, now: Instant) {
        let mut outgoing = self.broker.take_outgoing(WITNESS);
        let mut bytes = Vec::new();
        drain(&mut outgoing, |chunk| {
            bytes.extend_from_slice(chunk);
            chunk.len()
        });
        self.broker.handle_sent(now, outgoing);
        let decoding = Decoding::new(Role::Server);
        for frame in split(Role::Server, &mut Vec::new(), &bytes) {
            if let Ok(Packet::Publish(publish)) = Packet::decode(&frame, &decoding) {
                self.testify(now, number_of(publish.payload));
            }
        }
    }

    fn testify(&self, now: Instant, number: Option<usize>) {
        let mut ledger = self.hub.ledger.borrow_mut();
        let moment = ledger.moment();
        let Some((number, note)) =
            number.and_then(|number| Some((number, ledger.messages.get_mut(number)?)))
        else {
            return;
        };
        note.taken.push(moment);
        let publisher = note.publisher;
        self.hub
            .transcript
            .say(publisher, || format!("its will m{number} is published"));
        self.hub
            .watch
            .wills
            .borrow_mut()
            .published(now, publisher.client, number);
    }

    /// Moves bytes into the link while it has room.
    fn write(
        &mut self,
        now: Instant,
        number: u64,
        network: &mut Network,
        referees: &mut Referees,
    ) -> bool {
        let Some(connection) = network
            .get(number)
            .filter(|connection| !connection.broker_left)
        else {
            return false;
        };
        let mut moved = false;
        loop {
            let mut outgoing = self
                .pending
                .remove(&number)
                .unwrap_or_else(|| self.broker.take_outgoing(number));
            if outgoing.is_empty() {
                return moved;
            }
            moved |= drain(&mut outgoing, |chunk| {
                let count = connection.broker_write(now, chunk);
                referees.broker_sent(number, &chunk[..count]);
                count
            });
            if referees.has_accepted(number) {
                connection.accepted(now);
            }
            if !outgoing.is_empty() {
                self.pending.insert(number, outgoing);
                return moved;
            }
            self.broker.handle_sent(now, outgoing);
        }
    }
}

/// The connection of one who is told of every will that is published, at once.
const WITNESS: u64 = 0;
/// CONNECT, and SUBSCRIBE with QoS 0 to the [topics of wills](crate::options::WILL_TOPICS), without what is retained.
const WITNESS_SAYS: &[u8] = b"\x10\x14\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x07witness\
    \x82\x11\x00\x01\x00\x00\x05a/z/w\x20\x00\x03b/w\x20";

/// Cuts bytes behind the packets that they complete; `half` is what has come before and completes none.
fn split(from: Role, half: &mut Vec<u8>, bytes: &[u8]) -> Vec<Vec<u8>> {
    let decoding = Decoding::new(from);
    let (mut given, mut begin) = (half.len(), 0);
    half.extend_from_slice(bytes);
    let mut pieces = Vec::new();
    while let Ok(Some(header)) = FixedHeader::parse(&half[begin..], &decoding) {
        let end = begin + header.total_len();
        if end > half.len() {
            break;
        }
        pieces.push(half[given..end].to_vec());
        (begin, given) = (end, end);
    }
    pieces.push(half[given..].to_vec());
    pieces.retain(|piece| !piece.is_empty());
    half.drain(..begin);
    pieces
}

/// Reads it piece by piece until `take` takes nothing.
fn drain(outgoing: &mut Outgoing, mut take: impl FnMut(&[u8]) -> usize) -> bool {
    let mut moved = false;
    while !outgoing.is_empty() {
        let count = take(outgoing.chunk());
        if count == 0 {
            break;
        }
        outgoing.advance(count);
        moved = true;
    }
    moved
}

impl fmt::Debug for BrokerSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerSide")
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}
