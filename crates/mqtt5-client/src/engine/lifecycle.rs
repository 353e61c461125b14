//! What the machine's connection does to the client, and what time does.

use super::closing::CLOSE_PATIENCE;
use super::notices::Event;
use super::operations::{Outcome, Stage, Watch};
use super::supervisor::Input;
use super::{Engine, State};
use crate::connection_info::ConnectionInfo;
use crate::driver::Attempt;
use crate::error::{
    Answer, ConnectionError, ConnectionErrorKind as Kind, Detail, PublishErrorKind,
    SubscribeErrorKind, UnsubscribeErrorKind, code_of_server,
};
use crate::planted::planted;
use crate::slab::Key;
use mqtt5_proto::{DisconnectCause, Instant, PropertyBuffer, ReasonCode, State as MachineState};
use std::sync::Arc;

impl Engine {
    /// The transport of this attempt is gone.
    pub(crate) fn handle_closed(&mut self, now: Instant, attempt: Attempt) {
        if attempt == self.supervisor.attempt() {
            self.machine.handle_closed(now);
            self.poll_events(now, usize::MAX);
        }
    }

    /// CONNACK accepted the connection.
    pub(super) fn connected(&mut self, now: Instant, properties: PropertyBuffer) {
        let Some(negotiated) = self.machine.negotiated().copied() else {
            return;
        };
        self.statistics.connects += 1;
        let info = Arc::new(ConnectionInfo::new(
            self.endpoint().clone(),
            &self.connecting.client_id,
            negotiated,
            properties,
        ));
        self.connecting.client_id = info.client_id().into();
        self.pacing.accept(now);
        if !info.session_present() && core::mem::replace(&mut self.connecting.has_succeeded, true) {
            self.statistics.sessions_lost += 1;
            self.tell(Event::SessionLost);
        }
        self.connecting.has_succeeded = true;
        self.connection = Some(info.clone());
        // An earlier CONNECT that was not answered may have begun a session that we know nothing of.
        let in_doubt = core::mem::take(&mut self.connecting.unanswered) > 1;
        self.resubscribe(info.session_present(), in_doubt);
        self.change(Input::Accepted);
        self.resume_held(now, info.session_present() && !in_doubt);
        self.continue_pause(now);
        self.tell(Event::Connected(info));
        self.pump_requests(now);
        self.pump_waiting(now);
    }

    /// The connection is over.
    pub(super) fn disconnected(
        &mut self,
        now: Instant,
        cause: DisconnectCause,
        properties: PropertyBuffer,
    ) {
        self.statistics.disconnects += u64::from(self.connection.is_some());
        match cause {
            DisconnectCause::ByServer { .. } => self.statistics.server_disconnects += 1,
            DisconnectCause::KeepAliveTimeout => self.statistics.keep_alive_timeouts += 1,
            DisconnectCause::Violation(_) => self.statistics.protocol_errors += 1,
            _ => {}
        }
        let answer = Answer {
            reason: code_of_server(&cause).unwrap_or(ReasonCode::SUCCESS),
            properties,
            results: Vec::new(),
        };
        let end = ConnectionError::new(kind_of(cause), Detail::Lost(cause, answer));
        if end.kind() == Kind::Refused {
            self.connecting.unanswered = self.connecting.unanswered.saturating_sub(1);
        }
        let by_server = (end.kind() == Kind::ByServer).then(|| end.clone());
        self.requests.note_loss(by_server);
        if cause != DisconnectCause::Requested {
            self.supervisor.set_end(end);
        }
        self.fail_writing();
        self.note_poison();
        // There will be no room on this connection, and perhaps a place in the queue.
        self.operations.wake(Watch::Room, &mut self.wakes);
        self.forget_stall();
        if planted!(FailWaiting) {
            self.fail_waiting();
        }
        while planted!(LoseWaiting) && self.waiting.pop().is_some() {}
        self.attempt_ended(now);
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
            if self.is_closed() {
                self.fail_waiting();
                self.fail_requests();
            }
            self.operations.wake(Watch::Room, &mut self.wakes);
        }
    }

    /// Everything that was due by now.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        while let Some(slot) = self.operations.poll_expired(now) {
            self.expire(slot);
        }
        self.expire_waiting(now);
        self.handle_stall(now);
        if self.patience.is_some_and(|patience| patience <= now) {
            self.patience = None;
            self.lose_patience(now);
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
            self.waiting.next_expiry(),
            self.inbound_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// A PUBLISH may break the protocol each time that the server sends it: tells so after the third connection in a row.
    fn note_poison(&mut self) {
        if self.connection.is_none() {
            return;
        }
        let Some((packet_id, topic)) = self.machine.offending_publish() else {
            self.poison = None;
            return;
        };
        let known = self.poison.take();
        let known = known.filter(|(id, known, _)| *id == packet_id && **known == *topic);
        let count = known.map_or(0, |(_, _, count)| count).saturating_add(1);
        self.poison = Some((packet_id, topic.into(), count));
        if count == POISON {
            let topic = String::from_utf8_lossy(topic).into();
            self.tell(Event::PoisonMessage { topic, packet_id });
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.log.event(&event);
        self.notices.push(event, &mut self.wakes);
    }

    fn lose_patience(&mut self, now: Instant) {
        match self.state() {
            State::Waiting => self.begin_attempt(now),
            State::Preparing => {
                self.supervisor.set_end(Kind::Declined.into());
                self.attempt_ended(now);
            }
            State::Dialing => {
                self.supervisor.set_end(Kind::TimedOut.into());
                self.attempt_ended(now);
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
        if planted!(ForgetTimeout)
            && matches!(self.operations.stage(slot), Some(Stage::InMachine(_)))
        {
            return;
        }
        let outcome = match self.operations.stage(slot) {
            Some(Stage::Waiting(_) | Stage::InMachine(_) | Stage::Writing) => {
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

    /// Moves the state on; what an attempt waits for goes on until it has succeeded or failed.
    pub(super) fn change(&mut self, input: Input) -> bool {
        let (endpoint, is_trusted) = (&self.connecting.endpoint, self.connecting.is_trusted);
        let changed = self.supervisor.handle(input, endpoint, is_trusted);
        if changed {
            if !matches!(input, Input::Prepare | Input::Dial | Input::Dialed) {
                self.patience = None;
            }
            self.operations.wake(Watch::State, &mut self.wakes);
        }
        changed
    }

    /// The end: there is no transport and there will be none. What the machine still holds it reports with its next events.
    pub(super) fn finish(&mut self) {
        let drained = self.may_leave();
        if !self.change(Input::Stop) {
            return;
        }
        if let Some(closing) = &mut self.closing {
            closing.cut_short |= !drained;
        }
        self.leave_untaken();
        let abandoned = self.machine.abandon();
        debug_assert!(abandoned.is_ok(), "the transport is gone");
        self.fail_waiting();
        self.fail_requests();
        self.registry.end_all(&mut self.wakes);
        for watch in [Watch::Room, Watch::Flushed, Watch::Drained] {
            self.operations.wake(watch, &mut self.wakes);
        }
        self.tell(Event::Stopped);
    }

    pub(super) fn give_patience(&mut self, until: Instant) {
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

/// How many connections in a row a message must cost to be called poison.
const POISON: u8 = 3;
