//! The table of all properties (table 2-4).

use core::fmt;

use super::kind::{Binary, Bool, Byte, FourByte, Kind, TwoByte, Utf8, Varint};
use super::{Place, Properties};
use crate::wire::{Reader, Writer};
use crate::{DecodeError, DecodeErrorKind, EncodeError, PacketType};

const WILL: u16 = Place::Will.bit();
const CONNECT: u16 = Place::Packet(PacketType::Connect).bit();
const CONNACK: u16 = Place::Packet(PacketType::Connack).bit();
const PUBLISH: u16 = Place::Packet(PacketType::Publish).bit();
const PUBACK: u16 = Place::Packet(PacketType::Puback).bit();
const PUBREC: u16 = Place::Packet(PacketType::Pubrec).bit();
const PUBREL: u16 = Place::Packet(PacketType::Pubrel).bit();
const PUBCOMP: u16 = Place::Packet(PacketType::Pubcomp).bit();
const SUBSCRIBE: u16 = Place::Packet(PacketType::Subscribe).bit();
const SUBACK: u16 = Place::Packet(PacketType::Suback).bit();
const UNSUBSCRIBE: u16 = Place::Packet(PacketType::Unsubscribe).bit();
const UNSUBACK: u16 = Place::Packet(PacketType::Unsuback).bit();
const DISCONNECT: u16 = Place::Packet(PacketType::Disconnect).bit();
const AUTH: u16 = Place::Packet(PacketType::Auth).bit();

/// The type of a value, written out so that [`Property`] is covariant.
macro_rules! value {
    (Byte, $lifetime:lifetime) => { u8 };
    (Bool, $lifetime:lifetime) => { bool };
    (TwoByte, $lifetime:lifetime) => { u16 };
    (FourByte, $lifetime:lifetime) => { u32 };
    (Varint, $lifetime:lifetime) => { u32 };
    (Utf8, $lifetime:lifetime) => { &$lifetime str };
    (Binary, $lifetime:lifetime) => { &$lifetime [u8] };
}

/// Identifier, variant with the data types of its fields, getter of a property that occurs once, the places that may
/// carry it, description.
macro_rules! properties {
    ($($id:literal $variant:ident ( $($field:ident: $kind:ident),+ ) $($getter:ident)? [$($place:ident)+] $doc:literal;)*) => {
        /// One property with its value.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Property<'a> {
            $(#[doc = $doc] $variant($(value!($kind, 'a)),+),)*
        }

        impl<'a> Property<'a> {
            /// The identifier on the wire.
            pub const fn identifier(&self) -> u8 {
                match self {
                    $(Self::$variant(..) => $id,)*
                }
            }

            /// The places that may carry the property with this identifier, as bits of [`Place`].
            pub(super) const fn places(identifier: u8) -> u16 {
                match identifier {
                    $($id => 0 $(| $place)+,)*
                    _ => 0,
                }
            }

            /// Reads the value of the property with this identifier.
            pub(super) fn read(
                identifier: u8,
                reader: &mut Reader<'a>,
                lenient: bool,
            ) -> Result<Self, DecodeError> {
                match identifier {
                    $($id => {
                        $(let $field = $kind::read(reader, lenient)?;)+
                        Ok(Self::$variant($($field),+))
                    })*
                    _ => Err(reader.error(DecodeErrorKind::UnknownProperty(u32::from(identifier)))),
                }
            }

            /// The length on the wire, identifier included.
            pub(super) fn len(&self) -> usize {
                match *self {
                    $(Self::$variant($($field),+) => {
                        let length = 1_usize;
                        $(let length = length.saturating_add($kind::len($field));)+
                        length
                    })*
                }
            }

            /// Whether every field can be on the wire: short enough, without U+0000.
            fn check_fields(&self) -> Result<(), EncodeError> {
                match *self {
                    $(Self::$variant($($field),+) => {
                        $($kind::check($field)?;)+
                        Ok(())
                    })*
                }
            }

            pub(super) fn write(&self, writer: &mut Writer<'_>) {
                writer.u8(self.identifier());
                match *self {
                    $(Self::$variant($($field),+) => {
                        $($kind::write($field, writer);)+
                    })*
                }
            }
        }

        impl fmt::Debug for Property<'_> {
            /// Prints the value, but of Authentication Data only the length.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if let Self::AuthenticationData(data) = self {
                    return write!(f, "AuthenticationData({} bytes)", data.len());
                }
                match self {
                    $(Self::$variant($($field),+) => {
                        f.debug_tuple(stringify!($variant))$(.field($field))+.finish()
                    })*
                }
            }
        }

        impl<'a> Properties<'a> {
            $(getter!([$($getter)?] $id $variant [$($kind)+] $doc);)*
        }
    };
}

/// The getter of a property that occurs once.
macro_rules! getter {
    ([] $id:literal $variant:ident [$($kind:ident)+] $doc:literal) => {};
    ([$getter:ident] $id:literal $variant:ident [$kind:ident] $doc:literal) => {
        #[doc = $doc]
        #[doc = ""]
        #[doc = "`None` if it is absent."]
pub fn $getter(&self) -> Option<value!($kind, 'a)> {
            match self.find($id) {
                Some(Property::$variant(value)) => Some(value),
                _ => None,
            }
        }
    };
}

properties! {
    0x01 PayloadFormatIndicator(value: Byte) payload_format_indicator [PUBLISH WILL]
        "1 says that the payload is UTF-8 text, 0 says nothing about it (3.3.2.3.2). Another number can be received and must not be sent.";
    0x02 MessageExpiryInterval(value: FourByte) message_expiry_interval [PUBLISH WILL]
        "How long the message may be delivered, in seconds (3.3.2.3.3).";
    0x03 ContentType(value: Utf8) content_type [PUBLISH WILL]
        "What the payload is; the application decides on its form (3.3.2.3.9).";
    0x08 ResponseTopic(value: Utf8) response_topic [PUBLISH WILL]
        "The Topic Name for a response (3.3.2.3.5). One with a wildcard can be received and must not be sent.";
    0x09 CorrelationData(value: Binary) correlation_data [PUBLISH WILL]
        "Tells a requester which request a response answers (3.3.2.3.6).";
    0x0B SubscriptionIdentifier(value: Varint) subscription_identifier [PUBLISH SUBSCRIBE]
        "The number that a SUBSCRIBE gave to its subscriptions: 1 to 268,435,455 (3.8.2.1.2). PUBLISH may carry several; the getter gives the first.";
    0x11 SessionExpiryInterval(value: FourByte) session_expiry_interval [CONNECT CONNACK DISCONNECT]
        "How long the session outlives the connection, in seconds; 0xFFFFFFFF is for ever (3.1.2.11.2).";
    0x12 AssignedClientIdentifier(value: Utf8) assigned_client_identifier [CONNACK]
        "The Client Identifier that the server chose (3.2.2.3.7).";
    0x13 ServerKeepAlive(value: TwoByte) server_keep_alive [CONNACK]
        "The Keep Alive that the client must use, in seconds; 0 is off (3.2.2.3.14).";
    0x15 AuthenticationMethod(value: Utf8) authentication_method [CONNECT CONNACK AUTH]
        "The name of the method of enhanced authentication (3.1.2.11.9).";
    0x16 AuthenticationData(value: Binary) authentication_data [CONNECT CONNACK AUTH]
        "Data of that method (3.1.2.11.10).";
    0x17 RequestProblemInformation(value: Bool) request_problem_information [CONNECT]
        "Whether Reason String and User Properties may accompany failures; absent is true (3.1.2.11.7).";
    0x18 WillDelayInterval(value: FourByte) will_delay_interval [WILL]
        "How long the server waits before it publishes the will, in seconds (3.1.3.2.2).";
    0x19 RequestResponseInformation(value: Bool) request_response_information [CONNECT]
        "Whether the server may send Response Information; absent is false (3.1.2.11.6).";
    0x1A ResponseInformation(value: Utf8) response_information [CONNACK]
        "The basis for making a Response Topic (3.2.2.3.15).";
    0x1C ServerReference(value: Utf8) server_reference [CONNACK DISCONNECT]
        "Another server to use (3.2.2.3.16).";
    0x1F ReasonString(value: Utf8) reason_string [CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH]
        "The reason as text for people; not to be parsed (3.2.2.3.9).";
    0x21 ReceiveMaximum(value: TwoByte) receive_maximum [CONNECT CONNACK]
        "How many QoS 1 and QoS 2 publishes the sender of this is willing to process at once: 1 to 65,535, absent is 65,535 (3.1.2.11.3).";
    0x22 TopicAliasMaximum(value: TwoByte) topic_alias_maximum [CONNECT CONNACK]
        "The highest Topic Alias that the sender of this accepts; absent is 0 (3.1.2.11.5).";
    0x23 TopicAlias(value: TwoByte) topic_alias [PUBLISH]
        "A number that stands for the Topic Name on this connection: 1 to the Topic Alias Maximum (3.3.2.3.4).";
    0x24 MaximumQoS(value: Byte) maximum_qos [CONNACK]
        "The highest QoS that the server accepts: 0 or 1, absent is 2 (3.2.2.3.4).";
    0x25 RetainAvailable(value: Bool) retain_available [CONNACK]
        "Whether the server retains messages; absent is true (3.2.2.3.5).";
    0x26 UserProperty(name: Utf8, value: Utf8) [CONNECT WILL CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH]
        "A name and a value that mean something to the application; may repeat, the order is kept (3.1.2.11.8).";
    0x27 MaximumPacketSize(value: FourByte) maximum_packet_size [CONNECT CONNACK]
        "The largest packet in bytes that the sender of this accepts: at least 1, absent is no limit (3.1.2.11.4).";
    0x28 WildcardSubscriptionAvailable(value: Bool) wildcard_subscription_available [CONNACK]
        "Whether the server allows wildcards in filters; absent is true (3.2.2.3.11).";
    0x29 SubscriptionIdentifierAvailable(value: Bool) subscription_identifier_available [CONNACK]
        "Whether the server supports Subscription Identifiers; absent is true (3.2.2.3.12).";
    0x2A SharedSubscriptionAvailable(value: Bool) shared_subscription_available [CONNACK]
        "Whether the server supports Shared Subscriptions; absent is true (3.2.2.3.13).";
}

impl Property<'_> {
    /// Whether the value is one that both a sender may send and a receiver may accept; if not, what to answer.
    pub(super) const fn check_received(&self) -> Result<(), DecodeErrorKind> {
        match self {
            Self::ReceiveMaximum(0)
            | Self::MaximumPacketSize(0)
            | Self::SubscriptionIdentifier(0)
            | Self::MaximumQoS(2..) => {
                Err(DecodeErrorKind::InvalidPropertyValue(self.identifier()))
            }
            Self::TopicAlias(0) => Err(DecodeErrorKind::TopicAliasZero),
            _ => Ok(()),
        }
    }

    /// Whether a sender may send the value: stricter than what is accepted, because a message that breaks these rules
    /// may come from any publisher and must not cost the connection.
    pub(super) fn check_sent(&self) -> Result<(), EncodeError> {
        let refused = match self {
            Self::PayloadFormatIndicator(2..) | Self::SubscriptionIdentifier(268_435_456..) => true,
            Self::ResponseTopic(topic) => topic.is_empty() || topic.contains(['+', '#']),
            _ => self.check_received().is_err(),
        };
        if refused {
            return Err(EncodeError::InvalidPropertyValue(self.identifier()));
        }
        self.check_fields()
    }
}
