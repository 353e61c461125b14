//! A machine in a storm: any bytes, commands, times and ends of connections, in any order.

use std::collections::BTreeMap;

use mqtt5_proto::packet::{Connack, Connect};
use mqtt5_proto::{
    AckToken, Authenticate, Config, DisconnectReason, Instant, Op, Outbound, Packet, Properties,
    Property, QoS, ReasonCode, RejectReason, State, TopicName,
};

use super::bed::{Bed, LIMITS, WINDOW, encode, millis};
use super::face::Face;
use super::told::Told;
use super::wire::Wire;

/// One thing that happens. Choices are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
pub(crate) enum Chaos {
    /// With Clean Start, an Authentication Method, a session that lives on: a bit each.
    Connect(u8),
    /// CONNACK with this Session Present and this Receive Maximum, or none for 0.
    Accept(bool, u8),
    Bytes(Vec<u8>),
    /// A packet of a server.
    Golden(u16),
    /// The same with one byte changed.
    Damaged(u16, u16, u8),
    /// An acknowledgement of any kind.
    Acknowledge(u8, u16, u8),
    Publish(QoS, usize),
    Subscribe(bool, usize),
    Ack(u16, bool),
    Forget(u16),
    Withdraw(u16),
    Authenticate(u8),
    Reauthenticate,
    Disconnect,
    Abandon,
    Reading(bool),
    Time(u64),
    Write(usize),
    Sent(usize),
    Received(usize),
    Poll(usize),
    Close,
}

/// The most publishes that wait.
const PENDING: usize = 20;
/// The most exchanges.
const IN_FLIGHT: u16 = 30;

pub(crate) struct Storm<'a, F> {
    bed: Bed<F>,
    /// Packets that a server may say.
    vectors: &'a [&'a [u8]],
    wire: Wire,
    /// Publishes accepted so far.
    accepted: u32,
    /// How often each accepted operation ended.
    ends: BTreeMap<Op, usize>,
    tokens: Vec<AckToken>,
}

impl<'a, F: Face> Storm<'a, F> {
    pub(crate) fn new(mut config: Config, sessions: bool, vectors: &'a [&'a [u8]]) -> Self {
        config.maximum_pending = PENDING;
        config.maximum_pending_bytes = 20_000;
        config.maximum_in_flight = IN_FLIGHT;
        config.maximum_retained_bytes = 40_000;
        let client = if sessions {
            F::keeping(config)
        } else {
            F::new(config)
        };
        Self {
            bed: Bed {
                client,
                now: Instant::ZERO,
            },
            vectors,
            wire: Wire::default(),
            accepted: 0,
            ends: BTreeMap::new(),
            tokens: Vec::new(),
        }
    }

    pub(crate) fn run(mut self, steps: &[Chaos]) {
        for step in steps {
            self.step(step);
        }
        self.finish();
    }

    /// Lets one thing happen and looks at the machine.
    pub(crate) fn step(&mut self, step: &Chaos) {
        match step {
            Chaos::Golden(_)
            | Chaos::Damaged(..)
            | Chaos::Acknowledge(..)
            | Chaos::Bytes(_)
            | Chaos::Accept(..) => self.hear(step),
            Chaos::Time(millis) => self.pass(*millis),
            Chaos::Write(count) => {
                let bytes = self.bed.client.transmit(self.bed.now, *count);
                self.wire.receive(&bytes);
            }
            // A driver's mistake.
            Chaos::Sent(count) => {
                self.bed.client.handle_transmitted(self.bed.now, *count);
                self.wire.lose_track();
            }
            Chaos::Received(count) => self.bed.client.handle_received(self.bed.now, *count),
            Chaos::Poll(count) => self.poll(if *count < 15 { usize::MAX } else { *count - 15 }),
            Chaos::Close => {
                self.bed.client.handle_closed(self.bed.now);
                self.wire.close();
            }
            _ => self.command(step),
        }
        self.check();
    }

    /// The storm is over: everything ends, nothing is left.
    pub(crate) fn finish(&mut self) {
        self.bed.client.handle_closed(self.bed.now);
        self.poll(usize::MAX);
        self.bed.client.abandon().unwrap();
        self.poll(usize::MAX);
        self.bed.expect_idle();
        assert!(
            self.ends.values().all(|count| *count == 1),
            "{:?}",
            self.ends
        );
        self.ends.clear();
        self.tokens = Vec::new();
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.bed.client.wants_read() {
            let count = self.bed.client.receive(self.bed.now, bytes);
            bytes = &bytes[count..];
            if count == 0 {
                self.poll(usize::MAX);
                let space = self.bed.client.receive_space().len();
                assert!(space > 0 || !self.bed.client.wants_read());
            }
        }
    }

    fn poll(&mut self, most: usize) {
        for _ in 0..most {
            let Some(event) = self.bed.client.poll_event(self.bed.now) else {
                return;
            };
            match event {
                Told::Message {
                    token: Some(token), ..
                } => self.tokens.push(token),
                Told::Completed(op, end) => {
                    let count = self.ends.get_mut(&op).expect("an accepted operation");
                    *count += 1;
                    assert_eq!(*count, 1, "{op:?} ended again: {end:?}");
                }
                _ => {}
            }
        }
    }

    fn accept(&mut self, op: Op, ended: bool) {
        assert_eq!(self.ends.insert(op, usize::from(ended)), None);
    }

    fn check(&mut self) {
        let client = &mut self.bed.client;
        let in_flight = usize::from(IN_FLIGHT);
        // What was in flight waits again when its session is lost.
        assert!(client.pending() + client.in_flight() <= PENDING + in_flight);
        assert!(client.held() <= usize::from(WINDOW));
        let maximum = client.negotiated().map(|n| n.receive_maximum.into());
        assert!(client.in_flight() <= in_flight);
        if let (Some(maximum), false) = (maximum, client.has_session()) {
            assert!(client.in_flight() <= maximum);
        }
        // Two marks of 64 KiB, requests, and the largest packet.
        assert!(client.unsent() <= 2 * 65_536 + 20_000 + 4_000);
        if client.wants_close() {
            assert_eq!((client.state(), client.unsent()), (State::Closing, 0));
        }
        if client.state() == State::Disconnected {
            assert_eq!((client.unsent(), client.poll_timeout()), (0, None));
        }
        if !client.wants_read() {
            assert!(client.receive_space().is_empty());
        }
    }

    fn pass(&mut self, time: u64) {
        // Forwards, and now and then to any moment, also backwards.
        self.bed.now = if time.is_multiple_of(3) {
            Instant::from_micros(time.saturating_mul(1_000))
        } else {
            self.bed.now + millis(time % 10_000)
        };
        self.bed.client.handle_timeout(self.bed.now);
    }

    /// The server says something.
    fn hear(&mut self, step: &Chaos) {
        let vector = |n: u16| self.vectors[usize::from(n) % self.vectors.len()].to_vec();
        let bytes = match step {
            Chaos::Bytes(bytes) => bytes.clone(),
            Chaos::Golden(n) => vector(*n),
            Chaos::Damaged(n, at, byte) => {
                let mut bytes = vector(*n);
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
                bytes
            }
            Chaos::Acknowledge(kind, id, reason) => acknowledge(*kind, *id, *reason),
            Chaos::Accept(present, maximum) if self.bed.client.state() == State::Connecting => {
                let limit = [Property::ReceiveMaximum((*maximum).max(1).into())];
                let limit = if *maximum == 0 { &[] } else { &limit[..] };
                encode(&Packet::Connack(Connack {
                    session_present: *present,
                    reason: ReasonCode::SUCCESS,
                    properties: Properties::new(limit).unwrap(),
                }))
            }
            _ => return,
        };
        self.feed(&bytes);
    }

    /// The application does something; a new kind of command has its place here.
    fn command(&mut self, step: &Chaos) {
        let now = self.bed.now;
        match step {
            Chaos::Connect(bits) => self.connect(*bits),
            Chaos::Publish(qos, length) => self.publish(*qos, *length),
            Chaos::Subscribe(subscribe, length) => self.subscribe(*subscribe, *length),
            Chaos::Ack(n, accept) => {
                if let Some(token) = self.token(*n) {
                    if *accept {
                        self.bed.client.ack(now, token);
                    } else {
                        let reason = RejectReason::NotAuthorized;
                        self.bed.client.reject(now, token, reason);
                    }
                }
            }
            Chaos::Forget(n) => {
                if let Some(token) = self.token(*n) {
                    self.bed.client.forget(token);
                }
            }
            Chaos::Withdraw(n) => self.withdraw(*n),
            Chaos::Authenticate(choice) => {
                let step = match choice % 3 {
                    0 => Authenticate::Continue(b"data"),
                    1 => Authenticate::Accept,
                    _ => Authenticate::Abort,
                };
                let _ = self.bed.client.authenticate(now, step);
            }
            Chaos::Reauthenticate => {
                if let Ok(op) = self.bed.client.reauthenticate(now, Some(b"data")) {
                    self.accept(op, false);
                }
            }
            Chaos::Disconnect => {
                let normal = DisconnectReason::Normal;
                let _ = self.bed.client.disconnect(now, normal, Properties::EMPTY);
            }
            Chaos::Abandon => {
                let _ = self.bed.client.abandon();
            }
            Chaos::Reading(reading) => self.bed.client.set_reading(now, *reading),
            _ => {}
        }
    }

    fn connect(&mut self, bits: u8) {
        let mut properties = LIMITS.to_vec();
        if bits & 1 != 0 {
            properties.push(Property::SessionExpiryInterval(3_600));
        }
        if bits & 6 == 6 {
            properties.push(Property::AuthenticationMethod("method"));
        }
        let connect = Connect {
            keep_alive: 10,
            clean_start: bits & 8 != 0 || !self.bed.client.has_session(),
            properties: Properties::new(&properties).unwrap(),
            ..Connect::new("me")
        };
        let _ = self.bed.client.connect(self.bed.now, &connect);
    }

    fn publish(&mut self, qos: QoS, length: usize) {
        let mut payload = format!("{} ", self.accepted).into_bytes();
        payload.resize(payload.len().max(length), b'x');
        let topic = TopicName::new("t").unwrap();
        let message = Outbound::new(topic, qos, &payload[..]);
        if let Ok(op) = self.bed.client.publish(self.bed.now, &message) {
            self.accepted += 1;
            let ended = qos == QoS::AtMostOnce && !self.bed.client.is_pending(op);
            self.accept(op, ended);
        }
    }

    fn subscribe(&mut self, subscribe: bool, length: usize) {
        let filter = "f".repeat(length.max(1));
        let result = if subscribe {
            self.bed.subscribe(&[&filter])
        } else {
            self.bed.unsubscribe(&[&filter])
        };
        if let Ok(op) = result {
            self.accept(op, false);
        }
    }

    fn withdraw(&mut self, n: u16) {
        let place = usize::from(n) % self.ends.len().max(1);
        if let Some((op, count)) = self.ends.iter_mut().nth(place) {
            if self.bed.client.withdraw(*op) {
                *count += 1;
                assert_eq!(*count, 1, "{op:?} was withdrawn and had ended");
            }
        }
    }

    fn token(&self, n: u16) -> Option<AckToken> {
        let place = usize::from(n) % self.tokens.len().max(1);
        self.tokens.get(place).copied()
    }
}

/// PUBACK to UNSUBACK as bytes, and a PUBLISH where a client would send a request.
fn acknowledge(kind: u8, id: u16, reason: u8) -> Vec<u8> {
    let flags = if kind == 6 { 2 } else { 0 };
    let id = id.to_be_bytes();
    match kind {
        9 | 11 => vec![kind << 4, 4, id[0], id[1], 0, reason],
        8 | 10 => vec![0x34, 6, 0, 1, b't', id[0], id[1], 0],
        _ => vec![kind << 4 | flags, 3, id[0], id[1], reason],
    }
}
