//! Unsubscribing from filters.

use super::asking::{Accept, Asking};
use super::inbox::Inbox;
use super::slot::{Attempt, Caller, Room, close_slot, poll_slot};
use crate::engine::{Engine, Outcome, UnsubscribeRequest};
use crate::error::{Detail, UnsubscribeError, UnsubscribeErrorKind};
use crate::mode::{Async, Blocking, Mode, wait};
use crate::properties::PropertyList;
use crate::shared::Shared;
use crate::slab::Key;
use core::fmt;
use core::future::{Future, IntoFuture};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use mqtt5_proto::{Instant, Property, ReasonCode, TopicFilter};
use std::sync::Arc;

/// An unsubscribe that is being put together; see [`Client::unsubscribe`](crate::Client::unsubscribe).
#[must_use = "an unsubscribe does nothing until it is awaited or waited for"]
pub struct Unsubscribe<'a, M: Mode = Async> {
    shared: &'a Arc<Shared>,
    filters: Vec<String>,
    properties: PropertyList,
    timeout: Option<Duration>,
    mode: PhantomData<M>,
}

/// What the server answered to an unsubscribe; all of it success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribed {
    results: Vec<(String, ReasonCode)>,
}

impl Unsubscribed {
    /// The filters, in the order of the call, each with its answer: success, or
    /// [`NO_SUBSCRIPTION_EXISTED`](ReasonCode::NO_SUBSCRIPTION_EXISTED).
    pub fn results(&self) -> &[(String, ReasonCode)] {
        &self.results
    }
}

impl<'a, M: Mode> Unsubscribe<'a, M> {
    pub(super) fn new(shared: &'a Arc<Shared>, filter: String) -> Self {
        Self {
            shared,
            filters: vec![filter],
            properties: PropertyList::default(),
            timeout: None,
            mode: PhantomData,
        }
    }

    /// Adds another filter to the same packet.
    pub fn and(mut self, filter: impl Into<String>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// Adds a User Property to UNSUBSCRIBE; names may repeat, the order is kept (3.10.2.1.2).
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.properties.push(Property::UserProperty(name, value));
        self
    }

    /// Bounds the time until the server has answered, counted from when the unsubscribe begins; no bound by default.
    ///
    /// When it is over, the filters are no longer routed all the same.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn begin(self) -> Unsubscribing<M> {
        let request = UnsubscribeRequest {
            filters: self.filters,
            properties: self.properties,
            deadline: None,
        };
        Unsubscribing {
            target: Target::Filters(self.shared.clone(), request),
            timeout: self.timeout,
            stage: Stage::New,
            room: Room::default(),
            mode: PhantomData,
        }
    }
}

impl Unsubscribe<'_, Blocking> {
    /// Waits until the server has answered.
    ///
    /// # Errors
    ///
    /// See [`UnsubscribeErrorKind`].
    pub fn wait(self) -> Result<Unsubscribed, UnsubscribeError> {
        self.begin().wait()
    }

    /// Waits until the unsubscribe is accepted, which takes time only when there is no room; [`Unsubscribing::wait`] waits for the
    /// answer.
    ///
    /// # Errors
    ///
    /// See [`UnsubscribeErrorKind`].
    pub fn start(self) -> Result<Unsubscribing<Blocking>, UnsubscribeError> {
        wait(self.shared, Asking::new(self.begin()))
    }
}

impl Unsubscribe<'_, Async> {
    /// Resolves when the unsubscribe is accepted, and gives the future of its answer.
    pub fn start(self) -> Asking<Unsubscribing<Async>> {
        Asking::new(self.begin())
    }
}

/// Resolves when the server has answered. Dropping the future after its first poll does not take the unsubscribe back.
impl<'a> IntoFuture for Unsubscribe<'a, Async> {
    type Output = Result<Unsubscribed, UnsubscribeError>;
    type IntoFuture = Unsubscribing<Async>;

    fn into_future(self) -> Unsubscribing<Async> {
        self.begin()
    }
}

impl<M: Mode> fmt::Debug for Unsubscribe<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsubscribe")
            .field("filters", &self.filters)
            .finish_non_exhaustive()
    }
}

/// An unsubscribe under way, also of [`Subscription::unsubscribe`](crate::Subscription::unsubscribe): a future that resolves when the
/// server has answered, and in blocking mode something to wait for.
///
/// Dropping it does not take the unsubscribe back. That of a subscription keeps the connection alive as the subscription did, others do
/// not.
#[must_use = "futures do nothing unless polled"]
pub struct Unsubscribing<M: Mode = Async> {
    target: Target,
    timeout: Option<Duration>,
    stage: Stage,
    room: Room,
    mode: PhantomData<M>,
}

enum Target {
    Filters(Arc<Shared>, UnsubscribeRequest),
    Subscription(Inbox),
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    Accepting(Option<Instant>),
    Asked(Key),
    Over,
}

impl Target {
    fn shared(&self) -> &Arc<Shared> {
        match self {
            Self::Filters(shared, _) => shared,
            Self::Subscription(inbox) => inbox.shared(),
        }
    }

    fn check(&self) -> Result<(), UnsubscribeError> {
        let Self::Filters(_, request) = self else {
            return Ok(());
        };
        if request.filters.is_empty() {
            return Err(UnsubscribeErrorKind::NoFilters.into());
        }
        for filter in &request.filters {
            let filter = TopicFilter::new(filter);
            filter.map_err(|error| {
                UnsubscribeError::new(UnsubscribeErrorKind::InvalidFilter, Detail::Topic(error))
            })?;
        }
        let properties = request.properties.checked().map(drop);
        properties.map_err(|error| {
            UnsubscribeError::new(UnsubscribeErrorKind::InvalidProperty, Detail::Encode(error))
        })
    }
}

impl<M: Mode> Unsubscribing<M> {
    pub(super) fn of_subscription(inbox: Inbox, timeout: Option<Duration>) -> Self {
        Self {
            target: Target::Subscription(inbox),
            timeout,
            stage: Stage::New,
            room: Room::default(),
            mode: PhantomData,
        }
    }

    fn poll_accept(
        &mut self,
        context: &Context<'_>,
        deadline: Option<Instant>,
    ) -> Poll<Result<Key, UnsubscribeError>> {
        let (shared, request) = match &mut self.target {
            Target::Subscription(inbox) => {
                return Poll::Ready(inbox.end(deadline).map_err(Into::into));
            }
            Target::Filters(shared, request) => (shared, request),
        };
        request.deadline = deadline;
        let attempt = |engine: &mut Engine, now, waker: &mut _| match engine
            .unsubscribe(now, request, waker)
        {
            Ok(Some(slot)) => Attempt::Ready(Ok(slot)),
            Ok(None) => Attempt::NoRoom,
            Err(kind) => Attempt::Ready(Err(kind.into())),
        };
        let expired = || Err(UnsubscribeErrorKind::TimedOut.into());
        let caller = Caller {
            shared,
            context,
            quiet: M::PARKS,
            deadline,
            waker: None,
        };
        self.room.poll(caller, attempt, expired)
    }
}

impl Unsubscribing<Blocking> {
    /// Waits until the server has answered.
    ///
    /// # Errors
    ///
    /// See [`UnsubscribeErrorKind`].
    pub fn wait(self) -> Result<Unsubscribed, UnsubscribeError> {
        let shared = self.target.shared().clone();
        wait(&shared, self)
    }
}

impl<M: Mode> Accept for Unsubscribing<M> {
    type Error = UnsubscribeError;

    fn poll_accepted(&mut self, context: &Context<'_>) -> Poll<Result<(), UnsubscribeError>> {
        loop {
            match self.stage {
                Stage::New => {
                    self.target.check()?;
                    let deadline = self
                        .timeout
                        .map(|timeout| self.target.shared().now() + timeout);
                    self.stage = Stage::Accepting(deadline);
                }
                Stage::Accepting(deadline) => {
                    let slot = core::task::ready!(self.poll_accept(context, deadline))?;
                    self.stage = Stage::Asked(slot);
                }
                Stage::Asked(_) => return Poll::Ready(Ok(())),
                Stage::Over => return Poll::Ready(Err(UnsubscribeErrorKind::Closed.into())),
            }
        }
    }
}

impl<M: Mode> Future for Unsubscribing<M> {
    type Output = Result<Unsubscribed, UnsubscribeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        core::task::ready!(self.poll_accepted(context))?;
        let Stage::Asked(slot) = self.stage else {
            return Poll::Ready(Err(UnsubscribeErrorKind::Closed.into()));
        };
        let outcome = core::task::ready!(poll_slot(self.target.shared(), slot, context, M::PARKS));
        self.stage = Stage::Over;
        Poll::Ready(match outcome {
            Some(Outcome::Unsubscribed(result)) => result.map(|results| Unsubscribed { results }),
            _ => Err(UnsubscribeErrorKind::ConnectionLost.into()),
        })
    }
}

impl<M: Mode> Drop for Unsubscribing<M> {
    fn drop(&mut self) {
        let shared = self.target.shared();
        self.room.leave(shared);
        if let Stage::Asked(slot) = self.stage {
            close_slot(shared, slot);
        }
    }
}

impl<M: Mode> fmt::Debug for Unsubscribing<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsubscribing")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
