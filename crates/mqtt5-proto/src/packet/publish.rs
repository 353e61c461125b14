//! PUBLISH (3.3).

use core::fmt;

use super::sum;
use crate::wire::{Reader, Writer};
use crate::{
    DecodeError, DecodeErrorKind as Kind, Decoding, EncodeError, FixedHeader, PacketId, PacketType,
    Place, Properties, QoS, Role, TopicName,
};

const RETAIN: u8 = 0x01;
const QOS_SHIFT: u8 = 1;
const DUP: u8 = 0x08;

const PLACE: Place = Place::Packet(PacketType::Publish);
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const TOPIC_ALIAS: u8 = 0x23;

/// The QoS of a PUBLISH, with what only QoS 1 and 2 have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce {
        /// The Packet Identifier of the exchange.
        id: PacketId,
        /// Whether it may have been sent before (3.3.1.1).
        dup: bool,
    },
    /// QoS 2.
    ExactlyOnce {
        /// The Packet Identifier of the exchange.
        id: PacketId,
        /// Whether it may have been sent before (3.3.1.1).
        dup: bool,
    },
}

impl Delivery {
    /// The Quality of Service.
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    /// The Packet Identifier; `None` for QoS 0.
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { id, .. } | Self::ExactlyOnce { id, .. } => Some(id),
        }
    }

    /// Whether the packet may have been sent before; false for QoS 0.
    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }
}

/// Publish message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// QoS, Packet Identifier and DUP.
    pub delivery: Delivery,
    /// To a server: retain this message. To a client: it is a retained message, or the subscription asked for Retain
    /// As Published (3.3.1.3).
    pub retain: bool,
    /// The Topic Name; `None` when the Topic Alias stands for it.
    pub topic: Option<TopicName<'a>>,
    /// The properties.
    pub properties: Properties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        header: &FixedHeader,
        decoding: &Decoding,
    ) -> Result<(Self, PublishLayout), DecodeError> {
        let qos = QoS::try_from(header.flags >> QOS_SHIFT & 3)
            .map_err(|_| reader.error(Kind::InvalidQoS))?;
        let dup = header.flags & DUP != 0;
        if dup && qos == QoS::AtMostOnce && !decoding.lenient {
            return Err(reader.error(Kind::DupWithoutQoS));
        }
        let topic = reader.topic_name()?;
        let topic_end = reader.offset();
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce {
                id: reader.packet_id()?,
                dup,
            },
            QoS::ExactlyOnce => Delivery::ExactlyOnce {
                id: reader.packet_id()?,
                dup,
            },
        };
        let properties = Properties::decode(reader, PLACE, decoding.lenient)?;
        if topic.is_none() && !properties.contains(TOPIC_ALIAS) {
            return Err(reader.error(Kind::EmptyTopicName));
        }
        if decoding.from == Role::Client && properties.contains(SUBSCRIPTION_IDENTIFIER) {
            return Err(reader.error(Kind::SubscriptionIdentifierFromClient));
        }
        let payload_start = reader.offset();
        let publish = Self {
            delivery,
            retain: header.flags & RETAIN != 0,
            topic,
            properties,
            payload: reader.rest(),
        };
        let layout = PublishLayout {
            delivery,
            retain: publish.retain,
            topic_end,
            topic_len: topic.map_or(0, |topic| topic.as_str().len()),
            properties_len: properties.received_len(),
            properties_present: properties.present(),
            payload_start,
            topic_alias: properties.topic_alias().unwrap_or(0),
        };
        Ok((publish, layout))
    }

    /// Packet Identifier and Topic Name of a body of which nothing else need be right.
    pub(crate) fn identity<'b>(
        body: &'b [u8],
        header: &FixedHeader,
    ) -> Option<(PacketId, &'b [u8])> {
        let mut reader = Reader::new(body, header.header_len);
        let topic = reader.binary().ok()?;
        let identified = header.flags >> QOS_SHIFT & 3 != 0;
        let id = identified.then(|| reader.packet_id().ok())??;
        Some((id, topic))
    }

    pub(super) const fn flags(&self) -> u8 {
        let retain = if self.retain { RETAIN } else { 0 };
        let dup = if self.delivery.dup() { DUP } else { 0 };
        retain | dup | (self.delivery.qos() as u8) << QOS_SHIFT
    }

    pub(super) fn len(&self) -> Result<usize, EncodeError> {
        if self.topic.is_none() && !self.properties.contains(TOPIC_ALIAS) {
            return Err(EncodeError::NoTopic);
        }
        Ok(sum([
            2,
            self.topic.map_or(0, |topic| topic.as_str().len()),
            if self.delivery.packet_id().is_some() {
                2
            } else {
                0
            },
            self.properties.encoded_len(PLACE)?,
            self.payload.len(),
        ]))
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        self.write_head(writer);
        writer.bytes(self.payload);
    }

    fn write_head(&self, writer: &mut Writer<'_>) {
        writer.utf8(self.topic.map_or("", TopicName::as_str));
        if let Some(id) = self.delivery.packet_id() {
            writer.u16(id.value());
        }
        self.properties.encode(writer);
    }

    /// Appends everything up to the payload, which is to follow, and gives the length of the whole packet in bytes: for
    /// a payload that several packets share.
    ///
    /// # Errors
    ///
    /// As [`Packet::encode_to_vec`](crate::Packet::encode_to_vec); nothing is appended then.
    #[cfg(feature = "alloc")]
    pub fn encode_head(
        &self,
        crate::ProtocolVersion::V5: crate::ProtocolVersion,
        buffer: &mut alloc::vec::Vec<u8>,
    ) -> Result<usize, EncodeError> {
        let body = self.len()?;
        let length = super::frame_len(body)?;
        let start = buffer.len();
        let head = length.saturating_sub(self.payload.len());
        buffer.resize(start.saturating_add(head), 0);
        let mut writer = Writer::new(buffer.get_mut(start..).unwrap_or_default());
        writer.u8((PacketType::Publish as u8) << 4 | self.flags());
        writer.varint(body as u32);
        self.write_head(&mut writer);
        Ok(length)
    }
}

impl fmt::Debug for Publish<'_> {
    /// Prints the length of the payload, not the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("delivery", &self.delivery)
            .field("retain", &self.retain)
            .field("topic", &self.topic)
            .field("properties", &self.properties)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

/// Where in its frame the parts of a PUBLISH are, so that the view can be made again without decoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishLayout {
    pub(crate) delivery: Delivery,
    pub(crate) retain: bool,
    pub(crate) topic_end: usize,
    pub(crate) topic_len: usize,
    pub(crate) properties_len: usize,
    pub(crate) properties_present: u64,
    pub(crate) payload_start: usize,
    /// 0 is none.
    pub(crate) topic_alias: u16,
}

impl PublishLayout {
    /// The view of the frame, with the topic that a Topic Alias stands for.
    pub(crate) fn publish<'a>(&self, frame: &'a [u8], alias: Option<&'a [u8]>) -> Publish<'a> {
        Publish {
            delivery: self.delivery,
            retain: self.retain,
            topic: core::str::from_utf8(alias.unwrap_or_else(|| self.topic(frame)))
                .ok()
                .filter(|topic| !topic.is_empty())
                .map(TopicName::from_validated),
            properties: self.properties(frame),
            payload: self.payload(frame),
        }
    }

    /// The Topic Name in the frame; empty when a Topic Alias stands for it.
    pub(crate) fn topic<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
            .get(self.topic_end.saturating_sub(self.topic_len)..self.topic_end)
            .unwrap_or_default()
    }

    pub(crate) fn properties<'a>(&self, frame: &'a [u8]) -> Properties<'a> {
        let start = self.payload_start.saturating_sub(self.properties_len);
        let bytes = frame.get(start..self.payload_start).unwrap_or_default();
        Properties::from_validated(bytes, self.properties_present)
    }

    pub(crate) fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.payload_start..).unwrap_or_default()
    }
}
