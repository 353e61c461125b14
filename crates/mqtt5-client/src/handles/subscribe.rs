//! Subscribing to filters.

use super::asking::{Accept, Asking};
use super::slot::{Attempt, Caller, Room, poll_slot};
use super::subscription::Subscription;
use crate::engine::{Engine, Outcome, SubscribeRequest};
use crate::error::{SubscribeError, SubscribeErrorKind};
use crate::filter::Filter;
use crate::mode::{Async, Blocking, Mode, wait};
use crate::options::{AckMode, Bound, Declared, Overflow, check_subscription};
use crate::shared::Shared;
use crate::slab::Key;
use core::fmt;
use core::future::{Future, IntoFuture};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use mqtt5_proto::{Instant, QoS, ReasonCode, RetainHandling};
use std::sync::Arc;

/// A subscribe that is being put together; see [`Client::subscribe`](crate::Client::subscribe).
///
/// Options of a filter apply to the one that was named last. Setters cannot fail: what may not be sent is told when the subscribe begins.
#[must_use = "a subscribe does nothing until it is awaited or waited for"]
pub struct Subscribe<'a, M: Mode = Async> {
    shared: &'a Arc<Shared>,
    declared: Declared,
    allow_partial: bool,
    durable: bool,
    timeout: Option<Duration>,
    mode: PhantomData<M>,
}

impl<'a, M: Mode> Subscribe<'a, M> {
    pub(super) fn new(shared: &'a Arc<Shared>, filters: Vec<Filter>) -> Self {
        Self {
            shared,
            declared: Declared::of(filters),
            allow_partial: false,
            durable: false,
            timeout: None,
            mode: PhantomData,
        }
    }

    /// Adds another filter to the same packet; one subscription receives for all of them.
    pub fn and(mut self, filter: impl Into<Filter>) -> Self {
        self.declared = self.declared.and(filter);
        self
    }

    /// Sets the highest Quality of Service that the server may send with; QoS 0 by default (3.8.3.1).
    pub fn qos(self, qos: QoS) -> Self {
        self.last(|filter| filter.qos(qos))
    }

    /// Sets whether messages that this client published are left out (3.8.3.1).
    pub fn no_local(self, no_local: bool) -> Self {
        self.last(|filter| filter.no_local(no_local))
    }

    /// Sets whether forwarded messages keep the RETAIN flag that they were published with (3.8.3.1).
    pub fn retain_as_published(self, retain_as_published: bool) -> Self {
        self.last(|filter| filter.retain_as_published(retain_as_published))
    }

    /// Sets which retained messages are sent when the subscription is made (3.8.3.1).
    pub fn retain_handling(self, retain_handling: RetainHandling) -> Self {
        self.last(|filter| filter.retain_handling(retain_handling))
    }

    /// Adds a User Property to SUBSCRIBE; names may repeat, the order is kept (3.8.2.1.3).
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.declared = self.declared.user_property(name, value);
        self
    }

    /// Bounds the messages that wait here without an acknowledgement waiting for them; the client's option by default. A zero counts
    /// as one.
    pub fn bound(mut self, bound: Bound) -> Self {
        self.declared = self.declared.bound(bound);
        self
    }

    /// Sets what happens beyond that bound; the client's option by default.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.declared = self.declared.overflow(overflow);
        self
    }

    /// Sets when messages are acknowledged; the client's option by default.
    pub fn ack_mode(mut self, ack_mode: AckMode) -> Self {
        self.declared = self.declared.ack_mode(ack_mode);
        self
    }

    /// Keeps the last `messages` of those that are dropped beyond that bound, for [`Subscription::take_dropped`]; none by default.
    ///
    /// They are copied, so that they keep nothing else alive; their size is bounded only by
    /// [`Options::maximum_packet_size`](crate::Options::maximum_packet_size).
    pub fn observe_drops(mut self, messages: usize) -> Self {
        self.declared = self.declared.observe_drops(messages);
        self
    }

    /// Accepts a subscription of which the server refused a part; [`Subscription::granted`] tells which.
    ///
    /// Without this, one refused filter fails the whole call, and those that were granted are given up.
    pub fn allow_partial(mut self) -> Self {
        self.allow_partial = true;
        self
    }

    /// Leaves the filters with the server when the subscription is dropped, so that a kept session goes on collecting.
    ///
    /// While the client lives on, what arrives for them matches nothing: it is acknowledged. Messages that were not taken are left for
    /// the next process when the subscription goes together with the client, and acknowledged when it goes before.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Bounds the time until the server has answered, counted from when the subscribe begins; no bound by default.
    ///
    /// When it is over, the filters are given up.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn last(mut self, change: impl FnOnce(Filter) -> Filter) -> Self {
        if let Some(filter) = self.declared.filters.pop() {
            self.declared.filters.push(change(filter));
        }
        self
    }

    pub(super) fn begin(self) -> Subscribing<M> {
        let behaviour = self
            .declared
            .behaviour(self.shared.lock().config().behaviour());
        let Self {
            shared,
            declared,
            allow_partial,
            durable,
            timeout,
            ..
        } = self;
        let request = SubscribeRequest {
            filters: declared.filters,
            properties: declared.properties,
            behaviour,
            allow_partial,
            deadline: None,
        };
        Subscribing {
            shared: shared.clone(),
            request,
            timeout,
            durable,
            stage: Stage::New,
            room: Room::default(),
            mode: PhantomData,
        }
    }
}

impl Subscribe<'_, Blocking> {
    /// Waits until the server has answered.
    ///
    /// # Errors
    ///
    /// See [`SubscribeErrorKind`]; the results of all filters are with the error.
    pub fn wait(self) -> Result<Subscription<Blocking>, SubscribeError> {
        self.begin().wait()
    }

    /// Waits until the subscribe is accepted, which takes time only when there is no room; [`Subscribing::wait`] waits for the answer.
    ///
    /// # Errors
    ///
    /// See [`SubscribeErrorKind`].
    pub fn start(self) -> Result<Subscribing<Blocking>, SubscribeError> {
        wait(self.shared, Asking::new(self.begin()))
    }
}

impl Subscribe<'_, Async> {
    /// Resolves when the subscribe is accepted, and gives the future of its answer.
    pub fn start(self) -> Asking<Subscribing<Async>> {
        Asking::new(self.begin())
    }
}

/// Resolves when the server has answered. Messages can arrive, and are kept, before that. When the connection is lost before the answer,
/// those of QoS 1 and 2 may be let go: what no other subscription has comes again while the session lives.
///
/// Dropping the future gives the filters up again. Nothing is asked for before the first poll.
impl<'a> IntoFuture for Subscribe<'a, Async> {
    type Output = Result<Subscription<Async>, SubscribeError>;
    type IntoFuture = Subscribing<Async>;

    fn into_future(self) -> Subscribing<Async> {
        self.begin()
    }
}

impl<M: Mode> fmt::Debug for Subscribe<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("filters", &self.declared.filters)
            .finish_non_exhaustive()
    }
}

/// A subscribe under way: a future that resolves when the server has answered, and in blocking mode something to wait for.
///
/// Dropping it gives the filters up again. It does not keep the connection alive.
#[must_use = "futures do nothing unless polled"]
pub struct Subscribing<M: Mode = Async> {
    shared: Arc<Shared>,
    request: SubscribeRequest,
    timeout: Option<Duration>,
    durable: bool,
    stage: Stage,
    room: Room,
    mode: PhantomData<M>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    Accepting(Option<Instant>),
    Asked { local: Key, slot: Key },
    Over,
}

impl<M: Mode> Subscribing<M> {
    fn check(&self) -> Result<(), SubscribeError> {
        let longest = self.shared.policy().maximum_topic_length;
        check_subscription(&self.request.filters, &self.request.properties, longest)
    }

    fn poll_accept(
        &mut self,
        context: &Context<'_>,
        deadline: Option<Instant>,
    ) -> Poll<Result<(Key, Key), SubscribeError>> {
        self.request.deadline = deadline;
        let request = &self.request;
        let attempt =
            |engine: &mut Engine, now, waker: &mut _| match engine.subscribe(now, request, waker) {
                Ok(Some(keys)) => Attempt::Ready(Ok(keys)),
                Ok(None) => Attempt::NoRoom,
                Err(kind) => Attempt::Ready(Err(kind.into())),
            };
        let expired = || Err(SubscribeErrorKind::TimedOut.into());
        let caller = Caller {
            shared: &self.shared,
            context,
            quiet: M::PARKS,
            deadline,
            waker: None,
        };
        self.room.poll(caller, attempt, expired)
    }

    fn finish(
        &mut self,
        local: Key,
        outcome: Option<Outcome>,
    ) -> Result<Subscription<M>, SubscribeError> {
        match outcome {
            Some(Outcome::Subscribed(Ok(results))) => {
                self.stage = Stage::Over;
                let ack_mode = self.request.behaviour.ack_mode;
                Ok(Subscription::new(
                    self.shared.clone(),
                    local,
                    results,
                    ack_mode,
                    self.durable,
                ))
            }
            Some(Outcome::Subscribed(Err(error))) => Err(error),
            _ => Err(SubscribeErrorKind::ConnectionLost.into()),
        }
    }

    fn give_up(&mut self) {
        if let Stage::Asked { local, slot } = core::mem::replace(&mut self.stage, Stage::Over) {
            let now = self.shared.now();
            let mut engine = self.shared.lock();
            let wakers = (
                engine.drop_subscription(now, local, false),
                engine.operations().close(slot),
            );
            drop(engine);
            drop(wakers);
        }
    }
}

impl Subscribing<Blocking> {
    /// Waits until the server has answered.
    ///
    /// # Errors
    ///
    /// See [`SubscribeErrorKind`]; the results of all filters are with the error.
    pub fn wait(self) -> Result<Subscription<Blocking>, SubscribeError> {
        let shared = self.shared.clone();
        wait(&shared, self)
    }
}

impl<M: Mode> Accept for Subscribing<M> {
    type Error = SubscribeError;

    fn poll_accepted(&mut self, context: &Context<'_>) -> Poll<Result<(), SubscribeError>> {
        loop {
            match self.stage {
                Stage::New => {
                    self.check()?;
                    let deadline = self.timeout.map(|timeout| self.shared.now() + timeout);
                    self.stage = Stage::Accepting(deadline);
                }
                Stage::Accepting(deadline) => {
                    let (local, slot) = core::task::ready!(self.poll_accept(context, deadline))?;
                    self.stage = Stage::Asked { local, slot };
                }
                Stage::Asked { .. } => return Poll::Ready(Ok(())),
                Stage::Over => return Poll::Ready(Err(SubscribeErrorKind::Closed.into())),
            }
        }
    }
}

impl<M: Mode> Future for Subscribing<M> {
    type Output = Result<Subscription<M>, SubscribeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        core::task::ready!(self.poll_accepted(context))?;
        let Stage::Asked { local, slot } = self.stage else {
            return Poll::Ready(Err(SubscribeErrorKind::Closed.into()));
        };
        let outcome = core::task::ready!(poll_slot(&self.shared, slot, context, M::PARKS));
        let result = self.finish(local, outcome);
        self.give_up();
        Poll::Ready(result)
    }
}

impl<M: Mode> Drop for Subscribing<M> {
    fn drop(&mut self) {
        self.room.leave(&self.shared);
        self.give_up();
    }
}

impl<M: Mode> fmt::Debug for Subscribing<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribing")
            .field("filters", &self.request.filters)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// What the server answered for one filter.
pub(super) type FilterResult = (String, ReasonCode);
