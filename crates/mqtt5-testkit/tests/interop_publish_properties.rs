//! Properties of messages, forwarded by a real broker (3.3.2.3).

mod interop;

use std::time::Duration;

use interop::{Peer, Received, Stopwatch, filter, lasting, outbound, properties, texts};
use mqtt5_proto::packet::{Connect, Will};
use mqtt5_proto::{Outbound, Payload, Property, QoS};
use mqtt5_testkit::Mosquitto;

const QOS: QoS = QoS::AtLeastOnce;

/// Sends messages with these properties at every QoS to two subscribers, one that is there and one that comes back for
/// them, and hands over what arrives.
fn forwarded(lists: &[Vec<Property<'_>>], check: impl Fn(&[Property<'_>], &Received)) {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    let mut live = Peer::connected(broker.addr(), "live");
    let mut sleeper = Peer::lasting(broker.addr(), "sleeper");
    for peer in [&mut live, &mut sleeper] {
        peer.subscribe(&[filter("t", QoS::ExactlyOnce)]);
    }
    for qos in interop::EVERY_QOS {
        for list in lists {
            // QoS 0 is not kept for a client that is away.
            let is_kept = qos != QoS::AtMostOnce;
            if is_kept {
                sleeper.cut();
            }
            publisher.publish(&Outbound {
                properties: properties(list),
                ..outbound("t", qos, "payload")
            });
            if is_kept {
                assert!(sleeper.connect(&lasting("sleeper")).session_present);
            }
            for peer in [&mut live, &mut sleeper] {
                let received = peer.receive();
                assert_eq!((received.text(), received.qos()), ("payload", qos));
                check(list, &received);
            }
        }
    }
}

/// Sends messages with these properties, and sees them arrive with the same, in the same order, and with no others.
fn assert_unaltered(lists: &[Vec<Property<'_>>]) {
    forwarded(lists, |list, received| {
        let arrived: Vec<Property<'_>> = received.properties().iter().collect();
        assert_eq!(arrived, list);
    });
}

#[test]
fn payload_format_indicator_is_unaltered() {
    assert_unaltered(&[
        vec![Property::PayloadFormatIndicator(0)],
        vec![Property::PayloadFormatIndicator(1)],
        vec![],
    ]);
}

#[test]
fn response_topic_is_unaltered() {
    let long = "level/".repeat(100);
    assert_unaltered(&[
        vec![Property::ResponseTopic("re/ply")],
        vec![Property::ResponseTopic("/antwort/Füße/☃/𝄞/")],
        vec![Property::ResponseTopic(&long)],
        vec![],
    ]);
}

#[test]
fn correlation_data_is_unaltered() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let long = every_byte.repeat(255);
    assert_unaltered(&[
        vec![Property::CorrelationData(&every_byte)],
        vec![Property::CorrelationData(b"")],
        vec![Property::CorrelationData(&long)],
        vec![],
    ]);
}

#[test]
fn content_type_is_unaltered() {
    assert_unaltered(&[
        vec![Property::ContentType("text/plain; charset=utf-8")],
        vec![Property::ContentType("☃ and 𝄞")],
        vec![Property::ContentType("")],
        vec![],
    ]);
}

/// Repeated names, repeated pairs, empty strings, and text beyond ASCII, in an order that no sorting gives.
const USER_PROPERTIES: [(&str, &str); 9] = [
    ("b", "1"),
    ("a", "2"),
    ("b", "0"),
    ("", ""),
    ("b", "1"),
    ("", "no name"),
    ("no value", ""),
    ("Straße ☃", "𝄞 \u{feff}größer"),
    ("a", "1"),
];

#[test]
fn user_properties_are_unaltered() {
    let pair = |(name, value)| Property::UserProperty(name, value);
    let mut lists: Vec<_> = { USER_PROPERTIES }
        .map(|user_property| vec![pair(user_property)])
        .into();
    lists.push(USER_PROPERTIES.map(pair).into());
    let long = "v".repeat(60_000);
    lists.push(vec![pair(("long", &long))]);
    assert_unaltered(&lists);
}

#[test]
fn user_properties_keep_their_order() {
    let numbers: Vec<String> = (0..200).map(|n| (n * 7919 % 200).to_string()).collect();
    let list = { numbers.iter() }
        .map(|number| Property::UserProperty("n", number))
        .collect();
    // Between other properties, which may change their place.
    let mixed = vec![
        Property::UserProperty("z", "1"),
        Property::ContentType("text/plain"),
        Property::UserProperty("a", "2"),
        Property::ResponseTopic("re/ply"),
        Property::UserProperty("z", "0"),
    ];
    forwarded(&[list, mixed], |list, received| {
        let sent = list.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((*name, *value)),
            _ => None,
        });
        assert!(received.properties().user_properties().eq(sent));
    });
}

#[test]
fn user_properties_of_a_will_keep_their_order() {
    let broker = Mosquitto::start();
    let mut watcher = Peer::connected(broker.addr(), "watcher");
    watcher.subscribe(&[filter("will/+", QOS)]);
    let list = USER_PROPERTIES.map(|(name, value)| Property::UserProperty(name, value));
    let mut mortal = Peer::new(broker.addr());
    mortal.connect(&Connect {
        will: Some(Will {
            properties: properties(&list),
            ..interop::will("will/x", "gone")
        }),
        ..Connect::new("mortal")
    });
    mortal.cut();
    let received = watcher.receive();
    assert_eq!(received.text(), "gone");
    assert!(received.properties().iter().eq(list), "{received:?}");
}

/// A message at QoS 1 with this Message Expiry Interval.
fn expiring<'a>(payload: &'a str, interval: &'a [Property<'a>]) -> Outbound<'a> {
    Outbound {
        properties: properties(interval),
        ..outbound("t", QOS, payload)
    }
}

#[test]
fn expired_message_is_absent() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    let mut sleeper = Peer::lasting(broker.addr(), "sleeper");
    sleeper.subscribe(&[filter("t", QOS)]);
    sleeper.cut();

    let stopwatch = Stopwatch::start();
    publisher.say("t", QOS, "without");
    publisher.publish(&expiring("1 s", &[Property::MessageExpiryInterval(1)]));
    publisher.publish(&expiring("1 h", &[Property::MessageExpiryInterval(3600)]));
    stopwatch.wait_for(Duration::from_secs(3));

    assert!(sleeper.connect(&lasting("sleeper")).session_present);
    assert_eq!(texts(&sleeper.settled()), ["without", "1 h"]);
    // Whoever is there gets it.
    publisher.publish(&expiring("live", &[Property::MessageExpiryInterval(60)]));
    assert_eq!(texts(&sleeper.settled()), ["live"]);
}

#[test]
fn message_expiry_interval_counts_down() {
    const INTERVAL: u32 = 1000;
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    let mut live = Peer::connected(broker.addr(), "live");
    let mut sleeper = Peer::lasting(broker.addr(), "sleeper");
    for peer in [&mut live, &mut sleeper] {
        peer.subscribe(&[filter("t", QOS)]);
    }
    sleeper.cut();

    let since_before = Stopwatch::start();
    publisher.publish(&Outbound {
        payload: Payload::from("x"),
        retain: true,
        ..expiring("", &[Property::MessageExpiryInterval(INTERVAL)])
    });
    let since_after = Stopwatch::start();
    let elapsed = |stopwatch: Stopwatch| u32::try_from(stopwatch.elapsed().as_secs()).unwrap();
    // In whole seconds, which the broker may begin elsewhere than we do: one more or less.
    let assert_waited = |received: &Received, at_least: u32| {
        let left = received.properties().message_expiry_interval();
        let left = left.expect("a Message Expiry Interval");
        let waited = INTERVAL
            .checked_sub(left)
            .expect("never more than published");
        assert!(waited + 1 >= at_least, "{waited} s, not {at_least}");
        assert!(waited <= elapsed(since_before) + 2, "{waited} s");
    };
    assert_waited(&live.receive(), 0);

    since_after.wait_for(Duration::from_millis(3_100));
    sleeper.connect(&lasting("sleeper"));
    let mut late = Peer::connected(broker.addr(), "late");
    late.subscribe(&[filter("t", QOS)]);
    // The one that waited in a session, and the one that waited as the retained message.
    assert_waited(&sleeper.receive(), 3);
    assert_waited(&late.receive(), 3);
}
