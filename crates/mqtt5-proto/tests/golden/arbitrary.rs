//! Strategies for packets: owned ingredients, from which a borrowing packet is put together.

use mqtt5_proto::packet::{
    Acknowledgement, Auth, Connack, Connect, Delivery, Disconnect, List, Publish, Subscribe,
    SubscribeAcknowledgement, SubscribeFilter, Unsubscribe, Will,
};
use mqtt5_proto::{
    Packet, PacketId, PacketType, Place, Properties, Property, QoS, ReasonCode, RetainHandling,
    Role, TopicFilter, TopicName,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::golden::table::{PROPERTIES, REASON_CODES};

/// What a packet is made of.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) from: Role,
    packet_type: PacketType,
    bits: u32,
    numbers: [u16; 2],
    texts: [String; 2],
    topic: String,
    data: [Vec<u8>; 2],
    properties: Vec<OwnedProperty>,
    will_properties: Vec<OwnedProperty>,
    filters: Vec<(String, u8)>,
    reasons: Vec<Index>,
}

/// What a property is made of.
#[derive(Clone, Debug)]
pub(crate) struct OwnedProperty {
    identifier: u8,
    number: u32,
    name: String,
    text: String,
    data: Vec<u8>,
}

/// Any packet from any side.
pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    select(vec![Role::Client, Role::Server]).prop_flat_map(recipe_from)
}

/// Some packets from one side.
pub(crate) fn packets_from() -> impl Strategy<Value = Vec<Recipe>> {
    select(vec![Role::Client, Role::Server]).prop_flat_map(|from| vec(recipe_from(from), 1..8))
}

fn recipe_from(from: Role) -> impl Strategy<Value = Recipe> {
    use PacketType::{
        Connack, Connect, Pingreq, Pingresp, Suback, Subscribe, Unsuback, Unsubscribe,
    };

    let others = match from {
        Role::Client => [Connack, Suback, Unsuback, Pingresp],
        Role::Server => [Connect, Subscribe, Unsubscribe, Pingreq],
    };
    let types = PacketType::ALL
        .into_iter()
        .filter(|packet| !others.contains(packet));
    select(types.collect::<Vec<_>>()).prop_flat_map(move |packet_type| {
        let words = (texts(), texts(), topic(), data(), data());
        let lists = (
            properties(Place::Packet(packet_type)),
            properties(Place::Will),
            vec((filter(), any::<u8>()), 1..5),
            vec(any::<Index>(), 1..9),
        );
        (any::<u32>(), [1..=u16::MAX, 0..=u16::MAX], words, lists).prop_map(
            move |(bits, numbers, (a, b, topic, c, d), (list, will, filters, reasons))| {
                let mut properties = list;
                if packet_type == PacketType::Publish && from == Role::Client {
                    properties.retain(|property| property.identifier != 0x0B);
                }
                Recipe {
                    from,
                    packet_type,
                    bits,
                    numbers,
                    texts: [a, b],
                    topic,
                    data: [c, d],
                    properties,
                    will_properties: will,
                    filters,
                    reasons,
                }
            },
        )
    })
}

/// Properties that `place` may carry together.
pub(crate) fn properties(place: Place) -> impl Strategy<Value = Vec<OwnedProperty>> {
    let mut identifiers: Vec<u8> = PROPERTIES
        .iter()
        .filter(|line| line.places.contains(&place))
        .map(|line| line.id)
        .collect();
    if identifiers.is_empty() {
        identifiers.push(0); // a ping; taken out below
    }
    let numbers = prop_oneof![
        select(vec![
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            268_435_455,
            u32::MAX
        ]),
        any::<u32>(),
    ];
    let one = (select(identifiers), numbers, texts(), texts(), data()).prop_map(
        |(identifier, number, name, text, data)| OwnedProperty {
            identifier,
            number,
            name,
            text,
            data,
        },
    );
    vec(one, 0..8).prop_map(move |list| {
        let mut kept: Vec<OwnedProperty> = Vec::new();
        for property in list {
            let repeats = match property.identifier {
                0 => continue,
                0x26 => true,
                0x0B => place == Place::Packet(PacketType::Publish),
                _ => false,
            };
            let known = |id: u8| kept.iter().any(|property| property.identifier == id);
            if !repeats && known(property.identifier) {
                continue;
            }
            if property.identifier == 0x16 && !known(0x15) {
                kept.push(OwnedProperty {
                    identifier: 0x15,
                    ..property.clone()
                });
            }
            kept.push(property);
        }
        kept
    })
}

/// Text of any characters but U+0000, sometimes long.
fn texts() -> impl Strategy<Value = String> {
    let character = any::<char>().prop_map(|c| if c == '\0' { '\u{FEFF}' } else { c });
    let short = vec(character.clone(), 0..6).prop_map(String::from_iter);
    let long = (
        character,
        select(vec![31_usize, 32, 63, 64, 127, 128, 255, 4_096]),
    );
    prop_oneof![
        9 => short,
        1 => long.prop_map(|(character, count)| character.to_string().repeat(count)),
    ]
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..8),
        1 => (any::<u8>(), 120..140_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn topic() -> impl Strategy<Value = String> {
    texts().prop_map(|text| topic_of(&text))
}

fn topic_of(text: &str) -> String {
    let text = text.replace(['+', '#'], "/");
    if text.is_empty() {
        "t".to_string()
    } else {
        text
    }
}

fn filter() -> impl Strategy<Value = String> {
    let levels = vec(select(vec!["a", "", "+", "é", "$SYS", "b c"]), 1..4);
    let prefix = select(vec!["", "", "$share/g/", "$share/é/"]);
    (prefix, levels, any::<bool>()).prop_map(|(prefix, mut levels, all)| {
        if all {
            levels.push("#");
        }
        let filter = levels.join("/");
        format!("{prefix}{}", if filter.is_empty() { "a" } else { &filter })
    })
}

impl OwnedProperty {
    pub(crate) fn property(&self) -> Property<'_> {
        let (byte, two, four) = (self.number as u8 & 1, self.number as u16, self.number);
        let flag = byte == 1;
        let (text, data) = (self.text.as_str(), &self.data[..]);
        match self.identifier {
            0x01 => Property::PayloadFormatIndicator(byte),
            0x02 => Property::MessageExpiryInterval(four),
            0x03 => Property::ContentType(text),
            // The rules of a Topic Name hold for what is sent.
            0x08 if text.is_empty() || text.contains(['+', '#']) => Property::ResponseTopic("r"),
            0x08 => Property::ResponseTopic(text),
            0x09 => Property::CorrelationData(data),
            0x0B => Property::SubscriptionIdentifier(four % 268_435_455 + 1),
            0x11 => Property::SessionExpiryInterval(four),
            0x12 => Property::AssignedClientIdentifier(text),
            0x13 => Property::ServerKeepAlive(two),
            0x15 => Property::AuthenticationMethod(text),
            0x16 => Property::AuthenticationData(data),
            0x17 => Property::RequestProblemInformation(flag),
            0x18 => Property::WillDelayInterval(four),
            0x19 => Property::RequestResponseInformation(flag),
            0x1A => Property::ResponseInformation(text),
            0x1C => Property::ServerReference(text),
            0x1F => Property::ReasonString(text),
            0x21 => Property::ReceiveMaximum(two.max(1)),
            0x22 => Property::TopicAliasMaximum(two),
            0x23 => Property::TopicAlias(two.max(1)),
            0x24 => Property::MaximumQoS(byte),
            0x25 => Property::RetainAvailable(flag),
            0x26 => Property::UserProperty(&self.name, text),
            0x27 => Property::MaximumPacketSize(four.max(1)),
            0x28 => Property::WildcardSubscriptionAvailable(flag),
            0x29 => Property::SubscriptionIdentifierAvailable(flag),
            0x2A => Property::SharedSubscriptionAvailable(flag),
            other => panic!("no property {other:#04x}"),
        }
    }
}

impl Recipe {
    /// Puts the packet together for `run`.
    pub(crate) fn with_packet<T>(&self, run: impl FnOnce(Packet<'_>) -> T) -> T {
        let list: Vec<_> = self
            .properties
            .iter()
            .map(OwnedProperty::property)
            .collect();
        let properties = Properties::new(&list).unwrap();
        let packet_id = PacketId::new(self.numbers[0]).unwrap();
        let bit = |number: u32| self.bits >> number & 1 == 1;
        let reasons: Vec<_> = self
            .reasons
            .iter()
            .map(|index| self.reason(index))
            .collect();
        let reason = reasons[0];
        let acknowledgement = Acknowledgement {
            packet_id,
            reason,
            properties,
        };
        let answer = SubscribeAcknowledgement {
            packet_id,
            properties,
            reasons: List::from(&reasons[..]),
        };
        let filters: Vec<_> = self.filters.iter().map(subscription).collect();
        let topics: Vec<_> = filters
            .iter()
            .map(|subscription| subscription.filter)
            .collect();
        match self.packet_type {
            PacketType::Connect => self.with_will(|will| {
                run(Packet::Connect(Connect {
                    clean_start: bit(0),
                    keep_alive: self.numbers[1],
                    client_id: &self.texts[0],
                    will: bit(1).then_some(will),
                    username: bit(2).then_some(&self.texts[1]),
                    password: bit(3).then_some(&self.data[0]),
                    properties,
                }))
            }),
            PacketType::Connack => run(Packet::Connack(Connack {
                session_present: bit(0) && !reason.is_error(),
                reason,
                properties,
            })),
            PacketType::Publish => {
                let alias = properties.topic_alias().is_some();
                let dup = bit(0);
                run(Packet::Publish(Publish {
                    delivery: match self.bits >> 1 & 3 {
                        0 => Delivery::AtMostOnce,
                        1 => Delivery::AtLeastOnce { id: packet_id, dup },
                        _ => Delivery::ExactlyOnce { id: packet_id, dup },
                    },
                    retain: bit(3),
                    topic: (!alias || bit(4)).then(|| TopicName::new(&self.topic).unwrap()),
                    properties,
                    payload: &self.data[0],
                }))
            }
            PacketType::Puback => run(Packet::Puback(acknowledgement)),
            PacketType::Pubrec => run(Packet::Pubrec(acknowledgement)),
            PacketType::Pubrel => run(Packet::Pubrel(acknowledgement)),
            PacketType::Pubcomp => run(Packet::Pubcomp(acknowledgement)),
            PacketType::Subscribe => run(Packet::Subscribe(Subscribe {
                packet_id,
                properties,
                filters: List::from(&filters[..]),
            })),
            PacketType::Suback => run(Packet::Suback(answer)),
            PacketType::Unsubscribe => run(Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties,
                filters: List::from(&topics[..]),
            })),
            PacketType::Unsuback => run(Packet::Unsuback(answer)),
            PacketType::Pingreq => run(Packet::Pingreq),
            PacketType::Pingresp => run(Packet::Pingresp),
            PacketType::Disconnect => run(Packet::Disconnect(Disconnect { reason, properties })),
            PacketType::Auth => run(Packet::Auth(Auth { reason, properties })),
        }
    }

    fn with_will<T>(&self, run: impl FnOnce(Will<'_>) -> T) -> T {
        let list: Vec<_> = self
            .will_properties
            .iter()
            .map(OwnedProperty::property)
            .collect();
        run(Will {
            qos: QoS::try_from((self.bits >> 8 & 3).min(2) as u8).unwrap(),
            retain: self.bits >> 10 & 1 == 1,
            topic: TopicName::new(&self.topic).unwrap(),
            payload: &self.data[1],
            properties: Properties::new(&list).unwrap(),
        })
    }

    /// One of the codes that the side may send in the packet; any for a packet without one.
    fn reason(&self, index: &Index) -> ReasonCode {
        let codes: Vec<u8> = REASON_CODES
            .iter()
            .filter(|(packet, roles, _)| *packet == self.packet_type && roles.contains(&self.from))
            .flat_map(|(_, _, codes)| codes.iter().copied())
            .collect();
        let code = if codes.is_empty() {
            0
        } else {
            *index.get(&codes)
        };
        ReasonCode::from(code)
    }
}

fn subscription((text, bits): &(String, u8)) -> SubscribeFilter<'_> {
    let filter = TopicFilter::new(text).unwrap();
    SubscribeFilter {
        filter,
        qos: QoS::try_from((bits & 3).min(2)).unwrap(),
        no_local: bits & 4 != 0 && !filter.is_shared(),
        retain_as_published: bits & 8 != 0,
        retain_handling: RetainHandling::try_from((bits >> 4 & 3).min(2)).unwrap(),
    }
}
