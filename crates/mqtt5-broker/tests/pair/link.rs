//! A client machine and a broker machine with a link between them, in virtual time.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use mqtt5_broker::{Action, Broker, Config as BrokerConfig};
use mqtt5_proto::packet::{Connect, Publish, SubscribeFilter};
use mqtt5_proto::{
    AckToken, Client, Config, DisconnectReason, Event, Instant, Message, Op, Outbound, Outcome,
    Properties, Property, QoS, ReasonCode, TopicFilter, TopicName, fixed,
};

/// The machine of fixed capacity that the tests use.
pub(crate) type Fixed = fixed::Client<1024, 1024, 128, 64, 16>;

/// What a client told, in a form that compares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Connected,
    Message(String, Vec<u8>, QoS),
    Delivered(Op, ReasonCode),
    Answered(Op, Vec<u8>),
    /// Ended without an answer.
    Lost(Op),
    Accepted(Op),
    Disconnected(String),
    Other(String),
}

/// What both faces of the client machine have.
pub(crate) trait Embedded {
    fn new() -> Self
    where
        Self: Sized,
    {
        Self::with(Config::default())
    }
    fn with(config: Config) -> Self;
    fn connect(&mut self, now: Instant, connect: &Connect<'_>);
    fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Op;
    fn subscribe(&mut self, now: Instant, filter: SubscribeFilter<'_>) -> Op;
    fn ack(&mut self, now: Instant, token: AckToken);
    fn disconnect(&mut self, now: Instant);
    fn outgoing(&mut self) -> &[u8];
    fn handle_transmitted(&mut self, now: Instant, count: usize);
    fn receive_space(&mut self) -> &mut [u8];
    fn handle_received(&mut self, now: Instant, count: usize);
    fn handle_closed(&mut self, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn wants_close(&self) -> bool;
    fn has_session(&self) -> bool;
    fn is_pending(&self, op: Op) -> bool;
    fn in_flight(&self) -> usize;
    fn packets_sent(&self) -> u64;
    /// Everything that is open: pending, in flight, requests, held, unsent.
    fn open(&self) -> [usize; 5];
    fn poll(&mut self, now: Instant) -> Option<(Told, Option<AckToken>)>;
}

macro_rules! embedded {
    ($face:ty, $message:ty) => {
        impl Embedded for $face {
            fn with(config: Config) -> Self {
                Self::new(config)
            }
            fn has_session(&self) -> bool {
                self.has_session()
            }
            fn is_pending(&self, op: Op) -> bool {
                self.is_pending(op)
            }
            fn connect(&mut self, now: Instant, connect: &Connect<'_>) {
                self.connect(now, connect).unwrap();
            }
            fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Op {
                self.publish(now, message).unwrap()
            }
            fn subscribe(&mut self, now: Instant, filter: SubscribeFilter<'_>) -> Op {
                self.subscribe(now, &[filter], Properties::EMPTY).unwrap()
            }
            fn ack(&mut self, now: Instant, token: AckToken) {
                self.ack(now, token);
            }
            fn disconnect(&mut self, now: Instant) {
                let reason = DisconnectReason::Normal;
                self.disconnect(now, reason, Properties::EMPTY).unwrap();
            }
            fn outgoing(&mut self) -> &[u8] {
                self.outgoing()
            }
            fn handle_transmitted(&mut self, now: Instant, count: usize) {
                self.handle_transmitted(now, count);
            }
            fn receive_space(&mut self) -> &mut [u8] {
                self.receive_space()
            }
            fn handle_received(&mut self, now: Instant, count: usize) {
                self.handle_received(now, count);
            }
            fn handle_closed(&mut self, now: Instant) {
                self.handle_closed(now);
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout().map(|(at, _)| at)
            }
            fn wants_close(&self) -> bool {
                self.wants_close()
            }
            fn in_flight(&self) -> usize {
                self.in_flight()
            }
            fn packets_sent(&self) -> u64 {
                self.statistics().packets_sent
            }
            fn open(&self) -> [usize; 5] {
                [
                    self.pending(),
                    self.in_flight(),
                    self.requests(),
                    self.held(),
                    self.unsent(),
                ]
            }
            fn poll(&mut self, now: Instant) -> Option<(Told, Option<AckToken>)> {
                let mut token = None;
                let told = tell(self.poll_event(now)?, |message: $message, t| {
                    token = t;
                    message_told(&message)
                });
                Some((told, token))
            }
        }
    };
}

embedded!(Client, Message);
embedded!(Fixed, Publish<'_>);

/// The parts of a message on either storage.
trait Parts {
    fn parts(&self) -> (&str, &[u8], QoS);
}

impl Parts for Message {
    fn parts(&self) -> (&str, &[u8], QoS) {
        (self.topic(), self.payload(), self.qos())
    }
}

impl Parts for Publish<'_> {
    fn parts(&self) -> (&str, &[u8], QoS) {
        let topic = self.topic.map_or("", TopicName::as_str);
        (topic, self.payload, self.delivery.qos())
    }
}

fn message_told(message: &impl Parts) -> Told {
    let (topic, payload, qos) = message.parts();
    Told::Message(topic.into(), payload.into(), qos)
}

fn tell<M>(event: Event<'_, M>, message: impl FnOnce(M, Option<AckToken>) -> Told) -> Told {
    match event {
        Event::Connected(_) => Told::Connected,
        Event::Message { message: m, token } => message(m, token),
        Event::Disconnected { cause, .. } => Told::Disconnected(cause.to_string()),
        Event::Completed { op, outcome } => match outcome {
            Outcome::Delivered { reason, .. } => Told::Delivered(op, reason),
            Outcome::Subscribed(answer) | Outcome::Unsubscribed(answer) => {
                Told::Answered(op, answer.reasons.iter().map(ReasonCode::value).collect())
            }
            Outcome::Unknown | Outcome::NotSent | Outcome::ConnectionLost => Told::Lost(op),
            Outcome::Accepted => Told::Accepted(op),
            other => Told::Other(format!("{other:?}")),
        },
        _ => Told::Other("unknown event".into()),
    }
}

/// Guards against two machines that talk for ever.
const MOST_STEPS: usize = 100_000;

pub(crate) struct Pair<C> {
    pub(crate) client: C,
    broker: Broker,
    now: Instant,
    connection: u64,
    open: bool,
    /// How many bytes the link carries at a time.
    chunk: usize,
    told: Vec<Told>,
}

impl<C: Embedded> Pair<C> {
    pub(crate) fn new(config: BrokerConfig, chunk: usize) -> Self {
        Self {
            client: C::new(),
            broker: Broker::new(config),
            now: Instant::ZERO,
            connection: 0,
            open: false,
            chunk,
            told: Vec::new(),
        }
    }

    pub(crate) fn connect(&mut self) {
        self.connection += 1;
        self.open = true;
        self.broker.handle_open(self.now, self.connection);
        let limits = [
            Property::ReceiveMaximum(4),
            Property::MaximumPacketSize(1024),
        ];
        let connect = Connect {
            properties: Properties::new(&limits).unwrap(),
            ..Connect::new("pair")
        };
        self.client.connect(self.now, &connect);
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> Op {
        let filter = SubscribeFilter::new(TopicFilter::new(filter).unwrap(), qos);
        self.client.subscribe(self.now, filter)
    }

    pub(crate) fn publish(&mut self, topic: &str, qos: QoS, payload: &[u8]) -> Op {
        let message = Outbound::new(TopicName::new(topic).unwrap(), qos, payload);
        self.client.publish(self.now, &message)
    }

    pub(crate) fn disconnect(&mut self) {
        self.client.disconnect(self.now);
    }

    /// Cuts the link; what was under way is lost.
    pub(crate) fn cut(&mut self) {
        self.close();
    }

    fn close(&mut self) {
        if self.open {
            self.open = false;
            self.client.handle_closed(self.now);
            self.broker.handle_closed(self.now, self.connection);
        }
    }

    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    fn poll(&mut self) {
        while let Some((told, token)) = self.client.poll(self.now) {
            self.told.push(told);
            if let Some(token) = token {
                self.client.ack(self.now, token);
            }
        }
    }

    /// Lets both sides talk until neither has more to say.
    pub(crate) fn drive(&mut self) {
        for _ in 0..MOST_STEPS {
            self.poll();
            let sent = self.client_to_broker();
            let received = self.broker_to_client();
            self.poll();
            if self.client.wants_close() {
                self.close();
                self.poll();
            }
            if !sent && !received {
                return;
            }
        }
        panic!("the two sides never stop talking");
    }

    fn client_to_broker(&mut self) -> bool {
        let bytes = self.client.outgoing();
        let count = bytes.len().min(self.chunk);
        if count == 0 || !self.open {
            return false;
        }
        self.broker
            .handle_received(self.now, self.connection, &bytes[..count]);
        self.client.handle_transmitted(self.now, count);
        true
    }

    fn broker_to_client(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.broker.poll_action() {
            moved = true;
            let bytes = self.broker.outgoing(self.now, self.connection);
            for part in bytes.chunks(self.chunk) {
                let mut part = part;
                while !part.is_empty() && self.open {
                    let space = self.client.receive_space();
                    let count = part.len().min(space.len());
                    assert!(count > 0, "no space though a packet is incomplete");
                    space[..count].copy_from_slice(&part[..count]);
                    self.client.handle_received(self.now, count);
                    self.poll();
                    part = &part[count..];
                }
            }
            if matches!(action, Action::Close(_) | Action::Abort(_)) {
                self.close();
            }
        }
        moved
    }

    /// Lets time pass, from deadline to deadline.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.drive();
            let next = [
                self.client.poll_timeout(),
                self.broker.poll_timeout().map(|(at, _)| at),
            ];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.broker.handle_timeout(self.now);
        }
    }

    /// Neither side holds anything of an exchange.
    pub(crate) fn assert_idle(&self) {
        assert_eq!(self.client.open(), [0; 5]);
        let statistics = self.broker.statistics();
        assert_eq!(statistics.waiting, 0, "{statistics:?}");
    }

    /// There is no connection any more on either side.
    pub(crate) fn assert_nothing_left(&self) {
        self.assert_idle();
        assert_eq!(self.client.poll_timeout(), None);
        assert_eq!(self.broker.statistics().connections, 0);
    }
}
