//! What commands take and give.

use core::fmt;

use crate::packet::{Delivery, Publish};
use crate::{EncodeError, PacketId, Properties, QoS, ReasonCode, TopicName};

/// An operation: a publish, subscribe or unsubscribe that was accepted. Never used twice by one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub(crate) u64);

impl Op {
    /// A number that tells it from every other operation of its machine.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// How far a publish has come that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// It waits to be encoded, and can be withdrawn. A publish that was encoded waits again when its connection is lost and
    /// the transport was given nothing of it, or when it goes out as a new message because its session is lost.
    Pending,
    /// QoS 1 or 2: PUBLISH is encoded. It may have left, in part or as a whole.
    Encoded,
    /// QoS 1 or 2: every byte of PUBLISH was reported as sent, on this connection or an earlier one.
    Written,
    /// QoS 2: PUBREC has arrived; what is missing is PUBCOMP.
    Received,
}

/// The payload of a publish.
#[derive(Clone)]
pub enum Payload<'a> {
    /// Copied once when the publish is accepted.
    Borrowed(&'a [u8]),
    /// Shared if it is large (4 KiB), copied if it is small.
    #[cfg(feature = "alloc")]
    Shared(bytes::Bytes),
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            #[cfg(feature = "alloc")]
            Self::Shared(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Payload<'_> {
    /// Prints the length of the payload, not the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.as_slice().len())
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Outbound<'a> {
    /// Where.
    pub topic: TopicName<'a>,
    /// How hard to try.
    pub qos: QoS,
    /// Whether the server is to retain it.
    pub retain: bool,
    /// Its properties. Topic Alias is not among them: the machine chooses aliases.
    pub properties: Properties<'a>,
    /// What.
    pub payload: Payload<'a>,
    /// Asks for a Topic Alias where the machine uses them on request only.
    pub alias: bool,
}

impl<'a> Outbound<'a> {
    /// A message that is not retained and has no properties.
    pub fn new(topic: TopicName<'a>, qos: QoS, payload: impl Into<Payload<'a>>) -> Self {
        Self {
            topic,
            qos,
            retain: false,
            properties: Properties::EMPTY,
            payload: payload.into(),
            alias: false,
        }
    }

    /// The packet.
    pub(crate) fn publish(&self, delivery: Delivery) -> Publish<'_> {
        Publish {
            delivery,
            retain: self.retain,
            topic: Some(self.topic),
            properties: self.properties,
            payload: self.payload.as_slice(),
        }
    }
}

/// The QoS with an identifier, for a first transmission.
pub(crate) const fn delivery(qos: QoS, id: PacketId) -> Delivery {
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup: false },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup: false },
    }
}

/// The QoS with an identifier, for a further transmission [MQTT-3.3.1-1].
pub(crate) const fn redelivery(qos: QoS, id: PacketId) -> Delivery {
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup: true },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup: true },
    }
}

/// The right to acknowledge one received message.
///
/// Survives a lost connection together with the session: given meanwhile, the acknowledgement leaves when the message is
/// delivered again. Stale, so that acknowledging does nothing, once the session is lost or the identifier carries a new
/// message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckToken {
    pub(crate) id: PacketId,
    pub(crate) qos: QoS,
    pub(crate) arrival: u64,
}

impl AckToken {
    /// The Packet Identifier of the message; a redelivery has the same, and so may have a later message.
    pub const fn packet_id(self) -> PacketId {
        self.id
    }

    /// The QoS of the message, 1 or 2.
    pub const fn qos(self) -> QoS {
        self.qos
    }
}

/// The application's step in an enhanced authentication (section 4.12).
#[derive(Clone, Copy)]
pub enum Authenticate<'a> {
    /// Answers a challenge with this Authentication Data.
    Continue(&'a [u8]),
    /// The server's final data is right.
    Accept,
    /// The server's data is wrong, or the challenge cannot be answered: the connection ends.
    Abort,
}

impl fmt::Debug for Authenticate<'_> {
    /// Prints the length of the data, not the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue(data) => write!(f, "Continue({} bytes)", data.len()),
            Self::Accept => f.write_str("Accept"),
            Self::Abort => f.write_str("Abort"),
        }
    }
}

/// When the machine uses Topic Aliases towards the server, within the server's Topic Alias Maximum (3.3.2.3.4).
///
/// An alias is chosen when a packet is encoded, is never stored, and ends with its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicAliases {
    /// Never.
    #[default]
    Off,
    /// For publishes that ask for it, and at most this many.
    OnRequest(u16),
    /// For every publish whose topic is longer than an alias, and at most this many; the one not used for longest gives
    /// way.
    Auto(u16),
}

/// What becomes of unacknowledged publishes when the server no longer has the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLoss {
    /// QoS 1 publishes are sent again as new messages, in their order; otherwise they end as `Unknown`.
    pub republish_qos1: bool,
    /// QoS 2 publishes without PUBREC are sent again as new messages, which may deliver them twice; otherwise they end as
    /// `Unknown`. Those with PUBREC always end as `Unknown`.
    pub republish_qos2: bool,
}

impl Default for SessionLoss {
    /// Republishes QoS 1 only.
    fn default() -> Self {
        Self {
            republish_qos1: true,
            republish_qos2: false,
        }
    }
}

/// A one-byte code that only some values of [`ReasonCode`] fit, so that another does not compile.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $constant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl From<$name> for ReasonCode {
            fn from(reason: $name) -> Self {
                match reason {
                    $($name::$variant => Self::$constant,)*
                }
            }
        }
    };
}

reasons! {
    /// Why a received message is refused: the failures that PUBACK and PUBREC of a client may carry (3.4.2.1, 3.5.2.1).
    RejectReason {
        /// 0x80: the receiver does not want to say why.
        UnspecifiedError = UNSPECIFIED_ERROR,
        /// 0x83: valid, but not accepted by this receiver.
        ImplementationSpecificError = IMPLEMENTATION_SPECIFIC_ERROR,
        /// 0x87: not authorized.
        NotAuthorized = NOT_AUTHORIZED,
        /// 0x90: the Topic Name is not accepted.
        TopicNameInvalid = TOPIC_NAME_INVALID,
        /// 0x97: a limit of the receiver is reached.
        QuotaExceeded = QUOTA_EXCEEDED,
        /// 0x99: the payload is not what its Payload Format Indicator says.
        PayloadFormatInvalid = PAYLOAD_FORMAT_INVALID,
    }
}

reasons! {
    /// Why the client ends the connection: the codes that DISCONNECT of a client may carry [MQTT-3.14.2-1].
    DisconnectReason {
        /// 0x00: normally; the server discards the will.
        Normal = NORMAL_DISCONNECTION,
        /// 0x04: normally, but the server is to publish the will.
        WithWill = DISCONNECT_WITH_WILL,
        /// 0x80: the client does not want to say why, or no other code fits.
        UnspecifiedError = UNSPECIFIED_ERROR,
        /// 0x81: a packet of the server did not parse.
        MalformedPacket = MALFORMED_PACKET,
        /// 0x82: a packet of the server was not allowed.
        ProtocolError = PROTOCOL_ERROR,
        /// 0x83: a packet was valid, but cannot be processed by this client.
        ImplementationSpecificError = IMPLEMENTATION_SPECIFIC_ERROR,
        /// 0x90: a Topic Name is not accepted by this client.
        TopicNameInvalid = TOPIC_NAME_INVALID,
        /// 0x93: more publishes than our Receive Maximum.
        ReceiveMaximumExceeded = RECEIVE_MAXIMUM_EXCEEDED,
        /// 0x94: a Topic Alias that we did not allow.
        TopicAliasInvalid = TOPIC_ALIAS_INVALID,
        /// 0x95: a packet above our Maximum Packet Size.
        PacketTooLarge = PACKET_TOO_LARGE,
        /// 0x96: too many messages.
        MessageRateTooHigh = MESSAGE_RATE_TOO_HIGH,
        /// 0x97: a limit of this client is reached.
        QuotaExceeded = QUOTA_EXCEEDED,
        /// 0x98: somebody decided it.
        AdministrativeAction = ADMINISTRATIVE_ACTION,
        /// 0x99: a payload is not what its Payload Format Indicator says.
        PayloadFormatInvalid = PAYLOAD_FORMAT_INVALID,
    }
}

/// Why a command was not accepted: the caller's doing, nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no connection that CONNACK has accepted.
    #[error("not connected")]
    NotConnected,
    /// A connection exists already.
    #[error("already connected")]
    AlreadyConnected,
    /// The events of the last connection were not all taken.
    #[error("events of the last connection are still to be polled")]
    EventsPending,
    /// As many publishes wait as may wait, or there is no room to send the request now.
    #[error("no room")]
    Full,
    /// All 65,535 Packet Identifiers are in use; for a request in a session that was assumed, those that publishes leave.
    #[error("all packet identifiers are in use")]
    PacketIdsExhausted,
    /// The packet exceeds the server's Maximum Packet Size [MQTT-3.2.2-15], or the capacity of this machine.
    #[error("packet of {length} bytes, at most {maximum} are possible")]
    TooLarge {
        /// The length of the packet in bytes.
        length: usize,
        /// The limit in bytes.
        maximum: usize,
    },
    /// The server's Maximum QoS is lower [MQTT-3.2.2-11].
    #[error("the server supports QoS {} at most", *.0 as u8)]
    QoSNotSupported(QoS),
    /// The server does not retain messages [MQTT-3.2.2-14].
    #[error("the server does not support retained messages")]
    RetainNotSupported,
    /// The server does not allow wildcards in filters (3.2.2.3.11).
    #[error("the server does not support wildcard subscriptions")]
    WildcardSubscriptionsNotSupported,
    /// The server does not support Shared Subscriptions (3.2.2.3.13).
    #[error("the server does not support shared subscriptions")]
    SharedSubscriptionsNotSupported,
    /// The server does not support Subscription Identifiers (3.2.2.3.12).
    #[error("the server does not support subscription identifiers")]
    SubscriptionIdentifiersNotSupported,
    /// A Session Expiry Interval above 0 in DISCONNECT after 0 in CONNECT (3.14.2.2.2).
    #[error("a session that expires with its connection cannot be kept by DISCONNECT")]
    InvalidSessionExpiry,
    /// The machine handles this property itself, or does not offer what it asks for.
    #[error("property {0:#04x} is not the caller's to set")]
    PropertyNotSupported(u8),
    /// A machine of fixed capacity must announce Receive Maximum, Maximum Packet Size and Topic Alias Maximum within it.
    #[error("Receive Maximum, Maximum Packet Size or Topic Alias Maximum exceed the capacity")]
    CapacityNotAnnounced,
    /// An Authentication Method of more than 64 bytes.
    #[error("authentication method of more than 64 bytes")]
    AuthenticationMethodTooLong,
    /// CONNECT named no Authentication Method.
    #[error("the connection was made without enhanced authentication")]
    NoAuthentication,
    /// No challenge is open, or an authentication is under way already.
    #[error("not the time for this step of authentication")]
    AuthenticationOutOfTurn,
    /// A record could not be written, and the session was not restored since.
    #[error("stopped, since the session could not be recorded")]
    Stopped,
    /// A session can only be restored where there is none.
    #[error("there is a session already")]
    SessionInUse,
    /// A record that no machine writes.
    #[error("a record makes no sense")]
    InvalidRecord,
    /// The packet cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
