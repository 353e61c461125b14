//! Packets from owned ingredients, whoever chose them.

use mqtt5_proto::packet::{
    Acknowledgement, Auth, Connack, Connect, Delivery, Disconnect, List, Publish, Subscribe,
    SubscribeAcknowledgement, SubscribeFilter, Unsubscribe, Will,
};
use mqtt5_proto::{
    Packet, PacketId, PacketType, Place, Properties, Property, QoS, ReasonCode, RetainHandling,
    Role, TopicFilter, TopicName,
};

use super::table::{PROPERTIES, REASON_CODES};

/// What a packet is made of.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) from: Role,
    pub(crate) packet_type: PacketType,
    pub(crate) bits: u32,
    pub(crate) numbers: [u16; 2],
    pub(crate) texts: [String; 2],
    pub(crate) topic: String,
    pub(crate) data: [Vec<u8>; 2],
    pub(crate) properties: Vec<OwnedProperty>,
    pub(crate) will_properties: Vec<OwnedProperty>,
    pub(crate) filters: Vec<(String, u8)>,
    pub(crate) reasons: Vec<u16>,
}

/// What a property is made of.
#[derive(Clone, Debug)]
pub(crate) struct OwnedProperty {
    pub(crate) identifier: u8,
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) data: Vec<u8>,
}

/// The packets that `from` may send.
pub(crate) fn packet_types(from: Role) -> Vec<PacketType> {
    use PacketType::{
        Connack, Connect, Pingreq, Pingresp, Suback, Subscribe, Unsuback, Unsubscribe,
    };

    let others = match from {
        Role::Client => [Connack, Suback, Unsuback, Pingresp],
        Role::Server => [Connect, Subscribe, Unsubscribe, Pingreq],
    };
    let types = PacketType::ALL.into_iter();
    types.filter(|packet| !others.contains(packet)).collect()
}

/// The properties that `place` may carry.
pub(crate) fn identifiers(place: Place) -> Vec<u8> {
    let lines = PROPERTIES
        .iter()
        .filter(|line| line.places.contains(&place));
    lines.map(|line| line.id).collect()
}

/// Leaves out what may not stand together in `place`, and adds what must.
pub(crate) fn together(place: Place, list: Vec<OwnedProperty>) -> Vec<OwnedProperty> {
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
}

/// Leaves out what `from` may not send: a client no Subscription Identifier in PUBLISH [MQTT-3.3.4-6].
pub(crate) fn sent_by(
    from: Role,
    packet_type: PacketType,
    mut list: Vec<OwnedProperty>,
) -> Vec<OwnedProperty> {
    if packet_type == PacketType::Publish && from == Role::Client {
        list.retain(|property| property.identifier != 0x0B);
    }
    list
}

/// Parts of filters.
pub(crate) const LEVELS: [&str; 6] = ["a", "", "+", "é", "$SYS", "b c"];
pub(crate) const PREFIXES: [&str; 4] = ["", "", "$share/g/", "$share/é/"];

/// A Topic Filter of these parts.
pub(crate) fn filter_of(prefix: &str, mut levels: Vec<&str>, all: bool) -> String {
    if all {
        levels.push("#");
    }
    let filter = levels.join("/");
    format!("{prefix}{}", if filter.is_empty() { "a" } else { &filter })
}

/// A Topic Name that is close to `text`.
pub(crate) fn topic_of(text: &str) -> String {
    let text = text.replace(['+', '#'], "/");
    if text.is_empty() {
        "t".to_string()
    } else {
        text
    }
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
            .map(|choice| self.reason(*choice))
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
    fn reason(&self, choice: u16) -> ReasonCode {
        let codes: Vec<u8> = REASON_CODES
            .iter()
            .filter(|(packet, roles, _)| *packet == self.packet_type && roles.contains(&self.from))
            .flat_map(|(_, _, codes)| codes.iter().copied())
            .collect();
        let code = if codes.is_empty() {
            0
        } else {
            codes[usize::from(choice) % codes.len()]
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
