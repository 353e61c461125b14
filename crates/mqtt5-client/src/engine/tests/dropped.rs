//! Looking at what was dropped.

use super::subscribe::subscribe;
use super::{Link, online, options, publish, room_for, scripted};
use crate::{AckMode, Message, Overflow, QoS, Subscription};
use core::time::Duration;
use mqtt5_proto::Properties;

pub(super) fn payloads(messages: &[Message]) -> Vec<u8> {
    messages
        .iter()
        .map(|message| message.payload()[0])
        .collect()
}

/// A subscription with room for two messages that looks at the last three that it loses, after it was sent 0 to 6.
fn flooded(overflow: Overflow) -> (Subscription, Link) {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let bound = room_for(2);
    let builder = client.subscribe("a").bound(bound).overflow(overflow);
    let mut task = super::executor::Task::new(builder.observe_drops(3));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    super::subscribe::suback(&mut link, 1, &[crate::ReasonCode::GRANTED_QOS_0]);
    for number in 0..7 {
        link.pass(Duration::from_millis(10));
        link.send(publish("a", QoS::AtMostOnce, 0, &[number]));
    }
    (task.woken().expect("granted"), link)
}

#[test]
fn the_last_dropped_messages_can_be_looked_at_once() {
    for (overflow, dropped, left) in [
        (Overflow::DropNewest, [4, 5, 6], [0, 1]),
        (Overflow::DropOldest, [2, 3, 4], [6, b'x']),
    ] {
        let (mut subscription, mut link) = flooded(overflow);
        assert_eq!(subscription.dropped(), 5, "{overflow:?}");
        let messages = subscription.take_dropped();
        let arrival = Duration::from_millis(10) * (u32::from(dropped[0]) + 1);
        assert_eq!(
            messages[0].received_at().as_micros(),
            arrival.as_micros() as u64
        );
        assert_eq!(payloads(&messages), dropped);
        assert!(subscription.take_dropped().is_empty());
        link.send(publish("a", QoS::AtMostOnce, 0, b"x"));
        assert_eq!(subscription.take_dropped().len(), 1);
        let mut taken = Vec::new();
        while let Ok(Some(message)) = subscription.try_recv() {
            taken.push(message);
        }
        assert_eq!(payloads(&taken), left, "{overflow:?}");
    }
}

#[test]
fn nothing_is_kept_unless_it_was_asked_for() {
    let (client, mut link) = online(options());
    let bound = room_for(1);
    let builder = client.subscribe("a").bound(bound);
    let mut subscription = subscribe(&mut link, builder);
    for _ in 0..3 {
        drop(super::executor::now(client.publish("a", "x")));
        link.run();
    }
    assert_eq!(subscription.dropped(), 2);
    assert!(subscription.take_dropped().is_empty());
}

#[test]
fn what_was_acknowledged_on_arrival_is_shown_as_well() {
    let (client, mut link) = online(options().ack_mode(AckMode::OnArrival));
    let bound = room_for(1);
    let builder = client.subscribe("a").qos(QoS::ExactlyOnce).bound(bound);
    let mut subscription = subscribe(&mut link, builder.observe_drops(1));
    for payload in ["1", "2"] {
        let mut task =
            super::executor::Task::new(client.publish("a", payload).qos(QoS::ExactlyOnce));
        assert!(task.is_pending());
        link.run();
        task.woken().expect("delivered");
    }
    assert_eq!(payloads(&subscription.take_dropped()), *b"2");
}
