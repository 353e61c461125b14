//! Many messages at once.

use super::inbox::Inbox;
use super::message::Message;
use crate::mode::{Async, Blocking, Mode, wait};
use crate::{Ended, Subscription};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

impl<M: Mode> Subscription<M> {
    /// Appends up to `limit` messages that are here to `messages`, and tells how many; never waits.
    ///
    /// It looks at the client once for all of them. In [`AckMode::OnTake`](crate::AckMode::OnTake) they are acknowledged by that, in
    /// [`AckMode::Manual`](crate::AckMode::Manual) by [`Message::ack_all`].
    ///
    /// # Errors
    ///
    /// [`Ended`]: nothing more will arrive.
    pub fn try_recv_many(
        &mut self,
        messages: &mut Vec<Message>,
        limit: usize,
    ) -> Result<usize, Ended> {
        self.inbox().take_many(&mut None, messages, limit)
    }
}

impl Subscription<Async> {
    /// Waits for a message, appends those that are here to `messages`, up to `limit`, and tells how many: at least one, 0 when the
    /// subscription has ended. A `limit` of 0 counts as 1.
    ///
    /// Cancel safe: a future dropped before it resolves has taken nothing.
    pub fn recv_many<'a>(
        &'a mut self,
        messages: &'a mut Vec<Message>,
        limit: usize,
    ) -> ReceiveMany<'a> {
        ReceiveMany::new(self.inbox(), messages, limit)
    }
}

impl Subscription<Blocking> {
    /// Waits for a message, appends those that are here to `messages`, up to `limit`, and tells how many: at least one, 0 when the
    /// subscription has ended. A `limit` of 0 counts as 1.
    pub fn recv_many(&mut self, messages: &mut Vec<Message>, limit: usize) -> usize {
        let shared = self.inbox().shared().clone();
        wait(&shared, ReceiveMany::new(self.inbox(), messages, limit))
    }
}

impl Message {
    /// Acknowledges many messages, as [`ack`](Self::ack) does one, with one look at the client for all of them.
    ///
    /// Those that need no answer are skipped. The order of the batch does not matter.
    pub fn ack_all(messages: impl IntoIterator<Item = Self>) {
        let mut answers: Vec<_> = messages
            .into_iter()
            .filter_map(|mut message| message.take_answer())
            .collect();
        while let Some(last) = answers.last() {
            let shared = Arc::clone(&last.shared);
            let now = shared.now();
            let (own, others) = answers
                .into_iter()
                .partition(|answer| Arc::ptr_eq(&answer.shared, &shared));
            let own: Vec<_> = own;
            let mut engine = shared.lock();
            for answer in &own {
                engine.answer(now, answer.subscription, answer.hold, None);
            }
            drop(engine);
            answers = others;
        }
    }
}

/// The future of [`Subscription::recv_many`].
#[must_use = "futures do nothing unless polled"]
pub struct ReceiveMany<'a> {
    inbox: &'a mut Inbox,
    messages: &'a mut Vec<Message>,
    limit: usize,
}

impl<'a> ReceiveMany<'a> {
    fn new(inbox: &'a mut Inbox, messages: &'a mut Vec<Message>, limit: usize) -> Self {
        Self {
            inbox,
            messages,
            limit: limit.max(1),
        }
    }
}

impl Future for ReceiveMany<'_> {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        let Self {
            inbox,
            messages,
            limit,
        } = &mut *self;
        let taken = inbox.poll_with(context, |inbox, waker| {
            let count = inbox.take_many(waker, messages, *limit)?;
            Ok((count > 0).then_some(count))
        });
        taken.map(|count| count.unwrap_or(0))
    }
}

impl fmt::Debug for ReceiveMany<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveMany")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
