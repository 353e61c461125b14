//! A run on threads, with the handles of mqtt5-blocking.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mqtt5_blocking::{Client, Delivery, Subscription};

use super::Published;
use super::checker::{Checker, Verdict};
use super::inspection::{Inspection, Run, Silence};
use super::stamp::Stamp;

/// Publishes with one client, receives with the other, and checks.
pub(crate) fn run(publisher: &Client, subscriber: &Client, run: &Run) -> Result<Verdict> {
    let subscribe = subscriber
        .subscribe(run.plan.topic.as_str())
        .qos(run.plan.qos);
    let subscription = subscribe.wait().context("cannot subscribe")?;
    let (published, checker) = thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(run, subscription, publisher));
        let published = publish(run, publisher);
        run.published();
        (published, receiving.join())
    });
    let checker = checker.map_err(|_| anyhow::anyhow!("the receiver failed"))?;
    for client in [publisher, subscriber] {
        if !client.is_connected() {
            client
                .closed()
                .context("the connection was lost during the run")?;
        }
    }
    Ok(checker.finish(published.sent, published.unacknowledged))
}

fn publish(run: &Run, client: &Client) -> Published {
    let plan = &run.plan;
    let mut published = Published::default();
    let mut window = VecDeque::with_capacity(run.window);
    let mut payload = vec![0; plan.size];
    for sequence in 0..plan.messages {
        run.gate().enter_blocking();
        let sent_at = run.now();
        Stamp {
            run: plan.run,
            sequence,
            sent_at,
        }
        .write(&mut payload);
        let message = client.publish(plan.topic.as_str(), &payload).qos(plan.qos);
        // What stopped the client is told when the run has ended.
        let Ok(delivery) = message.start() else { break };
        published.sent += 1;
        window.push_back(delivery);
        if window.len() >= run.window {
            complete(window.pop_front(), &mut published);
        }
    }
    while !window.is_empty() {
        complete(window.pop_front(), &mut published);
    }
    published
}

fn complete(delivery: Option<Delivery>, published: &mut Published) {
    if let Some(delivery) = delivery {
        published.unacknowledged += u64::from(delivery.wait().is_err());
    }
}

fn receive(run: &Run, mut subscription: Subscription, publisher: &Client) -> Checker {
    let mut inspection = Inspection::new(run);
    loop {
        let message = match subscription.try_recv() {
            Ok(None) => subscription.recv_timeout(inspection.patience()),
            available => available,
        };
        match message {
            Ok(Some(message)) => inspection.handle_message(&message),
            Ok(None) => match inspection.handle_silence() {
                Silence::Wait => {}
                Silence::GiveUp => drop(publisher.disconnect().drain(Duration::ZERO).wait()),
                Silence::End => break,
            },
            Err(_) => break,
        }
    }
    inspection.into_checker()
}
