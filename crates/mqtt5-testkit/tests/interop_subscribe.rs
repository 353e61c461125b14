//! Subscriptions, seen through a real broker (3.3.4, 3.8.3, 3.8.4).

mod interop;

use std::net::SocketAddr;

use interop::{EVERY_QOS, Peer, Received, filter, texts};
use mqtt5_proto::packet::SubscribeFilter;
use mqtt5_proto::{Properties, QoS, ReasonCode, RetainHandling};
use mqtt5_testkit::{Mosquitto, MosquittoSettings};

const QOS: QoS = QoS::AtLeastOnce;

/// Subscribes to the same topic three times, at each QoS and with identifiers; in this order.
fn overlapping(address: SocketAddr, order: [usize; 3]) -> Peer {
    let subscriptions = [
        (filter("a/b", QoS::AtMostOnce), 1),
        (filter("a/+", QoS::ExactlyOnce), 22),
        (filter("a/#", QoS::AtLeastOnce), 333_333),
    ];
    let mut peer = Peer::connected(address, "overlapping");
    for at in order {
        let (filter, identifier) = subscriptions[at];
        peer.subscribe_identified(filter, identifier);
    }
    peer
}

const ORDERS: [[usize; 3]; 3] = [[0, 1, 2], [1, 2, 0], [2, 0, 1]];

#[track_caller]
fn assert_greatest_qos(address: SocketAddr) {
    let mut publisher = Peer::connected(address, "publisher");
    for order in ORDERS {
        let mut peer = overlapping(address, order);
        for qos in EVERY_QOS {
            publisher.say("a/b", qos, "x");
            let received = peer.settled();
            // One copy, or one for each subscription.
            assert!([1, 3].contains(&received.len()), "{received:?}");
            let greatest = received.iter().map(|message| message.qos()).max();
            assert_eq!(greatest, Some(qos));
        }
    }
}

#[test]
fn overlapping_subscriptions_deliver_at_the_greatest_qos() {
    assert_greatest_qos(Mosquitto::start().addr());
}

#[track_caller]
fn assert_identifiers(address: SocketAddr) -> usize {
    let mut publisher = Peer::connected(address, "publisher");
    let mut copies = 0;
    for order in ORDERS {
        let mut peer = overlapping(address, order);
        for qos in EVERY_QOS {
            publisher.say("a/b", qos, "x");
            let received = peer.settled();
            copies = received.len();
            let mut identifiers: Vec<u32> = { received.iter() }
                .flat_map(Received::subscription_identifiers)
                .collect();
            identifiers.sort_unstable();
            assert_eq!(identifiers, [1, 22, 333_333]);
        }
        publisher.say("a/c", QOS, "of two");
        let identifiers = { peer.settled() }
            .iter()
            .flat_map(Received::subscription_identifiers)
            .max();
        assert_eq!(identifiers, Some(333_333));
    }
    copies
}

/// Mosquitto sends a copy for each subscription.
#[test]
fn overlapping_subscriptions_send_their_identifiers() {
    assert_eq!(assert_identifiers(Mosquitto::start().addr()), 3);
}

/// This broker sends one copy with all of them.
#[test]
fn overlapping_subscriptions_send_their_identifiers_embedded() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    assert_eq!(assert_identifiers(broker.address()), 1);
    assert_greatest_qos(broker.address());
}

#[test]
fn each_copy_carries_the_identifier_of_its_subscription() {
    let settings = MosquittoSettings::normal().option("allow_duplicate_messages", "true");
    let broker = settings.start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    for order in ORDERS {
        let mut peer = overlapping(broker.addr(), order);
        peer.subscribe(&[filter("+/b", QoS::AtMostOnce)]);
        publisher.say("a/b", QoS::ExactlyOnce, "x");
        let mut copies: Vec<(Vec<u32>, QoS)> = { peer.settled() }
            .iter()
            .map(|copy| (copy.subscription_identifiers(), copy.qos()))
            .collect();
        copies.sort();
        let expected = [
            (vec![], QoS::AtMostOnce),
            (vec![1], QoS::AtMostOnce),
            (vec![22], QoS::ExactlyOnce),
            (vec![333_333], QoS::AtLeastOnce),
        ];
        assert_eq!(copies, expected);
    }
}

#[test]
fn no_local_keeps_own_messages_away() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    let mut other = Peer::connected(broker.addr(), "other");
    let no_local = SubscribeFilter {
        no_local: true,
        ..filter("t", QoS::ExactlyOnce)
    };
    for peer in [&mut peer, &mut other] {
        peer.subscribe(&[no_local]);
    }
    for qos in EVERY_QOS {
        peer.say("t", qos, "of peer");
        other.say("t", qos, "of other");
        assert_eq!(texts(&peer.settled()), ["of other"]);
        assert_eq!(texts(&other.settled()), ["of peer"]);
    }
    // Without the option they come back.
    assert_eq!(peer.unsubscribe(&["t"]), [ReasonCode::SUCCESS]);
    peer.subscribe(&[filter("t", QoS::ExactlyOnce)]);
    peer.say("t", QOS, "of peer");
    assert_eq!(texts(&peer.settled()), ["of peer"]);
}

#[test]
fn suback_arrives() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    for text in ["a", "a/+/c", "#", "+", "/", "$share/group/a", "ä/☃"] {
        for qos in EVERY_QOS {
            let granted = peer.subscribe_with(&[filter(text, qos)], Properties::EMPTY);
            assert_eq!(granted, [ReasonCode::from(qos as u8)], "{text}");
        }
    }
}

#[test]
fn same_filter_replaces_the_subscription() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    for (qos, identifier) in [
        (QoS::ExactlyOnce, 1),
        (QoS::AtMostOnce, 2),
        (QoS::AtLeastOnce, 3),
    ] {
        peer.subscribe_identified(filter("t/+", qos), identifier);
        publisher.say("t/x", QoS::ExactlyOnce, "x");
        let received = peer.settled();
        assert_eq!(texts(&received), ["x"], "one copy");
        assert_eq!(received[0].subscription_identifiers(), [identifier]);
        assert_eq!(received[0].qos(), qos);
    }
    // One UNSUBSCRIBE ends what three SUBSCRIBEs made.
    assert_eq!(peer.unsubscribe(&["t/+"]), [ReasonCode::SUCCESS]);
    publisher.say("t/x", QOS, "y");
    peer.assert_nothing();
}

/// Mosquitto 2.0.11 replaces QoS and Subscription Identifier only.
#[test]
fn same_filter_replaces_every_option_embedded() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut peer = Peer::connected(broker.address(), "peer");
    let no_local = SubscribeFilter {
        no_local: true,
        ..filter("t", QOS)
    };
    let as_published = SubscribeFilter {
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..filter("t", QOS)
    };
    let plain = SubscribeFilter {
        retain_handling: RetainHandling::DoNotSend,
        ..filter("t", QOS)
    };
    for (subscription, expected) in [
        (no_local, &[][..]),
        (as_published, &[true]),
        (no_local, &[]),
        (plain, &[false]),
    ] {
        peer.subscribe(&[subscription]);
        let _ = peer.settled();
        peer.say_retained("t", "x");
        let received = peer.settled();
        let flags: Vec<bool> = received.iter().map(|message| message.retain()).collect();
        assert_eq!(flags, expected, "{subscription:?}");
    }
}

#[test]
fn resubscribing_sends_retained_again_and_loses_nothing() {
    const ROUNDS: usize = 20;
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    publisher.say_retained("t/retained", "retained");
    let send_at_subscribe = SubscribeFilter {
        retain_handling: RetainHandling::SendAtSubscribe,
        ..filter("t/+", QOS)
    };
    peer.subscribe(&[send_at_subscribe]);

    let mut sent: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        // Published while the broker replaces the subscription, in whatever order it sees them.
        let texts = ["a", "b"].map(|part| format!("{round} {part}"));
        let [first, second] = &texts;
        let operations =
            [first, second].map(|text| publisher.start(&interop::outbound("t/live", QOS, text)));
        peer.subscribe(&[send_at_subscribe]);
        for operation in operations {
            publisher.finish(operation);
        }
        sent.extend(texts);
    }
    let received = peer.settled();
    let (retained, live): (Vec<_>, Vec<_>) =
        received.into_iter().partition(|message| message.retain());
    assert_eq!(texts(&live), sent);
    assert_eq!(texts(&retained), vec!["retained"; ROUNDS + 1]);
}

#[test]
fn several_filters_get_one_suback() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    publisher.say_retained("retained", "kept");
    let filters = [
        filter("a", QoS::ExactlyOnce),
        filter("b/+", QoS::AtMostOnce),
        filter("retained", QoS::AtLeastOnce),
        // As in a sequence, the later one replaces the earlier.
        filter("a", QoS::AtLeastOnce),
    ];
    let granted = peer.subscribe_with(&filters, Properties::EMPTY);
    assert_eq!(
        granted,
        [
            ReasonCode::GRANTED_QOS_2,
            ReasonCode::GRANTED_QOS_0,
            ReasonCode::GRANTED_QOS_1,
            ReasonCode::GRANTED_QOS_1
        ]
    );
    assert_eq!(texts(&peer.settled()), ["kept"]);
    for (topic, expected) in [
        ("a", QoS::AtLeastOnce),
        ("b/x", QoS::AtMostOnce),
        ("retained", QoS::AtLeastOnce),
    ] {
        publisher.say(topic, QoS::ExactlyOnce, topic);
        let received = peer.settled();
        assert_eq!(texts(&received), [topic]);
        assert_eq!(received[0].qos(), expected);
    }
}

#[test]
fn delivered_qos_is_the_smaller() {
    let broker = Mosquitto::start();
    let mut peer = Peer::connected(broker.addr(), "peer");
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    for granted in EVERY_QOS {
        peer.subscribe(&[filter("t", granted)]);
        for published in EVERY_QOS {
            publisher.say("t", published, "x");
            let received = peer.settled();
            assert_eq!(texts(&received), ["x"]);
            assert_eq!(received[0].qos(), granted.min(published));
        }
    }
}
