//! A client that has nothing to do does nothing: its threads are not even woken.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mqtt5_blocking::{Backoff, Options, QoS, Reconnect, State, connect, start};
use mqtt5_testkit::{Direction, Proxy, wait_until};

/// How often threads of clients have gone to sleep so far, and how many of these threads there are.
fn sleeps() -> (u64, usize) {
    sleeps_of(&["mqtt5-write", "mqtt5-read", "mqtt5-dial", "mqtt5-push"])
}

fn sleeps_of(names: &[&str]) -> (u64, usize) {
    let mut total = (0, 0);
    for task in fs::read_dir("/proc/self/task")
        .expect("Linux has it")
        .flatten()
    {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if names.contains(&read("comm").trim()) {
            let status = read("status");
            let count = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            total.0 += count
                .and_then(|count| count.trim().parse::<u64>().ok())
                .unwrap_or(0);
            total.1 += 1;
        }
    }
    total
}

fn idle(seconds: u64) {
    let (_sender, receiver) = mpsc::channel::<()>();
    assert!(receiver.recv_timeout(Duration::from_secs(seconds)).is_err());
}

/// Waits until nothing moves, then looks for two seconds.
fn assert_asleep(threads: usize, what: &str) {
    assert!(wait_until(Duration::from_secs(5), || {
        let before = sleeps();
        idle(0);
        before == sleeps() && before.1 == threads
    }));
    idle(1);
    let before = sleeps();
    idle(2);
    let after = sleeps();
    assert_eq!((before.1, after.1), (threads, threads), "{what}");
    assert!(
        after.0 - before.0 <= 2,
        "{what}: woken {} times",
        after.0 - before.0
    );
}

/// One test, since it looks at all threads of the process.
#[test]
fn threads_sleep_until_they_are_needed() {
    let broker = mqtt5_broker::spawn().unwrap();
    let client = connect(broker.url()).unwrap();
    client
        .publish("a", "1")
        .qos(QoS::ExactlyOnce)
        .wait()
        .unwrap();
    assert_asleep(2, "an idle client");

    // A thread that waits for its answer writes by itself: the one that otherwise writes is not even woken.
    let before = sleeps_of(&["mqtt5-write"]);
    for _ in 0..1_000 {
        let publish = client.publish("a", "1").qos(QoS::AtLeastOnce);
        publish.wait().unwrap();
    }
    let after = sleeps_of(&["mqtt5-write"]);
    assert!(
        after.0 - before.0 < 100,
        "woken {} times",
        after.0 - before.0
    );

    // Threads of the application wait for messages that do not come, and for deadlines that are far.
    let mut messages = client.subscribe("nothing").wait().unwrap();
    let receiving = thread::spawn(move || messages.recv_timeout(Duration::from_secs(3600)));
    let waiting = thread::spawn({
        let client = client.clone();
        move || client.closed()
    });
    assert_asleep(2, "a client that is waited for");
    client.disconnect().wait().unwrap();
    assert!(receiving.join().unwrap().is_err());
    waiting.join().unwrap().unwrap();

    // Reading is paused.
    let client = connect(Options::new(broker.url()).inbound_bytes(1_000)).unwrap();
    let messages = client.subscribe("a").qos(QoS::AtLeastOnce).wait().unwrap();
    let sender = connect(broker.url()).unwrap();
    for _ in 0..100 {
        let publish = sender.publish("a", vec![0; 1_000]);
        publish.qos(QoS::AtLeastOnce).wait().unwrap();
    }
    sender.disconnect().wait().unwrap();
    assert_asleep(2, "a client that is not read from");
    drop(messages);
    client.disconnect().wait().unwrap();

    // The server takes nothing: there is a third thread, which waits for it.
    let proxy = Proxy::start(broker.address());
    let client = connect(proxy.url()).unwrap();
    proxy.stall(Direction::ToBroker, true);
    while client
        .publish("a", vec![0; 60_000])
        .timeout(Duration::from_millis(100))
        .start()
        .is_ok()
    {}
    assert_asleep(3, "a client that cannot write");
    drop(proxy);
    drop(client);

    // Nobody accepts the connection: the third thread connects.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let queued: Vec<_> = (0..4)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50)))
        .collect();
    let client = start(format!("mqtt://{address}")).unwrap();
    assert_asleep(3, "a client that connects");
    drop((client, queued));
    assert!(wait_until(Duration::from_secs(5), || sleeps().1 == 0));

    // The connection is lost: one thread sleeps until the next attempt.
    let hour = Backoff::constant(Duration::from_secs(3600));
    let options = Options::new(broker.url()).client_id("lost");
    let client = connect(options.reconnect(Reconnect::default().backoff(hour))).unwrap();
    assert!(broker.cut("lost"));
    assert_asleep(1, "a client that waits for its next attempt");
    assert_eq!(client.state(), State::Waiting);
    client.disconnect().wait().unwrap();
    assert!(wait_until(Duration::from_secs(5), || sleeps().1 == 0));
}
