//! The end that was asked for.

use super::Engine;
use super::operations::Watch;
use super::supervisor::{Input, State};
use crate::error::{ConnectionErrorKind as Kind, DisconnectErrorKind};
use crate::planted::planted;
use crate::properties::PropertyList;
use core::time::Duration;
use mqtt5_proto::{DisconnectReason, Instant, Properties};

/// How the application wants the client to end.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    pub(crate) reason: DisconnectReason,
    pub(crate) properties: PropertyList,
    /// How long accepted operations may take to end.
    pub(crate) drain: Duration,
}

/// An end that was asked for and waits for operations to end.
#[derive(Debug)]
pub(super) struct Closing {
    farewell: Farewell,
    pub(super) deadline: Instant,
    /// Whether it ended before they had.
    pub(super) cut_short: bool,
}

impl Engine {
    /// Asks for the end; a second call can only shorten the time for operations.
    pub(crate) fn disconnect(
        &mut self,
        now: Instant,
        farewell: &Farewell,
    ) -> Result<(), DisconnectErrorKind> {
        let kept = farewell
            .properties
            .view()
            .session_expiry_interval()
            .is_some_and(|interval| interval > 0);
        if kept && self.config.session_expiry_interval == 0 {
            return Err(DisconnectErrorKind::InvalidSessionExpiry);
        }
        let deadline = now + farewell.drain;
        self.arm(deadline);
        if let Some(closing) = &mut self.closing {
            closing.deadline = closing.deadline.min(deadline);
            self.settle(now);
        }
        if self.is_closed() {
            return Ok(());
        }
        self.closing = Some(Closing {
            farewell: farewell.clone(),
            deadline,
            cut_short: false,
        });
        self.operations.wake(Watch::State, &mut self.wakes);
        self.operations.wake(Watch::Room, &mut self.wakes);
        self.settle(now);
        Ok(())
    }

    /// The last handle is gone: nobody is left to wait, and what was accepted gets a short while.
    pub(crate) fn last_handle_dropped(&mut self, now: Instant) {
        let farewell = Farewell {
            reason: DisconnectReason::Normal,
            properties: PropertyList::default(),
            drain: LAST_DRAIN,
        };
        let ended = self.disconnect(now, &farewell);
        debug_assert!(ended.is_ok(), "nothing was asked for that could be refused");
    }

    /// The driver is gone without having been asked to go: nothing will move any more.
    pub(crate) fn abandoned(&mut self, now: Instant) {
        if self.state() == State::Stopped {
            // What the machine had may not have been told yet.
            self.poll_events(now, usize::MAX);
            return;
        }
        self.connecting.is_abandoned = true;
        self.supervisor.set_end(Kind::Closed.into());
        self.machine.handle_closed(now);
        self.poll_events(now, usize::MAX);
        self.finish();
        // One that waited for its next attempt had no end yet.
        self.supervisor.set_end(Kind::Closed.into());
        self.poll_events(now, usize::MAX);
    }

    /// Whether the drain time was over before every operation had ended.
    pub(crate) fn was_cut_short(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| closing.cut_short)
    }

    /// Whether there is nothing that a client should wait for before it ends: every accepted operation has ended, or there is no connection
    /// and all that waits for one are SUBSCRIBEs, of which the client would have nothing.
    pub(super) fn may_leave(&self) -> bool {
        let only_subscribes = || self.requests.subscribing().count() == self.requests.len();
        self.is_drained()
            || (self.state() != State::Online
                && self.is_drained_of_publishes()
                && only_subscribes())
    }

    /// Hands DISCONNECT to the machine and waits, for a while, until it and all before it are written.
    pub(super) fn begin_close(
        &mut self,
        now: Instant,
        reason: DisconnectReason,
        properties: Properties<'_>,
    ) {
        if self.change(Input::Close) {
            // Refused only when there is nothing to end any more, or when the server takes no packet of this size.
            if self.machine.disconnect(now, reason, properties).is_err()
                && self
                    .machine
                    .disconnect(now, reason, Properties::EMPTY)
                    .is_err()
            {
                self.supervisor.hang_up();
            }
            self.give_patience(now + CLOSE_PATIENCE);
        }
    }

    /// Ends the wait for operations when there is nothing to wait for, no time, or no connection in prospect.
    pub(super) fn settle_closing(&mut self, now: Instant) {
        let state = self.supervisor.state();
        if self.closing.is_none() || matches!(state, State::Closing | State::Stopped) {
            return;
        }
        let drained = self.may_leave();
        let Some(closing) = &mut self.closing else {
            return;
        };
        let in_prospect = !matches!(state, State::Waiting | State::Preparing);
        if in_prospect && !drained && closing.deadline > now {
            return;
        }
        closing.cut_short = !drained;
        let Farewell {
            reason, properties, ..
        } = closing.farewell.clone();
        match state {
            State::Handshaking | State::Online if planted!(DiscardWill) => {
                self.begin_close(now, DisconnectReason::Normal, properties.view());
            }
            State::Handshaking | State::Online => self.begin_close(now, reason, properties.view()),
            _ => self.finish(),
        }
    }
}

/// How long the accepted operations of a client without handles may take.
const LAST_DRAIN: Duration = Duration::from_millis(500);
/// How long DISCONNECT may take to leave, and the transport to close.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
