//! What happened, in words, and the first promise that was broken.

use core::cell::{Cell, RefCell};
use core::fmt;

use crate::executor::Clock;

/// What must hold; the name that a failure is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// A message arrives as it was published, where it was subscribed.
    Content,
    /// QoS 0 at most once, QoS 2 never twice while the sessions live.
    AtMostOnce,
    /// What was acknowledged to the publisher was taken by the broker, and what ended as not sent was not.
    Outcome,
    /// What the broker took arrives at every subscriber whose session lived throughout.
    AtLeastOnce,
    /// Messages of one publisher, topic and QoS arrive in the order in which they were accepted.
    Order,
    /// Nothing is acknowledged before the application has taken it, or has acknowledged it.
    EarlyAcknowledgement,
    /// The bytes on a connection obey the protocol.
    Wire,
    /// At most Receive Maximum messages are unfinished on a connection.
    ReceiveMaximum,
    /// Acknowledgements leave in the order of arrival.
    AcknowledgementOrder,
    /// Packet identifiers name one exchange each, and a message that is sent again says so.
    Identifiers,
    /// Neither side is silent for longer than keep alive allows, nor is silence overlooked.
    KeepAlive,
    /// Subscriptions are sent when the session has none of them, and only then.
    Resubscribe,
    /// The server is told of each filter that nobody wants any more.
    Unsubscribe,
    /// Every queue keeps its bound.
    Memory,
    /// A request gets the answer that is meant for it, or ends in time.
    Requests,
    /// An attempt begins when the application has prepared it, and as that says.
    Attempts,
    /// Interceptors are asked about every message, and what they say is done.
    Interceptors,
    /// Only servers that the application named are asked, or those that they name, if that was wanted; and only those are told who asks.
    Servers,
    /// A will is published once when its client is lost, and never when the client took its leave or came back in time.
    Will,
    /// Attempts get rarer while no connection lasts.
    Pacing,
    /// Whoever has something to do is woken, and comes to rest when there is nothing.
    Rest,
    /// Once the faults have ended everything that was accepted ends, and every queue runs dry.
    Drain,
    /// Once the faults have ended every subscription delivers.
    Probe,
    /// A client that is asked to end ends, and leaves nothing behind.
    End,
    /// Nothing panics.
    Panic,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// How.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.text)
    }
}

/// The lines of a run, if anybody wants to read them.
#[derive(Debug)]
pub(crate) struct Transcript {
    clock: Clock,
    wanted: bool,
    lines: RefCell<Vec<String>>,
    violation: RefCell<Option<Violation>>,
    broken: Cell<bool>,
}

impl Transcript {
    pub(crate) fn new(clock: Clock, wanted: bool) -> Self {
        Self {
            clock,
            wanted,
            lines: RefCell::default(),
            violation: RefCell::default(),
            broken: Cell::new(false),
        }
    }

    pub(crate) fn say(&self, who: impl fmt::Display, what: impl FnOnce() -> String) {
        if self.wanted {
            let seconds = self.clock.now().as_micros() as f64 / 1e6;
            let line = format!("{seconds:>12.6}  {who:<9} {}", what());
            self.lines.borrow_mut().push(line);
        }
    }

    /// Notes a broken promise; only the first counts.
    pub(crate) fn fail(&self, invariant: Invariant, text: impl Into<String>) {
        if !self.broken.replace(true) {
            let violation = Violation {
                invariant,
                text: text.into(),
            };
            self.say("!!!", || violation.to_string());
            self.violation.replace(Some(violation));
        }
    }

    pub(crate) fn check(&self, invariant: Invariant, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.fail(invariant, text());
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    pub(crate) fn take(&self) -> (Option<Violation>, Vec<String>) {
        (self.violation.take(), self.lines.take())
    }
}
