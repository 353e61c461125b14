//! From bytes to packets, and packets in words.

use core::fmt::Write as _;

use mqtt5_proto::packet::{Acknowledgement, Publish};
use mqtt5_proto::{DecodeError, Decoding, FixedHeader, Packet, Role};

use crate::ledger::number_of;

/// The bytes of one direction, cut into packets.
#[derive(Debug)]
pub(crate) struct Frames {
    decoding: Decoding,
    rest: Vec<u8>,
}

/// Whole packets, and how they are to be decoded.
pub(crate) type Whole = Vec<(Vec<u8>, Decoding)>;

impl Frames {
    pub(crate) const fn new(from: Role) -> Self {
        Self {
            decoding: Decoding::new(from),
            rest: Vec::new(),
        }
    }

    /// Adds bytes and gives the packets that are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Whole, DecodeError> {
        self.rest.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(header) = FixedHeader::parse(&self.rest, &self.decoding)? {
            if self.rest.len() < header.total_len() {
                break;
            }
            whole.push((
                self.rest.drain(..header.total_len()).collect(),
                self.decoding,
            ));
        }
        Ok(whole)
    }
}

/// A packet in one line.
pub(crate) fn describe(packet: &Packet<'_>) -> String {
    let name = packet.packet_type().name();
    match packet {
        Packet::Connect(connect) => format!(
            "{name} clean start {}, keep alive {}, session expiry {:?}",
            connect.clean_start,
            connect.keep_alive,
            connect.properties.session_expiry_interval()
        ),
        Packet::Connack(connack) => format!(
            "{name} {} session present {}",
            connack.reason, connack.session_present
        ),
        Packet::Publish(publish) => describe_publish(publish),
        Packet::Puback(a) | Packet::Pubrec(a) | Packet::Pubrel(a) | Packet::Pubcomp(a) => {
            describe_answer(name, a)
        }
        Packet::Subscribe(subscribe) => subscribe.filters.iter().fold(
            format!("{name} {}", subscribe.packet_id.value()),
            |mut text, filter| {
                let _ = write!(text, " {}@{}", filter.filter.as_str(), filter.qos as u8);
                text
            },
        ),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().fold(
            format!("{name} {}", unsubscribe.packet_id.value()),
            |mut text, filter| {
                let _ = write!(text, " {}", filter.as_str());
                text
            },
        ),
        Packet::Suback(answer) | Packet::Unsuback(answer) => answer.reasons.iter().fold(
            format!("{name} {}", answer.packet_id.value()),
            |mut text, reason| {
                let _ = write!(text, " {:#04x}", reason.value());
                text
            },
        ),
        Packet::Disconnect(disconnect) => format!("{name} {}", disconnect.reason),
        _ => name.to_owned(),
    }
}

fn describe_publish(publish: &Publish<'_>) -> String {
    let mut text = format!("PUBLISH QoS {}", publish.delivery.qos() as u8);
    if let Some(id) = publish.delivery.packet_id() {
        let _ = write!(text, " {}", id.value());
    }
    if publish.delivery.dup() {
        text.push_str(" DUP");
    }
    if publish.retain {
        text.push_str(" retain");
    }
    match number_of(publish.payload) {
        Some(number) => drop(write!(text, " m{number}")),
        None => text.push_str(" of nobody"),
    }
    let topic = publish.topic.map_or("by alias", |topic| topic.as_str());
    let _ = write!(text, " {topic} ({} bytes)", publish.payload.len());
    text
}

fn describe_answer(name: &str, answer: &Acknowledgement<'_>) -> String {
    match answer.reason.value() {
        0 => format!("{name} {}", answer.packet_id.value()),
        _ => format!("{name} {} {}", answer.packet_id.value(), answer.reason),
    }
}
