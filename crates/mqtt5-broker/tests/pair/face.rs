//! The two faces of the client machine as one, and what it tells in a form that compares.

#![allow(dead_code, reason = "each test uses a part of it")]

use mqtt5_proto::packet::{Connect, Publish, SubscribeFilter};
use mqtt5_proto::{
    AckToken, Authenticate, Client, Config, DisconnectReason, Event, Instant, Message, Op,
    Outbound, Outcome, Properties, QoS, ReasonCode, TopicFilter, TopicName, fixed,
};

/// The machine of fixed capacity that the tests use.
pub(crate) type Fixed = fixed::Client<1024, 1024, 128, 64, 16, 2>;

/// What a client told, in a form that compares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Connected,
    /// Topic, payload, QoS and what is left of the Message Expiry Interval.
    Message(String, Vec<u8>, QoS, Option<u32>),
    /// Reason and data of a step of the server in an authentication.
    Challenge(ReasonCode, Vec<u8>),
    Delivered(Op, ReasonCode),
    Answered(Op, Vec<u8>),
    /// Ended without an answer.
    Lost(Op),
    Accepted(Op),
    Authenticated(Op),
    Expired(Op),
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
    fn unsubscribe(&mut self, now: Instant, filter: TopicFilter<'_>) -> Op;
    fn authenticate(&mut self, now: Instant, step: Authenticate<'_>);
    fn reauthenticate(&mut self, now: Instant, data: &[u8]) -> Op;
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
            fn unsubscribe(&mut self, now: Instant, filter: TopicFilter<'_>) -> Op {
                self.unsubscribe(now, &[filter], Properties::EMPTY).unwrap()
            }
            fn authenticate(&mut self, now: Instant, step: Authenticate<'_>) {
                self.authenticate(now, step).unwrap();
            }
            fn reauthenticate(&mut self, now: Instant, data: &[u8]) -> Op {
                self.reauthenticate(now, Some(data)).unwrap()
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
    fn parts(&self) -> (&str, &[u8], QoS, Properties<'_>);
}

impl Parts for Message {
    fn parts(&self) -> (&str, &[u8], QoS, Properties<'_>) {
        (self.topic(), self.payload(), self.qos(), self.properties())
    }
}

impl Parts for Publish<'_> {
    fn parts(&self) -> (&str, &[u8], QoS, Properties<'_>) {
        let topic = self.topic.map_or("", TopicName::as_str);
        (topic, self.payload, self.delivery.qos(), self.properties)
    }
}

fn message_told(message: &impl Parts) -> Told {
    let (topic, payload, qos, properties) = message.parts();
    let expiry = properties.message_expiry_interval();
    Told::Message(topic.into(), payload.into(), qos, expiry)
}

fn tell<M>(event: Event<'_, M>, message: impl FnOnce(M, Option<AckToken>) -> Told) -> Told {
    match event {
        Event::Connected(_) => Told::Connected,
        Event::Message { message: m, token } => message(m, token),
        Event::AuthChallenge { reason, properties } => {
            let data = properties.authentication_data().unwrap_or_default();
            Told::Challenge(reason, data.into())
        }
        Event::Disconnected { cause, .. } => Told::Disconnected(cause.to_string()),
        Event::Completed { op, outcome } => match outcome {
            Outcome::Delivered { reason, .. } => Told::Delivered(op, reason),
            Outcome::Subscribed(answer) | Outcome::Unsubscribed(answer) => {
                Told::Answered(op, answer.reasons.iter().map(ReasonCode::value).collect())
            }
            Outcome::Unknown | Outcome::NotSent | Outcome::ConnectionLost => Told::Lost(op),
            Outcome::Accepted => Told::Accepted(op),
            Outcome::Authenticated => Told::Authenticated(op),
            Outcome::Expired => Told::Expired(op),
            other => Told::Other(format!("{other:?}")),
        },
        _ => Told::Other("unknown event".into()),
    }
}
