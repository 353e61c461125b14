//! Many messages over a link that does not hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mqtt5_client::{Async, Client, QoS, Subscription};

use super::surviving::Cutter;
use super::{BoxFuture, Setting, eventually, join, join_all, receive};
use crate::clock::Stopwatch;

/// T33: eight workers publish, and both ends lose their connections every 20 to 300 ms: QoS 2 arrives exactly once, QoS 1 at least once,
/// both in order.
pub async fn a_link_that_breaks_all_the_time(setting: Setting) {
    let proxy = Arc::new(setting.server.proxy());
    let publisher = setting.connect_with(setting.through(&proxy)).await;
    let options = setting.receiving_through(&proxy);
    let subscriber = setting.connect_with(options).await;
    let subscribe = subscriber.subscribe("soak/+").qos(QoS::ExactlyOnce);
    let mut inbox = subscribe.await.unwrap();
    let cutter = Cutter::start(&proxy, |random| Duration::from_millis(20 + random % 280));
    let time = Stopwatch::start();
    let work = |worker: u32| -> BoxFuture<'_, _> {
        let is_over = || time.elapsed() > LENGTH;
        Box::pin(publish_all(&publisher, worker, is_over))
    };
    let publishing = async {
        let counts = join_all((0..WORKERS).map(work)).await;
        let cuts = cutter.end();
        for worker in 0..WORKERS {
            publish(&publisher, worker, "end").await;
        }
        (counts, cuts)
    };
    let ((counts, cuts), arrived) = join(publishing, receive_all(&mut inbox)).await;
    assert!(cuts > 5, "only {cuts} cuts");
    for (worker, count) in (0..WORKERS).zip(counts) {
        assert!(count > 10, "only {count} messages of {worker}");
        let mut numbers = arrived[&worker].clone();
        if qos_of(worker) == QoS::AtLeastOnce {
            // What comes again is what came before.
            let mut next = 0;
            numbers.retain(|number| {
                assert!(*number <= next, "{number} before {next}");
                let is_first = *number == next;
                next += u32::from(is_first);
                is_first
            });
        }
        let expected: Vec<_> = (0..count).collect();
        assert!(numbers == expected, "worker {worker}: {numbers:?}");
    }
    let statistics = move || (publisher.statistics(), subscriber.statistics());
    eventually("nothing is left", move || {
        let (publisher, subscriber) = statistics();
        publisher.unacknowledged_publishes == 0 && subscriber.held_messages == 0
    })
    .await;
}

/// Publishes one message after the other; tells how many.
async fn publish_all(client: &Client, worker: u32, is_over: impl Fn() -> bool + Send) -> u32 {
    let mut number = 0;
    while !is_over() {
        publish(client, worker, &number.to_string()).await;
        number += 1;
    }
    number
}

async fn publish(client: &Client, worker: u32, text: &str) {
    let publish = client.publish(format!("soak/{worker}"), text);
    publish.qos(qos_of(worker)).await.unwrap();
}

/// The numbers of each worker, until each has said that it has ended.
async fn receive_all(inbox: &mut Subscription<Async>) -> HashMap<u32, Vec<u32>> {
    let mut arrived: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut ended = std::collections::HashSet::new();
    while ended.len() < WORKERS as usize {
        let message = receive(inbox).await;
        let worker = message.topic()["soak/".len()..].parse().unwrap();
        match message.payload_str().unwrap() {
            "end" => drop(ended.insert(worker)),
            number => arrived
                .entry(worker)
                .or_default()
                .push(number.parse().unwrap()),
        }
    }
    arrived
}

fn qos_of(worker: u32) -> QoS {
    match worker % 2 {
        0 => QoS::ExactlyOnce,
        _ => QoS::AtLeastOnce,
    }
}

const WORKERS: u32 = 8;
/// For each runtime and broker, so that it is a multiple for each adapter.
const LENGTH: Duration = Duration::from_secs(8);
