//! The end of a connection, from either side, and what it does to those who wait.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mqtt5_blocking::{
    Bound, Client, ConnectionErrorKind, Event, Options, Overflow, PublishError, PublishErrorKind,
    QoS, ReasonCode, Reconnect, State, Will, connect, start,
};
use mqtt5_broker::Server;
use mqtt5_testkit::{Direction, Proxy, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs it on a thread of its own and waits for it, so that a hang is a failure.
fn in_time<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(run()));
    receiver.recv_timeout(PATIENCE).expect("it ends in time")
}

/// Options of a client for a single connection.
fn once(url: String) -> Options {
    Options::new(url).reconnect(Reconnect::never())
}

/// A thread that publishes until that fails.
fn publish_until_refused(client: &Client, qos: QoS) -> mpsc::Receiver<PublishError> {
    let (sender, receiver) = mpsc::channel();
    let client = client.clone();
    thread::spawn(move || {
        let error = (0..).find_map(|_| client.publish("a", "x").qos(qos).wait().err());
        sender.send(error.expect("it ends only with an error"))
    });
    receiver
}

fn ended_sessions(broker: &Server) -> bool {
    wait_until(PATIENCE, || broker.statistics().connections == 0)
}

#[test]
fn disconnecting_ends_whoever_waits() {
    let broker = mqtt5_broker::spawn().unwrap();
    let client = connect(broker.url()).unwrap();
    let messages = client.subscribe("nothing").wait().unwrap();
    let events = client.events();
    let (receiving, listening) = (
        thread::spawn(move || messages.count()),
        thread::spawn(move || events.collect::<Vec<_>>()),
    );
    let waiting = {
        thread::spawn({
            let client = client.clone();
            move || client.closed()
        })
    };
    let publishing = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
        .map(|qos| publish_until_refused(&client, qos));

    in_time({
        let client = client.clone();
        move || client.disconnect().wait()
    })
    .unwrap();
    assert_eq!(client.state(), State::Stopped);
    in_time(move || {
        assert_eq!(receiving.join().unwrap(), 0);
        assert_eq!(waiting.join().unwrap(), Ok(()));
        assert!(matches!(
            listening.join().unwrap().last(),
            Some(Event::Stopped)
        ));
    });
    for error in publishing {
        let kind = error.recv_timeout(PATIENCE).unwrap().kind();
        assert!(
            matches!(kind, PublishErrorKind::Closed | PublishErrorKind::NotSent),
            "{kind:?}"
        );
    }
    // And again, and by another handle: it is over already.
    client.disconnect().wait().unwrap();
    client.clone().disconnect().wait().unwrap();
    assert_eq!(
        client.subscribe("a").wait().unwrap_err().kind(),
        mqtt5_blocking::SubscribeErrorKind::Closed
    );
    assert!(ended_sessions(&broker));
}

#[test]
fn a_publish_that_waits_completes_before_the_disconnect() {
    let broker = mqtt5_broker::spawn().unwrap();
    let client = connect(broker.url()).unwrap();
    let deliveries: Vec<_> = (0..500)
        .map(|n| {
            client
                .publish("a", n.to_string())
                .qos(QoS::ExactlyOnce)
                .start()
                .unwrap()
        })
        .collect();
    client.disconnect().wait().unwrap();
    for mut delivery in deliveries {
        assert!(delivery.try_outcome().expect("it has ended").is_ok());
    }
}

#[test]
fn the_server_ends_the_connection_with_a_reason() {
    let broker = mqtt5_broker::spawn().unwrap();
    let client = connect(once(broker.url()).client_id("here")).unwrap();
    let mut messages = client.subscribe("nothing").wait().unwrap();
    assert!(broker.disconnect("here", ReasonCode::ADMINISTRATIVE_ACTION));

    let error = in_time({
        let client = client.clone();
        move || client.closed()
    })
    .expect_err("it was not asked for");
    assert_eq!(
        (error.kind(), error.reason_code()),
        (
            ConnectionErrorKind::ByServer,
            Some(ReasonCode::ADMINISTRATIVE_ACTION)
        )
    );
    assert!(in_time(move || messages.recv()).is_none());
    let error = client
        .publish("a", "x")
        .qos(QoS::AtLeastOnce)
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
}

#[test]
fn the_connection_breaks_while_threads_wait() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Proxy::start(broker.address());
    let client = connect(once(proxy.url())).unwrap();
    let mut messages = client.subscribe("nothing").wait().unwrap();
    let publishing: Vec<_> = (0..4)
        .map(|n| {
            publish_until_refused(
                &client,
                if n < 2 {
                    QoS::AtLeastOnce
                } else {
                    QoS::ExactlyOnce
                },
            )
        })
        .collect();
    assert!(wait_until(PATIENCE, || client
        .statistics()
        .publishes_delivered
        > 100));
    proxy.cut();

    assert!(in_time(move || messages.recv()).is_none());
    for error in publishing {
        let kind = error.recv_timeout(PATIENCE).unwrap().kind();
        assert!(
            matches!(
                kind,
                PublishErrorKind::Unknown | PublishErrorKind::NotSent | PublishErrorKind::Closed
            ),
            "{kind:?}"
        );
    }
    assert_eq!(
        in_time(move || client.closed()).unwrap_err().kind(),
        ConnectionErrorKind::TransportClosed
    );
}

#[test]
fn the_server_goes_away_while_threads_publish() {
    let broker = mqtt5_broker::spawn().unwrap();
    let client = connect(once(broker.url())).unwrap();
    let publishing =
        [QoS::AtMostOnce, QoS::AtLeastOnce].map(|qos| publish_until_refused(&client, qos));
    assert!(wait_until(PATIENCE, || client
        .statistics()
        .publishes_delivered
        > 100));
    drop(broker);
    for error in publishing {
        assert!(error.recv_timeout(PATIENCE).is_ok());
    }
    let kind = in_time(move || client.closed()).unwrap_err().kind();
    assert!(
        matches!(
            kind,
            ConnectionErrorKind::ByServer | ConnectionErrorKind::TransportClosed
        ),
        "{kind:?}"
    );
}

/// The will is published only when the server is not told: so it was told.
#[test]
fn dropping_the_last_handle_disconnects() {
    let broker = mqtt5_broker::spawn().unwrap();
    let witness = connect(broker.url()).unwrap();
    let mut messages = witness.subscribe("#").qos(QoS::AtLeastOnce).wait().unwrap();
    for last_is_subscription in [false, true] {
        let client = connect(Options::new(broker.url()).will(Will::new("will", ""))).unwrap();
        let clone = client.clone();
        let subscription = client.subscribe("other").wait().unwrap();
        // Accepted, and sent all the same.
        drop(client.publish("a", "1").start().unwrap());
        drop(
            client
                .publish("a", "2")
                .qos(QoS::ExactlyOnce)
                .start()
                .unwrap(),
        );
        if last_is_subscription {
            drop((client, clone));
            assert!(
                !wait_until(Duration::from_millis(50), || broker
                    .statistics()
                    .connections
                    < 2),
                "a handle lives"
            );
            drop(subscription);
        } else {
            drop((subscription, client));
            assert!(
                !wait_until(Duration::from_millis(50), || broker
                    .statistics()
                    .connections
                    < 2),
                "a handle lives"
            );
            drop(clone);
        }
        assert!(wait_until(PATIENCE, || broker.statistics().connections == 1));
        let mut topics = Vec::new();
        while let Some(message) = messages.recv_timeout(Duration::from_millis(100)).unwrap() {
            topics.push(message.topic().to_string());
        }
        assert_eq!(topics, ["a", "a"]);
    }
}

#[test]
fn disconnecting_while_it_connects() {
    let broker = mqtt5_broker::spawn().unwrap();
    for delay in 0..100 {
        let client = start(broker.url()).unwrap();
        let waiting = client.clone();
        let connecting = thread::spawn(move || waiting.connected());
        (0..delay * 20).for_each(|_| std::hint::spin_loop());
        in_time(move || {
            client.disconnect().wait().unwrap();
            client.closed().unwrap();
        });
        if let Err(error) = connecting.join().unwrap() {
            assert_eq!(error.kind(), ConnectionErrorKind::Closed);
        }
    }
    assert!(ended_sessions(&broker));
}

#[test]
fn disconnecting_while_the_server_is_silent() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Proxy::start(broker.address());
    proxy.stall(Direction::ToClient, true);
    let client = start(proxy.url()).unwrap();
    assert!(wait_until(PATIENCE, || client.state() == State::Handshaking));
    in_time(move || client.disconnect().drain(Duration::ZERO).wait()).unwrap();
}

/// Reading stands still because nobody takes what came; that the connection is gone is learnt by writing.
#[test]
fn a_connection_that_breaks_while_nothing_is_read() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Proxy::start(broker.address());
    let one = Bound {
        messages: 1,
        bytes: 1 << 20,
    };
    let options = once(proxy.url())
        .subscription_queue(one)
        .overflow(Overflow::Pause);
    let client = connect(options).unwrap();
    let _messages = client.subscribe("a").wait().unwrap();
    let events = client.events();
    for _ in 0..3 {
        client.publish("a", "x").wait().unwrap();
    }
    let paused = in_time(move || {
        events
            .into_iter()
            .any(|event| matches!(event, Event::ReadingPaused))
    });
    assert!(paused);
    proxy.cut();
    // The first write after the cut is answered by a reset, the next fails.
    let error = publish_until_refused(&client, QoS::AtMostOnce);
    error.recv_timeout(PATIENCE).expect("it is noticed");
    assert!(in_time(move || client.closed()).is_err());
}
