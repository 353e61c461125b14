//! Requests, and how each gets its answer.

use super::executor::{Task, now};
use super::subscribe::suback;
use super::{Link, acknowledgement, options, reconnecting, scripted};
use crate::{
    Client, Interception, PublishErrorKind, QoS, ReasonCode, RequestErrorKind as Kind, Requester,
};
use core::error::Error;
use core::time::Duration;
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, PacketId, Properties, Property, RetainHandling, TopicName};
use std::sync::{Arc, Mutex};

const RESPONSES: &str = "me/responses/1";

/// A client with a requester, and its script.
pub(super) fn requesting(options: crate::Options) -> (Client, Requester, Link) {
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut task = Task::new(client.requester());
    assert!(task.is_pending());
    assert_eq!(subscribed(&mut link), RESPONSES);
    suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_1]);
    let requester = task.woken().expect("granted");
    drop(task);
    assert_eq!(requester.response_topic(), RESPONSES);
    (client, requester, link)
}

/// The filter of the SUBSCRIBE that the client has sent.
pub(super) fn subscribed(link: &mut Link) -> String {
    link.sent(|packet| match packet {
        Packet::Subscribe(subscribe) => {
            let filter = subscribe.filters.iter().next().expect("one");
            assert_eq!(filter.retain_handling, RetainHandling::DoNotSend);
            filter.filter.as_str().to_owned()
        }
        packet => panic!("{packet:?}"),
    })
}

/// A request as the script sees it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    id: Option<u16>,
    payload: Vec<u8>,
    response_topic: String,
    pub(super) correlation_data: Vec<u8>,
    expiry: Option<u32>,
}

pub(super) fn asked(link: &mut Link) -> Asked {
    link.sent(|packet| match packet {
        Packet::Publish(publish) => Asked {
            id: publish.delivery.packet_id().map(PacketId::value),
            payload: publish.payload.to_vec(),
            response_topic: publish.properties.response_topic().expect("one").to_owned(),
            correlation_data: publish.properties.correlation_data().expect("one").to_vec(),
            expiry: publish.properties.message_expiry_interval(),
        },
        packet => panic!("{packet:?}"),
    })
}

pub(super) fn answer(link: &mut Link, asked: &Asked, payload: &[u8]) {
    let list = [Property::CorrelationData(&asked.correlation_data)];
    link.send(Packet::Publish(Publish {
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: Some(TopicName::new(&asked.response_topic).expect("valid")),
        properties: Properties::new(&list).expect("valid"),
        payload,
    }));
}

#[test]
fn a_request_says_where_the_answer_goes_and_gets_it() {
    let (_client, requester, mut link) = requesting(options());
    let request = requester.request("t", "?").content_type("c");
    let mut task = Task::new(request.user_property("k", "v"));
    assert!(task.is_pending());
    let request = asked(&mut link);
    assert_eq!((&*request.payload, request.id), (&b"?"[..], None));
    assert_eq!(request.response_topic, RESPONSES);
    assert_eq!(request.expiry, Some(10));
    assert_eq!(
        (request.correlation_data.len(), requester.open_requests()),
        (16, 1)
    );
    answer(&mut link, &request, b"!");
    assert_eq!(task.woken().expect("answered").payload(), b"!");
    assert_eq!((requester.open_requests(), requester.unmatched()), (0, 0));
    assert_eq!(
        task.done().expect_err("over").kind(),
        Kind::Closed,
        "polled again"
    );
}

#[test]
fn requests_share_a_subscription_and_each_gets_its_own_answer() {
    let (_client, requester, mut link) = requesting(options());
    let clone = requester.clone();
    let mut tasks: Vec<_> = (0..10)
        .map(|number| {
            let requester = if number % 2 == 0 { &requester } else { &clone };
            let mut task = Task::new(requester.request("t", vec![number]));
            assert!(task.is_pending());
            task
        })
        .collect();
    let requests: Vec<_> = (0..10).map(|_| asked(&mut link)).collect();
    for index in [3, 9, 0, 1, 8, 2, 7, 6, 4, 5] {
        for task in &tasks {
            task.flag.take();
        }
        answer(&mut link, &requests[index], &requests[index].payload);
        for (other, task) in tasks.iter().enumerate() {
            assert_eq!(
                task.flag.take(),
                usize::from(other == index),
                "only who is meant"
            );
        }
        assert_eq!(
            tasks[index].done().expect("answered").payload(),
            [index as u8]
        );
    }
    assert_eq!((requester.open_requests(), requester.unmatched()), (0, 0));
}

/// Nobody depends on another request being polled, however many are dropped and whenever.
#[test]
fn requests_that_are_dropped_keep_no_answer_from_the_others() {
    let (_client, requester, mut link) = requesting(options());
    for dropped in 0..4 {
        let mut tasks: Vec<_> = (0..4)
            .map(|_| {
                let mut task = Task::new(requester.request("t", ""));
                assert!(task.is_pending());
                Some(task)
            })
            .collect();
        let requests: Vec<_> = (0..4).map(|_| asked(&mut link)).collect();
        let before = requester.unmatched();
        // One is dropped before any answer, one when its answer is there.
        tasks[dropped] = None;
        for request in &requests {
            answer(&mut link, request, b"");
        }
        tasks[(dropped + 1) % 4] = None;
        for task in tasks.iter_mut().flatten() {
            drop(task.woken().expect("answered"));
        }
        assert_eq!(requester.unmatched() - before, 1);
        assert_eq!(requester.open_requests(), 0);
    }
}

#[test]
fn a_request_can_be_dropped_at_every_poll() {
    for polls in 0..4 {
        let (_client, requester, mut link) = requesting(options());
        let mut task = Task::new(requester.request("t", "").qos(QoS::AtLeastOnce));
        for poll in 0..polls {
            assert!(task.is_pending());
            if poll == 1 {
                let request = asked(&mut link);
                let id = request.id.expect("QoS 1");
                link.send(Packet::Puback(acknowledgement(id, ReasonCode::SUCCESS)));
            }
        }
        drop(task);
        assert_eq!(requester.open_requests(), 0, "{polls}");
        let expected: &[&str] = if polls == 1 { &["PUBLISH"] } else { &[] };
        assert_eq!(link.sent_types(), expected, "{polls}");
    }
}

/// Who asks no more has no use for the request either.
#[test]
fn a_request_that_has_not_left_is_withdrawn_when_it_is_dropped() {
    let (_client, requester, mut link) = requesting(reconnecting());
    link.cut();
    let mut task = Task::new(requester.request("t", "").qos(QoS::AtLeastOnce));
    assert!(task.is_pending());
    drop(task);
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(super::accepted(true));
    assert_eq!(link.sent_types(), Vec::<&str>::new());
}

#[test]
fn time_ends_the_wait_and_late_answers_are_counted() {
    let (_client, requester, mut link) = requesting(options());
    let mut default = Task::new(requester.request("t", ""));
    let mut short = Task::new(
        requester
            .request("t", "")
            .timeout(Duration::from_millis(1500)),
    );
    assert!(default.is_pending() && short.is_pending());
    let requests = [asked(&mut link), asked(&mut link)];
    assert_eq!(
        [requests[0].expiry, requests[1].expiry],
        [Some(10), Some(2)]
    );
    link.pass(Duration::from_millis(1499));
    assert_eq!(short.flag.take(), 0);
    link.pass(Duration::from_millis(1));
    let error = short.woken().expect_err("too late");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::TimedOut, true));
    answer(&mut link, &requests[1], b"");
    assert_eq!(requester.unmatched(), 1);
    link.pass(Duration::from_millis(8500));
    assert_eq!(
        default.woken().expect_err("too late").kind(),
        Kind::TimedOut
    );
}

#[test]
fn answers_that_nobody_waits_for_are_counted() {
    let (_client, requester, mut link) = requesting(options());
    let mut task = Task::new(requester.request("t", ""));
    assert!(task.is_pending());
    let request = asked(&mut link);
    for (at, length) in [(0, 16), (15, 16), (0, 8), (0, 0)] {
        let mut other = request.clone();
        other.correlation_data[at] ^= 0x80;
        other.correlation_data.truncate(length);
        answer(&mut link, &other, b"wrong");
    }
    assert_eq!((requester.unmatched(), task.flag.take()), (4, 0));
    answer(&mut link, &request, b"first");
    answer(&mut link, &request, b"second");
    assert_eq!(requester.unmatched(), 5);
    assert_eq!(task.woken().expect("answered").payload(), b"first");
}

#[test]
fn what_the_server_says_about_the_request_ends_it() {
    let (_client, requester, mut link) = requesting(options());
    for (reason, kind) in [
        (ReasonCode::NO_MATCHING_SUBSCRIBERS, Kind::NoResponder),
        (ReasonCode::NOT_AUTHORIZED, Kind::NotPublished),
    ] {
        let mut task = Task::new(requester.request("t", "").qos(QoS::AtLeastOnce));
        assert!(task.is_pending());
        let id = asked(&mut link).id.expect("QoS 1");
        link.send(Packet::Puback(acknowledgement(id, reason)));
        let error = task.woken().expect_err("no answer");
        assert_eq!(error.kind(), kind);
        let rejected = (kind == Kind::NotPublished).then_some(reason);
        assert_eq!(error.reason_code(), rejected);
        assert_eq!(error.source().is_some(), rejected.is_some());
    }
    assert_eq!(requester.open_requests(), 0);
    let error = now(requester.request("a/#", "")).expect_err("invalid");
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (Kind::NotPublished, false)
    );
}

/// An answer that is here is better than anything the server says later.
#[test]
fn an_answer_before_the_acknowledgement_counts() {
    let (_client, requester, mut link) = requesting(options());
    let mut task = Task::new(requester.request("t", "").qos(QoS::AtLeastOnce));
    assert!(task.is_pending());
    let request = asked(&mut link);
    answer(&mut link, &request, b"!");
    let id = request.id.expect("QoS 1");
    let reason = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    link.send(Packet::Puback(acknowledgement(id, reason)));
    assert_eq!(task.woken().expect("answered").payload(), b"!");
}

#[test]
fn without_a_connection_a_request_fails_or_waits_as_publishes_do() {
    let (_client, requester, mut link) = requesting(reconnecting());
    link.cut();
    let error = now(requester.request("t", "")).expect_err("QoS 0");
    let source = error.source().and_then(|source| source.downcast_ref());
    let source: &crate::PublishError = source.expect("a publish error");
    assert_eq!(source.kind(), PublishErrorKind::NotConnected);
    assert!(error.kind() == Kind::NotPublished && error.is_retryable());
    let timeout = Duration::from_secs(3600);
    let request = requester.request("t", "").qos(QoS::AtLeastOnce);
    let mut task = Task::new(request.timeout(timeout));
    assert!(task.is_pending());
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(super::accepted(false));
    assert_eq!(
        subscribed(&mut link),
        RESPONSES,
        "the server had forgotten it"
    );
    let request = asked(&mut link);
    answer(&mut link, &request, b"!");
    assert_eq!(task.woken().expect("answered").payload(), b"!");
}

#[test]
fn open_requests_outlive_a_lost_connection() {
    for session_present in [true, false] {
        let (_client, requester, mut link) = requesting(reconnecting());
        let request = requester
            .request("t", "")
            .timeout(Duration::from_secs(3600));
        let mut task = Task::new(request);
        assert!(task.is_pending());
        let request = asked(&mut link);
        link.resume(session_present);
        if !session_present {
            assert_eq!(subscribed(&mut link), RESPONSES);
        }
        assert_eq!(task.flag.take(), 0);
        answer(&mut link, &request, b"!");
        assert_eq!(task.woken().expect("answered").payload(), b"!");
    }
}

/// The next answer may arrive while the application looks at one that it discards.
#[test]
fn an_answer_that_comes_while_another_is_discarded_counts() {
    type Hook = Box<dyn FnOnce() + Send>;
    let hook: Arc<Mutex<Option<Hook>>> = Arc::default();
    let called = hook.clone();
    let options = options().intercept_message(move |message| {
        if message.payload() != b"discard" {
            return Interception::Pass;
        }
        let hook = called.lock().expect("fine").take();
        hook.expect("called once")();
        Interception::Discard
    });
    let (_client, requester, mut link) = requesting(options);
    let mut task = Task::new(requester.request("t", ""));
    assert!(task.is_pending());
    let request = asked(&mut link);
    answer(&mut link, &request, b"discard");
    let link = Arc::new(Mutex::new(link));
    let other_end = link.clone();
    *hook.lock().expect("fine") = Some(Box::new(move || {
        answer(&mut other_end.lock().expect("fine"), &request, b"!");
    }));
    assert_eq!(task.woken().expect("answered").payload(), b"!");
    drop(link);
}

/// Whether the request has arrived is not known, so the answer may still come.
#[test]
fn a_request_whose_fate_is_unknown_waits_on() {
    let (_client, requester, mut link) = requesting(reconnecting());
    let request = requester.request("t", "").qos(QoS::ExactlyOnce);
    let mut task = Task::new(request.timeout(Duration::from_secs(3600)));
    assert!(task.is_pending());
    let request = asked(&mut link);
    link.resume(false);
    assert_eq!(subscribed(&mut link), RESPONSES);
    assert!(task.flag.take() > 0 && task.is_pending());
    assert_eq!(link.sent_types(), Vec::<&str>::new());
    answer(&mut link, &request, b"!");
    assert_eq!(task.woken().expect("answered").payload(), b"!");
}

#[test]
fn the_end_of_the_client_ends_requests() {
    let (client, requester, mut link) = requesting(options());
    let mut task = Task::new(requester.request("t", ""));
    assert!(task.is_pending());
    link.run();
    let mut disconnect = Task::new(client.disconnect());
    assert!(disconnect.is_pending());
    link.run();
    link.cut();
    let error = task.woken().expect_err("over");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Closed, false));
    assert_eq!(
        now(requester.request("t", "")).expect_err("over").kind(),
        Kind::Closed
    );
}

#[test]
fn a_response_topic_that_is_given_up_ends_the_requester() {
    let (client, requester, mut link) = requesting(options());
    let mut task = Task::new(requester.request("t", ""));
    assert!(task.is_pending());
    link.run();
    assert!(Task::new(client.unsubscribe(RESPONSES)).is_pending());
    assert_eq!(task.woken().expect_err("over").kind(), Kind::Closed);
    drop(task);
    assert_eq!(requester.open_requests(), 0);
}

/// What an interceptor discards is no answer; the next one may be.
#[test]
fn interceptors_see_requests_and_answers() {
    let options = options()
        .intercept_publish(|message| {
            message.set_property(Property::UserProperty("seen", "1"));
            Ok(())
        })
        .intercept_message(|message| match message.payload() {
            b"discard" => Interception::Discard,
            _ => {
                message.set_payload(b"changed").expect("short");
                Interception::Pass
            }
        });
    let (_client, requester, mut link) = requesting(options);
    let mut task = Task::new(requester.request("t", ""));
    assert!(task.is_pending());
    let request = asked(&mut link);
    answer(&mut link, &request, b"discard");
    assert!(task.flag.take() > 0 && task.is_pending());
    answer(&mut link, &request, b"!");
    assert_eq!(task.woken().expect("answered").payload(), b"changed");
    let mut task = Task::new(requester.request("t", ""));
    assert!(task.is_pending());
    let request = asked(&mut link);
    answer(&mut link, &request, b"discard");
    assert!(task.is_pending());
    link.pass(Duration::from_secs(10));
    assert_eq!(task.woken().expect_err("no answer").kind(), Kind::TimedOut);
}
