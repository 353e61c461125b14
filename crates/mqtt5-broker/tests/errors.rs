//! Malformed Packets and Protocol Errors of a connected client (4.13, E19), and arbitrary bytes.

mod common;

use common::*;
use mqtt5_proto::ReasonCode;
use mqtt5_proto::packet::{Connect, Packet};

#[track_caller]
fn expect(bytes: &[u8], reason: ReasonCode) {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.send_bytes(1, bytes);
    let frames = bench.received(1);
    let is_told =
        matches!(frames.packets().last(), Some(Packet::Disconnect(d)) if d.reason == reason);
    assert!(is_told, "{bytes:x?}: {:?}", frames.packets());
    bench.expect_closed(1);
    // Nothing more is sent or read.
    bench.send(1, &Packet::Pingreq);
    bench.expect_nothing(1);
    assert_eq!(bench.broker.statistics().sessions, 0);
    assert_eq!(bench.broker.poll_timeout(), None);
}

#[test]
fn what_does_not_parse_is_malformed() {
    for bytes in [
        &b"\x00\x00"[..],                     // type 0
        b"\x36\x04\x00\x01t\x00",             // QoS 3
        b"\x80\x05\x00\x01\x00\x00\x01",      // SUBSCRIBE flags
        b"\xC1\x00",                          // PINGREQ flags
        b"\x60\x02\x00\x01",                  // PUBREL flags
        b"\x30\xFF\xFF\xFF\xFF",              // length
        b"\x30\x04\x00\x01\xFF\x00",          // UTF-8
        b"\x30\x04\x00\x01\x00\x00",          // U+0000
        b"\x30\x07\x00\x01t\x03\x11\x00\x00", // a property that ends too early
        b"\x30\x06\x00\x01t\x02\x7F\x00",     // unknown property
        b"\x82\x07\x00\x01\x00\x00\x01t\x40", // reserved option bits
    ] {
        expect(bytes, ReasonCode::MALFORMED_PACKET);
    }
}

#[test]
fn what_parses_and_is_not_allowed_is_a_protocol_error() {
    for bytes in [
        &b"\x32\x06\x00\x01t\x00\x00\x00"[..], // packet identifier 0
        b"\x30\x04\x00\x01+\x00",              // wildcard in a topic
        b"\x30\x03\x00\x00\x00",               // no topic
        b"\x38\x04\x00\x01t\x00",              // DUP at QoS 0
        b"\x30\x0A\x00\x01t\x06\x03\x00\x00\x03\x00\x00", // Content Type twice
        b"\x30\x06\x00\x01t\x02\x0B\x01",      // Subscription Identifier from a client
        b"\x82\x08\x00\x01\x00\x00\x02a#\x00", // filters that break the rules of 4.7.1
        b"\x82\x06\x00\x01\x00\x00\x00\x00",
        b"\x82\x0D\x00\x01\x00\x00\x07$share/\x00",
        b"\xA2\x07\x00\x01\x00\x00\x02a+",
        b"\x82\x03\x00\x01\x00",              // SUBSCRIBE without a filter
        b"\xA2\x03\x00\x01\x00",              // UNSUBSCRIBE without a filter
        b"\x82\x07\x00\x01\x00\x00\x01t\x03", // QoS 3 asked for
        b"\x82\x07\x00\x01\x00\x00\x01t\x30", // Retain Handling 3
        b"\x40\x03\x00\x01\x92",              // 0x92 in PUBACK
        b"\x20\x03\x00\x00\x00",              // CONNACK from a client
        b"\xD0\x00",                          // PINGRESP from a client
        b"\xF0\x02\x18\x00",                  // AUTH
    ] {
        expect(bytes, ReasonCode::PROTOCOL_ERROR);
    }
}

#[test]
fn the_client_s_own_disconnect_reason_is_not_answered() {
    for reason in [ReasonCode::UNSPECIFIED_ERROR, ReasonCode::MALFORMED_PACKET] {
        let mut bench = Bench::new();
        bench.connect(1, "a");
        bench.send(1, &disconnect(reason));
        bench.expect_nothing(1);
        bench.expect_closed(1);
    }
}

#[test]
fn inputs_for_unknown_connections_are_ignored() {
    let mut bench = Bench::new();
    bench.send(9, &Packet::Connect(Connect::new("a")));
    bench.lose(9);
    let outgoing = bench.broker.take_outgoing(9);
    bench.broker.handle_sent(bench.now, outgoing);
    bench.connect(1, "a");
    bench.open(1); // in use
    bench.send(1, &Packet::Pingreq);
    bench.expect(1, &[Packet::Pingresp]);
}

#[test]
fn time_that_goes_backwards_stands_still() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.advance(50.0);
    bench.send(1, &Packet::Pingreq);
    bench.received(1);
    bench.broker.handle_timeout(mqtt5_proto::Instant::ZERO);
    bench
        .broker
        .handle_received(mqtt5_proto::Instant::ZERO, 1, &encode(&Packet::Pingreq));
    bench.expect(1, &[Packet::Pingresp]);
    bench.advance(89.0);
    assert_eq!(bench.broker.statistics().connections, 1);
    bench.expect_nothing(1);
}

/// Packets of every kind with bytes changed, cut and repeated: nothing panics, other clients are served.
#[test]
fn damaged_packets_cost_one_connection_at_most() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let samples: [&[u8]; 9] = [
        b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x02me",
        b"\x35\x0A\x00\x03t/1\x00\x07\x00xy",
        b"\x32\x12\x00\x03t/1\x00\x08\x08\x02\x00\x00\x00\x09\x23\x00\x01x",
        b"\x82\x0B\x00\x01\x02\x0B\x05\x00\x03t/+\x02",
        b"\xA2\x08\x00\x02\x00\x00\x03t/+",
        b"\x40\x02\x00\x01",
        b"\x62\x02\x00\x07",
        b"\xC0\x00",
        b"\xE0\x00",
    ];
    let mut bench = Bench::new();
    bench.connect(1, "witness");
    for connection in 2..3_000 {
        bench.open(connection);
        bench.send_bytes(connection, samples[0]);
        for _ in 0..next(12) {
            let mut bytes = samples[next(samples.len())].to_vec();
            match next(4) {
                0 => {
                    let at = next(bytes.len());
                    bytes[at] = next(256) as u8;
                }
                1 => bytes.truncate(next(bytes.len())),
                _ => {}
            }
            bench.send_bytes(connection, &bytes);
        }
        if next(3) > 0 {
            bench.advance(next(100) as f64 / 100.0);
            bench.received(connection);
        }
        bench.lose(connection);
        if connection % 50 == 0 {
            bench.send(1, &Packet::Pingreq);
            bench.expect(1, &[Packet::Pingresp]);
            bench.publish_1(1, "safe", "x", ReasonCode::NO_MATCHING_SUBSCRIBERS);
        }
    }
    bench.lose(1);
    bench.advance(10_000.0);
    let statistics = bench.broker.statistics();
    assert_eq!(
        (
            statistics.connections,
            statistics.sessions,
            statistics.subscriptions
        ),
        (0, 0, 0)
    );
    assert_eq!(bench.broker.poll_timeout().map(|(_, reason)| reason), None);
}
