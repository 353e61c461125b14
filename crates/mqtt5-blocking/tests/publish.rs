//! Publishing and receiving.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mqtt5_blocking::{
    Client, Options, PublishErrorKind, QoS, ReasonCode, SubscribeErrorKind, connect, start,
};
use mqtt5_testkit::{Direction, Mosquitto, Proxy, Script, ScriptedPeer, wait_until};

const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// One test against each of the two brokers.
fn with_both(test: impl Fn(&str)) {
    let broker = mqtt5_broker::spawn().unwrap();
    test(&broker.url());
    let mosquitto = Mosquitto::start();
    test(&mosquitto.url());
}

fn text(client: &Client, topic: &str, number: usize, qos: QoS) {
    client
        .publish(topic, number.to_string())
        .qos(qos)
        .wait()
        .unwrap();
}

#[test]
fn every_qos_arrives() {
    with_both(|url| {
        let client = connect(url).unwrap();
        let mut messages = client
            .subscribe("a/+")
            .qos(QoS::ExactlyOnce)
            .wait()
            .unwrap();
        for qos in ALL {
            let delivered = client
                .publish("a/b", "payload")
                .qos(qos)
                .content_type("text/plain")
                .wait()
                .unwrap();
            assert_eq!(delivered.reason(), ReasonCode::SUCCESS);
            let message = messages.recv().unwrap();
            assert_eq!(
                (message.topic(), message.payload(), message.qos()),
                ("a/b", &b"payload"[..], qos)
            );
            assert_eq!(message.properties().content_type(), Some("text/plain"));
        }
        client.disconnect().wait().unwrap();
        assert!(messages.recv().is_none(), "it has ended");
    });
}

#[test]
fn ten_thousand_keep_their_order() {
    const COUNT: usize = 10_000;
    with_both(|url| {
        for qos in ALL {
            let client = connect(url).unwrap();
            let publisher = client.clone();
            let mut messages = client.subscribe("a").qos(qos).wait().unwrap();
            let publishing = thread::spawn(move || {
                for number in 0..COUNT {
                    // Its outcome is not of interest: what is lost is missing below.
                    drop(
                        publisher
                            .publish("a", number.to_string())
                            .qos(qos)
                            .start()
                            .unwrap(),
                    );
                }
            });
            for (expected, message) in messages.by_ref().take(COUNT).enumerate() {
                assert_eq!(
                    message.payload(),
                    expected.to_string().as_bytes(),
                    "{qos:?} at {url}"
                );
            }
            publishing.join().unwrap();
            client.disconnect().wait().unwrap();
        }
    });
}

#[test]
fn large_messages_go_both_ways() {
    with_both(|url| {
        let client = connect(url).unwrap();
        let mut messages = client.subscribe("a").qos(QoS::AtLeastOnce).wait().unwrap();
        for size in [0, 1, 5_000, 70_000, 900_000] {
            let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            client
                .publish("a", payload.clone())
                .qos(QoS::AtLeastOnce)
                .wait()
                .unwrap();
            assert!(
                messages.recv().unwrap().payload() == payload,
                "{size} bytes"
            );
        }
    });
}

#[test]
fn eight_threads_publish_at_once() {
    const COUNT: usize = 500;
    with_both(|url| {
        let client = connect(url).unwrap();
        let mut messages = client
            .subscribe("from/+")
            .qos(QoS::ExactlyOnce)
            .wait()
            .unwrap();
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let client = client.clone();
                thread::spawn(move || {
                    let topic = format!("from/{thread}");
                    (0..COUNT).for_each(|n| text(&client, &topic, n, ALL[1 + n % 2]));
                })
            })
            .collect();
        let mut next = [0; 8];
        for message in messages.by_ref().take(8 * COUNT) {
            let thread: usize = message.topic()[5..].parse().unwrap();
            // Mosquitto hands over QoS 2 later than QoS 1, so only the number of messages can be checked.
            assert!(!message.payload().is_empty());
            next[thread] += 1;
        }
        assert_eq!(next, [COUNT; 8]);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert!(client.drain().is_ok());
    });
}

#[test]
fn a_delivery_tells_how_it_ends() {
    with_both(|url| {
        let client = connect(url).unwrap();
        let deliveries: Vec<_> = (0..100)
            .map(|n| {
                client
                    .publish("a", n.to_string())
                    .qos(ALL[n % 3])
                    .start()
                    .unwrap()
            })
            .collect();
        for delivery in deliveries {
            delivery.wait().unwrap();
        }
        assert_eq!(client.statistics().publishes_delivered, 66);
    });
}

#[test]
fn a_publish_that_is_not_answered_in_time() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Proxy::start(broker.address());
    let client = connect(format!("mqtt://{}", proxy.addr())).unwrap();
    proxy.stall(Direction::ToClient, true);
    let publish = client
        .publish("a", "1")
        .qos(QoS::AtLeastOnce)
        .timeout(Duration::from_millis(50));
    assert_eq!(
        publish.wait().expect_err("no answer gets through").kind(),
        PublishErrorKind::TimedOut
    );
    let subscribe = client.subscribe("a").timeout(Duration::from_millis(50));
    assert_eq!(
        subscribe.wait().expect_err("no answer gets through").kind(),
        SubscribeErrorKind::TimedOut
    );
    proxy.stall(Direction::ToClient, false);
    client
        .publish("a", "2")
        .qos(QoS::AtLeastOnce)
        .timeout(Duration::from_secs(10))
        .wait()
        .unwrap();
}

/// The socket takes nothing any more, and time goes on for those who wait.
#[test]
fn a_server_that_takes_no_bytes_holds_up_nobody() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Proxy::start(broker.address());
    let client = connect(format!("mqtt://{}", proxy.addr())).unwrap();
    proxy.stall(Direction::ToBroker, true);

    let payload = vec![0; 60_000];
    let mut accepted = 0;
    let full = loop {
        match client
            .publish("a", payload.clone())
            .timeout(Duration::from_millis(300))
            .start()
        {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), PublishErrorKind::TimedOut);
    assert!(accepted > 1, "the socket has taken some");
    let error = client
        .publish("a", "1")
        .qos(QoS::AtLeastOnce)
        .timeout(Duration::from_millis(50))
        .wait();
    assert_eq!(
        error.expect_err("nothing moves").kind(),
        PublishErrorKind::TimedOut
    );

    // What was accepted arrives when the bytes move again, and nothing else.
    let reader = connect(broker.url()).unwrap();
    let mut messages = reader.subscribe("a").wait().unwrap();
    proxy.stall(Direction::ToBroker, false);
    client
        .publish("end", "")
        .qos(QoS::AtLeastOnce)
        .wait()
        .unwrap();
    for _ in 0..accepted {
        let message = messages
            .recv_timeout(Duration::from_secs(10))
            .unwrap()
            .expect("it was accepted");
        assert!(message.payload() == payload);
    }
}

#[test]
fn disconnecting_from_a_server_that_takes_no_bytes() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Proxy::start(broker.address());
    let client = connect(format!("mqtt://{}", proxy.addr())).unwrap();
    proxy.stall(Direction::ToBroker, true);
    while client
        .publish("a", vec![0; 60_000])
        .timeout(Duration::from_millis(100))
        .start()
        .is_ok()
    {}
    // It ends, whatever becomes of the messages.
    let _ = client.disconnect().drain(Duration::from_millis(50)).wait();
    assert!(
        client
            .publish("a", "")
            .wait()
            .is_err_and(|error| error.kind() == PublishErrorKind::Closed)
    );
}

#[test]
fn receiving_with_a_limit() {
    let broker = mqtt5_broker::spawn().unwrap();
    let client = connect(broker.url()).unwrap();
    let mut messages = client.subscribe("a").wait().unwrap();
    assert!(messages.try_recv().unwrap().is_none());
    assert!(
        messages
            .recv_timeout(Duration::from_millis(20))
            .unwrap()
            .is_none()
    );
    text(&client, "a", 1, QoS::AtLeastOnce);
    assert_eq!(
        messages
            .recv_timeout(Duration::from_secs(10))
            .unwrap()
            .unwrap()
            .payload(),
        b"1"
    );
    client.disconnect().wait().unwrap();
    assert!(
        messages.recv_timeout(Duration::from_secs(10)).is_err(),
        "it has ended"
    );
}

#[test]
fn unsubscribing_ends_the_iterator() {
    with_both(|url| {
        let client = connect(url).unwrap();
        let messages = client.subscribe("a").qos(QoS::AtLeastOnce).wait().unwrap();
        let receiving = thread::spawn(move || messages.count());
        (0..5).for_each(|n| text(&client, "a", n, QoS::AtLeastOnce));
        assert!(wait_until(Duration::from_secs(10), || client
            .statistics()
            .messages_received
            >= 5));
        client.unsubscribe("a").wait().unwrap();
        assert_eq!(receiving.join().unwrap(), 5);
        text(&client, "a", 6, QoS::AtLeastOnce);
    });
}

/// More than the client holds: reading pauses, and goes on when messages are taken.
#[test]
fn a_slow_consumer_gets_everything() {
    const COUNT: usize = 2_000;
    let broker = mqtt5_broker::spawn().unwrap();
    let client = connect(Options::new(broker.url()).inbound_bytes(20_000)).unwrap();
    let mut messages = client.subscribe("a").qos(QoS::AtLeastOnce).wait().unwrap();
    let sender = connect(broker.url()).unwrap();
    let payload = vec![7; 1_000];
    for _ in 0..COUNT {
        drop(
            sender
                .publish("a", &payload)
                .qos(QoS::AtLeastOnce)
                .start()
                .unwrap(),
        );
    }
    sender.drain().unwrap();
    for n in 0..COUNT {
        let message = messages.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(
            message.is_some_and(|message| message.payload() == payload),
            "message {n}"
        );
    }
}

/// The answer comes in pieces, and with more behind it.
#[test]
fn bytes_may_come_in_any_pieces() {
    let connack = [0x20, 0x03, 0x00, 0x00, 0x00];
    let script = connack
        .iter()
        .fold(Script::new().skip_packet(), |script, byte| {
            script.send([*byte])
        });
    let peer = ScriptedPeer::start(script.until_closed());
    let client = connect(Options::new(peer.url()).client_id("here")).unwrap();
    client.disconnect().wait().unwrap();
    peer.join().unwrap();
}

#[test]
fn handles_are_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn is_sent<T: Send + 'static>(_: &T) {}
    let broker = mqtt5_broker::spawn().unwrap();
    let client = start(broker.url()).unwrap();
    is_shared(&client);
    is_sent(&client.subscribe("a").wait().unwrap());
    is_sent(&client.events());

    let stop = Arc::new(AtomicBool::new(false));
    let pings: Vec<_> = (0..4)
        .map(|_| (client.clone(), stop.clone()))
        .map(|(client, stop)| {
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.flush().unwrap();
                    assert!(client.is_connected());
                }
            })
        })
        .collect();
    (0..1_000).for_each(|n| text(&client, "a", n, QoS::ExactlyOnce));
    stop.store(true, Ordering::Relaxed);
    pings.into_iter().for_each(|ping| ping.join().unwrap());
}
