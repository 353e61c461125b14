//! What the client tells about itself, to any number of listeners.

use crate::connection_info::ConnectionInfo;
use crate::driver::Attempt;
use crate::endpoint::Endpoint;
use crate::error::{ConnectionError, SubscribeError};
use crate::slab::{Key, Slab};
use crate::subscription_id::SubscriptionId;
use core::task::Waker;
use core::time::Duration;
use mqtt5_proto::{PacketId, ReasonCode};
use std::collections::VecDeque;
use std::sync::Arc;

/// Something that happened to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt to reach the server begins.
    Dialing {
        /// The attempt, counted from 1.
        attempt: Attempt,
        /// The server.
        endpoint: Arc<Endpoint>,
    },
    /// The server accepted the connection.
    Connected(Arc<ConnectionInfo>),
    /// The connection could not be made.
    ConnectFailed(ConnectionError),
    /// The connection ended without being asked to.
    Disconnected(ConnectionError),
    /// There is no connection; the next attempt begins after a while.
    Waiting {
        /// The next attempt.
        attempt: Attempt,
        /// How long from now.
        delay: Duration,
    },
    /// The server wants us to use another one (4.11).
    Redirected {
        /// Use another server (0x9C), or server moved (0x9D).
        reason: ReasonCode,
        /// The Server Reference as the server wrote it: escape it before it meets a terminal.
        reference: Box<str>,
        /// Whether there is a next attempt that goes there.
        followed: bool,
    },
    /// The server accepted the connection, and has no session of ours any more: subscriptions are sent again, publishes settled as
    /// [`Options::on_session_lost`](crate::Options::on_session_lost) says.
    SessionLost,
    /// The server has answered a subscription that was declared or sent again, with nobody waiting for the answer: all is granted.
    Resubscribed {
        /// Each filter with the granted QoS.
        results: Vec<(String, ReasonCode)>,
    },
    /// Filters of a subscription could not be subscribed again: they have left it, and one without filters has ended.
    ResubscribeFailed {
        /// The filters that are lost.
        filters: Vec<String>,
        /// Why.
        error: SubscribeError,
    },
    /// The same message has broken the protocol on three connections in a row, and the server will send it again. Attempts go on after
    /// the backoff; somebody should look at the server, or let a clean start forget the message.
    PoisonMessage {
        /// Its topic, as far as it is text; empty if an alias stood for it. Escape it before it meets a terminal.
        topic: Box<str>,
        /// Its Packet Identifier.
        packet_id: PacketId,
    },
    /// A subscription keeps others waiting, or loses messages.
    SlowConsumer {
        /// Which one.
        subscription: SubscriptionId,
        /// QoS 1 and 2 messages that are held unacknowledged for all subscriptions together.
        held: usize,
        /// Messages that this subscription has lost so far, as [`Subscription::dropped`](crate::Subscription::dropped) counts them.
        dropped: u64,
    },
    /// Nothing is read until the application takes messages.
    ReadingPaused,
    /// Reading goes on.
    ReadingResumed,
    /// A message that was to be acknowledged by hand was dropped unanswered.
    Unanswered {
        /// The subscription that it was taken from.
        subscription: SubscriptionId,
    },
    /// This listener was too slow: so many events are lost to it.
    Lagged(u64),
    /// The client has stopped. Nothing comes after this.
    Stopped,
}

/// The last events, and how far each listener is.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    events: VecDeque<Event>,
    /// How many events came before the first in `events`.
    forgotten: u64,
    listeners: Slab<Listener>,
    ended: bool,
}

#[derive(Debug)]
struct Listener {
    /// The number of the next event.
    next: u64,
    waker: Option<Waker>,
}

impl Notices {
    /// Adds a listener; it hears what comes from now on.
    pub(crate) fn listen(&mut self) -> Key {
        let next = self.forgotten + self.events.len() as u64;
        self.listeners.insert(Listener { next, waker: None })
    }

    /// Removes a listener; its waker is the caller's to drop, after unlocking.
    pub(crate) fn leave(&mut self, listener: Key) -> Option<Waker> {
        let waker = self.listeners.remove(listener)?.waker;
        self.trim();
        waker
    }

    /// The next event of a listener; `Err` when there is none now, with whether there ever will be one.
    pub(crate) fn poll(&mut self, listener: Key) -> Result<Event, bool> {
        let Some(listener) = self.listeners.get_mut(listener) else {
            return Err(false);
        };
        if listener.next < self.forgotten {
            let lost = self.forgotten - listener.next;
            listener.next = self.forgotten;
            return Ok(Event::Lagged(lost));
        }
        let index = usize::try_from(listener.next - self.forgotten).unwrap_or(usize::MAX);
        let Some(event) = self.events.get(index).cloned() else {
            return Err(!self.ended);
        };
        listener.next += 1;
        self.trim();
        Ok(event)
    }

    /// Leaves a waker; the one it replaces is the caller's to drop, after unlocking.
    pub(crate) fn set_waker(&mut self, listener: Key, waker: Waker) -> Option<Waker> {
        match self.listeners.get_mut(listener) {
            Some(listener) => listener.waker.replace(waker),
            None => Some(waker),
        }
    }

    pub(super) fn push(&mut self, event: Event, wakes: &mut Vec<Waker>) {
        if self.ended {
            return;
        }
        self.ended = event == Event::Stopped;
        if self.listeners.len() == 0 {
            self.forgotten += 1;
            return;
        }
        if self.events.len() == REMEMBERED {
            self.events.pop_front();
            self.forgotten += 1;
        }
        self.events.push_back(event);
        wakes.extend(
            self.listeners
                .iter_mut()
                .filter_map(|(_, listener)| listener.waker.take()),
        );
    }

    /// Forgets what every listener has heard.
    fn trim(&mut self) {
        let heard = self
            .listeners
            .iter()
            .map(|(_, listener)| listener.next)
            .min();
        while !self.events.is_empty() && heard.is_none_or(|heard| self.forgotten < heard) {
            self.events.pop_front();
            self.forgotten += 1;
        }
    }
}

/// How many events a slow listener can be behind before it loses the oldest.
const REMEMBERED: usize = 256;
