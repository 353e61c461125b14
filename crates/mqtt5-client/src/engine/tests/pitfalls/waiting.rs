//! Who waits for whom: nobody for ever.

use super::super::executor::{Inline, Task, now};
use super::super::subscribe::{subscribe, topics};
use super::super::{Link, Peer, online, options, reconnecting, room_for, scripted};
use super::start;
use crate::{Async, Bound, Client, Event, Overflow, PublishErrorKind as Kind, QoS, Subscription};
use core::time::Duration;
use mqtt5_proto::Properties;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every call is accepted or refused at once, whether or not anything drives the connection. T83, T132, S25.
#[test]
fn pitfall_19_no_call_needs_the_connection_to_be_driven() {
    let room = room_for(100);
    for connected in [true, false] {
        let options = options().offline_queue(room);
        let (client, link) = match connected {
            true => scripted(options, Properties::EMPTY),
            false => Link::new::<Async>(options, Peer::Unreachable),
        };
        // From here on nobody takes a turn of the driver.
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let refused = (0..1_000_000)
                .find_map(|_| client.publish("a", "x").qos(qos).try_publish().err())
                .expect("no queue is without a bound");
            let without_room = connected || qos != QoS::AtMostOnce;
            let expected = if without_room {
                Kind::WouldBlock
            } else {
                Kind::NotConnected
            };
            assert_eq!(refused.kind(), expected, "{connected} {qos:?}");
        }
        let mut publish = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
        let mut requests: Vec<_> = (0..200)
            .map(|number| Task::new(client.subscribe(format!("{number}"))))
            .collect();
        assert!(publish.is_pending() && requests.iter_mut().all(Task::is_pending));
        drop((requests, publish));
        assert!(client.statistics().waiting_publishes > 0);
        drop(link);
        assert!(now(client.closed()).is_err(), "nobody drives it any more");
    }
}

/// Publishes what it receives, and waits for the end of each before it takes the next one.
async fn echo(client: Client, mut subscription: Subscription, qos: QoS, echoed: Arc<AtomicUsize>) {
    while let Some(message) = subscription.recv().await {
        let publish = client.publish("out", message.payload()).qos(qos);
        if publish.await.is_err() {
            return;
        }
        echoed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that publishes while it consumes never stops, whatever the Quality of Service of either. T83, T113, T132.
#[test]
fn pitfall_19_a_consumer_may_publish() {
    for inbound in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for outbound in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (client, mut link) = online(reconnecting());
            let mut out = subscribe(&mut link, client.subscribe("out").qos(outbound));
            let input = subscribe(&mut link, client.subscribe("in").qos(inbound));
            let (echoed, mut heard) = (Arc::new(AtomicUsize::new(0)), 0);
            let task = Inline::spawn(echo(client.clone(), input, outbound, echoed.clone()));
            for round in 0..10 {
                for _ in 0..100 {
                    let publish = client.publish("in", "x").qos(inbound);
                    assert!(publish.try_publish().is_ok(), "{round}");
                }
                link.run();
                heard += topics(&mut out).len();
            }
            assert_eq!(echoed.load(Ordering::Relaxed), 1_000);
            assert_eq!(heard, 1_000);
            assert!(!task.is_done() && client.statistics().held_messages == 0);
        }
    }
}

/// Whoever handles a message or an event may wait for anything of the same client, its end included. T132, T147.
#[test]
fn pitfall_20_a_handler_may_wait_for_its_client() {
    let (client, mut link) = online(reconnecting());
    let mut input = subscribe(&mut link, client.subscribe("in").qos(QoS::ExactlyOnce));
    let (inside, done) = (client.clone(), Arc::new(AtomicUsize::new(0)));
    let count = done.clone();
    let handler = Inline::spawn(async move {
        let handled = input.handle_each(async |message| {
            let own = inside.subscribe("in/more").qos(QoS::AtLeastOnce).await;
            let mut own = own.expect("granted");
            let publish = inside.publish("in/more", message.payload());
            let published = publish.qos(QoS::ExactlyOnce).await;
            assert!(published.expect("delivered").is_acknowledged());
            assert_eq!(own.recv().await.expect("not ended").payload(), b"x");
            assert!(own.unsubscribe().await.is_ok() && inside.flush().await.is_ok());
            count.fetch_add(1, Ordering::Relaxed);
            if message.payload() == b"x" && count.load(Ordering::Relaxed) == 3 {
                assert!(inside.disconnect().await.is_ok());
            }
        });
        handled.await;
    });
    let listening = client.clone();
    let mut events = client.events();
    let listener = Inline::spawn(async move {
        while let Some(event) = events.recv().await {
            if let Event::Connected(_) = event {
                let publish = listening.publish("in", "x").qos(QoS::AtLeastOnce);
                assert!(publish.await.is_ok());
            }
        }
    });
    for _ in 0..2 {
        let _delivery = client
            .publish("in", "x")
            .qos(QoS::ExactlyOnce)
            .try_publish();
        link.run();
        if done.load(Ordering::Relaxed) < 3 {
            link.cut();
            link.reconnect();
            link.run();
        }
    }
    link.pass(Duration::from_secs(5));
    assert_eq!(done.load(Ordering::Relaxed), 3);
    assert!(handler.is_done() && listener.is_done());
    assert!(link.finished);
}

/// Neither messages nor events that nobody takes keep what is sent from ending, nor the other way round. T132.
#[test]
fn pitfall_21_who_takes_nothing_holds_nobody_back() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let room = Bound {
            messages: 10,
            bytes: 10_000,
        };
        let options = reconnecting().subscription_queue(room).overflow(overflow);
        let (client, mut link) = online(options);
        let mut silent = client.events();
        let mut ignored = subscribe(&mut link, client.subscribe("a").qos(QoS::AtMostOnce));
        let mut held = subscribe(&mut link, client.subscribe("b").qos(QoS::AtLeastOnce));
        for round in 0..2_000 {
            let mut publish = Task::new(client.publish("a", "x").qos(QoS::ExactlyOnce));
            assert!(publish.is_pending());
            link.run();
            assert!(publish.woken().is_ok(), "{round}");
            if round < 500 {
                drop(start(&client, "", QoS::AtMostOnce));
                let kept = client.publish("b", "x").qos(QoS::AtLeastOnce);
                assert!(kept.try_publish().is_ok());
            }
            if round % 400 == 0 {
                link.cut();
                link.reconnect();
                link.run();
            }
        }
        assert_eq!(topics(&mut ignored).len(), 10);
        assert!(ignored.dropped() >= 1_990, "{}", ignored.dropped());
        let mut kept = 0;
        while let Ok(Some(_)) = held.try_recv() {
            kept += 1;
            link.run();
        }
        assert!(kept >= 500, "{kept}: no QoS 1 message is lost");
        let untaken = core::iter::from_fn(|| silent.try_recv()).count();
        assert!(untaken > 10, "{untaken}");
        assert!(client.is_connected());
    }
}
