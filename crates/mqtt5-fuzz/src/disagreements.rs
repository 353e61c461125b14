//! The known disagreements with the other decoder. `fuzz/disagreements.md` has the same headings, each with the clause
//! that decides.

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{DecodeErrorKind as Kind, Packet, PacketType, Property};

use crate::differential::Disagreement;

/// A class: its heading, and whether a disagreement belongs to it.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) applies: fn(&Disagreement<'_>) -> bool,
}

/// What we refuse and the other takes: heading, packets, our reason.
macro_rules! refused {
    ($($name:literal [$($packet:ident)|+] => $kind:pat,)*) => {
        [$(Class {
            name: $name,
            applies: |disagreement| matches!(
                disagreement,
                Disagreement::RefusedByUs($(PacketType::$packet)|+, $kind)
            ),
        }),*]
    };
}

pub(crate) const REFUSED_BY_US: [Class; 19] = refused! {
    "Lengths that are longer than needed"
        [Connect | Connack | Publish | Puback | Pubrec | Pubrel | Pubcomp | Subscribe | Suback | Unsubscribe
            | Unsuback | Disconnect | Auth]
        => Kind::NonMinimalVariableByteInteger,
    "U+0000 in strings"
        [Connect | Connack | Publish | Puback | Pubrec | Pubrel | Pubcomp | Subscribe | Suback | Unsubscribe
            | Unsuback | Disconnect | Auth]
        => Kind::NulCharacter,
    "DUP with QoS 0" [Publish] => Kind::DupWithoutQoS,
    "Wildcards in Topic Names" [Publish | Connect] => Kind::InvalidTopicName,
    "Empty Topic Names" [Publish | Connect] => Kind::EmptyTopicName,
    "PUBLISH without Property Length" [Publish] => Kind::Truncated,
    "Invalid Topic Filters" [Subscribe | Unsubscribe] => Kind::InvalidTopicFilter,
    "No Local on Shared Subscriptions" [Subscribe] => Kind::NoLocalOnSharedSubscription,
    "Two Subscription Identifiers in SUBSCRIBE" [Subscribe] => Kind::DuplicateProperty(0x0B),
    "Packet Identifier 0"
        [Publish | Subscribe | Suback | Unsubscribe | Unsuback] => Kind::PacketIdZero,
    "Reserved bits" [Connect | Connack] => Kind::ReservedBit,
    "Will QoS 3" [Connect] => Kind::InvalidQoS,
    "Will flags without a will" [Connect] => Kind::WillFlagsWithoutWill,
    "Authentication Data without a method"
        [Connect | Connack | Auth] => Kind::AuthenticationDataWithoutMethod,
    "Session Present in a refusal" [Connack] => Kind::SessionPresentInRefusal,
    "AUTH without Property Length" [Auth] => Kind::Truncated,
    "Content in pings" [Pingreq | Pingresp] => Kind::TrailingBytes,
    "Subscription Identifier 0" [Publish | Subscribe] => Kind::InvalidPropertyValue(0x0B),
    "Topic Alias 0" [Publish] => Kind::TopicAliasZero,
};

pub(crate) const REFUSED_BY_THEM: [Class; 5] = [
    Class {
        name: "Payload Format Indicator above 1",
        applies: |disagreement| {
            let Disagreement::RefusedByThem(packet, _) = disagreement else {
                return false;
            };
            let properties = match packet {
                Packet::Publish(Publish { properties, .. }) => properties,
                Packet::Connect(connect) => match &connect.will {
                    Some(will) => &will.properties,
                    None => return false,
                },
                _ => return false,
            };
            let above = |p| matches!(p, Property::PayloadFormatIndicator(2..));
            properties.iter().any(above)
        },
    },
    Class {
        name: "DISCONNECT with codes of other packets",
        applies: |disagreement| {
            matches!(
                disagreement,
                Disagreement::RefusedByThem(Packet::Disconnect(_), _)
            )
        },
    },
    Class {
        name: "Refusals of MQTT 3.1.1",
        applies: |disagreement| {
            let Disagreement::RefusedByThem(Packet::Connack(connack), _) = disagreement else {
                return false;
            };
            (1..=5).contains(&connack.reason.value())
        },
    },
    Class {
        name: "Password without User Name",
        applies: |disagreement| {
            let Disagreement::RefusedByThem(Packet::Connect(connect), _) = disagreement else {
                return false;
            };
            connect.password.is_some() && connect.username.is_none()
        },
    },
    Class {
        name: "AUTH without a method",
        applies: |disagreement| {
            let Disagreement::RefusedByThem(Packet::Auth(auth), _) = disagreement else {
                return false;
            };
            auth.properties.authentication_method().is_none()
        },
    },
];

/// Every class.
pub(crate) fn classes() -> impl Iterator<Item = &'static Class> {
    REFUSED_BY_US.iter().chain(&REFUSED_BY_THEM)
}
