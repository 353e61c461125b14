//! Overlapping filters that were asked for in one packet, towards a server that sends one copy for each.

use super::executor::{Task, now};
use super::subscribe::{suback, topics};
use super::{Link, reconnecting, scripted};
use crate::{Client, QoS, ReasonCode, RetainHandling, Subscribe, Subscription};
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, TopicName};

fn grant(link: &mut Link) {
    let (id, count) = link.sent(|packet| match packet {
        Packet::Subscribe(packet) => (packet.packet_id.value(), packet.filters.iter().count()),
        packet => panic!("{packet:?}"),
    });
    suback(link, id, &vec![ReasonCode::GRANTED_QOS_0; count]);
}

fn granted(link: &mut Link, subscribe: Subscribe<'_>) -> Subscription {
    let mut task = Task::new(subscribe);
    assert!(task.is_pending());
    grant(link);
    task.woken().expect("granted")
}

/// Both filters, under the Subscription Identifier 1.
fn both(link: &mut Link, client: &Client) -> Subscription {
    granted(link, client.subscribe("s/#").and("s/+"))
}

/// A message on `s/x` with these Subscription Identifiers.
fn copy(link: &mut Link, identifiers: &[u32]) {
    let identifiers: Vec<_> = identifiers
        .iter()
        .map(|identifier| Property::SubscriptionIdentifier(*identifier))
        .collect();
    link.send(Packet::Publish(Publish {
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: Some(TopicName::new("s/x").expect("valid")),
        properties: Properties::new(&identifiers).expect("valid"),
        payload: b"x",
    }));
}

/// How many messages each took that the server sends under 1 for `s/#` and under 2 for `s/+`.
fn taken(link: &mut Link, first: &mut Subscription, second: &mut Subscription) -> (usize, usize) {
    copy(link, &[1]);
    copy(link, &[2]);
    (topics(first).len(), topics(second).len())
}

/// D12: the identifier that `s/+` once had is that of `s/#`, too: its copies are not for who has come since.
#[test]
fn an_earlier_identifier_of_a_filter_does_not_name_the_copies_of_another() {
    for is_given_up in [true, false] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let mut first = both(&mut link, &client);
        if is_given_up {
            let mut task = Task::new(client.unsubscribe("s/+"));
            assert!(task.is_pending());
            assert_eq!(link.sent_types(), ["UNSUBSCRIBE"]);
        }
        let mut second = granted(&mut link, client.subscribe("s/+"));
        let expected = if is_given_up { (1, 1) } else { (2, 1) };
        assert_eq!(taken(&mut link, &mut first, &mut second), expected);
        // A server may send one copy for all.
        copy(&mut link, &[1, 2]);
        assert_eq!(
            (topics(&mut first).len(), topics(&mut second).len()),
            (1, 1)
        );
        link.resume(true);
        assert_eq!(taken(&mut link, &mut first, &mut second), expected);
    }
}

/// The same where the subscriptions were declared, and when the session was lost.
#[test]
fn neither_for_those_that_are_subscribed_again() {
    let options = reconnecting().declare(crate::Declared::new("s/#").and("s/+"));
    let (client, mut link) = scripted(options.declare("s/+"), Properties::EMPTY);
    let mut first = client.declared("s/#").expect("declared");
    let mut second = client.declared("s/+").expect("declared");
    for identifiers in [[1, 2], [3, 4]] {
        for identifier in identifiers {
            grant(&mut link);
            topics(&mut first);
            copy(&mut link, &[identifier]);
        }
        assert_eq!(
            topics(&mut second).len(),
            2,
            "one was before the second grant"
        );
        for identifier in identifiers {
            copy(&mut link, &[identifier]);
        }
        assert_eq!(
            (topics(&mut first).len(), topics(&mut second).len()),
            (3, 1)
        );
        link.resume(false);
    }
}

/// Who was there while the identifier was that of its filter is owed what the server has queued under it.
#[test]
fn who_had_the_earlier_identifier_gets_what_was_queued_under_it() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut first = both(&mut link, &client);
    let quiet = client.subscribe("s/+").qos(QoS::AtMostOnce);
    let quiet = quiet.retain_handling(RetainHandling::DoNotSend);
    let mut quiet = now(quiet).expect("granted already");
    let mut later = Task::new(client.subscribe("s/+"));
    assert!(later.is_pending());
    link.run();
    // It has not been answered: the server may have the filter under the one or the other.
    copy(&mut link, &[1]);
    assert_eq!(topics(&mut quiet).len(), 1);
    grant(&mut link);
    let mut later = later.woken().expect("granted");
    topics(&mut later);
    // Who comes now without a SUBSCRIBE has it under the later one.
    let last = client.subscribe("s/+").qos(QoS::AtMostOnce);
    let last = last.retain_handling(RetainHandling::DoNotSend);
    let mut last = now(last).expect("granted already");
    copy(&mut link, &[1]);
    assert_eq!(topics(&mut first).len(), 2);
    let mut counts = [&mut quiet, &mut later, &mut last].map(|taken| topics(taken).len());
    assert_eq!(counts, [1, 0, 0]);
    copy(&mut link, &[2]);
    counts = [&mut quiet, &mut later, &mut last].map(|taken| topics(taken).len());
    assert_eq!(counts, [1, 1, 1]);
}
