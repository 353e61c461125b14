//! Handling messages by a callback, on the task or thread of the caller.

use super::inbox::Inbox;
use super::message::Message;
use crate::mode::{Async, Blocking, wait};
use crate::options::AckMode;
use crate::{RejectReason, Subscription};
use core::fmt;
use core::future::{Future, Ready, ready};
use core::num::NonZeroUsize;
use core::pin::Pin;
use core::task::{Context, Poll};

/// What a handler says about the message that it was given.
///
/// `()` and `Ok(())` acknowledge it. An error refuses it, with the reason that the error converts into: an application implements
/// `From<ItsError> for RejectReason`.
pub trait Verdict {
    /// The reason with which the message is refused; `None` when it is acknowledged.
    fn refusal(self) -> Option<RejectReason>;
}

impl Verdict for () {
    fn refusal(self) -> Option<RejectReason> {
        None
    }
}

impl<E: Into<RejectReason>> Verdict for Result<(), E> {
    fn refusal(self) -> Option<RejectReason> {
        self.err().map(Into::into)
    }
}

// Not `for_each`: iterators and streams have a method of that name, which would take the subscription by value and acknowledge at once.
impl Subscription<Async> {
    /// Calls `handler` with one message after the other, on the task that awaits this, until the subscription ends.
    ///
    /// The next message is taken when the handler's future is ready. Only then is a QoS 1 or 2 message acknowledged, or refused if
    /// the handler returned an error, whatever the [`AckMode`]; except in [`AckMode::OnArrival`], where it was acknowledged before.
    ///
    /// Cancel safe: when this is dropped while a handler is at work, the handler is dropped, and its message stays unacknowledged. It
    /// is the next one again that this subscription gives, to a handler or by [`recv`](Self::recv); in [`AckMode::Manual`] it does what
    /// that mode says of a message that is dropped unanswered. A QoS 0 message is given to one handler only.
    ///
    /// ```no_run
    /// # async fn example(mut readings: mqtt5_client::Subscription) {
    /// use mqtt5_client::RejectReason;
    ///
    /// readings.handle_each(async |message| match message.payload_str() {
    ///     Some(text) => Ok(println!("{text}")),
    ///     None => Err(RejectReason::PayloadFormatInvalid),
    /// }).await;
    /// # }
    /// ```
    pub fn handle_each<H, F>(&mut self, handler: H) -> Handling<'_, H, F>
    where
        H: FnMut(Message) -> F,
        F: Future<Output: Verdict>,
    {
        Handling::new(self.inbox(), handler, 1)
    }

    /// As [`handle_each`](Self::handle_each), with up to `limit` handlers at work at once, all of them on this task.
    ///
    /// They begin in the order of arrival and may end in any. Acknowledgements leave in the order of arrival all the same
    /// [MQTT-4.6.0-2], so a handler that takes long holds back those of the messages behind it.
    pub fn handle_concurrently<H, F>(
        &mut self,
        limit: NonZeroUsize,
        handler: H,
    ) -> Handling<'_, H, F>
    where
        H: FnMut(Message) -> F,
        F: Future<Output: Verdict>,
    {
        Handling::new(self.inbox(), handler, limit.get())
    }
}

impl Subscription<Blocking> {
    /// Calls `handler` with one message after the other, on the calling thread, until the subscription ends.
    ///
    /// A QoS 1 or 2 message is acknowledged when the handler has returned, or refused if it returned an error, whatever the
    /// [`AckMode`]; except in [`AckMode::OnArrival`], where it was acknowledged before. The message of a handler that panics stays
    /// unacknowledged and is the next one that this subscription gives; in [`AckMode::Manual`] it does what that mode says of a message
    /// that is dropped unanswered.
    pub fn handle_each<V: Verdict>(&mut self, mut handler: impl FnMut(Message) -> V) {
        let shared = self.inbox().shared().clone();
        let handler = |message| -> Ready<V> { ready(handler(message)) };
        wait(&shared, Handling::new(self.inbox(), handler, 1));
    }
}

/// The future of [`Subscription::handle_each`]: resolves when the subscription has ended and every handler is done.
#[must_use = "futures do nothing unless polled"]
pub struct Handling<'a, H, F> {
    inbox: &'a mut Inbox,
    handler: H,
    /// Places for handlers, as many as were ever at work at once.
    places: Vec<Place<F>>,
    limit: usize,
    /// How many messages were begun.
    begun: u64,
    ended: bool,
}

/// A place for one handler at a time; the memory is used again.
struct Place<F> {
    handling: Pin<Box<Option<F>>>,
    /// The message as it was received, with the duty to answer; `None` where nobody waits for an answer.
    kept: Option<Message>,
    number: u64,
}

impl<'a, H, F> Handling<'a, H, F> {
    fn new(inbox: &'a mut Inbox, handler: H, limit: usize) -> Self {
        Self {
            inbox,
            handler,
            places: Vec::new(),
            limit,
            begun: 0,
            ended: false,
        }
    }
}

impl<H, F> Handling<'_, H, F>
where
    H: FnMut(Message) -> F,
    F: Future<Output: Verdict>,
{
    /// A place that is free, if one may be.
    fn free_place(&mut self) -> Option<usize> {
        let free = self
            .places
            .iter()
            .position(|place| place.handling.is_none());
        if free.is_none() && self.places.len() < self.limit {
            self.places.push(Place {
                handling: Box::pin(None),
                kept: None,
                number: 0,
            });
            return Some(self.places.len() - 1);
        }
        free
    }

    /// Gives the next message to a handler, and tells in which place; `None` when there is no message now, or no place.
    fn begin_next(&mut self, context: &Context<'_>) -> Option<usize> {
        if self.ended {
            return None;
        }
        let index = self.free_place()?;
        let (message, received) = match self.inbox.poll_lent(context) {
            Poll::Pending => return None,
            Poll::Ready(None) => {
                self.ended = true;
                return None;
            }
            Poll::Ready(Some(taken)) => taken,
        };
        let place = &mut self.places[index];
        place.kept = received.needs_answer().then_some(received);
        place.number = self.begun;
        self.begun += 1;
        place.handling.set(Some((self.handler)(message)));
        Some(index)
    }
}

impl<F: Future<Output: Verdict>> Place<F> {
    /// Polls the handler, and answers for its message when it is done.
    fn poll(&mut self, context: &mut Context<'_>) {
        let Some(handling) = self.handling.as_mut().as_pin_mut() else {
            return;
        };
        if let Poll::Ready(verdict) = handling.poll(context) {
            self.handling.set(None);
            if let Some(mut message) = self.kept.take() {
                message.settle(verdict.refusal());
            }
        }
    }
}

impl<H, F> Future for Handling<'_, H, F>
where
    H: FnMut(Message) -> F,
    F: Future<Output: Verdict>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for place in &mut this.places {
            place.poll(context);
        }
        for _ in 0..MESSAGES_PER_POLL {
            let Some(index) = this.begin_next(context) else {
                let is_idle = this.places.iter().all(|place| place.handling.is_none());
                return if this.ended && is_idle {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            };
            this.places[index].poll(context);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The handler's state is never pinned in here, and futures are pinned in boxes of their own.
impl<H, F> Unpin for Handling<'_, H, F> {}

/// Handlers that are at work are dropped, and their messages are given back.
impl<H, F> Drop for Handling<'_, H, F> {
    fn drop(&mut self) {
        self.places.sort_unstable_by_key(|place| place.number);
        for mut place in self.places.drain(..).rev() {
            place.handling.set(None);
            match (place.kept.take(), self.inbox.ack_mode()) {
                (Some(message), AckMode::OnTake) => self.inbox.put_back(message),
                (unanswered, _) => drop(unanswered),
            }
        }
    }
}

impl<H, F> fmt::Debug for Handling<'_, H, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling")
            .field("limit", &self.limit)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

/// How many messages one poll handles before other tasks get their turn.
const MESSAGES_PER_POLL: usize = 128;
