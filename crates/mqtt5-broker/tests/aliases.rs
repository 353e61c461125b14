//! Topic Aliases towards a client (3.3.2.3.4).

mod common;

use common::*;
use mqtt5_proto::packet::{Connect, Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, QoS, ReasonCode, TopicName};

fn announcing<'a>(properties: &'a [Property<'a>]) -> Connect<'a> {
    Connect {
        properties: list(properties),
        ..returning("subscriber")
    }
}

/// A publisher 1 and a subscriber 2 that announces this.
fn bench(qos: QoS, properties: &[Property<'_>]) -> Bench {
    let mut bench = Bench::new();
    bench.connect(1, "publisher");
    bench.resume(2, &announcing(properties));
    bench.subscribe(2, "#", qos);
    bench
}

/// The topic, if there is one, and the Topic Alias of each PUBLISH.
fn topics(frames: &Frames) -> Vec<(Option<&str>, Option<u16>)> {
    frames
        .publishes()
        .iter()
        .map(|publish| {
            let topic = publish.topic.map(TopicName::as_str);
            (topic, publish.properties.topic_alias())
        })
        .collect()
}

#[test]
fn none_unless_the_client_announces_them() {
    for properties in [&[][..], &[Property::TopicAliasMaximum(0)]] {
        let mut bench = bench(AT_MOST_ONCE, properties);
        bench.publish(1, "topic a", "x");
        bench.publish(1, "topic a", "x");
        let frames = bench.received(2);
        assert_eq!(topics(&frames), [(Some("topic a"), None); 2]); // [MQTT-3.1.2-27]
    }
}

/// T37: towards the client.
#[test]
fn as_many_as_both_sides_want_at_every_qos() {
    for qos in [AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE] {
        for (theirs, ours) in [(2, 16), (1_000, 2)] {
            let mut bench = Bench::with(|config| config.maximum_topic_aliases = ours);
            bench.connect(1, "publisher");
            bench.resume(2, &announcing(&[Property::TopicAliasMaximum(theirs)]));
            bench.subscribe(2, "#", qos);
            for name in ["topic a", "topic b", "topic a", "topic c", "topic b", "abc"] {
                bench.publish_1(1, name, "x", ReasonCode::SUCCESS);
            }
            let frames = bench.received(2);
            let expected = [
                (Some("topic a"), Some(1)),
                (Some("topic b"), Some(2)),
                (None, Some(1)),
                (Some("topic c"), Some(2)), // the one not used for longest gives way
                (Some("topic b"), Some(1)),
                (Some("abc"), None), // as short as an alias
            ];
            assert_eq!(topics(&frames), expected, "{qos:?}");
        }
    }
}

/// T135: also for what is sent again.
#[test]
fn gone_with_the_connection() {
    let properties = [
        Property::TopicAliasMaximum(1),
        Property::SessionExpiryInterval(60),
    ];
    let mut bench = bench(AT_LEAST_ONCE, &properties);
    for _ in 0..2 {
        bench.publish_1(1, "topic a", "x", ReasonCode::SUCCESS);
    }
    let expected = [(Some("topic a"), Some(1)), (None, Some(1))];
    assert_eq!(topics(&bench.received(2)), expected);
    bench.lose(2);
    // Sent again, with an alias of the new connection [MQTT-3.3.2-7], or none.
    let (_, frames) = bench.resume(3, &announcing(&properties));
    assert_eq!(topics(&frames), expected);
    bench.lose(3);
    let (_, frames) = bench.resume(4, &returning("subscriber"));
    assert_eq!(topics(&frames), [(Some("topic a"), None); 2]);
}

#[test]
fn properties_are_forwarded_beside_the_alias() {
    let mut bench = bench(AT_MOST_ONCE, &[Property::TopicAliasMaximum(1)]);
    let properties = [
        Property::UserProperty("a", "1"),
        Property::ContentType("text"),
        Property::UserProperty("a", "2"),
    ];
    let publish = Publish {
        properties: list(&properties),
        ..plain("topic a", "x")
    };
    for _ in 0..2 {
        bench.send(1, &Packet::Publish(publish));
    }
    for publish in bench.received(2).publishes() {
        let mut expected = properties.to_vec();
        expected.push(Property::TopicAlias(1));
        assert_eq!(publish.properties, list(&expected)); // [MQTT-3.3.2-18]
    }
}

#[test]
fn large_shared_payloads_go_by_alias_too() {
    let payload = "x".repeat(100_000);
    let mut bench = bench(AT_MOST_ONCE, &[Property::TopicAliasMaximum(1)]);
    for _ in 0..2 {
        bench.publish(1, "topic a", &payload);
    }
    let frames = bench.received(2);
    assert_eq!(
        topics(&frames),
        [(Some("topic a"), Some(1)), (None, Some(1))]
    );
    assert_eq!(frames.payloads(), [&payload, &payload]);
}

/// With the alias to learn, the packet would be too large; without one it is not. An alias that is known makes it fit.
#[test]
fn no_alias_that_makes_a_packet_too_large() {
    for large in [46, 20_000] {
        let head = if large > 127 { 4 } else { 2 };
        let maximum = u32::try_from(head + 2 + 7 + 1 + large).unwrap();
        let properties = [
            Property::TopicAliasMaximum(1),
            Property::MaximumPacketSize(maximum),
        ];
        let mut bench = bench(AT_MOST_ONCE, &properties);
        let fits = "x".repeat(large);
        bench.publish(1, "topic a", &fits);
        bench.publish(1, "topic a", "short");
        bench.publish(1, "topic a", &fits);
        bench.publish(1, "topic b", &"x".repeat(large + 1)); // [MQTT-3.1.2-25]
        bench.publish(1, "topic a", "");
        let expected = [
            (Some("topic a"), None),
            (Some("topic a"), Some(1)),
            (None, Some(1)),
            (None, Some(1)),
        ];
        assert_eq!(topics(&bench.received(2)), expected);
        assert_eq!(bench.broker.statistics().messages_dropped, 1);
        assert_eq!(bench.broker.statistics().messages_sent, 4);
    }
}

/// What a publisher may not send and a server forwards all the same comes unaltered, whatever else is changed.
#[test]
fn faulty_content_is_forwarded_unaltered() {
    let publish = Publish {
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: Some(topic("topic a")),
        properties: Properties::EMPTY,
        payload: b"",
    };
    let mut bytes = encode(&Packet::Publish(publish));
    // Response Topic "a/#", and a Message Expiry Interval that the broker writes anew.
    let properties = b"\x08\x00\x03a/#\x02\x00\x00\x00\x09";
    let length = u8::try_from(properties.len()).unwrap();
    *bytes.last_mut().unwrap() = length;
    bytes[1] += length;
    bytes.extend_from_slice(properties);

    let mut bench = bench(AT_MOST_ONCE, &[]);
    bench.send_bytes(1, &bytes);
    let frames = bench.received(2);
    let properties = frames.publishes()[0].properties;
    assert_eq!(properties.response_topic(), Some("a/#")); // [MQTT-3.3.2-15]
    assert_eq!(properties.message_expiry_interval(), Some(9));
}
