//! A consumer that waits for a publish of its own before it takes its next message.

use super::executor::Inline;
use super::feeder::Feeder;
use super::subscribe::subscribe;
use super::{Link, online, reconnecting, room_for};
use crate::{Client, ConnectionErrorKind, Event, Options, Overflow, QoS, Statistics, Subscription};
use core::num::NonZeroU16;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const PAYLOAD: usize = 300;
/// An upper bound of what a message takes: header, topic, identifiers.
const MESSAGE: usize = PAYLOAD + 30;

/// Whatever was echoed, in order.
type Echoed = Arc<Mutex<Vec<u32>>>;

/// Takes a message, publishes something large, waits for that, and takes the next one.
async fn echo(client: Client, mut input: Subscription, qos: QoS, length: usize, echoed: Echoed) {
    let large = vec![b'x'; length];
    while let Some(message) = input.recv().await {
        let number = message.payload().first_chunk().copied();
        let number = u32::from_be_bytes(number.expect("four bytes"));
        drop(message);
        let published = client.publish("out", &large).qos(qos).await;
        if published.is_err() {
            return;
        }
        echoed.lock().expect("not poisoned").push(number);
    }
}

struct Consumer {
    client: Client,
    link: Link,
    feeder: Feeder,
    task: Arc<Inline>,
    echoed: Echoed,
    fed: u32,
}

impl Consumer {
    fn new(options: Options, inbound: QoS, outbound: QoS, length: usize) -> Self {
        let (client, mut link) = online(options);
        let input = subscribe(&mut link, client.subscribe("in").qos(inbound));
        let echoed = Echoed::default();
        let echo = echo(client.clone(), input, outbound, length, echoed.clone());
        Self {
            feeder: Feeder::new(&mut link),
            task: Inline::spawn(echo),
            client,
            link,
            echoed,
            fed: 0,
        }
    }

    fn feed(&mut self, qos: QoS, count: u32) {
        for _ in 0..count {
            let mut payload = [0; PAYLOAD];
            payload[..4].copy_from_slice(&self.fed.to_be_bytes());
            self.feeder.publish(&mut self.link, "in", qos, &payload);
            self.fed += 1;
        }
    }

    fn statistics(&self) -> Statistics {
        self.client.statistics()
    }

    fn echoed(&self) -> Vec<u32> {
        self.echoed.lock().expect("not poisoned").clone()
    }
}

/// E1: while Receive Maximum × message size fits `inbound_bytes` the consumer always goes on, whatever the sizes of the window and of the
/// queue, whatever is published, and even when the server reads nothing while it cannot write.
#[test]
fn a_consumer_that_waits_for_its_publish_goes_on_at_any_size() {
    for window in [1, 2, 7] {
        for (messages, overflow) in [
            (1, Overflow::DropNewest),
            (2, Overflow::DropOldest),
            (1_000, Overflow::DropNewest),
        ] {
            for (inbound, outbound) in ALL.iter().flat_map(|i| ALL.iter().map(move |o| (*i, *o))) {
                for stubborn in [0, usize::MAX] {
                    let options = reconnecting()
                        .receive_maximum(NonZeroU16::new(window).expect("not zero"))
                        .inbound_margin(0)
                        .inbound_bytes(usize::from(window) * MESSAGE)
                        .overflow(overflow)
                        .subscription_queue(room_for(messages));
                    let mut consumer = Consumer::new(options, inbound, outbound, 30_000);
                    consumer.link.stubborn = stubborn;
                    for _ in 0..3 {
                        consumer.feed(inbound, 20);
                        consumer.link.run();
                    }
                    let case = format!("{window} {messages} {inbound:?} {outbound:?} {stubborn}");
                    let statistics = consumer.statistics();
                    let echoed = consumer.echoed();
                    let dropped = usize::try_from(statistics.messages_dropped).expect("small");
                    assert_eq!(echoed.len() + dropped, 60, "{case}");
                    assert!(inbound == QoS::AtMostOnce || dropped == 0, "{case}");
                    assert!(echoed.is_sorted(), "{case}");
                    assert_eq!(statistics.held_messages, 0, "{case}");
                    assert_eq!(statistics.disconnects, 0, "{case}");
                    assert!(!consumer.task.is_done());
                }
            }
        }
    }
}

/// E1, T113: beyond that a stall may come. It ends by itself: with its event, and the next connection brings what was not taken, until
/// everything was echoed, at QoS 2 once.
#[test]
fn beyond_the_promise_a_stall_ends_and_everything_is_taken_in_the_end() {
    let mut stalls = 0;
    for window in [2, 3, 64] {
        for fits in [0, 1, 2] {
            for inbound in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                for outbound in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let case = format!("{window} {fits} {inbound:?} {outbound:?}");
                    let options = reconnecting()
                        .receive_maximum(NonZeroU16::new(window).expect("not zero"))
                        .inbound_bytes(fits * MESSAGE + 1)
                        .stall_timeout(Duration::from_secs(5));
                    let mut consumer = Consumer::new(options, inbound, outbound, 10);
                    let mut events = consumer.client.events();
                    consumer.feed(inbound, 100);
                    consumer.link.pass(Duration::from_secs(3_000));
                    let told = core::iter::from_fn(|| events.try_recv())
                        .filter(|event| {
                            matches!(event, Event::Disconnected(error)
                                if error.kind() == ConnectionErrorKind::ConsumerStalled)
                        })
                        .count();
                    stalls += told;
                    let echoed = consumer.echoed();
                    let distinct: BTreeSet<_> = echoed.iter().copied().collect();
                    assert_eq!(distinct.len(), 100, "{case}: {told} stalls");
                    if inbound == QoS::ExactlyOnce {
                        assert_eq!(echoed.len(), 100, "{case}");
                    }
                    assert!(consumer.client.is_connected() && !consumer.task.is_done());
                }
            }
        }
    }
    assert!(stalls > 0, "that is what this test is about");
}
