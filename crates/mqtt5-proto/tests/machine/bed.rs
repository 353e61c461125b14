//! The test bed: a machine, the time, and a server of which the script plays every packet.

use core::time::Duration;

use mqtt5_proto::packet::{Connack, Connect, SubscribeFilter};
use mqtt5_proto::{
    AckToken, Config, Decoding, DisconnectCause, FixedHeader, Instant, Op, Outbound, Packet,
    Properties, Property, ProtocolVersion, QoS, ReasonCode, Refused, Role, State, TimerReason,
    TopicFilter, TopicName,
};

use super::face::Face;
use super::packets::disconnect;
use super::told::Told;

/// The Receive Maximum that [`Bed::open`] announces, which all storages can hold.
pub(crate) const WINDOW: u16 = 8;
/// The Maximum Packet Size that [`Bed::open`] announces.
pub(crate) const PACKET_LIMIT: u32 = 16_384;
/// Both as properties.
pub(crate) const LIMITS: [Property<'static>; 2] = [
    Property::ReceiveMaximum(WINDOW),
    Property::MaximumPacketSize(PACKET_LIMIT),
];

/// A deadline in milliseconds since the start, and its reason.
pub(crate) type Timer = Option<(u64, TimerReason)>;

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) struct Bed<F> {
    pub(crate) client: F,
    pub(crate) now: Instant,
}

impl<F: Face> Bed<F> {
    /// A machine that was never connected.
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            client: F::new(config),
            now: Instant::ZERO,
        }
    }

    /// A machine whose connection was accepted with a CONNACK without properties; nothing is left to send.
    pub(crate) fn connected() -> Self {
        Self::accepted(&[])
    }

    /// The same with these properties in CONNACK.
    pub(crate) fn accepted(properties: &[Property<'_>]) -> Self {
        let mut bed = Self::new();
        bed.open();
        bed.accept(properties);
        bed
    }

    /// The same as [`connected`](Self::connected), but sessions outlive their connections.
    pub(crate) fn keeping() -> Self {
        Self::keeping_with(Config::default())
    }

    pub(crate) fn keeping_with(config: Config) -> Self {
        let mut bed = Self {
            client: F::keeping(config),
            now: Instant::ZERO,
        };
        assert_eq!(bed.resume(false, &[]), []);
        bed
    }

    /// Connects with [`LIMITS`] and a session that outlives the connection, with Clean Start unless there is one; CONNECT
    /// is written.
    pub(crate) fn reopen(&mut self) {
        let clean_start = !self.client.has_session();
        self.reopen_with(clean_start, 3_600);
    }

    pub(crate) fn reopen_with(&mut self, clean_start: bool, expiry: u32) {
        let [receive_maximum, packet_size] = LIMITS;
        let properties = [
            Property::SessionExpiryInterval(expiry),
            receive_maximum,
            packet_size,
        ];
        let connect = Connect {
            clean_start,
            properties: Properties::new(&properties).unwrap(),
            ..Connect::new("me")
        };
        self.client.connect(self.now, &connect).unwrap();
        self.expect_sent(&[Packet::Connect(connect)]);
    }

    /// The server sends CONNACK.
    pub(crate) fn connack(&mut self, session_present: bool, properties: &[Property<'_>]) {
        self.feed(&Packet::Connack(Connack {
            session_present,
            reason: ReasonCode::SUCCESS,
            properties: Properties::new(properties).unwrap(),
        }));
    }

    /// A new connection is accepted; gives what is told after `Connected`.
    #[track_caller]
    pub(crate) fn resume(
        &mut self,
        session_present: bool,
        properties: &[Property<'_>],
    ) -> Vec<Told> {
        self.reopen();
        self.connack(session_present, properties);
        let mut events = self.events();
        assert!(
            matches!(events[0], Told::Connected { .. }),
            "no connection: {events:?}"
        );
        events.remove(0);
        events
    }

    /// The transport is gone; gives what is told after `Disconnected`.
    #[track_caller]
    pub(crate) fn lose(&mut self) -> Vec<Told> {
        self.client.handle_closed(self.now);
        let mut events = self.events();
        assert!(matches!(events[0], Told::Disconnected(..)), "{events:?}");
        events.remove(0);
        assert_eq!(self.client.unsent(), 0);
        events
    }

    /// Nothing is left of anything: in flight, waiting, held.
    #[track_caller]
    pub(crate) fn expect_empty(&self) {
        let client = &self.client;
        assert_eq!(
            (client.in_flight(), client.pending(), client.held()),
            (0, 0, 0)
        );
    }

    /// Connects with [`LIMITS`]; CONNECT is written.
    pub(crate) fn open(&mut self) {
        self.open_with(&LIMITS, 60);
    }

    pub(crate) fn open_with(&mut self, properties: &[Property<'_>], keep_alive: u16) {
        let connect = Connect {
            keep_alive,
            properties: Properties::new(properties).unwrap(),
            ..Connect::new("me")
        };
        self.client.connect(self.now, &connect).unwrap();
        self.expect_sent(&[Packet::Connect(connect)]);
        assert_eq!(self.client.state(), State::Connecting);
    }

    /// The server accepts.
    pub(crate) fn accept(&mut self, properties: &[Property<'_>]) {
        self.feed(&Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: Properties::new(properties).unwrap(),
        }));
        let events = self.events();
        assert!(matches!(events[..], [Told::Connected { .. }]), "{events:?}");
        assert_eq!(self.client.state(), State::Connected);
        self.expect_sent(&[]);
    }

    // The server's side.

    /// The server sends a packet.
    pub(crate) fn feed(&mut self, packet: &Packet<'_>) {
        let bytes = encode(packet);
        self.feed_bytes(&bytes);
    }

    /// The server sends bytes, all of which the machine must take.
    pub(crate) fn feed_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.client.receive(self.now, bytes);
            assert!(count > 0, "no space for {} bytes", bytes.len());
            bytes = &bytes[count..];
        }
    }

    /// The server sends a packet, and what the machine has to tell of it.
    pub(crate) fn tell(&mut self, packet: &Packet<'_>) -> Vec<Told> {
        self.feed(packet);
        self.events()
    }

    /// All bytes that the machine wants to send are written.
    pub(crate) fn sent_bytes(&mut self) -> Vec<u8> {
        let bytes = self.client.transmit(self.now, usize::MAX);
        assert_eq!(self.client.unsent(), 0);
        bytes
    }

    /// Everything is written; it was exactly these packets.
    #[track_caller]
    pub(crate) fn expect_sent(&mut self, packets: &[Packet<'_>]) {
        let sent = self.sent_bytes();
        let expected: Vec<u8> = packets.iter().flat_map(encode).collect();
        if sent != expected {
            panic!("sent {}\nexpected {packets:#?}", print(&sent));
        }
    }

    // The driver's side.

    /// Everything that the machine has to tell.
    pub(crate) fn events(&mut self) -> Vec<Told> {
        let mut events = Vec::new();
        while let Some(event) = self.client.poll_event(self.now) {
            events.push(event);
            assert!(events.len() < 1_000_000, "endless events");
        }
        events
    }

    /// The next and only message.
    #[track_caller]
    pub(crate) fn message(&mut self, packet: &Packet<'_>) -> Told {
        let events = self.tell(packet);
        assert!(matches!(events[..], [Told::Message { .. }]), "{events:?}");
        events.into_iter().next().unwrap()
    }

    /// The server sends a message that is to be acknowledged.
    #[track_caller]
    pub(crate) fn token(&mut self, packet: &Packet<'_>) -> AckToken {
        self.message(packet).token()
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    /// The next deadline.
    pub(crate) fn timer(&self) -> Timer {
        let (deadline, reason) = self.client.poll_timeout()?;
        Some((deadline.as_micros() / 1_000, reason))
    }

    /// Sleeps until a moment, in milliseconds since the start, at which no deadline has passed before.
    #[track_caller]
    pub(crate) fn sleep_until(&mut self, at: u64) {
        let then = Instant::from_micros(at * 1_000);
        assert!(then >= self.now);
        if let Some((deadline, reason)) = self.client.poll_timeout() {
            assert!(
                deadline >= then,
                "{reason:?} at {deadline:?} before {at} ms"
            );
        }
        self.now = then;
        self.client.handle_timeout(self.now);
    }

    /// Time passes; the deadlines within it are kept.
    pub(crate) fn elapse(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut turns = 0;
        while let Some((deadline, _)) = self.client.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(deadline);
            self.client.handle_timeout(self.now);
            turns += 1;
            assert!(turns < 10_000, "busy loop");
        }
        self.now = end;
        self.client.handle_timeout(end);
    }

    // Commands.

    pub(crate) fn publish(&mut self, qos: QoS, payload: &str) -> Result<Op, Refused> {
        let topic = TopicName::new("t").unwrap();
        let message = Outbound::new(topic, qos, payload.as_bytes());
        self.client.publish(self.now, &message)
    }

    pub(crate) fn subscribe(&mut self, filters: &[&str]) -> Result<Op, Refused> {
        let filters: Vec<_> = filters.iter().map(|text| filter(text)).collect();
        self.client.subscribe(self.now, &filters, Properties::EMPTY)
    }

    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> Result<Op, Refused> {
        let filters: Vec<_> = filters
            .iter()
            .map(|f| TopicFilter::new(f).unwrap())
            .collect();
        self.client
            .unsubscribe(self.now, &filters, Properties::EMPTY)
    }

    pub(crate) fn ack(&mut self, token: AckToken) {
        self.client.ack(self.now, token);
    }

    // Ends.

    /// The machine has ended the connection for this cause, after a DISCONNECT with this code if there is one.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, reason: Option<u8>, cause: DisconnectCause) {
        let events = self.events();
        assert!(events.is_empty(), "{events:?}");
        assert_eq!(self.client.state(), State::Closing);
        assert!(!self.client.wants_read());
        assert!(self.client.negotiated().is_none());
        assert_eq!(self.client.wants_close(), reason.is_none());
        let packet = reason.map(disconnect);
        self.expect_sent(packet.as_slice());
        assert!(self.client.wants_close());
        assert_eq!(self.timer(), None);
        self.expect_closed(cause);
    }

    /// The transport closes; the machine tells this cause once, and then nothing but the end of operations.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self, cause: DisconnectCause) -> Vec<Told> {
        let mut events = self.close();
        let first = events.remove(0);
        assert_eq!(first, Told::Disconnected(cause, "[]".into()));
        events
    }

    /// The transport closes: first `Disconnected`, then the ends of operations.
    #[track_caller]
    pub(crate) fn close(&mut self) -> Vec<Told> {
        self.client.handle_closed(self.now);
        self.client.handle_closed(self.now);
        let events = self.events();
        assert!(matches!(events[0], Told::Disconnected(..)), "{events:?}");
        assert!(
            events[1..].iter().all(|event| event.op().is_some()),
            "{events:?}"
        );
        self.expect_idle();
        events
    }

    /// Nothing is left of a connection.
    #[track_caller]
    pub(crate) fn expect_idle(&mut self) {
        let client = &self.client;
        assert_eq!(client.state(), State::Disconnected);
        assert!(client.negotiated().is_none());
        assert!(!client.wants_read() && !client.wants_close());
        assert_eq!(client.poll_timeout(), None);
        assert_eq!((client.unsent(), client.pending()), (0, 0));
        assert_eq!(
            (client.in_flight(), client.requests(), client.held()),
            (0, 0, 0)
        );
        self.expect_sent(&[]);
    }
}

pub(crate) fn filter(text: &str) -> SubscribeFilter<'_> {
    SubscribeFilter::new(TopicFilter::new(text).unwrap(), QoS::ExactlyOnce)
}

pub(crate) fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let version = ProtocolVersion::V5;
    let mut bytes = vec![0; packet.encoded_len(version).unwrap()];
    packet.encode(version, &mut bytes).unwrap();
    bytes
}

fn print(mut bytes: &[u8]) -> String {
    let decoding = Decoding::new(Role::Client);
    let mut text = String::new();
    while let Ok(Some(header)) = FixedHeader::parse(bytes, &decoding) {
        let Some((frame, rest)) = bytes.split_at_checked(header.total_len()) else {
            break;
        };
        text += &format!("{:?}\n", Packet::decode(frame, &decoding));
        bytes = rest;
    }
    format!("{text}rest {bytes:02X?}")
}
