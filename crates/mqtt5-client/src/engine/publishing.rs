//! Outbound messages: into the machine, or into the queue that waits for it.

use super::offline::{Kept, size_of};
use super::operations::{Outcome, Stage, Watch};
use super::{Engine, Owner, State};
use crate::delivered::Delivered;
use crate::error::{Detail, PublishError, PublishErrorKind};
use crate::options::{Congestion, Offline, QueueFull};
use crate::planted::planted;
use crate::slab::Key;
use core::task::Waker;
use core::time::Duration;
use mqtt5_proto::{EncodeError, Instant, Op, Outbound, Progress, PropertyBuffer, QoS, Refused};

/// A message that a caller wants to publish, checked as far as that needs no lock.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) outbound: Outbound<'a>,
    pub(crate) deadline: Option<Instant>,
    /// QoS 0 is complete when it is written, not when it is accepted.
    pub(crate) until_written: bool,
}

impl Draft<'_> {
    /// When it expires, counted from now (3.3.2.3.3).
    pub(super) fn expires(&self, now: Instant) -> Option<Instant> {
        let interval = self.outbound.properties.message_expiry_interval();
        interval.map(|interval| now + Duration::from_secs(interval.into()))
    }

    /// When nobody wants it any more, if it was not sent by then.
    pub(super) fn ends(&self, now: Instant) -> Option<Instant> {
        self.expires(now).into_iter().chain(self.deadline).min()
    }
}

/// What became of a message that was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Accepted {
    /// Nothing is left to wait for.
    Done,
    /// The slot will tell.
    Open(Key),
}

/// Why a message was not accepted.
#[derive(Debug)]
pub(crate) enum NotAccepted {
    /// There is no room now; there may be later.
    NoRoom,
    Refused(PublishError),
}

impl From<PublishErrorKind> for NotAccepted {
    fn from(kind: PublishErrorKind) -> Self {
        Self::Refused(kind.into())
    }
}

impl Engine {
    /// Takes a message, or says why not. `waker` goes into the slot if there is one; otherwise it is left where it is.
    pub(crate) fn publish(
        &mut self,
        now: Instant,
        draft: &Draft<'_>,
        waker: &mut Option<Waker>,
    ) -> Result<Accepted, NotAccepted> {
        if self.is_closed() {
            return Err(PublishErrorKind::Closed.into());
        }
        let outbound = &draft.outbound;
        let deadline = draft.deadline;
        // Before CONNACK only QoS 0 leaves, which has no order to keep with what waits.
        let is_next = self.waiting.is_empty() || self.state() == State::Handshaking;
        let is_open = self.is_open_for(outbound.qos);
        let must_not_wait = is_open
            && outbound.qos == QoS::AtMostOnce
            && self.config.congestion_qos0 == Congestion::Fail;
        let is_congested = self.machine.unsent() >= UNSENT;
        if must_not_wait && (is_congested || !is_next || self.machine.pending() > 0) {
            return Err(PublishErrorKind::WouldBlock.into());
        }
        let is_lost = planted!(LoseQos0) && outbound.qos == QoS::AtMostOnce;
        if is_open && is_lost {
            return Ok(Accepted::Done);
        }
        if is_open && is_next {
            // The caller keeps its message until it can be encoded at once: a copy would cost an allocation. Behind
            // others that wait it takes its place, so that they cannot hold it back for ever.
            if outbound.qos == QoS::AtMostOnce && self.machine.pending() == 0 && is_congested {
                return Err(NotAccepted::NoRoom);
            }
            let (op, encoded) =
                self.enter(now, outbound)
                    .map_err(|refused| match self.refused(refused) {
                        NotAccepted::NoRoom if must_not_wait => PublishErrorKind::WouldBlock.into(),
                        refused => refused,
                    })?;
            if must_not_wait && !encoded && self.machine.withdraw(op) {
                // What is sent again on this connection comes first.
                self.statistics.publishes_accepted -= 1;
                return Err(PublishErrorKind::WouldBlock.into());
            }
            if outbound.qos == QoS::AtMostOnce && encoded && !draft.until_written {
                if planted!(ForgetQos0Waker) {
                    self.driver.writer = None;
                }
                return Ok(Accepted::Done);
            }
            let slot = self.open_timed(Stage::InMachine(op), deadline, waker.take());
            self.entered(slot, outbound.qos, draft.until_written, op, encoded);
            return Ok(Accepted::Open(slot));
        }
        let policy = if outbound.qos == QoS::AtMostOnce {
            self.config.offline_qos0
        } else {
            self.config.offline_qos12
        };
        if self.state() != State::Online && policy == Offline::Fail {
            return Err(PublishErrorKind::NotConnected.into());
        }
        self.keep(now, draft, policy, waker).map(Accepted::Open)
    }

    /// Takes a message back that was never encoded.
    pub(crate) fn withdraw(&mut self, slot: Key, outcome: PublishErrorKind) -> bool {
        let withdrawn = match self.operations.stage(slot) {
            Some(Stage::Waiting(number)) => self.waiting.remove(number).is_some(),
            Some(Stage::InMachine(op)) => {
                let withdrawn = self.machine.withdraw(op);
                if withdrawn || planted!(WithdrawEncoded) {
                    self.owners.remove(&op);
                }
                withdrawn || planted!(WithdrawEncoded)
            }
            _ => false,
        };
        if withdrawn {
            self.operations.finish(
                slot,
                Outcome::Published(Err(outcome.into())),
                &mut self.wakes,
            );
            self.operations.wake(Watch::Room, &mut self.wakes);
            self.driver.news = true;
        }
        withdrawn
    }

    /// How far a publish in the machine has come; `None` for a QoS 0 publish that is encoded.
    pub(crate) fn progress(&self, op: Op) -> Option<Progress> {
        self.machine.progress(op)
    }

    /// Moves waiting messages into the machine, as many as it takes.
    pub(super) fn pump_waiting(&mut self, now: Instant) {
        let mut moved = false;
        while self
            .waiting
            .next_qos()
            .is_some_and(|qos| self.is_open_for(qos))
        {
            let Some(mut kept) = self.waiting.pop() else {
                break;
            };
            let outbound = match kept.outbound(now) {
                Ok(outbound) => outbound,
                Err(kind) => {
                    self.finish_publish(kept.slot, Err(kind.into()));
                    moved = true;
                    continue;
                }
            };
            match self.enter(now, &outbound) {
                Ok((op, encoded)) => {
                    self.entered(kept.slot, kept.qos, kept.until_written, op, encoded);
                }
                Err(Refused::Full | Refused::PacketIdsExhausted) => {
                    self.waiting.put_back(kept);
                    break;
                }
                Err(refused) => self.finish_publish(kept.slot, Err(error_of(refused))),
            }
            moved = true;
        }
        if moved {
            self.operations.wake(Watch::Room, &mut self.wakes);
        }
    }

    /// Ends the messages whose time has come while they wait.
    pub(super) fn expire_waiting(&mut self, now: Instant) {
        while let Some(kept) = self.waiting.pop_expired(now) {
            self.finish_publish(kept.slot, Err(PublishErrorKind::Expired.into()));
            self.operations.wake(Watch::Room, &mut self.wakes);
        }
    }

    /// Ends every message that waits.
    pub(super) fn fail_waiting(&mut self) {
        while let Some(kept) = self.waiting.pop() {
            self.finish_publish(kept.slot, Err(PublishErrorKind::NotSent.into()));
        }
    }

    pub(super) fn finish_publish(&mut self, slot: Key, result: Result<Delivered, PublishError>) {
        self.operations
            .finish(slot, Outcome::Published(result), &mut self.wakes);
    }

    /// Gives a message to the machine; tells whether it was encoded at once.
    fn enter(&mut self, now: Instant, outbound: &Outbound<'_>) -> Result<(Op, bool), Refused> {
        let pending = self.machine.pending();
        let op = self.machine.publish(now, outbound)?;
        self.statistics.publishes_accepted += 1;
        let encoded = self.machine.pending() == pending;
        if !encoded {
            // It may expire before anything else is due.
            if let Some((deadline, _)) = self.machine.poll_timeout() {
                self.arm(deadline);
            }
        }
        Ok((op, encoded))
    }

    /// A message is in the machine: tells its slot what it waits for now.
    fn entered(&mut self, slot: Key, qos: QoS, until_written: bool, op: Op, encoded: bool) {
        if qos == QoS::AtMostOnce && encoded {
            self.encoded(slot, until_written);
        } else if self.operations.stage(slot).is_some() {
            self.operations.set_stage(slot, Stage::InMachine(op));
            let owner = Owner::Publish {
                slot,
                qos,
                until_written,
            };
            self.owners.insert(op, owner);
        }
    }

    /// A QoS 0 message is encoded, and it was the last to be.
    pub(super) fn encoded(&mut self, slot: Key, until_written: bool) {
        if until_written {
            self.operations.set_stage(slot, Stage::Writing);
            self.writing
                .push_back((self.machine.queued_position(), slot));
        } else {
            self.finish_publish(slot, Ok(Delivered::accepted()));
        }
    }

    /// Bytes have left: ends the QoS 0 publishes that waited for that.
    pub(super) fn note_written(&mut self) {
        let sent = self.machine.sent_position();
        while let Some((_, slot)) = self
            .writing
            .front()
            .copied()
            .filter(|(end, _)| *end <= sent)
        {
            self.writing.pop_front();
            self.finish_publish(slot, Ok(Delivered::accepted()));
        }
    }

    /// The connection is over: what it has not written it never will.
    pub(super) fn fail_writing(&mut self) {
        for (_, slot) in core::mem::take(&mut self.writing) {
            self.finish_publish(slot, Err(PublishErrorKind::NotSent.into()));
        }
    }

    /// Whether messages of this QoS go to the machine now.
    fn is_open_for(&self, qos: QoS) -> bool {
        match self.state() {
            State::Online => true,
            State::Handshaking => self.config.publish_early && qos == QoS::AtMostOnce,
            _ => false,
        }
    }

    /// Keeps a message until there is a connection, or behind others that wait.
    fn keep(
        &mut self,
        now: Instant,
        draft: &Draft<'_>,
        policy: Offline,
        waker: &mut Option<Waker>,
    ) -> Result<Key, NotAccepted> {
        let outbound = &draft.outbound;
        let topic = outbound.topic.as_str();
        let bound = self.config.offline_queue;
        let properties = PropertyBuffer::from(outbound.properties);
        let bytes = size_of(topic, &properties, outbound.payload.as_slice());
        if bytes > bound.bytes {
            return Err(PublishErrorKind::TooLarge.into());
        }
        let is_droppable = policy == Offline::Queue(QueueFull::DropOldest);
        let compacts = outbound.retain && self.config.compact_retained;
        let superseded = if compacts {
            self.waiting.superseded_by(now, draft, is_droppable)
        } else {
            None
        };
        while !planted!(IgnoreOfflineBound) && self.waiting.is_full_for(bytes, bound, superseded) {
            match policy {
                Offline::Wait | Offline::Fail => return Err(NotAccepted::NoRoom),
                Offline::Queue(QueueFull::Refuse) => {
                    return Err(PublishErrorKind::QueueFull.into());
                }
                Offline::Queue(QueueFull::DropOldest) => {
                    let oldest = self.waiting.drop_oldest(bytes, bound);
                    let Some(oldest) = oldest else {
                        return Err(PublishErrorKind::QueueFull.into());
                    };
                    self.finish_publish(oldest.slot, Err(PublishErrorKind::Dropped.into()));
                }
            }
        }
        if let Some(older) = superseded.and_then(|number| self.waiting.remove(number)) {
            self.finish_publish(older.slot, Err(PublishErrorKind::Superseded.into()));
        }
        let stage = Stage::Waiting(self.waiting.next_number());
        let slot = self.open_timed(stage, draft.deadline, waker.take());
        let fate = (compacts, is_droppable);
        let kept = Kept::new(now, draft, properties, slot, fate);
        self.waiting.push(kept);
        self.waiting
            .next_expiry()
            .into_iter()
            .for_each(|at| self.arm(at));
        Ok(slot)
    }

    fn refused(&self, refused: Refused) -> NotAccepted {
        match refused {
            // Nothing is under way that could make room: the message is too large for the machine as it is configured.
            Refused::Full if self.machine.pending() == 0 && self.machine.in_flight() == 0 => {
                PublishErrorKind::TooLarge.into()
            }
            Refused::Full | Refused::PacketIdsExhausted => NotAccepted::NoRoom,
            refused => NotAccepted::Refused(error_of(refused)),
        }
    }
}

pub(super) fn error_of(refused: Refused) -> PublishError {
    match refused {
        Refused::Encode(error @ EncodeError::PacketTooLarge) => {
            PublishError::new(PublishErrorKind::TooLarge, Detail::Encode(error))
        }
        Refused::Encode(error) => {
            PublishError::new(PublishErrorKind::InvalidProperty, Detail::Encode(error))
        }
        refused => kind_of(refused).into(),
    }
}

fn kind_of(refused: Refused) -> PublishErrorKind {
    match refused {
        Refused::QoSNotSupported(_) => PublishErrorKind::QoSNotSupported,
        Refused::RetainNotSupported => PublishErrorKind::RetainNotSupported,
        Refused::PropertyNotSupported(_) => PublishErrorKind::InvalidProperty,
        Refused::TooLarge { .. } => PublishErrorKind::TooLarge,
        _ => PublishErrorKind::NotSent,
    }
}

/// The machine encodes no PUBLISH while so many bytes are unsent.
const UNSENT: usize = 64 * 1024;
