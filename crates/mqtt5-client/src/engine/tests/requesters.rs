//! Making requesters, replying, and both together.

use super::executor::{Inline, Task, now};
use super::requests::{asked, requesting, subscribed};
use super::subscribe::{suback, subscribe};
use super::{Link, Peer, connack, online, options, scripted};
use crate::{Async, Blocking, QoS, ReasonCode, SubscribeErrorKind};
use mqtt5_broker::{Broker, Config};
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, TopicName};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn the_last_requester_unsubscribes() {
    let (client, requester, mut link) = requesting(options());
    let clone = requester.clone();
    drop(requester);
    assert_eq!(link.sent_types(), Vec::<&str>::new());
    let mut task = Task::new(clone.request("t", ""));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    drop(task);
    drop(clone);
    assert_eq!(link.sent_types(), ["UNSUBSCRIBE"]);
    assert_eq!(client.statistics().subscriptions, 0);
}

/// T128: Response Information.
#[test]
fn response_topics_are_made_of_what_the_server_says() {
    let topic = |options: crate::Options, list: &[Property<'_>]| {
        let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
        assert_eq!(link.sent_types(), ["CONNECT"]);
        let mut task = Task::new(client.requester());
        assert!(task.is_pending());
        link.send(connack(Properties::new(list).expect("valid")));
        let _ = task.poll();
        let topic = subscribed(&mut link);
        drop(task);
        topic
    };
    let information = [Property::ResponseInformation("tenant/7/")];
    let asking = options().request_response_information(true);
    assert_eq!(topic(asking.clone(), &information), "tenant/7/responses/1");
    assert_eq!(topic(asking, &[]), "me/responses/1");
    let assigned = [Property::AssignedClientIdentifier("auto-9")];
    assert_eq!(
        topic(options().client_id(""), &assigned),
        "auto-9/responses/1"
    );
    assert_eq!(
        topic(options().client_id("a+b#"), &[]),
        "a%2Bb%23/responses/1"
    );
}

#[test]
fn response_topics_can_be_chosen_and_requesters_told_apart() {
    let (client, requester, mut link) = requesting(options());
    let mut second = Task::new(client.requester());
    assert!(second.is_pending());
    assert_eq!(subscribed(&mut link), "me/responses/2");
    let mut chosen = Task::new(client.requester().response_topic("mine"));
    assert!(chosen.is_pending());
    assert_eq!(subscribed(&mut link), "mine");
    for id in [2, 3] {
        suback(&mut link, id, &[ReasonCode::GRANTED_QOS_1]);
    }
    let (second, chosen) = (
        second.woken().expect("granted"),
        chosen.woken().expect("granted"),
    );
    assert_eq!(chosen.response_topic(), "mine");
    let mut data = Vec::new();
    for requester in [&requester, &second, &chosen] {
        let mut task = Task::new(requester.request("t", ""));
        assert!(task.is_pending());
        data.push(asked(&mut link).correlation_data);
    }
    data.dedup();
    assert_eq!(data.len(), 3);
    let wildcard = now(client.requester().response_topic("a/+")).expect_err("invalid");
    assert_eq!(wildcard.kind(), SubscribeErrorKind::InvalidFilter);
}

#[test]
fn a_requester_that_cannot_be_made_says_why() {
    let (client, link) = Link::new::<Async>(options().client_id(""), Peer::Unreachable);
    let mut task = Task::new(client.requester());
    assert!(task.is_pending());
    drop(link);
    assert_eq!(
        task.woken().expect_err("over").kind(),
        SubscribeErrorKind::Closed
    );
    let failing = options()
        .client_id("")
        .offline_subscribe(crate::Offline::Fail);
    let (client, _link) = Link::new::<Async>(failing, Peer::Unreachable);
    let error = now(client.requester()).expect_err("offline");
    assert_eq!(error.kind(), SubscribeErrorKind::NotConnected);
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut task = Task::new(client.requester());
    assert!(task.is_pending());
    link.run();
    suback(&mut link, 1, &[ReasonCode::NOT_AUTHORIZED]);
    assert_eq!(
        task.woken().expect_err("refused").kind(),
        SubscribeErrorKind::Rejected
    );
}

#[test]
fn a_reply_goes_where_the_request_says() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let request = |list: &[Property<'_>]| {
        mqtt5_proto::Message::try_from(&Publish {
            delivery: Delivery::AtMostOnce,
            retain: false,
            topic: Some(TopicName::new("t").expect("valid")),
            properties: Properties::new(list).expect("valid"),
            payload: b"",
        })
        .expect("can be encoded")
    };
    let all = [
        Property::ResponseTopic("r/1"),
        Property::CorrelationData(b"\0x"),
    ];
    for (list, data) in [(&all[..], Some(&b"\0x"[..])), (&all[..1], None)] {
        let request = request(list);
        let reply = client.reply(&request, "!").expect("asks for an answer");
        now(reply.content_type("c")).expect("accepted");
        link.sent(|packet| match packet {
            Packet::Publish(publish) => {
                assert_eq!(publish.topic.map(TopicName::as_str), Some("r/1"));
                assert_eq!(publish.properties.correlation_data(), data);
                assert_eq!(publish.properties.content_type(), Some("c"));
            }
            packet => panic!("{packet:?}"),
        });
    }
    for list in [&[][..], &all[1..]] {
        assert!(client.reply(&request(list), "!").is_none());
    }
}

/// Servers forward such a Response Topic, although nobody may send it [MQTT-3.3.2-14].
#[test]
fn a_response_topic_with_a_wildcard_gets_no_reply() {
    let (client, mut subscription, mut link) = super::consumers::subscribed(options());
    let list = [Property::ResponseTopic("r/x")];
    let mut bytes = Vec::new();
    Packet::Publish(Publish {
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: Some(TopicName::new("t").expect("valid")),
        properties: Properties::new(&list).expect("valid"),
        payload: b"",
    })
    .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut bytes)
    .expect("can be encoded");
    *bytes.last_mut().expect("not empty") = b'#';
    link.inbound.extend(bytes);
    link.run();
    let request = super::consumers::take(&mut subscription);
    assert_eq!(request.properties().response_topic(), Some("r/#"));
    assert!(client.reply(&request, "!").is_none());
}

#[test]
fn blocking_requests_wait_on_their_thread() {
    let broker = Broker::new(Config::default());
    let (client, mut link) = Link::new::<Blocking>(options(), Peer::Broker(Box::new(broker)));
    let thread = std::thread::spawn(move || {
        let mut requests = client.subscribe("t").wait().expect("granted");
        let requester = client.requester().wait().expect("granted");
        let threads: Vec<_> = (0..4_u8)
            .map(|number| {
                let requester = requester.clone();
                std::thread::spawn(move || {
                    let answer = requester
                        .request("t", vec![number])
                        .wait()
                        .expect("answered");
                    assert_eq!(answer.payload(), [number, 0]);
                })
            })
            .collect();
        for _ in 0..4 {
            let request = requests.recv().expect("not ended");
            let payload = [request.payload(), &[0]].concat();
            let reply = client.reply(&request, payload).expect("asks for an answer");
            reply.wait().expect("accepted");
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        client.disconnect().wait().expect("disconnected");
    });
    while !link.finished {
        link.run();
        std::thread::yield_now();
    }
    thread.join().expect("no panic");
}

/// Fifty tasks ask, one answers, all on an executor that polls inside `wake`; every third of them gives up.
#[test]
fn an_executor_that_polls_inside_wake_works_with_requests() {
    let (client, mut link) = online(options());
    let mut requests = subscribe(&mut link, client.subscribe("add").qos(QoS::AtLeastOnce));
    let responder = Inline::spawn({
        let client = client.clone();
        async move {
            while let Some(request) = requests.recv().await {
                let sum = request.payload()[0] + 100;
                let reply = client
                    .reply(&request, vec![sum])
                    .expect("asks for an answer");
                reply.qos(QoS::AtLeastOnce).await.expect("delivered");
            }
        }
    });
    let mut task = Task::new(client.requester());
    assert!(task.is_pending());
    link.run();
    let requester = task.woken().expect("granted");
    drop(task);
    let answered = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let (requester, answered) = (requester.clone(), answered.clone());
            Inline::spawn(async move {
                for round in 0..10 {
                    let request = requester.request("add", vec![number + round]);
                    if (number + round) % 3 == 0 {
                        let mut given_up = Task::new(request);
                        assert!(given_up.is_pending());
                        continue;
                    }
                    let answer = request.qos(QoS::AtLeastOnce).await.expect("answered");
                    assert_eq!(answer.payload(), [number + round + 100]);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    link.run();
    assert!(tasks.iter().all(|task| task.is_done()) && !responder.is_done());
    let given_up = (0..50).flat_map(|number| (0..10).map(move |round| number + round));
    let given_up = given_up.filter(|sum| sum % 3 == 0).count();
    assert_eq!(answered.load(Ordering::Relaxed), 500 - given_up);
    assert_eq!(
        (requester.unmatched(), requester.open_requests()),
        (given_up as u64, 0)
    );
}

/// A requester that is given up while it is made leaves nothing behind, whenever that is.
#[test]
fn making_a_requester_can_be_dropped_at_every_poll() {
    for polls in 0..3 {
        let (client, mut link) =
            Link::new::<Async>(options().client_id(""), Peer::Script(Vec::new()));
        let mut task = Task::new(client.requester());
        assert_eq!(link.sent_types(), ["CONNECT"]);
        if polls > 0 {
            assert!(task.is_pending());
        }
        let assigned = [Property::AssignedClientIdentifier("auto")];
        link.send(connack(Properties::new(&assigned).expect("valid")));
        if polls > 1 {
            assert!(task.flag.take() > 0 && task.is_pending());
            assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
        }
        drop(task);
        let expected: &[&str] = if polls > 1 { &["UNSUBSCRIBE"] } else { &[] };
        assert_eq!(link.sent_types(), expected, "{polls}");
        let statistics = client.statistics();
        assert_eq!(
            (statistics.subscriptions, statistics.filters),
            (0, 0),
            "{polls}"
        );
    }
}
