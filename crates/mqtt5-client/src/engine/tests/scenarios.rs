//! What users of other clients rely on, with a broker and another client.

use super::executor::{Task, now};
use super::feeder::Feeder;
use super::subscribe::{subscribe, topics};
use super::{Link, Peer, accepted, online, options, reconnecting, room_for, scripted};
use crate::{
    Async, Client, Filter, PublishErrorKind as Kind, QoS, RetainHandling, SubscribeErrorKind,
    Subscription, UnsubscribeErrorKind,
};
use core::time::Duration;
use mqtt5_proto::packet::Acknowledgement;
use mqtt5_proto::{Packet, Properties, Property, ReasonCode};

fn send(client: &Client, link: &mut Link, topic: &str, retain: bool) {
    now(client.publish(topic, "x").retain(retain)).expect("accepted");
    link.run();
}

/// T26, T127: with No Local nothing comes back that this client has published, also on the next connection.
#[test]
fn no_local_keeps_the_own_messages_away() {
    for session_lost in [false, true] {
        let (client, mut link) = online(reconnecting());
        let mut others = subscribe(&mut link, client.subscribe("a").no_local(true));
        let mut all = subscribe(&mut link, client.subscribe("b"));
        let mut feeder = Feeder::new(&mut link);
        for _ in 0..2 {
            for topic in ["a", "b"] {
                send(&client, &mut link, topic, false);
                feeder.publish(&mut link, topic, QoS::AtMostOnce, b"");
            }
            link.run();
            assert_eq!(topics(&mut others).len(), 1);
            assert_eq!(topics(&mut all).len(), 2);
            let now = link.now();
            if session_lost {
                link.broker().forget(now, "me");
            }
            link.cut();
            link.reconnect();
            link.run();
        }
    }
}

/// The RETAIN flags of what is queued.
fn flags(subscription: &mut Subscription) -> Vec<bool> {
    let mut flags = Vec::new();
    while let Ok(Some(message)) = subscription.try_recv() {
        flags.push(message.retain());
    }
    flags
}

/// T27: RETAIN is that of the publisher with Retain As Published; without, it says whether the message answers a SUBSCRIBE.
#[test]
fn retain_as_published_is_kept_or_not() {
    let (client, mut link) = online(options());
    let mut plain = subscribe(&mut link, client.subscribe("a"));
    let kept = client.subscribe("b").retain_as_published(true);
    let mut kept = subscribe(&mut link, kept);
    for topic in ["a", "b"] {
        send(&client, &mut link, topic, true);
        send(&client, &mut link, topic, false);
    }
    assert_eq!(flags(&mut plain), [false, false]);
    assert_eq!(flags(&mut kept), [true, false]);
    let mut late = subscribe(&mut link, client.subscribe("a/#"));
    assert_eq!(flags(&mut late), [true], "it was there already");
}

/// T28: retained messages come at each SUBSCRIBE, at the first of their filter, or never.
#[test]
fn retain_handling_decides_what_comes_first() {
    for (handling, first, again) in [
        (RetainHandling::SendAtSubscribe, 1, 1),
        (RetainHandling::SendAtSubscribeIfNew, 1, 0),
        (RetainHandling::DoNotSend, 0, 0),
    ] {
        let (client, mut link) = online(options());
        send(&client, &mut link, "a", true);
        let asking = || Filter::new("a").retain_handling(handling);
        let mut earlier = subscribe(&mut link, client.subscribe(asking()));
        link.run();
        assert_eq!(topics(&mut earlier).len(), first, "{handling:?}");
        let mut later = subscribe(&mut link, client.subscribe(asking()));
        link.run();
        assert_eq!(topics(&mut later).len(), again, "{handling:?}");
        assert!(topics(&mut earlier).is_empty(), "only who asked gets them");
        send(&client, &mut link, "a", false);
        assert_eq!(
            (topics(&mut earlier).len(), topics(&mut later).len()),
            (1, 1)
        );
    }
}

/// T21: of the members of a group each message goes to one, and plain subscriptions of the same filter have their own.
#[test]
fn a_shared_subscription_has_its_own_messages() {
    let (client, mut link) = online(options());
    let mut shared = subscribe(&mut link, client.subscribe("$share/g/a/+"));
    let mut plain = subscribe(&mut link, client.subscribe("a/+"));
    let mut feeder = Feeder::new(&mut link);
    for number in 0..10 {
        feeder.publish(&mut link, &format!("a/{number}"), QoS::AtLeastOnce, b"");
    }
    link.run();
    let expected: Vec<_> = (0..10).map(|number| format!("a/{number}")).collect();
    assert_eq!(topics(&mut shared), expected);
    assert_eq!(topics(&mut plain), expected);
    drop(plain);
    link.run();
    feeder.publish(&mut link, "a/x", QoS::AtLeastOnce, b"");
    link.run();
    assert_eq!(topics(&mut shared), ["a/x"], "the group stays");
}

/// T20: of two subscriptions of one filter one unsubscribes, and the other goes on; the server is told when the last one does.
#[test]
fn one_of_two_subscriptions_of_a_filter_can_leave() {
    for first_leaves in [true, false] {
        let (client, mut link) = online(options());
        let asking = || client.subscribe("a/+").qos(QoS::AtLeastOnce);
        let first = subscribe(&mut link, asking());
        let second = subscribe(&mut link, asking());
        let (leaving, mut staying) = match first_leaves {
            true => (first, second),
            false => (second, first),
        };
        let left = now(leaving.unsubscribe()).expect("nobody need be asked");
        assert_eq!(left.results(), [("a/+".to_owned(), ReasonCode::SUCCESS)]);
        link.run();
        assert_eq!(client.statistics().unsubscribes_sent, 0);
        send(&client, &mut link, "a/1", false);
        assert_eq!(topics(&mut staying), ["a/1"], "{first_leaves}");
        let mut unsubscribing = Task::new(staying.unsubscribe());
        assert!(unsubscribing.is_pending());
        link.run();
        assert!(unsubscribing.woken().is_ok());
        assert_eq!(link.broker().statistics().subscriptions, 0);
    }
}

/// T133: a SUBSCRIBE or UNSUBSCRIBE that the server would not take for its size is refused here and alone, before and after CONNACK.
#[test]
fn requests_that_are_too_large_fail_alone() {
    let long = "x".repeat(100);
    let limits = [Property::MaximumPacketSize(100)];
    let limits = Properties::new(&limits).expect("valid");
    let (client, mut link) = Link::new::<Async>(reconnecting(), Peer::Script(Vec::new()));
    let mut early = Task::new(client.subscribe(&long));
    assert!(early.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(super::connack(limits));
    let error = early.woken().map(drop).expect_err("too large");
    assert_eq!(error.kind(), SubscribeErrorKind::TooLarge);
    let error = now(client.subscribe(&long)).map(drop);
    let error = error.expect_err("too large");
    assert_eq!(error.kind(), SubscribeErrorKind::TooLarge);
    let error = now(client.unsubscribe(&long)).expect_err("too large");
    assert_eq!(error.kind(), UnsubscribeErrorKind::TooLarge);
    assert!(link.sent_types().is_empty());
    assert_eq!(client.statistics().filters, 0);
    let mut fits = Task::new(client.subscribe("a"));
    assert!(fits.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    super::subscribe::suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_0]);
    assert!(fits.woken().is_ok() && client.is_connected());
}

/// T136, T148: those who listen come and go while messages flow: each gets what arrives while it is there, and what is left over goes to
/// the handle for the rest only when nobody else wants it.
#[test]
fn listeners_come_and_go() {
    let (client, mut link) = online(reconnecting().keep_unmatched(true));
    let mut rest = client.unmatched().expect("kept");
    // So that the server goes on sending what nobody here wants.
    subscribe(&mut link, client.subscribe("a/#").durable()).detach();
    let mut feeder = Feeder::new(&mut link);
    let mut feed = |link: &mut Link, topic: &str| {
        feeder.publish(link, topic, QoS::AtLeastOnce, b"x");
        link.run();
    };
    feed(&mut link, "a/0");
    let mut first = subscribe(&mut link, client.subscribe("a/#"));
    feed(&mut link, "a/1");
    let mut second = subscribe(&mut link, client.subscribe("a/+"));
    feed(&mut link, "a/2");
    assert_eq!(topics(&mut first), ["a/1", "a/2"]);
    first.detach();
    feed(&mut link, "a/3");
    assert_eq!(topics(&mut second), ["a/2", "a/3"]);
    second.detach();
    feed(&mut link, "a/4");
    let mut third = subscribe(&mut link, client.subscribe("a/#"));
    feed(&mut link, "a/5");
    assert_eq!(topics(&mut third), ["a/5"]);
    assert_eq!(topics(&mut rest), ["a/0", "a/4"]);
}

/// T137: an answer that says nothing is a success, one with a reason tells it, and so does the last one of an exchange.
#[test]
fn answers_tell_their_reason() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let nobody = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    let publish = |qos| Task::new(client.publish("a", "x").qos(qos));
    for (bytes, expected) in [
        (&[0x40, 2, 0, 1][..], ReasonCode::SUCCESS),
        (&[0x40, 3, 0, 2, 0x10], nobody),
    ] {
        let mut publish = publish(QoS::AtLeastOnce);
        assert!(publish.is_pending());
        link.run();
        link.inbound.extend_from_slice(bytes);
        link.run();
        let delivered = publish.woken().expect("delivered");
        assert_eq!(delivered.reason(), expected);
    }
    for (id, pubrec) in [(3, ReasonCode::SUCCESS), (4, nobody)] {
        let mut publish = publish(QoS::ExactlyOnce);
        assert!(publish.is_pending());
        link.run();
        link.send(Packet::Pubrec(super::acknowledgement(id, pubrec)));
        link.inbound
            .extend_from_slice(&[0x70, 2, 0, id.to_be_bytes()[1]]);
        link.run();
        assert_eq!(publish.woken().expect("delivered").reason(), pubrec);
    }
}

/// T114: what eight threads publish at once arrives whole, and in the order of each.
#[test]
fn threads_publish_through_one_connection() {
    let (client, mut link) = online(options().offline_queue(room_for(2_000)));
    let mut subscription = subscribe(&mut link, client.subscribe("#").qos(QoS::AtLeastOnce));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let client = client.clone();
            std::thread::spawn(move || {
                for number in 0..120 {
                    let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number % 2];
                    let payload = vec![b'x'; number];
                    let publish = client.publish(format!("w/{worker}"), payload).qos(qos);
                    drop(publish.try_publish().expect("room for all of them"));
                }
            })
        })
        .collect();
    while workers.iter().any(|worker| !worker.is_finished()) {
        link.run();
    }
    workers
        .into_iter()
        .for_each(|worker| worker.join().expect("no panic"));
    let mut lengths = [0; 8];
    for _ in 0..960 {
        link.run();
        let message = subscription.try_recv().expect("not ended").expect("all");
        let worker: usize = message.topic()[2..].parse().expect("a number");
        assert_eq!(message.payload().len(), lengths[worker]);
        lengths[worker] += 1;
    }
    assert_eq!(lengths, [120; 8]);
}

/// T30, T143: what waited for a connection is sent in order when it comes, whatever becomes of it and those after it: at QoS 2 once.
#[test]
fn what_waited_leaves_in_order_and_once() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for steps in 1..20 {
            let (client, mut link) = online(reconnecting());
            let mut subscription = subscribe(&mut link, client.subscribe("a").qos(qos));
            link.cut();
            let mut publishes: Vec<_> = (0..100_u8)
                .map(|number| Task::new(client.publish("a", vec![number]).qos(qos)))
                .collect();
            assert!(publishes.iter_mut().all(Task::is_pending));
            let mut received = Vec::new();
            for _ in 0..3 {
                link.reconnect();
                for _ in 0..steps {
                    link.step();
                    while let Ok(Some(message)) = subscription.try_recv() {
                        received.push(message.payload()[0]);
                    }
                }
                link.cut();
            }
            link.reconnect();
            link.run();
            while let Ok(Some(message)) = subscription.try_recv() {
                received.push(message.payload()[0]);
                link.run();
            }
            for publish in &mut publishes {
                assert!(publish.done().is_ok());
            }
            let expected: Vec<_> = (0..100).collect();
            if qos == QoS::AtLeastOnce {
                // A repetition begins where the connection was lost, and has the order of the first time.
                let repeated = received
                    .windows(2)
                    .filter(|pair| pair[0] >= pair[1])
                    .count();
                assert!(repeated <= 3, "{received:?}");
                received.sort_unstable();
                received.dedup();
            }
            assert_eq!(received, expected, "{steps}");
        }
    }
}

/// T144: a server that is slow with its acknowledgements makes publishes time out, one after the other, and stalls nothing behind them.
#[test]
fn timeouts_in_a_small_window_stall_nothing() {
    let (client, mut link) = Link::new::<Async>(reconnecting(), Peer::Script(Vec::new()));
    let impatient = || {
        let publish = client.publish("a", "x").qos(QoS::AtLeastOnce);
        Task::new(publish.timeout(Duration::from_secs(2)))
    };
    let mut early: Vec<_> = (0..10).map(|_| impatient()).collect();
    assert!(early.iter_mut().all(Task::is_pending));
    let patient = client.publish("a", "last").qos(QoS::AtLeastOnce);
    let mut last = Task::new(patient);
    assert!(last.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    let limits = [Property::ReceiveMaximum(1)];
    link.send(super::connack(Properties::new(&limits).expect("valid")));
    link.pass(Duration::from_secs(3));
    for publish in &mut early {
        let error = publish.woken().expect_err("nobody acknowledged");
        assert_eq!(error.kind(), Kind::TimedOut);
    }
    assert_eq!(link.sent_types(), ["PUBLISH"], "the window is one");
    link.send(Packet::Puback(success(1)));
    let (id, payload) = link.sent(|packet| match packet {
        Packet::Publish(publish) => (publish.delivery.packet_id(), publish.payload.to_vec()),
        packet => panic!("{packet:?}"),
    });
    assert_eq!(
        payload, b"last",
        "what had timed out before it left never does"
    );
    let id = id.expect("QoS 1").value();
    link.send(Packet::Puback(success(id)));
    assert!(last.woken().is_ok());
}

/// T115, T132: whatever is asked of a client that was told to stop has an end, and so has whatever is under way.
#[test]
fn nothing_hangs_on_a_client_that_stops() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut publishes: Vec<_> = [QoS::AtLeastOnce, QoS::ExactlyOnce]
        .into_iter()
        .map(|qos| Task::new(client.publish("a", "x").qos(qos)))
        .collect();
    let mut subscribing = Task::new(client.subscribe("a"));
    let mut unsubscribing = Task::new(client.unsubscribe("b"));
    assert!(publishes.iter_mut().all(Task::is_pending));
    assert!(subscribing.is_pending() && unsubscribing.is_pending());
    link.cut();
    let mut disconnect = Task::new(client.disconnect());
    let _ = disconnect.poll();
    link.pass(Duration::from_secs(10));
    for publish in &mut publishes {
        assert!(publish.woken().is_err());
    }
    assert!(subscribing.woken().is_err() && unsubscribing.woken().is_err());
    assert!(now(client.publish("a", "x").qos(QoS::AtLeastOnce)).is_err());
    assert!(now(client.subscribe("a")).is_err() && now(client.unsubscribe("a")).is_err());
    assert!(now(client.flush()).is_err() && now(client.drain()).is_err());
    link.send(accepted(true));
}

fn success(id: u16) -> Acknowledgement<'static> {
    super::acknowledgement(id, ReasonCode::SUCCESS)
}
