//! Everything that can happen to a broker, in any order: clients that keep to the rules and others, links that break
//! anywhere, operators, faults, time. Nothing panics; what clients see keeps to the rules; bounds hold; nothing is left
//! behind; and the same seed gives the same bytes.

mod common;

#[path = "chaos/packets.rs"]
mod packets;
#[path = "chaos/random.rs"]
mod random;
#[path = "chaos/witness.rs"]
mod witness;

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

use bytes::Buf as _;
use common::{Bench, returning};
use mqtt5_broker::{Action, Fault, Mishap, On, Outgoing, TimerReason};
use mqtt5_proto::packet::Packet;
use mqtt5_proto::{PacketType, ReasonCode};
use packets::CLIENTS;
use random::Random;
use witness::Witness;

const STEPS: usize = 400;
const MAXIMUM_SESSIONS: usize = 4;
const MAXIMUM_QUEUED: usize = 12;
const MAXIMUM_RETAINED: usize = 3;

/// The client's end of one connection.
#[derive(Default)]
struct End {
    witness: Witness,
    /// What it has sent and has not arrived.
    on_the_way: Vec<u8>,
    /// What was taken from the broker and not reported as sent.
    taken: VecDeque<Outgoing>,
    /// The broker has said to close it.
    is_closing: bool,
}

struct World {
    bench: Bench,
    random: Random,
    ends: BTreeMap<u64, End>,
    /// Whether packets are repeated on purpose.
    has_repetitions: bool,
    transcript: Vec<u8>,
}

impl World {
    fn new(seed: u64) -> Self {
        let bench = Bench::with(|config| {
            config.seed = seed;
            config.maximum_sessions = MAXIMUM_SESSIONS;
            config.maximum_queued = MAXIMUM_QUEUED;
            config.maximum_retained = MAXIMUM_RETAINED;
            config.maximum_unsent_bytes = 60_000;
            config.maximum_packet_size = 40_000;
            config.receive_maximum = 5;
        });
        Self {
            bench,
            random: Random::new(seed),
            ends: BTreeMap::new(),
            has_repetitions: seed.is_multiple_of(2),
            transcript: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<u8> {
        for _ in 0..STEPS {
            self.step();
            self.obey();
            self.check_bounds();
        }
        self.heal();
        self.end();
        self.transcript
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..10 => self.connect(),
            10..50 => self.say_something(),
            50..60 => self.arrive(),
            60..75 => self.take(),
            75..83 => self.report_sent(),
            83..90 => self.pass_time(),
            90..94 => self.lose(),
            94..96 => self.command(),
            _ => self.inject(),
        }
    }

    /// Some connection that is open.
    fn any(&mut self) -> Option<u64> {
        let count = self.ends.len();
        let at = self.random.below(count.max(1));
        self.ends.keys().nth(at).copied()
    }

    fn connect(&mut self) {
        let connection = self.random.below(6) as u64;
        self.bench.open(connection);
        if self.ends.contains_key(&connection) {
            return;
        }
        let mut end = End::default();
        let bytes = packets::connect(&mut self.random, &mut end.witness);
        end.witness.is_lenient = self.has_repetitions;
        self.ends.insert(connection, end);
        self.send(connection, &bytes);
    }

    fn say_something(&mut self) {
        let Some(connection) = self.any() else { return };
        let Some(end) = self.ends.get_mut(&connection) else {
            return;
        };
        if !end.witness.is_connected && !self.random.one_in(10) {
            return self.take_from(connection);
        }
        let bytes = packets::any(&mut self.random, &mut end.witness);
        self.send(connection, &bytes);
    }

    /// Bytes leave the client; the last of them may take their time.
    fn send(&mut self, connection: u64, bytes: &[u8]) {
        let Some(end) = self.ends.get_mut(&connection) else {
            return;
        };
        end.on_the_way.extend_from_slice(bytes);
        let length = end.on_the_way.len();
        let arriving = match self.random.below(4) {
            0 => self.random.below(length + 1),
            _ => length,
        };
        let arriving: Vec<u8> = end.on_the_way.drain(..arriving).collect();
        self.bench.send_bytes(connection, &arriving);
    }

    fn arrive(&mut self) {
        if let Some(connection) = self.any() {
            self.send(connection, &[]);
        }
    }

    fn take(&mut self) {
        if let Some(connection) = self.any() {
            self.take_from(connection);
        }
    }

    fn take_from(&mut self, connection: u64) {
        let mut outgoing = self.bench.broker.take_outgoing(connection);
        let bytes = outgoing.copy_to_bytes(outgoing.remaining());
        self.transcript.extend_from_slice(&bytes);
        if let Some(end) = self.ends.get_mut(&connection) {
            end.witness.see(&bytes);
            end.taken.push_back(outgoing);
        }
    }

    fn report_sent(&mut self) {
        let Some(connection) = self.any() else { return };
        let end = self.ends.get_mut(&connection);
        if let Some(outgoing) = end.and_then(|end| end.taken.pop_front()) {
            self.bench.broker.handle_sent(self.bench.now, outgoing);
        }
    }

    fn pass_time(&mut self) {
        match self.random.below(4) {
            0 => self.bench.broker.handle_timeout(self.bench.now),
            1 => {
                let earlier = mqtt5_proto::Instant::ZERO;
                self.bench.broker.handle_timeout(earlier);
            }
            // The driver is late.
            2 => self.bench.now = self.bench.now + Duration::from_millis(300),
            _ => {
                let seconds = self.random.pick(&[0.1, 0.5, 3.0, 20.0]);
                self.bench.advance(seconds);
            }
        }
    }

    fn lose(&mut self) {
        if let Some(connection) = self.any() {
            self.lose_one(connection);
        }
    }

    fn lose_one(&mut self, connection: u64) {
        self.ends.remove(&connection);
        self.bench.lose(connection);
    }

    fn command(&mut self) {
        let client = self.random.pick(&CLIENTS);
        let (broker, now) = (&mut self.bench.broker, self.bench.now);
        match self.random.below(3) {
            0 => broker.disconnect(now, client, ReasonCode::ADMINISTRATIVE_ACTION),
            1 => broker.cut(now, client),
            _ => broker.forget(now, client),
        };
    }

    fn inject(&mut self) {
        let random = &mut self.random;
        let kind = random.pick(&PacketType::ALL);
        let on = match random.below(4) {
            0 => On::Received(kind),
            _ => On::Sent(kind),
        };
        let delay = Duration::from_millis(random.pick(&[0, 200, 3_000]));
        let mishap = match random.below(12) {
            0 => Mishap::Cut,
            1 => Mishap::CutAfter,
            2 => Mishap::Refuse(ReasonCode::SERVER_BUSY.into()),
            3 => Mishap::LoseSession,
            4 | 5 => Mishap::Drop,
            // A client that sees CONNACK twice sees no rule kept.
            6..9 if self.has_repetitions && kind != PacketType::Connack => Mishap::Repeat(delay),
            _ => Mishap::Delay(delay),
        };
        let mut fault = Fault::new(on, mishap).times(random.below(4) as u32);
        if random.one_in(3) {
            fault = fault.client(random.pick(&CLIENTS));
        }
        if random.one_in(3) {
            fault = fault.one_in(3).skip(1);
        }
        if random.one_in(12) {
            self.bench.broker.clear_faults();
        }
        self.bench.broker.inject(fault);
    }

    /// Does what the broker says, sooner or later.
    fn obey(&mut self) {
        while let Some(action) = self.bench.broker.poll_action() {
            let connection = action.connection();
            self.transcript.push(connection as u8);
            assert!(self.ends.contains_key(&connection), "{action:?}");
            match action {
                Action::Write(_) => {}
                Action::Close(_) => {
                    self.take_from(connection);
                    if let Some(end) = self.ends.get_mut(&connection) {
                        end.is_closing = true;
                    }
                    if self.random.one_in(2) {
                        self.lose_one(connection);
                    }
                }
                Action::Abort(_) => self.lose_one(connection),
            }
        }
    }

    fn check_bounds(&self) {
        let statistics = self.bench.broker.statistics();
        assert!(statistics.sessions <= MAXIMUM_SESSIONS);
        assert!(statistics.waiting <= MAXIMUM_SESSIONS * MAXIMUM_QUEUED);
        assert!(statistics.retained <= MAXIMUM_RETAINED);
        let connected: Vec<&str> = self.bench.broker.connected_clients().collect();
        assert!(connected.len() <= statistics.sessions);
        for end in self.ends.values().filter(|end| !end.is_closing) {
            let client_id = end.witness.client_id;
            assert!(!end.witness.is_served() || connected.contains(&client_id));
        }
        assert_eq!(statistics.connections, self.ends.len());
    }

    /// Everybody comes back, and nothing goes wrong any more: what waits is delivered.
    fn heal(&mut self) {
        self.lose_all();
        self.bench.broker.clear_faults();
        for (connection, client_id) in (10..).zip(CLIENTS) {
            let mut end = End::default();
            end.witness.receive_maximum = 65_535;
            end.witness.maximum_packet_size = usize::MAX;
            end.witness.client_id = client_id;
            self.ends.insert(connection, end);
            self.bench.open(connection);
            let connect = Packet::Connect(returning(client_id));
            self.bench.send(connection, &connect);
        }
        for _ in 0..20 {
            self.obey();
            let connections: Vec<u64> = self.ends.keys().copied().collect();
            for connection in connections {
                self.serve(connection);
            }
        }
        assert_eq!(self.bench.broker.statistics().waiting, 0);
    }

    /// A client takes and answers everything that there is.
    fn serve(&mut self, connection: u64) {
        self.take_from(connection);
        while let Some(end) = self.ends.get_mut(&connection) {
            if let Some(outgoing) = end.taken.pop_front() {
                self.bench.broker.handle_sent(self.bench.now, outgoing);
            } else if let Some(answer) = end.witness.answer(0, ReasonCode::SUCCESS) {
                self.bench.send(connection, &answer);
                self.take_from(connection);
            } else {
                return;
            }
        }
    }

    fn lose_all(&mut self) {
        let connections: Vec<u64> = self.ends.keys().copied().collect();
        for connection in connections {
            self.lose_one(connection);
        }
    }

    /// Everybody goes, and time passes.
    fn end(&mut self) {
        self.lose_all();
        self.bench.advance(100_000.0);
        let statistics = self.bench.broker.statistics();
        assert_eq!((statistics.connections, statistics.sessions), (0, 0));
        assert_eq!((statistics.subscriptions, statistics.waiting), (0, 0));
        // A damaged interval may be a long one.
        let next = self.bench.broker.poll_timeout();
        assert!(next.is_none_or(|(_, reason)| reason == TimerReason::MessageExpiry));
        assert_eq!(self.bench.broker.poll_action(), None);
        assert!(!self.bench.broker.is_congested());
        self.transcript.extend(format!("{statistics:?}").bytes());
    }
}

fn run(seed: u64) -> Vec<u8> {
    println!("seed {seed}");
    World::new(seed).run()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..30 {
        assert!(run(seed) == run(seed), "seed {seed}");
    }
    assert!(run(1) != run(2));
}

#[test]
fn whatever_happens() {
    let bytes: usize = (100..400).map(|seed| run(seed).len()).sum();
    println!("{bytes} bytes from the broker");
    assert!(bytes > 300_000, "{bytes} bytes are too few to show much");
}
