//! Interceptors and the limits of our own.

use super::consumers::{OK, answers, subscribed, take};
use super::executor::{Task, now};
use super::{options, publish, room_for, scripted};
use crate::{
    AckMode, Interception, Message, OnDrop, Property, PublishErrorKind, QoS, ReasonCode,
    RejectReason, SubscribeErrorKind,
};
use core::cell::RefCell;
use core::error::Error;
use core::future::pending;
use mqtt5_proto::{Packet, Properties, TopicName};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// T136: several, in order.
#[test]
fn publish_interceptors_change_everything_in_order() {
    let options = options()
        .intercept_publish(|message| {
            assert_eq!((message.topic(), message.payload()), ("t", &b"x"[..]));
            assert_eq!((message.qos(), message.retain()), (QoS::AtMostOnce, false));
            assert_eq!(message.properties().content_type(), Some("c"));
            message.set_topic("changed");
            message.set_payload("longer");
            message.set_qos(QoS::AtLeastOnce);
            Ok(())
        })
        .intercept_publish(|message| {
            assert_eq!(
                (message.topic(), message.payload()),
                ("changed", &b"longer"[..])
            );
            message.set_retain(true);
            message.clear_properties();
            message.set_property(Property::UserProperty("k", "v"));
            Ok(())
        });
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut task = Task::new(client.publish("t", "x").content_type("c"));
    assert!(task.is_pending(), "it is QoS 1 now");
    link.sent(|packet| {
        let Packet::Publish(publish) = packet else {
            panic!("{packet:?}")
        };
        assert_eq!(publish.topic.map(TopicName::as_str), Some("changed"));
        assert_eq!((publish.payload, publish.retain), (&b"longer"[..], true));
        assert_eq!(publish.delivery.qos(), QoS::AtLeastOnce);
        assert_eq!(publish.properties.iter().count(), 1);
    });
    link.send(Packet::Puback(super::acknowledgement(1, OK)));
    assert!(task.woken().expect("delivered").is_acknowledged());
}

#[test]
fn the_first_publish_interceptor_that_refuses_is_the_last_that_is_asked() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (asked.clone(), asked.clone());
    let options = options()
        .intercept_publish(move |_| {
            first.lock().expect("fine").push(1);
            Err("not today".into())
        })
        .intercept_publish(move |_| {
            second.lock().expect("fine").push(2);
            Ok(())
        });
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let started = now(client.publish("t", "x").start()).map(drop);
    let tried = client.publish("t", "x").try_publish().map(drop);
    let awaited = now(client.publish("t", "x")).map(drop);
    for result in [started, tried, awaited] {
        let error = result.expect_err("refused");
        assert_eq!(error.kind(), PublishErrorKind::Intercepted);
        assert!(!error.is_retryable());
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("not today")
        );
    }
    assert_eq!(link.sent_types(), Vec::<&str>::new());
    assert_eq!(*asked.lock().expect("fine"), [1, 1, 1]);
}

#[test]
fn a_publish_that_waits_is_intercepted_once() {
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let bound = room_for(1);
    let options = options()
        .offline_queue(bound)
        .intercept_publish(move |message| {
            *counted.lock().expect("fine") += 1;
            let topic = format!("{}/seen", message.topic());
            message.set_topic(topic);
            Ok(())
        });
    let (client, mut link) =
        super::Link::new::<crate::Async>(options, super::Peer::Script(Vec::new()));
    let publish = || client.publish("t", "x").qos(QoS::AtLeastOnce);
    let _first = publish().try_publish().expect("room");
    let mut second = Task::new(publish());
    assert!(second.is_pending() && second.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(super::connack(Properties::EMPTY));
    assert!(second.is_pending());
    for _ in 0..2 {
        let topic = link.sent(|packet| match packet {
            Packet::Publish(publish) => publish.topic.map(|topic| topic.as_str().to_owned()),
            packet => panic!("{packet:?}"),
        });
        assert_eq!(topic.as_deref(), Some("t/seen"));
    }
    assert_eq!(*count.lock().expect("fine"), 2);
}

#[test]
fn what_an_interceptor_breaks_is_told_to_the_publisher() {
    let options = options().intercept_publish(|message| {
        message.set_topic("a/#");
        Ok(())
    });
    let (client, _link) = scripted(options, Properties::EMPTY);
    let error = now(client.publish("t", "x")).expect_err("invalid");
    assert_eq!(error.kind(), PublishErrorKind::InvalidTopic);
}

/// T128: what only a server may say, and what is the client's to choose, leaves with no PUBLISH. [MQTT-3.3.4-6].
#[test]
fn properties_that_are_not_a_publishers_are_refused() {
    for property in [
        Property::SubscriptionIdentifier(1),
        Property::ReasonString("because"),
        Property::TopicAlias(1),
        Property::AssignedClientIdentifier("you"),
    ] {
        let text = format!("{property:?}");
        let interceptor = move |message: &mut crate::PublishDraft<'_>| {
            message.set_property(property);
            Ok(())
        };
        let (client, mut link) =
            scripted(options().intercept_publish(interceptor), Properties::EMPTY);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let error = now(client.publish("t", "x").qos(qos)).expect_err("not allowed");
            assert_eq!(error.kind(), PublishErrorKind::InvalidProperty, "{text}");
        }
        assert!(link.sent_types().is_empty(), "{text}");
        assert!(client.is_connected());
    }
}

/// T136: of what is received.
#[test]
fn message_interceptors_change_discard_and_refuse() {
    let options = options()
        .intercept_message(|message| match message.payload() {
            b"discard" => Interception::Discard,
            b"refuse" => Interception::Refuse(RejectReason::NotAuthorized),
            _ => {
                let topic = TopicName::new("b").expect("valid");
                message.set_topic(topic).expect("short");
                Interception::Pass
            }
        })
        .intercept_message(|message| {
            assert_eq!(message.topic(), "b");
            let payload = [message.payload(), b"!"].concat();
            message.set_payload(&payload).expect("short");
            let list = [Property::ContentType("text")];
            let properties = Properties::new(&list).expect("valid");
            message.set_properties(properties).expect("allowed");
            Interception::Pass
        });
    let (_client, mut subscription, mut link) = subscribed(options);
    for (id, payload) in [(1, "discard"), (2, "refuse"), (3, "pass")] {
        link.send(publish("a", QoS::AtLeastOnce, id, payload.as_bytes()));
    }
    assert_eq!(answers(&mut link), []);
    let message = take(&mut subscription);
    assert_eq!((message.topic(), message.payload()), ("b", &b"pass!"[..]));
    assert_eq!(message.properties().content_type(), Some("text"));
    assert_eq!(
        (message.qos(), message.packet_id()),
        (QoS::AtLeastOnce, Some(super::id(3)))
    );
    let refused = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(
        answers(&mut link),
        [("PUBACK", 1, OK), ("PUBACK", 2, refused), ("PUBACK", 3, OK)]
    );
    link.send(publish("a", QoS::AtMostOnce, 0, b"discard"));
    assert!(matches!(subscription.try_recv(), Ok(None)));
}

/// Those that it keeps back do not count, and the others are not lost.
#[test]
fn batches_and_waiting_receivers_see_what_interceptors_pass() {
    let options = options().intercept_message(|message| match message.payload() {
        b"0" => Interception::Discard,
        _ => Interception::Pass,
    });
    let (_client, mut subscription, mut link) = subscribed(options);
    let mut send = |payload: &[u8]| link.send(publish("a", QoS::AtMostOnce, 0, payload));
    let mut task = Task::new(subscription.recv());
    assert!(task.is_pending());
    send(b"0");
    assert!(task.flag.take() > 0 && task.is_pending());
    send(b"1");
    assert_eq!(task.woken().expect("not ended").payload(), b"1");
    drop(task);
    [b"0", b"2", b"0", b"3", b"4"]
        .iter()
        .for_each(|payload| send(*payload));
    let mut batch = Vec::new();
    assert_eq!(now(subscription.recv_many(&mut batch, 2)), 2);
    assert_eq!(subscription.try_recv_many(&mut batch, 5), Ok(1));
    let payloads: Vec<_> = batch.iter().map(|message| message.payload()[0]).collect();
    assert_eq!(payloads, *b"234");
}

#[test]
fn messages_to_be_answered_by_hand_still_are() {
    let on_drop = OnDrop::Reject(RejectReason::QuotaExceeded);
    let options = options()
        .ack_mode(AckMode::Manual { on_drop })
        .intercept_message(|message| {
            message.set_payload(b"changed").expect("short");
            Interception::Pass
        });
    let (_client, mut subscription, mut link) = subscribed(options);
    for id in 1..=3 {
        link.send(publish("a", QoS::AtLeastOnce, id, b""));
    }
    let message = take(&mut subscription);
    assert!(message.needs_answer() && message.payload() == b"changed");
    assert_eq!(answers(&mut link), []);
    message.ack();
    drop(take(&mut subscription));
    let refused = ReasonCode::QUOTA_EXCEEDED;
    assert_eq!(
        answers(&mut link),
        [("PUBACK", 1, OK), ("PUBACK", 2, refused)]
    );
    let seen = RefCell::new(Vec::new());
    let handler = |message: Message| {
        seen.borrow_mut().push(message.payload().to_vec());
        pending::<()>()
    };
    assert!(Task::new(subscription.handle_each(handler)).is_pending());
    assert_eq!(*seen.borrow(), [b"changed"]);
}

/// A handler that was cancelled leaves what was received, not what an interceptor has made of it.
#[test]
fn a_message_that_is_given_back_is_intercepted_again() {
    let options = options().intercept_message(|message| {
        let payload = [message.payload(), b"!"].concat();
        message.set_payload(&payload).expect("short");
        Interception::Pass
    });
    let (_client, mut subscription, mut link) = subscribed(options);
    link.send(publish("a", QoS::AtLeastOnce, 1, b"x"));
    assert!(Task::new(subscription.handle_each(|_| pending::<()>())).is_pending());
    assert_eq!(take(&mut subscription).payload(), b"x!");
}

#[test]
fn a_message_whose_interceptor_panics_is_refused() {
    let options = options().intercept_message(|_| panic!("expected"));
    let (_client, mut subscription, mut link) = subscribed(options);
    link.send(publish("a", QoS::AtLeastOnce, 1, b""));
    assert!(catch_unwind(AssertUnwindSafe(|| subscription.try_recv())).is_err());
    let refused = ReasonCode::UNSPECIFIED_ERROR;
    assert_eq!(answers(&mut link), [("PUBACK", 1, refused)]);
}

/// Nothing is locked while one of them runs.
#[test]
fn interceptors_may_use_the_client() {
    let slot: Arc<Mutex<Option<crate::Client>>> = Arc::default();
    let (outbound, inbound) = (slot.clone(), slot.clone());
    let look = |slot: &Mutex<Option<crate::Client>>| {
        let client = slot.lock().expect("fine");
        client.as_ref().map(|client| client.statistics().connects)
    };
    let options = options()
        .intercept_publish(move |_| match look(&outbound) {
            Some(1) => Ok(()),
            _ => Err("no client".into()),
        })
        .intercept_message(move |_| match look(&inbound) {
            Some(1) => Interception::Pass,
            _ => Interception::Discard,
        });
    let (client, mut subscription, mut link) = subscribed(options);
    *slot.lock().expect("fine") = Some(client.clone());
    now(client.publish("t", "x")).expect("accepted");
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    link.send(publish("a", QoS::AtLeastOnce, 1, b"x"));
    assert_eq!(take(&mut subscription).payload(), b"x");
    slot.lock().expect("fine").take();
}

/// T133: topic length and payload size.
#[test]
fn limits_of_our_own_hold_for_what_leaves() {
    let options = options().maximum_topic_length(3).maximum_payload(4);
    let (client, mut link) = scripted(options, Properties::EMPTY);
    now(client.publish("abc", "1234")).expect("within the limits");
    let error = now(client.publish("abcd", "1234")).expect_err("too long");
    assert_eq!(error.kind(), PublishErrorKind::InvalidTopic);
    let error = now(client.publish("abc", "12345")).expect_err("too large");
    assert_eq!(error.kind(), PublishErrorKind::TooLarge);
    let error = now(client.subscribe("a/b/#")).expect_err("too long");
    assert_eq!(error.kind(), SubscribeErrorKind::InvalidFilter);
    assert_eq!(link.sent_types(), ["PUBLISH"]);
}

#[test]
fn a_payload_that_is_no_text_is_not_sent_as_text() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let publish = client.publish("t", b"\xff").payload_is_text(true);
    let error = now(publish).expect_err("no text");
    assert_eq!(error.kind(), PublishErrorKind::InvalidProperty);
    assert_eq!(link.sent_types(), Vec::<&str>::new());
}
