//! The messages of a subscription, and how they are taken.

use super::draft::intercept;
use super::message::{Answer, Message};
use super::subscription::Ended;
use crate::engine::{Engine, Entry, Fetched};
use crate::error::UnsubscribeErrorKind;
use crate::options::{AckMode, OnDrop};
use crate::shared::Shared;
use crate::slab::Key;
use core::task::{Context, Poll, Waker};
use mqtt5_proto::{Instant, RejectReason};
use std::collections::VecDeque;
use std::sync::Arc;

/// The part of a subscription that does not depend on the mode.
pub(super) struct Inbox {
    shared: Arc<Shared>,
    local: Key,
    /// Messages that were fetched from the engine and not taken.
    batch: VecDeque<Entry>,
    ack_mode: AckMode,
    /// Dropping it leaves its filters with the server.
    pub(super) keep: bool,
}

impl Inbox {
    pub(super) fn new(shared: Arc<Shared>, local: Key, ack_mode: AckMode, keep: bool) -> Self {
        shared.add_handle();
        Self {
            shared,
            local,
            batch: VecDeque::new(),
            ack_mode,
            keep,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn local(&self) -> Key {
        self.local
    }

    pub(super) fn ack_mode(&self) -> AckMode {
        self.ack_mode
    }

    /// The next message, acknowledged as the mode says.
    pub(super) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Message>> {
        self.poll_with(context, Self::take_next)
    }

    /// The next message for somebody who works on it, and the same as it was received, with the duty to answer in every mode in which
    /// an acknowledgement waits.
    pub(super) fn poll_lent(&mut self, context: &Context<'_>) -> Poll<Option<(Message, Message)>> {
        self.poll_with(context, Self::take_lent)
    }

    /// The next message as it was received; no interceptor has seen it.
    pub(super) fn poll_raw(&mut self, context: &Context<'_>) -> Poll<Option<Message>> {
        self.poll_with(context, |inbox, waker| inbox.take_as(waker, inbox.ack_mode))
    }

    /// The next message. When there is none and `waker` holds one, it is left with the queue, and what it replaces is put in its place.
    pub(super) fn take_next(
        &mut self,
        waker: &mut Option<Waker>,
    ) -> Result<Option<Message>, Ended> {
        if !self.is_intercepted() {
            return self.take_as(waker, self.ack_mode);
        }
        while let Some((mut message, mut received)) = self.take_lent(waker)? {
            if let AckMode::Manual { .. } = self.ack_mode {
                received.move_answer(&mut message);
                return Ok(Some(message));
            }
            if received.settle(None) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Takes up to `limit` messages that are here, with one look at the engine; tells how many.
    pub(super) fn take_many(
        &mut self,
        waker: &mut Option<Waker>,
        messages: &mut Vec<Message>,
        limit: usize,
    ) -> Result<usize, Ended> {
        let before = messages.len();
        // Asked once: an interceptor may come or go meanwhile, and only one of the two ways may leave the waker.
        if limit > 0 && !self.is_intercepted() {
            self.take_locked(waker, self.ack_mode, |message| {
                messages.push(message);
                messages.len() - before < limit
            })?;
            return Ok(messages.len() - before);
        }
        while messages.len() - before < limit {
            let waker = if messages.len() == before {
                &mut *waker
            } else {
                &mut None
            };
            match self.take_next(waker) {
                Ok(Some(message)) => messages.push(message),
                Err(ended) if messages.len() == before => return Err(ended),
                Ok(None) | Err(Ended) => break,
            }
        }
        Ok(messages.len() - before)
    }

    pub(super) fn dropped(&self) -> u64 {
        let mut engine = self.shared.lock();
        let local = engine.registry().local(self.local);
        local.map_or(0, |local| local.dropped.total())
    }

    pub(super) fn take_dropped(&mut self) -> Vec<Message> {
        let mut engine = self.shared.lock();
        let local = engine.registry().local_mut(self.local);
        let kept = local.map(|local| local.dropped.take()).unwrap_or_default();
        drop(engine);
        kept.into_iter()
            .map(|(message, arrived)| Message::new(message, arrived, None))
            .collect()
    }

    /// Gives a message back that was lent and has not been answered for: it is the next one again.
    pub(super) fn put_back(&mut self, mut message: Message) {
        if let Some(answer) = message.take_answer() {
            self.shared.lock().put_back(answer.hold);
            self.batch.push_front(Entry {
                message: message.content(),
                hold: Some(answer.hold),
                arrived: message.received_at(),
            });
        }
    }

    /// Polls without cloning the waker when there is a message, or the waker is here already.
    pub(super) fn poll_with<T>(
        &mut self,
        context: &Context<'_>,
        mut take: impl FnMut(&mut Self, &mut Option<Waker>) -> Result<Option<T>, Ended>,
    ) -> Poll<Option<T>> {
        match take(self, &mut None) {
            Ok(None) if self.is_watched_by(context) => Poll::Pending,
            Ok(None) => match take(self, &mut Some(context.waker().clone())) {
                Ok(None) => Poll::Pending,
                taken => Poll::Ready(taken.unwrap_or(None)),
            },
            taken => Poll::Ready(taken.unwrap_or(None)),
        }
    }

    /// The next message that no interceptor keeps back: as it is after them, and as it was received.
    fn take_lent(
        &mut self,
        waker: &mut Option<Waker>,
    ) -> Result<Option<(Message, Message)>, Ended> {
        while let Some(mut received) = self.take_as(waker, lent(self.ack_mode))? {
            let mut message = received.lent();
            match intercept(self.shared.policy(), &mut message) {
                Ok(()) => return Ok(Some((message, received))),
                Err(refusal) => {
                    received.settle(refusal);
                }
            }
        }
        Ok(None)
    }

    fn is_intercepted(&self) -> bool {
        !self.shared.policy().interceptors.message.is_empty()
    }

    fn take_as(
        &mut self,
        waker: &mut Option<Waker>,
        ack_mode: AckMode,
    ) -> Result<Option<Message>, Ended> {
        if let Some(entry) = self.next_unheld() {
            if self.batch.is_empty() {
                let now = self.shared.now();
                self.shared.lock().return_batch(now, self.local);
            }
            return Ok(Some(Message::new(entry.message, entry.arrived, None)));
        }
        let mut taken = None;
        self.take_locked(waker, ack_mode, |message| {
            taken = Some(message);
            false
        })?;
        Ok(taken)
    }

    /// Takes messages as long as `wants_more` says so after each and there are some.
    ///
    /// `Ended` only when nothing was taken.
    fn take_locked(
        &mut self,
        waker: &mut Option<Waker>,
        ack_mode: AckMode,
        mut wants_more: impl FnMut(Message) -> bool,
    ) -> Result<(), Ended> {
        let Self {
            shared,
            local,
            batch,
            ..
        } = self;
        let now = shared.now();
        let mut taken = false;
        let mut engine = shared.lock();
        loop {
            if let Some(entry) = batch.pop_front() {
                if batch.is_empty() {
                    engine.return_batch(now, *local);
                }
                if let Some(message) = hand_over(shared, *local, ack_mode, &mut engine, now, entry)
                {
                    taken = true;
                    if !wants_more(message) {
                        return Ok(());
                    }
                }
                continue;
            }
            match engine.fetch(*local, batch) {
                Fetched::Some => {}
                Fetched::Ended if taken => return Ok(()),
                Fetched::Ended => return Err(Ended),
                Fetched::Empty => {
                    if let (false, true, Some(local)) =
                        (taken, waker.is_some(), engine.registry().local_mut(*local))
                    {
                        local.swap_waker(waker);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// The next message of the batch, if taking it needs no lock.
    fn next_unheld(&mut self) -> Option<Entry> {
        let unheld = self.batch.front()?.hold.is_none();
        unheld.then(|| self.batch.pop_front()).flatten()
    }

    fn is_watched_by(&self, context: &Context<'_>) -> bool {
        let mut engine = self.shared.lock();
        // Something may have arrived since the queue was found empty: then the waker is gone.
        engine
            .registry()
            .local(self.local)
            .is_some_and(|local| local.is_watched_by(context.waker()))
    }

    /// Ends the subscription by itself, and gives the slot of the answer.
    pub(super) fn end(&mut self, deadline: Option<Instant>) -> Result<Key, UnsubscribeErrorKind> {
        let now = self.shared.now();
        let mut engine = self.shared.lock();
        let slot = engine.end_subscription(now, self.local, deadline);
        if !engine.is_closed() {
            engine.release(now, self.local, &self.batch);
            drop(engine);
            self.batch.clear();
        }
        slot
    }
}

/// The mode in which a message is taken by somebody who answers for it afterwards. Where an acknowledgement would leave at once, nobody
/// has chosen what a drop does; it only counts for what panics in between.
fn lent(ack_mode: AckMode) -> AckMode {
    match ack_mode {
        AckMode::OnTake => AckMode::Manual {
            on_drop: OnDrop::Reject(RejectReason::UnspecifiedError),
        },
        chosen => chosen,
    }
}

/// Takes one message under the lock; `None` when it was discarded meanwhile and will come again.
fn hand_over(
    shared: &Arc<Shared>,
    local: Key,
    ack_mode: AckMode,
    engine: &mut Engine,
    now: Instant,
    entry: Entry,
) -> Option<Message> {
    let Entry {
        message,
        hold,
        arrived,
    } = entry;
    let answer = match (hold, ack_mode) {
        (None, _) => None,
        (Some(hold), AckMode::Manual { on_drop }) => {
            engine.take_held(hold).then_some(())?;
            Some(Answer {
                shared: shared.clone(),
                hold,
                subscription: local,
                on_drop,
            })
        }
        (Some(hold), _) => {
            engine.take_and_answer(now, local, hold).then_some(())?;
            None
        }
    };
    Some(Message::new(message, arrived, answer))
}

/// What is left is acknowledged in its turn [MQTT-4.5.0-2], but not by a client that is closing: a session that is kept sends it again.
impl Drop for Inbox {
    fn drop(&mut self) {
        let last = self.shared.remove_handle();
        let now = self.shared.now();
        let mut engine = self.shared.lock();
        if last {
            engine.last_handle_dropped(now);
        }
        if !engine.is_closed() {
            engine.release(now, self.local, &self.batch);
        }
        let waker = engine.drop_subscription(now, self.local, self.keep);
        drop(engine);
        drop(waker);
    }
}
