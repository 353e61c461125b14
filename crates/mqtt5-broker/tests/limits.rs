//! Limits: what was announced, packet sizes in both directions, bounded queues.

mod common;

use common::*;
use mqtt5_proto::packet::{Connect, List, Packet, Publish, Subscribe, SubscribeFilter};
use mqtt5_proto::{Properties, Property, QoS, ReasonCode};

/// T34, T38: Maximum QoS, retain, wildcards, identifiers, groups.
#[test]
fn what_is_not_available_is_a_protocol_error_with_its_code() {
    let mut bench = Bench::with(|config| {
        config.maximum_qos = AT_LEAST_ONCE;
        config.retain_available = false;
        config.wildcard_subscription_available = false;
        config.subscription_identifier_available = false;
        config.shared_subscription_available = false;
    });
    let subscribe = |text, properties: &[Property<'_>]| {
        let items = [SubscribeFilter::new(filter(text), AT_MOST_ONCE)];
        let subscribe = Subscribe {
            packet_id: id(1),
            properties: list(properties),
            filters: List::from(&items[..]),
        };
        encode(&Packet::Subscribe(subscribe))
    };
    let publish = |publish| encode(&Packet::Publish(publish));
    for (bytes, reason) in [
        (
            publish(Publish {
                delivery: qos2(1),
                ..plain("t", "x")
            }),
            ReasonCode::QOS_NOT_SUPPORTED,
        ),
        (
            publish(Publish {
                retain: true,
                ..plain("t", "x")
            }),
            ReasonCode::RETAIN_NOT_SUPPORTED,
        ),
        (
            subscribe("a/+", &[]),
            ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
        ),
        (
            subscribe("$share/g/a", &[]),
            ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
        ),
        (
            subscribe("a", &[Property::SubscriptionIdentifier(1)]),
            ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
        ),
    ] {
        bench.connect(1, "a");
        bench.send_bytes(1, &bytes);
        bench.expect_disconnect(1, reason);
    }
}

/// T34: a subscription is granted the QoS that there is.
#[test]
fn subscriptions_are_granted_as_far_as_supported() {
    for maximum in [AT_MOST_ONCE, AT_LEAST_ONCE] {
        let mut bench = Bench::with(|config| config.maximum_qos = maximum);
        bench.connect(1, "a");
        let items = [AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE]
            .map(|qos| SubscribeFilter::new(filter("t"), qos));
        bench.send(
            1,
            &Packet::Subscribe(Subscribe {
                packet_id: id(1),
                properties: Properties::EMPTY,
                filters: List::from(&items[..]),
            }),
        );
        let granted: Vec<_> = items
            .map(|i| ReasonCode::from(i.qos.min(maximum) as u8))
            .to_vec();
        bench.expect(1, &[suback(&granted)]); // [MQTT-3.2.2-10]
    }
}

/// T37: up to the maximum that was announced.
#[test]
fn topic_aliases() {
    for (maximum, alias, reason) in [
        (0, 1, ReasonCode::TOPIC_ALIAS_INVALID),
        (5, 6, ReasonCode::TOPIC_ALIAS_INVALID),
        (5, u16::MAX, ReasonCode::TOPIC_ALIAS_INVALID),
    ] {
        let mut bench = Bench::with(|config| config.topic_alias_maximum = maximum);
        bench.connect(1, "a");
        let properties = [Property::TopicAlias(alias)];
        let publish = Publish {
            properties: list(&properties),
            ..plain("t", "x")
        };
        bench.send(1, &Packet::Publish(publish));
        bench.expect_disconnect(1, reason);
    }
    let mut bench = Bench::with(|config| config.topic_alias_maximum = 2);
    bench.connect(1, "a");
    bench.subscribe(1, "#", AT_MOST_ONCE);
    let mut expect = |alias, name: Option<&str>, arrives: &str| {
        let properties = [Property::TopicAlias(alias)];
        let publish = Publish {
            properties: list(&properties),
            topic: name.map(topic),
            ..plain("t", "x")
        };
        bench.send(1, &Packet::Publish(publish));
        bench.expect(1, &[message(arrives, "x")]);
    };
    expect(2, Some("a"), "a");
    expect(1, Some("b"), "b");
    expect(2, None, "a");
    expect(2, None, "a");
    expect(1, None, "b");
    expect(2, Some("c"), "c"); // replaced
    expect(2, None, "c");
    // Alias 0 the codec refuses as well.
    bench.send_bytes(1, b"\x30\x07\x00\x01t\x03\x23\x00\x00");
    bench.expect_disconnect(1, ReasonCode::TOPIC_ALIAS_INVALID);
}

#[test]
fn an_unknown_topic_alias_is_a_protocol_error() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    let properties = [Property::TopicAlias(3)];
    let publish = Publish {
        properties: list(&properties),
        topic: None,
        ..plain("t", "x")
    };
    bench.send(1, &Packet::Publish(publish));
    bench.expect_disconnect(1, ReasonCode::PROTOCOL_ERROR);
}

/// T35: in what is received.
#[test]
fn packets_that_are_too_large_fail_at_their_header() {
    let mut bench = Bench::with(|config| config.maximum_packet_size = 50);
    bench.connect(1, "a");
    let exactly = "x".repeat(50 - 2 - 3 - 1);
    bench.publish(1, "t", &exactly);
    bench.expect_nothing(1);
    bench.send_bytes(1, &[0x30, 49]);
    bench.expect_disconnect(1, ReasonCode::PACKET_TOO_LARGE);
}

/// T35: in what is sent.
#[test]
fn the_client_s_maximum_packet_size_is_kept() {
    for qos in [AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE] {
        let mut bench = Bench::new();
        bench.connect(1, "publisher");
        let properties = [Property::MaximumPacketSize(50)];
        bench.resume(
            2,
            &Connect {
                properties: list(&properties),
                ..Connect::new("subscriber")
            },
        );
        bench.subscribe(2, "t", qos);
        let room = 50 - 2 - 3 - 1 - if qos == QoS::AtMostOnce { 0 } else { 2 };
        let fits = "x".repeat(room);
        for payload in [&fits, &"y".repeat(room + 1), &"y".repeat(100_000), &fits] {
            bench.publish_2(1, "t", payload); // as if it had been delivered [MQTT-3.1.2-25]
        }
        assert_eq!(bench.received(2).payloads(), [&fits, &fits]);
        let waiting = if qos == QoS::AtMostOnce { 0 } else { 2 };
        assert_eq!(bench.broker.statistics().waiting, waiting);
        assert_eq!(bench.broker.statistics().messages_dropped, 2);
    }
}

#[test]
fn a_repetition_that_became_too_large_is_given_up() {
    for qos in [AT_LEAST_ONCE, EXACTLY_ONCE] {
        let mut bench = Bench::new();
        bench.connect(1, "publisher");
        bench.resume(2, &returning("subscriber"));
        bench.subscribe(2, "t", qos);
        bench.publish_2(1, "t", &"x".repeat(100));
        bench.publish_2(1, "t", "short");
        bench.received(2);
        bench.lose(2);
        let properties = [
            Property::MaximumPacketSize(50),
            Property::SessionExpiryInterval(60),
        ];
        let connect = Connect {
            properties: list(&properties),
            ..returning("subscriber")
        };
        let (_, frames) = bench.resume(3, &connect);
        assert_eq!(frames.payloads(), ["short"]);
        assert_eq!(bench.broker.statistics().waiting, 1);
    }
}

#[test]
fn reason_strings_are_left_out_when_they_do_not_fit() {
    let mut bench = Bench::new();
    let properties = [Property::MaximumPacketSize(20)];
    bench.resume(
        1,
        &Connect {
            properties: list(&properties),
            ..Connect::new("a")
        },
    );
    bench.send(1, &Packet::Connect(Connect::new("a")));
    bench.expect(1, &[disconnect(ReasonCode::PROTOCOL_ERROR)]); // [MQTT-3.14.2-3]
}

#[test]
fn the_queue_of_a_session_is_bounded_in_messages() {
    let mut bench = Bench::with(|config| config.maximum_queued = 3);
    bench.connect(1, "publisher");
    bench.resume(2, &returning("subscriber"));
    bench.subscribe(2, "t", AT_LEAST_ONCE);
    bench.publish_1(1, "t", "sent", OK);
    bench.received(2);
    bench.lose(2);
    for (payload, answer) in [("a", OK), ("b", OK), ("c", ReasonCode::QUOTA_EXCEEDED)] {
        bench.publish_1(1, "t", payload, answer);
    }
    // Somebody else takes it: it was not in vain.
    bench.connect(3, "other");
    bench.subscribe(3, "t", AT_MOST_ONCE);
    bench.publish_1(1, "t", "d", OK);
    assert_eq!(bench.broker.statistics().messages_dropped, 2);
    let (_, frames) = bench.resume(4, &returning("subscriber"));
    assert_eq!(frames.payloads(), ["sent", "a", "b"]);
}

#[test]
fn the_queue_of_a_session_is_bounded_in_bytes() {
    let mut bench = Bench::with(|config| config.maximum_queued_bytes = 10_000);
    bench.connect(1, "publisher");
    bench.resume(2, &returning("subscriber"));
    bench.subscribe(2, "t", EXACTLY_ONCE);
    let payload = "x".repeat(4_000);
    for _ in 0..3 {
        bench.lose(2);
        for answer in [OK, OK, ReasonCode::QUOTA_EXCEEDED] {
            bench.publish_1(1, "t", &payload, answer);
        }
        let (_, frames) = bench.resume(2, &returning("subscriber"));
        let identifiers: Vec<u16> = frames
            .publishes()
            .iter()
            .map(|p| p.delivery.packet_id().unwrap().value())
            .collect();
        assert_eq!(identifiers.len(), 2);
        for value in identifiers {
            bench.send(2, &puback(value, OK));
        }
    }
}

#[test]
fn a_slow_client_loses_qos_0_beyond_the_bound() {
    let mut bench = Bench::with(|config| config.maximum_unsent_bytes = 1_000);
    bench.connect(1, "publisher");
    bench.connect(2, "slow");
    bench.subscribe(2, "t", AT_MOST_ONCE);
    let payload = "x".repeat(100);
    for _ in 0..100 {
        bench.publish(1, "t", &payload);
    }
    let taken = bench.broker.take_outgoing(2);
    assert!((1_000..1_200).contains(&bytes::Buf::remaining(&taken)));
    bench.publish(1, "t", &payload); // taken, but not sent
    assert_eq!(bytes::Buf::remaining(&bench.broker.take_outgoing(2)), 0);
    bench.broker.handle_sent(bench.now, taken);
    bench.publish(1, "t", &payload);
    bench.expect(2, &[message("t", &payload)]);
    let statistics = bench.broker.statistics();
    assert_eq!(statistics.messages_sent + statistics.messages_dropped, 102);
}

#[test]
fn a_slow_client_keeps_qos_1_in_its_queue() {
    let mut bench = Bench::new();
    bench.connect(1, "publisher");
    bench.connect(2, "slow");
    bench.subscribe(2, "t", AT_LEAST_ONCE);
    let payload = "x".repeat(10_000);
    for _ in 0..100 {
        bench.publish_1(1, "t", &payload, OK);
    }
    let taken = bench.broker.take_outgoing(2);
    assert!((262_144..280_000).contains(&bytes::Buf::remaining(&taken)));
    bench.broker.handle_sent(bench.now, taken);
    assert_eq!(bench.received(2).packets().len(), 100 - 27);
}

#[test]
fn who_asks_and_never_reads_is_cut_off() {
    let mut bench = Bench::with(|config| {
        config.maximum_unsent_bytes = 1_000;
        config.maximum_packet_size = 1_000;
    });
    bench.connect(1, "a");
    bench.resume(2, &returning("b"));
    while bench.broker.poll_action().is_some() {}
    for connection in [1, 2] {
        // Two bytes each: within the bounds, and taken.
        (0..1_500).for_each(|_| bench.send(connection, &Packet::Pingreq));
        assert_eq!(
            bench.broker.poll_action(),
            Some(mqtt5_broker::Action::Write(connection))
        );
        assert_eq!(bench.broker.poll_action(), None);
        bench.send(connection, &Packet::Pingreq);
        assert_eq!(
            bench.broker.poll_action(),
            Some(mqtt5_broker::Action::Abort(connection))
        );
        assert_eq!(bench.broker.poll_action(), None);
    }
    assert_eq!(bench.broker.statistics().sessions, 1);
}

#[test]
fn sessions_are_bounded() {
    let mut bench = Bench::with(|config| config.maximum_sessions = 1);
    bench.resume(1, &returning("a"));
    let frames = bench.try_connect(2, &Connect::new("b"));
    assert!(matches!(frames.one(), Packet::Connack(c) if c.reason == ReasonCode::QUOTA_EXCEEDED));
    bench.expect_closed(2);
    assert!(bench.resume(3, &returning("a")).0);
}

#[test]
fn what_is_given_up_frees_its_bytes() {
    let mut bench = Bench::with(|config| config.maximum_queued_bytes = 10_000);
    bench.connect(1, "publisher");
    let properties = [
        Property::MaximumPacketSize(100),
        Property::SessionExpiryInterval(3_600),
    ];
    let connect = Connect {
        properties: list(&properties),
        ..returning("subscriber")
    };
    bench.resume(2, &connect);
    bench.subscribe(2, "t", AT_LEAST_ONCE);
    let payload = "x".repeat(4_000);
    for _ in 0..10 {
        bench.publish_1(1, "t", &payload, OK);
    }
    let expiry = [Property::MessageExpiryInterval(5)];
    let publish = Publish {
        delivery: qos1(1),
        properties: list(&expiry),
        ..plain("t", &payload)
    };
    for connection in 3..13 {
        bench.lose(connection - 1);
        for answer in [OK, OK, ReasonCode::QUOTA_EXCEEDED] {
            bench.send(1, &Packet::Publish(publish));
            bench.expect(1, &[puback(1, answer)]);
        }
        bench.advance(6.0);
        assert!(bench.resume(connection, &connect).1.packets().is_empty());
    }
    assert_eq!(bench.broker.statistics().messages_expired, 20);
}
