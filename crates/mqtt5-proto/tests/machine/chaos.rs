//! A machine in a storm: any bytes, commands, times and ends of connections, in any order.

use std::collections::{BTreeMap, BTreeSet};

use mqtt5_proto::packet::{Connack, Connect};
use mqtt5_proto::{
    AckToken, Authenticate, Config, DisconnectReason, Instant, Op, Outbound, Packet, Progress,
    Properties, Property, QoS, ReasonCode, RecordToken, RejectReason, State, TopicName,
};

use super::bed::{Bed, LIMITS, WINDOW, encode, millis};
use super::disk::Disk;
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
    /// Up to so many records are written.
    Record(usize),
    /// Up to so many that were written are durable.
    Durable(u8),
    /// One that was written and is not durable is lost.
    Failed(u8),
    /// Something is said of a record that the machine wrote before it was restored.
    Stale(u8, bool),
    /// A new process, which finds all that is durable and up to so many records more.
    Restart(u8),
    /// A new process, which finds records in another order, or some of them twice.
    Shuffled(u8, u8),
    /// A new process, which finds the whole session.
    Snapshot,
    /// The same machine is to go on from what is durable.
    Restore,
}

/// The most publishes that wait.
const PENDING: usize = 20;
/// The most bytes that are handed in before events are asked for: until then the machine keeps all of them.
const UNSEEN: usize = 64 * 1024;
/// The most exchanges.
const IN_FLIGHT: u16 = 30;

pub(crate) struct Storm<'a, F> {
    pub(super) bed: Bed<F>,
    pub(super) config: Config,
    pub(super) sessions: bool,
    pub(super) write_ahead: bool,
    /// Packets that a server may say.
    vectors: &'a [&'a [u8]],
    pub(super) wire: Wire,
    pub(super) disk: Disk,
    /// The store failed, so that the machine does nothing more.
    pub(super) stopped: bool,
    /// CONNECT asked the server to end a session, and nothing is known of its answer.
    pub(super) in_doubt: bool,
    /// Connected, and what ended with an earlier session may still be to be told: until then it counts as in flight.
    settling: bool,
    /// Bytes that were handed in since the machine had nothing more to tell.
    unseen: usize,
    /// Publishes accepted so far.
    accepted: u32,
    /// How often each operation that was accepted or restored ended.
    pub(super) ends: BTreeMap<Op, usize>,
    /// Those that were settled when they were restored: they end at most once.
    pub(super) settled: BTreeSet<Op>,
    pub(super) tokens: Vec<AckToken>,
    /// Tokens of records from before the machine was restored.
    pub(super) past: Vec<RecordToken>,
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
        let mut wire = Wire::default();
        if config.write_ahead {
            wire.expect_overtaking();
        }
        Self {
            bed: Bed {
                client,
                now: Instant::ZERO,
            },
            write_ahead: config.write_ahead,
            config,
            sessions,
            vectors,
            wire,
            disk: Disk::default(),
            stopped: false,
            in_doubt: false,
            settling: false,
            unseen: 0,
            accepted: 0,
            ends: BTreeMap::new(),
            settled: BTreeSet::new(),
            tokens: Vec::new(),
            past: Vec::new(),
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
                let (disk, write_ahead) = (&mut self.disk, self.write_ahead);
                self.wire.receive_each(&bytes, |packet| {
                    if write_ahead {
                        disk.check(packet);
                    }
                });
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
            Chaos::Record(_)
            | Chaos::Durable(_)
            | Chaos::Failed(_)
            | Chaos::Stale(..)
            | Chaos::Restart(_)
            | Chaos::Shuffled(..)
            | Chaos::Snapshot
            | Chaos::Restore => self.store(step),
            _ => self.command(step),
        }
        self.check();
    }

    /// The storm is over: everything ends, nothing is left.
    pub(crate) fn finish(&mut self) {
        self.bed.client.handle_closed(self.bed.now);
        self.poll(usize::MAX);
        let abandoned = self.bed.client.abandon();
        assert_eq!(abandoned.is_err(), self.stopped);
        self.poll(usize::MAX);
        self.bed.expect_idle();
        self.bed.client.drop_buffers();
        assert!(
            self.ends.values().all(|count| *count == 1),
            "{:?}",
            self.ends
        );
        self.ends.clear();
        self.settled.clear();
        self.tokens = Vec::new();
        self.past = Vec::new();
        self.disk = Disk::default();
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.bed.client.wants_read() {
            let count = self.bed.client.receive(self.bed.now, bytes);
            bytes = &bytes[count..];
            self.unseen += count;
            if count == 0 || self.unseen > UNSEEN {
                self.poll(usize::MAX);
                let space = self.bed.client.receive_space().len();
                assert!(space > 0 || !self.bed.client.wants_read());
            }
        }
    }

    pub(super) fn poll(&mut self, most: usize) {
        for _ in 0..most {
            let Some(event) = self.bed.client.poll_event(self.bed.now) else {
                self.unseen = 0;
                self.settling = false;
                return;
            };
            match event {
                Told::Message {
                    token: Some(token), ..
                } => self.tokens.push(token),
                Told::Connected { .. } => {
                    self.in_doubt = false;
                    self.settling = true;
                }
                Told::Completed(op, end) => {
                    if self.settled.remove(&op) {
                        continue;
                    }
                    let count = self.ends.get_mut(&op).expect("an accepted operation");
                    *count += 1;
                    assert_eq!(*count, 1, "{op:?} ended again: {end:?}");
                    assert_eq!(self.bed.client.progress(op), None);
                }
                _ => {}
            }
        }
    }

    fn accept(&mut self, op: Op, ended: bool) {
        assert!(!self.stopped, "a stopped machine took {op:?}");
        assert!(!self.settled.contains(&op));
        assert_eq!(self.ends.insert(op, usize::from(ended)), None);
    }

    fn check(&mut self) {
        let client = &mut self.bed.client;
        let in_flight = usize::from(IN_FLIGHT);
        // What was in flight waits again when its session is lost.
        assert!(client.pending() + client.in_flight() <= PENDING + in_flight);
        assert!(client.held() <= usize::from(WINDOW));
        assert!(client.in_flight() <= in_flight);
        // A session that goes on may have more in flight than the server allows now.
        let settled = client.negotiated().filter(|_| !self.settling);
        let new = settled.filter(|negotiated| !negotiated.session_present);
        if let Some(negotiated) = new {
            assert!(client.in_flight() <= usize::from(negotiated.receive_maximum));
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
        if self.stopped {
            assert!(matches!(
                client.state(),
                State::Closing | State::Disconnected
            ));
            assert!(client.poll_persist().is_none());
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
        let had_session = self.bed.client.has_session();
        if self.bed.client.connect(self.bed.now, &connect).is_ok() {
            self.in_doubt |= had_session && connect.clean_start;
        }
    }

    fn publish(&mut self, qos: QoS, length: usize) {
        let mut payload = format!("{} ", self.accepted).into_bytes();
        payload.resize(payload.len().max(length), b'x');
        let topic = TopicName::new("t").unwrap();
        let message = Outbound::new(topic, qos, &payload[..]);
        if let Ok(op) = self.bed.client.publish(self.bed.now, &message) {
            self.accepted += 1;
            let pending = self.bed.client.is_pending(op);
            let progress = self.bed.client.progress(op);
            assert_eq!(pending, progress == Some(Progress::Pending));
            self.accept(op, qos == QoS::AtMostOnce && !pending);
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
