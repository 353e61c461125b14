//! Subscriptions over lost connections.

use super::consumers::take;
use super::executor::{Inline, Task, now};
use super::subscribe::{suback, subscribe, topics};
use super::{Link, Peer, accepted, connack, disconnect, online, publish, reconnecting, scripted};
use crate::{
    Async, ConnectionError, ConnectionErrorKind, Event, Filter, Options, QoS, ReasonCode,
    Resubscribe, Resume, SubscribeErrorKind, Subscription, UnsubscribeErrorKind,
};
use core::error::Error;
use core::time::Duration;
use mqtt5_broker::{Broker, Config};
use mqtt5_proto::{Packet, Properties, Property};

const GRANTED: ReasonCode = ReasonCode::GRANTED_QOS_0;

/// The filters of the next SUBSCRIBE or UNSUBSCRIBE, with its identifier; `-` before those of an UNSUBSCRIBE.
pub(super) fn asked(link: &mut Link) -> (u16, String) {
    link.sent(|packet| match packet {
        Packet::Subscribe(packet) => {
            let names: Vec<_> = packet
                .filters
                .iter()
                .map(|filter| filter.filter.as_str().to_owned())
                .collect();
            (packet.packet_id.value(), names.join(" "))
        }
        Packet::Unsubscribe(packet) => {
            let names: Vec<_> = packet
                .filters
                .iter()
                .map(|f| f.as_str().to_owned())
                .collect();
            (packet.packet_id.value(), format!("-{}", names.join(" ")))
        }
        packet => panic!("{packet:?}"),
    })
}

/// What the client asks for next is granted; all filters of it.
pub(super) fn grant(link: &mut Link, expected: &str) {
    let (id, names) = asked(link);
    assert_eq!(names, expected);
    let reasons = vec![GRANTED; names.split(' ').count()];
    suback(link, id, &reasons);
}

pub(super) fn granted(
    link: &mut Link,
    builder: crate::Subscribe<'_>,
    expected: &str,
) -> Subscription {
    let mut task = Task::new(builder);
    assert!(task.is_pending());
    grant(link, expected);
    task.woken().expect("granted")
}

fn events(events: &mut crate::Events) -> Vec<Event> {
    core::iter::from_fn(|| events.try_recv()).collect()
}

/// T81, S85, T126, pitfall 13: sent again only when the session is gone, the oldest first, one packet for each call, with its options.
#[test]
fn pitfall_13_subscriptions_are_sent_again_when_the_session_is_gone() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let both = client
        .subscribe(Filter::new("a").qos(QoS::ExactlyOnce).no_local(true))
        .and("b")
        .user_property("k", "v");
    let _first = granted(&mut link, both, "a b");
    let mut second = granted(&mut link, client.subscribe("c/#"), "c/#");
    link.resume(true);
    assert!(link.sent_types().is_empty(), "the server has them");
    let mut told = client.events();
    link.resume(false);
    link.sent(|packet| match packet {
        Packet::Subscribe(packet) => {
            let filters: Vec<_> = packet
                .filters
                .iter()
                .map(|f| (f.filter.as_str().to_owned(), f.qos, f.no_local))
                .collect();
            assert_eq!(
                filters,
                [
                    ("a".to_owned(), QoS::ExactlyOnce, true),
                    ("b".to_owned(), QoS::AtMostOnce, false)
                ]
            );
            let properties: Vec<_> = packet.properties.user_properties().collect();
            assert_eq!(properties, [("k", "v")]);
            assert!(packet.properties.subscription_identifier().is_some());
        }
        packet => panic!("{packet:?}"),
    });
    grant(&mut link, "c/#");
    let told = events(&mut told);
    assert!(told.contains(&Event::SessionLost), "{told:?}");
    let results = vec![("c/#".to_owned(), GRANTED)];
    assert!(told.contains(&Event::Resubscribed { results }), "{told:?}");
    link.send(publish("c/1", QoS::AtMostOnce, 0, b"here"));
    assert_eq!(take(&mut second).payload(), b"here");
}

/// D1: the promises of other clients, on request.
#[test]
fn sending_again_can_be_had_always_or_never() {
    for (policy, session_present, expected) in [
        (Resubscribe::Always, true, vec!["SUBSCRIBE"]),
        (Resubscribe::Always, false, vec!["SUBSCRIBE"]),
        (Resubscribe::Never, false, vec![]),
    ] {
        let options = reconnecting().resubscribe(policy);
        let (client, mut link) = scripted(options, Properties::EMPTY);
        let _kept = granted(&mut link, client.subscribe("a"), "a");
        link.resume(session_present);
        assert_eq!(link.sent_types(), expected, "{policy:?}");
    }
}

/// S86, T155: what was not answered is sent again, in the order of the calls, also when the session is there.
#[test]
fn unanswered_requests_are_sent_again_in_their_order() {
    for session_present in [true, false] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let _kept = granted(&mut link, client.subscribe("kept"), "kept");
        let mut subscribing = Task::new(client.subscribe("a"));
        let mut unsubscribing = Task::new(client.unsubscribe("b"));
        let mut later = Task::new(client.subscribe("c"));
        assert!(subscribing.is_pending() && unsubscribing.is_pending() && later.is_pending());
        link.run();
        link.cut();
        let mut offline = Task::new(client.subscribe("d"));
        assert!(offline.is_pending());
        link.resume(session_present);
        if !session_present {
            grant(&mut link, "kept");
        }
        grant(&mut link, "a");
        let (id, names) = asked(&mut link);
        assert_eq!(names, "-b");
        link.send(Packet::Unsuback(
            mqtt5_proto::packet::SubscribeAcknowledgement {
                packet_id: super::id(id),
                properties: Properties::EMPTY,
                reasons: mqtt5_proto::packet::List::from(&[ReasonCode::SUCCESS][..]),
            },
        ));
        grant(&mut link, "c");
        grant(&mut link, "d");
        assert!(subscribing.woken().is_ok() && unsubscribing.woken().is_ok());
        assert!(later.woken().is_ok() && offline.woken().is_ok());
    }
}

/// T112, S86: a request that costs the connection three times fails, and what was asked with it does not.
#[test]
fn a_request_that_is_answered_with_disconnect_three_times_fails_alone() {
    let options = reconnecting().session_expiry_interval(0);
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut innocent = Task::new(client.subscribe("innocent"));
    let mut poison = Task::new(client.subscribe("poison"));
    let mut other = Task::new(client.unsubscribe("other"));
    assert!(innocent.is_pending() && poison.is_pending() && other.is_pending());
    assert_eq!(link.sent_types().len(), 3);
    for _ in 0..2 {
        link.send(disconnect(ReasonCode::UNSPECIFIED_ERROR));
        link.reconnect();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(accepted(false));
        grant(&mut link, "innocent");
        assert_eq!(asked(&mut link).1, "poison", "alone");
        assert!(link.sent_types().is_empty());
    }
    link.send(disconnect(ReasonCode::UNSPECIFIED_ERROR));
    let error = poison.woken().expect_err("three times");
    assert_eq!(error.kind(), SubscribeErrorKind::RejectedByDisconnect);
    assert_eq!(error.reason_code(), Some(ReasonCode::UNSPECIFIED_ERROR));
    assert!(!error.is_retryable(), "whatever the code says");
    let source = error.source().expect("the end of the connection");
    let end = source.downcast_ref::<ConnectionError>().expect("its error");
    assert_eq!(end.kind(), ConnectionErrorKind::ByServer);
    assert!(innocent.woken().is_ok());
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(accepted(false));
    assert_eq!(asked(&mut link).1, "-other");
    assert!(other.is_pending());
    let _: UnsubscribeErrorKind = UnsubscribeErrorKind::RejectedByDisconnect;
}

/// D32, T131: refused when it is sent again, a filter leaves the set, and a subscription without filters ends.
#[test]
fn what_is_refused_when_sent_again_leaves_the_set() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut only = granted(&mut link, client.subscribe("x"), "x");
    let _both = granted(&mut link, client.subscribe("x").and("y"), "x y");
    let mut waiting = Task::new(only.recv());
    assert!(waiting.is_pending());
    let mut told = client.events();
    link.resume(false);
    for (names, reasons) in [
        ("x", &[ReasonCode::NOT_AUTHORIZED][..]),
        ("x y", &[ReasonCode::NOT_AUTHORIZED, GRANTED]),
    ] {
        let (id, asked) = asked(&mut link);
        assert_eq!(asked, names);
        suback(&mut link, id, reasons);
    }
    assert!(waiting.woken().is_none(), "it has no filters any more");
    let failed: Vec<_> = events(&mut told)
        .into_iter()
        .filter_map(|event| match event {
            Event::ResubscribeFailed { filters, error } => Some((filters, error.kind())),
            _ => None,
        })
        .collect();
    let expected = (vec!["x".to_owned()], SubscribeErrorKind::Rejected);
    assert_eq!(failed, [expected.clone(), expected]);
    link.resume(false);
    grant(&mut link, "y");
    assert!(link.sent_types().is_empty());
}

/// E15: the next server takes smaller packets: what does not fit at once is split, what never fits is lost alone.
#[test]
fn a_resubscription_that_is_too_large_is_split() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let names: Vec<_> = (0..4).map(|n| format!("{n}{}", "x".repeat(60))).collect();
    let long = "y".repeat(400);
    let all = client.subscribe_all(names.iter().chain([&long]));
    let all_names = format!("{} {long}", names.join(" "));
    let _subscription = granted(&mut link, all, &all_names);
    let mut told = client.events();
    link.cut();
    link.reconnect();
    link.sent_types();
    let small = [Property::MaximumPacketSize(200)];
    link.send(connack(Properties::new(&small).expect("valid")));
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let (id, names) = asked(&mut link);
        let count = names.split(' ').count();
        seen.extend(names.split(' ').map(str::to_owned));
        suback(&mut link, id, &vec![GRANTED; count]);
    }
    assert_eq!(seen, names);
    let lost = events(&mut told).into_iter().find_map(|event| match event {
        Event::ResubscribeFailed { filters, error } => Some((filters, error.kind())),
        _ => None,
    });
    assert_eq!(lost, Some((vec![long], SubscribeErrorKind::TooLarge)));
    assert!(client.is_connected());
}

/// D1, E15: of a resubscription in parts one was answered; when the session is lost again it is asked for as a whole.
#[test]
fn parts_that_were_answered_are_asked_for_again_with_the_rest() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let names: Vec<_> = (0..2).map(|n| format!("{n}{}", "x".repeat(80))).collect();
    let all = names.join(" ");
    let _subscription = granted(&mut link, client.subscribe_all(&names), &all);
    let small = [Property::MaximumPacketSize(120)];
    let small = Properties::new(&small).expect("valid");
    for _ in 0..3 {
        link.cut();
        link.reconnect();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(connack(small));
        grant(&mut link, &names[0]);
        assert_eq!(asked(&mut link).1, names[1], "not answered");
    }
    link.resume(false);
    grant(&mut link, &all);
    assert!(link.sent_types().is_empty());
}

/// S86: an UNSUBSCRIBE whose answer was lost does not take away what was subscribed after it.
#[test]
fn an_unsubscribe_that_is_sent_again_spares_what_was_subscribed_since() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let first = granted(&mut link, client.subscribe("a").and("b"), "a b");
    let mut unsubscribing = Task::new(first.unsubscribe());
    assert!(unsubscribing.is_pending());
    assert_eq!(asked(&mut link).1, "-a b");
    let _later = granted(&mut link, client.subscribe("a"), "a");
    link.resume(true);
    assert_eq!(asked(&mut link).1, "-b");
    assert!(unsubscribing.is_pending());
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let first = granted(&mut link, client.subscribe("a"), "a");
    let mut unsubscribing = Task::new(first.unsubscribe());
    assert!(unsubscribing.is_pending());
    assert_eq!(asked(&mut link).1, "-a");
    let _later = granted(&mut link, client.subscribe("a"), "a");
    link.resume(true);
    assert!(link.sent_types().is_empty());
    assert!(unsubscribing.woken().is_ok());
}

/// D12: the options of a filter must agree within a call, too; its Quality of Service is the strongest of those who are there.
#[test]
fn the_options_at_the_server_are_those_of_the_subscriptions_there_are() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let twice = client.subscribe("a").and(Filter::new("a").no_local(true));
    let kind = now(twice).map(drop).map_err(|error| error.kind());
    assert_eq!(kind, Err(SubscribeErrorKind::ConflictingOptions));
    let strong = client.subscribe("a").qos(QoS::ExactlyOnce);
    let strong = granted(&mut link, strong, "a");
    let _weak = granted(&mut link, client.subscribe("a"), "a");
    drop(strong);
    link.resume(false);
    link.sent(|packet| match packet {
        Packet::Subscribe(packet) => {
            let qos: Vec<_> = packet.filters.iter().map(|filter| filter.qos).collect();
            assert_eq!(qos, [QoS::AtMostOnce]);
        }
        packet => panic!("{packet:?}"),
    });
}

/// T155, E4: what is dropped while there is no connection is unsubscribed if the server still has it, and not sent again if not.
#[test]
fn dropped_while_offline() {
    for session_present in [true, false] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let gone = granted(&mut link, client.subscribe("gone"), "gone");
        let mut unanswered = Task::new(client.subscribe("unanswered"));
        assert!(unanswered.is_pending());
        link.run();
        link.cut();
        drop((gone, unanswered));
        link.resume(session_present);
        if session_present {
            assert_eq!(asked(&mut link).1, "-gone unanswered");
        }
        assert!(link.sent_types().is_empty());
    }
}

/// S75, D1: declared subscriptions are there before the first connection, for the messages of a session that is taken over. T131.
#[test]
fn declared_subscriptions_hear_a_session_that_is_taken_over() {
    let options = || {
        reconnecting()
            .resume(Resume::AssumeSession)
            .declare(Filter::new("kept/#").qos(QoS::AtLeastOnce))
    };
    let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
    link.sent_types();
    accepted(true)
        .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut link.inbound)
        .expect("valid");
    // In one segment with CONNACK, before anything was subscribed by this process.
    link.send(publish("kept/1", QoS::AtLeastOnce, 1, b"early"));
    let mut subscription = client.declared("kept/#").expect("declared");
    assert!(client.declared("kept/#").is_none() && client.declared("x").is_none());
    assert_eq!(take(&mut subscription).payload(), b"early");
    grant(&mut link, "kept/#");
    assert_eq!(link.sent_types(), ["PUBACK"]);
    drop(subscription);
    assert!(link.sent_types().is_empty(), "it stays with the server");
    let twice = options().declare(Filter::new("kept/#").no_local(true));
    assert!(twice.validate().is_err());
    assert!(options().declare("a/#/b").validate().is_err());
}

/// HB-48, S74: what no subscription matches goes to its own handle, or is acknowledged and counted. T131, T136.
#[test]
fn hb_48_messages_that_nothing_matches() {
    let unmatched = |options: Options| {
        let (client, mut link) = scripted(options, Properties::EMPTY);
        link.send(publish("orphan", QoS::AtLeastOnce, 1, b"x"));
        assert_eq!(client.statistics().messages_unmatched, 1);
        (client, link)
    };
    let (client, mut link) = unmatched(reconnecting());
    assert!(client.unmatched().is_none());
    assert_eq!(link.sent_types(), ["PUBACK"]);
    let (client, mut link) = unmatched(reconnecting().keep_unmatched(true));
    assert!(link.sent_types().is_empty());
    let mut subscription = client.unmatched().expect("kept");
    assert_eq!(take(&mut subscription).topic(), "orphan");
    assert_eq!(link.sent_types(), ["PUBACK"]);
    drop(subscription);
    link.send(publish("orphan", QoS::AtLeastOnce, 2, b"x"));
    assert_eq!(link.sent_types(), ["PUBACK"], "nobody keeps it any more");
}

/// T20, S70, with a broker that forgets: two subscriptions of one filter live and leave each for itself.
#[test]
fn with_a_broker_that_loses_the_session() {
    let (client, mut link) = online(reconnecting());
    let mut first = subscribe(&mut link, client.subscribe("a/+").qos(QoS::AtLeastOnce));
    let mut second = subscribe(&mut link, client.subscribe("a/+"));
    let now_ = link.now();
    link.broker().forget(now_, "me");
    link.cut();
    link.reconnect();
    link.run();
    assert!(client.is_connected());
    assert!(!client.connection().expect("connected").session_present());
    now(client.publish("a/1", "x")).expect("accepted");
    link.run();
    assert_eq!(topics(&mut first), ["a/1"]);
    assert_eq!(topics(&mut second), ["a/1"]);
    drop(first);
    link.run();
    now(client.publish("a/2", "x")).expect("accepted");
    link.run();
    assert_eq!(topics(&mut second), ["a/2"]);
    link.pass(Duration::from_secs(1));
}

/// Pitfall 14: a broker that restarts fast, again and again, does not silence a subscription.
#[test]
fn pitfall_14_restarts_of_the_broker() {
    let (client, mut link) = online(reconnecting());
    let mut subscription = subscribe(&mut link, client.subscribe("a").qos(QoS::ExactlyOnce));
    for _ in 0..20 {
        link.peer = Peer::Broker(Box::new(Broker::new(Config::default())));
        link.cut();
        link.reconnect();
        let mut publish = Task::new(client.publish("a", "x").qos(QoS::ExactlyOnce));
        assert!(publish.is_pending());
        link.run();
        publish.woken().expect("delivered");
        assert_eq!(topics(&mut subscription), ["a"]);
        link.pass(Duration::from_secs(31));
    }
}

/// S99: whoever hears of the connection may use it, and what he asks for comes behind what there was before.
#[test]
fn what_a_listener_does_comes_behind_what_is_sent_again() {
    for session_present in [true, false] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let _kept = granted(&mut link, client.subscribe("kept"), "kept");
        let old = client.publish("old", "").qos(QoS::AtLeastOnce);
        let mut old = Task::new(old);
        assert!(old.is_pending());
        assert_eq!(link.sent_types(), ["PUBLISH"]);
        let (mut events, asking) = (client.events(), client.clone());
        let _listener = Inline::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::Connected(_) = event {
                    let new = asking.publish("new", "").qos(QoS::AtLeastOnce);
                    drop(new.start().await.expect("room"));
                    drop(asking.subscribe("new").await);
                }
            }
        });
        link.resume(session_present);
        let mut order = Vec::new();
        link.run();
        while matches!(&link.peer, Peer::Script(bytes) if !bytes.is_empty()) {
            order.push(link.sent(|packet| match packet {
                Packet::Publish(publish) => publish.topic.expect("a name").to_string(),
                Packet::Subscribe(packet) => {
                    let filter = packet.filters.iter().next().expect("a filter");
                    format!("subscribe {}", filter.filter.as_str())
                }
                packet => panic!("{packet:?}"),
            }));
        }
        let place = |name: &str| order.iter().position(|own| own == name);
        assert!(
            place("old") < place("new") && place("old").is_some(),
            "{order:?}"
        );
        assert_eq!(order.last().map(String::as_str), Some("subscribe new"));
        assert_eq!(place("subscribe kept").is_none(), session_present);
    }
}
