//! Filters: shared, refused, overlapping, given up.

use super::executor::{Task, now};
use super::{Link, Peer, acknowledgement, online, options, publish, scripted};
use crate::{
    Async, Client, Filter, Message, QoS, ReasonCode, RetainHandling, SubscribeErrorKind as Kind,
    Subscription, UnsubscribeErrorKind,
};
use core::time::Duration;
use mqtt5_broker::{Access, Broker, Config, Login};
use mqtt5_proto::packet::{Delivery, List, Publish, SubscribeAcknowledgement};
use mqtt5_proto::{Packet, Properties, Property, TopicName};

pub(super) fn subscribe<'a>(link: &mut Link, subscribe: crate::Subscribe<'a>) -> Subscription {
    let mut task = Task::new(subscribe);
    if let core::task::Poll::Ready(result) = task.poll() {
        return result.expect("granted");
    }
    link.run();
    task.woken().expect("granted")
}

pub(super) fn topics(subscription: &mut Subscription) -> Vec<String> {
    let mut topics = Vec::new();
    while let Ok(Some(message)) = subscription.try_recv() {
        topics.push(message.topic().to_owned());
    }
    topics
}

fn send(client: &Client, link: &mut Link, topic: &str) {
    now(client.publish(topic, "x")).expect("accepted");
    link.run();
}

pub(super) fn suback(link: &mut Link, id: u16, reasons: &[ReasonCode]) {
    let packet_id = super::id(id);
    link.send(Packet::Suback(SubscribeAcknowledgement {
        packet_id,
        properties: Properties::EMPTY,
        reasons: List::from(reasons),
    }));
}

/// T138, T153, T158: several subscribers, `$` and wildcards.
#[test]
fn each_subscription_gets_what_its_filters_match_once() {
    let (client, mut link) = online(options());
    let mut all = subscribe(
        &mut link,
        client.subscribe("#").and("a/+").qos(QoS::AtLeastOnce),
    );
    let mut some = subscribe(&mut link, client.subscribe("a/+").qos(QoS::ExactlyOnce));
    let mut shared = subscribe(&mut link, client.subscribe("$share/g/a/b"));
    assert_eq!(
        all.granted().collect::<Vec<_>>(),
        [
            ("#", ReasonCode::GRANTED_QOS_0),
            ("a/+", ReasonCode::GRANTED_QOS_1)
        ]
    );
    for topic in ["a/b", "c", "$x"] {
        send(&client, &mut link, topic);
    }
    assert_eq!(topics(&mut some), ["a/b"]);
    assert_eq!(topics(&mut shared), ["a/b"]);
    let mut seen = topics(&mut all);
    seen.dedup();
    assert_eq!(seen, ["a/b", "c"]);
}

#[test]
fn one_filter_is_subscribed_once_with_the_strongest_qos() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let quiet = |qos| {
        client
            .subscribe("a")
            .qos(qos)
            .retain_handling(RetainHandling::DoNotSend)
    };
    let mut first = Task::new(quiet(QoS::AtLeastOnce));
    assert!(first.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_1]);
    let first = first.woken().expect("granted");
    let weaker = Task::new(quiet(QoS::AtMostOnce))
        .done()
        .expect("granted already");
    assert_eq!(
        weaker.granted().collect::<Vec<_>>(),
        [("a", ReasonCode::GRANTED_QOS_1)]
    );
    let mut stronger = Task::new(quiet(QoS::ExactlyOnce));
    assert!(stronger.is_pending());
    link.sent(|packet| {
        let Packet::Subscribe(subscribe) = packet else {
            panic!("{packet:?}")
        };
        assert_eq!(
            subscribe
                .properties
                .subscription_identifiers()
                .collect::<Vec<_>>(),
            [1],
            "the same as before"
        );
        assert_eq!(
            subscribe
                .filters
                .iter()
                .map(|filter| filter.qos)
                .collect::<Vec<_>>(),
            [QoS::ExactlyOnce]
        );
    });
    suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_2]);
    let stronger = stronger.woken().expect("granted");
    let louder = client
        .subscribe("a")
        .retain_handling(RetainHandling::SendAtSubscribe);
    let mut louder = Task::new(louder);
    let mut beside = Task::new(quiet(QoS::AtMostOnce));
    assert!(louder.is_pending() && beside.is_pending());
    for _ in 0..2 {
        link.sent(|packet| {
            assert!(matches!(packet, Packet::Subscribe(subscribe) if subscribe.filters.iter().all(|filter| filter.qos == QoS::ExactlyOnce)));
        });
    }
    drop((first, weaker, louder, beside));
    assert!(link.sent_types().is_empty(), "one still wants it");
    drop(stronger);
    assert_eq!(link.sent_types(), ["UNSUBSCRIBE"]);
    assert_eq!(
        (
            client.statistics().filters,
            client.statistics().subscriptions
        ),
        (0, 0)
    );
}

#[test]
fn other_options_on_the_same_filter_are_a_conflict() {
    let (client, mut link) = online(options());
    let _kept = subscribe(&mut link, client.subscribe("a").no_local(true));
    for filter in [
        Filter::new("a"),
        Filter::new("a").no_local(true).retain_as_published(true),
    ] {
        assert_eq!(
            now(client.subscribe_all([Filter::new("b"), filter]))
                .map(drop)
                .map_err(|error| error.kind()),
            Err(Kind::ConflictingOptions)
        );
    }
    assert_eq!(client.statistics().filters, 1);
}

/// Refuses every filter that starts with `no`.
struct Choosy;

impl Access for Choosy {
    fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
        Ok(())
    }

    fn subscribe(&mut self, _: &str, filter: &str) -> Result<(), ReasonCode> {
        if filter.starts_with("no") {
            Err(ReasonCode::NOT_AUTHORIZED)
        } else {
            Ok(())
        }
    }
}

fn choosy() -> (Client, Link) {
    let mut config = Config::default();
    config.access = Box::new(Choosy);
    let (client, mut link) =
        Link::new::<Async>(options(), Peer::Broker(Box::new(Broker::new(config))));
    link.run();
    (client, link)
}

/// T24, T137: each result is in the error.
#[test]
fn a_refused_filter_fails_the_call_with_all_results() {
    let (client, mut link) = choosy();
    let mut task = Task::new(client.subscribe("yes").qos(QoS::AtLeastOnce).and("no/1"));
    assert!(task.is_pending());
    link.run();
    let error = task.woken().expect_err("refused");
    assert_eq!(
        (error.kind(), error.reason_code()),
        (Kind::Rejected, Some(ReasonCode::NOT_AUTHORIZED))
    );
    let expected = [
        ("yes".to_owned(), ReasonCode::GRANTED_QOS_1),
        ("no/1".to_owned(), ReasonCode::NOT_AUTHORIZED),
    ];
    assert_eq!(error.results(), expected);
    link.run();
    assert_eq!(client.statistics().filters, 0);
    assert_eq!(
        client.statistics().unsubscribes_sent,
        1,
        "what was granted is given up"
    );
}

/// T24: one refused filter of several is told, the others work.
#[test]
fn a_part_may_be_refused_if_the_call_says_so() {
    let (client, mut link) = choosy();
    let mut subscription = subscribe(
        &mut link,
        client.subscribe("yes").and("no/1").allow_partial(),
    );
    let expected = [
        ("yes", ReasonCode::GRANTED_QOS_0),
        ("no/1", ReasonCode::NOT_AUTHORIZED),
    ];
    assert_eq!(subscription.granted().collect::<Vec<_>>(), expected);
    send(&client, &mut link, "yes");
    assert_eq!(topics(&mut subscription), ["yes"]);
    let mut all_refused = Task::new(client.subscribe("no/2").allow_partial());
    assert!(all_refused.is_pending());
    link.run();
    assert_eq!(
        all_refused.woken().map(drop).map_err(|error| error.kind()),
        Err(Kind::Rejected)
    );
}

/// T138: filters, and No Local with shared subscriptions, are checked here.
#[test]
fn invalid_requests_never_leave() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let kind =
        |subscribe: crate::Subscribe<'_>| now(subscribe).map(drop).map_err(|error| error.kind());
    assert_eq!(kind(client.subscribe("a#")), Err(Kind::InvalidFilter));
    assert_eq!(
        kind(client.subscribe("$share/g/a").no_local(true)),
        Err(Kind::NoLocalOnSharedSubscription)
    );
    assert_eq!(
        kind(client.subscribe_all(Vec::<Filter>::new())),
        Err(Kind::NoFilters)
    );
    assert_eq!(
        kind(client.subscribe("a").user_property("\0", "")),
        Err(Kind::InvalidProperty)
    );
    assert_eq!(
        now(client.unsubscribe("a#")).map_err(|error| error.kind()),
        Err(UnsubscribeErrorKind::InvalidFilter)
    );
    assert!(link.sent_types().is_empty());
}

/// T38, T128: wildcards, shared subscriptions, identifiers.
#[test]
fn limits_of_the_server_are_told_by_name() {
    let limits = [
        Property::WildcardSubscriptionAvailable(false),
        Property::SharedSubscriptionAvailable(false),
        Property::SubscriptionIdentifierAvailable(false),
    ];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let kind =
        |subscribe: crate::Subscribe<'_>| now(subscribe).map(drop).map_err(|error| error.kind());
    assert_eq!(
        kind(client.subscribe("a/+")),
        Err(Kind::WildcardsNotSupported)
    );
    assert_eq!(
        kind(client.subscribe("$share/g/a")),
        Err(Kind::SharedSubscriptionsNotSupported)
    );
    let mut plain = Task::new(client.subscribe("a"));
    assert!(plain.is_pending());
    link.sent(|packet| {
        assert!(matches!(packet, Packet::Subscribe(subscribe) if subscribe.properties.is_empty()));
    });
}

/// T29, T39, T40: a copy for each, routed by its identifier.
#[test]
fn copies_of_overlapping_subscriptions_go_where_their_identifier_says() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut open = |filter: &'static str, id| {
        let mut task = Task::new(client.subscribe(filter));
        assert!(task.is_pending());
        assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
        suback(&mut link, id, &[ReasonCode::GRANTED_QOS_0]);
        task.woken().expect("granted")
    };
    let (mut wide, mut narrow) = (open("a/#", 1), open("a/b", 2));
    let mut copy = |identifiers: &[u32]| {
        let properties: Vec<_> = identifiers
            .iter()
            .map(|id| Property::SubscriptionIdentifier(*id))
            .collect();
        let properties = Properties::new(&properties).expect("valid");
        let topic = TopicName::new("a/b").expect("valid");
        link.send(Packet::Publish(Publish {
            delivery: Delivery::AtMostOnce,
            retain: false,
            topic: Some(topic),
            properties,
            payload: b"",
        }));
        (topics(&mut wide).len(), topics(&mut narrow).len())
    };
    assert_eq!(copy(&[1]), (1, 0));
    assert_eq!(copy(&[2]), (0, 1));
    assert_eq!(copy(&[1, 2]), (1, 1), "one copy for all");
    assert_eq!(copy(&[]), (1, 1), "a server without identifiers");
    assert_eq!(
        copy(&[9]),
        (1, 1),
        "an identifier of an earlier process counts for nothing"
    );
    assert_eq!(copy(&[9, 2]), (0, 1));
}

#[test]
fn retained_copies_go_to_whom_they_answer() {
    let (client, mut link) = online(options());
    now(client.publish("a", "kept").retain(true)).expect("accepted");
    let mut first = subscribe(&mut link, client.subscribe("a"));
    assert_eq!(topics(&mut first), ["a"]);
    let mut second = subscribe(&mut link, client.subscribe("a"));
    assert_eq!(
        (topics(&mut first).len(), topics(&mut second).len()),
        (0, 1)
    );
    let mut third = subscribe(
        &mut link,
        client
            .subscribe("a")
            .retain_handling(RetainHandling::SendAtSubscribeIfNew),
    );
    assert_eq!(
        (
            topics(&mut first).len(),
            topics(&mut second).len(),
            topics(&mut third).len()
        ),
        (0, 0, 0)
    );
    send(&client, &mut link, "a");
    assert_eq!(
        (
            topics(&mut first).len(),
            topics(&mut second).len(),
            topics(&mut third).len()
        ),
        (1, 1, 1)
    );
}

/// T137, T154, D41: the reason for each filter.
#[test]
fn unsubscribing_tells_the_answer_and_ends_who_has_nothing_left() {
    let (client, mut link) = online(options());
    let mut one = subscribe(&mut link, client.subscribe("a").and("b"));
    let mut other = subscribe(&mut link, client.subscribe("a"));
    let mut task = Task::new(client.unsubscribe("a").and("never"));
    assert!(task.is_pending());
    link.run();
    let expected = [
        ("a".to_owned(), ReasonCode::SUCCESS),
        ("never".to_owned(), ReasonCode::NO_SUBSCRIPTION_EXISTED),
    ];
    assert_eq!(task.woken().expect("answered").results(), expected);
    assert!(other.try_recv().is_err(), "it had no other filter");
    assert!(matches!(one.try_recv(), Ok(None)));
    let mut task = Task::new(one.unsubscribe());
    assert!(task.is_pending());
    link.run();
    assert_eq!(
        task.woken().expect("answered").results(),
        [("b".to_owned(), ReasonCode::SUCCESS)]
    );
    assert!(client.is_connected(), "a client is left");
}

#[test]
fn dropping_the_future_or_its_time_gives_the_filters_up() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    for polls in 0..3 {
        let mut task = Task::new(client.subscribe("a"));
        for poll in 0..polls {
            assert!(task.is_pending());
            link.run();
            if poll == 1 {
                suback(&mut link, 3, &[ReasonCode::GRANTED_QOS_0]);
            }
        }
        drop(task);
        let expected: &[&str] = if polls == 0 {
            &[]
        } else {
            &["SUBSCRIBE", "UNSUBSCRIBE"]
        };
        assert_eq!(link.sent_types(), expected, "after {polls} polls");
        assert_eq!(client.statistics().filters, 0);
    }
    let mut task = Task::new(client.subscribe("a").timeout(Duration::from_secs(1)));
    assert!(task.is_pending());
    link.pass(Duration::from_secs(1));
    assert_eq!(
        task.woken().map(drop).map_err(|error| error.kind()),
        Err(Kind::TimedOut)
    );
    assert_eq!(link.sent_types(), ["SUBSCRIBE", "UNSUBSCRIBE"]);
}

#[test]
fn a_durable_subscription_stays_with_the_server() {
    let (client, mut link) = online(options());
    drop(subscribe(&mut link, client.subscribe("a").durable()));
    subscribe(&mut link, client.subscribe("b")).detach();
    link.run();
    assert_eq!(client.statistics().unsubscribes_sent, 0);
    send(&client, &mut link, "a");
    assert_eq!(client.statistics().messages_unmatched, 1);
}

#[test]
fn messages_that_arrive_before_the_answer_are_kept() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut task = Task::new(client.subscribe("a").qos(QoS::AtLeastOnce));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    link.send(publish("a", QoS::AtLeastOnce, 1, b"early"));
    assert!(link.sent_types().is_empty(), "not taken yet");
    suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_1]);
    let mut subscription = task.woken().expect("granted");
    let message: Message = now(subscription.recv()).expect("received");
    assert_eq!(message.payload(), b"early");
    link.sent(|packet| {
        assert_eq!(
            packet,
            Packet::Puback(acknowledgement(1, ReasonCode::SUCCESS))
        );
    });
}
