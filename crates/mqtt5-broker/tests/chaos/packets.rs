//! Packets by chance.

use mqtt5_proto::packet::{
    Connect, Delivery, Disconnect, List, Packet, Publish, Subscribe, SubscribeFilter, Unsubscribe,
    Will,
};
use mqtt5_proto::{Properties, Property, QoS, ReasonCode, RetainHandling};

use crate::common::{encode, filter, id, list, puback, pubcomp, pubrec, pubrel, qos1, qos2, topic};
use crate::random::Random;
use crate::witness::Witness;

pub(crate) const CLIENTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const TOPICS: [&str; 5] = ["t", "sensors/a", "sensors/b", "$SYS/x", "other/topic"];
const FILTERS: [&str; 8] = [
    "t",
    "sensors/+",
    "sensors/#",
    "#",
    "+/a",
    "$share/g/sensors/+",
    "$share/h/#",
    "$share/g/t",
];
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// CONNECT; the witness learns what it asks for.
pub(crate) fn connect(random: &mut Random, witness: &mut Witness) -> Vec<u8> {
    let receive_maximum = random.pick(&[1, 2, 4, 65_535_u16]);
    let maximum_packet_size = random.pick(&[30, 400, 100_000_u32]);
    let alias_maximum = random.pick(&[0, 1, 4_u16]);
    witness.receive_maximum = receive_maximum.into();
    witness.maximum_packet_size = maximum_packet_size as usize;
    witness.alias_maximum = alias_maximum.into();
    let properties = [
        Property::SessionExpiryInterval(random.pick(&[0, 10, 10_000, 10_000])),
        Property::ReceiveMaximum(receive_maximum),
        Property::MaximumPacketSize(maximum_packet_size),
        Property::TopicAliasMaximum(alias_maximum),
    ];
    witness.client_id = random.pick(&CLIENTS);
    let delay = [Property::WillDelayInterval(random.pick(&[0, 5]))];
    let will = Will {
        qos: random.pick(&QOS),
        retain: random.one_in(3),
        properties: list(&delay),
        ..Will::new(topic(random.pick(&TOPICS)), b"gone")
    };
    encode(&Packet::Connect(Connect {
        clean_start: random.one_in(4),
        keep_alive: random.pick(&[0, 5, 60]),
        will: random.one_in(3).then_some(will),
        properties: list(&properties),
        ..Connect::new(witness.client_id)
    }))
}

/// Something that a client says.
pub(crate) fn any(random: &mut Random, witness: &mut Witness) -> Vec<u8> {
    let value = 1 + random.below(4) as u16;
    match random.below(40) {
        0..16 => publish(random, value, true),
        16..22 => subscribe(random),
        22 => unsubscribe(random),
        23..34 => {
            let error = ReasonCode::UNSPECIFIED_ERROR;
            let reason = if random.one_in(8) {
                error
            } else {
                ReasonCode::SUCCESS
            };
            let answer = witness.answer(random.below(8), reason);
            encode(&answer.unwrap_or(Packet::Pingreq))
        }
        34..37 => encode(&pubrel(value)),
        37 => disconnect(random),
        38 => {
            witness.is_lenient = true;
            let success = ReasonCode::SUCCESS;
            let answers = [puback, pubrec, pubcomp];
            encode(&random.pick(&answers)(value, success))
        }
        _ => {
            witness.is_lenient = true;
            let mut bytes = publish(random, value, false);
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            bytes
        }
    }
}

/// A message, of which the payload may name the topic.
fn publish(random: &mut Random, value: u16, is_named: bool) -> Vec<u8> {
    let mut properties = Vec::new();
    if random.one_in(3) {
        properties.push(Property::MessageExpiryInterval(random.pick(&[0, 1, 10])));
    }
    if random.one_in(3) {
        properties.push(Property::TopicAlias(1 + random.below(17) as u16));
    }
    let name = random.pick(&TOPICS);
    let mut payload = Vec::new();
    if is_named && !random.one_in(8) {
        payload.extend(format!("={name}|").bytes());
    }
    payload.resize(payload.len() + random.pick(&[0, 1, 10, 300, 17_000]), b'x');
    encode(&Packet::Publish(Publish {
        delivery: random.pick(&[Delivery::AtMostOnce, qos1(value), qos2(value)]),
        retain: random.one_in(4),
        topic: Some(topic(name)),
        properties: list(&properties),
        payload: &payload,
    }))
}

fn subscribe(random: &mut Random) -> Vec<u8> {
    let retain_handling = [
        RetainHandling::SendAtSubscribe,
        RetainHandling::SendAtSubscribeIfNew,
        RetainHandling::DoNotSend,
    ];
    let filters: Vec<_> = (0..1 + random.below(3))
        .map(|_| {
            let text = random.pick(&FILTERS);
            SubscribeFilter {
                no_local: !text.starts_with("$share") && random.one_in(4),
                retain_as_published: random.one_in(2),
                retain_handling: random.pick(&retain_handling),
                ..SubscribeFilter::new(filter(text), random.pick(&QOS))
            }
        })
        .collect();
    let identifier = [Property::SubscriptionIdentifier(
        1 + random.below(300) as u32,
    )];
    encode(&Packet::Subscribe(Subscribe {
        packet_id: id(7),
        properties: list(if random.one_in(2) { &identifier } else { &[] }),
        filters: List::from(&filters[..]),
    }))
}

fn unsubscribe(random: &mut Random) -> Vec<u8> {
    let filters = [filter(random.pick(&FILTERS))];
    encode(&Packet::Unsubscribe(Unsubscribe {
        packet_id: id(8),
        properties: Properties::EMPTY,
        filters: List::from(&filters[..]),
    }))
}

fn disconnect(random: &mut Random) -> Vec<u8> {
    let expiry = [Property::SessionExpiryInterval(random.pick(&[0, 3, 1_000]))];
    let reasons = [
        ReasonCode::NORMAL_DISCONNECTION,
        ReasonCode::DISCONNECT_WITH_WILL,
    ];
    encode(&Packet::Disconnect(Disconnect {
        reason: random.pick(&reasons),
        properties: list(if random.one_in(2) { &expiry } else { &[] }),
    }))
}
