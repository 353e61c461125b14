//! The listener: real sockets, threads that end, slow clients, many clients.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::*;
use mqtt5_broker::{Broker, Config, Fault, Mishap, On, Server};
use mqtt5_proto::packet::{Connect, List, Packet, Publish, Subscribe, SubscribeFilter};
use mqtt5_proto::{Decoding, FixedHeader, PacketType, Properties, Property, QoS, ReasonCode, Role};
use mqtt5_testkit::{thread_count, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// A client that blocks.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    fn connect(server: &Server, client_id: &str) -> Self {
        Self::connect_with(server, &Connect::new(client_id))
    }

    fn connect_with(server: &Server, connect: &Connect<'_>) -> Self {
        let mut client = Self::open(server);
        client.send(&Packet::Connect(*connect));
        client.expect(|packet| matches!(packet, Packet::Connack(c) if c.is_accepted()));
        client
    }

    fn send(&mut self, packet: &Packet<'_>) {
        self.stream
            .write_all(&encode(packet))
            .expect("the broker reads");
    }

    fn subscribe(&mut self, text: &str, qos: QoS) {
        let items = [SubscribeFilter::new(filter(text), qos)];
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: id(1),
            properties: Properties::EMPTY,
            filters: List::from(&items[..]),
        }));
        self.expect(|packet| matches!(packet, Packet::Suback(_)));
    }

    /// Waits for one packet; `None` at the end of the stream.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let decoding = Decoding::new(Role::Server);
        loop {
            let header = FixedHeader::parse(&self.buffer, &decoding).expect("a packet");
            if let Some(length) = header.map(|header| header.total_len()) {
                if length <= self.buffer.len() {
                    return Some(self.buffer.drain(..length).collect());
                }
            }
            let mut chunk = [0; 64 << 10];
            match self.stream.read(&mut chunk).expect("in time") {
                0 => return None,
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, is_expected: impl FnOnce(Packet<'_>) -> bool) {
        let frame = self.receive().expect("no more packets");
        let packet = Packet::decode(&frame, &Decoding::new(Role::Server)).expect("a packet");
        assert!(is_expected(packet), "{packet:?}");
    }

    #[track_caller]
    fn expect_end(&mut self) {
        assert_eq!(self.receive(), None);
    }
}

#[test]
fn three_lines_are_enough() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    assert_eq!(
        broker.url(),
        format!("mqtt://127.0.0.1:{}", broker.address().port())
    );
    let mut client = Client::connect(&broker, "a");
    client.subscribe("t", EXACTLY_ONCE);
    client.send(&Packet::Publish(Publish {
        delivery: qos1(3),
        ..plain("t", "x")
    }));
    let mut seen = [
        client.receive().expect("one"),
        client.receive().expect("two"),
    ];
    seen.sort_unstable_by_key(|frame| frame[0]);
    assert_eq!(
        seen[0],
        encode(&Packet::Publish(Publish {
            delivery: qos1(1),
            ..plain("t", "x")
        }))
    );
    assert_eq!(seen[1], encode(&puback(3, ReasonCode::SUCCESS)));
    client.send(&puback(1, ReasonCode::SUCCESS));
    client.send(&disconnect(ReasonCode::NORMAL_DISCONNECTION));
    client.expect_end();
    assert!(wait_until(PATIENCE, || broker.statistics().connections == 0));
}

#[test]
fn dropping_it_tells_the_clients_and_ends_everything() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let address = broker.address();
    let mut clients: Vec<_> = (0..10)
        .map(|n| Client::connect(&broker, &n.to_string()))
        .collect();
    let mut stranger = Client::open(&broker);
    drop(broker);
    for client in &mut clients {
        client.expect(|packet| packet == disconnect(ReasonCode::SERVER_SHUTTING_DOWN));
        client.expect_end();
    }
    let _ = stranger.receive();
    assert!(TcpStream::connect(address).is_err());
    // The port is free again at once.
    let again = Broker::new(Config::default())
        .listen(address)
        .expect("the same port");
    Client::connect(&again, "a");
}

#[test]
fn aborting_says_nothing() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut client = Client::connect(&broker, "a");
    broker.abort();
    client.expect_end();
}

#[test]
fn a_port_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = taken.local_addr().expect("its address");
    assert!(Broker::new(Config::default()).listen(address).is_err());
}

#[test]
fn every_interface_is_reached_through_loopback() {
    let broker = Broker::new(Config::default())
        .listen("0.0.0.0:0")
        .expect("a broker");
    assert_eq!(
        broker.url(),
        format!("mqtt://127.0.0.1:{}", broker.address().port())
    );
    drop(broker);
}

#[test]
fn commands_reach_the_client() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut first = Client::connect_with(&broker, &returning("a"));
    assert!(broker.disconnect("a", ReasonCode::SERVER_BUSY));
    first.expect(
        |packet| matches!(packet, Packet::Disconnect(d) if d.reason == ReasonCode::SERVER_BUSY),
    );
    first.expect_end();
    drop(first);
    let mut second = Client::connect_with(&broker, &returning("a"));
    assert!(broker.cut("a"));
    second.expect_end();
    assert!(broker.forget("a"));
    assert!(!broker.forget("a"));
    let mut third = Client::open(&broker);
    third.send(&Packet::Connect(returning("a")));
    third.expect(|packet| matches!(packet, Packet::Connack(c) if !c.session_present));
}

#[test]
fn faults_reach_the_client() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let on = On::Sent(PacketType::Pingresp);
    let late = Mishap::Delay(Duration::from_millis(50));
    broker.inject(Fault::new(on, late));
    broker.inject(Fault::new(on, Mishap::CutAfter));
    let mut client = Client::connect(&broker, "a");
    client.send(&Packet::Pingreq);
    client.expect(|packet| packet == Packet::Pingresp);
    client.send(&Packet::Pingreq);
    client.expect(|packet| packet == Packet::Pingresp);
    client.expect_end();
    broker.inject(Fault::new(on, Mishap::Cut));
    broker.clear_faults();
    let mut client = Client::connect(&broker, "a");
    client.send(&Packet::Pingreq);
    client.expect(|packet| packet == Packet::Pingresp);
    assert_eq!(broker.statistics().faults, 2);
}

#[test]
fn a_refusal_arrives_before_the_end() {
    let mut config = Config::default();
    config.access = Box::new(mqtt5_broker::Users::new([("anna", "secret")]));
    let broker = Broker::new(config).spawn_thread().expect("a broker");
    let mut client = Client::open(&broker);
    // Unread bytes behind the refused CONNECT must not take the answer away.
    let mut bytes = encode(&Packet::Connect(Connect::new("a")));
    bytes.extend(encode(&message("t", &"x".repeat(60_000))));
    client.stream.write_all(&bytes).expect("it reads");
    client.expect(|packet| {
        matches!(packet, Packet::Connack(c) if c.reason == ReasonCode::BAD_USER_NAME_OR_PASSWORD)
    });
    client.expect_end();
}

#[test]
fn deadlines_run_without_traffic() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut watcher = Client::connect(&broker, "watcher");
    watcher.subscribe("gone", AT_MOST_ONCE);
    let connect = Connect {
        keep_alive: 1,
        will: Some(will("gone", "bye")),
        ..Connect::new("a")
    };
    let mut silent = Client::connect_with(&broker, &connect);
    silent.expect(|packet| packet == disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
    silent.expect_end();
    watcher.expect(|packet| packet == message("gone", "bye"));
}

#[test]
fn who_keeps_a_closed_connection_open_is_cut_off() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut client = Client::connect(&broker, "a");
    client.send(&disconnect(ReasonCode::NORMAL_DISCONNECTION));
    client.expect_end();
    // It never closes its side.
    assert!(wait_until(PATIENCE, || broker.statistics().connections == 0));
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let mut config = Config::default();
    config.maximum_unsent_bytes = 1 << 20;
    let broker = Broker::new(config).spawn_thread().expect("a broker");
    let mut stuck = Client::connect_with(
        &broker,
        &Connect {
            keep_alive: 0,
            ..Connect::new("stuck")
        },
    );
    stuck.subscribe("t", AT_MOST_ONCE);
    let mut reader = Client::connect(&broker, "reader");
    reader.subscribe("t", AT_MOST_ONCE);
    let payload = "x".repeat(100_000);
    let mut publisher = Client::connect(&broker, "publisher");
    for _ in 0..200 {
        publisher.send(&message("t", &payload));
        reader.expect(|packet| packet == message("t", &payload));
    }
    let statistics = broker.statistics();
    assert!(statistics.messages_dropped > 0, "{statistics:?}");
    // What was not dropped is still there, in order and whole.
    let delivered = 200 - statistics.messages_dropped;
    for _ in 0..delivered {
        stuck.expect(|packet| packet == message("t", &payload));
    }
    // It has caught up: nothing is lost any more.
    publisher.send(&message("t", "last"));
    stuck.expect(|packet| packet == message("t", "last"));
}

#[test]
fn a_client_that_pauses_slows_its_publisher_down_and_loses_nothing() {
    let mut config = Config::default();
    config.maximum_unsent_bytes = 4 << 20;
    let broker = Broker::new(config).spawn_thread().expect("a broker");
    let mut slow = Client::connect(&broker, "slow");
    slow.subscribe("t", AT_MOST_ONCE);
    let mut publisher = Client::connect(&broker, "publisher");
    let sender = std::thread::spawn(move || {
        let payload = "x".repeat(10_000);
        for _ in 0..4_000 {
            publisher.send(&message("t", &payload));
        }
    });
    // Longer than the broker waits for a client that takes nothing.
    wait_until(Duration::from_millis(400), || false);
    for _ in 0..4_000 {
        slow.expect(|packet| matches!(packet, Packet::Publish(_)));
    }
    sender.join().expect("it sends");
    assert_eq!(broker.statistics().messages_dropped, 0);
}

#[test]
fn a_slow_client_loses_nothing_above_qos_0() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut slow = Client::connect(&broker, "slow");
    slow.subscribe("t", AT_LEAST_ONCE);
    let mut publisher = Client::connect(&broker, "publisher");
    let payload = "x".repeat(10_000);
    for n in 0..2_000 {
        let name = format!("{n}");
        let text = format!("{name}{payload}");
        publisher.send(&Packet::Publish(Publish {
            delivery: qos1(1),
            ..plain("t", &text)
        }));
        publisher.expect(|packet| packet == puback(1, ReasonCode::SUCCESS));
    }
    for n in 0..2_000 {
        let start = format!("{n}x");
        let mut acknowledged = None;
        slow.expect(|packet| {
            let Packet::Publish(publish) = packet else {
                return false;
            };
            acknowledged = publish.delivery.packet_id();
            publish.payload.starts_with(start.as_bytes())
        });
        let id = acknowledged.expect("QoS 1").value();
        slow.send(&puback(id, ReasonCode::SUCCESS));
    }
    assert!(wait_until(PATIENCE, || broker.statistics().waiting == 0));
}

#[test]
fn a_client_that_writes_and_does_not_read_its_own_messages_is_no_deadlock() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut client = Client::connect(&broker, "a");
    client.subscribe("t", AT_MOST_ONCE);
    let payload = "x".repeat(10_000);
    for _ in 0..3_000 {
        client.send(&message("t", &payload));
    }
    client.send(&Packet::Pingreq);
    while client.receive().expect("PINGRESP comes") != encode(&Packet::Pingresp) {}
}

#[test]
fn a_thousand_clients() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut clients: Vec<_> = (0..1_000)
        .map(|n| {
            let mut client = Client::connect(&broker, &n.to_string());
            client.subscribe("all", AT_MOST_ONCE);
            client
        })
        .collect();
    clients[0].send(&message("all", "x"));
    for client in &mut clients {
        client.expect(|packet| packet == message("all", "x"));
    }
    assert_eq!(broker.statistics().connections, 1_000);
    assert!(thread_count() > 1_000);
    drop(broker);
    assert!(
        wait_until(PATIENCE, || thread_count() < 500),
        "{} threads",
        thread_count()
    );
}

#[test]
fn threads_end_with_their_connections() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    for n in 0..300 {
        let mut client = Client::connect_with(&broker, &returning(&n.to_string()));
        client.send(&disconnect(ReasonCode::NORMAL_DISCONNECTION));
        client.expect_end();
    }
    assert!(wait_until(PATIENCE, || broker.statistics().connections == 0));
    assert_eq!(broker.statistics().sessions, 300);
}

#[test]
fn large_messages_pass() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let mut client = Client::connect(&broker, "a");
    client.subscribe("t", AT_MOST_ONCE);
    let payload = "x".repeat(8 << 20);
    let properties = [Property::ContentType("text/plain")];
    let publish = Publish {
        properties: list(&properties),
        ..plain("t", &payload)
    };
    client.send(&Packet::Publish(publish));
    client.expect(|packet| packet == Packet::Publish(publish));
}
