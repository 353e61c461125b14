//! Messages that wait for a connection, or behind such.

use super::publishing::Draft;
use super::registry::Load;
use crate::error::PublishErrorKind;
use crate::options::Bound;
use crate::planted::planted;
use crate::properties::seconds;
use crate::slab::Key;
use bytes::Bytes;
use mqtt5_proto::{Instant, Outbound, Payload, Property, PropertyBuffer, QoS, TopicName};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// A message of its own.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its place: messages leave in the order of their numbers.
    number: u64,
    topic: Box<str>,
    pub(super) qos: QoS,
    retain: bool,
    alias: bool,
    properties: PropertyBuffer,
    payload: Bytes,
    expires: Option<Instant>,
    /// When it is gone if it was not sent.
    ends: Option<Instant>,
    /// A newer retained message of its topic takes its place.
    is_superseded: bool,
    /// It makes room for others when the queue is full.
    is_droppable: bool,
    /// It is QoS 0 and complete when it is written.
    pub(super) until_written: bool,
    pub(super) slot: Key,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<Kept>,
    numbers: u64,
    load: Load,
    /// Those whose time ends.
    expiries: BTreeSet<(Instant, u64)>,
    /// The last retained message of each topic, where only that is wanted.
    retained: HashMap<Box<str>, u64>,
    /// Those that make room for others.
    droppable: BTreeSet<u64>,
    droppable_load: Load,
}

impl Kept {
    /// A copy of a message, to wait under this slot; whether it gives way to newer ones of its topic, and to others when the queue is full.
    pub(super) fn new(
        now: Instant,
        draft: &Draft<'_>,
        properties: PropertyBuffer,
        slot: Key,
        (is_superseded, is_droppable): (bool, bool),
    ) -> Self {
        let outbound = &draft.outbound;
        Self {
            number: 0,
            topic: outbound.topic.as_str().into(),
            qos: outbound.qos,
            retain: outbound.retain,
            alias: outbound.alias,
            properties,
            payload: match &outbound.payload {
                Payload::Shared(bytes) => bytes.clone(),
                Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            },
            expires: draft.expires(now),
            ends: draft.ends(now),
            is_superseded,
            is_droppable,
            until_written: draft.until_written,
            slot,
        }
    }

    fn load(&self) -> Load {
        Load {
            messages: 1,
            bytes: size_of(&self.topic, &self.properties, &self.payload),
        }
    }

    /// The message as the machine takes it, with the time that it has left (3.3.2.3.3).
    pub(super) fn outbound(&mut self, now: Instant) -> Result<Outbound<'_>, PublishErrorKind> {
        if let Some(expires) = self.expires {
            if expires <= now {
                return Err(PublishErrorKind::Expired);
            }
            let left = seconds(expires.saturating_duration_since(now));
            let aged = self
                .properties
                .push(Property::MessageExpiryInterval(left))
                .is_ok();
            debug_assert!(aged, "there was an interval before");
        }
        Ok(Outbound {
            topic: TopicName::new(&self.topic)
                .unwrap_or_else(|_| unreachable!("checked before it was accepted")),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.as_properties(),
            payload: Payload::Shared(self.payload.clone()),
            alias: self.alias,
        })
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The QoS of the first message.
    pub(super) fn next_qos(&self) -> Option<QoS> {
        self.queue.front().map(|kept| kept.qos)
    }

    /// Whether so many bytes more would pass the bound; the message of this number makes room.
    pub(super) fn is_full_for(&self, bytes: usize, bound: Bound, superseded: Option<u64>) -> bool {
        let mut load = self.load;
        if let Some(older) = superseded.and_then(|number| self.get(number)) {
            load.remove(older.load());
        }
        load.is_full_for(bytes, bound)
    }

    /// The number of the retained message that this one makes needless: the last of its topic, unless that is surer to arrive.
    pub(super) fn superseded_by(
        &self,
        now: Instant,
        draft: &Draft<'_>,
        is_droppable: bool,
    ) -> Option<u64> {
        let outbound = &draft.outbound;
        let number = *self.retained.get(outbound.topic.as_str())?;
        let older = self.get(number)?;
        let outlasts = match (draft.ends(now), older.ends) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(newer), Some(older)) => newer >= older,
        };
        let stays = older.is_droppable || !is_droppable;
        (outbound.qos >= older.qos && outlasts && stays).then_some(number)
    }

    /// Takes the number of the next message.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Takes out the oldest message that may be dropped; `None` when not even all of those would make room for so many bytes.
    pub(super) fn drop_oldest(&mut self, bytes: usize, bound: Bound) -> Option<Kept> {
        let oldest = *self.droppable.first()?;
        let mut rest = self.load;
        rest.remove(self.droppable_load);
        if rest.is_full_for(bytes, bound) {
            return None;
        }
        self.remove(oldest)
    }

    /// Adds a message at the end, under the [next number](Self::next_number).
    pub(super) fn push(&mut self, kept: Kept) {
        let number = self.numbers;
        let kept = Kept { number, ..kept };
        self.count(&kept);
        self.queue.push_back(kept);
    }

    pub(super) fn pop(&mut self) -> Option<Kept> {
        let kept = if planted!(ReorderWaiting) {
            self.queue.pop_back()?
        } else {
            self.queue.pop_front()?
        };
        self.discount(&kept);
        if self.queue.is_empty() && self.queue.capacity() > 1024 {
            *self = Self {
                numbers: self.numbers,
                ..Self::default()
            };
        }
        Some(kept)
    }

    /// Puts back what was popped last.
    pub(super) fn put_back(&mut self, kept: Kept) {
        self.count(&kept);
        self.queue.push_front(kept);
    }

    /// Takes one message out of its place.
    pub(super) fn remove(&mut self, number: u64) -> Option<Kept> {
        let kept = self.queue.remove(self.find(number)?)?;
        self.discount(&kept);
        Some(kept)
    }

    /// When the first of them expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expiry, _)| *expiry)
    }

    /// Takes out a message whose time has come.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<Kept> {
        let &(expiry, number) = self.expiries.first()?;
        if expiry > now {
            return None;
        }
        self.remove(number)
    }

    fn get(&self, number: u64) -> Option<&Kept> {
        self.queue.get(self.find(number)?)
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.queue
            .binary_search_by_key(&number, |kept| kept.number)
            .ok()
    }

    fn count(&mut self, kept: &Kept) {
        self.load.add(kept.load().bytes);
        let expiry = kept.expires.map(|expiry| (expiry, kept.number));
        self.expiries.extend(expiry);
        if kept.is_superseded {
            let last = self.retained.entry(kept.topic.clone()).or_default();
            *last = kept.number.max(*last);
        }
        if kept.is_droppable {
            self.droppable.insert(kept.number);
            self.droppable_load.add(kept.load().bytes);
        }
    }

    fn discount(&mut self, kept: &Kept) {
        self.load.remove(kept.load());
        if let Some(expiry) = kept.expires {
            self.expiries.remove(&(expiry, kept.number));
        }
        if kept.is_superseded && self.retained.get(&kept.topic) == Some(&kept.number) {
            self.retained.remove(&kept.topic);
        }
        if kept.is_droppable {
            self.droppable.remove(&kept.number);
            self.droppable_load.remove(kept.load());
        }
    }
}

/// What a message that waits counts for.
pub(super) fn size_of(topic: &str, properties: &PropertyBuffer, payload: &[u8]) -> usize {
    topic.len() + properties.encoded_len() + payload.len() + MESSAGE_OVERHEAD
}

/// What a message costs beyond its own bytes, so that empty messages do not come for free.
const MESSAGE_OVERHEAD: usize = 64;
