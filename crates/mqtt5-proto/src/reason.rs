//! Reason Codes (section 2.4), from one table.

use core::fmt;

use crate::{PacketType, Role};

/// The outcome of an operation, as one byte (section 2.4).
///
/// A newtype, so that a code that the specification does not know survives and can be shown. Below 0x80 it is a
/// success. Some numbers have several names, depending on the packet: 0x00 is also
/// [`NORMAL_DISCONNECTION`](Self::NORMAL_DISCONNECTION) and [`GRANTED_QOS_0`](Self::GRANTED_QOS_0).
///
/// ```
/// use mqtt5_proto::ReasonCode;
///
/// assert!(ReasonCode::NOT_AUTHORIZED.is_error());
/// assert_eq!(ReasonCode::NOT_AUTHORIZED.to_string(), "0x87 Not authorized");
/// assert_eq!(ReasonCode::from(0x7F).name(), "unknown reason code");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(u8);

const CONNACK: u16 = 1 << PacketType::Connack as u16;
const PUBACK: u16 = 1 << PacketType::Puback as u16;
const PUBREC: u16 = 1 << PacketType::Pubrec as u16;
const PUBREL: u16 = 1 << PacketType::Pubrel as u16;
const PUBCOMP: u16 = 1 << PacketType::Pubcomp as u16;
const SUBACK: u16 = 1 << PacketType::Suback as u16;
const UNSUBACK: u16 = 1 << PacketType::Unsuback as u16;
const DISCONNECT: u16 = 1 << PacketType::Disconnect as u16;
const AUTH: u16 = 1 << PacketType::Auth as u16;

/// Code, constant, name; the packets in which a client may send it; the packets in which a server may send it.
macro_rules! reason_codes {
    ($($value:literal $constant:ident $name:literal [$($client:ident)*] [$($server:ident)*];)*) => {
        impl ReasonCode {
            $(#[doc = concat!("`", stringify!($value), "` ", $name, ".")]
            pub const $constant: Self = Self($value);)*
        }

        /// Name, packets from a client, packets from a server.
        const fn row(value: u8) -> Option<(&'static str, u16, u16)> {
            match value {
                $($value => Some(($name, 0 $(| $client)*, 0 $(| $server)*)),)*
                _ => None,
            }
        }
    };
}

reason_codes! {
    0x00 SUCCESS "Success" [PUBACK PUBREC PUBREL PUBCOMP DISCONNECT] [CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH];
    0x01 GRANTED_QOS_1 "Granted QoS 1" [] [SUBACK];
    0x02 GRANTED_QOS_2 "Granted QoS 2" [] [SUBACK];
    0x04 DISCONNECT_WITH_WILL "Disconnect with Will Message" [DISCONNECT] [];
    0x10 NO_MATCHING_SUBSCRIBERS "No matching subscribers" [] [PUBACK PUBREC];
    0x11 NO_SUBSCRIPTION_EXISTED "No subscription existed" [] [UNSUBACK];
    0x18 CONTINUE_AUTHENTICATION "Continue authentication" [AUTH] [AUTH];
    0x19 REAUTHENTICATE "Re-authenticate" [AUTH] [];
    0x80 UNSPECIFIED_ERROR "Unspecified error" [PUBACK PUBREC DISCONNECT] [CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT];
    0x81 MALFORMED_PACKET "Malformed Packet" [DISCONNECT] [CONNACK DISCONNECT];
    0x82 PROTOCOL_ERROR "Protocol Error" [DISCONNECT] [CONNACK DISCONNECT];
    0x83 IMPLEMENTATION_SPECIFIC_ERROR "Implementation specific error" [PUBACK PUBREC DISCONNECT] [CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT];
    0x84 UNSUPPORTED_PROTOCOL_VERSION "Unsupported Protocol Version" [] [CONNACK];
    0x85 CLIENT_IDENTIFIER_NOT_VALID "Client Identifier not valid" [] [CONNACK];
    0x86 BAD_USER_NAME_OR_PASSWORD "Bad User Name or Password" [] [CONNACK];
    0x87 NOT_AUTHORIZED "Not authorized" [PUBACK PUBREC] [CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT];
    0x88 SERVER_UNAVAILABLE "Server unavailable" [] [CONNACK];
    0x89 SERVER_BUSY "Server busy" [] [CONNACK DISCONNECT];
    0x8A BANNED "Banned" [] [CONNACK];
    0x8B SERVER_SHUTTING_DOWN "Server shutting down" [] [DISCONNECT];
    0x8C BAD_AUTHENTICATION_METHOD "Bad authentication method" [] [CONNACK DISCONNECT];
    0x8D KEEP_ALIVE_TIMEOUT "Keep Alive timeout" [] [DISCONNECT];
    0x8E SESSION_TAKEN_OVER "Session taken over" [] [DISCONNECT];
    0x8F TOPIC_FILTER_INVALID "Topic Filter invalid" [] [SUBACK UNSUBACK DISCONNECT];
    0x90 TOPIC_NAME_INVALID "Topic Name invalid" [PUBACK PUBREC DISCONNECT] [CONNACK PUBACK PUBREC DISCONNECT];
    0x91 PACKET_IDENTIFIER_IN_USE "Packet Identifier in use" [PUBACK PUBREC] [PUBACK PUBREC SUBACK UNSUBACK];
    0x92 PACKET_IDENTIFIER_NOT_FOUND "Packet Identifier not found" [PUBREL PUBCOMP] [PUBREL PUBCOMP];
    0x93 RECEIVE_MAXIMUM_EXCEEDED "Receive Maximum exceeded" [DISCONNECT] [DISCONNECT];
    0x94 TOPIC_ALIAS_INVALID "Topic Alias invalid" [DISCONNECT] [DISCONNECT];
    0x95 PACKET_TOO_LARGE "Packet too large" [DISCONNECT] [CONNACK DISCONNECT];
    0x96 MESSAGE_RATE_TOO_HIGH "Message rate too high" [DISCONNECT] [DISCONNECT];
    0x97 QUOTA_EXCEEDED "Quota exceeded" [PUBACK PUBREC DISCONNECT] [CONNACK PUBACK PUBREC SUBACK DISCONNECT];
    0x98 ADMINISTRATIVE_ACTION "Administrative action" [DISCONNECT] [DISCONNECT];
    0x99 PAYLOAD_FORMAT_INVALID "Payload format invalid" [PUBACK PUBREC DISCONNECT] [CONNACK PUBACK PUBREC DISCONNECT];
    0x9A RETAIN_NOT_SUPPORTED "Retain not supported" [] [CONNACK DISCONNECT];
    0x9B QOS_NOT_SUPPORTED "QoS not supported" [] [CONNACK DISCONNECT];
    0x9C USE_ANOTHER_SERVER "Use another server" [] [CONNACK DISCONNECT];
    0x9D SERVER_MOVED "Server moved" [] [CONNACK DISCONNECT];
    0x9E SHARED_SUBSCRIPTIONS_NOT_SUPPORTED "Shared Subscriptions not supported" [] [SUBACK DISCONNECT];
    0x9F CONNECTION_RATE_EXCEEDED "Connection rate exceeded" [] [CONNACK DISCONNECT];
    0xA0 MAXIMUM_CONNECT_TIME "Maximum connect time" [] [DISCONNECT];
    0xA1 SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED "Subscription Identifiers not supported" [] [SUBACK DISCONNECT];
    0xA2 WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED "Wildcard Subscriptions not supported" [] [SUBACK DISCONNECT];
}

impl ReasonCode {
    /// `0x00` in a DISCONNECT: Normal disconnection.
    pub const NORMAL_DISCONNECTION: Self = Self::SUCCESS;
    /// `0x00` in a SUBACK: Granted QoS 0.
    pub const GRANTED_QOS_0: Self = Self::SUCCESS;

    /// The byte on the wire.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// The name that the specification gives it; "unknown reason code" if it gives none.
    pub const fn name(self) -> &'static str {
        match row(self.0) {
            Some((name, _, _)) => name,
            None => "unknown reason code",
        }
    }

    /// Whether it reports a failure: 0x80 and above.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// Whether `from` may send this code in such a packet (table 2-6 and the table of the packet).
    pub const fn is_defined_for(self, packet: PacketType, from: Role) -> bool {
        let Some((_, client, server)) = row(self.0) else {
            return false;
        };
        let packets = match from {
            Role::Client => client,
            Role::Server => server,
        };
        packets & (1 << packet as u16) != 0
    }
}

impl From<u8> for ReasonCode {
    fn from(value: u8) -> Self {
        Self(value)
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x} {}", self.0, self.name())
    }
}
