//! From the first attempt to the end.

use super::notices::Event;
use super::operations::{Outcome, Stage, Watch};
use super::supervisor::Input;
use super::{Engine, State};
use crate::connection_info::ConnectionInfo;
use crate::driver::Attempt;
use crate::error::{
    Answer, ConnectionError, ConnectionErrorKind as Kind, Detail, DialError, DisconnectErrorKind,
    PublishErrorKind, SubscribeErrorKind, UnsubscribeErrorKind, code_of_server,
};
use crate::options::Resume;
use crate::properties::PropertyList;
use crate::slab::Key;
use core::time::Duration;
use mqtt5_proto::{
    DisconnectCause, DisconnectReason, Instant, Properties, PropertyBuffer, ReasonCode,
    State as MachineState,
};
use std::sync::Arc;

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
    deadline: Instant,
    /// Whether the time was over first.
    pub(super) cut_short: bool,
}

impl Engine {
    /// Begins the first attempt.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.change(Input::Start) {
            self.give_patience(now + self.config.connect_timeout);
            self.tell(Event::Dialing {
                attempt: self.supervisor.attempt(),
                endpoint: self.endpoint().clone(),
            });
        }
    }

    /// The transport of this attempt is open; `false` when it is not wanted any more and is to be closed.
    pub(crate) fn handle_dialed(&mut self, now: Instant, attempt: Attempt) -> bool {
        if attempt != self.supervisor.attempt() || self.state() != State::Dialing {
            return false;
        }
        let clean_start = self.config.resume != Resume::AssumeSession;
        match self
            .machine
            .connect(now, &self.config.connect_packet(clean_start))
        {
            Ok(()) => self.change(Input::Dialed),
            Err(_) => {
                self.supervisor.set_end(Kind::InvalidOptions.into());
                self.fail_attempt(Input::DialFailed);
                false
            }
        }
    }

    /// The transport of this attempt could not be opened.
    pub(crate) fn handle_dial_failed(&mut self, attempt: Attempt, error: DialError) {
        if attempt == self.supervisor.attempt() && self.state() == State::Dialing {
            self.supervisor.set_end(error.into());
            self.fail_attempt(Input::DialFailed);
        }
    }

    /// The transport of this attempt is gone.
    pub(crate) fn handle_closed(&mut self, now: Instant, attempt: Attempt) {
        if attempt == self.supervisor.attempt() {
            self.close_machine(now);
        }
    }

    /// Nothing outlives the connection, since nothing reconnects: every operation of the machine ends.
    fn close_machine(&mut self, now: Instant) {
        self.machine.handle_closed(now);
        let abandoned = self.machine.abandon();
        debug_assert!(abandoned.is_ok(), "the transport is gone");
        self.poll_events(now, usize::MAX);
    }

    /// Asks for the end; a second call changes nothing.
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
        if self.is_closed() {
            return Ok(());
        }
        let deadline = now + farewell.drain;
        self.arm(deadline);
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
            return;
        }
        self.supervisor.set_end(Kind::Closed.into());
        self.close_machine(now);
        if self.state() == State::Idle || self.state() == State::Dialing {
            self.fail_attempt(Input::Stop);
        }
    }

    /// Whether the drain time was over before every operation had ended.
    pub(crate) fn was_cut_short(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| closing.cut_short)
    }

    /// CONNACK accepted the connection.
    pub(super) fn connected(&mut self, now: Instant, properties: PropertyBuffer) {
        let Some(negotiated) = self.machine.negotiated().copied() else {
            return;
        };
        self.statistics.connects += 1;
        self.patience = None;
        let info = Arc::new(ConnectionInfo::new(
            self.endpoint().clone(),
            &self.config.client_id,
            negotiated,
            properties,
        ));
        self.connection = Some(info.clone());
        self.change(Input::Accepted);
        self.tell(Event::Connected(info));
        self.pump_requests(now);
        self.pump_waiting(now);
    }

    /// The connection is over.
    pub(super) fn disconnected(&mut self, cause: DisconnectCause, properties: PropertyBuffer) {
        self.statistics.disconnects += u64::from(self.connection.is_some());
        if cause != DisconnectCause::Requested {
            let answer = Answer {
                reason: code_of_server(&cause).unwrap_or(ReasonCode::SUCCESS),
                properties,
                results: Vec::new(),
            };
            self.supervisor.set_end(ConnectionError::new(
                kind_of(cause),
                Detail::Lost(cause, answer),
            ));
        }
        self.fail_attempt(Input::Lost);
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

    /// What follows from what has happened: called after every input and every command that may change what is due.
    pub(super) fn settle(&mut self, now: Instant) {
        self.notice_failure(now);
        self.pump_requests(now);
        self.pump_waiting(now);
        self.settle_closing(now);
        self.watch_consumers(now);
        if self.machine.wants_close() {
            self.supervisor.hang_up();
        }
        if self.operations.is_anyone_watching(Watch::Flushed) && self.is_flushed() {
            self.operations.wake(Watch::Flushed, &mut self.wakes);
        }
        if self.operations.is_anyone_watching(Watch::Drained) && self.is_drained() {
            self.operations.wake(Watch::Drained, &mut self.wakes);
        }
    }

    /// Nothing goes out any more on a connection that the machine has given up: what waits ends now, not when the transport is closed.
    fn notice_failure(&mut self, now: Instant) {
        if self.machine.state() == MachineState::Closing && self.change(Input::Close) {
            self.failing = true;
            self.give_patience(now + CLOSE_PATIENCE);
            self.fail_waiting();
            self.fail_requests();
            self.operations.wake(Watch::Room, &mut self.wakes);
        }
    }

    /// Everything that was due by now.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        while let Some(slot) = self.operations.poll_expired(now) {
            self.expire(slot);
        }
        self.handle_stall(now);
        if self.patience.is_some_and(|patience| patience <= now) {
            self.patience = None;
            self.lose_patience();
        }
    }

    /// When something is due, of the machine or of ours.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let machine = self.machine.poll_timeout().map(|(deadline, _)| deadline);
        let closing = self
            .closing
            .as_ref()
            .filter(|_| !matches!(self.state(), State::Closing | State::Stopped));
        let closing = closing.map(|closing| closing.deadline);
        [
            machine,
            closing,
            self.patience,
            self.operations.next_deadline(),
            self.inbound_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.notices.push(event, &mut self.wakes);
    }

    /// Ends the wait for operations when there is nothing to wait for, or no time.
    fn settle_closing(&mut self, now: Instant) {
        let drained = self.is_drained();
        let Some(closing) = &mut self.closing else {
            return;
        };
        if matches!(self.supervisor.state(), State::Closing | State::Stopped)
            || !(drained || closing.deadline <= now)
        {
            return;
        }
        closing.cut_short = !drained;
        let Farewell {
            reason, properties, ..
        } = closing.farewell.clone();
        match self.state() {
            State::Idle | State::Dialing => self.fail_attempt(Input::Stop),
            _ => self.begin_close(now, reason, properties.view()),
        }
    }

    fn lose_patience(&mut self) {
        match self.state() {
            State::Dialing => {
                self.supervisor.set_end(Kind::TimedOut.into());
                self.fail_attempt(Input::Stop);
            }
            State::Handshaking => {
                self.supervisor.set_end(Kind::TimedOut.into());
                self.supervisor.hang_up();
            }
            State::Closing => self.supervisor.hang_up(),
            _ => {}
        }
    }

    fn expire(&mut self, slot: Key) {
        let outcome = match self.operations.stage(slot) {
            Some(Stage::Waiting | Stage::InMachine(_)) => {
                if self.withdraw(slot, PublishErrorKind::TimedOut) {
                    return;
                }
                Outcome::Published(Err(PublishErrorKind::TimedOut.into()))
            }
            Some(Stage::Subscribe) => Outcome::Subscribed(Err(SubscribeErrorKind::TimedOut.into())),
            Some(Stage::Unsubscribe) => {
                Outcome::Unsubscribed(Err(UnsubscribeErrorKind::TimedOut.into()))
            }
            Some(Stage::Watch(_) | Stage::Timer) => Outcome::Woken,
            None => return,
        };
        self.operations.finish(slot, outcome, &mut self.wakes);
    }

    /// Changes the state; at Stopped, ends what can end now. What the machine still holds it reports by itself.
    fn change(&mut self, input: Input) -> bool {
        let endpoint = self.config.endpoint().clone();
        let changed = self.supervisor.handle(input, &endpoint);
        if changed {
            self.operations.wake(Watch::State, &mut self.wakes);
        }
        changed
    }

    fn fail_attempt(&mut self, input: Input) {
        if !self.change(input) {
            return;
        }
        let established = self.connection.take().is_some();
        self.statistics.connect_failures += u64::from(!established && self.end().is_some());
        self.patience = None;
        self.failing = false;
        self.fail_waiting();
        self.fail_requests();
        self.registry.end_all(&mut self.wakes);
        for watch in [Watch::Room, Watch::Flushed, Watch::Drained] {
            self.operations.wake(watch, &mut self.wakes);
        }
        if let Some(end) = self.supervisor.end().cloned() {
            self.tell(if established {
                Event::Disconnected(end)
            } else {
                Event::ConnectFailed(end)
            });
        }
        self.tell(Event::Stopped);
    }

    fn give_patience(&mut self, until: Instant) {
        self.arm(until);
        self.patience = Some(until);
    }
}

fn kind_of(cause: DisconnectCause) -> Kind {
    match cause {
        DisconnectCause::Refused(_) | DisconnectCause::RefusedByOlderVersion(_) => Kind::Refused,
        DisconnectCause::ByServer { .. } => Kind::ByServer,
        DisconnectCause::Violation(_) => Kind::Protocol,
        DisconnectCause::KeepAliveTimeout => Kind::KeepAliveTimeout,
        DisconnectCause::ConnectTimeout => Kind::TimedOut,
        DisconnectCause::PartialPacketTimeout | DisconnectCause::WriteTimeout => {
            Kind::TransportStalled
        }
        DisconnectCause::PacketTooLarge(_) => Kind::PacketTooLarge,
        _ => Kind::TransportClosed,
    }
}

/// How long the accepted operations of a client without handles may take.
const LAST_DRAIN: Duration = Duration::from_millis(500);
/// How long DISCONNECT may take to leave, and the transport to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
