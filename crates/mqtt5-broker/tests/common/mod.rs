//! A broker machine in virtual time, and packets through the codec.
#![expect(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use mqtt5_broker::{Action, Broker, Config, Fault, Mishap, On};
use mqtt5_proto::packet::{
    Acknowledgement, Auth, Connect, Delivery, Disconnect, List, Packet, Publish, Subscribe,
    SubscribeAcknowledgement, SubscribeFilter, Unsubscribe, Will,
};
use mqtt5_proto::{
    Decoding, FixedHeader, Instant, PacketId, PacketType, Properties, Property, ProtocolVersion,
    QoS, ReasonCode, Role, TopicFilter, TopicName,
};

pub(crate) const OK: ReasonCode = ReasonCode::SUCCESS;
pub(crate) const AT_MOST_ONCE: QoS = QoS::AtMostOnce;
pub(crate) const AT_LEAST_ONCE: QoS = QoS::AtLeastOnce;
pub(crate) const EXACTLY_ONCE: QoS = QoS::ExactlyOnce;

/// A broker and the time.
pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) now: Instant,
}

/// Packets that a client received.
pub(crate) struct Frames(Vec<Vec<u8>>);

impl Frames {
    pub(crate) fn packets(&self) -> Vec<Packet<'_>> {
        let decoding = Decoding::new(Role::Server);
        self.0
            .iter()
            .map(|frame| Packet::decode(frame, &decoding).expect("a packet"))
            .collect()
    }

    /// The only packet.
    #[track_caller]
    pub(crate) fn one(&self) -> Packet<'_> {
        let packets = self.packets();
        assert_eq!(packets.len(), 1, "{packets:?}");
        packets[0]
    }

    /// Every packet is a PUBLISH.
    #[track_caller]
    pub(crate) fn publishes(&self) -> Vec<Publish<'_>> {
        let publish = |packet| match packet {
            Packet::Publish(publish) => publish,
            other => panic!("not a PUBLISH: {other:?}"),
        };
        self.packets().into_iter().map(publish).collect()
    }

    /// The payloads of PUBLISH packets.
    #[track_caller]
    pub(crate) fn payloads(&self) -> Vec<&str> {
        self.publishes()
            .iter()
            .map(|publish| std::str::from_utf8(publish.payload).expect("text"))
            .collect()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self {
            broker: Broker::new(config),
            now: Instant::from_micros(1_000_000),
        }
    }

    pub(crate) fn open(&mut self, connection: u64) {
        self.broker.handle_open(self.now, connection);
    }

    pub(crate) fn send_bytes(&mut self, connection: u64, bytes: &[u8]) {
        self.broker.handle_received(self.now, connection, bytes);
    }

    pub(crate) fn send(&mut self, connection: u64, packet: &Packet<'_>) {
        self.send_bytes(connection, &encode(packet));
    }

    pub(crate) fn received(&mut self, connection: u64) -> Frames {
        let bytes = self.broker.outgoing(self.now, connection);
        Frames(split(&bytes))
    }

    /// Exactly these packets have been sent to the client since the last time.
    #[track_caller]
    pub(crate) fn expect(&mut self, connection: u64, expected: &[Packet<'_>]) {
        assert_eq!(self.received(connection).packets(), expected);
    }

    #[track_caller]
    pub(crate) fn expect_nothing(&mut self, connection: u64) {
        self.expect(connection, &[]);
    }

    /// Opens a connection and sends CONNECT; gives the answer.
    pub(crate) fn try_connect(&mut self, connection: u64, connect: &Connect<'_>) -> Frames {
        self.open(connection);
        self.send(connection, &Packet::Connect(*connect));
        self.received(connection)
    }

    /// Connects with what may follow CONNACK; gives Session Present and what follows.
    #[track_caller]
    pub(crate) fn resume(&mut self, connection: u64, connect: &Connect<'_>) -> (bool, Frames) {
        let mut frames = self.try_connect(connection, connect);
        let first = Frames(vec![frames.0.remove(0)]);
        let Packet::Connack(connack) = first.one() else {
            panic!("no CONNACK: {:?}", first.one())
        };
        assert_eq!(connack.reason, OK);
        (connack.session_present, frames)
    }

    /// Connects with Clean Start; gives nothing but CONNACK.
    #[track_caller]
    pub(crate) fn connect(&mut self, connection: u64, client_id: &str) {
        let (session_present, rest) = self.resume(connection, &Connect::new(client_id));
        assert!(!session_present);
        assert!(rest.0.is_empty());
    }

    /// Subscribes with identifier 1 and takes the SUBACK.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, connection: u64, text: &str, qos: QoS) {
        let frames =
            self.subscribe_with(connection, &[SubscribeFilter::new(filter(text), qos)], &[]);
        assert!(frames.0.len() == 1, "more than SUBACK");
    }

    /// Subscribes; the SUBACK must grant everything. Gives SUBACK and what follows.
    #[track_caller]
    pub(crate) fn subscribe_with(
        &mut self,
        connection: u64,
        filters: &[SubscribeFilter<'_>],
        properties: &[Property<'_>],
    ) -> Frames {
        self.send(
            connection,
            &Packet::Subscribe(Subscribe {
                packet_id: id(1),
                properties: list(properties),
                filters: List::from(filters),
            }),
        );
        let frames = self.received(connection);
        let granted: Vec<_> = filters
            .iter()
            .map(|f| ReasonCode::from(f.qos as u8))
            .collect();
        assert_eq!(frames.packets().first(), Some(&suback(&granted)));
        frames
    }

    /// Subscribes and gives the messages that follow SUBACK.
    #[track_caller]
    pub(crate) fn subscribe_retained(
        &mut self,
        connection: u64,
        item: SubscribeFilter<'_>,
    ) -> Frames {
        let mut frames = self.subscribe_with(connection, &[item], &[]);
        frames.0.remove(0);
        frames
    }

    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, connection: u64, text: &str, expected: ReasonCode) {
        let filters = [filter(text)];
        let reasons = [expected];
        let unsubscribe = Unsubscribe {
            packet_id: id(2),
            properties: Properties::EMPTY,
            filters: List::from(&filters[..]),
        };
        self.send(connection, &Packet::Unsubscribe(unsubscribe));
        let unsuback = SubscribeAcknowledgement {
            packet_id: id(2),
            properties: Properties::EMPTY,
            reasons: List::from(&reasons[..]),
        };
        self.expect(connection, &[Packet::Unsuback(unsuback)]);
    }

    /// Publishes at QoS 0.
    pub(crate) fn publish(&mut self, connection: u64, topic: &str, payload: &str) {
        self.send(connection, &message(topic, payload));
    }

    /// Publishes at QoS 1 with identifier 9 and takes the PUBACK.
    #[track_caller]
    pub(crate) fn publish_1(
        &mut self,
        connection: u64,
        topic: &str,
        payload: &str,
        answer: ReasonCode,
    ) {
        let publish = Publish {
            delivery: qos1(9),
            ..plain(topic, payload)
        };
        self.send(connection, &Packet::Publish(publish));
        self.expect(connection, &[puback(9, answer)]);
    }

    /// Publishes at QoS 2 with identifier 9 and completes it.
    #[track_caller]
    pub(crate) fn publish_2(&mut self, connection: u64, topic: &str, payload: &str) {
        let publish = Publish {
            delivery: qos2(9),
            ..plain(topic, payload)
        };
        self.send(connection, &Packet::Publish(publish));
        self.expect(connection, &[pubrec(9, OK)]);
        self.send(connection, &pubrel(9));
        self.expect(connection, &[pubcomp(9, OK)]);
    }

    /// Retains a message at QoS 0.
    pub(crate) fn retain(&mut self, connection: u64, topic: &str, payload: &str) {
        let publish = Publish {
            retain: true,
            ..plain(topic, payload)
        };
        self.send(connection, &Packet::Publish(publish));
    }

    /// Lets time pass, with every deadline on the way.
    pub(crate) fn advance(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some((at, _)) = self.broker.poll_timeout() {
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            self.broker.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// The connection breaks.
    pub(crate) fn lose(&mut self, connection: u64) {
        self.broker.handle_closed(self.now, connection);
    }

    /// The broker has closed the connection; the driver reports that it is gone.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self, connection: u64) {
        let actions: Vec<Action> = std::iter::from_fn(|| self.broker.poll_action()).collect();
        let is_closed = actions
            .iter()
            .any(|action| [Action::Close(connection), Action::Abort(connection)].contains(action));
        assert!(is_closed, "{actions:?}");
        self.lose(connection);
    }

    /// The broker has ended the connection with this DISCONNECT.
    #[track_caller]
    pub(crate) fn expect_disconnect(&mut self, connection: u64, reason: ReasonCode) {
        match self.received(connection).packets().last() {
            Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason, reason),
            other => panic!("no DISCONNECT: {other:?}"),
        }
        self.expect_closed(connection);
    }
}

/// A publisher on connection 1, and a returning subscriber to "t" on connection 2.
pub(crate) fn pair(qos: QoS) -> Bench {
    let mut bench = Bench::new();
    let publisher = Connect {
        keep_alive: 0,
        ..Connect::new("publisher")
    };
    bench.resume(1, &publisher);
    bench.resume(2, &returning("subscriber"));
    bench.subscribe(2, "t", qos);
    bench
}

/// Plants a mishap in the next packet of this type that the broker sends.
pub(crate) fn inject(bench: &mut Bench, on: PacketType, mishap: Mishap) {
    bench.broker.inject(Fault::new(On::Sent(on), mishap));
}

pub(crate) fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet
        .encode_to_vec(ProtocolVersion::V5, &mut bytes)
        .expect("a valid packet");
    bytes
}

pub(crate) fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = FixedHeader::parse(bytes, &Decoding::new(Role::Server));
        let length = header
            .expect("a header")
            .expect("a whole header")
            .total_len();
        let (frame, rest) = bytes.split_at(length);
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

pub(crate) fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("not 0")
}

pub(crate) fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::new(text).expect("a filter")
}

pub(crate) fn topic(text: &str) -> TopicName<'_> {
    TopicName::new(text).expect("a topic")
}

pub(crate) fn list<'a>(properties: &'a [Property<'a>]) -> Properties<'a> {
    Properties::new(properties).expect("properties")
}

pub(crate) fn plain<'a>(name: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: Some(topic(name)),
        properties: Properties::EMPTY,
        payload: payload.as_bytes(),
    }
}

pub(crate) fn message<'a>(name: &'a str, payload: &'a str) -> Packet<'a> {
    Packet::Publish(plain(name, payload))
}

/// A message to "t".
pub(crate) fn publish_at<'a>(delivery: Delivery, payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish {
        delivery,
        ..plain("t", payload)
    })
}

pub(crate) fn qos1(value: u16) -> Delivery {
    Delivery::AtLeastOnce {
        id: id(value),
        dup: false,
    }
}

pub(crate) fn qos2(value: u16) -> Delivery {
    Delivery::ExactlyOnce {
        id: id(value),
        dup: false,
    }
}

pub(crate) fn again(delivery: Delivery) -> Delivery {
    match delivery {
        Delivery::AtMostOnce => Delivery::AtMostOnce,
        Delivery::AtLeastOnce { id, .. } => Delivery::AtLeastOnce { id, dup: true },
        Delivery::ExactlyOnce { id, .. } => Delivery::ExactlyOnce { id, dup: true },
    }
}

pub(crate) fn puback(value: u16, reason: ReasonCode) -> Packet<'static> {
    Packet::Puback(Acknowledgement::new(id(value), reason))
}

pub(crate) fn pubrec(value: u16, reason: ReasonCode) -> Packet<'static> {
    Packet::Pubrec(Acknowledgement::new(id(value), reason))
}

pub(crate) fn pubrel(value: u16) -> Packet<'static> {
    Packet::Pubrel(Acknowledgement::new(id(value), OK))
}

pub(crate) fn pubcomp(value: u16, reason: ReasonCode) -> Packet<'static> {
    Packet::Pubcomp(Acknowledgement::new(id(value), reason))
}

pub(crate) fn suback(reasons: &[ReasonCode]) -> Packet<'_> {
    Packet::Suback(SubscribeAcknowledgement {
        packet_id: id(1),
        properties: Properties::EMPTY,
        reasons: List::from(reasons),
    })
}

pub(crate) fn auth<'a>(reason: ReasonCode, properties: &'a [Property<'a>]) -> Packet<'a> {
    Packet::Auth(Auth {
        reason,
        properties: list(properties),
    })
}

pub(crate) fn disconnect(reason: ReasonCode) -> Packet<'static> {
    Packet::Disconnect(Disconnect::new(reason))
}

pub(crate) fn will<'a>(name: &'a str, payload: &'a str) -> Will<'a> {
    Will::new(topic(name), payload.as_bytes())
}

/// CONNECT of a client that comes back to a session of an hour.
pub(crate) fn returning(client_id: &str) -> Connect<'_> {
    with_expiry(client_id, &[Property::SessionExpiryInterval(3_600)])
}

/// CONNECT of a client that comes back to a session with these properties.
pub(crate) fn with_expiry<'a>(client_id: &'a str, expiry: &'a [Property<'a>]) -> Connect<'a> {
    Connect {
        clean_start: false,
        properties: list(expiry),
        ..Connect::new(client_id)
    }
}
