//! Nothing is left behind: no descriptor, no thread, no task. One test in this file, since the whole process counts.

use std::fs;
use std::future::Future;
use std::time::Duration;

use mqtt5_async_std::{
    Backoff, Driver, Options, QoS, Reconnect, State, connect, connect_with, driver,
};
use mqtt5_testkit::{Proxy, Script, ScriptedPeer, open_file_descriptors, wait_until};

/// How a client gets driven.
type Spawn = fn(Driver);

const SPAWNS: [Spawn; 2] = [
    |driver| smol::spawn(driver).detach(),
    |driver| drop(async_std::task::spawn(driver)),
];

#[test]
fn nothing_is_left_behind() {
    let broker = mqtt5_broker::spawn().unwrap();
    let url = broker.url();
    // The reactor, the executors and their threads stay; the broker has none left when nobody is connected.
    for spawn in SPAWNS {
        smol::block_on(use_and_end(connect_with(url.clone(), spawn), 0));
    }
    smol::block_on(use_and_end(connect(url.clone()), 0));
    let settled = || broker.statistics().connections == 0;
    let is_ours = |name: &String| name == "mqtt5\n";
    assert!(wait_until(SOON, || settled()
        && !Counts::take().threads.iter().any(is_ours)));
    let before = Counts::take();

    for spawn in SPAWNS {
        smol::block_on(a_thousand(|| connect_with(url.clone(), spawn)));
        smol::block_on(attempts_that_are_given_up(spawn));
        let proxy = Proxy::start(broker.address());
        smol::block_on(connections_that_are_made_again(&proxy, spawn));
        assert!(wait_until(SOON, || proxy.open_connections() == 0));
    }
    smol::block_on(a_thousand(|| connect(url.clone())));
    smol::block_on(drivers_that_are_dropped(&url));
    let same = wait_until(SOON, || settled() && Counts::take() == before);
    assert!(same, "{:?} after {before:?}", Counts::take());
}

#[derive(Debug, PartialEq)]
struct Counts {
    descriptors: usize,
    threads: Vec<String>,
}

impl Counts {
    fn take() -> Self {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
        // One that has just ended has no name; `unblock` keeps a thread for itself.
        let mut threads: Vec<_> = tasks.filter_map(|task| name(task.ok()?).ok()).collect();
        threads.retain(|name| !name.starts_with("blocking-"));
        threads.sort();
        Self {
            descriptors: open_file_descriptors(),
            threads,
        }
    }
}

type Connected = Result<mqtt5_async_std::Client, mqtt5_async_std::ConnectionError>;

async fn a_thousand<F: Future<Output = Connected> + Send + 'static>(connect: impl Fn() -> F) {
    let mut tasks = std::collections::VecDeque::new();
    for number in 0..1_000 {
        if tasks.len() == 100 {
            tasks.pop_front().unwrap().await;
        }
        tasks.push_back(smol::spawn(use_and_end(connect(), number)));
    }
    for task in tasks {
        task.await;
    }
}

/// Ends in one of several ways.
async fn use_and_end(connecting: impl Future<Output = Connected>, number: u32) {
    let client = connecting.await.unwrap();
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
async fn attempts_that_are_given_up(spawn: Spawn) {
    for _ in 0..5 {
        let peer = ScriptedPeer::start(Script::new().until_closed());
        let url = peer.url();
        let attempt = async {
            connect_with(url, spawn).await.unwrap_err();
        };
        let moment = async {
            smol::Timer::after(Duration::from_millis(100)).await;
        };
        smol::future::or(attempt, moment).await;
        smol::unblock(|| peer.join()).await.unwrap();
    }
}

/// T116: they end while they are up, while they are down, while nobody lets them in, and at any moment of the first attempt.
async fn connections_that_are_made_again(proxy: &Proxy, spawn: Spawn) {
    let backoff = Backoff::exponential(Duration::from_millis(1), Duration::from_millis(10));
    let reconnect = Reconnect::default().retry_first(true).backoff(backoff);
    let options = Options::new(proxy.url()).reconnect(reconnect);
    for turns in 0..400 {
        let (client, driver) = driver(options.clone()).unwrap();
        spawn(driver);
        for _ in 0..turns % 50 {
            smol::future::yield_now().await;
        }
        if turns % 4 == 0 {
            proxy.cut();
        }
        client.disconnect().await.unwrap();
    }
    for number in 0..60 {
        let client = connect_with(options.clone(), spawn).await.unwrap();
        let inbox = client.subscribe("t").await.unwrap();
        for connects in 2..4 {
            proxy.cut();
            while client.statistics().connects < connects {
                smol::Timer::after(Duration::from_millis(1)).await;
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

/// The user polls the driver and stops to.
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
            let task = smol::spawn(driver);
            client.connected().await.unwrap();
            drop(task);
        } else {
            drop(driver);
        }
        client.closed().await.unwrap_err();
        assert_eq!(client.state(), State::Stopped);
        assert!(delivery.try_outcome().is_some());
    }
}

const SOON: Duration = Duration::from_secs(20);
