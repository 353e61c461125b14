//! Random bytes, commands, times and ends of connections, in any order: nothing panics, nothing grows without bound,
//! every operation ends once.

mod golden;
mod machine;

use std::collections::BTreeMap;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    AckToken, Config, DisconnectReason, Instant, Op, Outbound, Properties, QoS, RejectReason,
    State, TopicName,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config as Runner, RngSeed};

use machine::packets::{connack, encode};
use machine::{Bed, Face, LIMITS, Small, Told, WINDOW};

#[derive(Clone, Debug)]
enum Chaos {
    Connect,
    Accept,
    Bytes(Vec<u8>),
    /// A packet of a server.
    Golden(Index),
    /// The same with one byte changed.
    Damaged(Index, Index, u8),
    /// An acknowledgement of any kind.
    Acknowledge(u8, u16, u8),
    Publish(QoS, usize),
    Subscribe(bool, usize),
    Ack(Index, bool),
    Withdraw(Index),
    Disconnect,
    Reading(bool),
    Time(u64),
    Write(usize),
    Sent(usize),
    Received(usize),
    Poll(usize),
    Close,
}

fn chaos() -> impl Strategy<Value = Vec<Chaos>> {
    let qos = prop_oneof![
        Just(QoS::AtMostOnce),
        Just(QoS::AtLeastOnce),
        Just(QoS::ExactlyOnce)
    ];
    let far = prop_oneof![
        5 => 0..20_000_u64,
        3 => 0..200_000_u64,
        1 => Just(0),
        1 => prop_oneof![Just(u64::MAX / 1_000), Just(1_000_000_000)],
    ];
    let step = prop_oneof![
        6 => Just(Chaos::Connect),
        8 => Just(Chaos::Accept),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Chaos::Bytes),
        6 => any::<Index>().prop_map(Chaos::Golden),
        1 => any::<(Index, Index, u8)>().prop_map(|(a, b, c)| Chaos::Damaged(a, b, c)),
        10 => (4..12_u8, 1..12_u16, prop_oneof![4 => Just(0), 1 => any::<u8>()])
            .prop_map(|(kind, id, reason)| Chaos::Acknowledge(kind, id, reason)),
        20 => (qos, 0..3_000_usize).prop_map(|(qos, length)| Chaos::Publish(qos, length)),
        6 => (any::<bool>(), 1..400_usize).prop_map(|(s, length)| Chaos::Subscribe(s, length)),
        10 => any::<(Index, bool)>().prop_map(|(n, accept)| Chaos::Ack(n, accept)),
        3 => any::<Index>().prop_map(Chaos::Withdraw),
        1 => Just(Chaos::Disconnect),
        3 => any::<bool>().prop_map(Chaos::Reading),
        5 => far.prop_map(Chaos::Time),
        10 => (0..3_000_usize).prop_map(Chaos::Write),
        1 => prop_oneof![0..50_usize, Just(usize::MAX)].prop_map(Chaos::Sent),
        1 => prop_oneof![0..50_usize, Just(usize::MAX)].prop_map(Chaos::Received),
        20 => (0..20_usize).prop_map(Chaos::Poll),
        2 => Just(Chaos::Close),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(Runner {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x4D51_5454),
        ..Runner::default()
    })]

    #[test]
    fn nothing_breaks_the_machine(steps in chaos()) {
        #[cfg(feature = "alloc")]
        {
            Storm::<machine::Borrowing>::new().run(&steps);
            Storm::<machine::Lending>::new().run(&steps);
        }
        Storm::<Small>::new().run(&steps);
    }
}

struct Storm<F> {
    bed: Bed<F>,
    /// How often each accepted operation ended.
    ends: BTreeMap<Op, usize>,
    tokens: Vec<AckToken>,
}

impl<F: Face> Storm<F> {
    fn new() -> Self {
        let mut config = Config::default();
        config.maximum_pending = 20;
        config.maximum_pending_bytes = 20_000;
        config.maximum_in_flight = 30;
        config.maximum_retained_bytes = 40_000;
        Self {
            bed: Bed::with(config),
            ends: BTreeMap::new(),
            tokens: Vec::new(),
        }
    }

    fn run(&mut self, steps: &[Chaos]) {
        for step in steps {
            self.step(step);
            self.check();
        }
        self.bed.client.handle_closed(self.bed.now);
        self.poll(usize::MAX);
        self.bed.expect_idle();
        assert!(
            self.ends.values().all(|count| *count == 1),
            "{:?}",
            self.ends
        );
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
                Told::Completed(op, _) => *self.ends.get_mut(&op).unwrap() += 1,
                _ => {}
            }
        }
    }

    fn accepted(&mut self, op: Op, ended: bool) {
        assert_eq!(self.ends.insert(op, usize::from(ended)), None);
    }

    fn check(&mut self) {
        let client = &mut self.bed.client;
        assert!(client.pending() <= 20);
        assert!(client.held() <= usize::from(WINDOW));
        let maximum = client.negotiated().map_or(30, |n| n.receive_maximum.into());
        assert!(client.in_flight() <= maximum.min(30));
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

    fn step(&mut self, step: &Chaos) {
        match step {
            Chaos::Golden(_)
            | Chaos::Damaged(..)
            | Chaos::Acknowledge(..)
            | Chaos::Bytes(_)
            | Chaos::Accept => self.hear(step),
            Chaos::Time(millis) => {
                // Forwards, and now and then backwards.
                let now = Instant::from_micros(millis.saturating_mul(1_000));
                self.bed.now = if millis % 3 == 0 {
                    now
                } else {
                    self.bed.now + machine::millis(millis % 10_000)
                };
                self.bed.client.handle_timeout(self.bed.now);
            }
            Chaos::Write(count) => {
                self.bed.client.transmit(self.bed.now, *count);
            }
            Chaos::Sent(count) => self.bed.client.handle_transmitted(self.bed.now, *count),
            Chaos::Received(count) => self.bed.client.handle_received(self.bed.now, *count),
            Chaos::Poll(count) => self.poll(if *count < 15 { usize::MAX } else { *count - 15 }),
            Chaos::Close => self.bed.client.handle_closed(self.bed.now),
            _ => self.command(step),
        }
    }

    /// The server says something.
    fn hear(&mut self, step: &Chaos) {
        let vectors = golden::vectors();
        let bytes = match step {
            Chaos::Bytes(bytes) => bytes.clone(),
            Chaos::Golden(n) => n.get(vectors).bytes.clone(),
            Chaos::Damaged(n, at, byte) => {
                let mut bytes = n.get(vectors).bytes.clone();
                *at.get_mut(&mut bytes) = *byte;
                bytes
            }
            Chaos::Acknowledge(kind, id, reason) => {
                let flags = if *kind == 6 { 2 } else { 0 };
                let id = id.to_be_bytes();
                match kind {
                    9 | 11 => vec![kind << 4, 4, id[0], id[1], 0, *reason],
                    8 | 10 => vec![0x34, 6, 0, 1, b't', id[0], id[1], 0],
                    _ => vec![kind << 4 | flags, 3, id[0], id[1], *reason],
                }
            }
            _ if self.bed.client.state() != State::Connecting => return,
            _ => encode(&connack(0, Properties::EMPTY)),
        };
        self.feed(&bytes);
    }

    fn command(&mut self, step: &Chaos) {
        let (client, now) = (&mut self.bed.client, self.bed.now);
        match step {
            Chaos::Connect => {
                let connect = Connect {
                    keep_alive: 10,
                    properties: Properties::new(&LIMITS).unwrap(),
                    ..Connect::new("me")
                };
                let _ = client.connect(now, &connect);
            }
            Chaos::Publish(qos, length) => {
                let payload = vec![b'x'; *length];
                let topic = TopicName::new("t").unwrap();
                let message = Outbound::new(topic, *qos, &payload[..]);
                if let Ok(op) = client.publish(now, &message) {
                    let ended = *qos == QoS::AtMostOnce && !client.is_pending(op);
                    self.accepted(op, ended);
                }
            }
            Chaos::Subscribe(subscribe, length) => {
                let filter = "f".repeat(*length);
                let result = if *subscribe {
                    self.bed.subscribe(&[&filter])
                } else {
                    self.bed.unsubscribe(&[&filter])
                };
                if let Ok(op) = result {
                    self.accepted(op, false);
                }
            }
            Chaos::Ack(n, accept) if !self.tokens.is_empty() => {
                let token = *n.get(&self.tokens);
                if *accept {
                    client.ack(now, token);
                } else {
                    client.reject(now, token, RejectReason::NotAuthorized);
                }
            }
            Chaos::Withdraw(n) if !self.ends.is_empty() => {
                let op = *n.get(&self.ends.keys().copied().collect::<Vec<_>>());
                if client.withdraw(op) {
                    *self.ends.get_mut(&op).unwrap() += 1;
                }
            }
            Chaos::Disconnect => {
                let normal = DisconnectReason::Normal;
                let _ = client.disconnect(now, normal, Properties::EMPTY);
            }
            Chaos::Reading(reading) => client.set_reading(now, *reading),
            _ => {}
        }
    }
}
