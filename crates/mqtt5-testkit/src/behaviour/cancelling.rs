//! Futures that are dropped before they are ready: after one poll, after two, and so on, while the driver goes on.

use std::future::{IntoFuture, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use mqtt5_client::{Options, QoS};

use crate::Direction;

use super::{QOS, Server, Setting, eventually, receive, receive_until, yield_now};

/// Polls a future so many times, or until it is ready; after each poll everybody else has a turn.
///
/// It is polled whether it was woken or not, as it is beside others in one task.
pub(super) async fn poll_times<F: IntoFuture>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future.into_future());
    for _ in 0..times {
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// After how many polls to drop a future: after each of the first, then more and more rarely.
fn polls() -> impl Iterator<Item = usize> {
    (1..16).chain((4..24).map(|power| 1 << power))
}

/// A message that was accepted arrives, whether anybody waits for its acknowledgement or not.
pub async fn a_publish_at_every_poll(setting: Setting) {
    let proxy = setting.server.proxy();
    let client = setting.connect_with(Options::new(proxy.url())).await;
    let mut inbox = client.subscribe("p").qos(QoS::ExactlyOnce).await.unwrap();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut expected = Vec::new();
        // No answer comes, so that each of these is dropped.
        proxy.stall(Direction::ToClient, true);
        for polls in 1..=CANCELLED {
            let text = polls.to_string();
            let publish = client.publish("p", &text).qos(qos);
            assert!(poll_times(polls, publish).await.is_none(), "{qos:?}");
            expected.push(text);
        }
        proxy.stall(Direction::ToClient, false);
        // The answer comes while they are polled.
        for polls in polls() {
            let text = format!("answered {polls}");
            let publish = client.publish("p", &text).qos(qos);
            let outcome = poll_times(polls, publish).await;
            expected.push(text);
            if let Some(outcome) = outcome {
                assert!(outcome.unwrap().is_acknowledged());
                break;
            }
        }
        client.publish("p", "end").qos(qos).await.unwrap();
        assert_eq!(receive_until(&mut inbox, "end").await, expected, "{qos:?}");
    }
    eventually("nothing is left", move || {
        client.statistics().unacknowledged_publishes == 0
    })
    .await;
}

/// There is no room, so that a start has to wait: one that was dropped has accepted nothing.
pub async fn a_start_at_every_poll(setting: Setting) {
    let proxy = setting.server.proxy();
    let client = setting.connect_with(Options::new(proxy.url())).await;
    let other = setting.connect().await;
    let mut inbox = other.subscribe("s").qos(QoS::AtLeastOnce).await.unwrap();
    proxy.stall(Direction::ToBroker, true);
    let large = vec![0; 500_000];
    // The link is full when it takes nothing for so long, also where others keep the machine busy.
    let moment = Duration::from_secs(1);
    while client
        .publish("s/large", &large)
        .timeout(moment)
        .await
        .is_ok()
    {}

    let mut cancelled = 0;
    for polls in 1..16 {
        let text = polls.to_string();
        let start = client.publish("s", &text).start();
        assert!(poll_times(polls, start).await.is_none());
        cancelled += 1;
    }
    assert!(cancelled >= ENOUGH, "only {cancelled} cancelled");
    proxy.stall(Direction::ToBroker, false);
    client
        .publish("s", "end")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    assert!(receive_until(&mut inbox, "end").await.is_empty());
    eventually("nothing is left", move || {
        client.statistics().waiting_publishes == 0
    })
    .await;
}

/// No message is lost and none comes twice.
pub async fn a_receive_at_every_poll(setting: Setting) {
    let client = setting.connect().await;
    let mut inbox = client.subscribe("r").qos(QoS::ExactlyOnce).await.unwrap();
    for qos in QOS {
        let mut cancelled = 0;
        for polls in polls() {
            // Before there is a message, and while it is on its way.
            let nothing = poll_times(polls.min(16), inbox.recv()).await;
            assert!(nothing.is_none());
            cancelled += 1;
            let text = polls.to_string();
            let publish = client.publish("r", &text).qos(qos);
            drop(publish.start().await.unwrap());
            let message = loop {
                match poll_times(polls, inbox.recv()).await {
                    None => cancelled += 1,
                    Some(message) => break message.expect("the subscription lives"),
                }
            };
            assert_eq!(message.payload(), text.as_bytes(), "{qos:?}");
            assert_eq!(message.qos(), qos);
            if cancelled >= ENOUGH && polls >= 16 {
                break;
            }
        }
        assert!(cancelled >= ENOUGH, "only {cancelled} cancelled at {qos:?}");
    }
    assert!(inbox.try_recv().unwrap().is_none());
}

/// A subscribe that nobody waits for any more is taken back.
pub async fn a_subscribe_at_every_poll(setting: Setting) {
    let proxy = setting.server.proxy();
    let client = setting.connect_with(Options::new(proxy.url())).await;
    // No answer comes, so that each of these is dropped.
    proxy.stall(Direction::ToClient, true);
    for polls in 1..=CANCELLED {
        let subscribe = client.subscribe("x").qos(QoS::AtLeastOnce);
        assert!(poll_times(polls, subscribe).await.is_none());
    }
    proxy.stall(Direction::ToClient, false);
    // The answer comes while they are polled.
    for polls in polls() {
        let subscribe = client.subscribe("x").qos(QoS::AtLeastOnce);
        if let Some(inbox) = poll_times(polls, subscribe).await {
            let mut inbox = inbox.unwrap();
            client
                .publish("x", "1")
                .qos(QoS::AtLeastOnce)
                .await
                .unwrap();
            assert_eq!(receive(&mut inbox).await.payload(), b"1");
            break;
        }
    }
    // Requests keep their order: whatever was taken back is gone when this is answered.
    let unsubscribed = client.unsubscribe("x").await.unwrap();
    assert_eq!(unsubscribed.results()[0].1.value(), 0x11);
    assert_eq!(client.statistics().filters, 0);
    if let Server::Embedded(broker) = &setting.server {
        assert_eq!(broker.statistics().subscriptions, 0);
    }
}

/// How many points at which a future is dropped there must be.
const ENOUGH: usize = 3;
/// At how many points a future is dropped to which no answer comes.
const CANCELLED: usize = 12;
