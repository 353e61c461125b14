//! Errors of the codec: whose fault, and what to tell the peer.

use crate::{PacketType, ReasonCode};

/// Why bytes from the peer are no packet that it may send.
///
/// ```
/// use mqtt5_proto::{Decoding, Packet, ReasonCode, Role};
///
/// let error = Packet::decode(&[0x40, 0x02, 0, 0], &Decoding::new(Role::Server)).unwrap_err();
/// assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
/// assert_eq!(error.offset, 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// How many bytes of the packet had been read when it was found.
    pub offset: usize,
}

impl DecodeError {
    /// What to tell the peer in DISCONNECT or CONNACK (4.13).
    pub const fn reason_code(&self) -> ReasonCode {
        self.kind.reason_code()
    }
}

/// The ways in which a packet can be wrong.
///
/// What does not parse is a Malformed Packet (0x81); what parses and is not allowed is a Protocol Error (0x82) or
/// has a code of its own (1.2, 4.13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The packet type is the reserved 0.
    #[error("reserved packet type 0")]
    ReservedPacketType,
    /// The flags of the fixed header are not those that the type requires [MQTT-2.1.3-1].
    #[error("invalid fixed header flags")]
    InvalidFlags,
    /// A Variable Byte Integer has more than four bytes (1.5.5).
    #[error("variable byte integer of more than four bytes")]
    InvalidVariableByteInteger,
    /// A Variable Byte Integer is longer than it needs to be [MQTT-1.5.5-1].
    #[error("variable byte integer not in its shortest form")]
    NonMinimalVariableByteInteger,
    /// A field reaches beyond the end of its packet or property block.
    #[error("field longer than its packet")]
    Truncated,
    /// The packet goes on after its last field.
    #[error("bytes after the last field")]
    TrailingBytes,
    /// A string is no UTF-8 [MQTT-1.5.4-1].
    #[error("ill-formed UTF-8")]
    InvalidUtf8,
    /// A string contains U+0000 [MQTT-1.5.4-2].
    #[error("U+0000 in a string")]
    NulCharacter,
    /// A property identifier that the specification does not know (2.2.2.2).
    #[error("unknown property {0:#04x}")]
    UnknownProperty(u32),
    /// A property that this packet may not carry (2.2.2.2).
    #[error("property {0:#04x} does not belong in this packet")]
    MisplacedProperty(u8),
    /// A PUBLISH with Quality of Service 3 [MQTT-3.3.1-4], or a will with it [MQTT-3.1.2-12].
    #[error("Quality of Service 3")]
    InvalidQoS,
    /// A reserved bit inside the packet is not 0.
    #[error("reserved bit set")]
    ReservedBit,
    /// Will QoS or Will Retain without Will Flag [MQTT-3.1.2-11], [MQTT-3.1.2-13].
    #[error("will flags without a will")]
    WillFlagsWithoutWill,
    /// The protocol name in CONNECT is not "MQTT" [MQTT-3.1.2-1].
    #[error("protocol name is not MQTT")]
    InvalidProtocolName,
    /// CONNECT asks for a protocol version that is not supported [MQTT-3.1.2-2].
    #[error("unsupported protocol version {0}")]
    UnsupportedProtocolVersion(u8),
    /// The other side is the only one that may send this packet.
    #[error("{0} sent by the wrong side")]
    WrongDirection(PacketType),
    /// A property that may occur once occurs again.
    #[error("property {0:#04x} repeated")]
    DuplicateProperty(u8),
    /// A property has a value that is not allowed.
    #[error("value of property {0:#04x} not allowed")]
    InvalidPropertyValue(u8),
    /// Topic Alias 0 [MQTT-3.3.2-8].
    #[error("topic alias 0")]
    TopicAliasZero,
    /// Authentication Data without Authentication Method (3.1.2.11.10).
    #[error("authentication data without a method")]
    AuthenticationDataWithoutMethod,
    /// Packet Identifier 0 [MQTT-2.2.1-3].
    #[error("packet identifier 0")]
    PacketIdZero,
    /// A reason code that this packet may not carry, or not from this side.
    #[error("reason code {0:#04x} not allowed here")]
    UndefinedReasonCode(u8),
    /// A Topic Name with a wildcard [MQTT-3.3.2-2].
    #[error("wildcard in a topic name")]
    InvalidTopicName,
    /// A Topic Name of zero length without a Topic Alias (3.3.2.1).
    #[error("empty topic name without a topic alias")]
    EmptyTopicName,
    /// A Topic Filter that breaks the rules of section 4.7.1 or 4.8.2.
    #[error("invalid topic filter")]
    InvalidTopicFilter,
    /// DUP set on a QoS 0 PUBLISH [MQTT-3.3.1-2].
    #[error("DUP with QoS 0")]
    DupWithoutQoS,
    /// Maximum QoS 3 or Retain Handling 3 in a subscription (3.8.3.1).
    #[error("subscription option out of range")]
    InvalidSubscriptionOption,
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    #[error("No Local on a shared subscription")]
    NoLocalOnSharedSubscription,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter [MQTT-3.8.3-2], [MQTT-3.10.3-2].
    #[error("no topic filter")]
    NoFilters,
    /// SUBACK or UNSUBACK without a reason code (2.4).
    #[error("no reason code")]
    NoReasonCodes,
    /// A Subscription Identifier in a PUBLISH from a client [MQTT-3.3.4-6].
    #[error("subscription identifier sent by a client")]
    SubscriptionIdentifierFromClient,
    /// Session Present together with a refusal [MQTT-3.2.2-6].
    #[error("Session Present in a refusing CONNACK")]
    SessionPresentInRefusal,
}

impl DecodeErrorKind {
    /// What to tell the peer in DISCONNECT or CONNACK (4.13).
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::ReservedPacketType
            | Self::InvalidFlags
            | Self::InvalidVariableByteInteger
            | Self::NonMinimalVariableByteInteger
            | Self::Truncated
            | Self::TrailingBytes
            | Self::InvalidUtf8
            | Self::NulCharacter
            | Self::UnknownProperty(_)
            | Self::MisplacedProperty(_)
            | Self::InvalidQoS
            | Self::ReservedBit
            | Self::WillFlagsWithoutWill => ReasonCode::MALFORMED_PACKET,
            Self::InvalidProtocolName | Self::UnsupportedProtocolVersion(_) => {
                ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
            }
            Self::TopicAliasZero => ReasonCode::TOPIC_ALIAS_INVALID,
            _ => ReasonCode::PROTOCOL_ERROR,
        }
    }
}

/// Why a packet cannot be put on the wire: the caller's fault, nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string or binary field has more than 65,535 bytes.
    #[error("field of more than 65,535 bytes")]
    FieldTooLong,
    /// A string contains U+0000 [MQTT-1.5.4-2].
    #[error("U+0000 in a string")]
    NulCharacter,
    /// The packet may not carry one of the properties.
    #[error("{0} may not carry one of these properties")]
    PropertyNotAllowed(PacketType),
    /// The will may not carry one of the properties.
    #[error("the will may not carry one of these properties")]
    WillPropertyNotAllowed,
    /// A property that may occur once is given twice.
    #[error("property {0:#04x} repeated")]
    DuplicateProperty(u8),
    /// A property has a value that the specification forbids.
    #[error("value of property {0:#04x} not allowed")]
    InvalidPropertyValue(u8),
    /// Authentication Data without Authentication Method (3.1.2.11.10).
    #[error("authentication data without a method")]
    AuthenticationDataWithoutMethod,
    /// A payload that is not the UTF-8 that its Payload Format Indicator promises (3.3.2.3.2, 3.1.3.2.3). The client says so
    /// of what it is to publish; the codec encodes such a packet, because a server forwards it as it is.
    #[error("payload is no UTF-8, but its payload format indicator says so")]
    PayloadNotText,
    /// The packet may not carry this reason code.
    #[error("{0} may not carry this reason code")]
    ReasonCodeNotAllowed(PacketType),
    /// PUBLISH with neither a Topic Name nor a Topic Alias (3.3.2.1).
    #[error("PUBLISH without topic name and topic alias")]
    NoTopic,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter [MQTT-3.8.3-2], [MQTT-3.10.3-2].
    #[error("no topic filter")]
    NoFilters,
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    #[error("No Local on a shared subscription")]
    NoLocalOnSharedSubscription,
    /// SUBACK or UNSUBACK without a reason code (2.4).
    #[error("no reason code")]
    NoReasonCodes,
    /// Session Present together with a refusal [MQTT-3.2.2-6].
    #[error("Session Present in a refusing CONNACK")]
    SessionPresentInRefusal,
    /// The packet is longer than the protocol can say: 268,435,455 bytes after the fixed header.
    #[error("packet of more than 268,435,455 bytes")]
    PacketTooLarge,
    /// The buffer is shorter than the packet.
    #[error("buffer too small, {needed} bytes needed")]
    BufferTooSmall {
        /// The length of the packet in bytes.
        needed: usize,
    },
}
