//! Connections that are lost and made again, as threads that wait see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mqtt5_blocking::{Backoff, Options, QoS, Reconnect, connect, start};
use mqtt5_broker::{Broker, Config, Users};
use mqtt5_testkit::{Proxy, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
const THREADS: usize = 4;
const MESSAGES: usize = 150;

fn quickly() -> Reconnect {
    let (first, longest) = (Duration::from_millis(1), Duration::from_millis(20));
    Reconnect::default().backoff(Backoff::exponential(first, longest))
}

/// Each thread that waits writes with its own hands if nobody else does, to whatever connection there is.
#[test]
fn threads_that_wait_go_on_with_the_next_connection() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Arc::new(Proxy::start(broker.address()));
    let client = connect(Options::new(proxy.url()).reconnect(quickly())).unwrap();
    let witness = connect(broker.url()).unwrap();
    let subscribe = witness.subscribe("t/+").qos(QoS::ExactlyOnce);
    let mut messages = subscribe.wait().unwrap();

    let is_over = Arc::new(AtomicBool::new(false));
    let cutter = thread::spawn({
        let (proxy, is_over) = (proxy.clone(), is_over.clone());
        move || {
            let (_sender, never) = mpsc::channel::<()>();
            for cut in 0.. {
                let pause = Duration::from_millis(3 + cut * 7 % 20);
                assert!(never.recv_timeout(pause).is_err());
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                proxy.cut();
            }
        }
    });
    let publish = |number: usize| {
        let client = client.clone();
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number % 2];
        thread::spawn(move || {
            for message in 0..MESSAGES {
                let publish = client.publish(format!("t/{number}"), message.to_string());
                publish.qos(qos).wait().unwrap();
            }
        })
    };
    let publishing: Vec<_> = (0..THREADS).map(publish).collect();
    publishing
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    is_over.store(true, Ordering::Relaxed);
    cutter.join().unwrap();
    assert!(client.statistics().connects > 3);

    let mut arrived = vec![Vec::new(); THREADS];
    while arrived
        .iter()
        .any(|numbers| numbers.last() != Some(&(MESSAGES - 1)))
    {
        let message = messages.recv_timeout(PATIENCE).unwrap();
        let message = message.expect("all arrive");
        let thread: usize = message.topic()["t/".len()..].parse().unwrap();
        arrived[thread].push(message.payload_str().unwrap().parse().unwrap());
    }
    for (number, mut numbers) in arrived.into_iter().enumerate() {
        if number % 2 == 0 {
            numbers.dedup();
        }
        assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "{number}");
    }
    client.disconnect().wait().unwrap();
}

/// The server lets nobody in who does not say what only the thread knows.
#[test]
fn a_thread_prepares_each_attempt() {
    let mut config = Config::default();
    config.access = Box::new(Users::new([("me", "secret")]));
    let broker = Broker::new(config).spawn_thread().unwrap();
    let options = Options::new(broker.url()).client_id("here");
    let client = start(options.reconnect(quickly()).prepare_attempts(true)).unwrap();
    let mut attempts = client.attempts();
    let preparing = thread::spawn(move || {
        let mut count = 0;
        while let Some(mut attempt) = attempts.recv() {
            attempt.set_username(Some("me".into()));
            attempt.set_password("secret");
            attempt.accept().unwrap();
            count += 1;
        }
        count
    });
    client.connected().unwrap();
    assert!(broker.cut("here"));
    assert!(wait_until(PATIENCE, || client.statistics().connects == 2));
    let publish = client.publish("a", "1").qos(QoS::AtLeastOnce);
    publish.wait().unwrap();
    client.disconnect().wait().unwrap();
    assert_eq!(preparing.join().unwrap(), 2);
}
