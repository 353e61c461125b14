//! The policy machine: a protocol machine and everything that is decided about it.
//!
//! Like the machine below it, the engine reads no clock, sleeps never and sees no socket: inputs and the current time come in,
//! actions, bytes, wake-ups and outcomes go out. It lives behind the lock of [`Shared`](crate::shared::Shared); nothing in here
//! wakes, clones or drops a waker, except by handing it to the caller or to `wakes`.

mod attempts;
mod closing;
mod delivery;
mod dropped;
mod inbound;
mod lifecycle;
mod log;
mod notices;
mod offline;
mod operations;
mod pacing;
mod pausing;
mod publishing;
mod registry;
mod requests;
mod resuming;
mod servers;
mod supervisor;
mod turn;
mod wanted;

#[cfg(test)]
mod tests;

pub(crate) use attempts::Prepared;
pub(crate) use closing::Farewell;
pub(crate) use log::Log;
pub use notices::Event;
pub(crate) use operations::{Outcome, Stage, Watch};
pub(crate) use publishing::{Accepted, Draft, NotAccepted};
pub(crate) use registry::{Behaviour, Entry};
pub(crate) use requests::{SubscribeRequest, UnsubscribeRequest};
pub use supervisor::State;
pub(crate) use turn::Progress;

use crate::connection_info::ConnectionInfo;
use crate::endpoint::Endpoint;
use crate::error::ConnectionError;
use crate::options::{Config, Resume};
use crate::planted::planted;
use crate::slab::Key;
use crate::statistics::Statistics;
use attempts::Connecting;
use closing::Closing;
use core::task::Waker;
use delivery::Held;
pub(crate) use inbound::Fetched;
use mqtt5_proto::{
    Client as Machine, Config as MachineConfig, Instant, Op, PacketId, QoS, SessionLoss,
};
use notices::Notices;
use offline::Waiting;
use operations::Operations;
use pacing::Pacing;
use pausing::Pause;
use registry::Registry;
use requests::Requests;
use servers::Servers;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use supervisor::Supervisor;

/// The policy machine.
#[derive(Debug)]
pub(crate) struct Engine {
    machine: Machine,
    config: Config,
    supervisor: Supervisor,
    pacing: Pacing,
    servers: Servers,
    connecting: Connecting,
    operations: Operations,
    /// What to do when the machine reports the end of an operation.
    owners: HashMap<Op, Owner>,
    registry: Registry,
    held: Held,
    pause: Pause,
    waiting: Waiting,
    /// QoS 0 publishes that are complete when so many bytes are sent.
    writing: VecDeque<(u64, Key)>,
    requests: Requests,
    next_identifier: u32,
    notices: Notices,
    connection: Option<Arc<ConnectionInfo>>,
    statistics: Statistics,
    closing: Option<Closing>,
    /// The connection has failed, and its transport is still to be closed; the reason is told then.
    failing: bool,
    /// When the current attempt, or the farewell, is given up, or the next attempt begins.
    patience: Option<Instant>,
    /// The subscription that gets what no other matches.
    unmatched: Option<Key>,
    unmatched_taken: bool,
    /// The PUBLISH that broke the protocol last, and how many connections in a row it has cost.
    poison: Option<(PacketId, Box<[u8]>, u8)>,
    /// Those that the options declared and nobody has taken yet, by their filters.
    declared: Vec<(Box<str>, Key)>,
    /// What the driver sleeps on, and what it knows.
    driver: DriverSide,
    /// To be woken by whoever holds the lock, after unlocking.
    pub(crate) wakes: Vec<Waker>,
    /// To be told to `tracing` by whoever holds the lock, after unlocking.
    pub(crate) log: Log,
}

/// Who waits for an operation of the machine.
#[derive(Debug)]
enum Owner {
    Publish {
        slot: Key,
        qos: QoS,
        until_written: bool,
    },
    Subscribe(Box<requests::SentSubscribe>),
    Unsubscribe(Box<requests::SentUnsubscribe>),
}

/// The two sleeping places of the driver. A waker is here only while its side has nothing to do.
#[derive(Debug, Default)]
struct DriverSide {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The writer still has bytes: more of them are no news to it.
    writing: bool,
    /// The deadline that the writer was told.
    told: Option<Instant>,
    /// Something changed that it should look at, such as an earlier deadline.
    news: bool,
}

impl Engine {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let mut machine = MachineConfig::default();
        machine.connect_timeout = config.connect_timeout;
        machine.inbound_margin = config.margin();
        machine.topic_aliases = config.topic_aliases;
        machine.publish_before_connack = config.publish_early;
        machine.assume_session = config.resume == Resume::AssumeSession;
        machine.session_loss = SessionLoss {
            republish_qos1: config.on_session_lost.republish_qos1,
            republish_qos2: config.on_session_lost.republish_qos2,
        };
        let servers = Servers::new(config.endpoints().to_vec());
        let log = Log::new(&config.client_id);
        let mut engine = Self {
            machine: Machine::new(machine),
            connecting: Connecting::new(&config, servers.current()),
            pacing: Pacing::new(seed),
            servers,
            config,
            supervisor: Supervisor::new(),
            operations: Operations::default(),
            owners: HashMap::new(),
            registry: Registry::default(),
            held: Held::default(),
            pause: Pause::default(),
            waiting: Waiting::default(),
            writing: VecDeque::new(),
            requests: Requests::default(),
            next_identifier: 0,
            notices: Notices::default(),
            connection: None,
            statistics: Statistics::default(),
            closing: None,
            failing: false,
            patience: None,
            poison: None,
            unmatched: None,
            unmatched_taken: false,
            declared: Vec::new(),
            driver: DriverSide::default(),
            wakes: Vec::new(),
            log,
        };
        engine.declare();
        engine
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn state(&self) -> State {
        self.supervisor.state()
    }

    /// Whether new operations are refused because the end is near or was reached. Before the first connection there may be another server
    /// to ask, whatever the policy.
    pub(crate) fn is_closed(&self) -> bool {
        let is_last = self.connecting.has_succeeded && !self.config.reconnect.enabled;
        self.closing.is_some()
            || self.state() == State::Stopped
            || (self.state() == State::Closing && is_last)
    }

    /// Whether the connection has failed and its end is not yet told.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Why there is no connection any more; `None` also after a disconnect that was asked for.
    pub(crate) fn end(&self) -> Option<&ConnectionError> {
        self.supervisor.end().filter(|_| self.closing.is_none())
    }

    pub(crate) fn connection(&self) -> Option<&Arc<ConnectionInfo>> {
        self.connection.as_ref()
    }

    /// The server of the present or last attempt, or of the first.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.connecting.endpoint
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let (filters, subscriptions) = self.registry.counts();
        Statistics {
            filters,
            subscriptions,
            unacknowledged_publishes: self.machine.in_flight(),
            send_quota: self.send_quota(),
            protocol: *self.machine.statistics(),
            waiting_publishes: self.waiting.len() + self.machine.pending(),
            held_messages: self.held.len(),
            held_bytes: self.held.bytes(),
            ..self.statistics
        }
    }

    fn send_quota(&self) -> usize {
        let negotiated = self.machine.negotiated();
        let maximum = negotiated.map_or(0, |negotiated| negotiated.receive_maximum);
        usize::from(maximum).saturating_sub(self.machine.in_flight())
    }

    /// The slots of everything that somebody waits for.
    pub(crate) fn operations(&mut self) -> &mut Operations {
        &mut self.operations
    }

    /// The subscriptions and their queues.
    pub(crate) fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    pub(crate) fn notices(&mut self) -> &mut Notices {
        &mut self.notices
    }

    /// Whether everything accepted was written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.requests.is_empty() && self.are_publishes_flushed()
    }

    fn are_publishes_flushed(&self) -> bool {
        !self.failing
            && self.waiting.is_empty()
            && self.machine.pending() == 0
            && self.machine.unsent() == 0
            // Without a connection, what is unacknowledged is going to be sent again.
            && (self.state() == State::Online || self.machine.in_flight() == 0)
    }

    /// Whether every accepted operation ended.
    pub(crate) fn is_drained(&self) -> bool {
        self.requests.is_empty() && self.is_drained_of_publishes()
    }

    /// The same without the requests that wait to be sent.
    fn is_drained_of_publishes(&self) -> bool {
        self.are_publishes_flushed() && self.machine.in_flight() == 0 && self.owners.is_empty()
    }

    /// Opens a slot that waits for a condition, or for a deadline.
    pub(crate) fn watch(&mut self, watch: Watch, deadline: Option<Instant>, waker: Waker) -> Key {
        self.open_timed(Stage::Watch(watch), deadline, Some(waker))
    }

    /// Ends the wait in a slot that only a deadline would have ended.
    pub(crate) fn wake_slot(&mut self, slot: Key) {
        self.operations
            .finish(slot, Outcome::Woken, &mut self.wakes);
    }

    /// Opens a slot and sees to it that the driver knows of its deadline.
    pub(crate) fn open_timed(
        &mut self,
        stage: Stage,
        deadline: Option<Instant>,
        waker: Option<Waker>,
    ) -> Key {
        if let Some(deadline) = deadline {
            self.arm(deadline);
        }
        self.operations.open(stage, deadline, waker)
    }

    /// Notes a deadline that the driver may not know of.
    fn arm(&mut self, deadline: Instant) {
        let earlier = self.driver.told.is_none_or(|told| deadline < told);
        self.driver.news |= earlier && !planted!(ForgetDeadline);
    }
}
