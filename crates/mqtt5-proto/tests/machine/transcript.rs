//! Transcripts: everything that happened to a machine, so that it can happen again in other pieces.

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    AckToken, Config, DisconnectReason, Instant, Op, Outbound, Properties, Property, QoS,
    RejectReason, State, TimerReason, TopicName,
};

use super::bed::{Bed, LIMITS};
use super::face::Face;
use super::packets::{connack, encode};
use super::server::Server;
use super::told::Told;

/// What a generator asks for; what it comes to depends on the state of both sides.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Publish(QoS, usize),
    Subscribe(usize),
    Unsubscribe(usize),
    Ack(usize),
    Reject(usize),
    Withdraw(usize),
    Disconnect,
    Reading(bool),
    Wait(u32),
    Answer(usize, bool),
    Message(QoS, usize),
    Repeat(usize),
    Release(usize),
    Pong,
    ServerDisconnect(u8),
    Garbage(Vec<u8>),
    Close,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Connect,
    Publish(QoS, usize),
    Subscribe(usize),
    Unsubscribe(usize),
    Ack(AckToken),
    Reject(AckToken),
    Withdraw(Op),
    Disconnect,
    Reading(bool),
    Wait(u32),
    /// A packet of a server that keeps the protocol.
    Server(Vec<u8>),
    /// An acknowledgement of such a server, which it cannot give before the packet was written.
    Answer(Vec<u8>),
    /// Anything else: garbage, or DISCONNECT.
    Garbage(Vec<u8>),
    Close,
}

/// What a machine did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outputs {
    pub(crate) events: Vec<Told>,
    pub(crate) accepted: Vec<Op>,
    /// QoS 0 publishes that were encoded at once.
    pub(crate) done: Vec<Op>,
    pub(crate) withdrawn: Vec<Op>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<(State, Option<(Instant, TimerReason)>)>,
}

/// As many of everything as the machine of fixed capacity has.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.maximum_pending = 8;
    config.maximum_in_flight = 8;
    config
}

const RECEIVE_MAXIMUM: u16 = 5;

/// Applies one input; what it makes the machine tell and send is left to the caller.
pub(crate) fn apply<F: Face>(bed: &mut Bed<F>, input: &Input, outputs: &mut Outputs) {
    let text = "x".repeat(400);
    match input {
        Input::Connect => {
            let connect = Connect {
                properties: Properties::new(&LIMITS).unwrap(),
                ..Connect::new("me")
            };
            bed.client.connect(bed.now, &connect).unwrap();
        }
        Input::Publish(qos, length) => {
            let topic = TopicName::new("t").unwrap();
            let message = Outbound::new(topic, *qos, &text[..*length]);
            if let Ok(op) = bed.client.publish(bed.now, &message) {
                outputs.accepted.push(op);
                if *qos == QoS::AtMostOnce && !bed.client.is_pending(op) {
                    outputs.done.push(op);
                }
            }
        }
        Input::Subscribe(count) => {
            outputs
                .accepted
                .extend(bed.subscribe(&["a", "b", "c"][..*count]));
        }
        Input::Unsubscribe(count) => {
            outputs
                .accepted
                .extend(bed.unsubscribe(&["a", "b", "c"][..*count]));
        }
        Input::Ack(token) => bed.client.ack(bed.now, *token),
        Input::Reject(token) => {
            bed.client
                .reject(bed.now, *token, RejectReason::QuotaExceeded);
        }
        Input::Withdraw(op) => {
            if bed.client.withdraw(*op) {
                outputs.withdrawn.push(*op);
            }
        }
        Input::Disconnect => {
            let normal = DisconnectReason::Normal;
            let _ = bed.client.disconnect(bed.now, normal, Properties::EMPTY);
        }
        Input::Reading(reading) => bed.client.set_reading(bed.now, *reading),
        Input::Wait(millis) => {
            bed.now = bed.now + super::bed::millis((*millis).into());
            bed.client.handle_timeout(bed.now);
        }
        Input::Server(_) | Input::Answer(_) | Input::Garbage(_) => {}
        Input::Close => bed.client.handle_closed(bed.now),
    }
}

/// Lets the acts happen between a machine and a model of a server; gives what happened to the machine and what it did.
pub(crate) fn record<F: Face>(acts: &[Act]) -> (Vec<Input>, Outputs) {
    let mut recorder = Recorder::<F> {
        bed: Bed::with(config()),
        server: Server::new(RECEIVE_MAXIMUM),
        inputs: Vec::new(),
        outputs: Outputs::default(),
        tokens: Vec::new(),
        trusted: true,
    };
    recorder.connect();
    for act in acts {
        recorder.act(act);
    }
    recorder.input(Input::Close);
    (recorder.inputs, recorder.outputs)
}

struct Recorder<F> {
    bed: Bed<F>,
    server: Server,
    inputs: Vec<Input>,
    outputs: Outputs,
    tokens: Vec<AckToken>,
    /// The server has kept the protocol so far.
    trusted: bool,
}

impl<F: Face> Recorder<F> {
    fn connect(&mut self) {
        self.server = Server::new(RECEIVE_MAXIMUM);
        self.trusted = true;
        self.inputs.push(Input::Connect);
        apply(&mut self.bed, &Input::Connect, &mut self.outputs);
        let bytes = self.bed.sent_bytes();
        self.outputs.bytes.extend(bytes);
        let limit = [Property::ReceiveMaximum(RECEIVE_MAXIMUM)];
        let accept = encode(&connack(0, Properties::new(&limit).unwrap()));
        self.input(Input::Server(accept));
    }

    fn act(&mut self, act: &Act) {
        let state = self.bed.client.state();
        let pick = |tokens: &[AckToken], n: &usize| tokens.iter().rev().nth(*n).copied();
        let input = match act {
            // The machine of fixed capacity has room for eight publishes, sent or not.
            Act::Publish(..) if self.bed.client.pending() + self.bed.client.in_flight() >= 8 => {
                None
            }
            Act::Publish(qos, length) => Some(Input::Publish(*qos, *length)),
            // It has room for four requests.
            Act::Subscribe(_) | Act::Unsubscribe(_) if self.bed.client.requests() >= 4 => None,
            Act::Subscribe(count) => Some(Input::Subscribe(*count)),
            Act::Unsubscribe(count) => Some(Input::Unsubscribe(*count)),
            Act::Ack(n) => pick(&self.tokens, n).map(Input::Ack),
            Act::Reject(n) => pick(&self.tokens, n).map(Input::Reject),
            Act::Withdraw(n) => self
                .outputs
                .accepted
                .iter()
                .rev()
                .nth(*n)
                .copied()
                .map(Input::Withdraw),
            Act::Disconnect => Some(Input::Disconnect),
            Act::Reading(reading) => Some(Input::Reading(*reading)),
            Act::Wait(millis) => Some(Input::Wait(*millis)),
            Act::Close => Some(Input::Close),
            _ if !self.bed.client.wants_read() => None,
            Act::ServerDisconnect(code) => Some(Input::Garbage(vec![0xE0, 1, *code])),
            Act::Garbage(bytes) => Some(Input::Garbage(bytes.clone())),
            _ if !self.trusted => None,
            Act::Answer(n, refuse) => self.server.answer(*n, *refuse).map(Input::Answer),
            Act::Message(qos, length) => {
                let text = "y".repeat(*length);
                self.server.publish(*qos, &text).map(Input::Server)
            }
            Act::Repeat(n) => self.server.repeat(*n).map(Input::Server),
            Act::Release(n) => self.server.release(*n).map(Input::Server),
            Act::Pong => self.server.pong().map(Input::Server),
        };
        let Some(input) = input else { return };
        self.trusted &= !matches!(input, Input::Garbage(_));
        self.input(input);
        let client = &self.bed.client;
        if state != State::Disconnected && client.wants_close() {
            self.input(Input::Close);
        }
        if self.bed.client.state() == State::Disconnected {
            self.connect();
        }
    }

    fn input(&mut self, input: Input) {
        apply(&mut self.bed, &input, &mut self.outputs);
        if let Input::Server(bytes) | Input::Answer(bytes) | Input::Garbage(bytes) = &input {
            self.bed.feed_bytes(bytes);
        }
        let events = self.bed.events();
        let messages = events.iter().filter_map(|event| match event {
            Told::Message { token, .. } => *token,
            _ => None,
        });
        self.tokens.extend(messages);
        self.outputs.events.extend(events);
        let bytes = self.bed.sent_bytes();
        if self.trusted {
            self.server.receive(&bytes);
        }
        self.outputs.bytes.extend(bytes);
        let again = self.bed.events();
        assert_eq!(again, [], "events without an input");
        self.check();
        self.note();
        self.inputs.push(input);
    }

    /// Invariants between the two sides when everything is written.
    fn check(&self) {
        let client = &self.bed.client;
        assert!(client.pending() <= 8 && client.in_flight() <= usize::from(RECEIVE_MAXIMUM));
        assert!(client.held() <= usize::from(super::bed::WINDOW));
        if self.trusted && client.state() == State::Connected {
            let (open, publishes) = self.server.open();
            assert_eq!(open, client.in_flight() + client.requests());
            assert_eq!(publishes, client.in_flight());
            assert_eq!(self.server.unfinished(), client.held());
        }
    }

    fn note(&mut self) {
        let client = &self.bed.client;
        self.outputs
            .ends
            .push((client.state(), client.poll_timeout()));
    }
}
