//! Application messages on their way from one publisher to many receivers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqtt5_proto::packet::Will;
use mqtt5_proto::{Instant, Properties, Property, PropertyBuffer, QoS, TopicName};

/// A message as its publisher sent it, borrowed from the packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication<'a> {
    pub(crate) topic: TopicName<'a>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: Properties<'a>,
    pub(crate) payload: &'a [u8],
}

/// What a packet to a receiver is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) topic: TopicName<'a>,
    /// What is forwarded unaltered: everything but the Message Expiry Interval and what ends at the broker.
    pub(crate) properties: Properties<'a>,
    pub(crate) payload: &'a [u8],
    /// The same payload, when receivers may share it.
    pub(crate) shared: Option<&'a Bytes>,
    pub(crate) expires: Option<Instant>,
}

/// A message that outlives its packet: retained, queued, or unacknowledged.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) topic: Box<str>,
    pub(crate) qos: QoS,
    /// As its publisher set it.
    pub(crate) retain: bool,
    properties: PropertyBuffer,
    payload: Bytes,
    pub(crate) expires: Option<Instant>,
}

impl Stored {
    fn new(publication: &Publication<'_>, expires: Option<Instant>) -> Self {
        Self {
            topic: publication.topic.as_str().into(),
            qos: publication.qos,
            retain: publication.retain,
            properties: forwarded(publication.properties),
            payload: Bytes::copy_from_slice(publication.payload),
            expires,
        }
    }

    pub(crate) fn content(&self) -> Content<'_> {
        Content {
            topic: TopicName::new(&self.topic).expect("it was a Topic Name before it was stored"),
            properties: self.properties.as_properties(),
            payload: &self.payload,
            shared: Some(&self.payload),
            expires: self.expires,
        }
    }

    /// The bytes that it keeps in memory.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.topic.len() + self.properties.encoded_len() + self.payload.len()
    }

    /// Whether its Message Expiry Interval has passed.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A message while it is given to its receivers: it is copied only if one of them has to wait for it.
#[derive(Debug)]
pub(crate) struct Fanout<'a> {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Borrowed {
        publication: Publication<'a>,
        expires: Option<Instant>,
    },
    Stored(Arc<Stored>),
}

impl<'a> Fanout<'a> {
    /// A message from its publisher.
    pub(crate) fn new(now: Instant, publication: Publication<'a>) -> Self {
        let expires = publication
            .properties
            .message_expiry_interval()
            .map(|seconds| now + Duration::from_secs(seconds.into()));
        Self {
            qos: publication.qos,
            retain: publication.retain,
            source: Source::Borrowed {
                publication,
                expires,
            },
        }
    }

    /// A message that the broker keeps.
    pub(crate) fn stored(message: Arc<Stored>, retain: bool) -> Self {
        Self {
            qos: message.qos,
            retain,
            source: Source::Stored(message),
        }
    }

    pub(crate) fn topic(&self) -> TopicName<'_> {
        match &self.source {
            Source::Borrowed { publication, .. } => publication.topic,
            Source::Stored(stored) => stored.content().topic,
        }
    }

    /// What packets are made from: the received packet itself if it can be forwarded as it is.
    pub(crate) fn content(&mut self) -> Content<'_> {
        let must_own = match &self.source {
            Source::Stored(_) => false,
            Source::Borrowed { publication, .. } => {
                ends_here(publication.properties) || publication.payload.len() >= SHARED_FROM
            }
        };
        if must_own {
            self.store();
        }
        match &self.source {
            Source::Stored(stored) => stored.content(),
            Source::Borrowed {
                publication,
                expires,
            } => Content {
                topic: publication.topic,
                properties: publication.properties,
                payload: publication.payload,
                shared: None,
                expires: *expires,
            },
        }
    }

    /// The message, owned; all receivers share it.
    pub(crate) fn store(&mut self) -> Arc<Stored> {
        let stored = match &self.source {
            Source::Stored(stored) => Arc::clone(stored),
            Source::Borrowed {
                publication,
                expires,
            } => Arc::new(Stored::new(publication, *expires)),
        };
        self.source = Source::Stored(Arc::clone(&stored));
        stored
    }
}

/// A Will Message, with the session since its CONNECT (3.1.2.5).
#[derive(Debug)]
pub(crate) struct WillMessage {
    topic: Box<str>,
    qos: QoS,
    retain: bool,
    properties: PropertyBuffer,
    payload: Box<[u8]>,
    /// The Will Delay Interval in seconds.
    pub(crate) delay: u32,
}

impl From<&Will<'_>> for WillMessage {
    fn from(will: &Will<'_>) -> Self {
        Self {
            topic: will.topic.as_str().into(),
            qos: will.qos,
            retain: will.retain,
            properties: PropertyBuffer::from(will.properties),
            payload: will.payload.into(),
            delay: will.properties.will_delay_interval().unwrap_or_default(),
        }
    }
}

impl WillMessage {
    /// The message that is published; its Message Expiry Interval begins then (3.1.3.2.4).
    pub(crate) fn publication(&self) -> Publication<'_> {
        Publication {
            topic: TopicName::new(&self.topic).expect("it was a Topic Name in CONNECT"),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.as_properties(),
            payload: &self.payload,
        }
    }
}

/// One message for one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Stored>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: Identifiers,
    /// The Shared Subscription that it came through, with its full filter.
    pub(crate) share: Option<Arc<str>>,
}

/// The Subscription Identifiers of every subscription that a message matches.
#[derive(Clone, Debug, Default)]
pub(crate) enum Identifiers {
    #[default]
    None,
    One(u32),
    Many(Vec<u32>),
}

impl Identifiers {
    pub(crate) fn push(&mut self, identifier: Option<u32>) {
        let Some(identifier) = identifier else { return };
        *self = match std::mem::take(self) {
            Self::None => Self::One(identifier),
            Self::One(first) => Self::Many(vec![first, identifier]),
            Self::Many(mut all) => {
                all.push(identifier);
                Self::Many(all)
            }
        };
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(identifier) => std::slice::from_ref(identifier),
            Self::Many(all) => all,
        }
    }
}

/// Whether some property is not for the receivers, or not with this value.
fn ends_here(properties: Properties<'_>) -> bool {
    properties.message_expiry_interval().is_some()
        || properties.topic_alias().is_some()
        || properties.will_delay_interval().is_some()
}

const fn is_forwarded(property: &Property<'_>) -> bool {
    !matches!(
        property,
        Property::MessageExpiryInterval(_)
            | Property::TopicAlias(_)
            | Property::WillDelayInterval(_)
    )
}

/// The properties that receivers get, in their order [MQTT-3.3.2-18].
fn forwarded(properties: Properties<'_>) -> PropertyBuffer {
    if !ends_here(properties) {
        return PropertyBuffer::from(properties);
    }
    PropertyBuffer::forwarded(properties, is_forwarded)
}

/// The length from which a payload is shared by its receivers rather than copied to each.
pub(crate) const SHARED_FROM: usize = 16 << 10;
