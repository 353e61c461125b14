//! Received messages: who gets them, what a full queue does, when they are acknowledged.

use super::Engine;
use super::delivery::Answered;
use super::notices::Event;
use super::registry::{Entry, Local};
use crate::options::{AckMode, OnDrop, Overflow};
use crate::planted::planted;
use crate::slab::Key;
use crate::subscription_id::SubscriptionId;
use mqtt5_proto::{AckToken, Instant, Message, RejectReason};
use std::collections::VecDeque;

/// What a subscription found in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The batch was filled.
    Some,
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    Ended,
}

impl Engine {
    /// Hands a message to every subscription that it matches.
    pub(super) fn deliver(&mut self, now: Instant, message: Message, token: Option<AckToken>) {
        self.statistics.messages_received += 1;
        self.registry.route(&message);
        if self.registry.targets().is_empty() {
            self.statistics.messages_unmatched += 1;
            let Some(unmatched) = self.unmatched else {
                // Acknowledged in its turn all the same [MQTT-4.5.0-2]. Whoever closes leaves it to the next connection.
                if let Some(token) = token.filter(|_| !self.is_closed()) {
                    self.machine.ack(now, token);
                }
                return;
            };
            self.registry.fall_back_to(unmatched);
        }
        let targets = self.registry.targets().len();
        let hold = token.and_then(|token| self.hold(now, &message, token));
        let others = if planted!(DeliverToOne) { 1 } else { targets };
        for index in 1..others {
            self.enqueue(now, index, message.clone(), hold);
        }
        self.enqueue(now, 0, message, hold);
        self.update_pause(now);
    }

    /// The batch that a subscription fetched is used up: its messages cease to count.
    pub(crate) fn return_batch(&mut self, now: Instant, subscription: Key) {
        let Some(local) = self.registry.local_mut(subscription) else {
            return;
        };
        let returned = core::mem::take(&mut local.lent);
        local.load.remove(returned);
        if !local.load.is_full_for(0, local.behaviour.bound) {
            self.registry.set_pausing(subscription, false);
        }
        self.update_pause(now);
    }

    /// Moves the queue of a subscription into `batch`, which must be used up and [returned](Self::return_batch).
    pub(crate) fn fetch(&mut self, subscription: Key, batch: &mut VecDeque<Entry>) -> Fetched {
        let Some(local) = self.registry.local_mut(subscription) else {
            return Fetched::Ended;
        };
        match (local.queue.is_empty(), local.ended) {
            (false, _) => {
                core::mem::swap(&mut local.queue, batch);
                local.lent = local.load;
                local.chunks = Chunks::default();
                Fetched::Some
            }
            (true, false) => Fetched::Empty,
            (true, true) => Fetched::Ended,
        }
    }

    /// Answers for one subscription that has taken a message; `false` when the message must not be handed over any more.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        subscription: Key,
        hold: Key,
        refusal: Option<RejectReason>,
    ) -> bool {
        match self.held.answer(hold, subscription, refusal) {
            Answered::Stale => return false,
            Answered::Open => {}
            Answered::Settled(token, None) => self.machine.ack(now, token),
            Answered::Settled(token, Some(reason)) => self.machine.reject(now, token, reason),
        }
        self.update_pause(now);
        true
    }

    /// A message is handed over that will be answered later; `false` when it must not be handed over any more.
    pub(crate) fn take_held(&mut self, hold: Key) -> bool {
        self.held.hand_over(hold)
    }

    /// A message that was taken is to be taken again.
    pub(crate) fn put_back(&mut self, hold: Key) {
        self.held.put_back(hold);
    }

    /// Takes a message and answers for it at once; `false` when it must not be handed over any more.
    pub(crate) fn take_and_answer(&mut self, now: Instant, subscription: Key, hold: Key) -> bool {
        self.take_held(hold) && self.answer(now, subscription, hold, None)
    }

    /// A message that was taken for manual acknowledgement went away unanswered.
    pub(crate) fn abandon(&mut self, now: Instant, subscription: Key, hold: Key, on_drop: OnDrop) {
        if !self.held.contains(hold) {
            return;
        }
        let id = SubscriptionId::new(subscription);
        self.tell(Event::Unanswered { subscription: id });
        match on_drop {
            OnDrop::Reject(reason) => drop(self.answer(now, subscription, hold, Some(reason))),
            OnDrop::Hold => self.held.abandon(hold, subscription),
        }
    }

    /// Answers for what a subscription leaves behind [MQTT-4.5.0-2].
    pub(crate) fn release(&mut self, now: Instant, subscription: Key, entries: &VecDeque<Entry>) {
        for hold in entries.iter().filter_map(|entry| entry.hold) {
            self.take_and_answer(now, subscription, hold);
        }
    }

    /// Holds the acknowledgement until all who wait for it have answered; `None` when none does.
    fn hold(&mut self, now: Instant, message: &Message, token: AckToken) -> Option<Key> {
        let registry = &self.registry;
        let waits = |key: &Key| {
            registry
                .local(*key)
                .is_some_and(|local| local.behaviour.ack_mode != AckMode::OnArrival)
        };
        if planted!(AcknowledgeEarly) {
            self.machine.ack(now, token);
            return None;
        }
        let mut waiting = registry.targets().iter().copied().filter(waits);
        let Some(first) = waiting.next() else {
            self.machine.ack(now, token);
            return None;
        };
        let others: Vec<Key> = waiting.collect();
        let is_seen = 1 + others.len() < registry.targets().len();
        let bytes = message.encoded_len();
        let held = self.held.insert(now, token, bytes, (first, others));
        if is_seen {
            self.held.touch(held);
        }
        Some(held)
    }

    fn enqueue(&mut self, now: Instant, index: usize, message: Message, hold: Option<Key>) {
        let Some(key) = self.registry.targets().get(index).copied() else {
            return;
        };
        let Some(local) = self.registry.local_mut(key) else {
            return;
        };
        let hold = hold.filter(|_| local.behaviour.ack_mode != AckMode::OnArrival);
        let bytes = message.encoded_len();
        let bound = local.behaviour.bound;
        if hold.is_none() && !self.make_room(now, key, &message) {
            return;
        }
        let Some(local) = self.registry.local_mut(key) else {
            return;
        };
        let is_counted = hold.is_none();
        if is_counted {
            local.load.add(bytes);
        }
        local.push(Entry {
            message,
            hold,
            arrived: now,
        });
        if !planted!(ForgetConsumerWaker) {
            self.wakes.extend(local.waker.take());
        }
        let pauses = local.overflow() == Overflow::Pause && local.load.is_full_for(0, bound);
        if is_counted && pauses {
            self.registry.set_pausing(key, true);
        }
    }

    /// Sees to it that a message fits into a full queue, as its subscription says; `false` when the message itself was dropped. A queue
    /// that is empty takes every message.
    fn make_room(&mut self, now: Instant, key: Key, message: &Message) -> bool {
        let bytes = message.encoded_len();
        while let Some(local) = self.registry.local_mut(key) {
            let is_full = local.load.is_full_for(bytes, local.behaviour.bound);
            if !is_full || local.load.messages == 0 || local.overflow() == Overflow::Pause {
                return true;
            }
            let oldest = match local.overflow() {
                Overflow::DropOldest => local.drop_oldest(),
                _ => None,
            };
            match &oldest {
                Some(oldest) => self.count_dropped(now, key, &oldest.message, oldest.arrived),
                None => self.count_dropped(now, key, message, now),
            }
            if oldest.is_none() {
                return false;
            }
        }
        true
    }

    /// A subscription loses a message: that is counted, told, and shown to who wants to see it.
    pub(super) fn count_dropped(
        &mut self,
        now: Instant,
        subscription: Key,
        message: &Message,
        arrived: Instant,
    ) {
        self.statistics.messages_dropped += 1;
        let Some(local) = self.registry.local_mut(subscription) else {
            return;
        };
        local.dropped.keep(message, arrived);
        if local.dropped.count(now) {
            self.tell_slow(subscription);
        }
    }
}

impl Local {
    /// Queues a message. When the queue keeps far more memory alive than it holds, its small messages get memory of their own.
    fn push(&mut self, entry: Entry) {
        let bytes = entry.message.encoded_len();
        let block = entry.message.payload().as_ptr().addr() / CHUNK;
        if self.chunks.last_block != block {
            self.chunks.last_block = block;
            self.chunks.kept += CHUNK.max(bytes);
        }
        self.chunks.used += bytes;
        self.queue.push_back(entry);
        if self.chunks.kept > self.behaviour.bound.bytes && self.chunks.kept > 2 * self.chunks.used
        {
            for entry in self
                .queue
                .iter_mut()
                .skip(self.chunks.detached)
                .filter(|entry| entry.message.encoded_len() < CHUNK / 2)
            {
                entry.message = entry.message.detach();
            }
            self.chunks.detached = self.queue.len();
            self.chunks.kept = self.chunks.used;
        }
    }

    /// Where a full queue stands still nobody may be able to empty it yet.
    fn overflow(&self) -> Overflow {
        match self.behaviour.overflow {
            Overflow::Pause if self.awaited => Overflow::DropNewest,
            overflow => overflow,
        }
    }

    /// Takes out those messages that an acknowledgement waits for of which `which` says so.
    pub(super) fn take_held(&mut self, which: impl Fn(Key) -> bool) -> Vec<(Key, Entry)> {
        let mut taken = Vec::new();
        for entry in core::mem::take(&mut self.queue) {
            match entry.hold.filter(|hold| which(*hold)) {
                Some(hold) => taken.push((hold, entry)),
                None => self.queue.push_back(entry),
            }
        }
        self.chunks.detached = 0;
        taken
    }

    /// Takes the oldest message out that no acknowledgement waits for, if there is one.
    fn drop_oldest(&mut self) -> Option<Entry> {
        let at = self.queue.iter().position(|entry| entry.hold.is_none())?;
        let entry = self.queue.remove(at)?;
        let bytes = entry.message.encoded_len();
        self.load
            .remove(super::registry::Load { messages: 1, bytes });
        self.chunks.used = self.chunks.used.saturating_sub(bytes);
        self.chunks.detached = self.chunks.detached.saturating_sub(1);
        Some(entry)
    }
}

/// What a queue keeps alive of receive chunks. Messages of one chunk lie close together, so that a change of the block of
/// addresses stands for another chunk.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    last_block: usize,
    /// Bytes kept alive, as an estimate from above.
    kept: usize,
    /// Bytes of the messages themselves.
    used: usize,
    /// How many messages at the front have memory of their own.
    detached: usize,
}

/// The size of the largest receive chunk that holds several packets.
const CHUNK: usize = 256 * 1024;
