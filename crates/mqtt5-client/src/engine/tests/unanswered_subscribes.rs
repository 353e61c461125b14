//! What arrives for subscriptions that the application does not have yet, since their SUBACK was not read.

use super::consumers::{answers, take};
use super::dropped::payloads;
use super::executor::Task;
use super::session_loss::subscribed;
use super::stalls::stall;
use super::subscribe::suback;
use super::{Link, publish, reconnecting, room_for, scripted};
use crate::{Event, Options, Overflow, QoS, ReasonCode};
use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, Properties};

fn small() -> Options {
    reconnecting()
        .inbound_bytes(100)
        .maximum_packet_size(NonZeroU32::new(100).expect("not zero"))
        .receive_maximum(NonZeroU16::new(10).expect("not zero"))
        .stall_timeout(Duration::from_secs(3))
}

/// The server sends a message again that it sent on an earlier connection.
fn send_again(link: &mut Link, topic: &str, packet_id: u16) {
    let delivery = Delivery::AtLeastOnce {
        id: super::id(packet_id),
        dup: true,
    };
    let Packet::Publish(publish) = publish(topic, QoS::AtLeastOnce, packet_id, &[b'x'; 60]) else {
        unreachable!()
    };
    link.send(Packet::Publish(Publish {
        delivery,
        ..publish
    }));
}

/// The connection ends before SUBACK, by a stall or otherwise, and the next one asks again.
fn lose_suback(link: &mut Link, stalls: bool, session_present: bool) {
    assert_eq!(link.reading, !stalls);
    match stalls {
        true => stall(link, session_present),
        false => link.resume(session_present),
    }
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
}

/// SUBACK was behind more than may be held: the next connection brings it, whatever a second subscription has taken meanwhile, and whether
/// or not the server has kept the session.
#[test]
fn what_nobody_can_take_does_not_keep_suback_from_being_read() {
    for session_present in [true, false] {
        let (client, mut first, mut link) = subscribed(small());
        let mut second = Task::new(client.subscribe("a").qos(QoS::AtLeastOnce));
        assert!(second.is_pending());
        assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
        for packet_id in 1..=3 {
            link.send(publish("a", QoS::AtLeastOnce, packet_id, &[b'x'; 60]));
            drop(take(&mut first));
        }
        assert!(!link.reading);
        stall(&mut link, session_present);
        let asked = if session_present { 1 } else { 2 };
        assert_eq!(link.sent_types().len(), asked);
        assert!(link.reading, "{session_present}");
        if session_present {
            for packet_id in 1..=3 {
                send_again(&mut link, "a", packet_id);
                let ok = ReasonCode::SUCCESS;
                assert_eq!(answers(&mut link), [("PUBACK", packet_id, ok)]);
            }
            suback(&mut link, 3, &[ReasonCode::GRANTED_QOS_1]);
        } else {
            suback(&mut link, 3, &[ReasonCode::GRANTED_QOS_2]);
            suback(&mut link, 4, &[ReasonCode::GRANTED_QOS_1]);
        }
        assert!(matches!(first.try_recv(), Ok(None)), "it had them");
        let mut second = second.woken().expect("granted");
        let kept = core::iter::from_fn(|| second.try_recv().ok().flatten()).count();
        assert_eq!(
            kept,
            usize::from(!session_present),
            "what does not come again"
        );
        assert_eq!(second.dropped(), 3 - kept as u64);
        assert_eq!(client.statistics().held_messages, 0);
    }
}

/// What only the new subscription has is not lost with the connection: its redelivery hands it over.
#[test]
fn what_nobody_else_has_comes_again() {
    for stalls in [true, false] {
        let (client, mut link) = scripted(small(), Properties::EMPTY);
        let mut task = Task::new(client.subscribe("a").qos(QoS::AtLeastOnce));
        assert!(task.is_pending());
        let count = if stalls { 3 } else { 2 };
        for packet_id in 1..=count {
            link.send(publish("a", QoS::AtLeastOnce, packet_id, &[b'x'; 60]));
        }
        lose_suback(&mut link, stalls, true);
        send_again(&mut link, "a", 1);
        suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_1]);
        let mut subscription = task.woken().expect("granted");
        drop(take(&mut subscription));
        for packet_id in 2..=count {
            send_again(&mut link, "a", packet_id);
            drop(take(&mut subscription));
        }
        assert_eq!(link.sent_types().len(), count.into());
        assert!(matches!(subscription.try_recv(), Ok(None)));
    }
}

/// Nor what two new subscriptions share.
#[test]
fn what_only_new_subscriptions_have_comes_again_to_each() {
    let (client, mut link) = scripted(small(), Properties::EMPTY);
    let subscribe = |filter| Task::new(client.subscribe(filter).qos(QoS::AtLeastOnce));
    let mut tasks = ["a/#", "a/b"].map(subscribe);
    assert!(tasks.iter_mut().all(Task::is_pending));
    link.send(publish("a/b", QoS::AtLeastOnce, 1, &[b'x'; 60]));
    link.resume(true);
    assert_eq!(link.sent_types(), ["SUBSCRIBE", "SUBSCRIBE"]);
    send_again(&mut link, "a/b", 1);
    for packet_id in 3..=4 {
        suback(&mut link, packet_id, &[ReasonCode::GRANTED_QOS_1]);
    }
    let mut subscriptions = tasks.map(|mut task| task.woken().expect("granted"));
    for subscription in &mut subscriptions {
        drop(take(subscription));
        assert!(matches!(subscription.try_recv(), Ok(None)));
    }
    assert_eq!(link.sent_types(), ["PUBACK"]);
}

/// What does not come again stays for the subscription, as far as it leaves room for what may be before SUBACK; the rest is counted, told and
/// shown.
#[test]
fn what_does_not_come_again_waits_for_suback() {
    let ways: [fn(Options) -> Options; 3] = [
        |options| options,
        |options| options.clean_start(true),
        |options| options.session_expiry_interval(0),
    ];
    for way in ways {
        for (bytes, count, stalls, stays) in
            [(40, 2, false, 2), (40, 4, false, 2), (60, 3, true, 1)]
        {
            let (client, mut link) = scripted(way(small()), Properties::EMPTY);
            let mut events = client.events();
            let builder = client.subscribe("a").qos(QoS::AtLeastOnce);
            let mut task = Task::new(builder.observe_drops(9));
            assert!(task.is_pending());
            for packet_id in 1..=count {
                let payload = vec![packet_id as u8; bytes];
                link.send(publish("a", QoS::AtLeastOnce, packet_id, &payload));
            }
            lose_suback(&mut link, stalls, false);
            link.send(publish("a", QoS::AtLeastOnce, 9, &[9; 60]));
            assert!(link.reading);
            suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_1]);
            let mut subscription = task.woken().expect("granted");
            let taken: Vec<_> = (0..=stays)
                .map(|_| take(&mut subscription).payload()[0])
                .collect();
            let expected: Vec<_> = (1..=stays).chain([9]).collect();
            assert_eq!(taken, expected, "{bytes} {count}");
            assert!(matches!(subscription.try_recv(), Ok(None)));
            assert_eq!(client.statistics().held_messages, 0);
            let lost: Vec<_> = (stays + 1..=count as u8).collect();
            assert_eq!(payloads(&subscription.take_dropped()), lost);
            assert_eq!(client.statistics().messages_dropped, lost.len() as u64);
            let is_told = core::iter::from_fn(|| events.try_recv())
                .any(|event| matches!(event, Event::SlowConsumer { dropped, .. } if dropped > 0));
            assert_eq!(is_told, !lost.is_empty());
        }
    }
}

/// A queue that nobody can empty before SUBACK does not stop the reading.
#[test]
fn a_full_queue_does_not_pause_before_suback() {
    let bound = room_for(1);
    let options = small().subscription_queue(bound).overflow(Overflow::Pause);
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut task = Task::new(client.subscribe("a"));
    assert!(task.is_pending());
    for payload in [b"1", b"2"] {
        link.send(publish("a", QoS::AtMostOnce, 0, payload));
    }
    assert!(link.reading);
    suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_0]);
    let mut subscription = task.woken().expect("granted");
    assert_eq!(client.statistics().messages_dropped, 1);
    link.send(publish("a", QoS::AtMostOnce, 0, b"3"));
    assert!(!link.reading, "now it does");
    assert_eq!(take(&mut subscription).payload(), b"1");
    assert_eq!(take(&mut subscription).payload(), b"3");
    link.run();
    assert!(link.reading);
}
