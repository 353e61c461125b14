//! Retained messages, seen through a real broker (3.3.1.3, 3.8.3.1).

mod interop;

use std::net::SocketAddr;

use interop::{Peer, filter, outbound, texts};
use mqtt5_proto::packet::SubscribeFilter;
use mqtt5_proto::{Outbound, QoS, RetainHandling};
use mqtt5_testkit::Mosquitto;

const QOS: QoS = QoS::AtLeastOnce;

/// Payloads of the retained messages that a new subscriber gets.
#[track_caller]
fn retained(address: SocketAddr, topic: &str) -> Vec<String> {
    let mut late = Peer::connected(address, "late");
    late.subscribe(&[filter(topic, QOS)]);
    let received = late.settled();
    assert!(received.iter().all(|message| message.retain()));
    late.cut();
    let owned = texts(&received).into_iter().map(str::to_owned);
    owned.collect()
}

fn handling(retain_handling: RetainHandling) -> SubscribeFilter<'static> {
    SubscribeFilter {
        retain_handling,
        ..filter("r/+", QOS)
    }
}

#[test]
fn retained_message_replaces_the_earlier() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    assert!(retained(broker.addr(), "r/1").is_empty());
    for (qos, payload) in interop::EVERY_QOS.into_iter().zip(["a", "b", "c"]) {
        publisher.publish(&Outbound {
            retain: true,
            ..outbound("r/1", qos, payload)
        });
        assert_eq!(retained(broker.addr(), "r/1"), [payload]);
    }
    publisher.say_retained("r/2", "of another topic");
    assert_eq!(retained(broker.addr(), "r/1"), ["c"]);
    assert_eq!(retained(broker.addr(), "r/2"), ["of another topic"]);
}

#[test]
fn empty_payload_removes_the_retained_message() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    let mut live = Peer::connected(broker.addr(), "live");
    live.subscribe(&[filter("r/+", QOS)]);
    publisher.say_retained("r/1", "one");
    publisher.say_retained("r/2", "two");
    assert_eq!(retained(broker.addr(), "r/1"), ["one"]);
    assert_eq!(texts(&live.settled()), ["one", "two"]);

    publisher.say_retained("r/1", "");
    assert!(retained(broker.addr(), "r/1").is_empty());
    assert_eq!(retained(broker.addr(), "r/+"), ["two"]);
    // It is an ordinary message to those who are there.
    let received = live.settled();
    assert_eq!(texts(&received), [""]);
    assert_eq!((received[0].topic(), received[0].retain()), ("r/1", false));
}

#[test]
fn empty_payload_is_not_stored() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    publisher.say_retained("r/never", "");
    assert!(retained(broker.addr(), "r/never").is_empty());
    publisher.say_retained("r/never", "not empty");
    assert_eq!(retained(broker.addr(), "r/never"), ["not empty"]);
    publisher.say_retained("r/never", "");
    publisher.say_retained("r/never", "");
    assert!(retained(broker.addr(), "r/never").is_empty());
}

#[test]
fn message_without_retain_changes_nothing_stored() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    publisher.say("r/1", QOS, "fleeting");
    assert!(retained(broker.addr(), "r/1").is_empty());

    publisher.say_retained("r/1", "kept");
    for payload in ["fleeting", ""] {
        for qos in interop::EVERY_QOS {
            publisher.say("r/1", qos, payload);
            assert_eq!(retained(broker.addr(), "r/1"), ["kept"]);
        }
    }
}

#[test]
fn retain_handling_0_sends_at_every_subscribe() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    peer.say_retained("r/1", "one");
    peer.say_retained("r/2", "two");
    peer.say_retained("other", "three");
    for _ in 0..3 {
        peer.subscribe(&[handling(RetainHandling::SendAtSubscribe)]);
        let received = peer.settled();
        let mut payloads = texts(&received);
        payloads.sort_unstable();
        assert_eq!(payloads, ["one", "two"]);
        assert!(received.iter().all(|message| message.retain()));
    }
}

/// Section 3.3.1.3 has the two cases of this statement the wrong way round; 3.8.3.1 says what is meant.
#[test]
fn retain_handling_1_sends_only_at_a_new_subscription() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    peer.say_retained("r/1", "one");
    let if_new = handling(RetainHandling::SendAtSubscribeIfNew);
    for _ in 0..2 {
        peer.subscribe(&[if_new]);
        let received = peer.settled();
        assert_eq!(texts(&received), ["one"]);
        assert!(received[0].retain());

        peer.subscribe(&[if_new]);
        peer.assert_nothing();
        // After its end it is a new one.
        peer.unsubscribe(&["r/+"]);
    }
}

#[test]
fn retain_handling_2_sends_nothing() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    peer.say_retained("r/1", "one");
    for _ in 0..2 {
        peer.subscribe(&[handling(RetainHandling::DoNotSend)]);
        peer.assert_nothing();
    }
    peer.say("r/1", QOS, "live");
    assert_eq!(texts(&peer.settled()), ["live"]);
    peer.subscribe(&[handling(RetainHandling::SendAtSubscribe)]);
    assert_eq!(texts(&peer.settled()), ["one"]);
}

/// The RETAIN flags of live messages that were published without it and with it, in this order.
fn live_flags(retain_as_published: bool) -> Vec<bool> {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    peer.subscribe(&[SubscribeFilter {
        retain_as_published,
        ..filter("r/+", QOS)
    }]);
    let mut flags = Vec::new();
    for qos in interop::EVERY_QOS {
        for retain in [false, true] {
            peer.publish(&Outbound {
                retain,
                ..outbound("r/1", qos, "x")
            });
            let received = peer.receive();
            assert_eq!(received.text(), "x");
            flags.push(received.retain());
        }
    }
    flags
}

#[test]
fn retain_as_published_0_clears_the_flag() {
    assert_eq!(live_flags(false), [false; 6]);
}

#[test]
fn retain_as_published_1_keeps_the_flag() {
    assert_eq!(live_flags(true), [false, true].repeat(3));
}
