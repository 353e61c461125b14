//! Handling messages by a callback, and many at once.

use super::consumers::{OK, answers, subscribed, take};
use super::executor::{Inline, Task, now};
use super::{Link, Peer, acknowledgement, options, publish};
use crate::{
    AckMode, Blocking, Client, Event, Message, OnDrop, QoS, ReasonCode, RejectReason, Verdict,
};
use core::cell::{Cell, RefCell};
use core::future::{pending, poll_fn, ready};
use core::num::NonZeroUsize;
use core::panic::AssertUnwindSafe;
use core::task::{Poll, Waker};
use mqtt5_broker::{Broker, Config};
use mqtt5_proto::Packet;
use mqtt5_proto::packet::Delivery;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A gate that handlers wait at.
#[derive(Default)]
struct Gate {
    open: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Gate {
    async fn pass(&self) {
        poll_fn(|context| {
            *self.waker.borrow_mut() = Some(context.waker().clone());
            if self.open.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn open(&self) {
        self.open.set(true);
        self.waker
            .borrow_mut()
            .take()
            .into_iter()
            .for_each(Waker::wake);
    }
}

fn send(link: &mut Link, ids: impl IntoIterator<Item = u16>) {
    for id in ids {
        link.send(publish("a", QoS::AtLeastOnce, id, &[id as u8]));
    }
}

/// The subscription ends: the client gives its filter up.
fn end(client: &Client) {
    assert!(Task::new(client.unsubscribe("#")).is_pending());
}

#[test]
fn a_message_is_acknowledged_when_its_handler_is_done_and_the_next_waits_for_that() {
    let (client, mut subscription, mut link) = subscribed(options());
    let (gate, begun) = (Gate::default(), Cell::new(0));
    let mut task = Task::new(subscription.handle_each(|message| {
        begun.set(begun.get() + message.payload()[0]);
        assert!(!message.needs_answer());
        gate.pass()
    }));
    assert!(task.is_pending());
    send(&mut link, [1, 2]);
    assert!(task.flag.take() > 0 && task.is_pending());
    assert_eq!((begun.get(), answers(&mut link)), (1, vec![]));
    gate.open();
    assert!(task.flag.take() > 0 && task.is_pending());
    assert_eq!(begun.get(), 3);
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK), ("PUBACK", 2, OK)]);
    end(&client);
    task.woken();
}

#[test]
fn a_handler_that_fails_refuses_its_message() {
    struct Unreadable;
    impl From<Unreadable> for RejectReason {
        fn from(_: Unreadable) -> Self {
            Self::PayloadFormatInvalid
        }
    }
    let (_client, mut subscription, mut link) = subscribed(options());
    send(&mut link, [1, 2]);
    link.send(publish("a", QoS::ExactlyOnce, 3, b"\xff"));
    let judge = async |message: Message| match message.payload_str() {
        Some(_) => Ok(()),
        None => Err(Unreadable),
    };
    assert!(Task::new(subscription.handle_each(judge)).is_pending());
    let reason = ReasonCode::PAYLOAD_FORMAT_INVALID;
    assert_eq!(
        answers(&mut link),
        [("PUBACK", 1, OK), ("PUBACK", 2, OK), ("PUBREC", 3, reason)]
    );
}

#[test]
fn a_cancelled_handler_leaves_its_message_with_the_subscription() {
    let (client, mut subscription, mut link) = subscribed(options());
    let mut events = client.events();
    send(&mut link, [1, 2, 3]);
    assert!(Task::new(subscription.handle_each(|_| pending::<()>())).is_pending());
    assert_eq!(answers(&mut link), []);
    let seen = RefCell::new(Vec::new());
    let record = |message: Message| {
        seen.borrow_mut().push(message.payload()[0]);
        ready(())
    };
    assert!(Task::new(subscription.handle_each(record)).is_pending());
    assert_eq!(*seen.borrow(), [1, 2, 3]);
    assert_eq!(answers(&mut link).len(), 3);
    assert_eq!(events.try_recv(), None);
}

/// The connection is lost while a handler is at work: its verdict answers the redelivery, which no handler sees.
#[test]
fn a_verdict_outlives_the_connection_if_the_session_does() {
    let (_client, mut subscription, mut link) = subscribed(super::reconnecting());
    send(&mut link, [1]);
    let (gate, begun) = (Gate::default(), Cell::new(0));
    let mut task = Task::new(subscription.handle_each(|_| {
        begun.set(begun.get() + 1);
        gate.pass()
    }));
    assert!(task.is_pending());
    link.resume(true);
    let mut again = publish("a", QoS::AtLeastOnce, 1, &[1]);
    if let Packet::Publish(publish) = &mut again {
        publish.delivery = Delivery::AtLeastOnce {
            id: super::id(1),
            dup: true,
        };
    }
    link.send(again);
    assert!(task.is_pending());
    assert_eq!((begun.get(), answers(&mut link)), (1, vec![]));
    gate.open();
    assert!(task.is_pending());
    assert_eq!(
        (begun.get(), answers(&mut link)),
        (1, vec![("PUBACK", 1, OK)])
    );
}

/// In a new session nobody knows of the message any more, and what the server sends now is another one.
#[test]
fn a_verdict_of_a_lost_session_says_nothing() {
    let (_client, mut subscription, mut link) = subscribed(super::reconnecting());
    send(&mut link, [1, 2]);
    let gate = Gate::default();
    let mut task = Task::new(subscription.handle_each(|_| gate.pass()));
    assert!(task.is_pending());
    link.resume(false);
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    send(&mut link, [1]);
    gate.open();
    assert!(task.is_pending());
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK)]);
}

#[test]
fn a_cancelled_handler_in_manual_mode_does_what_the_mode_says() {
    for (on_drop, expected) in [
        (OnDrop::Hold, vec![]),
        (
            OnDrop::Reject(RejectReason::NotAuthorized),
            vec![("PUBACK", 1, ReasonCode::NOT_AUTHORIZED)],
        ),
    ] {
        let manual = AckMode::Manual { on_drop };
        let (client, mut subscription, mut link) = subscribed(options().ack_mode(manual));
        let mut events = client.events();
        send(&mut link, [1, 2]);
        assert!(Task::new(subscription.handle_each(|_| pending::<()>())).is_pending());
        assert_eq!(answers(&mut link), expected);
        let subscription_id = subscription.id();
        assert!(
            matches!(events.try_recv(), Some(Event::Unanswered { subscription }) if subscription == subscription_id)
        );
        assert_eq!(take(&mut subscription).payload(), [2]);
    }
}

#[test]
fn a_cancelled_handler_of_qos_0_has_had_its_message() {
    let (_client, mut subscription, mut link) = subscribed(options());
    for payload in [b"1", b"2"] {
        link.send(publish("a", QoS::AtMostOnce, 0, payload));
    }
    assert!(Task::new(subscription.handle_each(|_| pending::<()>())).is_pending());
    assert_eq!(take(&mut subscription).payload(), b"2");
}

#[test]
fn handlers_can_be_dropped_at_every_poll_and_nothing_is_lost() {
    for polls in 0..4 {
        let (_client, mut subscription, mut link) = subscribed(options());
        send(&mut link, [1, 2]);
        let steps = Cell::new(0);
        let handle = |_| {
            poll_fn(|context| {
                steps.set(steps.get() + 1);
                context.waker().wake_by_ref();
                // Each handler takes two polls.
                if steps.get() % 2 == 0 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        };
        let mut task = Task::new(subscription.handle_each(handle));
        for _ in 0..polls {
            assert!(task.is_pending());
        }
        drop(task);
        let done = answers(&mut link).len();
        let mut left = 0;
        while let Ok(Some(_)) = subscription.try_recv() {
            left += 1;
        }
        assert_eq!((polls, done + left), (polls, 2));
        assert_eq!(answers(&mut link).len(), left);
    }
}

/// T132: as many at once as was said, and no more.
#[test]
fn concurrent_handlers_keep_to_their_limit_and_answers_to_their_order() {
    let (_client, mut subscription, mut link) = subscribed(options());
    send(&mut link, 1..=4);
    let gates: Vec<Gate> = (0..5).map(|_| Gate::default()).collect();
    let begun = Cell::new(0);
    let mut task = Task::new(subscription.handle_concurrently(
        NonZeroUsize::new(3).expect("not zero"),
        |message: Message| {
            begun.set(begun.get() + 1);
            gates[usize::from(message.payload()[0])].pass()
        },
    ));
    assert!(task.is_pending());
    assert_eq!(begun.get(), 3);
    gates[2].open();
    assert!(task.is_pending());
    assert_eq!((begun.get(), answers(&mut link)), (4, vec![]));
    gates[1].open();
    assert!(task.is_pending());
    assert_eq!(answers(&mut link), [("PUBACK", 1, OK), ("PUBACK", 2, OK)]);
    drop(task);
    let left: Vec<u8> = (0..2)
        .map(|_| take(&mut subscription).payload()[0])
        .collect();
    assert_eq!(left, [3, 4], "given back in their order");
}

#[test]
fn a_flood_leaves_others_their_turn() {
    let (_client, mut subscription, mut link) = subscribed(options());
    for _ in 0..1_000 {
        link.send(publish("a", QoS::AtMostOnce, 0, b""));
    }
    let seen = Cell::new(0);
    let mut task = Task::new(subscription.handle_each(|_| {
        seen.set(seen.get() + 1);
        ready(())
    }));
    assert!(task.is_pending() && seen.get() < 1_000);
    while task.flag.take() > 0 {
        assert!(task.is_pending());
    }
    assert_eq!(seen.get(), 1_000);
}

#[test]
fn handlers_run_where_they_are_awaited_and_may_use_the_client() {
    let (client, mut subscription, mut link) = subscribed(options());
    let handled = Arc::new(AtomicUsize::new(0));
    let task = Inline::spawn({
        let (client, handled) = (client.clone(), handled.clone());
        async move {
            let handler = async |message: Message| {
                let answer = client.publish("b", message.payload());
                answer
                    .qos(QoS::AtLeastOnce)
                    .await
                    .map_err(|_| RejectReason::UnspecifiedError)?;
                handled.fetch_add(1, Ordering::Relaxed);
                Ok::<_, RejectReason>(())
            };
            subscription.handle_each(handler).await;
        }
    });
    link.send(publish("a", QoS::ExactlyOnce, 7, b"x"));
    assert_eq!(link.sent_types(), ["PUBLISH"], "no PUBREC yet");
    link.send(Packet::Puback(acknowledgement(2, OK)));
    assert_eq!(answers(&mut link), [("PUBREC", 7, OK)]);
    assert_eq!(handled.load(Ordering::Relaxed), 1);
    end(&client);
    assert!(task.is_done());
}

#[test]
fn a_verdict_is_made_of_what_handlers_return() {
    assert_eq!(().refusal(), None);
    assert_eq!(Ok::<(), RejectReason>(()).refusal(), None);
    let refused = Err::<(), _>(RejectReason::QuotaExceeded);
    assert_eq!(refused.refusal(), Some(RejectReason::QuotaExceeded));
}

fn manual() -> AckMode {
    AckMode::Manual {
        on_drop: OnDrop::Reject(RejectReason::UnspecifiedError),
    }
}

#[test]
fn a_batch_is_taken_and_acknowledged_at_once() {
    let (_client, mut subscription, mut link) = subscribed(options().ack_mode(manual()));
    let (_other_client, mut other, mut other_link) = subscribed(options().ack_mode(manual()));
    send(&mut link, 1..=5);
    send(&mut other_link, 1..=1);
    link.send(publish("a", QoS::AtMostOnce, 0, b"\x06"));
    let mut batch = Vec::new();
    assert_eq!(subscription.try_recv_many(&mut batch, 0), Ok(0));
    assert_eq!(subscription.try_recv_many(&mut batch, 2), Ok(2));
    assert_eq!(subscription.try_recv_many(&mut batch, 100), Ok(4));
    assert_eq!(subscription.try_recv_many(&mut batch, 100), Ok(0));
    let payloads: Vec<_> = batch.iter().map(|message| message.payload()[0]).collect();
    assert_eq!(payloads, [1, 2, 3, 4, 5, 6]);
    batch.insert(2, take(&mut other));
    batch.reverse();
    link.wakes.take();
    Message::ack_all(batch);
    assert_eq!(link.wakes.take(), 1);
    let acknowledged: Vec<_> = answers(&mut link).iter().map(|(_, id, _)| *id).collect();
    assert_eq!(acknowledged, [1, 2, 3, 4, 5]);
    assert_eq!(answers(&mut other_link), [("PUBACK", 1, OK)]);
}

#[test]
fn waiting_for_a_batch_ends_with_the_first_message() {
    let (client, mut subscription, mut link) = subscribed(options());
    let mut batch = Vec::new();
    let mut task = Task::new(subscription.recv_many(&mut batch, 10));
    assert!(task.is_pending() && task.is_pending());
    send(&mut link, [1, 2]);
    assert_eq!(task.woken(), 2);
    drop(task);
    assert_eq!(answers(&mut link).len(), 2);
    drop(Task::new(subscription.recv_many(&mut batch, 10)));
    end(&client);
    assert_eq!(now(subscription.recv_many(&mut batch, 10)), 0);
    assert_eq!(batch.len(), 2);
}

/// A callback is called on the thread that waits, may wait itself, and gives its message back when it panics.
#[test]
fn a_blocking_handler_runs_on_its_thread() {
    let broker = Broker::new(Config::default());
    let (client, mut link) = Link::new::<Blocking>(options(), Peer::Broker(Box::new(broker)));
    let thread = std::thread::spawn(move || {
        let here = std::thread::current().id();
        let subscribe = client.subscribe("a").qos(QoS::AtLeastOnce);
        let mut subscription = subscribe.wait().expect("granted");
        for payload in ["1", "2"] {
            let publish = client.publish("a", payload).qos(QoS::AtLeastOnce);
            publish.wait().expect("delivered");
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            subscription.handle_each(|_| -> () { panic!("expected") });
        }));
        assert!(panicked.is_err());
        assert_eq!(client.statistics().held_messages, 2);
        let mut seen = Vec::new();
        subscription.handle_each(|message| {
            assert_eq!(std::thread::current().id(), here);
            seen.push(message.payload()[0]);
            if message.payload() == b"2" {
                client.unsubscribe("a").wait().expect("unsubscribed");
            }
        });
        assert_eq!(seen, *b"12");
        client.disconnect().wait().expect("disconnected");
    });
    while !link.finished {
        link.run();
        std::thread::yield_now();
    }
    thread.join().expect("no panic");
}
