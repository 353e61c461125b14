//! A model of a server that keeps sessions, opposite a machine whose connections are lost.

use std::collections::{BTreeMap, BTreeSet};

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{
    Config, Decoding, FixedHeader, Op, Packet, PacketType, Properties, Property, QoS, Role,
    SessionLoss, State,
};

use super::bed::Bed;
use super::face::Face;
use super::packets::ack_with;
use super::told::Told;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Publish(QoS),
    /// So many bytes are written.
    Write(usize),
    /// The server answers one exchange, maybe with a refusal, maybe lost with the connection.
    Answer(usize, bool, bool),
    Lose,
    /// With Session Present if both sides have one, and this Receive Maximum.
    Resume(bool, u16),
    /// The transport opens and fails.
    Fail,
    Withdraw(usize),
}

/// What the server has still to do for an exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    Puback,
    Pubrec,
    /// PUBREC was sent.
    Pubrel,
    /// PUBCOMP, with this reason.
    Pubcomp(u8),
}

pub(crate) struct Model<F> {
    bed: Bed<F>,
    loss: SessionLoss,
    /// How often each operation ended.
    ends: BTreeMap<Op, usize>,
    /// Messages have numbers in the order of acceptance.
    accepted: u32,
    /// Where the server has seen the PUBLISH of a message: identifier, session.
    seen: BTreeMap<u32, (u16, u32)>,
    // The server's session.
    session: u32,
    open: BTreeMap<u16, (u32, Open)>,
    /// When the PUBREC of an exchange arrived.
    recorded: BTreeMap<u16, usize>,
    records: usize,
    // The server's connection.
    receive_maximum: usize,
    buffer: Vec<u8>,
    /// Exchanges whose PUBLISH arrived on this connection.
    here: BTreeSet<u16>,
    last_message: Option<u32>,
    last_record: Option<usize>,
}

impl<F: Face> Model<F> {
    pub(crate) fn new(republish_qos1: bool, republish_qos2: bool) -> Self {
        let loss = SessionLoss {
            republish_qos1,
            republish_qos2,
        };
        let mut config = Config::default();
        config.session_loss = loss;
        Self {
            bed: Bed::keeping_with(config),
            loss,
            ends: BTreeMap::new(),
            accepted: 0,
            seen: BTreeMap::new(),
            session: 0,
            open: BTreeMap::new(),
            recorded: BTreeMap::new(),
            records: 0,
            receive_maximum: usize::from(u16::MAX),
            buffer: Vec::new(),
            here: BTreeSet::new(),
            last_message: None,
            last_record: None,
        }
    }

    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
            self.poll();
        }
        self.lose();
        self.bed.client.abandon().unwrap();
        self.poll();
        self.bed.expect_empty();
        assert!(self.ends.values().all(|n| *n == 1), "{:?}", self.ends);
    }

    fn poll(&mut self) {
        for event in self.bed.events() {
            if let Told::Completed(op, end) = event {
                let count = self.ends.get_mut(&op).unwrap();
                *count += 1;
                assert_eq!(*count, 1, "{op:?} ended again: {end:?}");
            }
        }
    }

    fn lose(&mut self) {
        self.bed.client.handle_closed(self.bed.now);
        self.poll();
        self.buffer.clear();
        self.here.clear();
        self.last_message = None;
        self.last_record = None;
    }

    fn step(&mut self, step: &Step) {
        let connected = self.bed.client.state() == State::Connected;
        match step {
            Step::Publish(qos) => self.publish(*qos),
            Step::Write(count) if connected => self.write(*count),
            Step::Answer(choice, refuse, lost) if connected => self.answer(*choice, *refuse, *lost),
            Step::Lose => self.lose(),
            Step::Resume(present, maximum) => {
                self.lose();
                self.resume(*present, *maximum);
            }
            Step::Fail => {
                self.lose();
                if self.bed.client.has_session() {
                    self.bed.reopen();
                }
                self.lose();
            }
            Step::Withdraw(n) => {
                if let Some((op, count)) = self.ends.iter_mut().rev().nth(*n)
                    && self.bed.client.withdraw(*op)
                {
                    *count += 1;
                }
            }
            _ => {}
        }
    }

    fn publish(&mut self, qos: QoS) {
        let number = self.accepted;
        if let Ok(op) = self.bed.publish(qos, &number.to_string()) {
            self.accepted += 1;
            let done = qos == QoS::AtMostOnce && !self.bed.client.is_pending(op);
            assert_eq!(self.ends.insert(op, usize::from(done)), None);
        }
    }

    fn resume(&mut self, present: bool, maximum: u16) {
        let present = present && self.bed.client.has_session();
        self.bed.reopen();
        if !present {
            self.session += 1;
            self.open.clear();
            self.recorded.clear();
        }
        self.receive_maximum = maximum.into();
        self.bed
            .connack(present, &[Property::ReceiveMaximum(maximum)]);
    }

    fn write(&mut self, count: usize) {
        let bytes = self.bed.client.transmit(self.bed.now, count);
        self.buffer.extend(bytes);
        let decoding = Decoding::new(Role::Client);
        let buffer = core::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        while let Some(header) = FixedHeader::parse(rest, &decoding).unwrap() {
            let Some((frame, after)) = rest.split_at_checked(header.total_len()) else {
                break;
            };
            match Packet::decode(frame, &decoding).unwrap() {
                Packet::Publish(publish) => self.receive_publish(&publish),
                Packet::Pubrel(packet) => self.receive_pubrel(packet.packet_id.value()),
                other => panic!("unexpected {other:?}"),
            }
            rest = after;
        }
        self.buffer = rest.to_vec();
    }

    fn receive_publish(&mut self, publish: &Publish<'_>) {
        let text = core::str::from_utf8(publish.payload).unwrap();
        let message: u32 = text.parse().unwrap();
        assert!(
            self.last_message < Some(message),
            "{message} after {:?}",
            self.last_message
        );
        self.last_message = Some(message);
        let (qos, dup) = (publish.delivery.qos(), publish.delivery.dup());
        let Some(id) = publish.delivery.packet_id() else {
            return;
        };
        let id = id.value();
        if let Some((seen_id, session)) = self.seen.insert(message, (id, self.session)) {
            if session == self.session {
                assert!(dup && seen_id == id, "{message} sent as new in one session");
            } else {
                let republish = match qos {
                    QoS::ExactlyOnce => self.loss.republish_qos2,
                    _ => self.loss.republish_qos1,
                };
                // DUP may be set: a part of it may have been handed over in this session already.
                assert!(republish, "{message} sent after the session");
            }
        }
        let next = match qos {
            QoS::ExactlyOnce => Open::Pubrec,
            _ => Open::Puback,
        };
        if let Some((other, _)) = self.open.insert(id, (message, next)) {
            assert!(
                dup && other == message,
                "{id} in use for {other}, not {message}"
            );
        }
        assert!(self.here.insert(id), "{id} twice on one connection");
        assert!(
            self.here.len() <= self.receive_maximum,
            "Receive Maximum exceeded"
        );
    }

    fn receive_pubrel(&mut self, id: u16) {
        let record = self.recorded.get(&id).copied();
        assert!(record.is_some() && self.last_record < record, "PUBREL {id}");
        self.last_record = record;
        let (message, reason) = match self.open.get(&id) {
            Some((message, Open::Pubrel | Open::Pubcomp(_))) => (*message, 0),
            None => (0, 0x92),
            other => panic!("PUBREL {id} for {other:?}"),
        };
        self.open.insert(id, (message, Open::Pubcomp(reason)));
    }

    fn answer(&mut self, choice: usize, refuse: bool, lost: bool) {
        let ready = |id: &u16, open: Open| match open {
            Open::Puback | Open::Pubrec => self.here.contains(id),
            Open::Pubrel => false,
            // Its PUBREL has arrived on this connection.
            Open::Pubcomp(_) => {
                let record = self.recorded.get(id).copied();
                record <= self.last_record
            }
        };
        let ids = self.open.iter().filter(|(id, (_, open))| ready(id, *open));
        let ids: Vec<u16> = ids.map(|(id, _)| *id).collect();
        let Some(id) = ids.get(choice % ids.len().max(1)).copied() else {
            return;
        };
        let (message, open) = self.open.remove(&id).unwrap();
        let reason = if refuse { 0x87 } else { 0 };
        let (packet, reason) = match open {
            Open::Puback => (PacketType::Puback, reason),
            Open::Pubcomp(reason) => (PacketType::Pubcomp, reason),
            _ => (PacketType::Pubrec, reason),
        };
        if packet == PacketType::Pubrec && !refuse {
            self.open.insert(id, (message, Open::Pubrel));
            if !lost {
                self.records += 1;
                self.recorded.insert(id, self.records);
            }
        } else {
            self.here.remove(&id);
        }
        if lost {
            self.lose();
        } else {
            let answer = ack_with(packet, id, reason, Properties::EMPTY);
            self.bed.feed(&answer);
            self.poll();
            assert_eq!(self.bed.client.state(), State::Connected);
        }
    }
}
