//! Packets for scripts.

use mqtt5_proto::packet::{
    Acknowledgement, Connack, Delivery, Disconnect, List, Publish, Subscribe,
    SubscribeAcknowledgement, SubscribeFilter, Unsubscribe,
};
use mqtt5_proto::{
    Packet, PacketId, PacketType, Properties, QoS, ReasonCode, TopicFilter, TopicName,
};

pub(crate) use super::bed::{encode, filter};

pub(crate) fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

/// An acknowledgement with success.
pub(crate) fn ack(packet_type: PacketType, packet_id: u16) -> Packet<'static> {
    ack_with(packet_type, packet_id, 0, Properties::EMPTY)
}

pub(crate) fn ack_with(
    packet_type: PacketType,
    packet_id: u16,
    reason: u8,
    properties: Properties<'_>,
) -> Packet<'_> {
    let body = Acknowledgement {
        packet_id: id(packet_id),
        reason: ReasonCode::from(reason),
        properties,
    };
    match packet_type {
        PacketType::Puback => Packet::Puback(body),
        PacketType::Pubrec => Packet::Pubrec(body),
        PacketType::Pubrel => Packet::Pubrel(body),
        PacketType::Pubcomp => Packet::Pubcomp(body),
        other => panic!("{other} is no acknowledgement"),
    }
}

pub(crate) fn puback(packet_id: u16) -> Packet<'static> {
    ack(PacketType::Puback, packet_id)
}

pub(crate) fn pubrec(packet_id: u16) -> Packet<'static> {
    ack(PacketType::Pubrec, packet_id)
}

pub(crate) fn pubrel(packet_id: u16) -> Packet<'static> {
    ack(PacketType::Pubrel, packet_id)
}

pub(crate) fn pubcomp(packet_id: u16) -> Packet<'static> {
    ack(PacketType::Pubcomp, packet_id)
}

/// A first PUBLISH to the topic `t`.
pub(crate) fn publish(qos: QoS, packet_id: u16, payload: &str) -> Packet<'_> {
    publish_with(delivery(qos, packet_id, false), payload)
}

pub(crate) fn delivery(qos: QoS, packet_id: u16, dup: bool) -> Delivery {
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce {
            id: id(packet_id),
            dup,
        },
        QoS::ExactlyOnce => Delivery::ExactlyOnce {
            id: id(packet_id),
            dup,
        },
    }
}

/// A PUBLISH to the topic `t` that may have been sent before.
pub(crate) fn again(qos: QoS, packet_id: u16, payload: &str) -> Packet<'_> {
    publish_with(delivery(qos, packet_id, true), payload)
}

pub(crate) fn publish_with(delivery: Delivery, payload: &str) -> Packet<'_> {
    Packet::Publish(Publish {
        delivery,
        retain: false,
        topic: Some(TopicName::new("t").unwrap()),
        properties: Properties::EMPTY,
        payload: payload.as_bytes(),
    })
}

pub(crate) fn subscribe<'a>(packet_id: u16, filters: &'a [SubscribeFilter<'a>]) -> Packet<'a> {
    Packet::Subscribe(Subscribe {
        packet_id: id(packet_id),
        properties: Properties::EMPTY,
        filters: List::from(filters),
    })
}

pub(crate) fn unsubscribe<'a>(packet_id: u16, filters: &'a [TopicFilter<'a>]) -> Packet<'a> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: id(packet_id),
        properties: Properties::EMPTY,
        filters: List::from(filters),
    })
}

pub(crate) fn reasons(codes: &[u8]) -> Vec<ReasonCode> {
    codes.iter().copied().map(ReasonCode::from).collect()
}

pub(crate) fn suback(packet_id: u16, reasons: &[ReasonCode]) -> Packet<'_> {
    Packet::Suback(answer(packet_id, reasons))
}

pub(crate) fn unsuback(packet_id: u16, reasons: &[ReasonCode]) -> Packet<'_> {
    Packet::Unsuback(answer(packet_id, reasons))
}

fn answer(packet_id: u16, reasons: &[ReasonCode]) -> SubscribeAcknowledgement<'_> {
    SubscribeAcknowledgement {
        packet_id: id(packet_id),
        properties: Properties::EMPTY,
        reasons: List::from(reasons),
    }
}

pub(crate) fn disconnect(reason: u8) -> Packet<'static> {
    Packet::Disconnect(Disconnect::new(ReasonCode::from(reason)))
}

pub(crate) fn connack(reason: u8, properties: Properties<'_>) -> Packet<'_> {
    Packet::Connack(Connack {
        session_present: false,
        reason: ReasonCode::from(reason),
        properties,
    })
}
