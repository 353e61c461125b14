//! Acknowledgements by hand, and what is cancelled.

use super::super::consumers::{OK, answers, subscribed as hearing, take};
use super::super::executor::{Task, now};
use super::super::{Link, acknowledgement, options, publish, reconnecting, scripted};
use super::{start, success};
use crate::{
    AckMode, Client, Event, Message, OnDrop, Options, QoS, ReasonCode, RejectReason, Subscription,
};
use core::num::NonZeroU16;
use core::time::Duration;
use mqtt5_proto::{Decoding, FixedHeader, Packet, Properties, ProtocolVersion, Role};
use proptest::prelude::*;

/// Lets the driver write so many bytes at a time, and gives what was written.
fn dribble(link: &mut Link, step: usize, limit: usize) -> Vec<u8> {
    let mut written = Vec::new();
    let mut count = 0;
    while written.len() < limit {
        let turn = link
            .driver
            .turn_write(&mut link.outgoing, count, &link.waker);
        assert!(turn.action.is_none());
        let bytes = link.outgoing.first();
        count = bytes.len().min(step).min(limit - written.len());
        if count == 0 {
            break;
        }
        written.extend_from_slice(&bytes[..count]);
    }
    let turn = link
        .driver
        .turn_write(&mut link.outgoing, count, &link.waker);
    assert!(turn.action.is_none());
    written
}

fn payloads(bytes: &[u8]) -> Vec<String> {
    let decoding = Decoding::new(Role::Client);
    let mut at = 0;
    let mut payloads = Vec::new();
    while at < bytes.len() {
        let header = FixedHeader::parse(&bytes[at..], &decoding)
            .expect("well formed")
            .expect("a packet");
        let frame = &bytes[at..at + header.total_len()];
        match Packet::decode(frame, &decoding).expect("well formed") {
            Packet::Publish(publish) => {
                payloads.push(String::from_utf8_lossy(publish.payload).into_owned());
            }
            packet => panic!("{packet:?}"),
        }
        at += header.total_len();
    }
    payloads
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Futures that are dropped at any time, and writes that end anywhere, tear no packet, lose none and change no order.
    #[test]
    fn pitfall_25_nothing_that_is_cancelled_breaks_the_stream(
        publishes in proptest::collection::vec((0..3_usize, 0..400_usize, any::<bool>(), 0..500_usize), 1..30),
        step in 1..50_usize,
    ) {
        let (client, mut link) = scripted(options(), Properties::EMPTY);
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (number, (qos, length, dropped, some)) in publishes.into_iter().enumerate() {
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][qos];
            let payload = format!("{number}:{}", "x".repeat(length));
            let mut task = Task::new(client.publish("a", &payload).qos(qos));
            // A future that was polled has left its message, whether it is dropped or not.
            let _ = task.poll();
            if !dropped {
                let _ = task.poll();
            }
            drop(task);
            // One that was not polled has done nothing.
            drop(Task::new(client.publish("a", "never").qos(qos)));
            expected.push(payload);
            bytes.extend(dribble(&mut link, step, some));
        }
        bytes.extend(dribble(&mut link, step, usize::MAX));
        prop_assert_eq!(payloads(&bytes), expected);
    }
}

/// What is read in pieces and at any time is the same, and a future of `recv` that is dropped has taken nothing. S24.
#[test]
fn pitfall_25_receiving_can_be_cancelled_between_any_two_bytes() {
    let (_client, mut subscription, mut link) = hearing(options());
    let mut bytes = Vec::new();
    for packet_id in 1..=3 {
        publish("a", QoS::AtLeastOnce, packet_id, b"payload")
            .encode_to_vec(ProtocolVersion::V5, &mut bytes)
            .expect("valid");
    }
    for byte in bytes {
        let mut cancelled = Task::new(subscription.recv());
        if cancelled.poll().is_ready() {
            panic!("it is taken as soon as it is here");
        }
        link.inbound.push(byte);
        link.run();
        // Woken or not: it goes away before it looks.
        drop(cancelled);
        if link.inbound.is_empty() {
            while let Ok(Some(message)) = subscription.try_recv() {
                assert_eq!(message.payload(), b"payload");
            }
        }
    }
    assert_eq!(
        answers(&mut link),
        [("PUBACK", 1, OK), ("PUBACK", 2, OK), ("PUBACK", 3, OK)]
    );
}

fn manual(options: Options, window: u16) -> (Client, Subscription, Link) {
    let on_drop = OnDrop::Reject(RejectReason::UnspecifiedError);
    let window = NonZeroU16::new(window).expect("not zero");
    hearing(
        options
            .ack_mode(AckMode::Manual { on_drop })
            .receive_maximum(window)
            .inbound_margin(0),
    )
}

/// Messages are answered one by one, by themselves, in any order; the answers keep the order of arrival, how many are open can be seen,
/// and one that is forgotten does what was said. T46, T146, E2.
#[test]
fn pitfall_33_messages_are_answered_by_hand() {
    let (client, mut subscription, mut link) = manual(options(), 10);
    let mut events = client.events();
    for packet_id in 1..=4 {
        link.send(publish("a", QoS::AtLeastOnce, packet_id, b""));
    }
    let mut taken: Vec<_> = (0..4).map(|_| take(&mut subscription)).collect();
    assert_eq!(client.statistics().held_messages, 4);
    // From the last to the first, from another thread, and one of them never.
    let last = taken.pop().expect("four");
    std::thread::spawn(|| last.ack()).join().expect("no panic");
    taken.remove(1).reject(RejectReason::NotAuthorized);
    assert_eq!(answers(&mut link), []);
    taken.remove(0).ack();
    let refused = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(
        answers(&mut link),
        [("PUBACK", 1, OK), ("PUBACK", 2, refused)]
    );
    assert_eq!(client.statistics().held_messages, 1);
    drop(taken);
    let subscription = subscription.id();
    assert_eq!(events.try_recv(), Some(Event::Unanswered { subscription }));
    let unspecified = ReasonCode::UNSPECIFIED_ERROR;
    assert_eq!(
        answers(&mut link),
        [("PUBACK", 3, unspecified), ("PUBACK", 4, OK)]
    );
    assert_eq!(client.statistics().held_messages, 0);
}

/// A batch as large as the window can be gathered and answered at once, again and again; a larger one is never there to wait for.
#[test]
fn pitfall_34_batches_fit_a_small_window() {
    let (client, mut subscription, mut link) = manual(reconnecting(), 4);
    let mut next = 1;
    for round in 0..20 {
        for _ in 0..4 {
            let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][round % 2];
            link.send(publish("a", qos, next, &[0]));
            next += 1;
        }
        let mut batch = Vec::new();
        let mut receiving = Task::new(subscription.recv_many(&mut batch, 100));
        assert_eq!(receiving.done(), 4, "what is here, not what is asked for");
        drop(receiving);
        assert_eq!(client.statistics().held_messages, 4);
        assert!(answers(&mut link).is_empty());
        Message::ack_all(batch);
        let answered = answers(&mut link);
        assert_eq!(answered.len(), 4);
        for (name, id, _) in answered {
            if name == "PUBREC" {
                link.send(Packet::Pubrel(success(id)));
            }
        }
        link.sent_types();
        link.pass(Duration::from_secs(1));
    }
    assert!(client.is_connected());
    assert_eq!(
        client.connection().map(|info| info.session_present()),
        Some(false)
    );
}

/// Acknowledgements and answers to our own packets are read while every message that may be under way is held. HB-40.
#[test]
fn pitfall_22_a_full_window_blocks_nothing_else() {
    for window in [1, 2, 7] {
        let (client, _subscription, mut link) = manual(reconnecting(), window);
        let mut events = client.events();
        for packet_id in 1..=window {
            link.send(publish("a", QoS::ExactlyOnce, packet_id, b"held"));
        }
        assert!(link.reading);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut delivery = Task::new(start(&client, "out", qos));
            assert!(delivery.is_pending());
            assert_eq!(link.sent_types(), ["PUBLISH"]);
            match qos {
                QoS::ExactlyOnce => {
                    link.send(Packet::Pubrec(acknowledgement(3, OK)));
                    assert_eq!(link.sent_types(), ["PUBREL"]);
                    link.send(Packet::Pubcomp(acknowledgement(3, OK)));
                }
                _ => link.send(Packet::Puback(acknowledgement(2, OK))),
            }
            assert!(delivery.woken().is_ok());
        }
        let mut subscribe = Task::new(client.subscribe("more"));
        assert!(subscribe.is_pending());
        super::super::subscribe::suback(&mut link, 4, &[ReasonCode::GRANTED_QOS_0]);
        let _more = subscribe.woken().expect("granted");
        link.sent_types();
        // Keep alive goes on for as long as the application likes.
        for _ in 0..10 {
            link.pass(Duration::from_secs(55));
            assert_eq!(link.sent_types(), ["PINGREQ"]);
            link.send(Packet::Pingresp);
        }
        assert!(client.is_connected());
        let paused = core::iter::from_fn(|| events.try_recv())
            .any(|event| matches!(event, Event::ReadingPaused));
        assert!(!paused);
        assert!(now(client.publish("a", "x")).is_ok());
    }
}
