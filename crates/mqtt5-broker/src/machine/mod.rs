//! The broker as a machine: bytes and time in, bytes and actions out.

mod acknowledge;
mod authenticate;
mod close;
mod connect;
mod deliver;
mod faults;
mod frames;
mod publish;
mod subscribe;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Buf;
use mqtt5_proto::{Instant, ReasonCode};

use crate::config::Config;
use crate::connection::{Connection, Phase};
use crate::faults::Farewell;
use crate::outgoing::Outgoing;
use crate::outputs::Outputs;
use crate::retained::Retained;
use crate::session::Session;
use crate::slab::Slab;
use crate::statistics::Statistics;
use crate::timers::{ConnectionSlot, Timer, TimerReason, Timers};
use crate::trie::{SessionSlot, SubscriptionTrie};
use deliver::Match;

/// What the driver has to do; [`Broker::poll_action`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// [`Broker::take_outgoing`] has bytes for this connection.
    ///
    /// Given once until they are taken.
    Write(u64),
    /// Write what [`Broker::take_outgoing`] still gives, close the connection, then call [`Broker::handle_closed`].
    ///
    /// What the client sends in the meantime must be read and may be discarded: closing with unread bytes would take
    /// the last packet away from the client.
    Close(u64),
    /// Close the connection at once, then call [`Broker::handle_closed`].
    Abort(u64),
}

impl Action {
    /// The number of the connection that it is about.
    pub const fn connection(self) -> u64 {
        match self {
            Self::Write(number) | Self::Close(number) | Self::Abort(number) => number,
        }
    }
}

/// An MQTT 5 broker without sockets, threads and clock.
///
/// Connections are numbers that the driver chooses; a number must not be used again before its
/// [`handle_closed`](Self::handle_closed). Time is an argument of every input; when it goes backwards, it stands still.
///
/// * **Inputs** cannot fail: [`handle_open`](Self::handle_open), [`handle_received`](Self::handle_received),
///   [`handle_sent`](Self::handle_sent), [`handle_closed`](Self::handle_closed),
///   [`handle_timeout`](Self::handle_timeout). What a client does wrong costs its connection, with the reason code that
///   the specification names.
/// * **Outputs** are asked for after each input: [`poll_action`](Self::poll_action) until `None`, which tells what to
///   write and close; [`poll_timeout`](Self::poll_timeout) for the next call of `handle_timeout`.
/// * **Commands** act on clients: [`disconnect`](Self::disconnect), [`cut`](Self::cut), [`forget`](Self::forget),
///   [`shut_down`](Self::shut_down); [`inject`](Self::inject) makes things go wrong on purpose.
///
/// The same configuration and the same inputs give the same outputs.
///
/// ```
/// use mqtt5_broker::{Action, Broker, Config};
/// use mqtt5_proto::Instant;
///
/// let now = Instant::ZERO;
/// let mut broker = Broker::new(Config::default());
/// broker.handle_open(now, 1);
/// broker.handle_received(now, 1, b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x02me");
/// assert_eq!(broker.poll_action(), Some(Action::Write(1)));
/// assert_eq!(broker.outgoing(now, 1)[..4], [0x20, 14, 0, 0]); // CONNACK, Success
/// ```
pub struct Broker {
    config: Config,
    now: Instant,
    connections: Slab<Connection>,
    numbers: BTreeMap<u64, ConnectionSlot>,
    sessions: Slab<Session>,
    clients: BTreeMap<Arc<str>, SessionSlot>,
    subscriptions: SubscriptionTrie,
    retained: Retained,
    timers: Timers,
    outputs: Outputs,
    /// What the message being routed matches; kept between messages.
    matches: Vec<Match>,
    /// How many client identifiers have been assigned.
    assigned: u64,
}

impl Broker {
    /// Makes a broker without connections and sessions.
    pub fn new(config: Config) -> Self {
        let outputs = Outputs::new(config.maximum_unsent_bytes / 2);
        Self {
            config,
            now: Instant::ZERO,
            connections: Slab::new(),
            numbers: BTreeMap::new(),
            sessions: Slab::new(),
            clients: BTreeMap::new(),
            subscriptions: SubscriptionTrie::new(),
            retained: Retained::default(),
            timers: Timers::default(),
            outputs,
            matches: Vec::new(),
            assigned: 0,
        }
    }

    /// Disconnects a client, as an administrator does; false when it has no connection.
    ///
    /// Takes a reason code, or a [`Farewell`] that names another server. Its will is published, since it did not say
    /// goodbye [MQTT-3.1.2-8].
    pub fn disconnect(
        &mut self,
        now: Instant,
        client_id: &str,
        farewell: impl Into<Farewell>,
    ) -> bool {
        self.advance(now);
        let Some(slot) = self.connection_of(client_id) else {
            return false;
        };
        let farewell = farewell.into();
        let text = farewell.reason_string.as_deref();
        let text = text.unwrap_or("disconnected by the operator");
        let reference = farewell.server_reference.as_deref();
        self.fail_with(slot, farewell.reason, reference, text);
        self.settle_faults();
        true
    }

    /// Closes the connection of a client without a word, as a broken network does; false when it has none.
    pub fn cut(&mut self, now: Instant, client_id: &str) -> bool {
        self.advance(now);
        let Some(slot) = self.connection_of(client_id) else {
            return false;
        };
        self.abort(slot);
        self.settle_faults();
        true
    }

    /// Ends a session, and cuts its connection; false when there is none. The client then finds Session Present 0.
    pub fn forget(&mut self, now: Instant, client_id: &str) -> bool {
        self.advance(now);
        self.cut(now, client_id);
        let session = self.clients.get(client_id).copied();
        if let Some(session) = session {
            self.end_session(session);
        }
        self.settle_faults();
        session.is_some()
    }

    /// Tells every client that the server shuts down (0x8B) and closes its connection.
    pub fn shut_down(&mut self, now: Instant) {
        self.advance(now);
        let slots: Vec<ConnectionSlot> = self.numbers.values().copied().collect();
        for slot in slots {
            self.fail(slot, ReasonCode::SERVER_SHUTTING_DOWN, "");
        }
        self.settle_faults();
    }

    /// A client has opened a connection. Ignored when the number is in use.
    pub fn handle_open(&mut self, now: Instant, connection: u64) {
        let now = self.advance(now);
        if self.numbers.contains_key(&connection) {
            return;
        }
        let slot = self.connections.insert(Connection::new(now, connection));
        self.numbers.insert(connection, slot);
        self.set_deadline(slot, now + self.config.connect_timeout);
    }

    /// Everything in `outgoing` has been written; more may leave now.
    ///
    /// Call it, too, when writing failed; [`handle_closed`](Self::handle_closed) follows then.
    pub fn handle_sent(&mut self, now: Instant, outgoing: Outgoing) {
        self.advance(now);
        let slot = self.numbers.get(&outgoing.connection()).copied();
        let total = outgoing.consumed() + outgoing.remaining();
        self.outputs.statistics.bytes_sent += outgoing.consumed() as u64;
        self.outputs.recycle(outgoing.into_memory());
        let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) else {
            return;
        };
        connection.in_hand = connection.in_hand.saturating_sub(total);
        self.outputs.relieve(connection);
        if let Phase::Live(session) = connection.phase {
            self.pump(session);
        }
        self.settle_faults();
    }

    /// The connection is gone, whoever closed it. Its number may be used again.
    pub fn handle_closed(&mut self, now: Instant, connection: u64) {
        self.advance(now);
        let Some(slot) = self.numbers.remove(&connection) else {
            return;
        };
        self.close(slot);
        self.clear_deadline(slot);
        self.connections.remove(slot);
        // Nothing is left to do for it, and its number may soon be that of another.
        let actions = &mut self.outputs.actions;
        actions.retain(|action| action.connection() != connection);
        self.settle_faults();
    }

    /// Does what is due. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Connection(slot) => self.handle_connection_timeout(slot),
                Timer::Will(session) => self.publish_will(session),
                Timer::Session(session) => self.end_session(session),
                Timer::Retained(topic) => {
                    self.retained.remove(&topic);
                    self.outputs.statistics.messages_expired += 1;
                }
            }
        }
        self.settle_faults();
    }

    /// The next thing that the driver has to do; `None` until the next input.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outputs.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        let faults = self.outputs.faults.as_ref();
        let late = faults.and_then(|faults| faults.next());
        let late = late.map(|at| (at, TimerReason::Fault));
        self.timers
            .next()
            .into_iter()
            .chain(late)
            .min_by_key(|(at, _)| *at)
    }

    /// Takes the bytes for a connection; they go back to [`handle_sent`](Self::handle_sent) when they are written.
    ///
    /// Bytes taken later must be written later. Messages that do not fit into what may be unsent at one time come after
    /// `handle_sent`.
    pub fn take_outgoing(&mut self, connection: u64) -> Outgoing {
        let slot = self.numbers.get(&connection).copied();
        let Some(entry) = slot.and_then(|slot| self.connections.get_mut(slot)) else {
            return Outgoing::new(connection);
        };
        let outgoing = std::mem::replace(&mut entry.outgoing, Outgoing::new(connection));
        entry.in_hand += outgoing.remaining();
        entry.is_announced = false;
        outgoing
    }

    /// Takes everything for a connection and counts it as sent: for tests and for transports that never block.
    pub fn outgoing(&mut self, now: Instant, connection: u64) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let mut outgoing = self.take_outgoing(connection);
            if outgoing.is_empty() {
                return all;
            }
            while !outgoing.is_empty() {
                let length = outgoing.chunk().len();
                all.extend_from_slice(outgoing.chunk());
                outgoing.advance(length);
            }
            self.handle_sent(now, outgoing);
        }
    }

    /// What there is and what has happened.
    ///
    /// Costs a step for each session.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            connections: self.connections.len(),
            sessions: self.sessions.len(),
            subscriptions: self.subscriptions.len(),
            retained: self.retained.len(),
            retained_bytes: self.retained.bytes(),
            waiting: self.sessions.iter().map(Session::waiting).sum(),
            ..self.outputs.statistics
        }
    }

    /// The client identifiers of all sessions that have a connection, in order.
    pub fn connected_clients(&self) -> impl Iterator<Item = &str> {
        self.clients
            .iter()
            .filter(|&(_, &slot)| {
                self.sessions
                    .get(slot)
                    .is_some_and(|s| s.connection.is_some())
            })
            .map(|(client_id, _)| &**client_id)
    }

    /// Whether some client is slow: more than half of [`Config::maximum_unsent_bytes`] waits to be written to it.
    ///
    /// A driver that now stops reading for a moment loses fewer QoS 0 messages; nothing obliges it to.
    pub const fn is_congested(&self) -> bool {
        self.outputs.is_congested()
    }

    /// PUBLISH packets received so far.
    pub(crate) const fn messages_received(&self) -> u64 {
        self.outputs.statistics.messages_received
    }

    /// Time does not go backwards.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn connection_of(&self, client_id: &str) -> Option<ConnectionSlot> {
        self.sessions.get(*self.clients.get(client_id)?)?.connection
    }

    /// Sets the one deadline of a connection.
    fn set_deadline(&mut self, slot: ConnectionSlot, at: Instant) {
        self.clear_deadline(slot);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.deadline = Some(at);
            self.timers.set(at, Timer::Connection(slot));
        }
    }

    fn clear_deadline(&mut self, slot: ConnectionSlot) {
        if let Some(connection) = self.connections.get_mut(slot) {
            self.timers
                .clear(connection.deadline.take(), Timer::Connection(slot));
        }
    }
}

impl fmt::Debug for Broker {
    /// Prints numbers, no credentials and no payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("now", &self.now)
            .field("config", &self.config)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}
