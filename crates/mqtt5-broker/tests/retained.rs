//! Retained messages (3.3.1.3).

mod common;

use common::*;
use mqtt5_proto::packet::{List, Packet, Publish, Subscribe, SubscribeFilter};
use mqtt5_proto::{Properties, Property, QoS, ReasonCode, RetainHandling};

fn options(text: &str, qos: QoS) -> SubscribeFilter<'_> {
    SubscribeFilter::new(filter(text), qos)
}

#[test]
fn new_subscribers_get_the_last_one_of_each_topic() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    for (name, payload) in [
        ("a/1", "old"),
        ("a/2", "x"),
        ("a/1", "new"),
        ("b", "y"),
        ("$a", "z"),
    ] {
        bench.retain(1, name, payload);
    }
    assert_eq!(bench.broker.statistics().retained, 4);
    bench.connect(2, "b");
    let frames = bench.subscribe_retained(2, options("#", EXACTLY_ONCE));
    assert_eq!(frames.payloads(), ["new", "x", "y"]);
    assert!(frames.publishes().iter().all(|publish| publish.retain));
    let frames = bench.subscribe_retained(2, options("$a", EXACTLY_ONCE));
    assert_eq!(frames.payloads(), ["z"]);
    // They are no part of a session [4.1].
    bench.lose(1);
    let frames = bench.subscribe_retained(2, options("b", EXACTLY_ONCE));
    assert_eq!(frames.payloads(), ["y"]);
}

#[test]
fn a_message_without_retain_changes_nothing() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.retain(1, "t", "kept");
    bench.publish(1, "t", "passing");
    bench.publish(1, "t", "");
    let frames = bench.subscribe_retained(1, options("t", AT_MOST_ONCE));
    assert_eq!(frames.payloads(), ["kept"]); // [MQTT-3.3.1-8]
}

#[test]
fn an_empty_payload_clears_and_is_delivered() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.retain(1, "t", "x");
    bench.connect(2, "b");
    assert_eq!(
        bench
            .subscribe_retained(2, options("t", AT_MOST_ONCE))
            .payloads(),
        ["x"]
    );
    bench.retain(1, "t", "");
    bench.expect(2, &[message("t", "")]); // [MQTT-3.3.1-6]
    assert_eq!(bench.broker.statistics().retained, 0); // [MQTT-3.3.1-7]
    assert_eq!(bench.broker.statistics().retained_bytes, 0);
    assert!(
        bench
            .subscribe_retained(2, options("t", AT_MOST_ONCE))
            .packets()
            .is_empty()
    );
}

#[test]
fn the_lower_qos_counts_here_too() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    let publish = Publish {
        delivery: qos1(1),
        retain: true,
        ..plain("t", "x")
    };
    bench.send(1, &Packet::Publish(publish));
    bench.received(1);
    for (granted, qos) in [(AT_MOST_ONCE, AT_MOST_ONCE), (EXACTLY_ONCE, AT_LEAST_ONCE)] {
        let frames = bench.subscribe_retained(1, options("t", granted));
        assert_eq!(frames.publishes()[0].delivery.qos(), qos);
    }
}

/// T28: at each SUBSCRIBE, at the first, never.
#[test]
fn retain_handling() {
    for (handling, first, second) in [
        (RetainHandling::SendAtSubscribe, 1, 1),
        (RetainHandling::SendAtSubscribeIfNew, 1, 0),
        (RetainHandling::DoNotSend, 0, 0),
    ] {
        let mut bench = Bench::new();
        bench.connect(1, "a");
        bench.retain(1, "t", "x");
        let item = SubscribeFilter {
            retain_handling: handling,
            ..options("t", AT_MOST_ONCE)
        };
        for expected in [first, second] {
            assert_eq!(
                bench.subscribe_retained(1, item).packets().len(),
                expected,
                "{handling:?}"
            );
        }
        bench.unsubscribe(1, "t", ReasonCode::SUCCESS);
        assert_eq!(bench.subscribe_retained(1, item).packets().len(), first);
    }
}

#[test]
fn with_the_identifier_of_the_subscription_and_without_local_rules() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.retain(1, "t", "x");
    let item = SubscribeFilter {
        no_local: true,
        ..options("t", AT_MOST_ONCE)
    };
    let frames = bench.subscribe_with(1, &[item], &[Property::SubscriptionIdentifier(4)]);
    let Packet::Publish(publish) = frames.packets()[1] else {
        panic!()
    };
    assert_eq!(
        publish
            .properties
            .subscription_identifiers()
            .collect::<Vec<_>>(),
        [4]
    );
}

#[test]
fn they_expire() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    for (name, seconds) in [("t", 10), ("u", 1_000), ("v", 10)] {
        let properties = [Property::MessageExpiryInterval(seconds)];
        let publish = Publish {
            retain: true,
            properties: list(&properties),
            ..plain(name, "x")
        };
        bench.send(1, &Packet::Publish(publish));
    }
    bench.retain(1, "v", "without expiry");
    bench.advance(4.2);
    bench.send(1, &Packet::Pingreq);
    bench.received(1);
    let frames = bench.subscribe_retained(1, options("t", AT_MOST_ONCE));
    assert_eq!(
        frames.publishes()[0].properties.message_expiry_interval(),
        Some(6)
    );
    bench.advance(6.0);
    assert_eq!(bench.broker.statistics().retained, 2);
    let frames = bench.subscribe_retained(1, options("#", AT_MOST_ONCE));
    assert_eq!(frames.payloads(), ["x", "without expiry"]);
}

#[test]
fn an_expired_one_is_not_sent_before_its_timer_ran() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    let properties = [Property::MessageExpiryInterval(10)];
    let publish = Publish {
        retain: true,
        properties: list(&properties),
        ..plain("t", "x")
    };
    bench.send(1, &Packet::Publish(publish));
    bench.now = bench.now + std::time::Duration::from_secs(11);
    assert!(
        bench
            .subscribe_retained(1, options("t", AT_MOST_ONCE))
            .packets()
            .is_empty()
    );
}

#[test]
fn more_than_fits_is_refused() {
    let mut bench = Bench::with(|config| config.maximum_retained = 2);
    bench.connect(1, "a");
    let retain = |name| {
        Packet::Publish(Publish {
            delivery: qos1(1),
            retain: true,
            ..plain(name, "x")
        })
    };
    for (name, answer) in [
        ("a", ReasonCode::NO_MATCHING_SUBSCRIBERS),
        ("b", ReasonCode::NO_MATCHING_SUBSCRIBERS),
        ("c", ReasonCode::QUOTA_EXCEEDED),
        ("a", ReasonCode::NO_MATCHING_SUBSCRIBERS),
    ] {
        bench.send(1, &retain(name));
        bench.expect(1, &[puback(1, answer)]);
    }
    assert_eq!(bench.broker.statistics().retained, 2);
    let mut bench = Bench::with(|config| config.maximum_retained_bytes = 1_000);
    bench.connect(1, "a");
    bench.retain(1, "a", &"x".repeat(400));
    bench.retain(1, "b", &"x".repeat(800));
    let replaced = "y".repeat(500);
    bench.retain(1, "a", &replaced);
    assert!((500..=1_000).contains(&bench.broker.statistics().retained_bytes));
    let frames = bench.subscribe_retained(1, options("#", AT_MOST_ONCE));
    assert_eq!(frames.payloads(), [replaced]);
    // At QoS 0 what cannot be retained is still delivered.
    bench.retain(1, "b", &"z".repeat(800));
    assert_eq!(bench.received(1).packets().len(), 1);
    assert_eq!(bench.broker.statistics().retained, 1);
}

#[test]
fn thousands_wait_for_the_subscriber() {
    let mut bench = Bench::with(|config| config.maximum_unsent_bytes = 1_000);
    bench.connect(1, "a");
    let long = "x".repeat(100);
    let names: Vec<String> = (0..5_000).map(|n| format!("t/{n:04}")).collect();
    for name in &names {
        bench.retain(1, name, &long);
    }
    let frames = bench.subscribe_retained(1, options("t/+", AT_MOST_ONCE));
    let topics: Vec<_> = frames
        .publishes()
        .iter()
        .map(|p| p.topic.unwrap().as_str())
        .collect();
    assert_eq!(topics, names);
}

#[test]
fn what_is_published_later_does_not_overtake_what_waits() {
    let mut bench = Bench::with(|config| config.maximum_unsent_bytes = 1_000);
    bench.connect(1, "a");
    let long = "x".repeat(900);
    for name in ["t/1", "t/2", "t/3", "t/4"] {
        bench.retain(1, name, &long);
    }
    let items = [options("t/+", AT_MOST_ONCE)];
    let subscribe = Subscribe {
        packet_id: id(1),
        properties: Properties::EMPTY,
        filters: List::from(&items[..]),
    };
    bench.send(1, &Packet::Subscribe(subscribe));
    // The queue is longer than what may be unsent.
    let blocked = bench.broker.take_outgoing(1);
    bench.publish(1, "t/4", "newer");
    bench.broker.handle_sent(bench.now, blocked);
    let frames = bench.received(1);
    assert_eq!(frames.payloads().last(), Some(&"newer"));
}
