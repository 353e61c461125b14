//! Messages that outlive their connection.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mqtt5_client::{
    Async, Client, Delivered, Delivery, Event, Overflow, PublishError, PublishErrorKind, QoS,
    Subscription,
};

use super::cancelling::poll_times;
use super::{
    BoxFuture, QOS, Server, Setting, eventually, hear, join, join_all, off_thread, quickly,
    receive, receive_until,
};
use crate::{Direction, Proxy, Script, ScriptedPeer};

/// T32, T83: whoever waits for the acknowledgement gets it from the next connection.
pub async fn a_publish_waits_for_the_next_connection(setting: Setting) {
    let mut inbox = witness(&setting, "w").await;
    let proxy = setting.server.proxy();
    let client = setting.connect_with(setting.through(&proxy)).await;
    for (connections, qos) in [(2, QoS::AtLeastOnce), (3, QoS::ExactlyOnce)] {
        proxy.stall(Direction::ToClient, true);
        let publish = client.publish("w", "x").qos(qos);
        let cutting = async {
            client.flush().await.unwrap();
            assert_eq!(client.statistics().unacknowledged_publishes, 1);
            proxy.cut();
            proxy.stall(Direction::ToClient, false);
        };
        let (published, ()) = join(async { publish.await }, cutting).await;
        assert!(published.unwrap().is_acknowledged());
        assert_eq!(client.statistics().connects, connections);
        assert!(client.connection().unwrap().session_present());
        client.publish("w", "end").qos(qos).await.unwrap();
        let arrived = receive_until(&mut inbox, "end").await.len();
        let most = 1 + usize::from(qos == QoS::AtLeastOnce);
        assert!((1..=most).contains(&arrived), "{qos:?}: {arrived}");
    }
}

/// T82: the same packet identifier, with DUP set [MQTT-4.4.0-1], [MQTT-3.3.1-1].
pub async fn what_goes_over_the_wire_at_least_once(setting: Setting) {
    let script = Script::new()
        .skip_packet()
        .send(CONNACK)
        .expect(*b"\x32\x07\0\x01a\0\x01\0x")
        .next_connection()
        .skip_packet()
        .send(SESSION_PRESENT)
        .expect(*b"\x3a\x07\0\x01a\0\x01\0x")
        .send(*b"\x40\x02\0\x01");
    play(&setting, script, QoS::AtLeastOnce).await;
}

/// T23: after PUBREC nothing but PUBREL is sent again [MQTT-4.3.3-6].
pub async fn what_goes_over_the_wire_exactly_once(setting: Setting) {
    let script = Script::new()
        .skip_packet()
        .send(CONNACK)
        .expect(*b"\x34\x07\0\x01a\0\x01\0x")
        .next_connection()
        .skip_packet()
        .send(SESSION_PRESENT)
        .expect(*b"\x3c\x07\0\x01a\0\x01\0x")
        .send(*b"\x50\x02\0\x01")
        .expect(*b"\x62\x02\0\x01")
        .next_connection()
        .skip_packet()
        .send(SESSION_PRESENT)
        .expect(*b"\x62\x02\0\x01")
        .send(*b"\x70\x02\0\x01");
    play(&setting, script, QoS::ExactlyOnce).await;
}

async fn play(setting: &Setting, script: Script, qos: QoS) {
    let peer = ScriptedPeer::start(script.expect(DISCONNECT).until_closed());
    let options = mqtt5_client::Options::new(peer.url()).client_id("c");
    let client = setting.connect_with(options.reconnect(quickly())).await;
    let published = client.publish("a", "x").qos(qos).await;
    assert!(published.unwrap().is_acknowledged());
    client.disconnect().await.unwrap();
    off_thread(|| peer.join()).await.unwrap();
}

/// T23: the link breaks right behind PUBREC, and nobody gets the message twice.
pub async fn a_cut_after_the_server_has_a_message(setting: Setting) {
    let mut inbox = witness(&setting, "w").await;
    let proxy = setting.server.proxy();
    let client = setting.connect_with(setting.through(&proxy)).await;
    for round in 0..20 {
        // PUBREC, and in other rounds a part of it, or of PUBCOMP.
        proxy.cut_after(Direction::ToClient, 4 + round % 3);
        let text = round.to_string();
        let publish = client.publish("w", &text).qos(QoS::ExactlyOnce);
        assert!(publish.await.unwrap().is_acknowledged());
        assert_eq!(receive(&mut inbox).await.payload(), text.as_bytes());
    }
    let publish = client.publish("w", "end").qos(QoS::ExactlyOnce);
    publish.await.unwrap();
    assert!(receive_until(&mut inbox, "end").await.is_empty());
    assert!(client.statistics().connects > 10);
}

/// The link breaks after each number of bytes, in both directions, while messages of each QoS go both ways: the client completes
/// what it has begun.
pub async fn a_cut_at_every_stage(setting: Setting) {
    let proxy = setting.server.proxy();
    for direction in [Direction::ToBroker, Direction::ToClient] {
        for bytes in (0..120).step_by(5) {
            proxy.cut_after(direction, bytes);
            let client = setting.start(setting.through(&proxy));
            let topic = format!("{direction:?}/{bytes}");
            let subscribe = client.subscribe(topic.as_str()).qos(QoS::ExactlyOnce);
            let mut inbox = subscribe.await.unwrap();
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let publish = client.publish(topic.as_str(), "x").qos(qos);
                let (published, _) = join(async { publish.await }, receive(&mut inbox)).await;
                // Before the first acknowledgement there may have been no session that could be lost.
                if let Err(error) = published {
                    assert_eq!(error.kind(), PublishErrorKind::Unknown, "{topic}");
                }
            }
            client.disconnect().await.unwrap();
        }
    }
}

/// T143: the connection breaks again and again, and everything arrives in its order.
pub async fn a_queue_of_before_and_after_connecting(setting: Setting) {
    let mut inbox = witness(&setting, "q").await;
    let proxy = Arc::new(setting.server.proxy());
    proxy.refuse(true);
    let client = setting.start(setting.through(&proxy));
    let mut events = client.events();
    let mut deliveries = Vec::new();
    for number in 0..100 {
        deliveries.push(start(&client, "q", number, QoS::AtLeastOnce).await);
    }
    assert!(deliveries[0].try_outcome().is_none());
    proxy.refuse(false);
    let cutter = Cutter::start(&proxy, |random| Duration::from_millis(2 + random % 20));
    hear(&mut events, |event| matches!(event, Event::Connected(_))).await;
    for number in 100..200 {
        deliveries.push(start(&client, "q", number, QoS::AtLeastOnce).await);
        if number % 10 == 0 {
            // So that it takes a while.
            off_thread(|| crate::clock::pause(Duration::from_millis(10))).await;
        }
    }
    for delivery in deliveries {
        assert!(delivery.await.unwrap().is_acknowledged());
    }
    assert!(cutter.end() > 3);
    let publish = client.publish("q", "end").qos(QoS::AtLeastOnce);
    publish.await.unwrap();
    let mut seen = HashSet::new();
    let arrived = receive_until(&mut inbox, "end").await;
    let first = arrived.iter().filter(|text| seen.insert(text.as_str()));
    let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(
        first.collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
}

/// T156: the connection breaks behind the 15th packet of the server.
pub async fn a_hundred_at_once_and_the_session_lives(setting: Setting) {
    let mut inbox = witness(&setting, "h").await;
    let proxy = setting.server.proxy();
    let client = setting.connect_with(setting.through(&proxy)).await;
    // CONNACK was the first; PUBREC has four bytes.
    proxy.cut_after(Direction::ToClient, 14 * 4);
    for outcome in a_hundred(&client).await {
        assert!(outcome.unwrap().is_acknowledged());
    }
    assert_eq!(client.statistics().connects, 2);
    assert_eq!(client.statistics().unacknowledged_publishes, 0);
    let publish = client.publish("h", "end").qos(QoS::ExactlyOnce);
    publish.await.unwrap();
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(receive_until(&mut inbox, "end").await, expected);
}

/// T157: behind the 30th packet, the window is 10, and the server forgets the session: what it may have is unknown, all else is
/// delivered, and nothing twice.
pub async fn a_hundred_at_once_and_the_session_is_lost(setting: Setting) {
    let server = Server::with_window(setting.kind(), 10);
    let other = setting.connect_with(setting.options_at(&server)).await;
    let mut inbox = other.subscribe("h").qos(QoS::ExactlyOnce).await.unwrap();
    let proxy = server.proxy();
    let options = setting.through(&proxy).session_expiry_interval(0);
    let client = setting.connect_with(options).await;
    let mut events = client.events();
    proxy.cut_after(Direction::ToClient, 29 * 4);
    let outcomes = a_hundred(&client).await;
    hear(&mut events, |event| *event == Event::SessionLost).await;

    let mut delivered = Vec::new();
    let mut unknown = Vec::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => delivered.push(number.to_string()),
            Err(error) => {
                assert_eq!(error.kind(), PublishErrorKind::Unknown);
                unknown.push(number.to_string());
            }
        }
    }
    assert!((1..=10).contains(&unknown.len()), "{unknown:?}");
    let publish = client.publish("h", "end").qos(QoS::ExactlyOnce);
    publish.await.unwrap();
    let mut arrived = receive_until(&mut inbox, "end").await;
    arrived.retain(|text| !unknown.contains(text));
    assert_eq!(arrived, delivered);
    client.disconnect().await.unwrap();
    other.disconnect().await.unwrap();
    off_thread(|| drop((proxy, server))).await;
}

async fn a_hundred(client: &Client) -> Vec<Result<Delivered, PublishError>> {
    let publish = |number: u32| -> BoxFuture<'_, _> {
        let publish = client
            .publish("h", number.to_string())
            .qos(QoS::ExactlyOnce);
        Box::pin(async move { publish.await })
    };
    join_all((0..100).map(publish)).await
}

/// T25: whoever looks, whenever: there are never more on their way than the server allows.
pub async fn the_window_of_the_server_is_kept(setting: Setting) {
    let server = Server::with_window(setting.kind(), 10);
    let proxy = Arc::new(server.proxy());
    let client = setting.connect_with(setting.through(&proxy)).await;
    let window = client.connection().unwrap().receive_maximum();
    assert_eq!(window, 10);
    let cutter = Cutter::start(&proxy, |random| Duration::from_millis(2 + random % 20));
    let (is_over, most) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let sampler = thread::spawn({
        let (client, is_over, most) = (client.clone(), is_over.clone(), most.clone());
        move || {
            while !is_over.load(Ordering::Relaxed) {
                let now = client.statistics().unacknowledged_publishes;
                most.fetch_max(now, Ordering::Relaxed);
            }
        }
    });
    let mut deliveries = Vec::new();
    for number in 0..400 {
        let qos = QOS[1 + number as usize % 2];
        deliveries.push(start(&client, "x", number, qos).await);
    }
    for delivery in deliveries {
        assert!(delivery.await.unwrap().is_acknowledged());
    }
    cutter.end();
    is_over.store(true, Ordering::Relaxed);
    off_thread(|| sampler.join()).await.unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!((2..=10).contains(&most), "{most} on their way");
    client.disconnect().await.unwrap();
    off_thread(|| drop((proxy, server))).await;
}

/// It answers each message before it takes the next, on the task that receives, while the connection breaks.
pub async fn pitfall_19_a_consumer_that_publishes_is_never_stuck(setting: Setting) {
    let publisher = setting.connect().await;
    let mut answers = witness(&setting, "answer").await;
    let proxy = Arc::new(setting.server.proxy());
    let one = 1.try_into().expect("not zero");
    for window in [one, 256.try_into().expect("not zero")] {
        let options = setting.through(&proxy).receive_maximum(window);
        let client = setting.connect_with(options).await;
        let subscribe = client.subscribe("question").qos(QoS::ExactlyOnce);
        let mut inbox = subscribe.overflow(Overflow::Pause).await.unwrap();
        for number in 0..QUESTIONS {
            let qos = QOS[number as usize % 2 + 1];
            drop(start(&publisher, "question", number, qos).await);
        }
        let cutter = Cutter::start(&proxy, |random| Duration::from_millis(5 + random % 50));
        let mut answered = HashSet::new();
        while answered.len() < QUESTIONS as usize {
            let message = receive(&mut inbox).await;
            answered.insert(message.payload().to_vec());
            let publish = client.publish("answer", message.payload());
            publish.qos(message.qos()).await.unwrap();
        }
        cutter.end();
        client.disconnect().await.unwrap();
        let publish = publisher.publish("answer", "end").qos(QoS::ExactlyOnce);
        publish.await.unwrap();
        let arrived = receive_until(&mut answers, "end").await;
        let different: HashSet<_> = arrived
            .iter()
            .map(|text| text.clone().into_bytes())
            .collect();
        assert_eq!(different, answered);
    }
}

/// Futures are dropped after each number of polls while the connection breaks: what was accepted arrives, what is received is
/// received once.
pub async fn pitfall_25_cancelled_futures_lose_nothing(setting: Setting) {
    let proxy = Arc::new(setting.server.proxy());
    let client = setting.connect_with(setting.through(&proxy)).await;
    let options = setting.receiving_through(&proxy);
    let receiver = setting.connect_with(options).await;
    let subscribe = receiver.subscribe("c").qos(QoS::ExactlyOnce);
    let mut inbox = subscribe.await.unwrap();
    let cutter = Cutter::start(&proxy, |random| Duration::from_millis(1 + random % 10));
    let mut arrived = Vec::new();
    let mut count = 0;
    while client.statistics().connects <= CONNECTIONS {
        let text = count.to_string();
        if count > arrived.len() + WAITING {
            arrived.push(text_of(&receive(&mut inbox).await));
        }
        // The first poll has it accepted: there is room.
        let publish = client.publish("c", &text).qos(QoS::ExactlyOnce);
        let published = poll_times(1 + count % 7, publish).await;
        assert!(published.is_none_or(|outcome| outcome.is_ok()));
        if let Some(message) = poll_times(count % 11, inbox.recv()).await {
            arrived.push(text_of(&message.unwrap()));
        }
        count += 1;
    }
    cutter.end();
    while arrived.len() < count {
        arrived.push(text_of(&receive(&mut inbox).await));
    }
    let expected: Vec<_> = (0..count).map(|number| number.to_string()).collect();
    assert!(arrived == expected, "{arrived:?}");
    let watched = client.clone();
    eventually("nothing is left", move || {
        watched.statistics().unacknowledged_publishes == 0
    })
    .await;
    assert!(inbox.try_recv().unwrap().is_none());
}

async fn start(client: &Client, topic: &str, number: u32, qos: QoS) -> Delivery<Async> {
    let publish = client.publish(topic, number.to_string()).qos(qos);
    publish.start().await.unwrap()
}

fn text_of(message: &mqtt5_client::Message) -> String {
    message.payload_str().unwrap().to_owned()
}

/// A subscription of a client whose connection does not break.
async fn witness(setting: &Setting, filter: &str) -> Subscription<Async> {
    let client = setting.connect().await;
    client
        .subscribe(filter)
        .qos(QoS::ExactlyOnce)
        .await
        .unwrap()
}

/// Cuts the connections of a proxy again and again, until it is told to end.
pub(super) struct Cutter {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<u32>,
}

impl Cutter {
    /// `pause` makes of a random number how long to wait before each cut.
    pub(super) fn start(proxy: &Arc<Proxy>, pause: fn(u64) -> Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (proxy, over) = (proxy.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            let mut random = 1_u64;
            let mut cuts = 0;
            while !over.load(Ordering::Relaxed) {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                crate::clock::pause(pause(random >> 33));
                cuts += u32::from(proxy.open_connections() > 0);
                proxy.cut();
            }
            cuts
        });
        Self { is_over, thread }
    }

    /// Tells how many times there was something to cut.
    pub(super) fn end(self) -> u32 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

const CONNACK: [u8; 5] = *b"\x20\x03\0\0\0";
const SESSION_PRESENT: [u8; 5] = *b"\x20\x03\x01\0\0";
const DISCONNECT: [u8; 2] = [0xe0, 0];
const QUESTIONS: u32 = 300;
const CONNECTIONS: u64 = 10;
const WAITING: usize = 50;
