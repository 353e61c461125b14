//! Whom retained copies go to when one filter is subscribed more than once.

use super::executor::Task;
use super::subscribe::{suback, topics};
use super::{Link, options, scripted};
use crate::{Client, QoS, ReasonCode, RetainHandling, Subscription};
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, TopicName};

const GRANTED: &[ReasonCode] = &[ReasonCode::GRANTED_QOS_0];

/// The Subscription Identifier of the SUBSCRIBE that was just sent.
fn identifier(link: &mut Link) -> Option<u32> {
    link.sent(|packet| match packet {
        Packet::Subscribe(subscribe) => subscribe.properties.subscription_identifiers().next(),
        packet => panic!("{packet:?}"),
    })
}

fn copy(link: &mut Link, retain: bool, identifier: Option<u32>) {
    let properties: Vec<_> = identifier
        .map(Property::SubscriptionIdentifier)
        .into_iter()
        .collect();
    link.send(Packet::Publish(Publish {
        delivery: Delivery::AtMostOnce,
        retain,
        topic: Some(TopicName::new("a").expect("valid")),
        properties: Properties::new(&properties).expect("valid"),
        payload: b"",
    }));
}

fn counts<const N: usize>(subscriptions: [&mut Subscription; N]) -> [usize; N] {
    subscriptions.map(|subscription| topics(subscription).len())
}

fn open(client: &Client, link: &mut Link, packet_id: u16) -> (Subscription, Option<u32>) {
    open_filter(client, link, packet_id, "a")
}

fn open_filter(
    client: &Client,
    link: &mut Link,
    packet_id: u16,
    filter: &str,
) -> (Subscription, Option<u32>) {
    let mut task = Task::new(client.subscribe(filter));
    assert!(task.is_pending());
    let identifier = identifier(link);
    suback(link, packet_id, GRANTED);
    (task.woken().expect("granted"), identifier)
}

#[test]
fn copies_that_are_still_arriving_go_to_the_earlier_subscription() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let (mut first, one) = open(&client, &mut link, 1);
    let mut second = Task::new(client.subscribe("a"));
    assert!(second.is_pending());
    // The answer is here, its retained messages are not, and the next SUBSCRIBE is on its way.
    let two = identifier(&mut link);
    assert!(one.is_some() && two.is_some() && one != two);
    copy(&mut link, true, one);
    copy(&mut link, true, one);
    suback(&mut link, 2, GRANTED);
    copy(&mut link, true, two);
    copy(&mut link, true, one);
    let mut second = second.woken().expect("granted");
    assert_eq!(counts([&mut first, &mut second]), [3, 1]);
    for live in [one, two, None] {
        copy(&mut link, false, live);
        assert_eq!(counts([&mut first, &mut second]), [1, 1], "{live:?}");
    }
    // Stronger, but not asking for copies: those that still arrive are not its own.
    let stronger = client
        .subscribe("a")
        .qos(QoS::AtLeastOnce)
        .retain_handling(RetainHandling::DoNotSend);
    let mut third = Task::new(stronger);
    assert!(third.is_pending());
    assert_eq!(identifier(&mut link), two);
    suback(&mut link, 3, &[ReasonCode::GRANTED_QOS_1]);
    let mut third = third.woken().expect("granted");
    copy(&mut link, true, two);
    assert_eq!(counts([&mut first, &mut second, &mut third]), [0, 1, 0]);
}

#[test]
fn copies_for_a_subscription_that_is_gone_go_to_nobody_else() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let (first, one) = open(&client, &mut link, 1);
    let (mut second, two) = open(&client, &mut link, 2);
    drop(first);
    copy(&mut link, true, one);
    assert_eq!(counts([&mut second]), [0]);
    copy(&mut link, false, one);
    copy(&mut link, true, two);
    assert_eq!(counts([&mut second]), [2]);
}

#[test]
fn without_identifiers_a_copy_goes_to_everybody() {
    let limits = [Property::SubscriptionIdentifierAvailable(false)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let (mut first, one) = open(&client, &mut link, 1);
    let (mut second, two) = open(&client, &mut link, 2);
    assert_eq!((one, two), (None, None));
    copy(&mut link, true, None);
    assert_eq!(
        counts([&mut first, &mut second]),
        [1, 1],
        "better than a loss"
    );
}

#[test]
fn the_identifier_in_force_counts_until_it_is_replaced() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let (mut wide, _) = open_filter(&client, &mut link, 1, "#");
    let (first, one) = open(&client, &mut link, 2);
    let quiet = client
        .subscribe("a")
        .retain_handling(RetainHandling::DoNotSend);
    let mut second = Task::new(quiet).done().expect("granted already");
    drop(first);
    let mut third = Task::new(client.subscribe("a"));
    assert!(third.is_pending());
    assert_ne!(identifier(&mut link), one);
    copy(&mut link, false, one);
    suback(&mut link, 3, GRANTED);
    let mut third = third.woken().expect("granted");
    assert_eq!(counts([&mut wide, &mut second, &mut third]), [0, 1, 1]);
}
