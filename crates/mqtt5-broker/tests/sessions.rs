//! Sessions: present or not, expiry, takeover, what waits (3.1.2.4, 4.1).

mod common;

use common::*;
use mqtt5_proto::packet::{Connect, Disconnect, Packet, Publish};
use mqtt5_proto::{Property, ReasonCode};

#[test]
fn session_present() {
    let mut bench = Bench::new();
    assert!(!bench.resume(1, &returning("a")).0); // [MQTT-3.1.2-6]
    bench.lose(1);
    assert!(bench.resume(2, &returning("a")).0); // [MQTT-3.1.2-5]
    bench.lose(2);
    assert!(!bench.resume(3, &returning("b")).0);
    assert!(
        !bench
            .resume(
                4,
                &Connect {
                    clean_start: true,
                    ..returning("a")
                }
            )
            .0
    ); // [MQTT-3.2.2-2]
    bench.lose(4);
    assert!(bench.resume(5, &returning("a")).0);
}

/// T131: a session is lost on request.
#[test]
fn clean_start_forgets_everything() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.lose(2);
    bench.publish_1(1, "t", "x", OK);
    bench.connect(3, "subscriber");
    bench.publish_1(1, "t", "x", ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let statistics = bench.broker.statistics();
    assert_eq!(
        (
            statistics.subscriptions,
            statistics.waiting,
            statistics.sessions
        ),
        (0, 0, 2)
    );
}

/// T131: not before, and not after.
#[test]
fn a_session_ends_with_its_expiry() {
    for (expiry, alive, dead) in [
        (None, None, Some(0.0)),
        (Some(0), None, Some(0.0)),
        (Some(60), Some(59.9), Some(60.1)),
        (Some(u32::MAX), Some(1e12), None),
    ] {
        let properties: Vec<_> = expiry
            .map(Property::SessionExpiryInterval)
            .into_iter()
            .collect();
        for (wait, is_present) in [(alive, true), (dead, false)] {
            let Some(wait) = wait else { continue };
            let mut bench = Bench::new();
            bench.resume(1, &with_expiry("a", &properties));
            bench.advance(70.0);
            bench.lose(1);
            bench.advance(wait);
            assert_eq!(
                bench.broker.statistics().sessions,
                usize::from(is_present),
                "{expiry:?}"
            );
            assert_eq!(
                bench.resume(2, &with_expiry("a", &properties)).0,
                is_present,
                "{expiry:?} {wait}"
            );
        }
    }
}

#[test]
fn it_does_not_expire_while_connected() {
    let mut bench = Bench::new();
    let properties = [Property::SessionExpiryInterval(10)];
    let connect = Connect {
        keep_alive: 0,
        ..with_expiry("a", &properties)
    };
    bench.resume(1, &connect);
    bench.lose(1);
    bench.advance(5.0);
    assert!(bench.resume(2, &connect).0);
    bench.advance(100.0); // [MQTT-4.1.0-1]
    bench.lose(2);
    bench.advance(9.0);
    assert!(bench.resume(3, &connect).0);
}

#[test]
fn the_last_connect_decides_about_expiry() {
    let mut bench = Bench::new();
    bench.resume(1, &returning("a"));
    bench.lose(1);
    assert!(bench.resume(2, &with_expiry("a", &[])).0);
    bench.lose(2);
    assert!(!bench.resume(3, &with_expiry("a", &[])).0);
}

#[test]
fn disconnect_may_change_the_expiry() {
    let goodbye = |expiry: &[Property<'_>]| {
        encode(&Packet::Disconnect(Disconnect {
            reason: OK,
            properties: list(expiry),
        }))
    };
    let mut bench = Bench::new();
    bench.resume(1, &returning("a"));
    bench.send_bytes(1, &goodbye(&[Property::SessionExpiryInterval(0)]));
    bench.expect_closed(1);
    assert_eq!(bench.broker.statistics().sessions, 0);
    bench.resume(2, &returning("a"));
    bench.send_bytes(2, &goodbye(&[Property::SessionExpiryInterval(7_200)]));
    bench.expect_closed(2);
    bench.advance(7_199.0);
    assert!(bench.resume(3, &with_expiry("a", &[])).0);
    // It was 0 in CONNECT: not a valid DISCONNECT (3.14.2.2.2).
    bench.send_bytes(3, &goodbye(&[Property::SessionExpiryInterval(1)]));
    bench.expect_disconnect(3, ReasonCode::PROTOCOL_ERROR);
    bench.resume(4, &with_expiry("a", &[]));
    bench.send_bytes(4, &goodbye(&[Property::SessionExpiryInterval(0)]));
    bench.expect_nothing(4);
    bench.expect_closed(4);
}

#[test]
fn the_server_may_shorten_the_expiry() {
    let mut bench = Bench::with(|config| config.maximum_session_expiry = 10);
    bench.resume(1, &returning("a"));
    bench.lose(1);
    bench.advance(10.1);
    assert_eq!(bench.broker.statistics().sessions, 0);
    // What the client asked for decides whether its DISCONNECT may name another, whatever it was granted.
    let mut bench = Bench::with(|config| config.maximum_session_expiry = 0);
    bench.resume(1, &returning("a"));
    let expiry = [Property::SessionExpiryInterval(5)];
    let goodbye = Disconnect {
        reason: OK,
        properties: list(&expiry),
    };
    bench.send(1, &Packet::Disconnect(goodbye));
    bench.expect_nothing(1);
    bench.expect_closed(1);
    assert_eq!(bench.broker.statistics().sessions, 0);
}

#[test]
fn takeover() {
    for clean_start in [false, true] {
        let mut bench = pair(AT_LEAST_ONCE);
        let (session_present, _) = bench.resume(
            3,
            &Connect {
                clean_start,
                ..returning("subscriber")
            },
        );
        assert_eq!(session_present, !clean_start);
        bench.expect_disconnect(2, ReasonCode::SESSION_TAKEN_OVER); // [MQTT-3.1.4-3]
        bench.publish(1, "t", "x");
        assert_eq!(bench.received(3).packets().len(), usize::from(!clean_start));
        bench.send(2, &Packet::Pingreq);
        bench.expect_nothing(2);
        assert_eq!(bench.broker.statistics().connections, 2);
    }
}

#[test]
fn a_client_takes_over_its_own_messages_in_flight() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.publish_1(1, "t", "x", OK);
    assert_eq!(bench.received(2).publishes()[0].delivery, qos1(1));
    let (_, frames) = bench.resume(3, &returning("subscriber"));
    assert_eq!(frames.publishes()[0].delivery, again(qos1(1)));
}

#[test]
fn messages_wait_for_the_client() {
    let mut bench = pair(EXACTLY_ONCE);
    bench.lose(2);
    bench.publish(1, "t", "zero");
    bench.publish_1(1, "t", "one", OK);
    bench.publish_2(1, "t", "two");
    assert_eq!(bench.broker.statistics().waiting, 2);
    let (session_present, frames) = bench.resume(3, &returning("subscriber"));
    assert!(session_present);
    assert_eq!(frames.payloads(), ["one", "two"]);
    let deliveries: Vec<_> = frames.publishes().iter().map(|p| p.delivery).collect();
    assert_eq!(deliveries, [qos1(1), qos2(2)]); // never sent before: DUP 0
}

#[test]
fn topic_aliases_die_with_the_connection() {
    let mut bench = Bench::new();
    bench.resume(1, &returning("a"));
    let alias = [Property::TopicAlias(1)];
    let publish = Publish {
        properties: list(&alias),
        ..plain("t", "x")
    };
    bench.send(1, &Packet::Publish(publish));
    bench.lose(1);
    bench.resume(2, &returning("a"));
    bench.send(
        2,
        &Packet::Publish(Publish {
            topic: None,
            ..publish
        }),
    );
    bench.expect_disconnect(2, ReasonCode::PROTOCOL_ERROR); // [MQTT-3.3.2-7]
}

#[test]
fn nothing_is_left_behind() {
    let mut bench = pair(EXACTLY_ONCE);
    for n in 0..50 {
        let name = n.to_string();
        bench.resume(
            100 + n,
            &with_expiry(&name, &[Property::SessionExpiryInterval(10)]),
        );
        bench.subscribe(100 + n, "t/#", EXACTLY_ONCE);
        bench.subscribe(100 + n, "$share/g/t/#", EXACTLY_ONCE);
        bench.publish_2(1, "t/x", "x");
        bench.lose(100 + n);
    }
    bench.advance(20.0);
    bench.lose(1);
    bench.send(2, &disconnect(OK));
    bench.lose(2);
    bench.advance(4_000.0);
    let statistics = bench.broker.statistics();
    assert_eq!(
        (
            statistics.connections,
            statistics.sessions,
            statistics.subscriptions
        ),
        (0, 0, 0)
    );
    assert_eq!((statistics.waiting, statistics.retained), (0, 0));
    assert_eq!(bench.broker.poll_timeout(), None);
}

#[test]
fn the_expiry_of_an_earlier_session_does_not_touch_a_later_one() {
    let mut bench = Bench::new();
    let expiry = [Property::SessionExpiryInterval(60)];
    bench.resume(1, &with_expiry("a", &expiry));
    bench.lose(1);
    bench.resume(
        2,
        &Connect {
            keep_alive: 0,
            ..Connect::new("a")
        },
    );
    bench.subscribe(2, "t", AT_MOST_ONCE);
    bench.advance(100.0);
    bench.publish(2, "t", "x");
    bench.expect(2, &[Packet::Publish(plain("t", "x"))]);
}
