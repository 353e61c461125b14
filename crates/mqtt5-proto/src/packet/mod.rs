//! The fifteen control packets (chapter 3), as views that borrow.
//!
//! [`Packet::decode`] reads exactly one packet, [`Packet::encode`] writes one into a slice. Nothing here allocates,
//! keeps state or knows what was sent before: that is the machine's.
//!
//! ```
//! use mqtt5_proto::packet::{Delivery, Publish};
//! use mqtt5_proto::{Decoding, Packet, Properties, ProtocolVersion, Role, TopicName};
//!
//! let publish = Packet::Publish(Publish {
//!     delivery: Delivery::AtMostOnce,
//!     retain: false,
//!     topic: Some(TopicName::new("a/b")?),
//!     properties: Properties::EMPTY,
//!     payload: b"22.5",
//! });
//! let mut buffer = [0; 64];
//! let length = publish.encode(ProtocolVersion::V5, &mut buffer)?;
//! assert_eq!(&buffer[..length], b"\x30\x0A\x00\x03a/b\x0022.5");
//! assert_eq!(Packet::decode(&buffer[..length], &Decoding::new(Role::Server))?, publish);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acknowledgement;
mod connack;
mod connect;
mod disconnect;
mod list;
mod publish;
mod shed;
mod subscribe;

pub use acknowledgement::{Acknowledgement, SubscribeAcknowledgement};
pub use connack::Connack;
pub use connect::{Connect, Will};
pub use disconnect::{Auth, Disconnect};
pub use list::{List, ListItem, ListIter};
pub(crate) use publish::PublishLayout;
pub use publish::{Delivery, Publish};
pub use subscribe::{Subscribe, SubscribeFilter, Unsubscribe};

use crate::wire::{Reader, Writer, varint_len};
use crate::{
    DecodeError, DecodeErrorKind, Decoding, EncodeError, FixedHeader, MAXIMUM_REMAINING_LENGTH,
    PacketType, Place, Properties, ProtocolVersion,
};

/// One control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Connection request.
    Connect(Connect<'a>),
    /// Connect acknowledgement.
    Connack(Connack<'a>),
    /// Publish message.
    Publish(Publish<'a>),
    /// Publish acknowledgement (QoS 1).
    Puback(Acknowledgement<'a>),
    /// Publish received (QoS 2, part 1).
    Pubrec(Acknowledgement<'a>),
    /// Publish release (QoS 2, part 2).
    Pubrel(Acknowledgement<'a>),
    /// Publish complete (QoS 2, part 3).
    Pubcomp(Acknowledgement<'a>),
    /// Subscribe request.
    Subscribe(Subscribe<'a>),
    /// Subscribe acknowledgement.
    Suback(SubscribeAcknowledgement<'a>),
    /// Unsubscribe request.
    Unsubscribe(Unsubscribe<'a>),
    /// Unsubscribe acknowledgement.
    Unsuback(SubscribeAcknowledgement<'a>),
    /// Ping request.
    Pingreq,
    /// Ping response.
    Pingresp,
    /// Disconnect notification.
    Disconnect(Disconnect<'a>),
    /// Authentication exchange.
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Reads one packet; `frame` must be exactly as long as its fixed header says.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where. A frame that ends too early is [`DecodeErrorKind::Truncated`], one that goes
    /// on is [`DecodeErrorKind::TrailingBytes`]: use [`FixedHeader::parse`] to find out how long a packet is.
    pub fn decode(frame: &'a [u8], decoding: &Decoding) -> Result<Self, DecodeError> {
        let truncated = DecodeError {
            kind: DecodeErrorKind::Truncated,
            offset: frame.len(),
        };
        let header = FixedHeader::parse(frame, decoding)?.ok_or(truncated)?;
        Self::decode_body(&header, frame, decoding)
    }

    /// Reads the packet that begins with `header`.
    pub(crate) fn decode_body(
        header: &FixedHeader,
        frame: &'a [u8],
        decoding: &Decoding,
    ) -> Result<Self, DecodeError> {
        let body = frame.get(header.header_len..).unwrap_or_default();
        let mut reader = Reader::new(body, header.header_len);
        if reader.remaining() < header.remaining {
            let _ = reader.rest();
            return Err(reader.error(DecodeErrorKind::Truncated));
        }
        if reader.remaining() > header.remaining {
            let _ = reader.bytes(header.remaining);
            return Err(reader.error(DecodeErrorKind::TrailingBytes));
        }
        let packet_type = header.packet_type;
        let input = &mut reader;
        let packet = match packet_type {
            PacketType::Connect => Self::Connect(Connect::read(input, decoding)?),
            PacketType::Connack => Self::Connack(Connack::read(input, decoding)?),
            PacketType::Publish => Self::Publish(Publish::read(input, header, decoding)?.0),
            PacketType::Puback => {
                Self::Puback(Acknowledgement::read(input, packet_type, decoding)?)
            }
            PacketType::Pubrec => {
                Self::Pubrec(Acknowledgement::read(input, packet_type, decoding)?)
            }
            PacketType::Pubrel => {
                Self::Pubrel(Acknowledgement::read(input, packet_type, decoding)?)
            }
            PacketType::Pubcomp => {
                Self::Pubcomp(Acknowledgement::read(input, packet_type, decoding)?)
            }
            PacketType::Subscribe => Self::Subscribe(Subscribe::read(input, decoding)?),
            PacketType::Suback => Self::Suback(SubscribeAcknowledgement::read(
                input,
                packet_type,
                decoding,
            )?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::read(input, decoding)?),
            PacketType::Unsuback => Self::Unsuback(SubscribeAcknowledgement::read(
                input,
                packet_type,
                decoding,
            )?),
            PacketType::Pingreq => Self::Pingreq,
            PacketType::Pingresp => Self::Pingresp,
            PacketType::Disconnect => Self::Disconnect(Disconnect::read(input, decoding)?),
            PacketType::Auth => Self::Auth(Auth::read(input, decoding)?),
        };
        reader.finish()?;
        Ok(packet)
    }

    /// The type of the packet.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Connack(_) => PacketType::Connack,
            Self::Publish(_) => PacketType::Publish,
            Self::Puback(_) => PacketType::Puback,
            Self::Pubrec(_) => PacketType::Pubrec,
            Self::Pubrel(_) => PacketType::Pubrel,
            Self::Pubcomp(_) => PacketType::Pubcomp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Suback(_) => PacketType::Suback,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::Unsuback(_) => PacketType::Unsuback,
            Self::Pingreq => PacketType::Pingreq,
            Self::Pingresp => PacketType::Pingresp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// The properties of the packet, those of a will not among them; none for PINGREQ and PINGRESP.
    pub const fn properties(&self) -> Properties<'a> {
        match self {
            Self::Connect(packet) => packet.properties,
            Self::Connack(packet) => packet.properties,
            Self::Publish(packet) => packet.properties,
            Self::Puback(packet)
            | Self::Pubrec(packet)
            | Self::Pubrel(packet)
            | Self::Pubcomp(packet) => packet.properties,
            Self::Subscribe(packet) => packet.properties,
            Self::Suback(packet) | Self::Unsuback(packet) => packet.properties,
            Self::Unsubscribe(packet) => packet.properties,
            Self::Pingreq | Self::Pingresp => Properties::EMPTY,
            Self::Disconnect(packet) => packet.properties,
            Self::Auth(packet) => packet.properties,
        }
    }

    /// The length of the whole packet on the wire, in bytes.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent.
    pub fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        frame_len(self.body_len(version)?)
    }

    /// Writes the packet to the beginning of `buffer` and gives its length in bytes.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent, or how long the buffer must be. Nothing of use is written then.
    pub fn encode(
        &self,
        version: ProtocolVersion,
        buffer: &mut [u8],
    ) -> Result<usize, EncodeError> {
        let body = self.body_len(version)?;
        let needed = frame_len(body)?;
        let Some(target) = buffer.get_mut(..needed) else {
            return Err(EncodeError::BufferTooSmall { needed });
        };
        let mut writer = Writer::new(target);
        self.write(body, &mut writer);
        debug_assert_eq!(writer.remaining(), 0, "measured length differs: {self:?}");
        Ok(needed)
    }

    /// Appends the packet to `buffer` and gives its length in bytes.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent; the buffer is as before then.
    #[cfg(feature = "alloc")]
    pub fn encode_to_vec(
        &self,
        version: ProtocolVersion,
        buffer: &mut alloc::vec::Vec<u8>,
    ) -> Result<usize, EncodeError> {
        let body = self.body_len(version)?;
        let needed = frame_len(body)?;
        let start = buffer.len();
        buffer.resize(start.saturating_add(needed), 0);
        if let Some(target) = buffer.get_mut(start..) {
            self.write(body, &mut Writer::new(target));
        }
        Ok(needed)
    }

    fn body_len(&self, ProtocolVersion::V5: ProtocolVersion) -> Result<usize, EncodeError> {
        let packet_type = self.packet_type();
        match self {
            Self::Connect(packet) => packet.len(),
            Self::Connack(packet) => packet.len(),
            Self::Publish(packet) => packet.len(),
            Self::Puback(packet)
            | Self::Pubrec(packet)
            | Self::Pubrel(packet)
            | Self::Pubcomp(packet) => packet.len(packet_type),
            Self::Subscribe(packet) => packet.len(),
            Self::Suback(packet) | Self::Unsuback(packet) => packet.len(packet_type),
            Self::Unsubscribe(packet) => packet.len(),
            Self::Pingreq | Self::Pingresp => Ok(0),
            Self::Disconnect(packet) => packet.len(),
            Self::Auth(packet) => packet.len(),
        }
    }

    fn write(&self, body: usize, writer: &mut Writer<'_>) {
        let packet_type = self.packet_type();
        let flags = match self {
            Self::Publish(publish) => publish.flags(),
            _ => packet_type.required_flags().unwrap_or_default(),
        };
        writer.u8((packet_type as u8) << 4 | flags);
        writer.varint(body as u32);
        match self {
            Self::Connect(packet) => packet.write(writer),
            Self::Connack(packet) => packet.write(writer),
            Self::Publish(packet) => packet.write(writer),
            Self::Puback(packet)
            | Self::Pubrec(packet)
            | Self::Pubrel(packet)
            | Self::Pubcomp(packet) => packet.write(writer),
            Self::Subscribe(packet) => packet.write(writer),
            Self::Suback(packet) | Self::Unsuback(packet) => packet.write(writer),
            Self::Unsubscribe(packet) => packet.write(writer),
            Self::Pingreq | Self::Pingresp => {}
            Self::Disconnect(packet) => packet.write(writer),
            Self::Auth(packet) => packet.write(writer),
        }
    }
}

/// The length of a packet with its fixed header.
pub(crate) const fn frame_len(body: usize) -> Result<usize, EncodeError> {
    if body > MAXIMUM_REMAINING_LENGTH {
        return Err(EncodeError::PacketTooLarge);
    }
    Ok(body.saturating_add(varint_len(body)).saturating_add(1))
}

/// Adds up the lengths of fields.
fn sum<const N: usize>(lengths: [usize; N]) -> usize {
    lengths.into_iter().fold(0, usize::saturating_add)
}

/// Data of enhanced authentication needs the name of its method (3.1.2.11.10).
fn authentication_is_complete(properties: &Properties<'_>) -> bool {
    const METHOD: u8 = 0x15;
    const DATA: u8 = 0x16;
    !properties.contains(DATA) || properties.contains(METHOD)
}

/// Reads the properties of a packet that may carry authentication.
fn read_authenticated<'a>(
    reader: &mut Reader<'a>,
    packet: PacketType,
    decoding: &Decoding,
) -> Result<Properties<'a>, DecodeError> {
    let properties = Properties::decode(reader, Place::Packet(packet), decoding.lenient)?;
    if authentication_is_complete(&properties) {
        Ok(properties)
    } else {
        Err(reader.error(DecodeErrorKind::AuthenticationDataWithoutMethod))
    }
}

/// Measures the properties of a packet that may carry authentication.
fn authenticated_len(
    properties: &Properties<'_>,
    packet: PacketType,
) -> Result<usize, EncodeError> {
    if !authentication_is_complete(properties) {
        return Err(EncodeError::AuthenticationDataWithoutMethod);
    }
    properties.encoded_len(Place::Packet(packet))
}
