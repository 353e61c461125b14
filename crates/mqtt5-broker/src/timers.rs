//! Deadlines in order of time.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt5_proto::Instant;

use crate::trie::SessionSlot;

/// The number of a connection in the broker's table.
pub(crate) type ConnectionSlot = u32;

/// What a deadline is for. The order decides between deadlines of one instant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// CONNECT is due, the client is silent, or it does not close: what depends on the state of the connection.
    Connection(ConnectionSlot),
    /// The Will Delay Interval ends.
    Will(SessionSlot),
    /// The Session Expiry Interval ends.
    Session(SessionSlot),
    /// A retained message expires.
    Retained(Arc<str>),
}

impl Timer {
    pub(crate) const fn reason(&self) -> TimerReason {
        match self {
            Self::Connection(_) => TimerReason::Connection,
            Self::Will(_) => TimerReason::WillDelay,
            Self::Session(_) => TimerReason::SessionExpiry,
            Self::Retained(_) => TimerReason::MessageExpiry,
        }
    }
}

/// Why the broker wants [`handle_timeout`](crate::Broker::handle_timeout) to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerReason {
    /// CONNECT is due, keep alive, or a closed connection that lingers.
    Connection,
    /// A will is to be published.
    WillDelay,
    /// A session ends.
    SessionExpiry,
    /// A retained message expires.
    MessageExpiry,
    /// A packet that a [`Fault`](crate::Fault) held back is due.
    Fault,
}

/// All deadlines. Setting and clearing one costs the logarithm of their number.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// Clears a deadline that was set for exactly this time.
    pub(crate) fn clear(&mut self, at: Option<Instant>, timer: Timer) {
        if let Some(at) = at {
            self.0.remove(&(at, timer));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<(Instant, TimerReason)> {
        self.0.first().map(|(at, timer)| (*at, timer.reason()))
    }

    /// Takes the earliest deadline if it has come.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        if self.0.first()?.0 > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
