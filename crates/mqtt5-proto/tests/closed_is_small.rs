//! A machine whose connection is over keeps no buffer of it (T5).
#![cfg(feature = "alloc")]

use std::alloc::System;

use mqtt5_proto::packet::{Connack, Connect, Delivery, Publish};
use mqtt5_proto::{
    Client, Config, Incoming, Instant, Outbound, Outgoing, Packet, Properties, Property,
    ProtocolVersion, QoS, ReasonCode, TopicAliases, TopicName,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NOW: Instant = Instant::ZERO;

/// How many bytes a machine may keep that was connected before.
const KEPT: isize = 1_024;

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet
        .encode_to_vec(ProtocolVersion::V5, &mut bytes)
        .unwrap();
    bytes
}

/// Much that was received, much that waits to be sent, aliases in both directions.
fn busy(client: &mut Client, incoming: &mut Incoming, outgoing: &mut Outgoing) {
    let list = [Property::TopicAliasMaximum(16)];
    let properties = Properties::new(&list).unwrap();
    let connect = Connect {
        properties,
        ..Connect::new("me")
    };
    client.connect(NOW, &connect).unwrap();
    client.take_outgoing(outgoing);
    client.handle_sent(NOW, outgoing, usize::MAX);
    let connack = encode(&Packet::Connack(Connack {
        session_present: false,
        reason: ReasonCode::SUCCESS,
        properties,
    }));
    let topic = TopicName::new("a topic that is longer than its alias").unwrap();
    let list = [Property::TopicAlias(1)];
    let publish = encode(&Packet::Publish(Publish {
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: Some(topic),
        properties: Properties::new(&list).unwrap(),
        payload: &[0; 10_000],
    }));
    let mut received = connack;
    for _ in 0..200 {
        received.extend_from_slice(&publish);
    }
    let mut rest = &received[..received.len() - 1];
    while !rest.is_empty() {
        client.take_incoming(incoming);
        let space = incoming.space();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        incoming.filled(count);
        client.handle_incoming(NOW, incoming);
        rest = &rest[count..];
        while client.poll_event(NOW).is_some() {}
    }
    for _ in 0..5 {
        let message = Outbound::new(topic, QoS::AtMostOnce, &[0; 10_000][..]);
        client.publish(NOW, &message).unwrap();
    }
}

/// In the machine, and in the hands of a driver that goes on with its buffers on the next connection.
#[test]
fn nothing_is_kept_after_the_end() {
    let region = Region::new(ALLOCATOR);
    let kept = || {
        let change = region.change();
        isize::try_from(change.bytes_allocated).unwrap()
            - isize::try_from(change.bytes_deallocated).unwrap()
    };
    let mut config = Config::default();
    config.topic_aliases = TopicAliases::Auto(16);
    let mut client = Client::new(config);
    let mut incoming = Incoming::new();
    let mut outgoing = Outgoing::new();
    busy(&mut client, &mut incoming, &mut outgoing);
    assert!(kept() > 64 * KEPT, "{} bytes", kept());
    client.handle_closed(NOW);
    while client.poll_event(NOW).is_some() {}
    client.handle_incoming(NOW, &mut incoming);
    client.take_outgoing(&mut outgoing);
    assert!(kept() < KEPT, "{} bytes", kept());

    // Neither does it come back with the buffer of a driver that did not give it back in time.
    busy(&mut client, &mut incoming, &mut outgoing);
    client.take_incoming(&mut incoming);
    client.handle_closed(NOW);
    while client.poll_event(NOW).is_some() {}
    client.connect(NOW, &Connect::new("me")).unwrap();
    client.take_incoming(&mut incoming);
    assert!(kept() < KEPT, "{} bytes", kept());
}
