//! One publish that this side received, and what receiving it comes to.

use crate::{PacketId, PacketType, QoS, ReasonCode};

/// A received publish that is not finished.
#[derive(Debug)]
pub struct Held {
    /// Tells it from every other publish that this receiver ever received.
    pub(super) arrival: u64,
    /// The acknowledgement, once it is decided.
    pub(super) answer: Option<ReasonCode>,
    pub(super) qos: QoS,
    /// It was received on the current connection.
    pub(super) here: bool,
    /// The record that must be durable before the next answer; 0 is none.
    pub(super) record: u64,
    /// The answer is to be sent as soon as it may be.
    pub(super) due: bool,
}

impl Held {
    pub(super) const fn new(arrival: u64, qos: QoS) -> Self {
        Self {
            arrival,
            answer: None,
            qos,
            here: true,
            record: 0,
            due: false,
        }
    }
}

/// What a received QoS 1 or 2 PUBLISH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A new message, to be handed over and acknowledged under this number.
    New(u64),
    /// A message that was handed over before and is not yet acknowledged: the one acknowledgement answers all copies.
    Repeated,
    /// A QoS 2 message whose PUBREC was sent before: PUBREC must be sent again [MQTT-4.3.3-10].
    AnswerAgain,
    /// More are not finished than allowed.
    TooMany,
    /// The identifier belongs to an exchange of the other QoS.
    IdInUse,
}

/// An acknowledgement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// PUBACK or PUBREC.
    pub packet: PacketType,
    /// Of which exchange.
    pub id: PacketId,
    /// How it went.
    pub reason: ReasonCode,
}

/// What a PUBREL does where answers wait for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// There is no such exchange: PUBCOMP 0x92.
    Unknown,
    /// The end of the exchange is to be recorded; see [`await_record`](super::Receiver::await_record).
    Record,
    /// Its record was begun before.
    Recording,
}
