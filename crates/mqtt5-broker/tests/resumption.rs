//! What a session leaves unfinished is finished on another connection (4.4).

mod common;

use common::*;
use mqtt5_proto::packet::{Packet, Publish};
use mqtt5_proto::{Property, ReasonCode};

/// T82: with DUP 1 and the identifiers that it had.
#[test]
fn what_was_unacknowledged_is_sent_again_in_order() {
    let mut bench = pair(EXACTLY_ONCE);
    for payload in ["a", "b", "c", "d", "e"] {
        match payload {
            "b" | "d" => bench.publish_1(1, "t", payload, OK),
            _ => bench.publish_2(1, "t", payload),
        }
    }
    assert_eq!(bench.received(2).packets().len(), 5);
    bench.send(2, &puback(2, OK));
    bench.send(2, &pubrec(3, OK));
    bench.expect(2, &[pubrel(3)]);
    bench.lose(2);
    bench.publish_1(1, "t", "new", OK);
    for connection in [3, 4] {
        let (_, frames) = bench.resume(connection, &returning("subscriber"));
        let dup_after_first = |delivery| {
            if connection == 3 {
                delivery
            } else {
                again(delivery)
            }
        };
        // The original identifiers [MQTT-4.4.0-1]; no PUBLISH after PUBREL [MQTT-4.3.3-6]; new messages last.
        assert_eq!(
            frames.packets(),
            [
                pubrel(3),
                Packet::Publish(Publish {
                    delivery: again(qos2(1)),
                    ..plain("t", "a")
                }),
                Packet::Publish(Publish {
                    delivery: again(qos1(4)),
                    ..plain("t", "d")
                }),
                Packet::Publish(Publish {
                    delivery: again(qos2(5)),
                    ..plain("t", "e")
                }),
                Packet::Publish(Publish {
                    delivery: dup_after_first(qos1(6)),
                    ..plain("t", "new")
                }),
            ]
        );
        if connection == 3 {
            bench.lose(3);
        }
    }
    bench.send(4, &pubcomp(3, OK));
    bench.send(4, &puback(4, OK));
    bench.send(4, &puback(6, OK));
    for value in [1, 5] {
        bench.send(4, &pubrec(value, OK));
        bench.expect(4, &[pubrel(value)]);
        bench.send(4, &pubcomp(value, OK));
    }
    assert_eq!(bench.broker.statistics().waiting, 0);
    bench.lose(4);
    assert!(
        bench
            .resume(5, &returning("subscriber"))
            .1
            .packets()
            .is_empty()
    );
}

/// T23: not their PUBLISHes.
#[test]
fn every_pubrel_is_sent_again_in_the_order_of_the_pubrecs() {
    let mut bench = pair(EXACTLY_ONCE);
    for payload in ["a", "b", "c", "d"] {
        bench.publish_2(1, "t", payload);
    }
    bench.received(2);
    for value in [3, 1, 2] {
        bench.send(2, &pubrec(value, OK));
    }
    for connection in [3, 4] {
        bench.lose(connection - 1);
        let (_, frames) = bench.resume(connection, &returning("subscriber"));
        let expected = Packet::Publish(Publish {
            delivery: again(qos2(4)),
            ..plain("t", "d")
        });
        // [MQTT-4.6.0-4]
        assert_eq!(
            frames.packets(),
            [pubrel(3), pubrel(1), pubrel(2), expected]
        );
    }
}

#[test]
fn repetitions_keep_to_the_new_receive_maximum() {
    let mut bench = pair(AT_LEAST_ONCE);
    for payload in ["a", "b", "c"] {
        bench.publish_1(1, "t", payload, OK);
    }
    bench.received(2);
    bench.lose(2);
    let properties = [
        Property::SessionExpiryInterval(3_600),
        Property::ReceiveMaximum(1),
    ];
    let (_, frames) = bench.resume(3, &with_expiry("subscriber", &properties));
    assert_eq!(frames.payloads(), ["a"]);
    bench.publish_1(1, "t", "d", OK);
    for (value, next) in [(1, "b"), (2, "c"), (3, "d")] {
        bench.expect_nothing(3);
        bench.send(3, &puback(value, OK));
        let frames = bench.received(3);
        assert_eq!(frames.payloads(), [next]);
        assert_eq!(frames.publishes()[0].delivery.dup(), next != "d");
    }
}

#[test]
fn an_acknowledgement_of_what_is_still_to_be_repeated_is_accepted() {
    let mut bench = pair(AT_LEAST_ONCE);
    for payload in ["a", "b", "c"] {
        bench.publish_1(1, "t", payload, OK);
    }
    bench.received(2);
    bench.lose(2);
    let properties = [
        Property::SessionExpiryInterval(3_600),
        Property::ReceiveMaximum(1),
    ];
    bench.resume(3, &with_expiry("subscriber", &properties));
    bench.send(3, &puback(2, OK));
    bench.send(3, &puback(1, OK));
    assert_eq!(bench.received(3).payloads(), ["c"]);
}

#[test]
fn an_early_acknowledgement_gives_no_quota_twice() {
    for qos in [AT_LEAST_ONCE, EXACTLY_ONCE] {
        let mut bench = pair(qos);
        for payload in ["a", "b", "c"] {
            bench.publish_2(1, "t", payload);
        }
        bench.received(2);
        bench.lose(2);
        let properties = [
            Property::SessionExpiryInterval(3_600),
            Property::ReceiveMaximum(1),
        ];
        let (_, frames) = bench.resume(3, &with_expiry("subscriber", &properties));
        assert_eq!(frames.payloads(), ["a"]);
        // The last one is answered before it is sent again, which leaves the first one where it is.
        if qos == AT_LEAST_ONCE {
            bench.send(3, &puback(3, OK));
            bench.expect_nothing(3);
            bench.send(3, &puback(1, OK));
        } else {
            bench.send(3, &pubrec(3, OK));
            bench.expect(3, &[pubrel(3)]);
            bench.send(3, &pubrec(1, OK));
            bench.expect(3, &[pubrel(1)]);
            bench.send(3, &pubcomp(3, OK));
            bench.expect_nothing(3);
            bench.send(3, &pubcomp(1, OK));
        }
        assert_eq!(bench.received(3).payloads(), ["b"]);
    }
}

#[test]
fn what_waits_for_pubcomp_only_leaves_the_quota_whole() {
    let mut bench = pair(EXACTLY_ONCE);
    for payload in ["a", "b", "c"] {
        bench.publish_2(1, "t", payload);
    }
    bench.received(2);
    bench.send(2, &pubrec(1, OK));
    bench.lose(2);
    let properties = [
        Property::SessionExpiryInterval(3_600),
        Property::ReceiveMaximum(1),
    ];
    let (_, frames) = bench.resume(3, &with_expiry("subscriber", &properties));
    let expected = Packet::Publish(Publish {
        delivery: again(qos2(2)),
        ..plain("t", "b")
    });
    assert_eq!(frames.packets(), [pubrel(1), expected]);
    bench.send(3, &pubcomp(1, OK));
    bench.expect_nothing(3);
}

#[test]
fn identifiers_and_expiry_outlive_the_connection() {
    let mut bench = pair(EXACTLY_ONCE);
    for (text, identifier) in [("t", 7), ("#", 8)] {
        let item = mqtt5_proto::packet::SubscribeFilter::new(filter(text), EXACTLY_ONCE);
        bench.subscribe_with(2, &[item], &[Property::SubscriptionIdentifier(identifier)]);
    }
    let hour = [Property::MessageExpiryInterval(3_600)];
    let publish = |value| {
        Packet::Publish(Publish {
            delivery: qos1(value),
            properties: list(&hour),
            ..plain("t", "x")
        })
    };
    bench.send(1, &publish(1)); // sent, not acknowledged
    bench.received(2);
    bench.lose(2);
    bench.send(1, &publish(2)); // not sent
    bench.advance(40.0);
    let (_, frames) = bench.resume(3, &returning("subscriber"));
    for (publish, dup) in frames.publishes().into_iter().zip([true, false]) {
        assert_eq!(publish.delivery.dup(), dup);
        assert_eq!(publish.properties.message_expiry_interval(), Some(3_560));
        let mut identifiers: Vec<_> = publish.properties.subscription_identifiers().collect();
        identifiers.sort_unstable();
        assert_eq!(identifiers, [7, 8]);
    }
    assert_eq!(frames.packets().len(), 2);
}

/// T23: whatever is sent again, it is forwarded once.
#[test]
fn exactly_once_from_the_client_survives_the_connection() {
    let mut bench = Bench::new();
    bench.connect(1, "watcher");
    bench.subscribe(1, "t", AT_MOST_ONCE);
    bench.resume(2, &returning("a"));
    let publish = Publish {
        delivery: qos2(5),
        ..plain("t", "x")
    };
    bench.send(2, &Packet::Publish(publish));
    bench.expect(2, &[pubrec(5, OK)]);
    bench.lose(2);
    bench.resume(3, &returning("a"));
    bench.send(
        3,
        &Packet::Publish(Publish {
            delivery: again(qos2(5)),
            ..publish
        }),
    );
    bench.expect(3, &[pubrec(5, OK)]);
    bench.lose(3);
    bench.resume(4, &returning("a"));
    bench.send(4, &pubrel(5));
    bench.expect(4, &[pubcomp(5, OK)]);
    bench.expect(1, &[message("t", "x")]);
    // A session that ended knows nothing.
    bench.send(
        4,
        &Packet::Publish(Publish {
            delivery: qos2(6),
            ..publish
        }),
    );
    bench.lose(4);
    bench.connect(5, "a");
    bench.send(5, &pubrel(6));
    bench.expect(5, &[pubcomp(6, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)]);
}

#[test]
fn what_an_earlier_connection_left_does_not_count_against_the_receive_maximum() {
    let mut bench = Bench::with(|config| config.receive_maximum = 2);
    bench.resume(1, &returning("a"));
    let publish = |value| {
        Packet::Publish(Publish {
            delivery: qos2(value),
            ..plain("t", "x")
        })
    };
    bench.send(1, &publish(1));
    bench.send(1, &publish(2));
    bench.lose(1);
    bench.resume(2, &returning("a"));
    bench.send(2, &publish(3));
    bench.send(2, &publish(4));
    assert_eq!(bench.received(2).packets().len(), 2);
    // Nor does its end make room.
    bench.send(2, &pubrel(1));
    bench.expect(2, &[pubcomp(1, OK)]);
    bench.send(2, &publish(5));
    bench.expect_disconnect(2, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
}
