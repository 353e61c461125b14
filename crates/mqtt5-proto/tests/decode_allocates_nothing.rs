//! Decoding allocates nothing.
#![cfg(feature = "alloc")]

use std::alloc::System;
use std::hint::black_box;

use mqtt5_proto::packet::{Acknowledgement, Subscribe, SubscribeAcknowledgement};
use mqtt5_proto::packet::{Connack, Connect, Delivery, Publish, SubscribeFilter};
use mqtt5_proto::{
    Decoding, Packet, PacketId, Properties, Property, ProtocolVersion, QoS, ReasonCode, Role,
    TopicFilter, TopicName,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn decode_allocates_nothing() {
    let id = PacketId::new(7).unwrap();
    let list = [
        Property::ContentType("text/plain"),
        Property::CorrelationData(b"\xFF\x00"),
        Property::UserProperty("site", "a"),
        Property::UserProperty("site", "b"),
    ];
    let users = [
        Property::UserProperty("site", "a"),
        Property::UserProperty("site", "b"),
    ];
    let users = Properties::new(&users).unwrap();
    let filters = [SubscribeFilter::new(
        TopicFilter::new("a/+/#").unwrap(),
        QoS::ExactlyOnce,
    )];
    let reasons = [ReasonCode::GRANTED_QOS_2];
    let packets = [
        (
            Role::Client,
            Packet::Connect(Connect {
                properties: users,
                ..Connect::new("me")
            }),
        ),
        (
            Role::Server,
            Packet::Connack(Connack {
                session_present: false,
                reason: ReasonCode::SUCCESS,
                properties: users,
            }),
        ),
        (
            Role::Server,
            Packet::Publish(Publish {
                delivery: Delivery::ExactlyOnce { id, dup: false },
                retain: true,
                topic: Some(TopicName::new("sensors/a/temperature").unwrap()),
                properties: Properties::new(&list).unwrap(),
                payload: &[0; 256],
            }),
        ),
        (
            Role::Server,
            Packet::Pubcomp(Acknowledgement::new(id, ReasonCode::SUCCESS)),
        ),
        (
            Role::Client,
            Packet::Subscribe(Subscribe {
                packet_id: id,
                properties: users,
                filters: filters[..].into(),
            }),
        ),
        (
            Role::Server,
            Packet::Suback(SubscribeAcknowledgement {
                packet_id: id,
                properties: users,
                reasons: reasons[..].into(),
            }),
        ),
    ];
    let frames = packets.map(|(from, packet)| {
        let mut frame = Vec::new();
        packet
            .encode_to_vec(ProtocolVersion::V5, &mut frame)
            .unwrap();
        (from, frame)
    });

    // The counter sees the whole process, and the test harness has a thread of its own: a single quiet round is what
    // counts, and a decoder that allocates has none.
    let quiet = (0..20).any(|_| {
        let region = Region::new(ALLOCATOR);
        for _ in 0..1_000 {
            frames.iter().for_each(|(from, frame)| decode(*from, frame));
        }
        let change = region.change();
        (change.allocations, change.reallocations) == (0, 0)
    });
    assert!(quiet);
}

fn decode(from: Role, frame: &[u8]) {
    let packet = Packet::decode(black_box(frame), &Decoding::new(from)).unwrap();
    if let Packet::Publish(publish) = black_box(packet) {
        assert_eq!(publish.properties.user_properties().count(), 2);
        assert_eq!(
            publish.properties.correlation_data(),
            Some(&b"\xFF\x00"[..])
        );
    }
}
