//! QoS 0, 1 and 2 in both directions (4.3), flow control (4.9).

mod common;

use common::*;
use mqtt5_proto::packet::{Connect, Packet, Publish};
use mqtt5_proto::{Property, QoS, ReasonCode};

const NOBODY: ReasonCode = ReasonCode::NO_MATCHING_SUBSCRIBERS;

#[test]
fn nobody_is_there() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.publish(1, "t", "0");
    bench.expect_nothing(1);
    bench.publish_1(1, "t", "1", NOBODY);
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: qos2(9),
            ..plain("t", "2")
        }),
    );
    bench.expect(1, &[pubrec(9, NOBODY)]);
    bench.send(1, &pubrel(9));
    bench.expect(1, &[pubcomp(9, OK)]);
}

#[test]
fn the_lower_qos_counts() {
    for granted in [AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE] {
        let mut bench = pair(granted);
        bench.publish(1, "t", "0");
        bench.publish_1(1, "t", "1", OK);
        bench.publish_2(1, "t", "2");
        let frames = bench.received(2);
        let delivered: Vec<QoS> = frames
            .publishes()
            .iter()
            .map(|p| p.delivery.qos())
            .collect();
        let published = [AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE];
        assert_eq!(delivered, published.map(|qos| qos.min(granted)));
        assert_eq!(frames.payloads(), ["0", "1", "2"]);
    }
}

#[test]
fn at_least_once_to_the_subscriber() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.publish_1(1, "t", "x", OK);
    bench.expect(
        2,
        &[Packet::Publish(Publish {
            delivery: qos1(1),
            ..plain("t", "x")
        })],
    );
    assert_eq!(bench.broker.statistics().waiting, 1);
    bench.send(2, &puback(1, OK));
    bench.expect_nothing(2);
    assert_eq!(bench.broker.statistics().waiting, 0);
    // An identifier is used again as late as possible.
    bench.publish_1(1, "t", "y", OK);
    bench.expect(
        2,
        &[Packet::Publish(Publish {
            delivery: qos1(2),
            ..plain("t", "y")
        })],
    );
}

#[test]
fn exactly_once_to_the_subscriber() {
    let mut bench = pair(EXACTLY_ONCE);
    bench.publish_2(1, "t", "x");
    bench.expect(
        2,
        &[Packet::Publish(Publish {
            delivery: qos2(1),
            ..plain("t", "x")
        })],
    );
    bench.send(2, &pubrec(1, OK));
    bench.expect(2, &[pubrel(1)]);
    assert_eq!(bench.broker.statistics().waiting, 1);
    bench.send(2, &pubcomp(1, OK));
    bench.expect_nothing(2);
    assert_eq!(bench.broker.statistics().waiting, 0);
}

#[test]
fn a_refused_message_is_over() {
    let mut bench = pair(EXACTLY_ONCE);
    bench.publish_2(1, "t", "x");
    bench.publish_1(1, "t", "y", OK);
    assert_eq!(bench.received(2).payloads(), ["x", "y"]);
    bench.send(2, &pubrec(1, ReasonCode::QUOTA_EXCEEDED));
    bench.send(2, &puback(2, ReasonCode::NOT_AUTHORIZED));
    bench.expect_nothing(2); // no PUBREL
    assert_eq!(bench.broker.statistics().waiting, 0);
}

#[test]
fn exactly_once_from_the_publisher() {
    let mut bench = pair(EXACTLY_ONCE);
    let publish = Publish {
        delivery: qos2(5),
        ..plain("t", "x")
    };
    bench.send(1, &Packet::Publish(publish));
    bench.expect(1, &[pubrec(5, OK)]);
    assert_eq!(bench.received(2).payloads(), ["x"]);
    // Until PUBREL, the identifier alone tells a repetition, not DUP [MQTT-4.3.3-10].
    for repeated in [
        publish,
        Publish {
            delivery: again(publish.delivery),
            ..publish
        },
    ] {
        bench.send(1, &Packet::Publish(repeated));
        bench.expect(1, &[pubrec(5, OK)]);
        bench.expect_nothing(2);
    }
    bench.send(1, &pubrel(5));
    bench.expect(1, &[pubcomp(5, OK)]);
    // After PUBCOMP it is a new message, whatever DUP says [MQTT-4.3.3-12].
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: again(publish.delivery),
            ..publish
        }),
    );
    bench.expect(1, &[pubrec(5, OK)]);
    assert_eq!(bench.received(2).payloads(), ["x"]);
}

#[test]
fn at_least_once_again_is_a_new_message() {
    let mut bench = pair(AT_LEAST_ONCE);
    let publish = Publish {
        delivery: again(qos1(5)),
        ..plain("t", "x")
    };
    for _ in 0..2 {
        bench.send(1, &Packet::Publish(publish));
        bench.expect(1, &[puback(5, OK)]);
    }
    let frames = bench.received(2);
    assert_eq!(frames.payloads(), ["x", "x"]); // [MQTT-4.3.2-5]
    assert!(frames.publishes().iter().all(|p| !p.delivery.dup())); // [MQTT-3.3.1-3]
}

#[test]
fn acknowledgements_of_nothing() {
    let mut bench = pair(EXACTLY_ONCE);
    bench.send(2, &pubrec(7, OK));
    let unknown =
        mqtt5_proto::packet::Acknowledgement::new(id(7), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
    bench.expect(2, &[Packet::Pubrel(unknown)]);
    bench.send(2, &pubrel(7));
    bench.expect(2, &[pubcomp(7, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)]);
    bench.send(2, &puback(7, OK));
    bench.send(2, &pubcomp(7, OK));
    bench.expect_nothing(2);
    assert_eq!(bench.broker.statistics().connections, 2);
}

#[test]
fn acknowledgements_of_the_wrong_kind_are_protocol_errors() {
    for (qos, wrong) in [
        (AT_LEAST_ONCE, pubrec(1, OK)),
        (AT_LEAST_ONCE, pubcomp(1, OK)),
        (EXACTLY_ONCE, puback(1, OK)),
        (EXACTLY_ONCE, pubcomp(1, OK)),
    ] {
        let mut bench = pair(qos);
        bench.publish_2(1, "t", "x");
        bench.received(2);
        bench.send(2, &wrong);
        bench.expect_disconnect(2, ReasonCode::PROTOCOL_ERROR);
    }
}

#[test]
fn an_identifier_of_the_other_qos_is_in_use() {
    let mut bench = pair(EXACTLY_ONCE);
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: qos2(5),
            ..plain("t", "x")
        }),
    );
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: qos1(5),
            ..plain("t", "y")
        }),
    );
    let in_use = ReasonCode::PACKET_IDENTIFIER_IN_USE;
    bench.expect(1, &[pubrec(5, OK), puback(5, in_use)]);
    assert_eq!(bench.received(2).payloads(), ["x"]);
}

/// T130: an acknowledgement makes room, a refusal too.
#[test]
fn the_client_s_receive_maximum_holds_back_what_is_above_qos_0() {
    for qos in [AT_LEAST_ONCE, EXACTLY_ONCE] {
        let mut bench = Bench::new();
        bench.connect(1, "publisher");
        let properties = [Property::ReceiveMaximum(2)];
        bench.resume(
            2,
            &Connect {
                properties: list(&properties),
                ..Connect::new("subscriber")
            },
        );
        bench.subscribe(2, "t", qos);
        for payload in ["a", "b", "c", "d"] {
            bench.publish_2(1, "t", payload);
        }
        bench.publish(1, "t", "zero");
        assert_eq!(bench.received(2).payloads(), ["a", "b", "zero"]);
        if qos == EXACTLY_ONCE {
            bench.send(2, &pubrec(1, OK));
            bench.expect(2, &[pubrel(1)]); // not held back [MQTT-3.3.4-10], frees no quota
            bench.send(2, &pubcomp(1, OK));
        } else {
            bench.send(2, &puback(1, OK));
        }
        assert_eq!(bench.received(2).payloads(), ["c"]);
        // A refusal gives the quota back too (4.9).
        match qos {
            EXACTLY_ONCE => bench.send(2, &pubrec(2, ReasonCode::UNSPECIFIED_ERROR)),
            _ => bench.send(2, &puback(2, ReasonCode::UNSPECIFIED_ERROR)),
        }
        assert_eq!(bench.received(2).payloads(), ["d"]);
    }
}

/// T130: the limit, exceeded.
#[test]
fn our_receive_maximum_is_kept() {
    let mut bench = Bench::with(|config| config.receive_maximum = 2);
    bench.connect(1, "a");
    for value in [1, 2] {
        bench.send(
            1,
            &Packet::Publish(Publish {
                delivery: qos2(value),
                ..plain("t", "x")
            }),
        );
    }
    bench.expect(1, &[pubrec(1, NOBODY), pubrec(2, NOBODY)]);
    bench.send(1, &pubrel(1));
    bench.expect(1, &[pubcomp(1, OK)]);
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: qos2(3),
            ..plain("t", "x")
        }),
    );
    bench.expect(1, &[pubrec(3, NOBODY)]);
    bench.send(
        1,
        &Packet::Publish(Publish {
            delivery: qos1(4),
            ..plain("t", "x")
        }),
    );
    bench.expect_disconnect(1, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
}

#[test]
fn order_is_kept_for_each_qos() {
    let mut bench = pair(EXACTLY_ONCE);
    let texts: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    for text in &texts {
        bench.publish_1(1, "t", text, OK);
    }
    let expected: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(bench.received(2).payloads(), expected);
}

/// T152: and none is used twice.
#[test]
fn every_identifier_may_be_in_flight() {
    let mut bench = Bench::with(|config| config.maximum_queued = 70_000);
    bench.connect(1, "publisher");
    bench.connect(2, "subscriber");
    bench.subscribe(2, "t", AT_LEAST_ONCE);
    let mut sent = 0;
    for _ in 0..65_540 {
        bench.send(
            1,
            &Packet::Publish(Publish {
                delivery: qos1(9),
                ..plain("t", "x")
            }),
        );
        sent += bench.received(2).publishes().len();
    }
    assert_eq!(sent, 65_535);
    bench.send(2, &puback(40_000, OK));
    let frames = bench.received(2);
    assert_eq!(frames.publishes()[0].delivery, qos1(40_000));
}

#[test]
fn large_payloads_arrive_whole() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.connect(3, "other");
    bench.subscribe(3, "#", AT_MOST_ONCE);
    for length in [0, 127, 128, 16_383, 16_384, 20_000, 2_097_152, 3_000_000] {
        let payload = "x".repeat(length);
        bench.publish_1(1, "t", &payload, OK);
        for connection in [2, 3] {
            let frames = bench.received(connection);
            assert_eq!(frames.payloads(), [payload.as_str()], "{length}");
        }
    }
}
