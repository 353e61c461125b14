//! Not taking messages.

use super::consumers::{OK, answers, subscribed, take};
use super::executor::{Flag, Task, now};
use super::{accepted, acknowledgement, options, publish, reconnecting, room_for};
use crate::{Bound, ConnectionErrorKind, Event, Overflow, QoS, ReasonCode};
use core::future::pending;
use core::time::Duration;
use mqtt5_proto::Packet;

#[test]
fn qos_0_beyond_the_bound_is_dropped_newest_first_and_told() {
    let bound = room_for(3);
    for (overflow, expected) in [
        (Overflow::DropNewest, [0, 1, 2]),
        (Overflow::DropOldest, [2, 3, 4]),
    ] {
        let (client, mut subscription, mut link) =
            subscribed(options().subscription_queue(bound).overflow(overflow));
        let mut events = client.events();
        link.send(publish("a", QoS::AtLeastOnce, 1, b"kept"));
        for number in 0..5 {
            link.send(publish("a", QoS::AtMostOnce, 0, &[number]));
        }
        let slow = |dropped| Event::SlowConsumer {
            subscription: subscription.id(),
            held: 1,
            dropped,
        };
        assert_eq!(
            (events.try_recv(), events.try_recv()),
            (Some(slow(1)), None),
            "one report in a second"
        );
        assert_eq!(
            (
                client.statistics().messages_dropped,
                client.statistics().messages_received
            ),
            (2, 6)
        );
        assert_eq!(
            take(&mut subscription).payload(),
            b"kept",
            "QoS 1 is never dropped"
        );
        for number in expected {
            assert_eq!(take(&mut subscription).payload(), [number]);
        }
        assert!(matches!(subscription.try_recv(), Ok(None)));
        link.send(publish("a", QoS::AtMostOnce, 0, b"room again"));
        assert_eq!(take(&mut subscription).payload(), b"room again");
    }
}

/// HB-49: the bound holds in bytes, too: a large message takes the place of as many small ones as it needs.
#[test]
fn dropping_the_oldest_keeps_the_bound_in_bytes() {
    let bound = Bound {
        messages: 100,
        bytes: 1_000,
    };
    let options = options()
        .subscription_queue(bound)
        .overflow(Overflow::DropOldest);
    let (client, mut subscription, mut link) = subscribed(options);
    for number in 0..10 {
        link.send(publish("a", QoS::AtMostOnce, 0, &[number; 10]));
    }
    for number in 0..3 {
        link.send(publish("a", QoS::AtMostOnce, 0, &[number; 900]));
    }
    let mut bytes = 0;
    while let Ok(Some(message)) = subscription.try_recv() {
        bytes += message.payload().len();
    }
    assert!((900..=1_000).contains(&bytes), "{bytes}");
    assert!(client.statistics().messages_dropped >= 11);
}

#[test]
fn pausing_stops_reading_until_the_queue_is_fetched() {
    let bound = room_for(2);
    let (client, mut subscription, mut link) = subscribed(
        options()
            .subscription_queue(bound)
            .overflow(Overflow::Pause),
    );
    let mut events = client.events();
    for number in 0..7 {
        publish("a", QoS::AtMostOnce, 0, &[number])
            .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut link.inbound)
            .expect("valid");
    }
    link.run();
    assert!(!link.reading);
    assert_eq!(events.try_recv(), Some(Event::ReadingPaused));
    link.pass(Duration::from_secs(45));
    assert!(
        client.is_connected(),
        "this pause has no end but the consumer's"
    );
    for number in 0..7 {
        let mut task = Task::new(subscription.recv());
        let message = match task.poll() {
            core::task::Poll::Ready(message) => message,
            core::task::Poll::Pending => {
                link.run();
                task.woken()
            }
        };
        assert_eq!(message.expect("a message").payload(), [number]);
    }
    assert!(matches!(subscription.try_recv(), Ok(None)));
    link.run();
    assert!(link.reading && client.statistics().messages_dropped == 0);
    assert_eq!(events.try_recv(), Some(Event::ReadingResumed));
}

/// What arrives before SUBACK can be taken by nobody before SUBACK is read; for so long the bound is twice as large.
#[test]
fn reading_goes_on_while_a_subscribe_is_unanswered() {
    let (client, mut first, mut link) = subscribed(options().inbound_bytes(20));
    let mut second = Task::new(client.subscribe("b").qos(QoS::AtLeastOnce));
    assert!(second.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    for packet_id in 1..=2 {
        link.send(publish("b", QoS::AtLeastOnce, packet_id, &[0; 20]));
    }
    assert!(link.reading);
    super::subscribe::suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_1]);
    let mut second = second.woken().expect("granted");
    assert!(!link.reading, "now it can be taken, and must be");
    drop((take(&mut first), take(&mut second)));
    link.run();
    assert!(link.reading);
}

/// What an ending subscription has not handed over must not keep UNSUBACK from being read.
#[test]
fn a_subscription_that_unsubscribes_lets_go_of_what_it_holds() {
    for fetched in [false, true] {
        let (_client, mut subscription, mut link) = subscribed(options().inbound_bytes(10));
        link.send(publish("a", QoS::AtMostOnce, 0, b""));
        for packet_id in 1..=2 {
            link.send(publish("a", QoS::AtLeastOnce, packet_id, &[0; 20]));
        }
        assert!(!link.reading);
        if fetched {
            drop(take(&mut subscription));
        }
        let mut unsubscribe = Task::new(subscription.unsubscribe());
        assert!(unsubscribe.is_pending());
        assert_eq!(link.sent_types(), ["UNSUBSCRIBE", "PUBACK", "PUBACK"]);
        assert!(link.reading);
    }
}

/// Nor must its full queue, since nothing more will come for it; it can still be emptied where somebody has it.
#[test]
fn a_full_queue_of_a_subscription_that_ends_stops_nobody() {
    let full = |fetched| {
        let options = options().subscription_queue(room_for(2));
        let (client, mut subscription, mut link) = subscribed(options.overflow(Overflow::Pause));
        for number in 0..2 {
            link.send(publish("a", QoS::AtMostOnce, 0, &[number]));
        }
        if fetched {
            drop(take(&mut subscription));
        }
        assert!(!link.reading);
        (client, subscription, link)
    };
    for fetched in [false, true] {
        let (client, subscription, mut link) = full(fetched);
        let mut unsubscribe = Task::new(subscription.unsubscribe());
        assert!(unsubscribe.is_pending());
        assert_eq!(link.sent_types(), ["UNSUBSCRIBE"]);
        assert!(link.reading, "{fetched}");
        drop(unsubscribe);
        assert!(link.reading && client.is_connected());

        let (client, mut subscription, mut link) = full(fetched);
        let mut unsubscribe = Task::new(client.unsubscribe("#"));
        assert!(unsubscribe.is_pending());
        assert_eq!(link.sent_types(), ["UNSUBSCRIBE"]);
        assert!(link.reading, "{fetched}");
        let left = core::iter::from_fn(|| subscription.try_recv().ok().flatten());
        assert_eq!(left.count(), if fetched { 1 } else { 2 });
        assert!(subscription.try_recv().is_err() && link.reading);
    }
}

#[test]
fn a_paused_subscription_that_is_dropped_lets_the_others_go_on() {
    let bound = room_for(1);
    let (client, subscription, mut link) = subscribed(
        options()
            .subscription_queue(bound)
            .overflow(Overflow::Pause),
    );
    link.send(publish("a", QoS::AtMostOnce, 0, b""));
    assert!(!link.reading);
    link.wakes.take();
    drop(subscription);
    assert!(link.wakes.take() > 0, "the driver must be told");
    link.run();
    assert!(link.reading && client.is_connected());
}

#[test]
fn both_sides_of_the_driver_are_told_when_reading_goes_on() {
    let bound = room_for(1);
    let (_client, mut subscription, mut link) = subscribed(
        options()
            .subscription_queue(bound)
            .overflow(Overflow::Pause),
    );
    let ((reader, reader_waker), (writer, writer_waker)) = (Flag::new(), Flag::new());
    for _ in 0..2 {
        publish("a", QoS::AtMostOnce, 0, b"x")
            .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut link.inbound)
            .expect("valid");
    }
    link.run();
    assert!(!link.driver.turn_read(&mut link.incoming, &reader_waker));
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &writer_waker);
    assert!(turn.action.is_none());
    assert_eq!((reader.take(), writer.take()), (0, 0));
    drop(take(&mut subscription));
    assert_eq!(
        (reader.take(), writer.take()),
        (1, 1),
        "what was received before may wait in the machine"
    );
}

/// What was taken has room for as much again, whether or not the application has asked for more.
#[test]
fn taken_messages_cease_to_count() {
    let bound = room_for(3);
    let (client, mut subscription, mut link) = subscribed(options().subscription_queue(bound));
    for _ in 0..4 {
        for _ in 0..3 {
            link.send(publish("a", QoS::AtMostOnce, 0, b"x"));
        }
        for _ in 0..3 {
            drop(take(&mut subscription));
        }
    }
    assert_eq!(client.statistics().messages_dropped, 0);
}

#[test]
fn held_bytes_stop_the_reading_and_a_stall_ends_the_connection() {
    let (client, mut subscription, mut link) = subscribed(options().inbound_bytes(2_500));
    let mut events = client.events();
    for packet_id in 1..=5 {
        publish("a", QoS::AtLeastOnce, packet_id, &[0; 1_000])
            .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut link.inbound)
            .expect("valid");
    }
    link.run();
    assert!(!link.reading);
    assert_eq!(client.statistics().held_messages, 3);
    assert_eq!(events.try_recv(), Some(Event::ReadingPaused));
    link.pass(Duration::from_secs(20));
    assert!(matches!(
        events.try_recv(),
        Some(Event::SlowConsumer { held: 3, .. })
    ));
    drop(take(&mut subscription));
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK)]);
    assert_eq!(events.try_recv(), Some(Event::ReadingResumed));
    assert_eq!(
        events.try_recv(),
        Some(Event::ReadingPaused),
        "the next one was there already"
    );
    link.pass(Duration::from_secs(29));
    assert!(client.is_connected(), "the time starts anew");
    link.pass(Duration::from_secs(1));
    assert_eq!(
        now(client.closed()).map_err(|error| error.kind()),
        Err(ConnectionErrorKind::ConsumerStalled)
    );
    let reason = link.sent(|packet| match packet {
        Packet::Disconnect(disconnect) => disconnect.reason,
        packet => panic!("{packet:?}"),
    });
    assert_eq!(reason, ReasonCode::QUOTA_EXCEEDED);
    assert!(
        subscription.try_recv().is_err(),
        "what was not taken will come again"
    );
}

#[test]
fn waiting_for_a_puback_before_taking_does_not_deadlock_within_the_bound() {
    let (client, mut subscription, mut link) = subscribed(options().inbound_bytes(10_000));
    for packet_id in 1..=8 {
        link.send(publish("a", QoS::AtLeastOnce, packet_id, &[0; 1_000]));
    }
    let mut publishing = Task::new(client.publish("b", "x").qos(QoS::AtLeastOnce));
    assert!(publishing.is_pending());
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    link.send(Packet::Puback(acknowledgement(2, OK)));
    assert!(publishing.woken().is_ok());
    assert_eq!(
        (0..8)
            .filter(|_| subscription
                .try_recv()
                .is_ok_and(|message| message.is_some()))
            .count(),
        8
    );
}

#[test]
fn half_of_the_window_held_names_the_slow_subscription() {
    let options = options().receive_maximum(8.try_into().expect("not zero"));
    let (client, subscription, mut link) = subscribed(options);
    let mut events = client.events();
    for packet_id in 1..=3 {
        link.send(publish("a", QoS::AtLeastOnce, packet_id, b""));
    }
    assert_eq!(events.try_recv(), None);
    link.send(publish("a", QoS::AtLeastOnce, 4, b""));
    assert_eq!(
        events.try_recv(),
        Some(Event::SlowConsumer {
            subscription: subscription.id(),
            held: 4,
            dropped: 0
        })
    );
    link.send(publish("a", QoS::AtLeastOnce, 5, b""));
    assert_eq!(events.try_recv(), None, "once for each message that blocks");
}

#[test]
fn a_queue_that_pins_more_than_it_holds_copies_its_small_messages() {
    let bound = room_for(100_000);
    let (client, mut subscription, mut link) = subscribed(options().subscription_queue(bound));
    // Each small message arrives with a chunk of others that nobody wants.
    for number in 0..64_u8 {
        let mut chunk = Vec::new();
        publish("a", QoS::AtMostOnce, 0, &[number])
            .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut chunk)
            .expect("valid");
        publish("$x", QoS::AtMostOnce, 0, &[0; 100_000])
            .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut chunk)
            .expect("valid");
        link.inbound.extend(chunk);
        link.run();
    }
    let mut blocks = std::collections::BTreeSet::new();
    for number in 0..64_u8 {
        let message = take(&mut subscription);
        assert_eq!(message.payload(), [number]);
        blocks.insert(message.topic().as_ptr().addr() / (256 * 1024));
        core::mem::forget(message);
    }
    assert!(blocks.len() < 32, "spread over {} chunks", blocks.len());
    assert_eq!(client.statistics().messages_unmatched, 64);
}

/// E1: a handler that was cancelled and begins again has taken its message once: the other subscription has still to take it, and gets
/// what came before it first.
#[test]
fn a_handler_that_begins_again_does_not_change_the_order_of_others() {
    let options = reconnecting()
        .inbound_bytes(190)
        .stall_timeout(Duration::from_secs(3));
    let (client, mut slow, mut link) = subscribed(options);
    let message = |id: u16| publish("a", QoS::AtLeastOnce, id, &[0; 60]);
    link.send(message(1));
    let mut task = Task::new(client.subscribe("a").qos(QoS::AtLeastOnce));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    super::subscribe::suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_1]);
    let mut handled = task.woken().expect("granted");
    for id in 2..=3 {
        link.send(message(id));
    }
    for _ in 1..=2 {
        assert!(Task::new(handled.handle_each(|_| pending::<()>())).is_pending());
    }
    let mut task = Task::new(handled.handle_each(|_| pending::<()>()));
    assert!(task.is_pending());
    link.send(message(4));
    link.pass(Duration::from_secs(4));
    link.reconnect();
    link.sent_types();
    link.send(accepted(true));
    for _ in 1..=2 {
        drop(take(&mut slow));
    }
    assert!(matches!(slow.try_recv(), Ok(None)));
}
