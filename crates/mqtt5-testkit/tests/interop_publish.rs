//! Topic Aliases and order, seen through a real broker (3.3.2.3.4, 4.6).

mod interop;

use std::net::SocketAddr;

use interop::{Peer, filter, outbound, properties, texts};
use mqtt5_proto::packet::Connect;
use mqtt5_proto::{Config, Property, QoS, TopicAliases};
use mqtt5_testkit::{Mosquitto, MosquittoSettings};

#[test]
fn every_alias_up_to_the_maximum_is_accepted() {
    for maximum in ["1", "10", "300"] {
        let settings = MosquittoSettings::normal().option("max_topic_alias", maximum);
        let broker = settings.start();
        let mut subscriber = Peer::connected(broker.addr(), "subscriber");
        subscriber.subscribe(&[filter("alias/+", QoS::AtLeastOnce)]);

        let mut config = Config::default();
        config.topic_aliases = TopicAliases::Auto(u16::MAX);
        let mut publisher = Peer::with(broker.addr(), config);
        publisher.connect(&Connect::new("publisher"));
        assert_eq!(publisher.topic_alias_maximum().to_string(), maximum);
        let topics: Vec<String> = (1..=publisher.topic_alias_maximum())
            .map(|number| format!("alias/of-number-{number}"))
            .collect();
        for round in ["first", "second"] {
            for topic in &topics {
                publisher.say(topic, QoS::AtLeastOnce, round);
            }
        }

        // First with the topic, then by the alias alone, and every alias was there.
        let written = publisher.written_topics();
        let (first, second) = written.split_at(topics.len());
        assert!(
            first
                .iter()
                .all(|(topic, alias)| topic.is_some() && alias.is_some())
        );
        assert!(
            second
                .iter()
                .all(|(topic, alias)| topic.is_none() && alias.is_some())
        );
        let mut aliases: Vec<u16> = second.iter().filter_map(|(_, alias)| *alias).collect();
        aliases.sort_unstable();
        assert!(aliases.into_iter().eq(1..=publisher.topic_alias_maximum()));

        for round in ["first", "second"] {
            for topic in &topics {
                let received = subscriber.receive();
                assert_eq!((received.topic(), received.text()), (topic.as_str(), round));
            }
        }
        subscriber.assert_nothing();
    }
}

/// More than Mosquitto has in flight at once, so that most of them wait in its queue.
const MESSAGES: usize = 200;

#[track_caller]
fn assert_order_is_kept(topics: &[&str], subscription: &str) {
    let broker = Mosquitto::start();
    for qos in interop::EVERY_QOS {
        let mut subscriber = Peer::connected(broker.addr(), "subscriber");
        subscriber.subscribe(&[filter(subscription, QoS::ExactlyOnce)]);
        let mut publisher = Peer::connected(broker.addr(), "publisher");
        let payloads: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
        // All at once: nothing waits for what is before it to be acknowledged.
        let operations: Vec<_> = { topics.iter().cycle() }
            .zip(&payloads)
            .map(|(topic, payload)| publisher.start(&outbound(topic, qos, payload)))
            .collect();
        if qos != QoS::AtMostOnce {
            for operation in operations {
                publisher.finish(operation);
            }
        }
        publisher.say("last", QoS::AtLeastOnce, "");

        let received: Vec<_> = (0..MESSAGES).map(|_| subscriber.receive()).collect();
        assert_eq!(texts(&received), payloads, "{qos:?}");
        assert!(received.iter().all(|message| message.qos() == qos));
        assert!(
            { topics.iter().cycle() }
                .zip(&received)
                .all(|(topic, message)| message.topic() == *topic)
        );
        subscriber.assert_nothing();
    }
}

#[test]
fn order_is_kept_for_a_topic() {
    assert_order_is_kept(&["order/a"], "order/a");
}

#[test]
fn order_is_kept_over_every_topic_of_a_wildcard_subscription() {
    assert_order_is_kept(&["order/b", "order/a", "order/c/x", "order"], "order/#");
}

/// Sends too much to a client with these limits, of which one is a Maximum Packet Size of 200 bytes.
fn assert_too_large_is_absent(address: SocketAddr, limits: &[Property<'_>]) {
    let mut small = Peer::new(address);
    small.connect(&Connect {
        properties: properties(limits),
        ..Connect::new("small")
    });
    let mut large = Peer::connected(address, "large");
    for peer in [&mut small, &mut large] {
        peer.subscribe(&[filter("t", QoS::ExactlyOnce)]);
    }
    let too_large = "x".repeat(300);
    for qos in interop::EVERY_QOS {
        for payload in ["before", &too_large, &too_large, "after"] {
            large.say("t", qos, payload);
        }
        assert_eq!(texts(&small.settled()), ["before", "after"], "{qos:?}");
        assert_eq!(large.settled().len(), 4);
    }
}

#[test]
fn packet_that_is_too_large_is_not_sent() {
    let broker = Mosquitto::start();
    assert_too_large_is_absent(broker.addr(), &[Property::MaximumPacketSize(200)]);
}

/// The client also takes one unfinished message at a time. In Mosquitto 2.0.11 each message that was not sent takes one of
/// these places until the connection ends.
#[test]
fn packet_that_is_too_large_counts_as_sent_embedded() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let limits = [
        Property::MaximumPacketSize(200),
        Property::ReceiveMaximum(1),
    ];
    assert_too_large_is_absent(broker.address(), &limits);
}
