//! UNSUBSCRIBE, seen through a real broker (3.10.4).

mod interop;

use interop::{Peer, filter, lasting, texts};
use mqtt5_proto::{QoS, ReasonCode};
use mqtt5_testkit::Mosquitto;

const QOS: QoS = QoS::AtLeastOnce;
const SUCCESS: ReasonCode = ReasonCode::SUCCESS;
const NOT_THERE: ReasonCode = ReasonCode::NO_SUBSCRIPTION_EXISTED;

#[test]
fn filters_are_compared_character_by_character() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    peer.subscribe(&[filter("a/+", QOS), filter("é", QOS)]);
    // They match the same topics, or some of them, or look the same; they are others.
    for other in [
        "a/b", "a/#", "+/+", "#", "A/+", "a/+/", "/a/+", "a", "e\u{301}",
    ] {
        assert_eq!(peer.unsubscribe(&[other]), [NOT_THERE], "{other}");
    }
    publisher.say("a/b", QOS, "still here");
    publisher.say("é", QOS, "here too");
    assert_eq!(texts(&peer.settled()), ["still here", "here too"]);

    assert_eq!(peer.unsubscribe(&["a/+"]), [SUCCESS]);
    publisher.say("a/b", QOS, "gone");
    publisher.say("é", QOS, "here");
    assert_eq!(texts(&peer.settled()), ["here"]);
    assert_eq!(peer.unsubscribe(&["é"]), [SUCCESS]);
    publisher.say("é", QOS, "gone");
    peer.assert_nothing();
}

#[test]
fn a_wildcard_stays_when_a_topic_goes() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    peer.subscribe(&[filter("a/b", QOS), filter("a/+", QOS)]);
    assert_eq!(peer.unsubscribe(&["a/b"]), [SUCCESS]);
    peer.say("a/b", QOS, "by the wildcard");
    assert_eq!(texts(&peer.settled()), ["by the wildcard"]);
    assert_eq!(peer.unsubscribe(&["a/b"]), [NOT_THERE]);
}

#[test]
fn nothing_new_comes_after_it() {
    let broker = Mosquitto::start();
    let mut peer = Peer::lasting(broker.addr(), "peer");
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    for qos in interop::EVERY_QOS {
        peer.subscribe(&[filter("t", QoS::ExactlyOnce), filter("u", QoS::ExactlyOnce)]);
        publisher.say("t", qos, "before");
        assert_eq!(peer.unsubscribe(&["t"]), [SUCCESS]);
        publisher.say("t", qos, "after");
        publisher.say("u", qos, "of another subscription");
        let received = peer.settled();
        assert_eq!(texts(&received), ["before", "of another subscription"]);
    }
    // Nor is anything kept for the time when it is back.
    peer.cut();
    publisher.say("t", QOS, "while away");
    publisher.say("u", QOS, "of another subscription");
    assert!(peer.connect(&lasting("peer")).session_present);
    assert_eq!(texts(&peer.settled()), ["of another subscription"]);
}

#[test]
fn unsuback_arrives() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    for text in ["a", "a/+/c", "#", "+", "/", "$share/group/a", "ä/☃"] {
        assert_eq!(peer.unsubscribe(&[text]), [NOT_THERE], "{text}");
        peer.subscribe(&[filter(text, QOS)]);
        assert_eq!(peer.unsubscribe(&[text]), [SUCCESS], "{text}");
        assert_eq!(peer.unsubscribe(&[text]), [NOT_THERE], "{text}");
    }
}

#[test]
fn several_filters_get_one_unsuback() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    peer.subscribe(&["a", "b/+", "c", "d"].map(|text| filter(text, QOS)));
    // As in a sequence, the second time it is not there any more.
    assert_eq!(
        peer.unsubscribe(&["c", "nothing", "b/+", "c"]),
        [SUCCESS, NOT_THERE, SUCCESS, NOT_THERE]
    );
    for topic in ["a", "b/x", "c", "d"] {
        publisher.say(topic, QOS, topic);
    }
    assert_eq!(texts(&peer.settled()), ["a", "d"]);
}
