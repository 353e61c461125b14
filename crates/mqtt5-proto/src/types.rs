//! Small closed types of the protocol.

use core::fmt;
use core::num::NonZeroU16;

/// Quality of Service: how hard the two sides try to deliver a message (section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: delivered once or not at all; nothing is acknowledged.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: delivered at least once; may be duplicated.
    AtLeastOnce = 1,
    /// QoS 2: delivered exactly once while the session lives.
    ExactlyOnce = 2,
}

impl TryFrom<u8> for QoS {
    type Error = u8;

    /// Gives the value back when it is not 0, 1 or 2.
    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(other),
        }
    }
}

/// What the server does with retained messages when a subscription is made (3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Sends retained messages at every SUBSCRIBE.
    #[default]
    SendAtSubscribe = 0,
    /// Sends them only if the subscription did not exist yet.
    SendAtSubscribeIfNew = 1,
    /// Sends none.
    DoNotSend = 2,
}

impl TryFrom<u8> for RetainHandling {
    type Error = u8;

    /// Gives the value back when it is not 0, 1 or 2.
    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Self::SendAtSubscribe),
            1 => Ok(Self::SendAtSubscribeIfNew),
            2 => Ok(Self::DoNotSend),
            other => Err(other),
        }
    }
}

/// A Packet Identifier: 1 to 65,535 (2.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// Makes an identifier; `None` for 0, which the protocol forbids [MQTT-2.2.1-3].
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn value(self) -> u16 {
        self.0.get()
    }

    /// The next identifier in the ring 1, 2, … 65,535, 1.
    pub(crate) const fn next(self) -> Self {
        match Self::new(self.value().wrapping_add(1)) {
            Some(next) => next,
            None => Self(NonZeroU16::MIN),
        }
    }

    /// The first identifier of the ring.
    pub(crate) const FIRST: Self = Self(NonZeroU16::MIN);
    /// The last identifier of the ring.
    pub(crate) const LAST: Self = Self(NonZeroU16::MAX);
}

impl fmt::Debug for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The side that sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that opened the network connection and sent CONNECT.
    Client,
    /// The side that answered it.
    Server,
}

/// The version of the protocol that a packet is encoded in.
///
/// Every encode and decode takes it. MQTT 3.1.1 will be one more variant here: the same packets
/// without properties and reason codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolVersion {
    /// MQTT 5.0, protocol level 5.
    #[default]
    V5,
}

impl ProtocolVersion {
    /// The byte that stands for this version in CONNECT (3.1.2.2).
    pub const fn level(self) -> u8 {
        match self {
            Self::V5 => 5,
        }
    }
}

/// The type of a control packet: the upper four bits of its first byte (2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// Connection request.
    Connect = 1,
    /// Connect acknowledgement.
    Connack = 2,
    /// Publish message.
    Publish = 3,
    /// Publish acknowledgement (QoS 1).
    Puback = 4,
    /// Publish received (QoS 2, part 1).
    Pubrec = 5,
    /// Publish release (QoS 2, part 2).
    Pubrel = 6,
    /// Publish complete (QoS 2, part 3).
    Pubcomp = 7,
    /// Subscribe request.
    Subscribe = 8,
    /// Subscribe acknowledgement.
    Suback = 9,
    /// Unsubscribe request.
    Unsubscribe = 10,
    /// Unsubscribe acknowledgement.
    Unsuback = 11,
    /// Ping request.
    Pingreq = 12,
    /// Ping response.
    Pingresp = 13,
    /// Disconnect notification.
    Disconnect = 14,
    /// Authentication exchange.
    Auth = 15,
}

impl PacketType {
    /// Every type, in the order of the numbers.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Connack,
        Self::Publish,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Unsuback,
        Self::Pingreq,
        Self::Pingresp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The type with this number; `None` for the reserved 0 and above 15.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }

    /// The name that the specification prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Connack => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::Puback => "PUBACK",
            Self::Pubrec => "PUBREC",
            Self::Pubrel => "PUBREL",
            Self::Pubcomp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Suback => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Unsuback => "UNSUBACK",
            Self::Pingreq => "PINGREQ",
            Self::Pingresp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// The flags that the lower four bits of the first byte must hold; `None` for PUBLISH, whose flags carry data
    /// [MQTT-2.1.3-1].
    pub(crate) const fn required_flags(self) -> Option<u8> {
        match self {
            Self::Publish => None,
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => Some(0b0010),
            _ => Some(0),
        }
    }

    /// Whether `role` may send this packet (table 2-1).
    pub(crate) const fn may_come_from(self, role: Role) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::Pingreq => {
                matches!(role, Role::Client)
            }
            Self::Connack | Self::Suback | Self::Unsuback | Self::Pingresp => {
                matches!(role, Role::Server)
            }
            _ => true,
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
