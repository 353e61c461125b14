//! Receiving messages.

use super::message::{Answer, Message};
use super::slot::{close_slot, open_timer, poll_slot};
use super::subscribe::FilterResult;
use super::unsubscribe::Unsubscribing;
use crate::engine::{Engine, Entry, Fetched};
use crate::mode::{Async, Blocking, Mode, wait};
use crate::options::AckMode;
use crate::shared::Shared;
use crate::slab::Key;
use crate::subscription_id::SubscriptionId;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_core::Stream;
use mqtt5_proto::{Instant, ReasonCode};
use std::collections::VecDeque;
use std::sync::Arc;

/// The messages of one or several filters.
///
/// A [`Stream`] in async mode, an [`Iterator`] in blocking mode, with [`recv`](Self::recv) of its own in both. It ends when its filters
/// were unsubscribed or the client has stopped, and all that arrived before was taken.
///
/// Dropping it unsubscribes the filters that nobody else in this client wants. It does not when the client is closing, when this was its
/// last handle, or after [`durable`](crate::Subscribe::durable) or [`detach`](Self::detach). What was not taken is acknowledged.
#[must_use = "dropping a subscription unsubscribes it"]
pub struct Subscription<M: Mode = Async> {
    inner: Inner,
    results: Vec<FilterResult>,
    mode: PhantomData<M>,
}

/// A filter and what the server granted, as [`Subscription::granted`] gives them.
pub type Granted<'a> = (&'a str, ReasonCode);

/// The subscription has ended: nothing more will arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription has ended")]
#[non_exhaustive]
pub struct Ended;

/// The part that does not depend on the mode.
pub(super) struct Inner {
    shared: Arc<Shared>,
    local: Key,
    /// Messages that were fetched from the engine and not taken.
    batch: VecDeque<Entry>,
    ack_mode: AckMode,
    keep: bool,
}

impl<M: Mode> Subscription<M> {
    pub(super) fn new(
        shared: Arc<Shared>,
        local: Key,
        results: Vec<FilterResult>,
        ack_mode: AckMode,
        keep: bool,
    ) -> Self {
        shared.add_handle();
        Self {
            inner: Inner {
                shared,
                local,
                batch: VecDeque::new(),
                ack_mode,
                keep,
            },
            results,
            mode: PhantomData,
        }
    }

    /// The filters with what the server granted: the QoS, or a refusal if the call allowed one.
    pub fn granted(&self) -> impl Iterator<Item = Granted<'_>> {
        self.results
            .iter()
            .map(|(filter, reason)| (filter.as_str(), *reason))
    }

    /// Tells it from the other subscriptions of the client, in events.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId::new(self.inner.local)
    }

    /// The next message if one is here; never waits.
    ///
    /// # Errors
    ///
    /// [`Ended`]: nothing more will arrive.
    pub fn try_recv(&mut self) -> Result<Option<Message>, Ended> {
        self.inner.take_next(&mut None)
    }

    /// Ends the subscription and leaves its filters with the server, so that a kept session goes on collecting.
    pub fn detach(mut self) {
        self.inner.keep = true;
    }
}

impl Subscription<Async> {
    /// The next message; `None` when the subscription has ended.
    ///
    /// Cancel safe: a future dropped before it resolves has taken nothing. In [`AckMode::OnTake`] resolving acknowledges.
    pub fn recv(&mut self) -> Receive<'_> {
        Receive(&mut self.inner)
    }

    /// The next message, or `None` when none came in time.
    ///
    /// Cancel safe, as [`recv`](Self::recv). The time counts from the first poll.
    ///
    /// # Errors
    ///
    /// [`Ended`]: nothing more will arrive.
    pub fn recv_timeout(&mut self, timeout: Duration) -> ReceiveTimeout<'_> {
        ReceiveTimeout {
            inner: &mut self.inner,
            timeout,
            timer: None,
        }
    }

    /// Ends the subscription and waits for the server's answer about the filters that nobody else in this client wants.
    ///
    /// Dropping the future does not take it back. Nothing happens before the first poll, except that dropping the unpolled future
    /// drops the subscription.
    pub fn unsubscribe(self) -> Unsubscribing<'static, Async> {
        Unsubscribing::of_subscription(self.inner)
    }
}

impl Subscription<Blocking> {
    /// Waits for the next message; `None` when the subscription has ended. In [`AckMode::OnTake`] taking acknowledges.
    pub fn recv(&mut self) -> Option<Message> {
        let shared = self.inner.shared.clone();
        wait(&shared, Receive(&mut self.inner))
    }

    /// Waits for the next message, for so long; `None` when none came in time.
    ///
    /// # Errors
    ///
    /// [`Ended`]: nothing more will arrive.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Message>, Ended> {
        let shared = self.inner.shared.clone();
        wait(
            &shared,
            ReceiveTimeout {
                inner: &mut self.inner,
                timeout,
                timer: None,
            },
        )
    }

    /// Ends the subscription and waits for the server's answer about the filters that nobody else in this client wants.
    ///
    /// # Errors
    ///
    /// See [`UnsubscribeErrorKind`](crate::UnsubscribeErrorKind).
    pub fn unsubscribe(self) -> Result<crate::Unsubscribed, crate::UnsubscribeError> {
        let shared = self.inner.shared.clone();
        wait(
            &shared,
            Unsubscribing::<Blocking>::of_subscription(self.inner),
        )
    }
}

impl Stream for Subscription<Async> {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inner.poll_next(context)
    }
}

impl Iterator for Subscription<Blocking> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.recv()
    }
}

impl<M: Mode> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id())
            .field("granted", &self.results)
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Message>> {
        // The first look costs no clone of the waker.
        match self.take_next(&mut None) {
            Ok(None) if self.is_watched_by(context) => Poll::Pending,
            Ok(None) => match self.take_next(&mut Some(context.waker().clone())) {
                Ok(None) => Poll::Pending,
                taken => Poll::Ready(taken.unwrap_or(None)),
            },
            taken => Poll::Ready(taken.unwrap_or(None)),
        }
    }

    /// The next message. When there is none and `waker` holds one, it is left with the queue, and what it replaces is put in its place.
    fn take_next(
        &mut self,
        waker: &mut Option<core::task::Waker>,
    ) -> Result<Option<Message>, Ended> {
        if let Some(entry) = self.next_unheld() {
            if self.batch.is_empty() {
                let now = self.shared.now();
                self.shared.lock().return_batch(now, self.local);
            }
            return Ok(Some(Message::new(entry.message, entry.arrived, None)));
        }
        let Self {
            shared,
            local,
            batch,
            ack_mode,
            ..
        } = self;
        let now = shared.now();
        let mut engine = shared.lock();
        loop {
            if let Some(entry) = batch.pop_front() {
                if batch.is_empty() {
                    engine.return_batch(now, *local);
                }
                match hand_over(shared, *local, *ack_mode, &mut engine, now, entry) {
                    Some(message) => return Ok(Some(message)),
                    None => continue,
                }
            }
            match engine.fetch(*local, batch) {
                Fetched::Some => {}
                Fetched::Ended => return Err(Ended),
                Fetched::Empty => {
                    if let (true, Some(local)) =
                        (waker.is_some(), engine.registry().local_mut(*local))
                    {
                        local.swap_waker(waker);
                    }
                    return Ok(None);
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
    pub(super) fn end(
        &mut self,
        waker: &mut Option<core::task::Waker>,
    ) -> Result<Key, crate::UnsubscribeErrorKind> {
        let now = self.shared.now();
        self.shared.lock().end_subscription(now, self.local, waker)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
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
            let (shared, subscription) = (shared.clone(), SubscriptionId::new(local));
            Some(Answer {
                shared,
                hold,
                subscription,
                on_drop,
            })
        }
        (Some(hold), _) => {
            engine.answer(now, hold, None).then_some(())?;
            None
        }
    };
    Some(Message::new(message, arrived, answer))
}

impl Drop for Inner {
    fn drop(&mut self) {
        let last = self.shared.remove_handle();
        let now = self.shared.now();
        let mut engine = self.shared.lock();
        for hold in self.batch.iter().filter_map(|entry| entry.hold) {
            engine.answer(now, hold, None);
        }
        let waker = engine.drop_subscription(now, self.local, self.keep || last);
        if last {
            engine.last_handle_dropped(now);
        }
        drop(engine);
        drop(waker);
    }
}

/// The future of [`Subscription::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Receive<'a>(&'a mut Inner);

impl Future for Receive<'_> {
    type Output = Option<Message>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0.poll_next(context)
    }
}

impl fmt::Debug for Receive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").finish_non_exhaustive()
    }
}

/// The future of [`Subscription::recv_timeout`].
#[must_use = "futures do nothing unless polled"]
pub struct ReceiveTimeout<'a> {
    inner: &'a mut Inner,
    timeout: Duration,
    timer: Option<Key>,
}

impl Future for ReceiveTimeout<'_> {
    type Output = Result<Option<Message>, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(message) = self.inner.poll_next(context) {
            return Poll::Ready(message.ok_or(Ended).map(Some));
        }
        let timer = match self.timer {
            Some(timer) => timer,
            None => {
                let deadline = self.inner.shared.now() + self.timeout;
                let timer = open_timer(&self.inner.shared, deadline);
                *self.timer.insert(timer)
            }
        };
        core::task::ready!(poll_slot(&self.inner.shared, timer, context, false));
        self.timer = None;
        Poll::Ready(Ok(None))
    }
}

impl Drop for ReceiveTimeout<'_> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            close_slot(&self.inner.shared, timer);
        }
    }
}

impl fmt::Debug for ReceiveTimeout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveTimeout")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
