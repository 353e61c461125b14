//! A run on tasks, with the handles that mqtt5-tokio and mqtt5-async-std share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mqtt5_client::{Client, Delivery, Subscription};

use super::Published;
use super::checker::{Checker, Verdict};
use super::inspection::{Inspection, Run, Silence};
use super::stamp::Stamp;

/// Publishes with one client, receives with the other, and checks.
pub(crate) async fn run(publisher: &Client, subscriber: &Client, run: Run) -> Result<Verdict> {
    let run = Arc::new(run);
    let subscribe = subscriber
        .subscribe(run.plan.topic.as_str())
        .qos(run.plan.qos);
    let subscription = subscribe.await.context("cannot subscribe")?;
    let receiving = tokio::spawn(receive(Arc::clone(&run), subscription, publisher.clone()));
    let published = publish(&run, publisher).await;
    run.published();
    let checker = receiving.await.context("the receiver failed")?;
    for client in [publisher, subscriber] {
        if !client.is_connected() {
            client
                .closed()
                .await
                .context("the connection was lost during the run")?;
        }
    }
    Ok(checker.finish(published.sent, published.unacknowledged))
}

async fn publish(run: &Run, client: &Client) -> Published {
    let plan = &run.plan;
    let mut published = Published::default();
    let mut window = VecDeque::with_capacity(run.window);
    let mut payload = vec![0; plan.size];
    for sequence in 0..plan.messages {
        run.gate().enter().await;
        let sent_at = run.now();
        Stamp {
            run: plan.run,
            sequence,
            sent_at,
        }
        .write(&mut payload);
        let message = client.publish(plan.topic.as_str(), &payload).qos(plan.qos);
        // What stopped the client is told when the run has ended.
        let Ok(delivery) = message.start().await else {
            break;
        };
        published.sent += 1;
        window.push_back(delivery);
        if window.len() >= run.window {
            complete(window.pop_front(), &mut published).await;
        }
    }
    while !window.is_empty() {
        complete(window.pop_front(), &mut published).await;
    }
    published
}

async fn complete(delivery: Option<Delivery>, published: &mut Published) {
    if let Some(delivery) = delivery {
        published.unacknowledged += u64::from(delivery.await.is_err());
    }
}

async fn receive(run: Arc<Run>, mut subscription: Subscription, publisher: Client) -> Checker {
    let mut inspection = Inspection::new(&run);
    loop {
        let message = match subscription.try_recv() {
            Ok(None) => subscription.recv_timeout(inspection.patience()).await,
            available => available,
        };
        match message {
            Ok(Some(message)) => inspection.handle_message(&message),
            Ok(None) => match inspection.handle_silence() {
                Silence::Wait => {}
                Silence::GiveUp => drop(publisher.disconnect().drain(Duration::ZERO).await),
                Silence::End => break,
            },
            Err(_) => break,
        }
    }
    inspection.into_checker()
}
