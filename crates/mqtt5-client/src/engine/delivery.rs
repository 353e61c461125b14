//! Received messages whose acknowledgement waits for the application.

use crate::slab::{Key, Slab};
use mqtt5_proto::{AckToken, Instant, RejectReason};
use std::collections::{HashSet, VecDeque};

/// One message that is held, however many subscriptions have it.
#[derive(Debug)]
pub(super) struct HeldMessage {
    token: AckToken,
    /// One that has not answered, which is named when the message blocks others.
    subscription: Key,
    /// The others that have not.
    others: Vec<Key>,
    /// How many of all of them have not even taken it.
    waiting: usize,
    /// The first refusal among the answers.
    refusal: Option<RejectReason>,
    bytes: usize,
    arrived: Instant,
    /// It is held since an earlier connection.
    is_earlier: bool,
    told: bool,
    /// Somebody has taken it.
    touched: bool,
    /// Those who have taken it and will not answer.
    abandoned: Vec<Key>,
}

/// What an answer led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Others have still to answer.
    Open,
    /// That was the last one: this goes to the server.
    Settled(AckToken, Option<RejectReason>),
    /// The message is no longer held; its redelivery will be, if there is one.
    Stale,
}

/// All held messages, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: Slab<HeldMessage>,
    order: VecDeque<Key>,
    bytes: usize,
    /// How many are held since earlier connections.
    earlier: usize,
}

impl Held {
    pub(super) fn insert(
        &mut self,
        now: Instant,
        token: AckToken,
        bytes: usize,
        (subscription, others): (Key, Vec<Key>),
    ) -> Key {
        let key = self.messages.insert(HeldMessage {
            token,
            waiting: 1 + others.len(),
            subscription,
            others,
            refusal: None,
            bytes,
            arrived: now,
            is_earlier: false,
            told: false,
            touched: false,
            abandoned: Vec::new(),
        });
        self.forget_settled();
        self.order.push_back(key);
        self.bytes += bytes;
        key
    }

    /// A subscription answers.
    pub(super) fn answer(
        &mut self,
        key: Key,
        subscription: Key,
        refusal: Option<RejectReason>,
    ) -> Answered {
        let Some(message) = self.messages.get_mut(key) else {
            return Answered::Stale;
        };
        message.refusal = message.refusal.or(refusal);
        if let Some(other) = message.others.pop() {
            if message.subscription == subscription {
                message.subscription = other;
            } else if let Some(own) = message.others.iter_mut().find(|own| **own == subscription) {
                *own = other;
            }
            return Answered::Open;
        }
        let settled = Answered::Settled(message.token, message.refusal);
        self.earlier -= usize::from(message.is_earlier);
        self.bytes = self.bytes.saturating_sub(message.bytes);
        self.messages.remove(key);
        self.forget_settled();
        settled
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.messages.get(key).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many have arrived on this connection.
    pub(super) fn arrivals(&self) -> usize {
        self.messages.len() - self.earlier
    }

    /// A connection begins.
    pub(super) fn begin_connection(&mut self) {
        for (_, message) in self.messages.iter_mut() {
            message.is_earlier = true;
        }
        self.earlier = self.messages.len();
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest message will have blocked others for `patience`, unless that was told.
    pub(super) fn blocks_until(&self, patience: core::time::Duration) -> Option<Instant> {
        let oldest = self.oldest().filter(|message| !message.told)?;
        (self.messages.len() > 1).then(|| oldest.arrived + patience)
    }

    /// The subscription to name for the oldest message; each message is told of once.
    pub(super) fn tell_oldest(&mut self) -> Option<Key> {
        let key = self.order.front()?;
        let message = self
            .messages
            .get_mut(*key)
            .filter(|message| !message.told)?;
        message.told = true;
        Some(message.subscription)
    }

    /// Notes that somebody has a message who need not answer for it.
    pub(super) fn touch(&mut self, key: Key) {
        if let Some(message) = self.messages.get_mut(key) {
            message.touched = true;
        }
    }

    /// Notes that a subscription has taken a message; `false` when it is not held any more.
    pub(super) fn hand_over(&mut self, key: Key) -> bool {
        let Some(message) = self.messages.get_mut(key) else {
            return false;
        };
        message.waiting = message.waiting.saturating_sub(1);
        message.touched = true;
        true
    }

    /// Notes that a subscription has a message to take again that it had taken.
    pub(super) fn put_back(&mut self, key: Key) {
        if let Some(message) = self.messages.get_mut(key) {
            message.waiting += 1;
        }
    }

    /// Notes that a subscription has taken a message and will not answer for it.
    pub(super) fn abandon(&mut self, key: Key, subscription: Key) {
        if let Some(message) = self.messages.get_mut(key) {
            message.abandoned.push(subscription);
        }
    }

    /// Takes out what nobody has taken, where `comes_again` says that it may go.
    ///
    /// What arrived before a message that some have taken and others not stays as that one does: when it comes again, the others would get
    /// it too late.
    pub(super) fn discard_untouched(&mut self, mut comes_again: impl FnMut(AckToken) -> bool) {
        let stays = |message: &HeldMessage| message.touched && message.waiting > 0;
        let last = self
            .order
            .iter()
            .rposition(|key| self.messages.get(*key).is_some_and(stays));
        let first = last.map_or(0, |last| last + 1);
        self.take(first, |message| {
            !message.touched && comes_again(message.token)
        });
    }

    /// Takes out what nobody has taken and only those have who are `awaited`, where `comes_again` says that it may go.
    pub(super) fn discard_awaited(
        &mut self,
        awaited: impl Fn(Key) -> bool,
        mut comes_again: impl FnMut(AckToken) -> bool,
    ) {
        self.take(0, |message| {
            !message.touched && message.waits_only_for(&awaited) && comes_again(message.token)
        });
    }

    /// What those who are `awaited` must let go: where the session is resumed, what others have or have had, whose answer counts; and then
    /// the newest, until no more than `bound` bytes are held.
    pub(super) fn surplus(
        &self,
        awaited: impl Fn(Key) -> bool,
        is_resumed: bool,
        bound: usize,
    ) -> HashSet<Key> {
        let mut surplus = HashSet::new();
        let mut bytes = self.bytes;
        let newest = || {
            let keys = self.order.iter().rev();
            keys.filter_map(|key| Some((*key, self.messages.get(*key)?)))
        };
        for (key, message) in newest().filter(|_| is_resumed) {
            let is_left = message.waits_only_for(&awaited);
            if message.touched || !is_left {
                surplus.insert(key);
                bytes -= if is_left { message.bytes } else { 0 };
            }
        }
        for (key, message) in newest() {
            if bytes > bound && message.waits_only_for(&awaited) && surplus.insert(key) {
                bytes -= message.bytes;
            }
        }
        surplus
    }

    /// Whether somebody has taken a message and will not answer.
    pub(super) fn is_any_abandoned(&self) -> bool {
        let mut messages = self.messages.iter();
        messages.any(|(_, message)| !message.abandoned.is_empty())
    }

    /// Takes out what somebody has taken who will not answer, where `comes_again` says that it may go. Whoever else has it gets it again,
    /// too. Where it may not, gives it with those who will not answer: it is for the others alone from now on.
    pub(super) fn discard_abandoned(
        &mut self,
        mut comes_again: impl FnMut(AckToken) -> bool,
    ) -> Vec<(Key, Key)> {
        self.take(0, |message| {
            !message.abandoned.is_empty() && comes_again(message.token)
        });
        let left = self.messages.iter_mut().flat_map(|(key, message)| {
            let gone = core::mem::take(&mut message.abandoned);
            gone.into_iter()
                .map(move |subscription| (key, subscription))
        });
        left.collect()
    }

    /// Takes messages out, from that place in the order of arrival on.
    fn take(&mut self, first: usize, mut which: impl FnMut(&HeldMessage) -> bool) {
        for key in self.order.iter().skip(first) {
            if self.messages.get(*key).is_some_and(&mut which) {
                if let Some(message) = self.messages.remove(*key) {
                    self.bytes = self.bytes.saturating_sub(message.bytes);
                    self.earlier -= usize::from(message.is_earlier);
                }
            }
        }
        self.forget_settled();
    }

    fn oldest(&self) -> Option<&HeldMessage> {
        self.messages.get(*self.order.front()?)
    }

    fn forget_settled(&mut self) {
        while self
            .order
            .front()
            .is_some_and(|key| self.messages.get(*key).is_none())
        {
            self.order.pop_front();
        }
        // One that is held for long must not keep the places of all that came after it.
        if self.order.len() > 2 * self.messages.len() + SETTLED {
            let messages = &self.messages;
            self.order.retain(|key| messages.get(*key).is_some());
        }
    }
}

impl HeldMessage {
    /// Whether nobody has still to answer but those of whom `which` says so.
    fn waits_only_for(&self, which: impl Fn(Key) -> bool) -> bool {
        which(self.subscription) && self.others.iter().all(|other| which(*other))
    }
}

/// How many places of settled messages are kept at least.
const SETTLED: usize = 64;
