//! Keep alive, and how often a server is asked.

use super::super::{Link, accepted, disconnect, options, publish, reconnecting, scripted};
use super::{identifiers, start, success};
use crate::{
    Async, Client, ConnectionErrorKind, Event, KeepAlive, Options, QoS, ReasonCode, Reconnect,
    Subscription,
};
use core::time::Duration;
use mqtt5_proto::{Packet, Properties, Property};

const SECOND: Duration = Duration::from_secs(1);

/// A keep alive of ten seconds: PINGREQ after seven and a half of silence on our side, or ten on the other.
fn ten(options: Options) -> Options {
    options.keep_alive(KeepAlive::seconds(10).expect("not zero"))
}

/// Half a minute, second by second; tells at which seconds PINGREQ left. They are answered.
fn pings(link: &mut Link, mut each: impl FnMut(&mut Link)) -> Vec<u64> {
    let began = link.now();
    let mut pings = Vec::new();
    for _ in 0..30 {
        each(link);
        for name in link.sent_types() {
            if name == "PINGREQ" {
                pings.push(link.now().saturating_duration_since(began).as_secs());
                link.send(Packet::Pingresp);
            }
        }
        link.pass(SECOND);
    }
    pings
}

/// No PINGREQ while both sides have something to say, and one in time when either is silent. T75, T76, T77, T79, T129, T149, D18.
#[test]
fn pitfall_30_pings_leave_when_a_side_is_silent() {
    let (client, mut link) = scripted(ten(options()), Properties::EMPTY);
    let busy = pings(&mut link, |link| {
        let _delivery = start(&client, "x", QoS::AtLeastOnce);
        for id in identifiers(link) {
            link.send(Packet::Puback(success(id)));
        }
    });
    assert_eq!(busy, [], "traffic in both directions");

    let (_client, mut link) = scripted(ten(options()), Properties::EMPTY);
    assert_eq!(pings(&mut link, |_| {}), [8, 15, 23], "silence");

    let (client, mut link) = scripted(ten(options()), Properties::EMPTY);
    let sending = pings(&mut link, |_| {
        let _ = client.publish("a", "x").try_publish();
    });
    assert_eq!(sending, [10, 20], "it never says whether it hears us");

    let (client, mut link) = scripted(ten(options()), Properties::EMPTY);
    let receiving = pings(&mut link, |link| {
        link.send(publish("a", QoS::AtMostOnce, 0, b"x"));
    });
    assert_eq!(receiving, [8, 15, 23], "it must hear of us [MQTT-3.1.2-20]");
    assert!(client.is_connected());
}

/// A server that has gone without a word is found, whether or not we have something to say. T78, T129, HB-52.
#[test]
fn pitfall_30_a_half_open_connection_is_found() {
    for talks in [false, true] {
        let (client, mut link) = scripted(ten(reconnecting()), Properties::EMPTY);
        let mut events = client.events();
        for _ in 0..16 {
            if talks {
                let _ = client.publish("a", "x").try_publish();
            }
            link.pass(SECOND);
        }
        let lost = core::iter::from_fn(|| events.try_recv()).find_map(|event| match event {
            Event::Disconnected(error) => Some(error.kind()),
            _ => None,
        });
        assert_eq!(lost, Some(ConnectionErrorKind::KeepAliveTimeout), "{talks}");
    }
}

/// A flood that we cannot keep up with is no silence, nor is our own pause. T77, T149.
#[test]
fn pitfall_30_a_slow_consumer_is_no_dead_server() {
    let options = ten(reconnecting())
        .inbound_bytes(50)
        .stall_timeout(100 * SECOND);
    let (client, mut subscription, mut link) = hearing(options);
    for packet_id in 1..=5 {
        link.send(publish("a", QoS::AtLeastOnce, packet_id, &[0; 40]));
    }
    assert!(!link.reading);
    for _ in 0..60 {
        link.pass(SECOND);
        // Answers arrive and are not read.
        for name in link.sent_types() {
            if name == "PINGREQ" {
                link.send(Packet::Pingresp);
            }
        }
    }
    assert!(client.is_connected());
    while let Ok(Some(message)) = subscription.try_recv() {
        drop(message);
        link.run();
    }
    link.pass(3 * SECOND);
    assert!(client.is_connected() && link.reading);
}

/// The shortest keep alive is kept, that of the server goes before ours, and none is none. T36, T128, D19.
#[test]
fn pitfall_30_every_interval_is_kept() {
    for (asked, dictated, expected) in [
        (KeepAlive::seconds(1), None, Some(750)),
        (KeepAlive::seconds(2), None, Some(1_500)),
        (KeepAlive::seconds(100), None, Some(95_000)),
        (KeepAlive::seconds(100), Some(4), Some(3_000)),
        (Some(KeepAlive::Off), Some(4), Some(3_000)),
        (KeepAlive::seconds(4), Some(0), None),
        (Some(KeepAlive::Off), None, None),
    ] {
        let options = options().keep_alive(asked.expect("not zero"));
        let dictated: Vec<_> = dictated
            .map(Property::ServerKeepAlive)
            .into_iter()
            .collect();
        let properties = Properties::new(&dictated).expect("valid");
        let (client, mut link) = scripted(options, properties);
        let Some(millis) = expected else {
            link.pass(100_000 * SECOND);
            assert!(client.is_connected() && link.sent_types().is_empty());
            continue;
        };
        link.pass(Duration::from_millis(millis - 1));
        assert!(link.sent_types().is_empty(), "{asked:?} {dictated:?}");
        link.pass(Duration::from_millis(1));
        assert_eq!(link.sent_types(), ["PINGREQ"], "{asked:?} {dictated:?}");
    }
}

fn hearing(options: Options) -> (Client, Subscription, Link) {
    super::super::session_loss::subscribed(options)
}

/// How often a server is dialed in ten minutes when each attempt ends like this.
fn attempts(options: Options, mut end: impl FnMut(&mut Link)) -> usize {
    let (client, mut link) = scripted(options, Properties::EMPTY);
    link.dialed.clear();
    let began = link.now();
    while link.now().saturating_duration_since(began) < 600 * SECOND {
        if link.attempt.is_some() {
            end(&mut link);
        }
        assert_ne!(client.state(), crate::State::Stopped);
        link.pass(Duration::from_millis(10));
    }
    link.dialed.len()
}

/// A server that is busy, broken or unwilling is asked ever less often, at random times, whatever it does; so is one that accepts first.
/// T153, HB-30.
#[test]
fn pitfall_31_no_server_is_flooded_with_attempts() {
    let accept_then = |link: &mut Link, then: Option<Packet<'_>>| {
        link.sent_types();
        link.send(accepted(true));
        match then {
            Some(packet) => link.send(packet),
            None => link.cut(),
        }
    };
    let quota = ReasonCode::QUOTA_EXCEEDED;
    let refuse = |link: &mut Link| {
        link.sent_types();
        link.send(Packet::Connack(mqtt5_proto::packet::Connack {
            session_present: false,
            reason: quota,
            properties: Properties::EMPTY,
        }));
    };
    let counts = [
        attempts(reconnecting(), Link::cut),
        attempts(reconnecting(), |link| accept_then(link, None)),
        attempts(reconnecting(), |link| {
            accept_then(link, Some(disconnect(quota)));
        }),
        attempts(reconnecting(), |link| {
            accept_then(link, Some(Packet::Pingresp));
            link.cut();
        }),
        attempts(reconnecting(), refuse),
    ];
    for count in counts {
        assert!((10..60).contains(&count), "{counts:?}");
    }
}

/// Two clients of one kind do not come back together.
#[test]
fn pitfall_31_clients_spread_their_attempts() {
    let delays = || {
        let (client, mut link) = Link::new::<Async>(
            reconnecting().reconnect(Reconnect::default().retry_first(true)),
            super::super::Peer::Refusing,
        );
        let mut events = client.events();
        link.pass(300 * SECOND);
        let delay = |event| match event {
            Event::Waiting { delay, .. } => Some(delay),
            _ => None,
        };
        core::iter::from_fn(move || events.try_recv())
            .filter_map(delay)
            .collect::<Vec<_>>()
    };
    let (first, second) = (delays(), delays());
    assert!(first.len() > 5 && first[..5] != second[..5], "{first:?}");
    for (number, delay) in first.iter().enumerate() {
        let longest = Duration::from_millis(500 << number.min(7)).min(60 * SECOND);
        assert!(*delay <= longest, "{number}: {delay:?}");
    }
}
