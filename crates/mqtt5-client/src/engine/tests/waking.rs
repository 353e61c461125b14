//! Who is woken, when, and what wakers may do.

use super::executor::{Inline, Task, now};
use super::subscribe::subscribe;
use super::{Link, Peer, acknowledgement, online, options, room_for, scripted};
use crate::driver::Action;
use crate::{Async, Bytes, Client, KeepAlive, PublishErrorKind, QoS, ReasonCode, Subscription};
use core::future::IntoFuture;
use core::pin::Pin;
use core::task::{Context, Waker};
use core::time::Duration;
use mqtt5_proto::{Packet, Properties, Property, ProtocolVersion};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

#[test]
fn the_driver_is_woken_only_for_news() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    link.wakes.take();
    let publish = || drop(now(client.publish("t", "x")));
    publish();
    assert_eq!(link.wakes.take(), 1, "it was idle");
    publish();
    assert_eq!(link.wakes.take(), 0, "it knows");
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    assert!(turn.action.is_none());
    publish();
    assert_eq!(link.wakes.take(), 0, "it is writing");
    link.run();
    assert_eq!(
        (client.state(), client.statistics().publishes_accepted),
        (crate::State::Online, 3)
    );
    assert_eq!(link.wakes.take(), 0);
    let timeout = Duration::from_secs(1);
    let mut timed = Task::new(
        client
            .publish("t", "x")
            .qos(QoS::AtLeastOnce)
            .timeout(timeout),
    );
    link.run();
    assert!(timed.is_pending());
    link.run();
    link.wakes.take();
    let mut sooner = Task::new(client.closed());
    assert!(sooner.is_pending());
    assert_eq!(link.wakes.take(), 0, "a waiter is no news");
}

/// Between the order to hang up and the end of the transport, which may take a while, the driver sleeps.
#[test]
fn a_driver_that_was_told_to_hang_up_is_left_asleep() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut disconnect = Task::new(client.disconnect());
    assert!(disconnect.is_pending());
    let mut told = Vec::new();
    for _ in 0..4 {
        let written = link.outgoing.len();
        let turn = link
            .driver
            .turn_write(&mut link.outgoing, written, &link.waker);
        told.extend(turn.action);
    }
    assert!(matches!(told[..], [Action::Hangup(_)]), "{told:?}");
    link.wakes.take();
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    assert!(turn.action.is_none() && disconnect.is_pending());
    assert_eq!(link.wakes.take(), 0, "there is nothing to do");
}

/// The writer of an adapter with two threads sleeps until the connect timeout when CONNACK brings a Keep Alive that is shorter.
#[test]
fn what_is_read_wakes_the_writer_when_its_deadline_is_earlier() {
    let keep_alive = KeepAlive::seconds(2).expect("not zero");
    let (_client, mut link) =
        Link::new::<Async>(options().keep_alive(keep_alive), Peer::Script(Vec::new()));
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.wakes.take();
    let length = super::connack(Properties::EMPTY)
        .encode_to_vec(ProtocolVersion::V5, &mut link.inbound)
        .expect("valid");
    link.incoming.space()[..length].copy_from_slice(&link.inbound);
    link.incoming.filled(length);
    assert!(link.driver.turn_read(&mut link.incoming, Waker::noop()));
    assert_eq!(link.wakes.take(), 1);
    link.inbound.clear();
}

#[test]
fn an_earlier_deadline_wakes_the_driver_even_when_it_is_writing() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut subscription = {
        let mut task = Task::new(client.subscribe("a"));
        assert!(task.is_pending());
        link.run();
        task
    };
    assert!(subscription.is_pending());
    now(client.publish("t", "x")).expect("accepted");
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    assert!(turn.action.is_none() && !link.outgoing.is_empty());
    link.wakes.take();
    let mut timed = Task::new(
        client
            .publish("t", "x")
            .qos(QoS::AtLeastOnce)
            .timeout(Duration::from_secs(1)),
    );
    assert!(timed.is_pending());
    assert_eq!(link.wakes.take(), 1);
}

/// A message that waits in the machine, behind one that the server does not acknowledge, ends when it expires.
#[test]
fn what_waits_wakes_the_driver_when_it_expires() {
    let limit = [Property::ReceiveMaximum(1)];
    let properties = Properties::new(&limit).expect("valid");
    let (client, mut link) = scripted(options(), properties);
    let publish = || client.publish("t", "x").qos(QoS::AtLeastOnce);
    let mut first = Task::new(publish());
    assert!(first.is_pending());
    link.run();
    link.wakes.take();
    let expiry = Duration::from_secs(5);
    let mut expiring = Task::new(publish().message_expiry(expiry));
    assert!(expiring.is_pending());
    assert_eq!(link.wakes.take(), 1);
    link.pass(expiry - Duration::from_millis(1));
    assert!(expiring.is_pending());
    link.pass(Duration::from_millis(1));
    let error = expiring.woken().expect_err("expired");
    assert_eq!(error.kind(), PublishErrorKind::Expired);
    assert!(first.is_pending());
}

#[test]
fn an_executor_that_polls_inside_wake_works() {
    let (client, mut link) = online(options());
    let received = Arc::new(AtomicUsize::new(0));
    let task = Inline::spawn({
        let (client, received) = (client.clone(), received.clone());
        async move {
            let mut subscription = client
                .subscribe("a")
                .qos(QoS::ExactlyOnce)
                .await
                .expect("granted");
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
                .into_iter()
                .cycle()
                .take(30)
            {
                client.publish("a", "x").qos(qos).await.expect("delivered");
                let message = subscription.recv().await.expect("received");
                received.fetch_add(message.payload().len(), Ordering::Relaxed);
            }
            subscription.unsubscribe().await.expect("unsubscribed");
            client.disconnect().await.expect("disconnected");
        }
    });
    link.run();
    assert!(task.is_done() && link.finished);
    assert_eq!(received.load(Ordering::Relaxed), 30);
}

/// A waker that owns handles, and drops them when it is dropped or woken.
struct Owning(Mutex<Vec<Box<dyn core::any::Any + Send>>>);

impl Owning {
    fn waker(owned: impl core::any::Any + Send) -> Waker {
        Arc::new(Self(Mutex::new(vec![Box::new(owned)]))).into()
    }
}

impl Wake for Owning {
    fn wake(self: Arc<Self>) {
        drop(core::mem::take(&mut *self.0.lock().expect("not poisoned")));
    }
}

/// Runs `f` on a thread, so that a deadlock fails the test instead of hanging it.
pub(super) fn without_deadlock(f: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        f();
        drop(sender);
    });
    let end = receiver.recv_timeout(Duration::from_secs(20));
    assert_eq!(
        end,
        Err::<(), _>(std::sync::mpsc::RecvTimeoutError::Disconnected),
        "deadlock"
    );
    thread.join().expect("no panic");
}

#[test]
fn a_waker_may_drop_handles_when_it_is_dropped_replaced_or_woken() {
    without_deadlock(|| {
        let (client, mut link) = online(options());
        let mut open = |topic: &'static str| subscribe(&mut link, client.subscribe(topic));
        let mut subscription: Subscription = open("a");
        let wakers: Vec<_> = (0..12)
            .map(|_| Owning::waker((open("b"), client.clone(), client.events())))
            .collect();
        let mut wakers = wakers.into_iter();
        let mut next = || wakers.next().expect("enough");
        // A receive, an event, an operation, a condition: each gets a waker, then another, then is woken or dropped.
        for _ in 0..2 {
            let waker = next();
            assert!(
                Pin::new(&mut subscription.recv())
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let mut events = client.events();
        for _ in 0..2 {
            let waker = next();
            assert!(
                Pin::new(&mut events.recv())
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let mut publishing = client.publish("c", "x").qos(QoS::AtLeastOnce).into_future();
        let mut closed = client.closed();
        for _ in 0..2 {
            let (one, other) = (next(), next());
            assert!(
                Pin::new(&mut publishing)
                    .poll(&mut Context::from_waker(&one))
                    .is_pending()
            );
            assert!(
                Pin::new(&mut closed)
                    .poll(&mut Context::from_waker(&other))
                    .is_pending()
            );
        }
        now(client.publish("a", "wakes the receiver")).expect("accepted");
        link.run();
        drop((publishing, closed, events));
        link.cut();
        drop(subscription);
    });
}

/// Wakers of requests that own other requests' handles, replaced, woken by an answer and by the end, and dropped.
#[test]
fn a_waker_may_drop_requesters() {
    without_deadlock(|| {
        let (client, requester, mut link) = super::requests::requesting(options());
        let mut tasks: Vec<_> = (0..3)
            .map(|_| requester.request("t", "").into_future())
            .collect();
        for _ in 0..2 {
            for task in &mut tasks {
                let waker = Owning::waker((requester.clone(), client.clone()));
                let mut context = Context::from_waker(&waker);
                assert!(Pin::new(task).poll(&mut context).is_pending());
            }
        }
        let request = super::requests::asked(&mut link);
        super::requests::answer(&mut link, &request, b"");
        tasks.pop();
        link.cut();
        drop(tasks);
        assert_eq!(requester.open_requests(), 0);
    });
}

/// A payload whose owner locks the client when it goes away.
struct Payload(Client);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &[0; 10_000]
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        assert!(self.0.statistics().connects <= 1, "locks");
    }
}

#[test]
fn a_shared_payload_may_lock_the_client_when_it_is_dropped() {
    without_deadlock(|| {
        let (client, mut link) = scripted(options(), Properties::EMPTY);
        let payload = || Bytes::from_owner(Payload(client.clone()));
        for (qos, id) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1)] {
            let mut task = Task::new(client.publish("t", payload()).qos(qos));
            let _ = task.poll();
            link.run();
            if id > 0 {
                link.send(Packet::Puback(acknowledgement(id, ReasonCode::SUCCESS)));
            }
        }
        let mut open = Task::new(client.publish("t", payload()).qos(QoS::AtLeastOnce));
        assert!(open.is_pending());
        link.run();
        link.cut();
        drop(open);
    });
    without_deadlock(|| {
        let (client, link) = Link::new::<Async>(options(), Peer::Unreachable);
        let payload = Bytes::from_owner(Payload(client.clone()));
        let mut waiting = Task::new(client.publish("t", payload).qos(QoS::AtLeastOnce));
        assert!(waiting.is_pending());
        drop((waiting, link));
    });
}

#[test]
fn handles_and_futures_can_move_between_threads() {
    fn check<T: Send + Sync>() {}
    fn sent<T: Send>(_: &T) {}
    check::<Client>();
    check::<Client<crate::Blocking>>();
    check::<Subscription>();
    check::<crate::Delivery>();
    check::<crate::Events>();
    check::<crate::Message>();
    check::<crate::Requester>();
    check::<crate::driver::Driver>();
    let (client, mut link) = online(options());
    let mut subscription = subscribe(&mut link, client.subscribe("a"));
    sent(&client.publish("t", "x").into_future());
    sent(&client.publish("t", "x").start());
    sent(&client.subscribe("t").into_future());
    sent(&client.unsubscribe("t").into_future());
    sent(&client.disconnect().into_future());
    sent(&client.connected());
    sent(&client.requester().into_future());
    sent(&subscription.handle_each(|_| core::future::ready(())));
    sent(&subscription.recv());
}

#[test]
fn blocking_handles_wait_on_their_thread() {
    without_deadlock(|| {
        let (client, mut link) = Link::new::<crate::Blocking>(options(), Peer::Script(Vec::new()));
        let thread = std::thread::spawn(move || {
            client.connected().expect("connected");
            let waited = client.publish("t", "1").qos(QoS::AtLeastOnce).wait();
            let started = client.publish("t", "2").qos(QoS::AtLeastOnce).start();
            let delivery = started.expect("accepted");
            assert!(waited.is_ok() && delivery.wait().is_ok());
            client.disconnect().wait().expect("disconnected");
        });
        let mut answered = 0;
        let mut woken = true;
        while !link.finished {
            // The driver sleeps until it is woken, as a thread of its own would.
            if !core::mem::take(&mut woken) && link.wakes.take() == 0 {
                std::thread::yield_now();
                continue;
            }
            for packet in link.sent_types() {
                match packet {
                    "CONNECT" => link.send(super::connack(Properties::EMPTY)),
                    "PUBLISH" => {
                        answered += 1;
                        link.send(Packet::Puback(acknowledgement(
                            answered,
                            ReasonCode::SUCCESS,
                        )));
                    }
                    _ => {}
                }
            }
        }
        thread.join().expect("no panic");
    });
}

/// A payload whose owner tells when it goes away.
struct Told(Arc<AtomicUsize>);

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        &[0; 10_000]
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_payload_that_was_not_accepted_goes_away_with_its_publish() {
    let (client, link) = Link::new::<Async>(options(), Peer::Unreachable);
    let dropped = Arc::new(AtomicUsize::new(0));
    let payload = || Bytes::from_owner(Told(dropped.clone()));
    assert!(now(client.publish("t", payload())).is_err());
    assert_eq!(dropped.load(Ordering::Relaxed), 1, "refused");
    assert!(client.publish("t", payload()).try_publish().is_err());
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "refused at once");
    drop((client, link));
    let full = room_for(1);
    let (client, _link) = Link::new::<Async>(options().offline_queue(full), Peer::Unreachable);
    let publish = || client.publish("t", payload()).qos(QoS::AtLeastOnce);
    let _kept = publish().try_publish().expect("room");
    let mut waits = Task::new(publish());
    assert!(waits.is_pending());
    drop(waits);
    assert_eq!(dropped.load(Ordering::Relaxed), 3, "cancelled");
}
