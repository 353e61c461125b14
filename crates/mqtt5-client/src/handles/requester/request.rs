//! One request, and the wait for its answer.

use super::hub::{Found, Hub, Ticket};
use crate::delivered::Delivered;
use crate::error::{
    Detail, PublishError, PublishErrorKind, RequestError, RequestErrorKind as Kind,
};
use crate::handles::delivery::Delivery;
use crate::handles::draft::intercept;
use crate::handles::message::Message;
use crate::handles::publish::{Publish, Starting};
use crate::handles::slot::poll_slot;
use crate::mode::{Async, Blocking, Mode, wait};
use crate::payload::Payload;
use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use mqtt5_proto::{QoS, ReasonCode};
use std::borrow::Cow;
use std::sync::Arc;

/// A request that is being put together; see [`Requester::request`](crate::Requester::request).
///
/// Response Topic and Correlation Data are set by the requester. Setters cannot fail: what may not be sent is told when the request
/// begins.
#[must_use = "a request does nothing until it is awaited or waited for"]
pub struct Request<'a, M: Mode = Async> {
    hub: &'a Arc<Hub>,
    publish: Publish<'a, M>,
    timeout: Duration,
    expires: bool,
}

impl<'a, M: Mode> Request<'a, M> {
    pub(super) fn new(hub: &'a Arc<Hub>, topic: Cow<'a, str>, payload: Payload<'a>) -> Self {
        Self {
            hub,
            publish: Publish::new(hub.shared(), topic, payload),
            timeout: DEFAULT_TIMEOUT,
            expires: false,
        }
    }

    /// Sets the Quality of Service of the request (3.3.1.2); QoS 0 by default.
    pub fn qos(self, qos: QoS) -> Self {
        self.with(|publish| publish.qos(qos))
    }

    /// Says whether the payload is UTF-8 text (3.3.2.3.2).
    pub fn payload_is_text(self, text: bool) -> Self {
        self.with(|publish| publish.payload_is_text(text))
    }

    /// Sets how long the request may take to reach somebody (3.3.2.3.3); as long as its answer is waited for by default.
    pub fn message_expiry(mut self, expiry: Duration) -> Self {
        self.expires = true;
        self.with(|publish| publish.message_expiry(expiry))
    }

    /// Adds a User Property; names may repeat, the order is kept (3.3.2.3.7).
    pub fn user_property(self, name: &str, value: &str) -> Self {
        self.with(|publish| publish.user_property(name, value))
    }

    /// Describes the payload, for example as a MIME type (3.3.2.3.9).
    pub fn content_type(self, content_type: &str) -> Self {
        self.with(|publish| publish.content_type(content_type))
    }

    /// Sets how long to wait for the answer, counted from when the request begins; 10 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn with(mut self, change: impl FnOnce(Publish<'a, M>) -> Publish<'a, M>) -> Self {
        self.publish = change(self.publish);
        self
    }

    fn begin(self) -> Requesting<'a, M> {
        Requesting {
            stage: Stage::New(self),
        }
    }
}

impl Request<'_, Blocking> {
    /// Waits for the answer, as the future of the async mode does.
    ///
    /// # Errors
    ///
    /// See [`RequestErrorKind`](crate::RequestErrorKind).
    pub fn wait(self) -> Result<Message, RequestError> {
        wait(&self.hub.shared().clone(), self.begin())
    }
}

/// Resolves with the answer. It was acknowledged when it arrived.
///
/// Nothing is sent before the first poll. Dropping the future afterwards gives the answer up: a request that was not encoded is withdrawn,
/// and an answer that comes all the same is counted and dropped.
impl<'a> IntoFuture for Request<'a, Async> {
    type Output = Result<Message, RequestError>;
    type IntoFuture = Requesting<'a, Async>;

    fn into_future(self) -> Requesting<'a, Async> {
        self.begin()
    }
}

impl<M: Mode> fmt::Debug for Request<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("publish", &self.publish)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The future of [`Request`]: resolves with the answer.
#[must_use = "futures do nothing unless polled"]
pub struct Requesting<'a, M: Mode = Async> {
    stage: Stage<'a, M>,
}

enum Stage<'a, M: Mode> {
    New(Request<'a, M>),
    Accepting(Starting<'a>, Ticket),
    Waiting(Option<Delivery>, Ticket),
    Over,
}

impl<'a, M: Mode> Request<'a, M> {
    fn start(self) -> Result<(Starting<'a>, Ticket), RequestError> {
        let shared = self.hub.shared();
        let deadline = shared.now() + self.timeout;
        let ticket = self.hub.open(deadline).ok_or(Kind::Closed)?;
        let mut publish = self
            .publish
            .response_topic(self.hub.response_topic())
            .correlation_data(&ticket.correlation_data())
            .timeout(self.timeout);
        if !self.expires {
            publish = publish.message_expiry(self.timeout);
        }
        Ok((publish.accepting(M::PARKS), ticket))
    }
}

impl<M: Mode> Requesting<'_, M> {
    fn poll_stage(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, RequestError>> {
        loop {
            match core::mem::replace(&mut self.stage, Stage::Over) {
                Stage::New(request) => {
                    let (starting, ticket) = request.start()?;
                    self.stage = Stage::Accepting(starting, ticket);
                }
                Stage::Accepting(mut starting, ticket) => {
                    let Poll::Ready(accepted) = Pin::new(&mut starting).poll(context) else {
                        self.stage = Stage::Accepting(starting, ticket);
                        return Poll::Pending;
                    };
                    let delivery = accepted.map_err(not_published)?;
                    self.stage = Stage::Waiting(Some(delivery), ticket);
                }
                Stage::Waiting(mut delivery, mut ticket) => {
                    let answer = poll_answer(&mut delivery, &mut ticket, context, M::PARKS);
                    if answer.is_pending() {
                        self.stage = Stage::Waiting(delivery, ticket);
                    } else if let Some(delivery) = delivery {
                        leave(delivery);
                    }
                    return answer;
                }
                Stage::Over => return Poll::Ready(Err(Kind::Closed.into())),
            }
        }
    }
}

/// Polled again after it was ready, it says that the requester has ended; it sends nothing a second time.
impl<M: Mode> Future for Requesting<'_, M> {
    type Output = Result<Message, RequestError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_stage(context)
    }
}

impl<M: Mode> Drop for Requesting<'_, M> {
    fn drop(&mut self) {
        if let Stage::Waiting(Some(delivery), _) = core::mem::replace(&mut self.stage, Stage::Over)
        {
            leave(delivery);
        }
    }
}

impl<M: Mode> fmt::Debug for Requesting<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requesting").finish_non_exhaustive()
    }
}

fn poll_answer(
    delivery: &mut Option<Delivery>,
    ticket: &mut Ticket,
    context: &mut Context<'_>,
    quiet: bool,
) -> Poll<Result<Message, RequestError>> {
    while poll_slot(ticket.shared(), ticket.slot(), context, quiet).is_ready() {
        match ticket.find() {
            Found::Answer(mut answer) => {
                if intercept(ticket.shared().policy(), &mut answer).is_ok() {
                    return Poll::Ready(Ok(answer));
                }
                ticket.renew();
            }
            Found::TimedOut => return Poll::Ready(Err(Kind::TimedOut.into())),
            Found::Ended => return Poll::Ready(Err(Kind::Closed.into())),
        }
    }
    let Some(published) = delivery else {
        return Poll::Pending;
    };
    let result = core::task::ready!(Pin::new(published).poll(context));
    *delivery = None;
    failure(result).map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
}

/// The request is over: how its publish ended is told if that is known, and it is taken back if it was not sent.
fn leave(mut delivery: Delivery) {
    if delivery.try_outcome().is_none() {
        drop(delivery.withdraw());
    }
}

/// Why no answer will come to a request that was published like this.
fn failure(result: Result<Delivered, PublishError>) -> Option<RequestError> {
    match result {
        Ok(delivered) if delivered.reason() == ReasonCode::NO_MATCHING_SUBSCRIBERS => {
            Some(Kind::NoResponder.into())
        }
        // It may have arrived, and then it will be answered.
        Ok(_) => None,
        Err(error) if error.kind() == PublishErrorKind::Unknown => None,
        Err(error) => Some(not_published(error)),
    }
}

fn not_published(error: PublishError) -> RequestError {
    match error.kind() {
        PublishErrorKind::TimedOut => Kind::TimedOut.into(),
        PublishErrorKind::Closed => Kind::Closed.into(),
        _ => RequestError::new(Kind::NotPublished, Detail::Publish(error)),
    }
}

/// How long an answer is waited for unless the request says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
