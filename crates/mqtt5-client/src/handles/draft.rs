//! Messages as interceptors see them.

use super::message::Message;
use crate::delivered::Delivered;
use crate::error::{Detail, PublishError, PublishErrorKind};
use crate::options::{Interception, LocalPolicy};
use crate::payload::Payload;
use crate::planted::planted;
use crate::properties::PropertyList;
use bytes::Bytes;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use mqtt5_proto::packet::Publish;
use mqtt5_proto::{
    EncodeError, Instant, Properties, Property, QoS, RejectReason, TopicError, TopicName,
};
use std::borrow::Cow;

/// A message that is to be published, as interceptors see it; see [`Options::intercept_publish`](crate::Options::intercept_publish).
///
/// Setters cannot fail: a topic or property that may not be sent is told to whoever publishes.
pub struct PublishDraft<'a> {
    pub(super) topic: Cow<'a, str>,
    pub(super) payload: Payload<'a>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) alias: bool,
    pub(super) until_written: bool,
    pub(super) properties: PropertyList,
    pub(super) timeout: Option<Duration>,
    pub(super) observers: Observers,
}

impl<'a> PublishDraft<'a> {
    pub(super) fn new(topic: Cow<'a, str>, payload: Payload<'a>) -> Self {
        Self {
            topic,
            payload,
            qos: QoS::AtMostOnce,
            retain: false,
            alias: false,
            until_written: false,
            properties: PropertyList::default(),
            timeout: None,
            observers: Observers::default(),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Replaces the topic.
    pub fn set_topic(&mut self, topic: impl Into<String>) {
        self.topic = Cow::Owned(topic.into());
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_bytes()
    }

    /// Replaces the payload.
    pub fn set_payload(&mut self, payload: impl Into<Bytes>) {
        self.payload = Payload::Shared(payload.into());
    }

    /// The Quality of Service.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// Replaces the Quality of Service.
    pub fn set_qos(&mut self, qos: QoS) {
        self.qos = qos;
    }

    /// Whether the server is to keep the message.
    pub fn retain(&self) -> bool {
        self.retain
    }

    /// Replaces the RETAIN flag.
    pub fn set_retain(&mut self, retain: bool) {
        self.retain = retain;
    }

    /// The properties.
    pub fn properties(&self) -> Properties<'_> {
        self.properties.view()
    }

    /// Adds a property, in the place of one of its kind if it may occur only once (3.3.2.3).
    pub fn set_property(&mut self, property: Property<'_>) {
        self.properties.push(property);
    }

    /// Takes all properties away.
    pub fn clear_properties(&mut self) {
        self.properties = PropertyList::default();
    }

    /// Calls `observer` with the outcome of the publish, on the task or thread that gets it, just before.
    ///
    /// That is whoever awaits the publish or its [`Delivery`](crate::Delivery). When both are dropped first, the observer is dropped
    /// without a call: nobody hears how such a publish ends. Observers are called in the order in which they were added; nothing is
    /// locked.
    pub fn on_outcome(
        &mut self,
        observer: impl FnOnce(Result<&Delivered, &PublishError>) + Send + Sync + 'static,
    ) {
        self.observers.0.push(Box::new(observer));
    }

    /// Lets the interceptors and the limits of this client have their say.
    pub(super) fn check(&mut self, policy: &LocalPolicy) -> Result<(), PublishError> {
        let interceptors = policy.interceptors.publish.snapshot();
        for interceptor in interceptors.iter().flat_map(|list| list.iter()) {
            let said = interceptor(self).map_err(|refusal| {
                PublishError::new(PublishErrorKind::Intercepted, Detail::Refusal(refusal))
            });
            if !planted!(PublishRefused) {
                said?;
            }
        }
        if self.topic.len() > policy.maximum_topic_length {
            let detail = Detail::Topic(TopicError::TooLong);
            return Err(PublishError::new(PublishErrorKind::InvalidTopic, detail));
        }
        if self.payload.as_bytes().len() > policy.maximum_payload {
            return Err(PublishErrorKind::TooLarge.into());
        }
        Ok(())
    }
}

type Observer = dyn FnOnce(Result<&Delivered, &PublishError>) + Send + Sync;

/// Who wants to know how a publish ends.
#[derive(Default)]
pub(super) struct Observers(Vec<Box<Observer>>);

impl Observers {
    /// Tells them, once.
    pub(super) fn tell(&mut self, outcome: Result<&Delivered, &PublishError>) {
        for observer in core::mem::take(&mut self.0) {
            observer(outcome);
        }
    }
}

impl fmt::Debug for PublishDraft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("topic", &self.topic)
            .field("payload", &self.payload)
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("properties", &self.properties)
            .finish()
    }
}

/// A received message, as interceptors see it; see [`Options::intercept_message`](crate::Options::intercept_message).
///
/// What it was received as can be read through `Deref`. Each change makes a copy of the message.
pub struct MessageDraft<'a>(&'a mut Message);

impl<'a> MessageDraft<'a> {
    pub(super) fn new(message: &'a mut Message) -> Self {
        Self(message)
    }

    /// When it arrived, on the clock of the adapter.
    pub fn received_at(&self) -> Instant {
        self.0.received_at()
    }

    /// Replaces the topic.
    ///
    /// # Errors
    ///
    /// The message would be longer than the protocol can say; nothing was changed.
    pub fn set_topic(&mut self, topic: TopicName<'_>) -> Result<(), EncodeError> {
        self.change(Some(topic), None, None)
    }

    /// Replaces the payload. The Payload Format Indicator stays what it is.
    ///
    /// # Errors
    ///
    /// The message would be longer than the protocol can say; nothing was changed.
    pub fn set_payload(&mut self, payload: &[u8]) -> Result<(), EncodeError> {
        self.change(None, None, Some(payload))
    }

    /// Replaces all properties.
    ///
    /// # Errors
    ///
    /// A property that PUBLISH may not carry (3.3.2.3); nothing was changed.
    pub fn set_properties(&mut self, properties: Properties<'_>) -> Result<(), EncodeError> {
        self.change(None, Some(properties), None)
    }

    fn change(
        &mut self,
        topic: Option<TopicName<'_>>,
        properties: Option<Properties<'_>>,
        payload: Option<&[u8]>,
    ) -> Result<(), EncodeError> {
        let changed = mqtt5_proto::Message::try_from(&Publish {
            delivery: self.delivery(),
            retain: self.retain(),
            topic: Some(topic.unwrap_or_else(|| self.topic_name())),
            properties: properties.unwrap_or_else(|| self.properties()),
            payload: payload.unwrap_or_else(|| self.payload()),
        })?;
        self.0.replace(changed);
        Ok(())
    }
}

impl Deref for MessageDraft<'_> {
    type Target = mqtt5_proto::Message;

    fn deref(&self) -> &mqtt5_proto::Message {
        self.0
    }
}

impl fmt::Debug for MessageDraft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Lets the interceptors have their say about a message that was received: how it is answered if the application does not get it.
pub(super) fn intercept(
    policy: &LocalPolicy,
    message: &mut Message,
) -> Result<(), Option<RejectReason>> {
    let interceptors = policy.interceptors.message.snapshot();
    for interceptor in interceptors.iter().flat_map(|list| list.iter()) {
        match interceptor(&mut MessageDraft::new(message)) {
            Interception::Pass => {}
            Interception::Discard if planted!(PassDiscarded) => {}
            Interception::Discard => return Err(None),
            Interception::Refuse(reason) => return Err(Some(reason)),
        }
    }
    Ok(())
}
