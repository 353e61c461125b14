//! The bytes between the two sides, and the cuts.

use super::{Broken, CLIENT_WINDOW, Embedded, Loss, Pieces, Told, WINDOW, WITNESS, Way, World};
use mqtt5_broker::Action;

/// Guards against sides that talk for ever.
const MOST_STEPS: usize = 10_000;
/// More bytes than ever wait to be sent in a script.
const MOST_UNSENT: usize = 512;

impl<C: Embedded> World<'_, C> {
    /// Lets everything come to rest, with a connection.
    pub(super) fn settle(&mut self) {
        for _ in 0..10 {
            if !self.up {
                self.connect();
            }
            self.drive();
            if self.up {
                assert!(self.connected, "neither a CONNACK nor a cut");
                return;
            }
        }
        panic!("no connection lasts");
    }

    /// The transport is gone, for the client at least.
    fn end(&mut self) {
        self.up = false;
        self.total.get_or_insert(self.carried);
        let lost = self.ends == 1 && self.manner.loss == Loss::Forgotten;
        self.deceived |= lost && !self.connected;
        self.connected = false;
        self.ends += usize::from(self.is_cut);
        self.client.handle_closed(self.now);
        let lost = self.broker.outgoing(self.now, self.connection);
        self.wire.give(Way::ToClient, &lost);
        self.inbox.clear();
        self.challenge = None;
        if self.manner.broken == Broken::HalfOpen && self.is_cut {
            self.half_open.push(self.connection);
        } else {
            self.broker.handle_closed(self.now, self.connection);
        }
    }

    pub(super) fn drive(&mut self) {
        for _ in 0..MOST_STEPS {
            self.poll();
            let mut moved = self.client_to_broker();
            moved |= self.witness_to_broker();
            moved |= self.broker_to_others();
            self.poll();
            if self.client.wants_close() {
                assert!(self.leaving, "the client wants to leave");
                self.end();
                continue;
            }
            if moved {
                continue;
            }
            if self.is_cut && self.up {
                self.end();
            } else if let Some((reason, data)) = self.challenge.take() {
                self.answer(reason, &data);
                self.poll();
                self.client_receives();
            } else if !self.tokens.is_empty() {
                for token in std::mem::take(&mut self.tokens).into_iter().rev() {
                    self.client.ack(self.now, token);
                }
            } else if self.up && !self.half_open.is_empty() {
                for connection in std::mem::take(&mut self.half_open) {
                    self.broker.handle_closed(self.now, connection);
                }
            } else {
                return;
            }
        }
        panic!("the sides never stop talking");
    }

    /// How many of `count` bytes are carried at once.
    fn piece(&self, way: Way, count: usize) -> usize {
        let carried = self.carried[way as usize];
        match self.manner.pieces {
            Pieces::Bytes => count.min(1),
            Pieces::Two(place) if place.way == way && carried < place.at => {
                count.min(place.at - carried)
            }
            _ => count,
        }
    }

    /// How many of `count` bytes pass.
    fn pass(&mut self, way: Way, count: usize) -> usize {
        let left = &mut self.left[way as usize];
        let passed = count.min(*left);
        *left -= passed;
        self.carried[way as usize] += passed;
        self.is_cut |= passed < count;
        passed
    }

    fn client_to_broker(&mut self) -> bool {
        let mut moved = false;
        while self.up {
            let bytes = self.client.outgoing().to_vec();
            if bytes.is_empty() {
                break;
            }
            moved = true;
            let piece = &bytes[..self.piece(Way::ToBroker, bytes.len())];
            let passed = self.pass(Way::ToBroker, piece.len());
            let ends = self.is_cut && self.manner.broken != Broken::OneWay;
            let taken = if ends { passed } else { piece.len() };
            self.wire.give(Way::ToBroker, piece);
            self.wire.arrive(Way::ToBroker, &piece[..passed]);
            self.broker
                .handle_received(self.now, self.connection, &piece[..passed]);
            self.client.handle_transmitted(self.now, taken);
            if ends {
                self.end();
            }
        }
        moved
    }

    fn witness_to_broker(&mut self) -> bool {
        let bytes = self.witness.outgoing();
        let count = bytes.len();
        self.broker.handle_received(self.now, WITNESS, bytes);
        self.witness.handle_transmitted(self.now, count);
        count > 0
    }

    fn broker_to_others(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.broker.poll_action() {
            moved = true;
            let (Action::Write(to) | Action::Close(to) | Action::Abort(to)) = action;
            let is_writing = action == Action::Write(to);
            let bytes = self.broker.outgoing(self.now, to);
            if to == WITNESS {
                assert!(is_writing, "the witness is sent away");
                self.give_witness(&bytes);
            } else if to == self.connection && self.up {
                self.give_client(&bytes);
                assert!(
                    is_writing || !self.up || self.leaving,
                    "the broker ends the connection: {bytes:02X?}"
                );
            } else {
                self.wire.give(Way::ToClient, &bytes);
            }
            if !is_writing {
                self.half_open.retain(|connection| *connection != to);
                self.broker.handle_closed(self.now, to);
            }
        }
        moved
    }

    fn give_witness(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.witness.receive_space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.witness.handle_received(self.now, count);
            bytes = &bytes[count..];
            self.poll_witness();
        }
    }

    fn give_client(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(self.piece(Way::ToClient, bytes.len()));
            let passed = self.pass(Way::ToClient, piece.len());
            self.wire.give(Way::ToClient, piece);
            self.inbox.extend_from_slice(&piece[..passed]);
            self.client_receives();
            bytes = rest;
        }
        if self.is_cut && self.manner.broken != Broken::OneWay && self.up {
            self.end();
        }
    }

    /// Gives the client what has arrived, as far as it reads.
    fn client_receives(&mut self) {
        // What it must not handle while it checks an authentication stays outside, where a cut takes it.
        let by_packet = self.manner.late && self.script.setting.has_authentication;
        while !self.inbox.is_empty() {
            let packet = || self.wire.rest_of_packet(Way::ToClient, &self.inbox);
            let piece = by_packet.then(packet).flatten().unwrap_or(self.inbox.len());
            let space = self.client.receive_space();
            let count = piece.min(space.len());
            if count == 0 {
                let is_checking = self.challenge.is_some();
                assert!(is_checking || self.leaving, "no space though it may read");
                return;
            }
            space[..count].copy_from_slice(&self.inbox[..count]);
            let bytes: Vec<u8> = self.inbox.drain(..count).collect();
            self.wire.arrive(Way::ToClient, &bytes);
            self.client.handle_received(self.now, count);
            self.poll();
        }
    }

    fn poll_witness(&mut self) {
        while let Some((told, token)) = Embedded::poll(&mut self.witness, self.now) {
            match told {
                Told::Message(topic, ..) if topic == "will" => self.wills += 1,
                told => self.arrive(Way::ToBroker, &told),
            }
            if let Some(token) = token {
                self.witness.ack(self.now, token);
            }
        }
    }

    /// Takes note of a message that has arrived; it must be what was published.
    fn arrive(&mut self, way: Way, told: &Told) {
        let Told::Message(topic, payload, qos, expiry) = told else {
            return;
        };
        let number = usize::from(payload[0]);
        let published = &self.published[way as usize][number];
        assert_eq!((topic, qos), (&self.topic(way, number), &published.qos));
        let age = self.now.saturating_duration_since(published.at).as_secs();
        let left = |all: u32| all.saturating_sub(u32::try_from(age).unwrap()).max(1);
        assert_eq!(
            *expiry,
            self.script.setting.expiry.map(left),
            "after {age} s"
        );
        self.arrived[way as usize].push((number, *qos));
    }

    pub(super) fn poll(&mut self) {
        self.poll_witness();
        while let Some((told, token)) = self.client.poll(self.now) {
            self.told.push(told.clone());
            match &told {
                Told::Connected => {
                    self.connected = true;
                    self.wire.connected();
                }
                Told::Challenge(reason, data) if self.manner.late => {
                    self.challenge = Some((*reason, data.clone()));
                }
                Told::Challenge(reason, data) => self.answer(*reason, data),
                Told::Message(..) => self.arrive(Way::ToClient, &told),
                Told::Disconnected(cause) if self.leaving => {
                    assert_eq!(cause, "ended by the client");
                }
                Told::Disconnected(cause) => assert_eq!(cause, "the transport closed"),
                Told::Answered(op, _) if self.subscribing == Some(*op) => {
                    self.subscribed = true;
                    self.ended.entry(*op).or_default().push(told);
                }
                Told::Answered(op, _) if self.unsubscribing == Some(*op) => {
                    self.subscribed = false;
                    self.ended.entry(*op).or_default().push(told);
                }
                Told::Delivered(op, _)
                | Told::Answered(op, _)
                | Told::Lost(op)
                | Told::Accepted(op)
                | Told::Authenticated(op)
                | Told::Expired(op) => self.ended.entry(*op).or_default().push(told),
                Told::Other(other) => panic!("{other}"),
            }
            match token {
                Some(token) if self.manner.late => self.tokens.push(token),
                Some(token) => self.client.ack(self.now, token),
                None => {}
            }
        }
        self.check_bounds();
    }

    /// Nothing grows beyond its bound.
    fn check_bounds(&self) {
        let [_, in_flight, _, held, unsent] = self.client.open();
        assert!(in_flight <= usize::from(WINDOW), "{in_flight} in flight");
        assert!(held <= usize::from(CLIENT_WINDOW), "{held} held");
        assert!(unsent <= MOST_UNSENT, "{unsent} bytes unsent");
    }
}
