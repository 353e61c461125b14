//! SUBSCRIBE, UNSUBSCRIBE and who gets a message as what (3.3.4, 3.8, 3.10).

mod common;

use common::*;
use mqtt5_proto::packet::{Packet, Publish, SubscribeFilter};
use mqtt5_proto::{Property, PropertyBuffer, QoS, ReasonCode, RetainHandling};

fn options(text: &str, qos: QoS) -> SubscribeFilter<'_> {
    SubscribeFilter::new(filter(text), qos)
}

#[test]
fn wildcards_and_the_dollar_rule() {
    let mut bench = Bench::new();
    bench.connect(1, "publisher");
    for (connection, text) in (2..).zip(["#", "+/b", "a/#", "$lab/#", "+/x", "a/b", "a"]) {
        bench.connect(connection, text);
        bench.subscribe(connection, text, AT_MOST_ONCE);
    }
    let mut receivers = |name: &str| -> Vec<u64> {
        bench.publish(1, name, "x");
        (2..9)
            .filter(|&connection| !bench.received(connection).packets().is_empty())
            .collect()
    };
    assert_eq!(receivers("a/b"), [2, 3, 4, 7]);
    assert_eq!(receivers("a"), [2, 4, 8]);
    assert_eq!(receivers("/b"), [2, 3]);
    assert_eq!(receivers("$lab/x"), [5]); // neither # nor + match it [MQTT-4.7.2-1]
    assert_eq!(receivers("A/b"), [2, 3]);
}

/// T29, T39: with the identifiers of all of them.
#[test]
fn overlapping_subscriptions_make_one_copy_with_the_highest_qos() {
    let mut bench = Bench::new();
    bench.connect(1, "publisher");
    bench.connect(2, "subscriber");
    for (text, qos, identifier) in [
        ("a/#", AT_MOST_ONCE, Some(7)),
        ("a/b", EXACTLY_ONCE, Some(268_435_455)),
        ("+/b", AT_LEAST_ONCE, None),
        ("#", AT_MOST_ONCE, Some(7)),
        ("other", AT_MOST_ONCE, Some(9)),
    ] {
        let properties: Vec<_> = identifier
            .map(Property::SubscriptionIdentifier)
            .into_iter()
            .collect();
        bench.subscribe_with(2, &[options(text, qos)], &properties);
    }
    bench.publish_2(1, "a/b", "x");
    let frames = bench.received(2);
    let Packet::Publish(publish) = frames.one() else {
        panic!()
    };
    assert_eq!(publish.delivery, qos2(1)); // [MQTT-3.3.4-2]
    let mut identifiers: Vec<u32> = publish.properties.subscription_identifiers().collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [7, 7, 268_435_455]); // [MQTT-3.3.4-4]
}

#[test]
fn one_copy_for_each_of_many_clients() {
    let mut bench = Bench::new();
    bench.connect(1, "publisher");
    for connection in 2..12 {
        bench.connect(connection, &connection.to_string());
    }
    for text in ["a/b", "a/#", "+/b", "#"] {
        for connection in 2..12 {
            bench.subscribe(connection, text, AT_MOST_ONCE);
        }
    }
    bench.publish(1, "a/b", "x");
    for connection in 2..12 {
        bench.expect(connection, &[message("a/b", "x")]);
    }
}

#[test]
fn retain_as_published_of_any_matching_subscription_counts() {
    for texts in [["#", "t"], ["t", "#"]] {
        let mut bench = Bench::new();
        bench.connect(1, "a");
        for (text, retain_as_published) in texts.into_iter().zip([false, true]) {
            let item = SubscribeFilter {
                retain_as_published,
                ..options(text, AT_MOST_ONCE)
            };
            bench.subscribe_with(1, &[item], &[]);
        }
        let publish = Publish {
            retain: true,
            ..plain("t", "x")
        };
        bench.send(1, &Packet::Publish(publish));
        bench.expect(1, &[Packet::Publish(publish)]);
    }
}

#[test]
fn a_subscription_replaces_the_one_of_the_same_filter() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    let identifier = [Property::SubscriptionIdentifier(1)];
    bench.subscribe_with(1, &[options("t", EXACTLY_ONCE)], &identifier);
    bench.subscribe_with(1, &[options("t", AT_MOST_ONCE)], &[]);
    assert_eq!(bench.broker.statistics().subscriptions, 1);
    bench.publish(1, "t", "x");
    bench.expect(1, &[message("t", "x")]);
    bench.unsubscribe(1, "t", OK);
    bench.publish(1, "t", "x");
    bench.expect_nothing(1);
}

/// T26: also beside another subscription of the same client.
#[test]
fn no_local() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.connect(2, "b");
    let no_local = SubscribeFilter {
        no_local: true,
        ..options("t", AT_LEAST_ONCE)
    };
    bench.subscribe_with(1, &[no_local], &[]);
    bench.publish_1(1, "t", "own", ReasonCode::NO_MATCHING_SUBSCRIBERS); // [MQTT-3.8.3-3]
    bench.publish_1(2, "t", "other", OK);
    assert_eq!(bench.received(1).payloads(), ["other"]);
    // Another subscription of the same client still gets it.
    bench.subscribe(1, "+", AT_MOST_ONCE);
    bench.publish(1, "t", "own");
    bench.expect(1, &[message("t", "own")]);
}

/// T27: the flag of the publisher, or none.
#[test]
fn retain_as_published() {
    for (wanted, retain) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut bench = Bench::new();
        bench.connect(1, "a");
        let item = SubscribeFilter {
            retain_as_published: wanted,
            ..options("t", AT_MOST_ONCE)
        };
        bench.subscribe_with(1, &[item], &[]);
        bench.send(
            1,
            &Packet::Publish(Publish {
                retain,
                ..plain("t", "x")
            }),
        );
        let expected = Publish {
            retain: wanted && retain,
            ..plain("t", "x")
        };
        bench.expect(1, &[Packet::Publish(expected)]); // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
    }
}

/// T24: refused filters do not harm the others.
#[test]
fn a_reason_for_every_filter() {
    let mut bench = Bench::with(|config| {
        config.maximum_subscriptions = 3;
        config.maximum_levels = 4;
        config.access = Box::new(NotSecret);
    });
    bench.connect(1, "a");
    let filters =
        ["a", "secret/x", "1/2/3/4/5", "b", "c", "d", "a"].map(|text| options(text, AT_LEAST_ONCE));
    bench.send(
        1,
        &Packet::Subscribe(mqtt5_proto::packet::Subscribe {
            packet_id: id(1),
            properties: mqtt5_proto::Properties::EMPTY,
            filters: mqtt5_proto::packet::List::from(&filters[..]),
        }),
    );
    let granted = ReasonCode::GRANTED_QOS_1;
    let (denied, quota) = (ReasonCode::NOT_AUTHORIZED, ReasonCode::QUOTA_EXCEEDED);
    bench.expect(
        1,
        &[suback(&[
            granted, denied, quota, granted, granted, quota, granted,
        ])],
    );
}

struct NotSecret;

impl mqtt5_broker::Access for NotSecret {
    fn login(&mut self, _: &mqtt5_broker::Login<'_>) -> Result<(), ReasonCode> {
        Ok(())
    }

    fn publish(&mut self, client_id: &str, topic: &str) -> Result<(), ReasonCode> {
        if client_id == "a" && topic.starts_with("secret/") {
            Err(ReasonCode::NOT_AUTHORIZED)
        } else {
            Ok(())
        }
    }

    fn subscribe(&mut self, client_id: &str, filter: &str) -> Result<(), ReasonCode> {
        self.publish(client_id, filter)
    }
}

#[test]
fn forbidden_topics() {
    let mut bench = Bench::with(|config| config.access = Box::new(NotSecret));
    bench.connect(1, "a");
    bench.connect(2, "b");
    bench.subscribe(2, "#", AT_LEAST_ONCE);
    bench.subscribe(2, "$SYS/#", AT_LEAST_ONCE);
    for name in ["secret/x", "$SYS/x", "$SYS"] {
        bench.publish_1(1, name, "x", ReasonCode::NOT_AUTHORIZED);
        bench.publish(1, name, "x");
        bench.send(
            1,
            &Packet::Publish(Publish {
                delivery: qos2(3),
                ..plain(name, "x")
            }),
        );
        bench.expect(1, &[pubrec(3, ReasonCode::NOT_AUTHORIZED)]);
        bench.send(1, &pubrel(3)); // a refused exchange is over [MQTT-4.3.3-9]
        bench.expect(1, &[pubcomp(3, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)]);
    }
    bench.expect_nothing(2);
}

#[test]
fn unsubscribe_compares_character_by_character() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.connect(2, "b");
    for text in ["a/+", "$share/g/a/+"] {
        bench.subscribe(1, text, AT_MOST_ONCE);
    }
    bench.subscribe(2, "a/+", AT_MOST_ONCE);
    for text in ["a/b", "a/#", "A/+", "$share/h/a/+", "a"] {
        bench.unsubscribe(1, text, ReasonCode::NO_SUBSCRIPTION_EXISTED);
    }
    assert_eq!(bench.broker.statistics().subscriptions, 3);
    bench.unsubscribe(1, "a/+", OK);
    bench.unsubscribe(1, "a/+", ReasonCode::NO_SUBSCRIPTION_EXISTED);
    bench.publish(2, "a/b", "x");
    bench.expect(1, &[message("a/b", "x")]); // by the shared one
    bench.unsubscribe(1, "$share/g/a/+", OK);
    bench.publish(2, "a/b", "x");
    bench.expect_nothing(1);
    bench.received(2);
    bench.unsubscribe(2, "a/+", OK);
    assert_eq!(bench.broker.statistics().subscriptions, 0);
}

#[test]
fn unsubscribe_completes_what_was_begun() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.subscribe(1, "t", EXACTLY_ONCE);
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: qos2(5),
            ..plain("t", "x")
        }),
    );
    assert_eq!(bench.received(1).packets().len(), 2);
    bench.unsubscribe(1, "t", OK);
    bench.send(1, &pubrec(1, OK));
    bench.expect(1, &[pubrel(1)]); // [MQTT-3.10.4-3]
    bench.send(1, &pubcomp(1, OK));
    bench.expect_nothing(1);
}

#[test]
fn every_property_is_forwarded_as_it_came() {
    let long = "v".repeat(500);
    let all = [
        Property::UserProperty("b", "1"),
        Property::PayloadFormatIndicator(1),
        Property::UserProperty("a", "2"),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("reply/to"),
        Property::UserProperty("b", "1"),
        Property::CorrelationData(&[0, 255, 3]),
        Property::UserProperty("", &long),
        Property::UserProperty("\u{FEFF}ü", "𝄞"),
    ];
    for qos in [AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE] {
        for identified in [false, true] {
            let mut bench = Bench::new();
            bench.connect(1, "a");
            bench.connect(2, "b");
            let identifier = [Property::SubscriptionIdentifier(5)];
            let properties = if identified { &identifier[..] } else { &[] };
            bench.subscribe_with(2, &[options("t", qos)], properties);
            let delivery = match qos {
                QoS::AtMostOnce => mqtt5_proto::packet::Delivery::AtMostOnce,
                QoS::AtLeastOnce => qos1(1),
                QoS::ExactlyOnce => qos2(1),
            };
            let publish = Publish {
                delivery,
                properties: list(&all),
                ..plain("t", "x")
            };
            bench.send(1, &Packet::Publish(publish));
            let mut expected = PropertyBuffer::from(list(&all));
            for property in properties {
                expected.push(*property).unwrap();
            }
            let expected = Publish {
                properties: expected.as_properties(),
                ..publish
            };
            bench.expect(2, &[Packet::Publish(expected)]);
        }
    }
}

#[test]
fn topic_alias_and_expiry_end_at_the_broker_and_the_rest_does_not() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.subscribe(1, "t", AT_MOST_ONCE);
    let sent = [
        Property::UserProperty("n", "1"),
        Property::TopicAlias(3),
        Property::MessageExpiryInterval(90),
        Property::UserProperty("n", "2"),
    ];
    let publish = Publish {
        properties: list(&sent),
        ..plain("t", "x")
    };
    let received = [sent[0], sent[3], sent[2]];
    for topic in [publish.topic, None] {
        bench.send(1, &Packet::Publish(Publish { topic, ..publish }));
        let expected = Publish {
            properties: list(&received),
            ..publish
        };
        bench.expect(1, &[Packet::Publish(expected)]);
    }
}

/// A message may be anything that parses: E17 of the behaviour is about the receivers.
#[test]
fn odd_content_is_forwarded() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.subscribe(1, "t", AT_MOST_ONCE);
    // Payload Format Indicator 2, Response Topic "+", payload of no UTF-8.
    let bytes = b"\x30\x0C\x00\x01t\x06\x01\x02\x08\x00\x01+\xFF\xFE";
    bench.send_bytes(1, bytes);
    assert_eq!(bench.broker.outgoing(bench.now, 1), bytes);
}

#[test]
fn message_expiry_counts_down() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.resume(2, &returning("b"));
    bench.subscribe(2, "t", AT_LEAST_ONCE);
    bench.lose(2);
    for (payload, seconds) in [("gone", 10), ("there", 100)] {
        let properties = [Property::MessageExpiryInterval(seconds)];
        let publish = Publish {
            delivery: qos1(1),
            properties: list(&properties),
            ..plain("t", payload)
        };
        bench.send(1, &Packet::Publish(publish));
    }
    bench.advance(30.5);
    let (_, frames) = bench.resume(3, &returning("b"));
    assert_eq!(frames.payloads(), ["there"]); // [MQTT-3.3.2-5]
    let left = frames.publishes()[0].properties.message_expiry_interval();
    assert_eq!(left, Some(70)); // [MQTT-3.3.2-6]
    assert_eq!(bench.broker.statistics().messages_expired, 1);
    // What was sent once is sent again even when it has expired meanwhile.
    bench.lose(3);
    bench.advance(100.0);
    let (_, frames) = bench.resume(4, &returning("b"));
    assert_eq!(frames.payloads(), ["there"]);
    assert_eq!(
        frames.publishes()[0].properties.message_expiry_interval(),
        Some(1)
    );
}

#[test]
fn an_expiry_of_nothing_is_over_at_once() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.subscribe(1, "t", EXACTLY_ONCE);
    let expiry = [Property::MessageExpiryInterval(0)];
    let publish = Publish {
        properties: list(&expiry),
        ..plain("t", "x")
    };
    bench.send(1, &Packet::Publish(publish));
    bench.expect_nothing(1);
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: qos1(1),
            ..publish
        }),
    );
    bench.expect(1, &[puback(1, OK)]);
    assert_eq!(bench.broker.statistics().messages_expired, 2);
}

#[test]
fn suback_comes_before_retained_messages_and_in_one_answer() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.retain(1, "b", "2");
    bench.retain(1, "a", "1");
    let items = [options("b", AT_MOST_ONCE), options("a", AT_MOST_ONCE)];
    let frames = bench.subscribe_with(1, &items, &[]);
    let packets = frames.packets();
    assert_eq!(packets.len(), 3);
    let topics: Vec<_> = packets[1..]
        .iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => publish.topic.unwrap().as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(topics, ["b", "a"]);
    let item = SubscribeFilter {
        retain_handling: RetainHandling::DoNotSend,
        ..items[0]
    };
    assert!(bench.subscribe_retained(1, item).packets().is_empty());
}
