//! Many messages at once, on connections that break at a known packet.

use super::executor::Task;
use super::subscribe::subscribe;
use super::{Link, Peer, reconnecting};
use crate::{
    Async, Backoff, Client, Filter, Options, PublishErrorKind, QoS, Reconnect, State, Subscription,
};
use core::time::Duration;
use mqtt5_broker::{Access, Broker, Config, Fault, Login, Mishap, On};
use mqtt5_proto::{PacketType, ReasonCode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// How often the broker was asked to forward a message of each topic.
pub(super) type Seen = Arc<Mutex<BTreeMap<String, usize>>>;

pub(super) struct Witness(pub(super) Seen);

impl Access for Witness {
    fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
        Ok(())
    }

    fn publish(&mut self, _: &str, topic: &str) -> Result<(), ReasonCode> {
        let mut seen = self.0.lock().expect("not poisoned");
        *seen.entry(topic.to_owned()).or_default() += 1;
        Ok(())
    }
}

/// A client of a broker that takes so many messages at once.
fn with_window(options: Options, window: u16) -> (Client, Link, Seen) {
    let seen = Seen::default();
    let mut config = Config::default();
    config.receive_maximum = window;
    config.access = Box::new(Witness(seen.clone()));
    let peer = Peer::Broker(Box::new(Broker::new(config)));
    let (client, mut link) = Link::new::<Async>(options, peer);
    link.run();
    (client, link, seen)
}

fn payloads(subscription: &mut Subscription) -> Vec<u8> {
    let mut payloads = Vec::new();
    while let Ok(Some(message)) = subscription.try_recv() {
        payloads.push(message.payload()[0]);
    }
    payloads
}

/// Steps and reconnects until nothing happens any more; `look` sees the client in between.
fn settle(client: &Client, link: &mut Link, mut look: impl FnMut(&Client)) {
    for _ in 0..20 {
        for _ in 0..1_000 {
            look(client);
            if !link.step() {
                break;
            }
        }
        if client.state() == State::Online {
            return;
        }
        link.reconnect();
    }
    panic!("no connection that lasts");
}

/// T25: however many are published, never more are unacknowledged than the server's Receive Maximum, whenever one looks, and over lost
/// connections; it is used to the full.
#[test]
fn the_window_is_never_exceeded() {
    const WINDOW: usize = 10;
    let (client, mut link, _) = with_window(reconnecting(), 10);
    let every = Fault::new(On::Sent(PacketType::Puback), Mishap::CutAfter);
    link.broker().inject(every.one_in(50).always());
    let mut publishes: Vec<_> = (0..400)
        .map(|number| {
            let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number % 2];
            Task::new(client.publish("a", "x").qos(qos))
        })
        .collect();
    assert!(publishes.iter_mut().all(Task::is_pending));
    let mut most = 0;
    for _ in 0..100 {
        settle(&client, &mut link, |client| {
            most = most.max(client.statistics().unacknowledged_publishes);
        });
        if client.statistics().unacknowledged_publishes == 0 {
            break;
        }
    }
    assert_eq!(most, WINDOW);
    assert!(client.statistics().connects > 2, "it was cut");
    for publish in &mut publishes {
        assert!(publish.woken().expect("delivered").is_acknowledged());
    }
}

/// T156: a hundred at QoS 2, and the connection breaks behind the 15th packet of the server: all arrive, in order and once.
#[test]
fn a_hundred_at_once_and_the_session_lives() {
    let (client, mut link, _) = with_window(reconnecting(), 65_535);
    let inbox = client.subscribe("h").qos(QoS::ExactlyOnce);
    let mut inbox = subscribe(&mut link, inbox);
    // CONNACK and SUBACK were the first.
    let cut = Fault::new(On::Sent(PacketType::Pubrec), Mishap::CutAfter);
    link.broker().inject(cut.skip(12));
    let mut publishes: Vec<_> = (0..100_u8)
        .map(|number| Task::new(client.publish("h", vec![number]).qos(QoS::ExactlyOnce)))
        .collect();
    assert!(publishes.iter_mut().all(Task::is_pending));
    let mut arrived = Vec::new();
    for _ in 0..5 {
        settle(&client, &mut link, |_| ());
        arrived.extend(payloads(&mut inbox));
    }
    for publish in &mut publishes {
        assert!(publish.woken().expect("delivered").is_acknowledged());
    }
    assert_eq!(arrived, (0..100).collect::<Vec<_>>());
    assert_eq!(client.statistics().connects, 2);
    assert_eq!(client.statistics().sessions_lost, 0);
}

/// T157: at the 30th packet, with a window of ten, and the session is gone: those that may have arrived are unknown, all others are
/// delivered, and nothing is sent twice.
#[test]
fn a_hundred_at_once_and_the_session_is_lost() {
    let (client, mut link, seen) = with_window(reconnecting().session_expiry_interval(0), 10);
    // Instead of it, so that one message has arrived of which the client never hears.
    let cut = Fault::new(On::Sent(PacketType::Pubrec), Mishap::Cut);
    link.broker().inject(cut.skip(14));
    let mut publishes: Vec<_> = (0..100)
        .map(|number| {
            Task::new(
                client
                    .publish(format!("h/{number}"), "x")
                    .qos(QoS::ExactlyOnce),
            )
        })
        .collect();
    assert!(publishes.iter_mut().all(Task::is_pending));
    settle(&client, &mut link, |_| ());
    let (mut unknown, mut unheard) = (0, 0);
    let seen = seen.lock().expect("not poisoned");
    for (number, publish) in publishes.iter_mut().enumerate() {
        let times = seen.get(&format!("h/{number}")).copied().unwrap_or(0);
        match publish.woken() {
            Ok(_) => assert_eq!(times, 1, "{number}"),
            Err(error) => {
                assert_eq!(error.kind(), PublishErrorKind::Unknown);
                assert!(times <= 1, "{number}");
                unknown += 1;
                unheard += times;
            }
        }
    }
    assert!((1..=10).contains(&unknown) && unheard > 0, "{unknown}");
    let statistics = client.statistics();
    assert_eq!((statistics.connects, statistics.sessions_lost), (2, 1));
    assert_eq!(statistics.unacknowledged_publishes, 0);
}

/// T143: a hundred before the first connection and a hundred after it, which breaks again and again: all arrive, in order.
#[test]
fn a_queue_of_before_and_after_connecting() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let seen = Seen::default();
        let mut config = Config::default();
        config.access = Box::new(Witness(seen.clone()));
        config.receive_maximum = 7;
        let mut broker = Box::new(Broker::new(config));
        let often = Fault::new(On::Received(PacketType::Publish), Mishap::CutAfter);
        broker.inject(often.one_in(20).always());
        let at_once = Backoff::constant(Duration::from_millis(50));
        let options =
            reconnecting().reconnect(Reconnect::default().retry_first(true).backoff(at_once));
        let declared = Filter::new("q").qos(qos);
        let (client, mut link) = Link::new::<Async>(options.declare(declared), Peer::Refusing);
        link.run();
        let begin = |number: u8| Task::new(client.publish("q", vec![number]).qos(qos));
        let mut publishes: Vec<_> = (0..100).map(begin).collect();
        assert!(publishes.iter_mut().all(Task::is_pending));
        link.peer = Peer::Broker(broker);
        let mut inbox = client.declared("q").expect("declared");
        let mut arrived = Vec::new();
        for number in 100..200 {
            link.pass(Duration::from_millis(200));
            publishes.push(begin(number));
            assert!(publishes.last_mut().expect("one").is_pending());
            arrived.extend(payloads(&mut inbox));
        }
        for _ in 0..200 {
            link.pass(Duration::from_secs(1));
            arrived.extend(payloads(&mut inbox));
        }
        for publish in &mut publishes {
            assert!(publish.woken().expect("delivered").is_acknowledged());
        }
        assert!(client.statistics().connects > 5);
        if qos == QoS::AtLeastOnce {
            let mut known = [false; 200];
            arrived.retain(|number| !core::mem::replace(&mut known[usize::from(*number)], true));
        }
        assert_eq!(arrived, (0..200).collect::<Vec<_>>(), "{qos:?}");
    }
}
