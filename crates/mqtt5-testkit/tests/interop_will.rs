//! Wills, seen through a real broker (3.1.2.5, 3.1.3.2, 3.14.4).

mod interop;

use std::net::SocketAddr;
use std::time::Duration;

use interop::{Peer, Received, Stopwatch, filter, lasting, outbound, properties, texts, will};
use mqtt5_proto::packet::{Connect, Will};
use mqtt5_proto::{DisconnectReason, Properties, Property, QoS};
use mqtt5_testkit::Mosquitto;

/// A client that watches the topic of wills.
fn watcher(address: SocketAddr) -> Peer {
    let mut watcher = Peer::connected(address, "watcher");
    watcher.subscribe(&[filter("will/+", QoS::ExactlyOnce)]);
    watcher
}

/// A client with this will, whose session ends with the connection.
fn mortal(address: SocketAddr, will: Will<'_>) -> Peer {
    let mut mortal = Peer::new(address);
    mortal.connect(&Connect {
        will: Some(will),
        ..Connect::new("mortal")
    });
    mortal
}

fn delayed<'a>(will: Will<'a>, delay: &'a [Property<'a>]) -> Will<'a> {
    Will {
        properties: properties(delay),
        ..will
    }
}

const A_LONG_DELAY: &[Property<'static>] = &[Property::WillDelayInterval(3600)];

fn topic_and_text(message: &Received) -> (&str, &str) {
    (message.topic(), message.text())
}

#[test]
fn lost_connection_publishes_the_will() {
    let broker = Mosquitto::start();
    let mut watcher = watcher(broker.addr());
    let list = [
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("re/ply"),
        Property::CorrelationData(b"\x00\xff"),
    ];
    for qos in interop::EVERY_QOS {
        let will = Will {
            qos,
            properties: properties(&list),
            ..will("will/mortal", "gone")
        };
        let mut mortal = mortal(broker.addr(), will);
        watcher.assert_nothing();

        mortal.cut();
        let received = watcher.receive();
        assert_eq!(topic_and_text(&received), ("will/mortal", "gone"));
        assert_eq!((received.qos(), received.retain()), (qos, false));
        assert!(received.properties().iter().eq(list), "{received:?}");
        watcher.assert_nothing();
    }
}

#[test]
fn will_waits_for_its_delay() {
    let broker = Mosquitto::start();
    let mut watcher = watcher(broker.addr());
    let mut mortal = Peer::new(broker.addr());
    mortal.connect(&Connect {
        will: Some(delayed(
            will("will/delayed", "late"),
            &[Property::WillDelayInterval(3)],
        )),
        ..lasting("mortal")
    });
    let stopwatch = Stopwatch::start();
    mortal.cut();

    let received = watcher.receive();
    assert_eq!(topic_and_text(&received), ("will/delayed", "late"));
    // Mosquitto counts in whole seconds, so up to one of them is missing.
    assert!(
        stopwatch.elapsed() > Duration::from_secs(2),
        "{stopwatch:?}"
    );
}

#[test]
fn will_does_not_wait_longer_than_its_session() {
    let broker = Mosquitto::start();
    let mut watcher = watcher(broker.addr());
    let expiry = [Property::SessionExpiryInterval(1)];
    let mut mortal = Peer::new(broker.addr());
    mortal.connect(&Connect {
        will: Some(delayed(will("will/x", "session expired"), A_LONG_DELAY)),
        properties: properties(&expiry),
        ..Connect::new("mortal")
    });
    mortal.cut();
    assert_eq!(watcher.receive().text(), "session expired");
}

/// Mosquitto 2.0.11 waits for the whole Will Delay Interval.
#[test]
fn will_of_a_session_that_ends_with_its_connection_does_not_wait_embedded() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut watcher = watcher(broker.address());
    let will = delayed(will("will/x", "no session"), A_LONG_DELAY);
    mortal(broker.address(), will).cut();
    assert_eq!(watcher.receive().text(), "no session");
}

#[test]
fn normal_disconnect_removes_the_will() {
    let broker = Mosquitto::start();
    let mut watcher = watcher(broker.addr());
    let mut mortal = Peer::new(broker.addr());
    mortal.connect(&Connect {
        will: Some(will("will/mortal", "removed")),
        ..lasting("mortal")
    });
    mortal.disconnect(DisconnectReason::Normal, Properties::EMPTY);
    watcher.assert_nothing();

    assert!(mortal.connect(&lasting("mortal")).session_present);
    mortal.cut();
    watcher.assert_nothing();
}

#[test]
fn published_will_is_removed() {
    let broker = Mosquitto::start();
    let mut watcher = watcher(broker.addr());
    let mut mortal = Peer::new(broker.addr());
    mortal.connect(&Connect {
        will: Some(will("will/mortal", "once")),
        ..lasting("mortal")
    });
    mortal.cut();
    assert_eq!(texts(&watcher.settled()), ["once"]);

    assert!(mortal.connect(&lasting("mortal")).session_present);
    mortal.cut();
    watcher.assert_nothing();
}

#[test]
fn will_without_retain_is_not_retained() {
    let broker = Mosquitto::start();
    let mut early = watcher(broker.addr());
    mortal(broker.addr(), will("will/mortal", "gone")).cut();
    assert_eq!(early.receive().text(), "gone");

    let mut late = Peer::connected(broker.addr(), "late");
    late.subscribe(&[filter("will/+", QoS::AtLeastOnce)]);
    late.assert_nothing();
}

#[test]
fn will_with_retain_is_retained() {
    let broker = Mosquitto::start();
    let mut early = watcher(broker.addr());
    let will = Will {
        retain: true,
        ..will("will/mortal", "gone")
    };
    mortal(broker.addr(), will).cut();
    let received = early.receive();
    assert_eq!((received.text(), received.retain()), ("gone", false));

    let mut late = Peer::connected(broker.addr(), "late");
    late.subscribe(&[filter("will/+", QoS::AtLeastOnce)]);
    let received = late.receive();
    assert_eq!(topic_and_text(&received), ("will/mortal", "gone"));
    assert!(received.retain());
    late.assert_nothing();
}

#[test]
fn reconnect_within_the_delay_suppresses_the_will() {
    let broker = Mosquitto::start();
    let mut watcher = watcher(broker.addr());
    let delay = [Property::WillDelayInterval(3)];
    let mut returning = Peer::new(broker.addr());
    let mut staying_away = Peer::new(broker.addr());
    for (peer, client_id) in [(&mut returning, "returning"), (&mut staying_away, "away")] {
        peer.connect(&Connect {
            will: Some(delayed(will("will/delayed", client_id), &delay)),
            ..lasting(client_id)
        });
    }
    returning.cut();
    assert!(returning.connect(&lasting("returning")).session_present);
    // Its will is due after the time when the other one would have been.
    staying_away.cut();
    assert_eq!(watcher.receive().text(), "away");
    watcher.assert_nothing();
    returning.say("will/delayed", QoS::AtLeastOnce, "still here");
    assert_eq!(texts(&watcher.settled()), ["still here"]);
}

#[track_caller]
fn assert_disconnect(address: SocketAddr, reason: DisconnectReason, expected: &[&str]) {
    let mut watcher = watcher(address);
    mortal(address, will("will/mortal", "gone")).disconnect(reason, Properties::EMPTY);
    watcher.publish(&outbound("will/other", QoS::AtLeastOnce, "watched"));
    let received = watcher.settled();
    let (last, wills) = received.split_last().expect("one at least");
    assert_eq!(
        (last.text(), texts(wills).as_slice()),
        ("watched", expected)
    );
}

#[test]
fn disconnect_with_success_discards_the_will() {
    let broker = Mosquitto::start();
    assert_disconnect(broker.addr(), DisconnectReason::Normal, &[]);
    assert_disconnect(broker.addr(), DisconnectReason::WithWill, &["gone"]);
}

/// Mosquitto 2.0.11 discards the will also for every other code but 0x04.
#[test]
fn disconnect_with_any_other_code_publishes_the_will_embedded() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    assert_disconnect(broker.address(), DisconnectReason::Normal, &[]);
    for reason in [
        DisconnectReason::WithWill,
        DisconnectReason::UnspecifiedError,
        DisconnectReason::QuotaExceeded,
    ] {
        assert_disconnect(broker.address(), reason, &["gone"]);
    }
}
