//! Taking messages, and when they are acknowledged.

use super::executor::Task;
use super::{Link, acknowledgement, id, options, publish, scripted};
use crate::{AckMode, Client, Event, OnDrop, Options, QoS, ReasonCode, RejectReason, Subscription};
use core::time::Duration;
use mqtt5_proto::packet::{List, SubscribeAcknowledgement};
use mqtt5_proto::{Packet, PacketId, Properties};

/// A client with one subscription to `#`, and its script.
pub(super) fn subscribed(options: Options) -> (Client, Subscription, Link) {
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let subscription = open(&client, &mut link, 1);
    (client, subscription, link)
}

fn open(client: &Client, link: &mut Link, packet_id: u16) -> Subscription {
    let mut task = Task::new(client.subscribe("#").qos(QoS::ExactlyOnce));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    let reasons = List::from(&[ReasonCode::GRANTED_QOS_2][..]);
    link.send(Packet::Suback(SubscribeAcknowledgement {
        packet_id: id(packet_id),
        properties: Properties::EMPTY,
        reasons,
    }));
    task.woken().expect("granted")
}

pub(super) fn take(subscription: &mut Subscription) -> crate::Message {
    subscription
        .try_recv()
        .expect("not ended")
        .expect("a message")
}

/// The acknowledgements that the client has sent, as type, id and reason.
pub(super) fn answers(link: &mut Link) -> Vec<(&'static str, u16, ReasonCode)> {
    let mut answers = Vec::new();
    link.run();
    while matches!(&link.peer, super::Peer::Script(bytes) if !bytes.is_empty()) {
        answers.push(link.sent(|packet| match packet {
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => (
                packet.packet_type().name(),
                ack.packet_id.value(),
                ack.reason,
            ),
            packet => panic!("{packet:?}"),
        }));
    }
    answers
}

pub(super) const OK: ReasonCode = ReasonCode::SUCCESS;

/// T154: messages of each QoS.
#[test]
fn taking_acknowledges_and_arriving_does_not() {
    let (_client, mut subscription, mut link) = subscribed(options());
    link.send(publish("a", QoS::AtLeastOnce, 1, b"1"));
    link.send(publish("a", QoS::ExactlyOnce, 2, b"2"));
    link.send(publish("a", QoS::AtMostOnce, 0, b"0"));
    assert_eq!(answers(&mut link), []);
    assert_eq!(take(&mut subscription).payload(), b"1");
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK)]);
    let message = take(&mut subscription);
    assert_eq!(
        (message.payload(), message.qos()),
        (&b"2"[..], QoS::ExactlyOnce)
    );
    message.reject(RejectReason::NotAuthorized);
    assert_eq!(
        answers(&mut link),
        [("PUBREC", 2, OK)],
        "acknowledged when taken; to refuse needs manual mode"
    );
    link.send(Packet::Pubrel(acknowledgement(2, OK)));
    assert_eq!(answers(&mut link), [("PUBCOMP", 2, OK)]);
    assert_eq!(take(&mut subscription).payload(), b"0");
    assert!(matches!(subscription.try_recv(), Ok(None)));
}

/// T146: whatever the order in which they are given.
#[test]
fn answers_by_hand_leave_in_the_order_of_arrival() {
    let manual = AckMode::Manual {
        on_drop: OnDrop::Reject(RejectReason::UnspecifiedError),
    };
    let (client, mut subscription, mut link) = subscribed(options().ack_mode(manual));
    let mut events = client.events();
    for packet_id in 1..=4 {
        link.send(publish("a", QoS::AtLeastOnce, packet_id, b""));
    }
    link.send(publish("a", QoS::ExactlyOnce, 5, b""));
    let mut taken: Vec<_> = (0..5).map(|_| take(&mut subscription)).collect();
    assert!(taken.iter().all(crate::Message::needs_answer));
    taken.pop().expect("five").ack();
    assert_eq!(
        answers(&mut link),
        [("PUBREC", 5, OK)],
        "the order is one for each QoS"
    );
    taken.pop().expect("four").ack();
    taken
        .pop()
        .expect("three")
        .reject(RejectReason::QuotaExceeded);
    assert_eq!(answers(&mut link), []);
    drop(taken.pop());
    assert_eq!(
        events.try_recv(),
        Some(Event::Unanswered {
            subscription: subscription.id()
        })
    );
    assert_eq!(answers(&mut link), []);
    taken.pop().expect("one").ack();
    let (refused, unspecified) = (ReasonCode::QUOTA_EXCEEDED, ReasonCode::UNSPECIFIED_ERROR);
    assert_eq!(
        answers(&mut link),
        [
            ("PUBACK", 1, OK),
            ("PUBACK", 2, unspecified),
            ("PUBACK", 3, refused),
            ("PUBACK", 4, OK)
        ]
    );
}

#[test]
fn a_message_that_is_held_when_dropped_blocks_what_is_behind_it() {
    let (client, mut subscription, mut link) = subscribed(options().ack_mode(AckMode::Manual {
        on_drop: OnDrop::Hold,
    }));
    let mut events = client.events();
    link.send(publish("a", QoS::AtLeastOnce, 1, b""));
    link.send(publish("a", QoS::AtLeastOnce, 2, b""));
    drop(take(&mut subscription));
    take(&mut subscription).ack();
    assert_eq!(answers(&mut link), []);
    assert_eq!(
        events.try_recv(),
        Some(Event::Unanswered {
            subscription: subscription.id()
        })
    );
    link.pass(Duration::from_secs(1));
    assert_eq!(
        events.try_recv(),
        None,
        "what blocks nobody that is held is not slow"
    );
}

#[test]
fn several_receivers_share_one_answer() {
    let (client, mut first, mut link) = subscribed(options());
    let mut second = open(&client, &mut link, 2);
    link.send(publish("a", QoS::AtLeastOnce, 1, b"x"));
    drop(take(&mut first));
    assert_eq!(answers(&mut link), []);
    assert_eq!(client.statistics().held_messages, 1);
    drop(take(&mut second));
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK)]);
    link.send(publish("a", QoS::AtLeastOnce, 2, b"y"));
    drop(take(&mut first));
    drop(second);
    assert_eq!(
        answers(&mut link),
        [("PUBACK", 2, OK)],
        "who is gone keeps nobody waiting"
    );
}

/// E2: the one that is told of is one that has not answered.
#[test]
fn who_has_answered_is_not_called_slow() {
    for slow in 0..3 {
        let (client, first, mut link) = subscribed(options());
        let mut subscriptions = vec![first];
        subscriptions.extend((2..4).map(|id| open(&client, &mut link, id)));
        let mut events = client.events();
        for packet_id in 1..=2 {
            link.send(publish("a", QoS::AtLeastOnce, packet_id, b""));
        }
        let slow = subscriptions.swap_remove(slow);
        drop(take(&mut subscriptions[0]));
        drop(subscriptions);
        link.pass(Duration::from_secs(2));
        let expected = Event::SlowConsumer {
            subscription: slow.id(),
            held: 2,
            dropped: 0,
        };
        assert_eq!(events.try_recv(), Some(expected));
    }
}

#[test]
fn messages_for_nobody_are_acknowledged_in_their_turn() {
    let (client, mut subscription, mut link) = subscribed(options());
    link.send(publish("a", QoS::AtLeastOnce, 1, b""));
    link.send(publish("$sys", QoS::AtLeastOnce, 2, b""));
    assert_eq!(answers(&mut link), []);
    assert_eq!(client.statistics().messages_unmatched, 1);
    drop(take(&mut subscription));
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK), ("PUBACK", 2, OK)]);
}

#[test]
fn acknowledging_on_arrival_is_a_choice_of_each_subscription() {
    let (client, mut manual, mut link) = subscribed(options());
    let mut eager = {
        let eager = client
            .subscribe("a")
            .qos(QoS::AtLeastOnce)
            .ack_mode(AckMode::OnArrival);
        let mut task = Task::new(eager);
        assert!(task.is_pending());
        assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
        let reasons = List::from(&[ReasonCode::GRANTED_QOS_1][..]);
        link.send(Packet::Suback(SubscribeAcknowledgement {
            packet_id: id(2),
            properties: Properties::EMPTY,
            reasons,
        }));
        task.woken().expect("granted")
    };
    link.send(publish("a", QoS::AtLeastOnce, 1, b""));
    assert_eq!(answers(&mut link), []);
    drop(take(&mut manual));
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK)]);
    drop(manual);
    assert_eq!(link.sent_types(), ["UNSUBSCRIBE"]);
    link.send(publish("a", QoS::AtLeastOnce, 2, b""));
    assert_eq!(answers(&mut link), [("PUBACK", 2, OK)]);
    assert_eq!(
        (take(&mut eager).packet_id(), take(&mut eager).packet_id()),
        (PacketId::new(1), PacketId::new(2))
    );
}

#[test]
fn receiving_can_be_dropped_at_every_poll() {
    for polls in 0..3 {
        let (_client, mut subscription, mut link) = subscribed(options());
        let mut task = Task::new(subscription.recv());
        for _ in 0..polls {
            assert!(task.is_pending());
        }
        link.send(publish("a", QoS::AtLeastOnce, 1, b"x"));
        drop(task);
        assert_eq!(answers(&mut link), [], "not taken, not acknowledged");
        assert_eq!(take(&mut subscription).payload(), b"x");
    }
}

#[test]
fn receiving_with_a_time_ends_with_it() {
    let (_client, mut subscription, mut link) = subscribed(options());
    let mut task = Task::new(subscription.recv_timeout(Duration::from_millis(20)));
    assert!(task.is_pending());
    link.pass(Duration::from_millis(19));
    assert_eq!(task.flag.take(), 0);
    link.pass(Duration::from_millis(1));
    assert!(matches!(task.woken(), Ok(None)));
    drop(task);
    let mut task = Task::new(subscription.recv_timeout(Duration::from_secs(1)));
    assert!(task.is_pending());
    link.send(publish("a", QoS::AtMostOnce, 0, b"x"));
    assert!(matches!(task.woken(), Ok(Some(message)) if message.payload() == b"x"));
}

/// Whoever closes acknowledges nothing that nobody has, also when there was a subscription for what no other matches.
#[test]
fn what_nobody_takes_any_more_is_left_to_the_next_connection() {
    for is_closing in [true, false] {
        let (client, mut link) = scripted(options().keep_unmatched(true), Properties::EMPTY);
        drop(client.unmatched().expect("kept"));
        let mut last = Task::new(client.publish("b", "").qos(QoS::AtLeastOnce));
        assert!(last.is_pending());
        let mut disconnect = Task::new(client.disconnect());
        if is_closing {
            assert!(disconnect.is_pending());
        }
        assert_eq!(link.sent_types(), ["PUBLISH"]);
        link.send(publish("a", QoS::AtLeastOnce, 1, b""));
        link.send(publish("a", QoS::ExactlyOnce, 2, b""));
        let expected = [("PUBACK", 1, OK), ("PUBREC", 2, OK)];
        let expected = if is_closing { &[] } else { &expected[..] };
        assert_eq!(answers(&mut link), expected);
        assert_eq!(client.statistics().messages_unmatched, 2);
    }
}
