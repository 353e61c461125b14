//! The end: asked for, by the last handle, by the driver.

use super::executor::{Task, now};
use super::subscribe::subscribe;
use super::{Link, Peer, acknowledgement, online, options, publish, reconnecting, scripted};
use crate::{
    Async, ConnectionErrorKind, DisconnectErrorKind, DisconnectReason, Event, PublishErrorKind,
    QoS, ReasonCode, Reconnect, State, SubscribeErrorKind, UnsubscribeErrorKind,
};
use core::time::Duration;
use mqtt5_broker::{Broker, Config};
use mqtt5_proto::{Packet, Properties, Property};

#[test]
fn a_disconnect_waits_for_what_was_accepted() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut events = client.events();
    let mut delivery =
        Task::new(now(client.publish("t", "x").qos(QoS::AtLeastOnce).start()).expect("accepted"));
    let mut disconnect = Task::new(client.disconnect());
    assert!(delivery.is_pending() && disconnect.is_pending());
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    assert_eq!(
        now(client.publish("t", "x")).map_err(|error| error.kind()),
        Err(PublishErrorKind::Closed)
    );
    link.pass(Duration::from_secs(4));
    assert_eq!(client.state(), State::Online);
    link.send(Packet::Puback(acknowledgement(1, ReasonCode::SUCCESS)));
    assert!(delivery.woken().is_ok());
    link.sent(|packet| assert!(matches!(packet, Packet::Disconnect(packet) if packet.reason == ReasonCode::NORMAL_DISCONNECTION)));
    assert_eq!(disconnect.woken(), Ok(()));
    assert_eq!(
        (now(client.closed()), now(client.disconnect())),
        (Ok(()), Ok(()))
    );
    assert_eq!(
        (events.try_recv(), events.try_recv()),
        (Some(Event::Stopped), None)
    );
    assert!(link.finished);
}

/// S98: nobody waits for subscriptions of a client that leaves before it has ever got through, nor is told that they are missing.
#[test]
fn subscriptions_do_not_keep_a_client_that_is_not_connected() {
    for is_handshaking in [false, true] {
        let options = reconnecting().declare(crate::Filter::new("declared"));
        let peer = match is_handshaking {
            true => Peer::Script(Vec::new()),
            false => Peer::Unreachable,
        };
        let (client, mut link) = Link::new::<Async>(options, peer);
        link.run();
        let mut subscribe = Task::new(client.subscribe("asked"));
        assert!(subscribe.is_pending());
        let mut disconnect = Task::new(client.disconnect());
        assert!(disconnect.is_pending() || !is_handshaking);
        link.run();
        if is_handshaking {
            assert_eq!(link.sent_types(), ["CONNECT", "DISCONNECT"]);
            link.cut();
        }
        assert_eq!(client.state(), State::Stopped, "{is_handshaking}");
        assert!(disconnect.poll() == core::task::Poll::Ready(Ok(())));
        assert_eq!(
            subscribe.woken().map_err(|error| error.kind()).err(),
            Some(SubscribeErrorKind::Closed)
        );
    }
}

/// What was accepted for publishing has the drain time to get through, and so has an unsubscribe: the session may outlive the client.
#[test]
fn publishes_and_unsubscribes_may_wait_for_the_connection() {
    for publishes in [false, true] {
        let (client, mut link) = Link::new::<Async>(reconnecting(), Peer::Script(Vec::new()));
        link.run();
        let mut publish = Task::new(client.publish("t", "x").qos(QoS::AtLeastOnce));
        let mut unsubscribe = Task::new(client.unsubscribe("a"));
        assert!(match publishes {
            true => publish.is_pending(),
            false => unsubscribe.is_pending(),
        });
        let mut disconnect = Task::new(client.disconnect());
        assert!(disconnect.is_pending());
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(super::accepted(false));
        let expected = match publishes {
            true => "PUBLISH",
            false => "UNSUBSCRIBE",
        };
        assert_eq!(link.sent_types(), [expected]);
    }
}

#[test]
fn a_disconnect_does_not_wait_for_ever() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut open = Task::new(client.publish("t", "x").qos(QoS::ExactlyOnce));
    assert!(open.is_pending());
    let mut disconnect = Task::new(client.disconnect().drain(Duration::from_secs(2)));
    assert!(disconnect.is_pending());
    link.pass(Duration::from_secs(2));
    assert_eq!(
        disconnect.woken().map_err(|error| error.kind()),
        Err(DisconnectErrorKind::NotDrained)
    );
    assert_eq!(
        open.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::Unknown)
    );
    assert_eq!(link.sent_types(), ["PUBLISH", "DISCONNECT"]);
}

/// T125: its reason and properties.
#[test]
fn a_disconnect_says_what_it_is_told_to() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let disconnect = client
        .disconnect()
        .reason(DisconnectReason::WithWill)
        .reason_string("so long")
        .session_expiry_interval(7);
    let mut disconnect = Task::new(disconnect.user_property("k", "v"));
    assert!(disconnect.is_pending());
    link.sent(|packet| {
        let Packet::Disconnect(packet) = packet else {
            panic!("{packet:?}")
        };
        assert_eq!(
            (packet.reason, packet.properties.reason_string()),
            (ReasonCode::DISCONNECT_WITH_WILL, Some("so long"))
        );
        assert_eq!(packet.properties.session_expiry_interval(), Some(7));
        assert_eq!(
            packet.properties.user_properties().collect::<Vec<_>>(),
            [("k", "v")]
        );
    });
    assert_eq!(disconnect.woken(), Ok(()));

    let (client, _link) = scripted(options().session_expiry_interval(0), Properties::EMPTY);
    let raised = now(client.disconnect().session_expiry_interval(1));
    assert_eq!(
        raised.map_err(|error| error.kind()),
        Err(DisconnectErrorKind::InvalidSessionExpiry)
    );
    let unsendable = now(client.disconnect().reason_string("\0"));
    assert_eq!(
        unsendable.map_err(|error| error.kind()),
        Err(DisconnectErrorKind::InvalidProperty)
    );
    assert!(client.is_connected(), "nothing was done");
}

#[test]
fn a_server_that_accepts_no_large_disconnect_gets_a_small_one() {
    let limits = [Property::MaximumPacketSize(20)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let mut disconnect = Task::new(
        client
            .disconnect()
            .reason_string("far too many words for this server"),
    );
    assert!(disconnect.is_pending());
    link.sent(|packet| {
        assert!(matches!(packet, Packet::Disconnect(packet) if packet.properties.is_empty()));
    });
    assert_eq!(disconnect.woken(), Ok(()));
}

/// T116: whatever the client was about to do.
#[test]
fn a_disconnect_before_the_connection_cancels_it() {
    let (client, mut link) = Link::new::<Async>(options(), Peer::Unreachable);
    link.run();
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending());
    assert_eq!(now(client.disconnect()), Ok(()));
    link.run();
    assert!(link.cancelled && link.finished);
    assert_eq!(
        connected.woken().map_err(|error| error.kind()),
        Err(ConnectionErrorKind::Closed)
    );

    let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
    link.run();
    let mut disconnect = Task::new(client.disconnect());
    assert!(disconnect.is_pending());
    link.run();
    assert_eq!(
        (disconnect.woken(), client.state()),
        (Ok(()), State::Stopped)
    );
}

/// T116: after each number of steps, with and without something to do, with a server and without: it ends, nobody waits for ever, and
/// nothing is left.
#[test]
fn disconnecting_at_any_moment_leaves_nothing() {
    for steps in 0..50 {
        for is_busy in [false, true] {
            for (is_there, drops) in [(true, false), (true, true), (false, false), (false, true)] {
                let case = format!("{steps} {is_busy} {is_there} {drops}");
                let peer = match is_there {
                    true => Peer::Broker(Box::new(Broker::new(Config::default()))),
                    false => Peer::Refusing,
                };
                let policy = Reconnect::default().retry_first(true);
                let (client, mut link) = Link::new::<Async>(reconnecting().reconnect(policy), peer);
                let publish = client.publish("a", "x").qos(QoS::ExactlyOnce);
                let (mut publish, mut subscribe) =
                    (Task::new(publish), Task::new(client.subscribe("a")));
                if is_busy {
                    assert!(publish.is_pending() && subscribe.is_pending(), "{case}");
                }
                for _ in 0..steps {
                    if !link.step() {
                        link.pass(Duration::from_millis(100));
                    }
                }
                if drops {
                    drop((publish, subscribe));
                    drop(client);
                } else {
                    let mut disconnect = Task::new(client.disconnect());
                    let ended = disconnect.poll();
                    link.pass(Duration::from_secs(10));
                    assert!(ended.is_ready() || disconnect.poll().is_ready(), "{case}");
                    if is_busy {
                        assert!(publish.poll().is_ready(), "{case}");
                        assert!(subscribe.poll().is_ready(), "{case}");
                    }
                }
                link.pass(Duration::from_secs(10));
                assert!(link.finished && link.attempt.is_none(), "{case}");
                if is_there {
                    assert_eq!(link.broker().statistics().connections, 0, "{case}");
                }
                link.dialed.clear();
                link.pass(Duration::from_secs(300));
                assert!(link.dialed.is_empty(), "{case}");
            }
        }
    }
}

/// T147, T149: nobody waits for a write that never ends.
#[test]
fn a_transport_that_takes_nothing_is_closed_after_a_while() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    // Bytes are taken from the engine, and none is reported as written.
    now(client.publish("t", "x")).expect("accepted");
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    assert!(turn.action.is_none() && !link.outgoing.is_empty());
    let mut disconnect = Task::new(client.disconnect().drain(Duration::ZERO));
    assert!(disconnect.is_pending());
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    let deadline = turn.deadline.expect("it is not waited for ever");
    assert!(turn.action.is_none() && deadline <= link.now() + Duration::from_secs(2));
    link.clock
        .0
        .store(deadline.as_micros(), core::sync::atomic::Ordering::Relaxed);
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    assert!(matches!(
        turn.action,
        Some(crate::driver::Action::Hangup(_))
    ));
    link.cut();
    assert_eq!(
        disconnect.woken().map_err(|error| error.kind()),
        Err(DisconnectErrorKind::NotDrained)
    );
}

/// T132, T147: nothing hangs, nothing panics.
#[test]
fn after_the_end_every_operation_says_so_at_once() {
    let (client, mut link) = online(options());
    let mut subscription = subscribe(&mut link, client.subscribe("a"));
    let mut receiving = Task::new(subscription.recv());
    assert!(receiving.is_pending());
    link.cut();
    assert!(receiving.woken().is_none());
    drop(receiving);
    assert!(subscription.try_recv().is_err());
    assert_eq!(
        now(client.publish("t", "x")).map_err(|error| error.kind()),
        Err(PublishErrorKind::Closed)
    );
    assert_eq!(
        now(client.publish("t", "x").qos(QoS::AtLeastOnce).start())
            .map(drop)
            .map_err(|error| error.kind()),
        Err(PublishErrorKind::Closed)
    );
    assert_eq!(
        client
            .publish("t", "x")
            .try_publish()
            .map(drop)
            .map_err(|error| error.kind()),
        Err(PublishErrorKind::Closed)
    );
    assert_eq!(
        now(client.subscribe("t"))
            .map(drop)
            .map_err(|error| error.kind()),
        Err(SubscribeErrorKind::Closed)
    );
    assert_eq!(
        now(client.unsubscribe("t")).map_err(|error| error.kind()),
        Err(UnsubscribeErrorKind::Closed)
    );
    assert_eq!(
        now(subscription.unsubscribe()).map_err(|error| error.kind()),
        Err(UnsubscribeErrorKind::Closed)
    );
    for ended in [
        now(client.flush()),
        now(client.drain()),
        now(client.connected()).map(drop),
        now(client.closed()),
    ] {
        assert_eq!(
            ended.map_err(|error| error.kind()),
            Err(ConnectionErrorKind::TransportClosed)
        );
    }
    assert_eq!(now(client.disconnect()), Ok(()));
}

#[test]
fn the_last_handle_disconnects_and_leaves_the_filters() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let second = client.clone();
    let delivery = now(client.publish("t", "x").qos(QoS::AtLeastOnce).start()).expect("accepted");
    drop(client);
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    drop(second);
    assert!(
        link.sent_types().is_empty(),
        "what was accepted gets half a second"
    );
    link.pass(Duration::from_millis(499));
    assert!(link.sent_types().is_empty());
    link.pass(Duration::from_millis(1));
    assert_eq!(link.sent_types(), ["DISCONNECT"]);
    assert!(link.finished);
    assert_eq!(
        now(delivery).map_err(|error| error.kind()),
        Err(PublishErrorKind::Unknown)
    );

    let (client, mut link) = online(options());
    let mut subscription = subscribe(&mut link, client.subscribe("a"));
    now(client.publish("a", "x")).expect("accepted");
    drop(client);
    link.run();
    assert!(
        subscription
            .try_recv()
            .is_ok_and(|message| message.is_some())
            && !link.finished,
        "a subscription keeps the client alive"
    );
    drop(subscription);
    link.run();
    assert!(link.finished);
    let sessions = link.broker().statistics();
    assert_eq!(sessions.subscriptions, 1, "the session goes on collecting");
}

#[test]
fn flush_and_drain_wait_for_what_they_say() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    assert_eq!((now(client.flush()), now(client.drain())), (Ok(()), Ok(())));
    let mut publishing = Task::new(client.publish("t", "x").qos(QoS::AtLeastOnce));
    assert!(publishing.is_pending());
    let (mut flush, mut drain) = (Task::new(client.flush()), Task::new(client.drain()));
    assert!(flush.is_pending() && drain.is_pending());
    link.run();
    assert_eq!(flush.woken(), Ok(()));
    assert!(drain.flag.take() == 0 && drain.is_pending());
    link.send(Packet::Puback(acknowledgement(1, ReasonCode::SUCCESS)));
    assert_eq!(drain.woken(), Ok(()));
}

/// T147: nobody waits for ever.
#[test]
fn a_driver_that_goes_away_leaves_nobody_waiting() {
    let (client, link) = scripted(options(), Properties::EMPTY);
    let mut publishing = Task::new(client.publish("t", "x").qos(QoS::AtLeastOnce));
    let mut closed = Task::new(client.closed());
    assert!(publishing.is_pending() && closed.is_pending());
    drop(link);
    assert_eq!(
        publishing.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::NotSent)
    );
    assert_eq!(
        closed.woken().map_err(|error| error.kind()),
        Err(ConnectionErrorKind::Closed)
    );

    let (client, link) = Link::new::<Async>(options(), Peer::Unreachable);
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending());
    drop(link);
    assert_eq!(
        connected.woken().map_err(|error| error.kind()),
        Err(ConnectionErrorKind::Closed)
    );
}

/// A client that would connect again, online or waiting, cannot.
#[test]
fn a_driver_that_goes_away_takes_all_further_attempts_with_it() {
    for is_waiting in [false, true] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        if is_waiting {
            link.cut();
            assert_eq!(client.state(), State::Waiting);
        }
        let mut events = client.events();
        drop(link);
        assert_eq!(client.state(), State::Stopped);
        let end = now(client.closed()).expect_err("nobody asked for it");
        assert_eq!(end.kind(), ConnectionErrorKind::Closed);
        let told = core::iter::from_fn(|| events.try_recv()).collect::<Vec<_>>();
        let has_plans = |event: &Event| matches!(event, Event::Waiting { .. });
        assert!(!told.iter().any(has_plans), "{told:?}");
    }
}

#[test]
fn messages_that_arrived_can_be_taken_after_the_end() {
    let (client, mut link) = online(options());
    let mut subscription = subscribe(&mut link, client.subscribe("a"));
    now(client.publish("a", "1")).expect("accepted");
    link.run();
    link.cut();
    assert_eq!(
        subscription
            .try_recv()
            .expect("not yet ended")
            .expect("a message")
            .payload(),
        b"1"
    );
    assert!(subscription.try_recv().is_err());
}

/// What nobody has taken is not acknowledged by a client that closes: a session that is kept sends it again.
#[test]
fn a_client_that_closes_leaves_untaken_messages_to_the_next_connection() {
    let (client, mut subscription, mut link) = super::consumers::subscribed(options());
    for id in 1..=3 {
        link.send(publish("a", QoS::AtLeastOnce, id, b""));
    }
    drop(super::consumers::take(&mut subscription));
    assert_eq!(link.sent_types(), ["PUBACK"]);
    drop(client);
    drop(subscription);
    assert_eq!(link.sent_types(), ["DISCONNECT"]);
    let (client, subscription, mut link) = super::consumers::subscribed(options());
    link.send(publish("a", QoS::AtLeastOnce, 1, b""));
    let mut last = Task::new(client.publish("b", "").qos(QoS::AtLeastOnce));
    assert!(last.is_pending());
    let mut disconnect = Task::new(client.disconnect());
    assert!(disconnect.is_pending());
    drop(subscription);
    link.send(publish("a", QoS::AtLeastOnce, 2, b""));
    assert_eq!(
        link.sent_types(),
        ["PUBLISH"],
        "it waits for its own publish"
    );
    link.send(Packet::Puback(acknowledgement(2, ReasonCode::SUCCESS)));
    assert_eq!(link.sent_types(), ["DISCONNECT"]);
}
