//! A server that now and then sends more than the machine's Receive Maximum allows.

use std::collections::BTreeMap;

use mqtt5_proto::{
    AckToken, Config, Decoding, DisconnectCause, FixedHeader, Packet, QoS, ReasonCode,
    RejectReason, Role, State, Violation,
};

use super::bed::{Bed, WINDOW};
use super::face::Face;
use super::packets::{publish, pubrel};
use super::told::Told;

/// One thing that happens. Choices are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// The server sends a message, of QoS 2 or 1.
    Send(bool),
    /// The application acknowledges, or refuses.
    Answer(usize, bool),
    /// The server sends PUBREL.
    Release(usize),
    /// So many bytes are written.
    Write(usize),
}

/// An exchange, as far as the server knows.
#[derive(Debug)]
struct Open {
    token: AckToken,
    qos: QoS,
    answer: Option<bool>,
    recorded: bool,
    released: bool,
}

impl Open {
    /// Whether nobody could say that it is finished.
    fn is_open(&self) -> bool {
        match self.answer {
            None => true,
            Some(accepted) => accepted && self.qos == QoS::ExactlyOnce && !self.released,
        }
    }
}

pub(crate) struct Window<F> {
    bed: Bed<F>,
    open: BTreeMap<u16, Open>,
    last: u16,
    buffer: Vec<u8>,
    left: Option<ReasonCode>,
}

impl<F: Face> Window<F> {
    pub(crate) fn new() -> Self {
        Self {
            bed: Bed::keeping_with(Config::default()),
            open: BTreeMap::new(),
            last: 0,
            buffer: Vec::new(),
            left: None,
        }
    }

    /// Messages within the Receive Maximum are handed over, the first beyond ends the connection [MQTT-3.3.4-9].
    pub(crate) fn run(mut self, moves: &[Move]) {
        for one in moves {
            match one {
                Move::Send(exactly_once) => {
                    if !self.send(*exactly_once) {
                        return;
                    }
                }
                Move::Answer(n, accept) => self.answer(*n, *accept),
                Move::Release(n) => self.release(*n),
                Move::Write(count) => self.write(*count),
            }
            assert_eq!(self.bed.events(), []);
            assert_eq!(self.bed.client.state(), State::Connected);
        }
    }

    /// False when that ends the connection.
    fn send(&mut self, exactly_once: bool) -> bool {
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(exactly_once)];
        self.last += 1;
        let maximum = usize::from(WINDOW);
        let allowed = self.open.len() < maximum;
        let open = self.open.values().filter(|open| open.is_open()).count();
        let events = self.bed.tell(&publish(qos, self.last, "m"));
        match &events[..] {
            [Told::Message { token, .. }] => {
                assert!(open < maximum, "one more than {open}");
                let open = Open {
                    token: token.unwrap(),
                    qos,
                    answer: None,
                    recorded: false,
                    released: false,
                };
                self.open.insert(self.last, open);
                true
            }
            [] => {
                assert!(!allowed, "only {} are open", self.open.len());
                self.end();
                false
            }
            other => panic!("{other:?}"),
        }
    }

    /// The connection ends with DISCONNECT 0x93.
    fn end(&mut self) {
        assert_eq!(self.bed.client.state(), State::Closing);
        self.write(usize::MAX);
        assert_eq!(self.left, Some(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
        self.bed.client.handle_closed(self.bed.now);
        let cause = DisconnectCause::Violation(Violation::ReceiveMaximumExceeded);
        let expected = Told::Disconnected(cause, "[]".into());
        assert_eq!(self.bed.events(), [expected]);
    }

    fn answer(&mut self, n: usize, accept: bool) {
        let mut waiting = self.open.values_mut().filter(|open| open.answer.is_none());
        let Some(open) = waiting.nth(n % usize::from(WINDOW)) else {
            return;
        };
        open.answer = Some(accept);
        if accept {
            self.bed.client.ack(self.bed.now, open.token);
        } else {
            let reason = RejectReason::QuotaExceeded;
            self.bed.client.reject(self.bed.now, open.token, reason);
        }
    }

    fn release(&mut self, n: usize) {
        let mut recorded = self.open.iter_mut().filter(|(_, open)| open.recorded);
        if let Some((id, open)) = recorded.nth(n % usize::from(WINDOW)) {
            open.released = true;
            self.bed.feed(&pubrel(*id));
        }
    }

    fn write(&mut self, count: usize) {
        let sent = self.bed.client.transmit(self.bed.now, count);
        self.buffer.extend_from_slice(&sent);
        let decoding = Decoding::new(Role::Client);
        let buffer = core::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        while let Some(header) = FixedHeader::parse(rest, &decoding).unwrap() {
            let Some((frame, after)) = rest.split_at_checked(header.total_len()) else {
                break;
            };
            self.see(&Packet::decode(frame, &decoding).unwrap());
            rest = after;
        }
        self.buffer = rest.to_vec();
    }

    fn see(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Puback(packet) | Packet::Pubcomp(packet) => {
                let known = self.open.remove(&packet.packet_id.value());
                assert!(known.is_some() || packet.reason.is_error(), "{packet:?}");
            }
            Packet::Pubrec(packet) => {
                let id = packet.packet_id.value();
                if packet.reason.is_error() {
                    self.open.remove(&id).unwrap();
                } else {
                    self.open.get_mut(&id).unwrap().recorded = true;
                }
            }
            Packet::Disconnect(packet) => self.left = Some(packet.reason),
            other => panic!("{other:?}"),
        }
    }
}
