//! From received bytes to packets.

use mqtt5_proto::packet::Packet;
use mqtt5_proto::{FixedHeader, Instant, PacketType, ReasonCode};

use super::Broker;
use crate::connection::{DECODING, Phase};
use crate::timers::ConnectionSlot;
use crate::trie::SessionSlot;

impl Broker {
    /// A client has sent bytes: any piece of its stream, in order.
    ///
    /// Whole packets are handled where they are; only the beginning of one that is not complete is copied.
    pub fn handle_received(&mut self, now: Instant, connection: u64, bytes: &[u8]) {
        let now = self.advance(now);
        self.outputs.statistics.bytes_received += bytes.len() as u64;
        let Some(&slot) = self.numbers.get(&connection) else {
            return;
        };
        let Some(entry) = self.connections.get_mut(slot) else {
            return;
        };
        entry.last_received = now;
        let mut input = bytes;
        if !entry.partial.is_empty() {
            input = self.complete_partial(slot, input);
        }
        while self.is_open(slot) {
            match self.next_packet(slot, input) {
                Some(length) if length <= input.len() => {
                    let (packet, rest) = input.split_at(length);
                    self.handle_packet(slot, packet);
                    input = rest;
                }
                _ => {
                    self.keep_partial(slot, input);
                    break;
                }
            }
        }
        self.settle_faults();
    }

    /// Handles the packet of which the beginning came earlier, if it is complete; gives what follows it.
    fn complete_partial<'a>(&mut self, slot: ConnectionSlot, mut input: &'a [u8]) -> &'a [u8] {
        let Some(connection) = self.connections.get_mut(slot) else {
            return &[];
        };
        let mut partial = std::mem::take(&mut connection.partial);
        while !input.is_empty() && self.is_open(slot) {
            // Without the whole fixed header it is not known how much is missing.
            let missing = self
                .next_packet(slot, &partial)
                .map_or(1, |length| length - partial.len());
            let (part, rest) = input.split_at(missing.min(input.len()));
            partial.extend_from_slice(part);
            input = rest;
            if self.is_open(slot) && self.next_packet(slot, &partial) == Some(partial.len()) {
                self.handle_packet(slot, &partial);
                partial.clear();
                partial.shrink_to(KEPT_CAPACITY);
                break;
            }
        }
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.partial = partial;
        }
        input
    }

    fn keep_partial(&mut self, slot: ConnectionSlot, rest: &[u8]) {
        if let Some(connection) = self.connections.get_mut(slot) {
            if connection.phase != Phase::Closing {
                connection.partial.extend_from_slice(rest);
            }
        }
    }

    fn is_open(&self, slot: ConnectionSlot) -> bool {
        self.connections
            .get(slot)
            .is_some_and(|connection| connection.phase != Phase::Closing)
    }

    /// The length of the packet that `bytes` begin with; `None` when that is not known yet, or the connection failed.
    ///
    /// A packet that is too large fails as soon as its length is known (3.2.2.3.6).
    fn next_packet(&mut self, slot: ConnectionSlot, bytes: &[u8]) -> Option<usize> {
        let phase = self.connections.get(slot)?.phase;
        let maximum = match phase {
            Phase::Waiting | Phase::Authenticating => {
                self.config.maximum_packet_size.min(MAXIMUM_CONNECT)
            }
            _ => self.config.maximum_packet_size,
        };
        match FixedHeader::parse(bytes, &DECODING) {
            Ok(None) => None,
            Ok(Some(header))
                if phase == Phase::Waiting && header.packet_type != PacketType::Connect =>
            {
                // The first packet must be a CONNECT [MQTT-3.1.0-1]; who sends another may not speak MQTT at all.
                self.close(slot);
                None
            }
            Ok(Some(header)) if header.total_len() > maximum as usize => {
                self.fail(slot, ReasonCode::PACKET_TOO_LARGE, "packet too large");
                None
            }
            Ok(Some(header)) => Some(header.total_len()),
            Err(error) => {
                let is_connect = bytes
                    .first()
                    .is_some_and(|byte| byte >> 4 == PacketType::Connect as u8);
                if phase == Phase::Waiting && !is_connect {
                    self.close(slot);
                } else {
                    self.fail(slot, error.reason_code(), &error.to_string());
                }
                None
            }
        }
    }

    fn handle_packet(&mut self, slot: ConnectionSlot, frame: &[u8]) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let phase = connection.phase;
        let packet = Packet::decode(frame, &DECODING);
        if self.outputs.faults.is_some() && !self.withstands(slot, &packet) {
            return self.settle_faults();
        }
        match (phase, packet) {
            (Phase::Closing, _) => {}
            (_, Err(error)) => self.fail(slot, error.reason_code(), &error.to_string()),
            (Phase::Waiting, Ok(Packet::Connect(connect))) => {
                self.handle_connect(slot, &connect, frame);
            }
            (Phase::Waiting, Ok(_)) | (Phase::Authenticating, Ok(Packet::Disconnect(_))) => {
                self.close(slot);
            }
            (Phase::Authenticating, Ok(Packet::Auth(auth))) => self.handle_auth(slot, &auth),
            (Phase::Authenticating, Ok(_)) => {
                // [MQTT-3.1.2-30]
                let text = "neither AUTH nor DISCONNECT before CONNACK";
                self.fail(slot, ReasonCode::PROTOCOL_ERROR, text);
            }
            (Phase::Live(session), Ok(packet)) => self.dispatch(slot, session, &packet),
        }
        self.settle_faults();
    }

    fn dispatch(&mut self, slot: ConnectionSlot, session: SessionSlot, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => self.handle_publish(slot, session, publish),
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => {
                self.handle_acknowledgement(slot, session, packet.packet_type(), ack);
            }
            Packet::Pubrel(ack) => self.handle_pubrel(slot, session, ack),
            Packet::Subscribe(subscribe) => self.handle_subscribe(slot, session, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(slot, session, unsubscribe),
            // [MQTT-3.12.4-1]
            Packet::Pingreq => self.reply(slot, &Packet::Pingresp),
            Packet::Disconnect(disconnect) => self.handle_disconnect(slot, session, disconnect),
            // A second CONNECT is a Protocol Error [MQTT-3.1.0-2].
            Packet::Connect(_) => self.fail(slot, ReasonCode::PROTOCOL_ERROR, "second CONNECT"),
            Packet::Auth(auth) => self.handle_auth(slot, auth),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                self.fail(
                    slot,
                    ReasonCode::PROTOCOL_ERROR,
                    "a packet that only servers send",
                );
            }
        }
    }

    /// Answers a packet; an answer that is too large for the client is left out.
    ///
    /// A client that goes on asking without ever reading the answers is cut off.
    pub(super) fn reply(&mut self, slot: ConnectionSlot, packet: &Packet<'_>) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        self.outputs.write(self.now, connection, packet);
        // Messages alone never come to more than once the bound and one packet.
        let bound = self.config.maximum_unsent_bytes.saturating_mul(2);
        let bound = bound.saturating_add(self.config.maximum_packet_size as usize);
        if connection.unsent() > bound {
            self.abort(slot);
        }
    }
}

/// How much memory for packets in pieces a connection keeps between them.
const KEPT_CAPACITY: usize = 4 << 10;

/// The largest packet in bytes that is accepted before a client is known.
const MAXIMUM_CONNECT: u32 = 1 << 20;
