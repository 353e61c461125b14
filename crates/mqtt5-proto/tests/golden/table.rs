//! Tables of the specification, copied by hand from it and from nothing else: what the crate's own tables are tested
//! against.

use mqtt5_proto::PacketType::{
    self, Auth, Connack, Connect, Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback,
    Subscribe, Unsuback, Unsubscribe,
};
use mqtt5_proto::{Place, Role};

/// The data types of section 1.5, with the values that chapter 3 allows where it does not allow all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Any byte: Payload Format Indicator, which a receiver takes whatever it is (E17).
    Byte,
    /// A byte that is 0 or 1.
    ZeroOrOne,
    TwoByte,
    /// Not 0.
    TwoByteNotZero,
    FourByte,
    /// Not 0.
    FourByteNotZero,
    /// Not 0.
    VarintNotZero,
    Utf8,
    Binary,
    Pair,
}

/// One line of table 2-4.
pub(crate) struct Line {
    pub(crate) id: u8,
    pub(crate) data: Data,
    pub(crate) places: &'static [Place],
}

const WILL: Place = Place::Will;

const fn of(packet: PacketType) -> Place {
    Place::Packet(packet)
}

/// The places that carry properties (2.2.2).
pub(crate) const PLACES: [Place; 14] = [
    of(Connect),
    WILL,
    of(Connack),
    of(Publish),
    of(Puback),
    of(Pubrec),
    of(Pubrel),
    of(Pubcomp),
    of(Subscribe),
    of(Suback),
    of(Unsubscribe),
    of(Unsuback),
    of(Disconnect),
    of(Auth),
];

macro_rules! lines {
    ($($id:literal $data:ident [$($place:expr),*];)*) => {
        /// Table 2-4.
        pub(crate) const PROPERTIES: [Line; 27] = [$(Line { id: $id, data: Data::$data, places: &[$($place),*] }),*];
    };
}

lines! {
    0x01 Byte [of(Publish), WILL]; // Payload Format Indicator
    0x02 FourByte [of(Publish), WILL]; // Message Expiry Interval
    0x03 Utf8 [of(Publish), WILL]; // Content Type
    0x08 Utf8 [of(Publish), WILL]; // Response Topic
    0x09 Binary [of(Publish), WILL]; // Correlation Data
    0x0B VarintNotZero [of(Publish), of(Subscribe)]; // Subscription Identifier
    0x11 FourByte [of(Connect), of(Connack), of(Disconnect)]; // Session Expiry Interval
    0x12 Utf8 [of(Connack)]; // Assigned Client Identifier
    0x13 TwoByte [of(Connack)]; // Server Keep Alive
    0x15 Utf8 [of(Connect), of(Connack), of(Auth)]; // Authentication Method
    0x16 Binary [of(Connect), of(Connack), of(Auth)]; // Authentication Data
    0x17 ZeroOrOne [of(Connect)]; // Request Problem Information
    0x18 FourByte [WILL]; // Will Delay Interval
    0x19 ZeroOrOne [of(Connect)]; // Request Response Information
    0x1A Utf8 [of(Connack)]; // Response Information
    0x1C Utf8 [of(Connack), of(Disconnect)]; // Server Reference
    0x1F Utf8 [of(Connack), of(Puback), of(Pubrec), of(Pubrel), of(Pubcomp), of(Suback), of(Unsuback), of(Disconnect), of(Auth)]; // Reason String
    0x21 TwoByteNotZero [of(Connect), of(Connack)]; // Receive Maximum
    0x22 TwoByte [of(Connect), of(Connack)]; // Topic Alias Maximum
    0x23 TwoByteNotZero [of(Publish)]; // Topic Alias
    0x24 ZeroOrOne [of(Connack)]; // Maximum QoS
    0x25 ZeroOrOne [of(Connack)]; // Retain Available
    0x26 Pair [of(Connect), WILL, of(Connack), of(Publish), of(Puback), of(Pubrec), of(Pubrel), of(Pubcomp), of(Subscribe), of(Suback), of(Unsubscribe), of(Unsuback), of(Disconnect), of(Auth)]; // User Property
    0x27 FourByteNotZero [of(Connect), of(Connack)]; // Maximum Packet Size
    0x28 ZeroOrOne [of(Connack)]; // Wildcard Subscription Available
    0x29 ZeroOrOne [of(Connack)]; // Subscription Identifier Available
    0x2A ZeroOrOne [of(Connack)]; // Shared Subscription Available
}

/// Tables 3-1, 3-4 to 3-11: packet, the sides that may send the codes, the codes.
///
/// 0x8C in DISCONNECT is in table 2-6 and not in table 3-10; it is what a server that refuses a re-authentication sends.
pub(crate) const REASON_CODES: &[(PacketType, &[Role], &[u8])] = &[
    (
        Connack,
        &[Role::Server],
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
    ),
    (Puback, BOTH, PUBLISH_ANSWERS),
    (Puback, &[Role::Server], &[0x10]),
    (Pubrec, BOTH, PUBLISH_ANSWERS),
    (Pubrec, &[Role::Server], &[0x10]),
    (Pubrel, BOTH, &[0x00, 0x92]),
    (Pubcomp, BOTH, &[0x00, 0x92]),
    (
        Suback,
        &[Role::Server],
        &[
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
    ),
    (
        Unsuback,
        &[Role::Server],
        &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
    ),
    (
        Disconnect,
        BOTH,
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
        ],
    ),
    (Disconnect, &[Role::Client], &[0x04]),
    (
        Disconnect,
        &[Role::Server],
        &[
            0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1,
            0xA2, 0x8C,
        ],
    ),
    (Auth, BOTH, &[0x18]),
    (Auth, &[Role::Client], &[0x19]),
    (Auth, &[Role::Server], &[0x00]),
];

const BOTH: &[Role] = &[Role::Client, Role::Server];
const PUBLISH_ANSWERS: &[u8] = &[0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// Whether `from` may send `code` in `packet`.
pub(crate) fn may_send(packet: PacketType, from: Role, code: u8) -> bool {
    REASON_CODES
        .iter()
        .any(|(p, roles, codes)| *p == packet && roles.contains(&from) && codes.contains(&code))
}

/// Table 2-6: code, name.
pub(crate) const NAMES: &[(u8, &str)] = &[
    (0x00, "Success"),
    (0x01, "Granted QoS 1"),
    (0x02, "Granted QoS 2"),
    (0x04, "Disconnect with Will Message"),
    (0x10, "No matching subscribers"),
    (0x11, "No subscription existed"),
    (0x18, "Continue authentication"),
    (0x19, "Re-authenticate"),
    (0x80, "Unspecified error"),
    (0x81, "Malformed Packet"),
    (0x82, "Protocol Error"),
    (0x83, "Implementation specific error"),
    (0x84, "Unsupported Protocol Version"),
    (0x85, "Client Identifier not valid"),
    (0x86, "Bad User Name or Password"),
    (0x87, "Not authorized"),
    (0x88, "Server unavailable"),
    (0x89, "Server busy"),
    (0x8A, "Banned"),
    (0x8B, "Server shutting down"),
    (0x8C, "Bad authentication method"),
    (0x8D, "Keep Alive timeout"),
    (0x8E, "Session taken over"),
    (0x8F, "Topic Filter invalid"),
    (0x90, "Topic Name invalid"),
    (0x91, "Packet Identifier in use"),
    (0x92, "Packet Identifier not found"),
    (0x93, "Receive Maximum exceeded"),
    (0x94, "Topic Alias invalid"),
    (0x95, "Packet too large"),
    (0x96, "Message rate too high"),
    (0x97, "Quota exceeded"),
    (0x98, "Administrative action"),
    (0x99, "Payload format invalid"),
    (0x9A, "Retain not supported"),
    (0x9B, "QoS not supported"),
    (0x9C, "Use another server"),
    (0x9D, "Server moved"),
    (0x9E, "Shared Subscriptions not supported"),
    (0x9F, "Connection rate exceeded"),
    (0xA0, "Maximum connect time"),
    (0xA1, "Subscription Identifiers not supported"),
    (0xA2, "Wildcard Subscriptions not supported"),
];

/// The side of table 2-1 that sends the packet of `place`; the server where both do.
pub(crate) fn sender(place: Place) -> Role {
    match place {
        Place::Will | Place::Packet(Connect | Subscribe | Unsubscribe) => Role::Client,
        Place::Packet(_) => Role::Server,
    }
}
