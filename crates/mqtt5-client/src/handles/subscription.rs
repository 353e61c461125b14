//! Receiving messages.

use super::inbox::Inbox;
use super::limited::{Limited, receive_for, received};
use super::message::Message;
use super::subscribe::FilterResult;
use super::unsubscribe::Unsubscribing;
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
use mqtt5_proto::ReasonCode;
use std::sync::Arc;

/// The messages of one or several filters.
///
/// A [`Stream`] in async mode, an [`Iterator`] in blocking mode, with [`recv`](Self::recv) of its own in both. It ends when its filters
/// were unsubscribed or the client has stopped, and all that arrived before was taken.
///
/// Dropping it unsubscribes the filters that nobody else in this client wants. It does not when the client is closing, when this was its
/// last handle, or after [`durable`](crate::Subscribe::durable) or [`detach`](Self::detach). What was not taken is acknowledged, except by
/// a client that is closing: a session that is kept sends it again.
#[must_use = "dropping a subscription unsubscribes it"]
pub struct Subscription<M: Mode = Async> {
    inbox: Inbox,
    results: Vec<FilterResult>,
    mode: PhantomData<M>,
}

/// A filter and what the server granted, as [`Subscription::granted`] gives them.
pub type Granted<'a> = (&'a str, ReasonCode);

/// There is an end to what is received, and it was reached: nothing more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing more will arrive")]
#[non_exhaustive]
pub struct Ended;

impl<M: Mode> Subscription<M> {
    pub(super) fn new(
        shared: Arc<Shared>,
        local: Key,
        results: Vec<FilterResult>,
        ack_mode: AckMode,
        keep: bool,
    ) -> Self {
        Self {
            inbox: Inbox::new(shared, local, ack_mode, keep),
            results,
            mode: PhantomData,
        }
    }

    /// The filters with what the server granted: the QoS, or a refusal if the call allowed one;
    /// [`NO_SUBSCRIPTION_EXISTED`](ReasonCode::NO_SUBSCRIPTION_EXISTED) for a filter that was unsubscribed before it could be asked for.
    pub fn granted(&self) -> impl Iterator<Item = Granted<'_>> {
        self.results
            .iter()
            .map(|(filter, reason)| (filter.as_str(), *reason))
    }

    /// Tells it from the other subscriptions of the client, in events.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId::new(self.inbox.local())
    }

    /// The next message if one is here; never waits.
    ///
    /// # Errors
    ///
    /// [`Ended`]: nothing more will arrive.
    pub fn try_recv(&mut self) -> Result<Option<Message>, Ended> {
        self.inbox.take_next(&mut None)
    }

    /// How many messages this subscription has lost because its queue was full. What came before its first SUBACK counts, too, where the
    /// connection was lost before that and it could neither stay nor come again.
    pub fn dropped(&self) -> u64 {
        self.inbox.dropped()
    }

    /// The last of those messages, oldest first, as many as [`observe_drops`](crate::Subscribe::observe_drops) asked for; each is given
    /// once. [`Event::SlowConsumer`](crate::Event::SlowConsumer) tells when it is time to look.
    pub fn take_dropped(&mut self) -> Vec<Message> {
        self.inbox.take_dropped()
    }

    pub(super) fn into_inbox(self) -> Inbox {
        self.inbox
    }

    pub(super) fn inbox(&mut self) -> &mut Inbox {
        &mut self.inbox
    }

    /// Ends the subscription and leaves its filters with the server, so that a kept session goes on collecting.
    pub fn detach(mut self) {
        self.inbox.keep = true;
    }
}

impl Subscription<Async> {
    /// The next message; `None` when the subscription has ended.
    ///
    /// Cancel safe: a future dropped before it resolves has taken nothing. In [`AckMode::OnTake`] resolving acknowledges.
    pub fn recv(&mut self) -> Receive<'_> {
        Receive(&mut self.inbox)
    }

    /// The next message, or `None` when none came in time.
    ///
    /// Cancel safe, as [`recv`](Self::recv). The time counts from the first poll.
    ///
    /// # Errors
    ///
    /// [`Ended`]: nothing more will arrive.
    pub fn recv_timeout(&mut self, timeout: Duration) -> ReceiveTimeout<'_> {
        let shared = self.inbox.shared().clone();
        ReceiveTimeout(Limited::new(&shared, timeout, Receive(&mut self.inbox)))
    }

    /// Ends the subscription and waits for the server's answer about the filters that nobody else in this client wants.
    ///
    /// It has ended whatever comes of that, and the server is told in any case: at the next connection if there is none. Whoever does
    /// not want to wait for one gets [`NotConnected`](crate::UnsubscribeErrorKind::NotConnected), as
    /// [`offline_subscribe`](crate::Options::offline_subscribe) says.
    ///
    /// Dropping the future does not take it back. Nothing happens before the first poll, except that dropping the unpolled future
    /// drops the subscription.
    pub fn unsubscribe(self) -> Unsubscribing<Async> {
        Unsubscribing::of_subscription(self.inbox, None)
    }

    /// As [`unsubscribe`](Self::unsubscribe), waiting for so long, counted from the first poll.
    pub fn unsubscribe_timeout(self, timeout: Duration) -> Unsubscribing<Async> {
        Unsubscribing::of_subscription(self.inbox, Some(timeout))
    }
}

impl Subscription<Blocking> {
    /// Waits for the next message; `None` when the subscription has ended. In [`AckMode::OnTake`] taking acknowledges.
    pub fn recv(&mut self) -> Option<Message> {
        let shared = self.inbox.shared().clone();
        wait(&shared, Receive(&mut self.inbox))
    }

    /// Waits for the next message, for so long; `None` when none came in time.
    ///
    /// # Errors
    ///
    /// [`Ended`]: nothing more will arrive.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Message>, Ended> {
        let shared = self.inbox.shared().clone();
        receive_for(&shared, timeout, Receive(&mut self.inbox))
    }

    /// Ends the subscription and waits for the server's answer about the filters that nobody else in this client wants.
    ///
    /// It has ended whatever comes of that, and the server is told in any case: at the next connection if there is none. Whoever does
    /// not want to wait for one gets [`NotConnected`](crate::UnsubscribeErrorKind::NotConnected), as
    /// [`offline_subscribe`](crate::Options::offline_subscribe) says.
    ///
    /// # Errors
    ///
    /// See [`UnsubscribeErrorKind`](crate::UnsubscribeErrorKind).
    pub fn unsubscribe(self) -> Result<crate::Unsubscribed, crate::UnsubscribeError> {
        Unsubscribing::<Blocking>::of_subscription(self.inbox, None).wait()
    }

    /// As [`unsubscribe`](Self::unsubscribe), waiting for so long.
    ///
    /// # Errors
    ///
    /// See [`UnsubscribeErrorKind`](crate::UnsubscribeErrorKind).
    pub fn unsubscribe_timeout(
        self,
        timeout: Duration,
    ) -> Result<crate::Unsubscribed, crate::UnsubscribeError> {
        Unsubscribing::<Blocking>::of_subscription(self.inbox, Some(timeout)).wait()
    }
}

impl Stream for Subscription<Async> {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inbox.poll_next(context)
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

/// The future of [`Subscription::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Receive<'a>(&'a mut Inbox);

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
pub struct ReceiveTimeout<'a>(Limited<Receive<'a>>);

impl Future for ReceiveTimeout<'_> {
    type Output = Result<Option<Message>, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(received)
    }
}

impl fmt::Debug for ReceiveTimeout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveTimeout")
            .field("timeout", &self.0.timeout())
            .finish_non_exhaustive()
    }
}
