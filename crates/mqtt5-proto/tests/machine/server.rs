//! A model of a server: it keeps the protocol, and panics when the client does not.

use std::collections::{BTreeMap, BTreeSet};

use mqtt5_proto::{Decoding, FixedHeader, Packet, PacketType, Properties, QoS, ReasonCode, Role};

use super::bed::WINDOW;
use super::packets::{ack_with, delivery, encode, publish_with, suback, unsuback};

/// What an exchange that the client began waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Suback(usize),
    Unsuback(usize),
}

#[derive(Debug)]
pub(crate) struct Server {
    receive_maximum: usize,
    buffer: Vec<u8>,
    open: BTreeMap<u16, Open>,
    /// QoS 1 and 2 messages that the client has not acknowledged, in the order of sending.
    sent: [Vec<u16>; 2],
    /// QoS 2 messages after PUBREC, and whether PUBREL was sent.
    recorded: BTreeMap<u16, bool>,
    next_id: u16,
    pings: usize,
    over: bool,
}

impl Server {
    pub(crate) fn new(receive_maximum: u16) -> Self {
        Self {
            receive_maximum: receive_maximum.into(),
            buffer: Vec::new(),
            open: BTreeMap::new(),
            sent: [Vec::new(), Vec::new()],
            recorded: BTreeMap::new(),
            next_id: 0,
            pings: 0,
            over: false,
        }
    }

    /// Exchanges that the client has begun, and those of them that count against Receive Maximum.
    pub(crate) fn open(&self) -> (usize, usize) {
        let request = |open: &&Open| matches!(open, Open::Suback(_) | Open::Unsuback(_));
        let requests = self.open.values().filter(request).count();
        (self.open.len(), self.open.len() - requests)
    }

    /// Messages of the server that are not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.sent[0].len() + self.sent[1].len() + self.recorded.len()
    }

    /// Bytes of the client arrive.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        assert!(
            !self.over || bytes.is_empty(),
            "sent after DISCONNECT: {bytes:02X?}"
        );
        self.buffer.extend_from_slice(bytes);
        let decoding = Decoding::new(Role::Client);
        let buffer = core::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        while let Some(header) = FixedHeader::parse(rest, &decoding).unwrap() {
            let Some((frame, after)) = rest.split_at_checked(header.total_len()) else {
                break;
            };
            assert!(!self.over, "packets after DISCONNECT");
            self.handle(&Packet::decode(frame, &decoding).unwrap());
            rest = after;
        }
        self.buffer = rest.to_vec();
    }

    fn handle(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => {
                assert!(!publish.delivery.dup());
                match publish.delivery.qos() {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.begin(publish.delivery.packet_id(), Open::Puback),
                    QoS::ExactlyOnce => self.begin(publish.delivery.packet_id(), Open::Pubrec),
                }
                assert!(
                    self.open().1 <= self.receive_maximum,
                    "Receive Maximum exceeded"
                );
            }
            Packet::Subscribe(packet) => {
                self.begin(Some(packet.packet_id), Open::Suback(packet.filters.len()));
            }
            Packet::Unsubscribe(packet) => {
                self.begin(Some(packet.packet_id), Open::Unsuback(packet.filters.len()));
            }
            Packet::Pubrel(packet) => {
                assert_eq!(packet.reason, ReasonCode::SUCCESS);
                let open = self.open.get_mut(&packet.packet_id.value()).unwrap();
                assert_eq!(*open, Open::Pubrel);
                *open = Open::Pubcomp;
            }
            Packet::Puback(packet) => {
                assert_eq!(
                    self.sent[0].remove(0),
                    packet.packet_id.value(),
                    "order of PUBACKs"
                );
            }
            Packet::Pubrec(packet) => self.handle_pubrec(packet.packet_id.value(), packet.reason),
            Packet::Pubcomp(packet) => {
                let released = self.recorded.remove(&packet.packet_id.value());
                assert_eq!(released, Some(true));
                assert_eq!(packet.reason, ReasonCode::SUCCESS);
            }
            Packet::Pingreq => self.pings += 1,
            Packet::Disconnect(_) => self.over = true,
            other => panic!("unexpected {other:?}"),
        }
    }

    fn begin(&mut self, id: Option<mqtt5_proto::PacketId>, open: Open) {
        let before = self.open.insert(id.unwrap().value(), open);
        assert_eq!(before, None, "identifier in use");
    }

    fn handle_pubrec(&mut self, id: u16, reason: ReasonCode) {
        // Sent again for a repetition.
        if self.recorded.contains_key(&id) {
            return;
        }
        assert_eq!(self.sent[1].remove(0), id, "order of PUBRECs");
        if !reason.is_error() {
            self.recorded.insert(id, false);
        }
    }

    /// The next step of one of the exchanges that the client began.
    pub(crate) fn answer(&mut self, choice: usize, refuse: bool) -> Option<Vec<u8>> {
        let ready = |open: &Open| *open != Open::Pubrel;
        let ids: Vec<u16> = self
            .open
            .iter()
            .filter_map(|(id, open)| ready(open).then_some(*id))
            .collect();
        let id = *ids.get(choice % ids.len().max(1))?;
        let reason = if refuse { 0x87 } else { 0x00 };
        let acknowledge = |packet, reason| ack_with(packet, id, reason, Properties::EMPTY);
        let codes;
        let packet = match self.open.remove(&id)? {
            Open::Puback => acknowledge(PacketType::Puback, reason),
            Open::Pubrec => {
                if !refuse {
                    self.open.insert(id, Open::Pubrel);
                }
                acknowledge(PacketType::Pubrec, reason)
            }
            Open::Suback(count) => {
                codes = vec![ReasonCode::from(reason); count];
                suback(id, &codes)
            }
            Open::Unsuback(count) => {
                codes = vec![ReasonCode::from(reason); count];
                unsuback(id, &codes)
            }
            Open::Pubrel | Open::Pubcomp => acknowledge(PacketType::Pubcomp, 0x00),
        };
        Some(encode(&packet))
    }

    /// A message, if the client's Receive Maximum allows it.
    pub(crate) fn publish(&mut self, qos: QoS, payload: &str) -> Option<Vec<u8>> {
        if qos > QoS::AtMostOnce {
            if self.unfinished() >= usize::from(WINDOW) {
                return None;
            }
            let used: BTreeSet<u16> = self.sent.concat().into_iter().collect();
            loop {
                self.next_id = self.next_id % 20 + 1;
                let id = self.next_id;
                if !used.contains(&id) && !self.recorded.contains_key(&id) {
                    break;
                }
            }
            self.sent[qos as usize - 1].push(self.next_id);
        }
        let delivery = delivery(qos, self.next_id.max(1), false);
        Some(encode(&publish_with(delivery, payload)))
    }

    /// A message again that is not finished.
    pub(crate) fn repeat(&self, choice: usize) -> Option<Vec<u8>> {
        let recorded = self.recorded.iter().filter(|(_, released)| !**released);
        let open = self.sent[1].iter().chain(recorded.map(|(id, _)| id));
        let open: Vec<u16> = open.copied().collect();
        let id = *open.get(choice % open.len().max(1))?;
        let dup = choice.is_multiple_of(2);
        Some(encode(&publish_with(
            delivery(QoS::ExactlyOnce, id, dup),
            "again",
        )))
    }

    /// PUBREL for a message whose PUBREC has arrived.
    pub(crate) fn release(&mut self, choice: usize) -> Option<Vec<u8>> {
        let ready: Vec<u16> = self
            .recorded
            .iter()
            .filter_map(|(id, released)| (!released).then_some(*id))
            .collect();
        let id = *ready.get(choice % ready.len().max(1))?;
        self.recorded.insert(id, true);
        Some(encode(&ack_with(
            PacketType::Pubrel,
            id,
            0,
            Properties::EMPTY,
        )))
    }

    /// PINGRESP if there was a PINGREQ.
    pub(crate) fn pong(&mut self) -> Option<Vec<u8>> {
        self.pings = self.pings.checked_sub(1)?;
        Some(encode(&Packet::Pingresp))
    }
}
