//! Events without borrows, so that scripts can compare them.

#[cfg(feature = "alloc")]
use mqtt5_proto::Message;
use mqtt5_proto::packet::{Acknowledgement, Delivery, Publish};
use mqtt5_proto::{
    AckToken, DisconnectCause, Event, Op, Outcome, Properties, QoS, ReasonCode, Refused,
};

/// What the machine told. Properties are as `Debug` prints them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Connected {
        session_present: bool,
        properties: String,
    },
    Message {
        topic: String,
        payload: Vec<u8>,
        delivery: Delivery,
        retain: bool,
        properties: String,
        token: Option<AckToken>,
    },
    /// A step in an authentication: its code, its properties, and its data, which they do not print.
    Challenge(ReasonCode, String, Option<Vec<u8>>),
    Completed(Op, End),
    Disconnected(DisconnectCause, String),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Accepted,
    /// The reason that counts, the reason of the last packet, its properties.
    Delivered(ReasonCode, ReasonCode, String),
    Rejected(ReasonCode, String),
    Subscribed(Vec<ReasonCode>, String),
    Unsubscribed(Vec<ReasonCode>, String),
    Authenticated,
    Unknown,
    NotSent,
    NotStored,
    Expired,
    LimitExceeded(Refused),
    ConnectionLost,
}

impl End {
    pub(crate) fn delivered() -> Self {
        Self::Delivered(ReasonCode::SUCCESS, ReasonCode::SUCCESS, "[]".into())
    }
}

impl Told {
    pub(crate) fn token(&self) -> AckToken {
        match self {
            Self::Message {
                token: Some(token), ..
            } => *token,
            other => panic!("no message to acknowledge: {other:?}"),
        }
    }

    /// The payload of a message.
    pub(crate) fn payload(&self) -> &[u8] {
        match self {
            Self::Message { payload, .. } => payload,
            other => panic!("no message: {other:?}"),
        }
    }

    /// The operation that this ends.
    pub(crate) fn op(&self) -> Option<Op> {
        match self {
            Self::Completed(op, _) => Some(*op),
            _ => None,
        }
    }
}

/// A message in either form.
pub(crate) trait Received {
    fn own(self, token: Option<AckToken>) -> Told;
}

#[cfg(feature = "alloc")]
impl Received for Message {
    fn own(self, token: Option<AckToken>) -> Told {
        Told::Message {
            topic: self.topic().into(),
            payload: self.payload().into(),
            delivery: self.delivery(),
            retain: self.retain(),
            properties: print(self.properties()),
            token,
        }
    }
}

impl Received for Publish<'_> {
    fn own(self, token: Option<AckToken>) -> Told {
        Told::Message {
            topic: self.topic.unwrap().as_str().into(),
            payload: self.payload.into(),
            delivery: self.delivery,
            retain: self.retain,
            properties: print(self.properties),
            token,
        }
    }
}

pub(super) fn own<M: Received>(event: Event<'_, M>) -> Told {
    match event {
        Event::Connected(connack) => {
            assert_eq!(connack.reason, ReasonCode::SUCCESS);
            Told::Connected {
                session_present: connack.session_present,
                properties: print(connack.properties),
            }
        }
        Event::Message { message, token } => {
            let told = message.own(token);
            let Told::Message { delivery, .. } = told else {
                unreachable!()
            };
            assert_eq!(token.is_some(), delivery.qos() > QoS::AtMostOnce);
            told
        }
        Event::AuthChallenge { reason, properties } => {
            let data = properties.authentication_data().map(<[u8]>::to_vec);
            Told::Challenge(reason, print(properties), data)
        }
        Event::Completed { op, outcome } => Told::Completed(op, end(outcome)),
        Event::Disconnected { cause, properties } => Told::Disconnected(cause, print(properties)),
        other => panic!(
            "unknown event {other:?}",
            other = core::any::type_name_of_val(&other)
        ),
    }
}

fn end(outcome: Outcome<'_>) -> End {
    let last = |packet: Acknowledgement<'_>| (packet.reason, print(packet.properties));
    match outcome {
        Outcome::Accepted => End::Accepted,
        Outcome::Delivered {
            reason,
            acknowledgement,
        } => {
            let (last, properties) = last(acknowledgement);
            End::Delivered(reason, last, properties)
        }
        Outcome::Rejected(acknowledgement) => {
            let (reason, properties) = last(acknowledgement);
            End::Rejected(reason, properties)
        }
        Outcome::Subscribed(answer) => {
            End::Subscribed(answer.reasons.iter().collect(), print(answer.properties))
        }
        Outcome::Unsubscribed(answer) => {
            End::Unsubscribed(answer.reasons.iter().collect(), print(answer.properties))
        }
        Outcome::Authenticated => End::Authenticated,
        Outcome::Unknown => End::Unknown,
        Outcome::NotSent => End::NotSent,
        Outcome::NotStored => End::NotStored,
        Outcome::Expired => End::Expired,
        Outcome::LimitExceeded(limit) => End::LimitExceeded(limit),
        Outcome::ConnectionLost => End::ConnectionLost,
        other => panic!("unknown outcome {other:?}"),
    }
}

fn print(properties: Properties<'_>) -> String {
    format!("{properties:?}")
}
