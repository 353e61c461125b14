//! Will Messages (3.1.2.5, 3.1.3.2).

mod common;

use common::*;
use mqtt5_proto::packet::{Connect, Disconnect, Packet, Publish, SubscribeFilter, Will};
use mqtt5_proto::{Property, ReasonCode};

/// A watcher of everything on connection 1.
fn watched() -> Bench {
    let mut bench = Bench::new();
    bench.resume(
        1,
        &Connect {
            keep_alive: 0,
            ..Connect::new("watcher")
        },
    );
    bench.subscribe(1, "#", EXACTLY_ONCE);
    bench
}

/// CONNECT with a will "bye" on "gone".
fn mortal<'a>(delay: &'a [Property<'a>], session: &'a [Property<'a>]) -> Connect<'a> {
    Connect {
        clean_start: false,
        keep_alive: 0,
        will: Some(Will {
            properties: list(delay),
            ..will("gone", "bye")
        }),
        properties: list(session),
        ..Connect::new("mortal")
    }
}

const HOUR: [Property<'_>; 1] = [Property::SessionExpiryInterval(3_600)];
const TEN_SECONDS: [Property<'_>; 1] = [Property::WillDelayInterval(10)];

/// T41: the graceless end.
#[test]
fn published_when_the_connection_is_lost() {
    let mut bench = watched();
    bench.resume(2, &mortal(&[], &[]));
    bench.expect_nothing(1);
    bench.lose(2);
    bench.expect(1, &[message("gone", "bye")]);
    assert_eq!(bench.broker.statistics().sessions, 1);
}

#[test]
fn published_once_while_the_session_lives_on() {
    let mut bench = watched();
    bench.resume(2, &mortal(&[], &HOUR));
    bench.lose(2);
    bench.expect(1, &[message("gone", "bye")]);
    bench.advance(4_000.0);
    bench.expect_nothing(1); // [MQTT-3.1.2-10]
}

/// T41, T42: the graceful end, and the one with will.
#[test]
fn disconnect_decides_by_its_reason() {
    for (reason, is_published) in [
        (ReasonCode::NORMAL_DISCONNECTION, false), // [MQTT-3.14.4-3]
        (ReasonCode::DISCONNECT_WITH_WILL, true),
        (ReasonCode::UNSPECIFIED_ERROR, true),
    ] {
        for session in [&HOUR[..], &[]] {
            let mut bench = watched();
            bench.resume(2, &mortal(&[], session));
            bench.send(2, &disconnect(reason));
            bench.expect_closed(2);
            assert_eq!(
                bench.received(1).packets().len(),
                usize::from(is_published),
                "{reason}"
            );
            bench.advance(4_000.0);
            bench.expect_nothing(1);
        }
    }
}

#[test]
fn published_when_the_broker_ends_the_connection() {
    let mut bench = watched();
    bench.resume(
        2,
        &Connect {
            keep_alive: 10,
            ..mortal(&[], &[])
        },
    );
    bench.advance(15.1);
    bench.expect(1, &[message("gone", "bye")]);
    bench.lose(2);
    bench.resume(3, &mortal(&[], &[]));
    bench.send_bytes(3, b"\x00");
    bench.expect(1, &[message("gone", "bye")]);
    bench.lose(3);
    bench.expect_nothing(1);
}

/// T43: not before.
#[test]
fn the_delay_runs_from_the_loss() {
    let mut bench = watched();
    bench.resume(2, &mortal(&TEN_SECONDS, &HOUR));
    bench.advance(60.0);
    bench.lose(2);
    bench.advance(9.9);
    bench.expect_nothing(1);
    bench.advance(0.2);
    bench.expect(1, &[message("gone", "bye")]);
}

#[test]
fn the_session_ends_before_the_delay() {
    let mut bench = watched();
    bench.resume(
        2,
        &mortal(&TEN_SECONDS, &[Property::SessionExpiryInterval(4)]),
    );
    bench.lose(2);
    bench.advance(3.9);
    bench.expect_nothing(1);
    bench.advance(0.2);
    bench.expect(1, &[message("gone", "bye")]);
    bench.advance(60.0);
    bench.expect_nothing(1);
    // Without a session beyond the connection it is sent at once.
    bench.resume(3, &mortal(&TEN_SECONDS, &[]));
    bench.lose(3);
    bench.expect(1, &[message("gone", "bye")]);
}

/// T43: not at all.
#[test]
fn who_comes_back_in_time_is_not_dead() {
    let mut bench = watched();
    bench.resume(2, &mortal(&TEN_SECONDS, &HOUR));
    bench.lose(2);
    bench.advance(9.0);
    let (session_present, _) = bench.resume(3, &returning("mortal"));
    assert!(session_present);
    bench.advance(60.0);
    bench.expect_nothing(1); // [MQTT-3.1.3-9]
    // The new CONNECT had no will.
    bench.lose(3);
    bench.advance(60.0);
    bench.expect_nothing(1);
}

#[test]
fn clean_start_ends_the_session_and_so_publishes() {
    let mut bench = watched();
    bench.resume(2, &mortal(&TEN_SECONDS, &HOUR));
    bench.lose(2);
    bench.expect_nothing(1);
    bench.resume(
        3,
        &Connect {
            clean_start: true,
            ..returning("mortal")
        },
    );
    bench.expect(1, &[message("gone", "bye")]);
}

#[test]
fn takeover_publishes_unless_the_delay_saves_it() {
    for (delay, session, clean_start, is_published) in [
        (&[][..], &HOUR[..], false, true),
        (&TEN_SECONDS, &HOUR, false, false),
        (&TEN_SECONDS, &HOUR, true, true),
        (&TEN_SECONDS, &[], false, true),
    ] {
        let mut bench = watched();
        bench.resume(2, &mortal(delay, session));
        bench.resume(
            3,
            &Connect {
                clean_start,
                ..returning("mortal")
            },
        );
        bench.advance(60.0);
        assert_eq!(bench.received(1).packets().len(), usize::from(is_published));
    }
}

#[test]
fn its_qos_retain_and_properties_are_kept() {
    let properties = [
        Property::UserProperty("b", "1"),
        Property::WillDelayInterval(5),
        Property::MessageExpiryInterval(30),
        Property::ContentType("text/plain"),
        Property::UserProperty("a", "2"),
    ];
    let mut bench = watched();
    let will = Will {
        qos: EXACTLY_ONCE,
        retain: true,
        properties: list(&properties),
        ..will("gone", "bye")
    };
    let connect = Connect {
        will: Some(will),
        ..mortal(&[], &HOUR)
    };
    bench.resume(2, &connect);
    bench.lose(2);
    bench.advance(5.0);
    // The expiry begins with the publication; the delay is not forwarded.
    let published = [properties[0], properties[3], properties[4], properties[2]];
    let expected = Publish {
        delivery: qos2(1),
        properties: list(&published),
        ..plain("gone", "bye")
    };
    bench.expect(1, &[Packet::Publish(expected)]);
    bench.advance(10.0);
    bench.connect(3, "late");
    let item = SubscribeFilter::new(filter("gone"), AT_MOST_ONCE);
    let frames = bench.subscribe_retained(3, item);
    assert!(frames.publishes()[0].retain); // [MQTT-3.1.2-15]
    assert_eq!(
        frames.publishes()[0].properties.message_expiry_interval(),
        Some(20)
    );
}

#[test]
fn a_will_is_not_retained_unless_it_says_so() {
    let mut bench = watched();
    bench.resume(2, &mortal(&[], &[]));
    bench.lose(2);
    assert_eq!(bench.broker.statistics().retained, 0); // [MQTT-3.1.2-14]
}

#[test]
fn a_shorter_expiry_in_disconnect_brings_the_will_forward() {
    let mut bench = watched();
    bench.resume(2, &mortal(&TEN_SECONDS, &HOUR));
    let properties = [Property::SessionExpiryInterval(0)];
    let goodbye = Disconnect {
        reason: ReasonCode::DISCONNECT_WITH_WILL,
        properties: list(&properties),
    };
    bench.send(2, &Packet::Disconnect(goodbye));
    bench.expect(1, &[message("gone", "bye")]);
}

#[test]
fn wills_that_the_server_does_not_support_are_refused() {
    let mut bench = Bench::with(|config| {
        config.maximum_qos = AT_MOST_ONCE;
        config.retain_available = false;
    });
    let base = mortal(&[], &[]);
    for (will, reason) in [
        (
            Will {
                qos: AT_LEAST_ONCE,
                ..will("t", "x")
            },
            ReasonCode::QOS_NOT_SUPPORTED,
        ),
        (
            Will {
                retain: true,
                ..will("t", "x")
            },
            ReasonCode::RETAIN_NOT_SUPPORTED,
        ),
    ] {
        let frames = bench.try_connect(
            2,
            &Connect {
                will: Some(will),
                ..base
            },
        );
        assert!(matches!(frames.one(), Packet::Connack(c) if c.reason == reason));
        bench.expect_closed(2);
    }
}

#[test]
fn a_will_for_a_forbidden_topic_is_refused() {
    let mut bench = watched();
    bench.subscribe(1, "$SYS/#", AT_MOST_ONCE);
    let mut connect = mortal(&[], &HOUR);
    bench.resume(2, &connect);
    connect.will = Some(will("$SYS/lies", "x"));
    let frames = bench.try_connect(3, &connect);
    assert!(matches!(frames.one(), Packet::Connack(c) if c.reason == ReasonCode::NOT_AUTHORIZED));
    bench.expect_closed(3);
    // It did not take over the connection of who had a better one.
    bench.send(2, &Packet::Pingreq);
    bench.expect(2, &[Packet::Pingresp]);
    bench.expect_nothing(1);
}

#[test]
fn who_was_never_connected_has_no_will() {
    let mut bench = watched();
    let properties = [
        Property::MaximumPacketSize(4),
        Property::SessionExpiryInterval(3_600),
    ];
    let frames = bench.try_connect(2, &mortal(&[], &properties));
    assert!(frames.packets().is_empty()); // no CONNACK is as small
    bench.expect_closed(2);
    bench.expect_nothing(1);
    bench.advance(4_000.0);
    bench.expect_nothing(1);
}

#[test]
fn the_delay_of_an_earlier_will_does_not_touch_a_later_one() {
    // The same client comes back with a will of its own.
    let mut bench = watched();
    bench.resume(2, &mortal(&TEN_SECONDS, &HOUR));
    bench.lose(2);
    bench.advance(5.0);
    bench.resume(3, &mortal(&TEN_SECONDS, &HOUR));
    bench.advance(60.0);
    bench.expect_nothing(1);
    // The session has ended, and another one begins.
    let mut bench = watched();
    bench.resume(
        2,
        &mortal(&TEN_SECONDS, &[Property::SessionExpiryInterval(4)]),
    );
    bench.lose(2);
    bench.advance(5.0);
    bench.expect(1, &[message("gone", "bye")]);
    bench.resume(
        3,
        &Connect {
            client_id: "another",
            ..mortal(&TEN_SECONDS, &HOUR)
        },
    );
    bench.advance(60.0);
    bench.expect_nothing(1);
}
