//! The broker as a machine at the far ends of all links.

use core::fmt;
use std::collections::BTreeMap;

use bytes::Buf as _;
use mqtt5_broker::{Action, Broker, Fault, Outgoing};
use mqtt5_client::Instant;
use mqtt5_proto::{Decoding, FixedHeader, Role};

use crate::link::Network;
use crate::options::client_id;
use crate::plan::BrokerFault;
use crate::referee::Referees;

/// The broker, and bytes of it that the links have no room for.
pub(crate) struct BrokerSide {
    broker: Broker,
    pending: BTreeMap<u64, Outgoing>,
    /// The beginning of a packet that has not arrived as a whole, though the broker has it.
    halves: BTreeMap<u64, Vec<u8>>,
}

impl BrokerSide {
    pub(crate) fn new(broker: Broker) -> Self {
        Self {
            broker,
            pending: BTreeMap::new(),
            halves: BTreeMap::new(),
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

    pub(crate) fn fault(&mut self, now: Instant, client: usize, fault: BrokerFault) {
        let client = client_id(client);
        let _had_one = match fault {
            BrokerFault::Disconnect(reason) => self.broker.disconnect(now, &client, reason),
            BrokerFault::Cut => self.broker.cut(now, &client),
            BrokerFault::Forget | BrokerFault::ForgetUnseen => self.broker.forget(now, &client),
            BrokerFault::Rule { on, mishap, times } => {
                self.broker
                    .inject(Fault::new(on, mishap).client(client).times(times));
                true
            }
        };
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.broker.clear_faults();
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
        for piece in split(self.halves.entry(number).or_default(), &bytes) {
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
                    self.broker.handle_closed(now, number);
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
        self.broker.handle_closed(now, number);
        if let Some(connection) = network.get(number) {
            connection.broker_finish(now, &[]);
        }
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

/// Cuts bytes behind the packets that they complete; `half` is what has come before and completes none.
fn split(half: &mut Vec<u8>, bytes: &[u8]) -> Vec<Vec<u8>> {
    let decoding = Decoding::new(Role::Client);
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
