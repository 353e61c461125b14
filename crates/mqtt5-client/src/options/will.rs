//! The message that the server publishes when the client is lost.

use crate::payload::Payload;
use crate::properties::PropertyList;
use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use mqtt5_proto::{Property, QoS};

/// A Will Message (3.1.2.5): QoS 0 and not retained unless told otherwise.
///
/// Setters cannot fail; a topic or property that may not be sent is told when the client is built. `Debug` gives the payload's length only.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a will does nothing until it is given to `Options::will`"]
pub struct Will {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) properties: PropertyList,
}

impl Will {
    /// Starts a will with its topic and payload, at most 65,535 bytes.
    pub fn new<'a>(topic: impl Into<String>, payload: impl Into<Payload<'a>>) -> Self {
        Self {
            topic: topic.into(),
            // A copy: whose bytes they were must not matter where the will goes away.
            payload: Bytes::copy_from_slice(payload.into().as_bytes()),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PropertyList::default(),
        }
    }

    /// Sets the Quality of Service that the server publishes it with.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Sets whether the server retains it.
    pub fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Sets how long the server waits for the client to come back; whole seconds, rounded up (3.1.3.2.2).
    pub fn delay(self, delay: Duration) -> Self {
        self.property(Property::WillDelayInterval(crate::properties::seconds(
            delay,
        )))
    }

    /// Says whether the payload is UTF-8 text (3.1.3.2.3); one that is not, but is said to be, is told when the client is built.
    pub fn payload_is_text(self, text: bool) -> Self {
        self.property(Property::PayloadFormatIndicator(u8::from(text)))
    }

    /// Sets how long the published message lives; whole seconds, rounded up (3.1.3.2.4).
    pub fn message_expiry(self, expiry: Duration) -> Self {
        self.property(Property::MessageExpiryInterval(crate::properties::seconds(
            expiry,
        )))
    }

    /// Describes the payload, for example as a MIME type (3.1.3.2.5).
    pub fn content_type(self, content_type: &str) -> Self {
        self.property(Property::ContentType(content_type))
    }

    /// Sets where an answer should go (3.1.3.2.6).
    pub fn response_topic(self, topic: &str) -> Self {
        self.property(Property::ResponseTopic(topic))
    }

    /// Sets what the answer should carry to be recognised (3.1.3.2.7).
    pub fn correlation_data(self, data: &[u8]) -> Self {
        self.property(Property::CorrelationData(data))
    }

    /// Adds a User Property; names may repeat, the order is kept (3.1.3.2.8).
    pub fn user_property(self, name: &str, value: &str) -> Self {
        self.property(Property::UserProperty(name, value))
    }

    fn property(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }
}

impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("properties", &self.properties)
            .finish()
    }
}
