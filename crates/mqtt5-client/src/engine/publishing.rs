//! Outbound messages: into the machine, or into the queue that waits for it.

use super::operations::{Outcome, Stage, Watch};
use super::registry::Load;
use super::{Engine, Owner, State};
use crate::delivered::Delivered;
use crate::error::{Detail, PublishError, PublishErrorKind};
use crate::options::Offline;
use crate::properties::seconds;
use crate::slab::Key;
use bytes::Bytes;
use core::task::Waker;
use core::time::Duration;
use mqtt5_proto::{
    EncodeError, Instant, Op, Outbound, Payload, Property, PropertyBuffer, QoS, Refused, TopicName,
};
use std::collections::{BTreeSet, VecDeque};

/// A message that a caller wants to publish, checked as far as that needs no lock.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) outbound: Outbound<'a>,
    pub(crate) deadline: Option<Instant>,
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

/// Messages that wait for a connection, or behind such.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<Kept>,
    load: Load,
    /// Those whose time ends.
    expiries: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
struct Kept {
    topic: Box<str>,
    qos: QoS,
    retain: bool,
    properties: PropertyBuffer,
    payload: Bytes,
    expires: Option<Instant>,
    slot: Key,
}

impl Kept {
    fn len(&self) -> usize {
        size(&self.topic, &self.properties, &self.payload)
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When the first of them expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expiry, _)| *expiry)
    }

    fn pop(&mut self) -> Option<Kept> {
        let kept = self.queue.pop_front()?;
        self.discount(&kept);
        if self.queue.is_empty() && self.queue.capacity() > 1024 {
            self.queue = VecDeque::new();
        }
        Some(kept)
    }

    fn push_back(&mut self, kept: Kept) {
        self.count(&kept);
        self.queue.push_back(kept);
    }

    fn push_front(&mut self, kept: Kept) {
        self.count(&kept);
        self.queue.push_front(kept);
    }

    fn count(&mut self, kept: &Kept) {
        self.load.add(kept.len());
        let expiry = kept.expires.map(|expiry| (expiry, kept.slot));
        self.expiries.extend(expiry);
    }

    fn discount(&mut self, kept: &Kept) {
        self.load.remove(Load {
            messages: 1,
            bytes: kept.len(),
        });
        if let Some(expiry) = kept.expires {
            self.expiries.remove(&(expiry, kept.slot));
        }
    }

    /// Takes one message out of its place.
    fn remove(&mut self, slot: Key) -> bool {
        let found = self.queue.iter().position(|kept| kept.slot == slot);
        let Some(kept) = found.and_then(|at| self.queue.remove(at)) else {
            return false;
        };
        self.discount(&kept);
        true
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
        if self.state() == State::Online && self.waiting.is_empty() {
            // The caller keeps its message until it can be encoded at once: a copy would cost an allocation. Behind
            // others that wait it takes its place, so that they cannot hold it back for ever.
            if outbound.qos == QoS::AtMostOnce
                && self.machine.pending() == 0
                && self.machine.unsent() >= UNSENT
            {
                return Err(NotAccepted::NoRoom);
            }
            let (op, encoded) = self
                .enter(now, outbound)
                .map_err(|refused| self.refused(refused))?;
            if outbound.qos == QoS::AtMostOnce && encoded {
                return Ok(Accepted::Done);
            }
            let slot = self.open_timed(Stage::InMachine(op), deadline, waker.take());
            self.owners.insert(op, Owner::Publish(slot));
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
        self.keep(now, outbound, deadline, waker)
            .map(Accepted::Open)
    }

    /// Takes a message back that was never encoded.
    pub(crate) fn withdraw(&mut self, slot: Key, outcome: PublishErrorKind) -> bool {
        let withdrawn = match self.operations.stage(slot) {
            Some(Stage::Waiting) => self.waiting.remove(slot),
            Some(Stage::InMachine(op)) => {
                let withdrawn = self.machine.withdraw(op);
                if withdrawn {
                    self.owners.remove(&op);
                }
                withdrawn
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

    /// Whether a publish is accepted but not yet encoded.
    pub(crate) fn is_unencoded(&self, op: Op) -> bool {
        self.machine.is_pending(op)
    }

    /// Moves waiting messages into the machine, as many as it takes.
    pub(super) fn pump_waiting(&mut self, now: Instant) {
        if self.state() != State::Online {
            return;
        }
        let mut moved = false;
        while let Some(mut kept) = self.waiting.pop() {
            if let Err(kind) = age(now, &mut kept) {
                self.finish_publish(kept.slot, Err(kind.into()));
                continue;
            }
            match self.hand_over(now, &kept) {
                Ok((op, encoded)) => self.entered(&kept, op, encoded),
                Err(Refused::Full | Refused::PacketIdsExhausted) => {
                    self.waiting.push_front(kept);
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
        while let Some(&(expiry, slot)) = self.waiting.expiries.first() {
            if expiry > now {
                return;
            }
            self.waiting.remove(slot);
            self.finish_publish(slot, Err(PublishErrorKind::Expired.into()));
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

    fn hand_over(&mut self, now: Instant, kept: &Kept) -> Result<(Op, bool), Refused> {
        let topic = TopicName::new(&kept.topic)
            .unwrap_or_else(|_| unreachable!("checked before it was accepted"));
        let outbound = Outbound {
            topic,
            qos: kept.qos,
            retain: kept.retain,
            properties: kept.properties.as_properties(),
            payload: Payload::Shared(kept.payload.clone()),
            alias: false,
        };
        self.enter(now, &outbound)
    }

    fn entered(&mut self, kept: &Kept, op: Op, encoded: bool) {
        if kept.qos == QoS::AtMostOnce && encoded {
            self.finish_publish(kept.slot, Ok(Delivered::accepted()));
        } else if self.operations.stage(kept.slot).is_some() {
            self.operations.set_stage(kept.slot, Stage::InMachine(op));
            self.owners.insert(op, Owner::Publish(kept.slot));
        }
    }

    fn keep(
        &mut self,
        now: Instant,
        outbound: &Outbound<'_>,
        deadline: Option<Instant>,
        waker: &mut Option<Waker>,
    ) -> Result<Key, NotAccepted> {
        let bound = self.config.offline_queue;
        let properties = PropertyBuffer::from(outbound.properties);
        let bytes = size(
            outbound.topic.as_str(),
            &properties,
            outbound.payload.as_slice(),
        );
        if bytes > bound.bytes {
            return Err(PublishErrorKind::TooLarge.into());
        }
        if self.waiting.load.is_full_for(bytes, bound) {
            return Err(NotAccepted::NoRoom);
        }
        let slot = self.open_timed(Stage::Waiting, deadline, waker.take());
        let expires = outbound.properties.message_expiry_interval();
        let expires = expires.map(|interval| now + Duration::from_secs(interval.into()));
        expires.into_iter().for_each(|expires| self.arm(expires));
        self.waiting.push_back(Kept {
            topic: outbound.topic.as_str().into(),
            qos: outbound.qos,
            retain: outbound.retain,
            properties,
            payload: match &outbound.payload {
                Payload::Shared(bytes) => bytes.clone(),
                Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            },
            expires,
            slot,
        });
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

/// What a message that waits counts for.
fn size(topic: &str, properties: &PropertyBuffer, payload: &[u8]) -> usize {
    topic.len() + properties.encoded_len() + payload.len() + MESSAGE_OVERHEAD
}

/// Counts the Message Expiry Interval down by the time spent waiting (3.3.2.3.3).
fn age(now: Instant, kept: &mut Kept) -> Result<(), PublishErrorKind> {
    let Some(expires) = kept.expires else {
        return Ok(());
    };
    if expires <= now {
        return Err(PublishErrorKind::Expired);
    }
    let left = Property::MessageExpiryInterval(seconds(expires.saturating_duration_since(now)));
    kept.properties
        .push(left)
        .map(drop)
        .map_err(|_| PublishErrorKind::InvalidProperty)
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
/// What a message costs beyond its own bytes, so that empty messages do not come for free.
const MESSAGE_OVERHEAD: usize = 64;
