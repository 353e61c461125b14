//! Publishing a message.

use super::delivery::{Delivery, poll_delivery};
use super::draft::PublishDraft;
use super::slot::{Attempt, Caller, Room, close_slot};
use crate::delivered::Delivered;
use crate::engine::{Accepted, Draft, NotAccepted};
use crate::error::{Detail, PublishError, PublishErrorKind};
use crate::mode::{Async, Blocking, Mode, wait};
use crate::payload::Payload;
use crate::properties::seconds;
use crate::shared::Shared;
use crate::slab::Key;
use core::fmt;
use core::future::{Future, IntoFuture};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use mqtt5_proto::{Instant, Outbound, Property, QoS, TopicName};
use std::borrow::Cow;
use std::sync::Arc;

/// A publish that is being put together; see [`Client::publish`](crate::Client::publish).
///
/// Setters cannot fail: a topic or property that may not be sent is told when the publish begins.
#[must_use = "a publish does nothing until it is awaited, started or waited for"]
pub struct Publish<'a, M: Mode = Async> {
    shared: &'a Arc<Shared>,
    draft: PublishDraft<'a>,
    mode: PhantomData<M>,
}

impl<'a, M: Mode> Publish<'a, M> {
    pub(super) fn new(shared: &'a Arc<Shared>, topic: Cow<'a, str>, payload: Payload<'a>) -> Self {
        Self {
            shared,
            draft: PublishDraft::new(topic, payload),
            mode: PhantomData,
        }
    }

    /// Sets the Quality of Service (3.3.1.2); QoS 0 by default.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.draft.qos = qos;
        self
    }

    /// Sets whether the server keeps the message for later subscribers (3.3.1.3).
    pub fn retain(mut self, retain: bool) -> Self {
        self.draft.retain = retain;
        self
    }

    /// Asks for a Topic Alias where the [options](crate::Options::topic_aliases) use them on request (3.3.2.3.4).
    pub fn topic_alias(mut self, alias: bool) -> Self {
        self.draft.alias = alias;
        self
    }

    /// Lets a QoS 0 publish be complete when all of it is written to the transport, not already when it is accepted. If the connection
    /// ends before that, it ends as [`NotSent`](PublishErrorKind::NotSent).
    pub fn until_written(mut self) -> Self {
        self.draft.until_written = true;
        self
    }

    /// Says whether the payload is UTF-8 text (3.3.2.3.2); one that is not, but is said to be, is not sent.
    pub fn payload_is_text(self, text: bool) -> Self {
        self.property(Property::PayloadFormatIndicator(u8::from(text)))
    }

    /// Sets how long the message lives; whole seconds, rounded up (3.3.2.3.3). Time spent waiting in this client counts.
    pub fn message_expiry(self, expiry: Duration) -> Self {
        self.property(Property::MessageExpiryInterval(seconds(expiry)))
    }

    /// Sets where an answer should go (3.3.2.3.5).
    pub fn response_topic(self, topic: &str) -> Self {
        self.property(Property::ResponseTopic(topic))
    }

    /// Sets what the answer should carry to be recognised (3.3.2.3.6).
    pub fn correlation_data(self, data: &[u8]) -> Self {
        self.property(Property::CorrelationData(data))
    }

    /// Adds a User Property; names may repeat, the order is kept (3.3.2.3.7).
    pub fn user_property(self, name: &str, value: &str) -> Self {
        self.property(Property::UserProperty(name, value))
    }

    /// Describes the payload, for example as a MIME type (3.3.2.3.9).
    pub fn content_type(self, content_type: &str) -> Self {
        self.property(Property::ContentType(content_type))
    }

    /// Bounds the time until the publish is complete, counted from when it begins; no bound by default.
    ///
    /// When it is over, a message that was not encoded is withdrawn. One that was goes on to its end, unwatched.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.draft.timeout = Some(timeout);
        self
    }

    /// Publishes if that needs no waiting for room; never blocks.
    ///
    /// # Errors
    ///
    /// [`PublishErrorKind::WouldBlock`] when there is no room now, otherwise as for a publish that is awaited.
    pub fn try_publish(self) -> Result<Delivery<M>, PublishError> {
        let mut accepting = Accepting::new(self.shared, self.draft, false);
        let accepted = accepting.try_accept();
        accepting.started(accepted)
    }

    /// As [`start`](Publish::start), for both modes; `quiet` when the caller looks after the driver.
    pub(super) fn accepting(self, quiet: bool) -> Starting<'a> {
        Starting(Accepting::new(self.shared, self.draft, quiet))
    }

    fn property(mut self, property: Property<'_>) -> Self {
        self.draft.properties.push(property);
        self
    }
}

impl<'a> Publish<'a, Async> {
    /// Resolves when the message is accepted, and gives a [`Delivery`] that resolves when it is complete.
    ///
    /// Cancel safe: nothing is accepted before the first poll, and a future dropped before it resolves has accepted nothing.
    pub fn start(self) -> Starting<'a> {
        self.accepting(false)
    }
}

impl<'a> Publish<'a, Blocking> {
    /// Waits until the publish is complete, as the future of the async mode does.
    ///
    /// # Errors
    ///
    /// See [`PublishErrorKind`].
    pub fn wait(self) -> Result<Delivered, PublishError> {
        let shared = self.shared;
        wait(
            shared,
            Publishing::new(Accepting::new(shared, self.draft, true)),
        )
    }

    /// Waits until the message is accepted, which takes time only when there is no room.
    ///
    /// # Errors
    ///
    /// See [`PublishErrorKind`].
    pub fn start(self) -> Result<Delivery<Blocking>, PublishError> {
        let shared = self.shared;
        let accepted = wait(shared, self.accepting(true))?;
        Ok(accepted.into_mode())
    }
}

/// Resolves when the publish is complete: QoS 0 when it is accepted for sending, QoS 1 and 2 when the server has acknowledged it.
///
/// Dropping the future detaches: a message that was accepted is delivered all the same. Nothing is accepted before the first poll.
impl<'a> IntoFuture for Publish<'a, Async> {
    type Output = Result<Delivered, PublishError>;
    type IntoFuture = Publishing<'a>;

    fn into_future(self) -> Publishing<'a> {
        Publishing::new(Accepting::new(self.shared, self.draft, false))
    }
}

impl<M: Mode> fmt::Debug for Publish<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draft.fmt(f)
    }
}

impl PublishDraft<'_> {
    fn checked(&self, deadline: Option<Instant>) -> Result<Draft<'_>, PublishError> {
        let topic = TopicName::new(&self.topic).map_err(|error| {
            PublishError::new(PublishErrorKind::InvalidTopic, Detail::Topic(error))
        })?;
        let properties = self.properties.checked();
        let properties = properties.map_err(|error| {
            PublishError::new(PublishErrorKind::InvalidProperty, Detail::Encode(error))
        })?;
        let payload = match &self.payload {
            Payload::Shared(bytes) if bytes.len() >= SHARE_FROM => {
                mqtt5_proto::Payload::Shared(bytes.clone())
            }
            payload => mqtt5_proto::Payload::Borrowed(payload.as_bytes()),
        };
        Ok(Draft {
            outbound: Outbound {
                topic,
                qos: self.qos,
                retain: self.retain,
                properties,
                payload,
                alias: self.alias,
            },
            deadline,
            until_written: self.until_written,
        })
    }
}

/// A message on its way into the engine.
struct Accepting<'a> {
    shared: &'a Arc<Shared>,
    draft: PublishDraft<'a>,
    room: Room,
    quiet: bool,
    prepared: bool,
    deadline: Option<Instant>,
}

impl<'a> Accepting<'a> {
    fn new(shared: &'a Arc<Shared>, draft: PublishDraft<'a>, quiet: bool) -> Self {
        Self {
            shared,
            draft,
            room: Room::default(),
            quiet,
            prepared: false,
            deadline: None,
        }
    }

    /// What is done once, at the first poll.
    fn prepare(&mut self) -> Result<(), PublishError> {
        if self.prepared {
            return Ok(());
        }
        self.draft.check(self.shared.policy())?;
        self.prepared = true;
        self.deadline = self
            .draft
            .timeout
            .map(|timeout| self.shared.now() + timeout);
        if let Payload::Shared(bytes) = &mut self.draft.payload {
            if bytes.len() >= SHARE_FROM {
                *bytes = self.shared.share(core::mem::take(bytes));
            }
        }
        Ok(())
    }

    fn try_accept(&mut self) -> Result<Accepted, PublishError> {
        self.prepare()?;
        let now = self.shared.now();
        let draft = self.draft.checked(self.deadline)?;
        let accepted = self.shared.lock().publish(now, &draft, &mut None);
        accepted.map_err(|refused| match refused {
            NotAccepted::NoRoom => PublishErrorKind::WouldBlock.into(),
            NotAccepted::Refused(error) => error,
        })
    }

    /// What is given to whoever does not wait for the end of the publish.
    fn started<M: Mode>(
        &mut self,
        accepted: Result<Accepted, PublishError>,
    ) -> Result<Delivery<M>, PublishError> {
        let observers = &mut self.draft.observers;
        match accepted {
            Ok(accepted) => {
                let observers = core::mem::take(observers);
                Ok(Delivery::new(self.shared.clone(), accepted, observers))
            }
            Err(error) => {
                observers.tell(Err(&error));
                Err(error)
            }
        }
    }

    /// `waker` is for an answer that is to be waited for.
    fn poll(
        &mut self,
        context: &Context<'_>,
        waker: Option<Waker>,
    ) -> Poll<Result<Accepted, PublishError>> {
        self.prepare()?;
        let draft = self.draft.checked(self.deadline)?;
        let attempt = |engine: &mut crate::engine::Engine, now, waker: &mut _| match engine
            .publish(now, &draft, waker)
        {
            Ok(accepted) => Attempt::Ready(Ok(accepted)),
            Err(NotAccepted::NoRoom) => Attempt::NoRoom,
            Err(NotAccepted::Refused(error)) => Attempt::Ready(Err(error)),
        };
        let expired = || Err(PublishErrorKind::TimedOut.into());
        let caller = Caller {
            shared: self.shared,
            context,
            quiet: self.quiet,
            deadline: self.deadline,
            waker,
        };
        self.room.poll(caller, attempt, expired)
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        self.room.leave(self.shared);
        if let Payload::Shared(bytes) = &mut self.draft.payload {
            drop(core::mem::take(bytes));
            self.shared.empty_trash();
        }
    }
}

/// The future of [`Publish`]: resolves when the publish is complete.
#[must_use = "futures do nothing unless polled"]
pub struct Publishing<'a> {
    accepting: Accepting<'a>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Accepting,
    Open(Key),
    Over,
}

impl<'a> Publishing<'a> {
    fn new(accepting: Accepting<'a>) -> Self {
        Self {
            accepting,
            stage: Stage::Accepting,
        }
    }

    fn poll_outcome(&mut self, context: &Context<'_>) -> Poll<Result<Delivered, PublishError>> {
        let slot = match self.stage {
            Stage::Open(slot) => slot,
            Stage::Over => return Poll::Ready(Err(PublishErrorKind::Unknown.into())),
            Stage::Accepting => {
                // All but QoS 0 will wait for an answer: the waker goes in with the message.
                let waits = self.accepting.draft.qos != QoS::AtMostOnce;
                let waker = waits.then(|| context.waker().clone());
                let accepted = core::task::ready!(self.accepting.poll(context, waker));
                self.stage = Stage::Over;
                match accepted? {
                    Accepted::Done => return Poll::Ready(Ok(Delivered::accepted())),
                    Accepted::Open(slot) => slot,
                }
            }
        };
        self.stage = Stage::Open(slot);
        let shared = self.accepting.shared;
        let result = core::task::ready!(poll_delivery(shared, slot, context, self.accepting.quiet));
        self.stage = Stage::Over;
        Poll::Ready(result)
    }
}

/// Polled again after it was ready, it says that the outcome is not known; it publishes nothing a second time.
impl Future for Publishing<'_> {
    type Output = Result<Delivered, PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = core::task::ready!(self.poll_outcome(context));
        self.accepting.draft.observers.tell(outcome.as_ref());
        Poll::Ready(outcome)
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        if let Stage::Open(slot) = self.stage {
            close_slot(self.accepting.shared, slot);
        }
    }
}

impl fmt::Debug for Publishing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.accepting.draft.fmt(f)
    }
}

/// The future of [`Publish::start`]: resolves when the message is accepted.
#[must_use = "futures do nothing unless polled"]
pub struct Starting<'a>(Accepting<'a>);

impl Future for Starting<'_> {
    type Output = Result<Delivery<Async>, PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let accepted = core::task::ready!(self.0.poll(context, None));
        Poll::Ready(self.0.started(accepted))
    }
}

impl fmt::Debug for Starting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.draft.fmt(f)
    }
}

/// A shared payload of at least so many bytes is sent from where it is; a smaller one is copied when it is accepted.
const SHARE_FROM: usize = 4 * 1024;
