//! Nothing is left behind: no descriptor, no thread, no task. One test in this file, since the whole process counts.

use std::time::Duration;

use mqtt5_testkit::{Proxy, Script, ScriptedPeer, open_file_descriptors, thread_count, wait_until};
use mqtt5_tokio::{Backoff, Client, Options, QoS, Reconnect, connect, driver, start};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

#[test]
fn nothing_is_left_behind() {
    for build in [current_thread, multi_thread] {
        // With the feature `signal`, which another crate may ask for, the first runtime makes what the process keeps.
        drop(build());
        let before = (open_file_descriptors(), thread_count());
        let runtime = build();
        let broker = mqtt5_broker::spawn().unwrap();
        let url = broker.url();

        // The first connection may make what the process keeps.
        runtime.block_on(use_and_end(url.clone(), 0));
        assert_tasks_end(&runtime);
        let nobody_is_connected = || broker.statistics().connections == 0;
        assert!(wait_until(SOON, nobody_is_connected));
        let between = open_file_descriptors();
        runtime.block_on(a_thousand(&url));
        assert_tasks_end(&runtime);
        // The broker lets go of a socket a moment before, or after, it says so.
        let same = || nobody_is_connected() && open_file_descriptors() <= between;
        assert!(wait_until(SOON, same), "{between}");

        runtime.block_on(attempts_that_are_given_up());
        assert_tasks_end(&runtime);
        let proxy = Proxy::start(broker.address());
        runtime.block_on(disconnecting_while_connecting(&proxy));
        assert_tasks_end(&runtime);
        runtime.block_on(connections_that_are_made_again(&proxy));
        assert_tasks_end(&runtime);
        assert!(wait_until(SOON, || proxy.open_connections() == 0));
        drop(proxy);
        runtime.block_on(drivers_that_are_dropped(&url));
        assert_tasks_end(&runtime);

        // The runtime goes first, with a connection and with an attempt.
        let peer = ScriptedPeer::start(Script::new().skip_packet().until_closed());
        let client = runtime.block_on(connect(url)).unwrap();
        let attempt = runtime.block_on(async { start(peer.url()) }).unwrap();
        wait_for_state(&runtime, &attempt);
        drop(runtime);
        assert_stopped(&client);
        assert_stopped(&attempt);
        peer.join().unwrap();
        drop((client, attempt, broker));

        let after = || (open_file_descriptors(), thread_count());
        assert!(
            wait_until(SOON, || after() == before),
            "{:?} after {before:?}",
            after()
        );
    }
}

async fn a_thousand(url: &str) {
    let mut tasks = JoinSet::new();
    for number in 0..1_000 {
        if tasks.len() == 100 {
            tasks.join_next().await.unwrap().unwrap();
        }
        tasks.spawn(use_and_end(url.to_owned(), number));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Ends in one of several ways.
async fn use_and_end(url: String, number: u32) {
    let client = connect(url).await.unwrap();
    let inbox = client
        .subscribe(format!("t/{number}"))
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    client
        .publish(format!("t/{number}"), "x")
        .qos(QoS::ExactlyOnce)
        .await
        .unwrap();
    match number % 4 {
        0 => client.disconnect().await.unwrap(),
        1 => drop(client),
        2 => inbox.detach(),
        _ => drop(
            client
                .publish("t", "y")
                .qos(QoS::AtLeastOnce)
                .start()
                .await
                .unwrap(),
        ),
    }
}

/// Whoever waits for the connection goes away.
async fn attempts_that_are_given_up() {
    for _ in 0..5 {
        let peer = ScriptedPeer::start(Script::new().until_closed());
        let attempt = tokio::time::timeout(Duration::from_millis(100), connect(peer.url()));
        attempt.await.unwrap_err();
        tokio::task::spawn_blocking(|| peer.join())
            .await
            .unwrap()
            .unwrap();
    }
}

/// T116: each time after some more turns of the others; what was begun is called off, wherever it is.
async fn disconnecting_while_connecting(proxy: &Proxy) {
    for turns in 0..400 {
        let client = start(stubborn(proxy)).unwrap();
        for _ in 0..turns % 50 {
            tokio::task::yield_now().await;
        }
        if turns % 4 == 0 {
            proxy.cut();
        }
        client.disconnect().await.unwrap();
    }
}

/// They end while they are up, while they are down, and while nobody lets them in.
async fn connections_that_are_made_again(proxy: &Proxy) {
    for number in 0..60 {
        let client = connect(stubborn(proxy)).await.unwrap();
        let inbox = client.subscribe("t").await.unwrap();
        for connects in 2..4 {
            proxy.cut();
            while client.statistics().connects < connects {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        proxy.refuse(number % 3 == 0);
        if number % 3 != 1 {
            proxy.cut();
        }
        match number % 2 {
            0 => client.disconnect().await.unwrap(),
            _ => drop((client, inbox)),
        }
        proxy.refuse(false);
    }
}

fn stubborn(proxy: &Proxy) -> Options {
    let backoff = Backoff::exponential(Duration::from_millis(1), Duration::from_millis(10));
    let reconnect = Reconnect::default().retry_first(true).backoff(backoff);
    Options::new(proxy.url()).reconnect(reconnect)
}

/// The user spawned the driver and aborts it.
async fn drivers_that_are_dropped(url: &str) {
    for polled in [false, true] {
        let (client, driver) = driver(url).unwrap();
        let mut delivery = client
            .publish("t", "x")
            .qos(QoS::AtLeastOnce)
            .start()
            .await
            .unwrap();
        if polled {
            let task = tokio::spawn(driver);
            client.connected().await.unwrap();
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        } else {
            drop(driver);
        }
        client.closed().await.unwrap_err();
        assert!(delivery.try_outcome().is_some());
    }
}

fn wait_for_state(runtime: &Runtime, client: &Client) {
    runtime.block_on(async {
        while client.state() != mqtt5_tokio::State::Handshaking {
            tokio::task::yield_now().await;
        }
    });
}

#[track_caller]
fn assert_tasks_end(runtime: &Runtime) {
    runtime.block_on(async {
        let metrics = runtime.metrics();
        for _ in 0..SOON.as_millis() {
            if metrics.num_alive_tasks() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{} tasks are left", metrics.num_alive_tasks());
    });
}

fn assert_stopped(client: &Client) {
    // Without a runtime: it is over already.
    let error = mqtt5_testkit::behaviour::block_on(client.closed()).unwrap_err();
    assert_eq!(error.kind(), mqtt5_tokio::ConnectionErrorKind::Closed);
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

const SOON: Duration = Duration::from_secs(20);
