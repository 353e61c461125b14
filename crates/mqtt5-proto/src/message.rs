//! A received message that outlives the receive buffer.

use core::fmt;
use core::str;

use bytes::Bytes;

use crate::packet::{Delivery, Publish, PublishLayout};
use crate::wire::Reader;
use crate::{
    Decoding, EncodeError, FixedHeader, Packet, PacketId, PacketType, Properties, ProtocolVersion,
    QoS, Role, TopicName,
};

/// A received application message: one shared slice of the receive chunk, and where its parts are. Cloning it copies
/// no data.
///
/// As long as it lives, so does the chunk that it was received in, up to 256 KiB or the size of the packet;
/// [`detach`](Self::detach) gives a copy of its own.
#[derive(Clone)]
pub struct Message {
    frame: Bytes,
    layout: PublishLayout,
    /// The topic that a Topic Alias stands for.
    alias: Option<Bytes>,
}

impl Message {
    pub(crate) const fn new(frame: Bytes, layout: PublishLayout, alias: Option<Bytes>) -> Self {
        Self {
            frame,
            layout,
            alias,
        }
    }

    /// The Topic Name, also when a Topic Alias stood for it.
    pub fn topic(&self) -> &str {
        let topic = self.layout.topic(&self.frame);
        str::from_utf8(self.alias.as_deref().unwrap_or(topic)).unwrap_or_default()
    }

    /// The Topic Name as a type.
    pub fn topic_name(&self) -> TopicName<'_> {
        TopicName::from_validated(self.topic())
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.layout.payload(&self.frame)
    }

    /// The payload, sharing its memory with this message.
    pub fn payload_bytes(&self) -> Bytes {
        self.frame.slice_ref(self.payload())
    }

    /// The payload as text; `None` when it is no UTF-8.
    pub fn payload_str(&self) -> Option<&str> {
        str::from_utf8(self.payload()).ok()
    }

    /// The QoS that the server sent it with.
    pub const fn qos(&self) -> QoS {
        self.layout.delivery.qos()
    }

    /// QoS, Packet Identifier and DUP.
    pub const fn delivery(&self) -> Delivery {
        self.layout.delivery
    }

    /// The Packet Identifier; `None` for QoS 0.
    pub const fn packet_id(&self) -> Option<PacketId> {
        self.layout.delivery.packet_id()
    }

    /// Whether it is a retained message, or was published as one to a subscription with Retain As Published (3.3.1.3).
    pub const fn retain(&self) -> bool {
        self.layout.retain
    }

    /// The properties; looking them up costs one UTF-8 check of the whole block, so keep the view for several.
    pub fn properties(&self) -> Properties<'_> {
        self.layout.properties(&self.frame)
    }

    /// What publishers must not send and servers forward all the same.
    pub fn content_faults(&self) -> ContentFaults {
        let properties = self.properties();
        let format = properties.payload_format_indicator().unwrap_or_default();
        ContentFaults {
            payload_format_indicator: format > 1,
            payload: format == 1 && self.payload_str().is_none(),
            response_topic: properties
                .response_topic()
                .is_some_and(|topic| TopicName::new(topic).is_err()),
        }
    }

    /// The bytes of the whole packet that it occupies.
    pub fn encoded_len(&self) -> usize {
        self.frame.len()
    }

    /// A copy that shares no memory with the receive chunk.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self {
            frame: Bytes::copy_from_slice(&self.frame),
            layout: self.layout,
            alias: self.alias.clone(),
        }
    }
}

/// A message with memory of its own, as if the packet had been received: for what changes messages, and for tests.
///
/// # Errors
///
/// As for encoding the packet, and [`EncodeError::NoTopic`] when a Topic Alias stands for the topic.
impl TryFrom<&Publish<'_>> for Message {
    type Error = EncodeError;

    fn try_from(publish: &Publish<'_>) -> Result<Self, EncodeError> {
        publish.topic.ok_or(EncodeError::NoTopic)?;
        let mut frame = alloc::vec::Vec::new();
        Packet::Publish(*publish).encode_to_vec(ProtocolVersion::V5, &mut frame)?;
        let layout = layout_of(&frame).ok_or(EncodeError::PropertyNotAllowed(PacketType::Publish));
        Ok(Self::new(Bytes::from(frame), layout?, None))
    }
}

fn layout_of(frame: &[u8]) -> Option<PublishLayout> {
    let decoding = Decoding::new(Role::Server);
    let header = FixedHeader::parse(frame, &decoding).ok()??;
    let mut body = Reader::new(frame.get(header.header_len..)?, header.header_len);
    let (_, layout) = Publish::read(&mut body, &header, &decoding).ok()?;
    Some(layout)
}

impl fmt::Debug for Message {
    /// Prints the length of the payload, not the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("delivery", &self.delivery())
            .field("retain", &self.retain())
            .field("properties", &self.properties())
            .field("payload_len", &self.payload().len())
            .finish()
    }
}

/// Content that a publisher must not send, and that a receiver may complain about; none of it costs the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContentFaults {
    /// Payload Format Indicator above 1 (3.3.2.3.2).
    pub payload_format_indicator: bool,
    /// The payload is not the UTF-8 that Payload Format Indicator 1 promises (3.3.2.3.2).
    pub payload: bool,
    /// The Response Topic is no Topic Name [MQTT-3.3.2-14].
    pub response_topic: bool,
}

impl ContentFaults {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        !(self.payload_format_indicator || self.payload || self.response_topic)
    }
}
