//! Shared Subscriptions (4.8.2).

mod common;

use common::*;
use mqtt5_broker::{Fault, Mishap, On};
use mqtt5_proto::packet::{Connect, Disconnect, List, Packet, Publish, Subscribe, SubscribeFilter};
use mqtt5_proto::{PacketType, Properties, Property, QoS, ReasonCode};

/// A publisher on connection 1 and returning members on the following ones.
fn group(members: u64, qos: QoS) -> Bench {
    let mut bench = Bench::new();
    bench.connect(1, "publisher");
    for connection in 2..2 + members {
        let client_id = connection.to_string();
        bench.resume(
            connection,
            &Connect {
                keep_alive: 0,
                ..returning(&client_id)
            },
        );
        bench.subscribe(connection, "$share/g/t/+", qos);
    }
    bench
}

/// T21: each message goes to one member.
#[test]
fn members_take_turns() {
    let mut bench = group(3, AT_MOST_ONCE);
    for payload in ["a", "b", "c", "d", "e"] {
        bench.publish(1, "t/1", payload);
    }
    assert_eq!(bench.received(2).payloads(), ["a", "d"]);
    assert_eq!(bench.received(3).payloads(), ["b", "e"]);
    assert_eq!(bench.received(4).payloads(), ["c"]);
}

/// T21: groups, and subscriptions beside them, have their own copies.
#[test]
fn each_group_gets_one_and_others_their_own() {
    let mut bench = group(2, AT_MOST_ONCE);
    bench.subscribe(2, "$share/h/t/+", AT_MOST_ONCE);
    bench.subscribe(2, "$share/g/#", AT_MOST_ONCE);
    bench.subscribe(2, "t/1", AT_MOST_ONCE);
    bench.publish(1, "t/1", "x");
    // One for each group, which are never merged, and one for the subscription of its own.
    assert_eq!(
        bench.received(2).packets().len() + bench.received(3).packets().len(),
        4
    );
}

#[test]
fn only_the_identifier_of_the_chosen_member() {
    let mut bench = group(1, AT_MOST_ONCE);
    let item = SubscribeFilter::new(filter("$share/g/t/+"), AT_MOST_ONCE);
    bench.subscribe_with(2, &[item], &[Property::SubscriptionIdentifier(8)]);
    assert_eq!(bench.broker.statistics().subscriptions, 1); // joined once
    bench.connect(3, "other");
    bench.subscribe_with(3, &[item], &[Property::SubscriptionIdentifier(9)]);
    for (connection, identifier) in [(2, 8), (3, 9)] {
        bench.publish(1, "t/1", "x");
        let frames = bench.received(connection);
        let publishes = frames.publishes();
        assert_eq!(
            publishes[0]
                .properties
                .subscription_identifiers()
                .collect::<Vec<_>>(),
            [identifier]
        );
    }
    bench.unsubscribe(2, "$share/g/t/+", OK);
    assert_eq!(bench.broker.statistics().subscriptions, 1);
}

#[test]
fn the_granted_qos_of_the_member_counts() {
    let mut bench = group(1, AT_LEAST_ONCE);
    bench.publish_2(1, "t/1", "x");
    assert_eq!(bench.received(2).publishes()[0].delivery, qos1(1)); // [MQTT-4.8.2-3]
}

#[test]
fn no_retained_messages() {
    let mut bench = group(0, AT_MOST_ONCE);
    bench.retain(1, "t/1", "x");
    bench.connect(2, "a");
    bench.subscribe(2, "$share/g/t/+", AT_MOST_ONCE); // asserts that nothing follows SUBACK
}

#[test]
fn who_is_connected_comes_first() {
    let mut bench = group(3, AT_LEAST_ONCE);
    bench.lose(2);
    bench.lose(4);
    for _ in 0..3 {
        bench.publish_1(1, "t/1", "x", OK);
    }
    assert_eq!(bench.received(3).packets().len(), 3);
    // Without anybody it waits for one of them.
    bench.lose(3);
    bench.publish_1(1, "t/1", "waits", OK);
    let counts: Vec<usize> = [(12, "2"), (13, "3"), (14, "4")]
        .into_iter()
        .map(|(connection, client_id)| {
            let (_, frames) = bench.resume(connection, &returning(client_id));
            frames
                .payloads()
                .iter()
                .filter(|payload| **payload == "waits")
                .count()
        })
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 1);
}

/// T138: [MQTT-3.8.3-4].
#[test]
fn no_local_is_a_protocol_error() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    // The codec does not encode it [MQTT-3.8.3-4].
    let item = SubscribeFilter::new(filter("$share/g/t"), AT_MOST_ONCE);
    let mut bytes = encode(&Packet::Subscribe(Subscribe {
        packet_id: id(1),
        properties: Properties::EMPTY,
        filters: List::from(&[item][..]),
    }));
    *bytes.last_mut().unwrap() = 0x04;
    bench.send_bytes(1, &bytes);
    bench.expect_disconnect(1, ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn a_begun_qos_2_message_stays_with_its_member() {
    let mut bench = group(2, EXACTLY_ONCE);
    bench.publish_2(1, "t/1", "x");
    assert_eq!(bench.received(2).payloads(), ["x"]);
    bench.lose(2);
    bench.expect_nothing(3);
    let (_, frames) = bench.resume(4, &returning("2"));
    assert_eq!(frames.payloads(), ["x"]); // [MQTT-4.8.2-4]
    bench.lose(4);
    bench.advance(4_000.0);
    bench.expect(3, &[]); // [MQTT-4.8.2-5]
}

#[test]
fn what_a_member_did_not_finish_goes_to_another_when_its_session_ends() {
    let mut bench = Bench::new();
    bench.resume(
        1,
        &Connect {
            keep_alive: 0,
            ..Connect::new("publisher")
        },
    );
    let slow = [
        Property::ReceiveMaximum(1),
        Property::SessionExpiryInterval(10),
    ];
    for (connection, client_id) in [(2, "a"), (3, "b")] {
        let connect = Connect {
            keep_alive: 0,
            properties: list(&slow),
            ..Connect::new(client_id)
        };
        bench.resume(connection, &connect);
        bench.subscribe(connection, "$share/g/t", EXACTLY_ONCE);
    }
    bench.publish_1(1, "t", "1", OK); // to a, sent
    bench.publish_1(1, "t", "2", OK); // to b, sent
    bench.publish_2(1, "t", "3"); // to a, queued
    assert_eq!(bench.received(2).payloads(), ["1"]);
    assert_eq!(bench.received(3).payloads(), ["2"]);
    bench.lose(2);
    bench.advance(11.0);
    bench.send(3, &puback(1, OK));
    assert_eq!(bench.received(3).payloads(), ["1"]);
    bench.send(3, &puback(2, OK));
    assert_eq!(bench.received(3).payloads(), ["3"]);
}

/// Retain As Published is an option of the subscription that gets the message in the end [MQTT-3.3.1-12], [MQTT-3.3.1-13].
#[test]
fn what_goes_to_another_has_the_retain_flag_that_this_one_wants() {
    for wanted in [false, true] {
        let mut bench = group(2, AT_LEAST_ONCE);
        for (connection, retain_as_published) in [(2, !wanted), (3, wanted)] {
            let item = SubscribeFilter {
                retain_as_published,
                ..SubscribeFilter::new(filter("$share/g/t/+"), AT_LEAST_ONCE)
            };
            bench.subscribe_with(connection, &[item], &[]);
        }
        let publish = Publish {
            delivery: qos1(7),
            retain: true,
            ..plain("t/1", "x")
        };
        bench.send(1, &Packet::Publish(publish));
        assert_eq!(bench.received(2).publishes()[0].retain, !wanted);
        assert!(bench.broker.forget(bench.now, "2"));
        assert_eq!(bench.received(3).publishes()[0].retain, wanted);
    }
}

/// However the session of a member ends, what it had not acknowledged goes to another, under that one's identifier.
#[test]
fn nothing_is_lost_with_a_session() {
    let goodbye = Disconnect {
        reason: OK,
        properties: list(&[Property::SessionExpiryInterval(0)]),
    };
    let endings: [fn(&mut Bench, &Disconnect<'_>); 4] = [
        |bench, goodbye| bench.send(3, &Packet::Disconnect(*goodbye)),
        |bench, _| drop(bench.try_connect(5, &Connect::new("b"))),
        |bench, _| assert!(bench.broker.forget(bench.now, "b")),
        |bench, _| {
            let lose = Fault::new(On::Received(PacketType::Connect), Mishap::LoseSession);
            bench.broker.inject(lose);
            bench.try_connect(5, &returning("b"));
        },
    ];
    for ending in endings {
        let mut bench = Bench::new();
        bench.connect(1, "publisher");
        let properties = [
            Property::ReceiveMaximum(1),
            Property::SessionExpiryInterval(3_600),
        ];
        let connect = Connect {
            properties: list(&properties),
            ..Connect::new("b")
        };
        bench.resume(3, &connect);
        bench.subscribe(3, "$share/g/t", AT_LEAST_ONCE);
        for payload in ["sent", "queued"] {
            bench.publish_1(1, "t", payload, OK);
        }
        assert_eq!(bench.received(3).payloads(), ["sent"]);
        bench.connect(2, "a");
        let item = SubscribeFilter::new(filter("$share/g/t"), AT_LEAST_ONCE);
        bench.subscribe_with(2, &[item], &[Property::SubscriptionIdentifier(5)]);
        ending(&mut bench, &goodbye);
        let frames = bench.received(2);
        assert_eq!(frames.payloads(), ["sent", "queued"]);
        for publish in frames.publishes() {
            assert!(!publish.delivery.dup()); // it is new to this one
            let identifiers = publish.properties.subscription_identifiers();
            assert_eq!(identifiers.collect::<Vec<_>>(), [5]);
        }
        assert_eq!(bench.broker.statistics().waiting, 2);
    }
}

#[test]
fn a_message_stays_with_a_member_whose_session_lives() {
    let mut bench = group(2, AT_LEAST_ONCE);
    bench.publish_1(1, "t/1", "x", OK);
    assert_eq!(bench.received(2).payloads(), ["x"]);
    bench.lose(2);
    bench.unsubscribe(3, "$share/g/t/+", OK);
    bench.expect_nothing(3);
    let (_, frames) = bench.resume(4, &returning("2"));
    assert_eq!(frames.publishes()[0].delivery, again(qos1(1)));
    // It is delivered even when the subscription ends before.
    bench.unsubscribe(4, "$share/g/t/+", OK);
    bench.lose(4);
    let (_, frames) = bench.resume(5, &returning("2"));
    assert_eq!(frames.payloads(), ["x"]);
}

#[test]
fn a_refused_message_goes_to_nobody_else() {
    let mut bench = group(2, AT_LEAST_ONCE);
    bench.publish_1(1, "t/1", "x", OK);
    bench.received(2);
    bench.send(2, &puback(1, ReasonCode::UNSPECIFIED_ERROR));
    bench.expect_nothing(2);
    bench.expect_nothing(3); // [MQTT-4.8.2-6]
}
