//! Publishing at each QoS, and how it can end.

use super::executor::{Task, now};
use super::{acknowledgement, online, options, scripted};
use crate::{Event, Payload, Progress, PublishErrorKind as Kind, QoS, ReasonCode};
use bytes::Bytes;
use core::time::Duration;
use mqtt5_proto::packet::Acknowledgement;
use mqtt5_proto::{EncodeError, Packet, Properties, Property, Refused, TopicError, TopicName};

/// T140, T154: each QoS.
#[test]
fn each_qos_completes_as_it_should() {
    let (client, mut link) = online(options());
    let zero = now(client.publish("t", "0")).expect("accepted");
    assert!(!zero.is_acknowledged());
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut publish = Task::new(client.publish("t", "1").qos(qos));
        assert!(publish.is_pending() && publish.is_pending());
        link.run();
        let delivered = publish.woken().expect("delivered");
        assert!(delivered.is_acknowledged());
        assert_eq!(delivered.reason(), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    }
    let statistics = client.statistics();
    assert_eq!(
        (
            statistics.publishes_accepted,
            statistics.publishes_delivered,
            statistics.unacknowledged_publishes
        ),
        (3, 2, 0)
    );
}

#[test]
fn everything_that_a_publish_says_is_on_the_wire() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let publish = client
        .publish("a/b", "text")
        .qos(QoS::AtLeastOnce)
        .retain(true)
        .payload_is_text(true)
        .message_expiry(Duration::from_millis(500))
        .response_topic("r")
        .correlation_data(b"\x00")
        .content_type("c")
        .user_property("k", "1")
        .user_property("k", "2");
    let mut publish = Task::new(publish);
    assert!(publish.is_pending());
    link.sent(|packet| {
        let Packet::Publish(publish) = packet else {
            panic!("{packet:?}")
        };
        let properties = publish.properties;
        assert_eq!(
            (
                publish.topic.map(TopicName::as_str),
                publish.payload,
                publish.retain
            ),
            (Some("a/b"), &b"text"[..], true)
        );
        assert_eq!(
            (
                properties.payload_format_indicator(),
                properties.message_expiry_interval()
            ),
            (Some(1), Some(1))
        );
        assert_eq!(
            (properties.response_topic(), properties.correlation_data()),
            (Some("r"), Some(&b"\x00"[..]))
        );
        assert_eq!(properties.content_type(), Some("c"));
        assert_eq!(
            properties.user_properties().collect::<Vec<_>>(),
            [("k", "1"), ("k", "2")]
        );
    });
    let said = [
        Property::ReasonString("fine"),
        Property::UserProperty("x", "y"),
    ];
    let properties = Properties::new(&said).expect("valid");
    link.send(Packet::Puback(Acknowledgement {
        properties,
        ..acknowledgement(1, ReasonCode::SUCCESS)
    }));
    let delivered = publish.woken().expect("delivered");
    assert_eq!(delivered.reason_string(), Some("fine"));
    assert_eq!(
        delivered.user_properties().collect::<Vec<_>>(),
        [("x", "y")]
    );
}

/// T137: reason code and words.
#[test]
fn a_rejection_carries_what_the_server_said() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let said = [Property::ReasonString("no")];
    let properties = Properties::new(&said).expect("valid");
    for (qos, id) in [(QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
        let mut publish = Task::new(client.publish("t", "x").qos(qos));
        assert!(publish.is_pending());
        link.run();
        let refusal = Acknowledgement {
            properties,
            ..acknowledgement(id, ReasonCode::QUOTA_EXCEEDED)
        };
        link.send(if qos == QoS::AtLeastOnce {
            Packet::Puback(refusal)
        } else {
            Packet::Pubrec(refusal)
        });
        let error = publish.woken().expect_err("rejected");
        assert_eq!(
            (error.kind(), error.reason_code(), error.reason_string()),
            (Kind::Rejected, Some(ReasonCode::QUOTA_EXCEEDED), Some("no"))
        );
        assert!(error.is_retryable(), "the server said: not now");
    }
    assert_eq!(client.statistics().publishes_rejected, 2);
}

/// T34, T35, T38, T133: Maximum QoS, packet size, retain.
#[test]
fn what_cannot_be_sent_fails_alone() {
    let limits = [
        Property::MaximumQoS(1),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(100),
    ];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let kind = |publish: crate::Publish<'_>| now(publish).map(drop).map_err(|error| error.kind());
    assert_eq!(
        kind(client.publish("t", "x").qos(QoS::ExactlyOnce)),
        Err(Kind::QoSNotSupported)
    );
    assert_eq!(
        kind(client.publish("t", "x").retain(true)),
        Err(Kind::RetainNotSupported)
    );
    assert_eq!(kind(client.publish("t", vec![0; 100])), Err(Kind::TooLarge));
    assert_eq!(kind(client.publish("t", "x")), Ok(()));
    let error = now(client.publish("a/#", "x")).expect_err("wildcard");
    assert_eq!(
        (error.kind(), source(&error)),
        (Kind::InvalidTopic, Some(TopicError::Wildcard.to_string()))
    );
    let error = now(client
        .publish("t", "x")
        .content_type("\0")
        .user_property("a", "b"))
    .expect_err("NUL");
    assert_eq!(
        (error.kind(), source(&error)),
        (
            Kind::InvalidProperty,
            Some(EncodeError::NulCharacter.to_string())
        )
    );
    let error = now(client.publish("t", vec![0xFF]).payload_is_text(true)).expect_err("no text");
    assert_eq!(
        (error.kind(), source(&error)),
        (
            Kind::InvalidProperty,
            Some(EncodeError::PayloadNotText.to_string())
        )
    );
    assert_eq!(kind(client.publish("t", "é").payload_is_text(true)), Ok(()));
    assert_eq!(link.sent_types(), ["PUBLISH"; 2]);
}

fn source(error: &impl std::error::Error) -> Option<String> {
    error.source().map(ToString::to_string)
}

#[test]
fn the_window_of_the_server_is_kept_and_order_with_it() {
    let limits = [Property::ReceiveMaximum(2)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let mut deliveries: Vec<_> = (0..5)
        .map(|i| {
            now(client
                .publish("t", i.to_string())
                .qos(QoS::AtLeastOnce)
                .start())
            .expect("accepted")
        })
        .map(Task::new)
        .collect();
    let mut seen = Vec::new();
    for id in 1..=5 {
        for _ in 0..if id == 1 { 2 } else { usize::from(id < 5) } {
            link.sent(|packet| match packet {
                Packet::Publish(publish) => seen.push(publish.payload.to_vec()),
                packet => panic!("{packet:?}"),
            });
        }
        assert!(link.sent_types().is_empty(), "no more than two are open");
        assert!(deliveries[usize::from(id) - 1].is_pending());
        link.send(Packet::Puback(acknowledgement(id, ReasonCode::SUCCESS)));
        assert!(deliveries[usize::from(id) - 1].woken().is_ok());
    }
    assert_eq!(seen, [b"0", b"1", b"2", b"3", b"4"]);
}

#[test]
fn progress_is_visible_and_only_what_was_never_encoded_is_withdrawn() {
    let limits = [Property::ReceiveMaximum(1)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let start = |payload: &'static str| {
        now(client.publish("t", payload).qos(QoS::AtLeastOnce).start()).expect("accepted")
    };
    let (first, second, third) = (start("1"), start("2"), start("3"));
    assert_eq!(
        [first.progress(), second.progress(), third.progress()],
        [Progress::Encoded, Progress::Pending, Progress::Pending]
    );
    let mut first = first.withdraw().expect_err("too late");
    assert!(second.withdraw().is_ok());
    link.run();
    assert!(first.try_outcome().is_none());
    link.send(Packet::Puback(acknowledgement(1, ReasonCode::SUCCESS)));
    assert_eq!(first.progress(), Progress::Complete);
    assert!(matches!(first.try_outcome(), Some(Ok(delivered)) if delivered.is_acknowledged()));
    assert_eq!(link.sent_types(), ["PUBLISH", "PUBLISH"]);
    drop(third);
    assert_eq!(client.statistics().waiting_publishes, 0);
}

/// T151: who gives up waiting for the window leaves its place to the others.
#[test]
fn a_timeout_withdraws_what_waits_and_lets_go_of_what_left() {
    let limits = [Property::ReceiveMaximum(1)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let publish = || {
        client
            .publish("t", "x")
            .qos(QoS::AtLeastOnce)
            .timeout(Duration::from_secs(3))
    };
    let (mut left, mut waits) = (Task::new(publish()), Task::new(publish()));
    assert!(left.is_pending() && waits.is_pending());
    link.pass(Duration::from_millis(2_999));
    assert!(left.flag.take() == 0 && waits.flag.take() == 0);
    link.pass(Duration::from_millis(1));
    assert_eq!(
        left.woken().map_err(|error| error.kind()),
        Err(Kind::TimedOut)
    );
    assert_eq!(
        waits.woken().map_err(|error| error.kind()),
        Err(Kind::TimedOut)
    );
    link.send(Packet::Puback(acknowledgement(1, ReasonCode::SUCCESS)));
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    assert!(client.is_connected() && client.statistics().unacknowledged_publishes == 0);
}

/// T138: blocking and non-blocking.
#[test]
fn qos_0_waits_for_the_transport_and_try_publish_does_not() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let payload = vec![7; 1_000];
    let mut accepted = 0;
    let mut waiting = loop {
        let mut publish = Task::new(client.publish("t", &payload));
        match publish.poll() {
            core::task::Poll::Ready(result) => accepted += usize::from(result.is_ok()),
            core::task::Poll::Pending => break publish,
        }
    };
    assert!(
        (60..70).contains(&accepted),
        "about 64 KiB are accepted at once: {accepted}"
    );
    let refused = loop {
        match client.publish("t", &payload).try_publish() {
            Ok(delivery) => drop(delivery),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), Kind::WouldBlock);
    let mut no_room = Task::new(client.publish("t", &payload));
    assert!(no_room.is_pending());
    link.run();
    assert!(waiting.woken().is_ok() && no_room.woken().is_ok());
}

#[test]
fn payloads_are_borrowed_or_shared() {
    let (client, mut link) = online(options());
    let mut subscription = {
        let mut task = Task::new(client.subscribe("t"));
        assert!(task.is_pending());
        link.run();
        task.woken().expect("granted")
    };
    let big = Bytes::from(vec![1; 100_000]);
    let text = String::from("s");
    let payloads: [Payload<'_>; 7] = [
        b"a".into(),
        "b".into(),
        (&text).into(),
        vec![2].into(),
        text.clone().into(),
        (&big).into(),
        big.clone().into(),
    ];
    for payload in payloads {
        let expected = payload.as_bytes().to_vec();
        now(client.publish("t", payload)).expect("accepted");
        link.run();
        assert_eq!(
            now(subscription.recv()).expect("received").payload(),
            expected
        );
    }
    assert!(big.is_unique() || !big.is_empty());
}

#[test]
fn what_is_open_when_the_connection_ends_is_unknown_or_not_sent() {
    let limits = [Property::ReceiveMaximum(1)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let mut events = client.events();
    let mut open = Task::new(client.publish("t", "x").qos(QoS::ExactlyOnce));
    let mut unsent = Task::new(client.publish("t", "x").qos(QoS::AtLeastOnce));
    assert!(open.is_pending() && unsent.is_pending());
    link.run();
    link.cut();
    assert_eq!(
        open.woken().map_err(|error| error.kind()),
        Err(Kind::Unknown)
    );
    assert_eq!(
        unsent.woken().map_err(|error| error.kind()),
        Err(Kind::NotSent)
    );
    assert_eq!(
        now(client.publish("t", "x")).map_err(|error| error.kind()),
        Err(Kind::Closed)
    );
    assert!(matches!(events.try_recv(), Some(Event::Disconnected(_))));
}

#[test]
fn a_publish_can_be_dropped_at_every_poll() {
    // Polls that are let happen before the future is dropped; the message arrives if and only if it was polled at all.
    for polls in 0..4 {
        let (client, mut link) = scripted(options(), Properties::EMPTY);
        let mut publish = Task::new(client.publish("t", "x").qos(QoS::ExactlyOnce));
        for poll in 0..polls {
            assert!(publish.is_pending());
            link.run();
            match poll {
                1 => link.send(Packet::Pubrec(acknowledgement(1, ReasonCode::SUCCESS))),
                2 => link.send(Packet::Pubcomp(acknowledgement(1, ReasonCode::SUCCESS))),
                _ => {}
            }
        }
        drop(publish);
        let expected: &[&str] = [
            &[][..],
            &["PUBLISH"],
            &["PUBLISH", "PUBREL"],
            &["PUBLISH", "PUBREL"],
        ][polls];
        assert_eq!(link.sent_types(), expected);
        assert!(client.is_connected());
    }
}

#[test]
fn more_than_the_protocol_can_say_is_too_large() {
    let kind = |error| crate::engine::publishing::error_of(Refused::Encode(error)).kind();
    assert_eq!(kind(EncodeError::PacketTooLarge), Kind::TooLarge);
    assert_eq!(kind(EncodeError::FieldTooLong), Kind::InvalidProperty);
}
