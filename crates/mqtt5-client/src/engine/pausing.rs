//! Consumers that do not keep up: when nothing is read, for how long, and who is told.

use super::Engine;
use super::notices::Event;
use super::supervisor::State;
use crate::error::ConnectionErrorKind;
use crate::planted::planted;
use crate::slab::Key;
use crate::subscription_id::SubscriptionId;
use core::num::NonZeroU16;
use core::time::Duration;
use mqtt5_proto::{DisconnectReason, Instant, Properties};

/// Why reading stands still.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Since when more bytes are held than may be.
    since: Option<Instant>,
    /// How many SUBSCRIBEs are unanswered: until SUBACK is read nobody can take what their subscriptions hold, and more may be held.
    pub(super) unanswered: usize,
    /// What the machine was told.
    is_on: bool,
    /// It has lasted too long, and the connection is being closed for it.
    pub(super) has_stalled: bool,
    /// What stalled did not fit: so many messages may be under way on the next connection.
    window: Option<NonZeroU16>,
}

impl Engine {
    /// Ends a pause that lasted too long: the server will send again what was not taken.
    pub(super) fn handle_stall(&mut self, now: Instant) {
        if self.stall_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        self.supervisor
            .set_end(ConnectionErrorKind::ConsumerStalled.into());
        self.pause.has_stalled = true;
        let fitted = u16::try_from(self.held.arrivals().saturating_sub(1)).unwrap_or(u16::MAX);
        self.pause.window = NonZeroU16::new(fitted).or(Some(NonZeroU16::MIN));
        self.begin_close(now, DisconnectReason::QuotaExceeded, Properties::EMPTY);
    }

    /// Our Receive Maximum on the next connection: the one of the options, or as many messages as fitted before the last one stalled. What
    /// stalled comes again at once, and answers that the application waits for must not be stuck behind it again.
    pub(super) fn receive_maximum(&self) -> NonZeroU16 {
        let configured = self.config.receive_maximum;
        self.pause
            .window
            .map_or(configured, |window| window.min(configured))
    }

    /// A connection is over: unless it stalled, the next one may have the whole window.
    pub(super) fn forget_stall(&mut self) {
        if self.connection.is_some() && !self.pause.has_stalled {
            self.pause.window = None;
        }
    }

    /// A new connection of the machine reads: it must not if we had stopped that.
    pub(super) fn continue_pause(&mut self, now: Instant) {
        self.held.begin_connection();
        self.update_pause(now);
        if self.pause.is_on {
            self.pause.since = self.pause.since.map(|_| now);
            self.machine.set_reading(now, false);
        }
    }

    /// Tells of a message that has blocked others for too long, or of a window that is half used up.
    pub(super) fn watch_consumers(&mut self, now: Instant) {
        let half = usize::from(self.receive_maximum().get()).div_ceil(2).max(2);
        let overdue = self
            .held
            .blocks_until(BLOCKING_IS_SLOW)
            .is_some_and(|when| when <= now);
        if !overdue && self.held.len() < half {
            return;
        }
        let Some(subscription) = self.held.tell_oldest() else {
            return;
        };
        let local = self.registry.local_mut(subscription);
        if local.is_none_or(|local| local.dropped.may_tell(now)) {
            self.tell_slow(subscription);
        }
    }

    pub(super) fn tell_slow(&mut self, subscription: Key) {
        let dropped = self
            .registry
            .local(subscription)
            .map_or(0, |local| local.dropped.total());
        let held = self.held.len();
        self.tell(Event::SlowConsumer {
            subscription: SubscriptionId::new(subscription),
            held,
            dropped,
        });
    }

    pub(super) fn inbound_deadline(&self) -> Option<Instant> {
        let stall = self.stall_deadline();
        let slow = self.held.blocks_until(BLOCKING_IS_SLOW);
        stall.into_iter().chain(slow).min()
    }

    /// When a pause has lasted too long; it counts on a connection only.
    fn stall_deadline(&self) -> Option<Instant> {
        let since = self.pause.since.filter(|_| self.state() == State::Online)?;
        Some(since + self.config.stall_timeout)
    }

    /// Brings the machine's pause in line with what is held and queued.
    pub(super) fn update_pause(&mut self, now: Instant) {
        let bound = self.config.inbound_bytes;
        let largest = self.config.maximum_packet_size.get() as usize;
        // A single message always fits.
        let twice = bound.saturating_add(largest.max(bound));
        let bytes = self.held.bytes();
        // One message alone never stops the reading: what the application waits for before it takes that may be behind it. After a stall
        // that is one of the new connection, up to a second bound.
        let stalled = self.pause.window.is_some() && bytes <= twice;
        let others = if stalled {
            self.held.arrivals()
        } else {
            self.held.len()
        };
        let bound = if self.pause.unanswered > 0 {
            twice
        } else {
            bound
        };
        let over = bytes > bound && others > 1 && !planted!(IgnoreInboundBound);
        self.pause.since = over.then(|| self.pause.since.unwrap_or(now));
        let pause = over || self.registry.is_pausing();
        if core::mem::replace(&mut self.pause.is_on, pause) != pause {
            self.machine.set_reading(now, !pause);
            self.driver.news = true;
            self.tell(if pause {
                Event::ReadingPaused
            } else {
                Event::ReadingResumed
            });
        }
    }

    /// A SUBSCRIBE was answered, or will not be.
    pub(super) fn subscribe_over(&mut self, now: Instant) {
        self.pause.unanswered = self.pause.unanswered.saturating_sub(1);
        self.update_pause(now);
    }
}

/// How long a message may block others before its subscription is called slow.
const BLOCKING_IS_SLOW: Duration = Duration::from_secs(1);
