//! The driver's turns, and what the machine tells in them.

use super::{Engine, Owner, Watch};
use crate::delivered::Delivered;
use crate::driver::Action;
use crate::error::{Answer, Detail, PublishError, PublishErrorKind};
use crate::planted::planted;
use core::task::Waker;
use mqtt5_proto::QoS;
use mqtt5_proto::packet::Acknowledgement;
use mqtt5_proto::{
    AckToken, DisconnectCause, Event as MachineEvent, Incoming, Instant, Message, Op,
    Outcome as MachineOutcome, Outgoing, Properties, PropertyBuffer, ReasonCode, TimerReason,
};

/// An event of the machine without a borrow of it.
enum Happened {
    Connected(PropertyBuffer),
    Message(Message, Option<AckToken>),
    Published(Op, Result<Delivered, PublishError>),
    Answered(Op, Vec<ReasonCode>, PropertyBuffer),
    Lost(Op),
    Disconnected(DisconnectCause, PropertyBuffer),
    Nothing,
}

/// Whether a turn left something for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The machine has no more events now.
    Exhausted,
    /// It may have; the lock was held long enough.
    More,
}

impl Engine {
    /// Hands in what was read.
    pub(crate) fn handle_incoming(&mut self, now: Instant, incoming: &mut Incoming) {
        self.machine.handle_incoming(now, incoming);
    }

    /// Handles what the machine has to tell, up to `limit` events.
    pub(crate) fn poll_events(&mut self, now: Instant, limit: usize) -> Progress {
        for _ in 0..limit {
            let Some(event) = self.machine.poll_event(now) else {
                self.settle(now);
                return Progress::Exhausted;
            };
            let happened = own(event);
            self.handle(now, happened);
        }
        Progress::More
    }

    /// Lends the receive buffer if reading is wanted; otherwise keeps `waker` until it is. Gives back the waker that is not needed.
    pub(crate) fn lend_incoming(
        &mut self,
        incoming: &mut Incoming,
        waker: Waker,
    ) -> (bool, Option<Waker>) {
        // The writer may sleep apart, until a deadline that is too late now: that of keep alive begins with CONNACK. For the deadline
        // of a write that is under way whoever writes sees to it.
        let next = self.machine.poll_timeout();
        let write = next.filter(|(_, reason)| *reason == TimerReason::Write);
        let write = write.map(|(deadline, _)| deadline);
        if let Some(deadline) = self.poll_timeout().filter(|at| Some(*at) != write) {
            self.arm(deadline);
        }
        if self.machine.wants_read() {
            self.machine.take_incoming(incoming);
            return (true, Some(waker));
        }
        (false, self.driver.reader.replace(waker))
    }

    /// So many bytes were written.
    pub(crate) fn handle_sent(&mut self, now: Instant, outgoing: &mut Outgoing, written: usize) {
        if written > 0 {
            self.machine.handle_sent(now, outgoing, written);
            self.note_written();
            self.operations.wake(Watch::Room, &mut self.wakes);
        }
    }

    /// Lends bytes when none are left: behind all events, for what one of them keeps from leaving would count as sent.
    pub(crate) fn lend_outgoing(&mut self, outgoing: &mut Outgoing) {
        self.machine.take_outgoing(outgoing);
        self.driver.writing = !outgoing.is_empty();
    }

    /// Both, for a caller that writes while the driver sleeps: what follows is done here. It wakes nobody for the deadline of what it
    /// takes: whoever cannot write it wakes the driver.
    pub(crate) fn transmit(&mut self, now: Instant, outgoing: &mut Outgoing, written: usize) {
        self.handle_sent(now, outgoing, written);
        if written > 0 {
            self.driver.news |= self.poll_events(now, EVENTS_PER_TRANSMIT) == Progress::More;
        }
        self.lend_outgoing(outgoing);
    }

    /// What is due by now.
    pub(crate) fn handle_due(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.handle_timeout(now);
        }
    }

    /// The next thing that the driver must do, and when it must be back. Without an action the waker is kept until there is news.
    pub(crate) fn end_turn(
        &mut self,
        waker: Waker,
    ) -> (Option<Action>, Option<Instant>, Option<Waker>) {
        let deadline = self.poll_timeout();
        self.driver.told = deadline;
        self.driver.news = false;
        match self.supervisor.poll_action() {
            Some(action) => (Some(action), deadline, Some(waker)),
            None => (None, deadline, self.driver.writer.replace(waker)),
        }
    }

    /// Wakes the driver where it sleeps and there is something for it.
    pub(crate) fn notify_driver(&mut self) {
        let driver = &mut self.driver;
        if driver.writer.is_some() {
            let bytes =
                !planted!(ForgetDriverWaker) && !driver.writing && self.machine.unsent() > 0;
            // Once it was told to hang up there is nothing that another turn would bring.
            let hangup = self.machine.wants_close() && !self.supervisor.is_hung_up();
            if bytes || driver.news || self.supervisor.has_action() || hangup {
                self.wakes.extend(driver.writer.take());
            }
        }
        if driver.reader.is_some() && self.machine.wants_read() {
            self.wakes.extend(driver.reader.take());
        }
    }

    fn handle(&mut self, now: Instant, happened: Happened) {
        match happened {
            Happened::Message(message, token) => self.deliver(now, message, token),
            Happened::Published(op, result) => self.published(op, result),
            Happened::Connected(properties) => self.connected(now, properties),
            Happened::Disconnected(cause, properties) => {
                self.disconnected(now, cause, properties);
            }
            Happened::Answered(op, reasons, properties) => match self.owners.remove(&op) {
                Some(Owner::Subscribe(sent)) => {
                    self.subscribe_over(now);
                    self.subscribed(now, *sent, &reasons, properties);
                }
                Some(Owner::Unsubscribe(sent)) => self.unsubscribed(*sent, &reasons, properties),
                _ => {}
            },
            Happened::Lost(op) => match self.owners.remove(&op) {
                Some(Owner::Subscribe(sent)) => {
                    self.subscribe_over(now);
                    self.subscribe_lost(now, *sent);
                }
                Some(Owner::Unsubscribe(sent)) => self.unsubscribe_lost(*sent),
                _ => {}
            },
            Happened::Nothing => {}
        }
    }

    /// What the machine's end of a publish means while the client lives.
    fn kind_of_end(&self, qos: QoS, kind: PublishErrorKind) -> PublishErrorKind {
        match (kind, qos) {
            _ if self.is_closed() => kind,
            (PublishErrorKind::Unknown, QoS::AtLeastOnce) => PublishErrorKind::SessionLost,
            (PublishErrorKind::NotSent, QoS::AtMostOnce) => PublishErrorKind::Dropped,
            _ => kind,
        }
    }

    fn published(&mut self, op: Op, result: Result<Delivered, PublishError>) {
        match &result {
            Ok(delivered) if delivered.is_acknowledged() => {
                self.statistics.publishes_delivered += 1;
            }
            Err(error) if error.kind() == PublishErrorKind::Rejected => {
                self.statistics.publishes_rejected += 1;
            }
            _ => {}
        }
        if let Some(Owner::Publish {
            slot,
            qos,
            until_written,
        }) = self.owners.remove(&op)
        {
            match result {
                Ok(delivered) if !delivered.is_acknowledged() => self.encoded(slot, until_written),
                Ok(_) => self.finish_publish(slot, result),
                Err(error) => {
                    let kind = self.kind_of_end(qos, error.kind());
                    let is_same = kind == error.kind();
                    let error = if is_same { error } else { kind.into() };
                    self.finish_publish(slot, Err(error));
                }
            }
        }
        self.operations.wake(Watch::Room, &mut self.wakes);
    }
}

fn own(event: MachineEvent<'_, Message>) -> Happened {
    match event {
        MachineEvent::Message { message, token } => Happened::Message(message, token),
        MachineEvent::Completed { op, outcome } => completed(op, outcome),
        MachineEvent::Connected(connack) => Happened::Connected(connack.properties.into()),
        MachineEvent::Disconnected { cause, properties } => {
            Happened::Disconnected(cause, properties.into())
        }
        _ => Happened::Nothing,
    }
}

fn completed(op: Op, outcome: MachineOutcome<'_>) -> Happened {
    Happened::Published(
        op,
        match outcome {
            MachineOutcome::Accepted => Ok(Delivered::accepted()),
            MachineOutcome::Delivered {
                reason,
                acknowledgement,
            } => Ok(Delivered::acknowledged(reason, acknowledgement.properties)),
            MachineOutcome::Rejected(acknowledgement) => Err(rejected(&acknowledgement)),
            MachineOutcome::Unknown => Err(PublishErrorKind::Unknown.into()),
            MachineOutcome::NotSent => Err(PublishErrorKind::NotSent.into()),
            MachineOutcome::Expired => Err(PublishErrorKind::Expired.into()),
            MachineOutcome::LimitExceeded(limit) => Err(super::publishing::error_of(limit)),
            MachineOutcome::Subscribed(answer) | MachineOutcome::Unsubscribed(answer) => {
                return Happened::Answered(
                    op,
                    answer.reasons.iter().collect(),
                    answer.properties.into(),
                );
            }
            _ => return Happened::Lost(op),
        },
    )
}

fn rejected(acknowledgement: &Acknowledgement<'_>) -> PublishError {
    let Acknowledgement {
        reason, properties, ..
    } = *acknowledgement;
    let answer = Answer {
        reason,
        properties: copy(properties),
        results: Vec::new(),
    };
    PublishError::new(PublishErrorKind::Rejected, Detail::Answer(answer))
}

fn copy(properties: Properties<'_>) -> PropertyBuffer {
    PropertyBuffer::from(properties)
}

/// How many events a caller handles that only wanted to write.
const EVENTS_PER_TRANSMIT: usize = 16;
