//! The sender of PUBLISH.

use core::marker::PhantomData;

use crate::storage::Table;
use crate::{PacketId, PacketType, QoS, ReasonCode};

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// QoS 1: the PUBACK.
    AwaitPuback,
    /// QoS 2: the PUBREC.
    AwaitPubrec,
    /// QoS 2: the PUBCOMP, after PUBREL.
    AwaitPubcomp,
}

/// One publish that was sent and is not finished.
#[derive(Debug)]
pub struct Exchange<B> {
    /// What the owner calls it.
    pub tag: u64,
    /// What it waits for.
    pub phase: Phase,
    /// The reason of the PUBREC, once there was one.
    pub received: ReasonCode,
    /// What is needed to send it again.
    pub body: B,
}

/// What follows from an acknowledgement.
#[derive(Debug)]
pub enum SenderStep<B> {
    /// The exchange is over and its identifier free.
    Ended(Exchange<B>),
    /// PUBREL must be sent with this reason.
    SendPubrel(PacketId, ReasonCode),
    /// It belongs to no exchange; harmless.
    Ignored,
    /// It is not the acknowledgement that the exchange waits for.
    ProtocolError,
}

/// What an acknowledgement does to an exchange.
enum Transition {
    End,
    /// Send PUBREL and wait for PUBCOMP.
    Release,
    Wrong,
}

/// The transition table of section 4.3. PUBREC with an error ends the exchange without PUBREL [MQTT-4.4.0-2].
const fn transition(phase: Phase, packet: PacketType, refused: bool) -> Transition {
    match (phase, packet, refused) {
        (Phase::AwaitPuback, PacketType::Puback, _)
        | (Phase::AwaitPubrec, PacketType::Pubrec, true)
        | (Phase::AwaitPubcomp, PacketType::Pubcomp, _) => Transition::End,
        (Phase::AwaitPubrec | Phase::AwaitPubcomp, PacketType::Pubrec, false) => {
            Transition::Release
        }
        _ => Transition::Wrong,
    }
}

/// The exchanges in which this side sends PUBLISH: their identifiers, phases and bodies, in the order in which they
/// were begun.
#[derive(Debug)]
pub struct Sender<B, X> {
    exchanges: X,
    last_id: PacketId,
    body: PhantomData<B>,
}

impl<B, X: Table<Exchange<B>>> Default for Sender<B, X> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, X: Table<Exchange<B>>> Sender<B, X> {
    /// No exchange.
    pub fn new() -> Self {
        Self {
            exchanges: X::default(),
            last_id: PacketId::LAST,
            body: PhantomData,
        }
    }

    /// How many exchanges are not finished; each occupies one of the peer's Receive Maximum (4.9).
    pub fn in_flight(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether there is room for another exchange.
    pub fn has_room(&self) -> bool {
        self.exchanges.len() < self.exchanges.capacity()
    }

    /// The next free identifier, for an exchange or for something else of the owner; `None` when all 65,535 are taken.
    ///
    /// Goes round, so that an identifier stays unused as long as possible after its exchange. `taken` tells which ones
    /// the owner uses otherwise, `others` how many of them there are.
    pub fn allocate(
        &mut self,
        others: usize,
        taken: impl Fn(PacketId) -> bool,
    ) -> Option<PacketId> {
        if self.exchanges.len().saturating_add(others) >= usize::from(u16::MAX) {
            return None;
        }
        let mut id = self.last_id.next();
        while self.exchanges.get(id).is_some() || taken(id) {
            id = id.next();
        }
        self.last_id = id;
        Some(id)
    }

    /// Begins an exchange whose PUBLISH is about to be sent; nothing happens at QoS 0.
    ///
    /// # Errors
    ///
    /// Gives the body back when there is no room or `id` is taken.
    pub fn begin(&mut self, id: PacketId, tag: u64, qos: QoS, body: B) -> Result<(), B> {
        let phase = match qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => Phase::AwaitPuback,
            QoS::ExactlyOnce => Phase::AwaitPubrec,
        };
        let exchange = Exchange {
            tag,
            phase,
            received: ReasonCode::SUCCESS,
            body,
        };
        self.exchanges
            .insert(id, exchange)
            .map_err(|exchange| exchange.body)
    }

    /// Handles a PUBACK, PUBREC or PUBCOMP.
    ///
    /// A PUBREC for an unknown identifier is answered with PUBREL 0x92, unless it is a refusal; a PUBACK or PUBCOMP for
    /// one is ignored.
    pub fn acknowledge(
        &mut self,
        packet: PacketType,
        id: PacketId,
        reason: ReasonCode,
    ) -> SenderStep<B> {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return if packet == PacketType::Pubrec && !reason.is_error() {
                SenderStep::SendPubrel(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)
            } else {
                SenderStep::Ignored
            };
        };
        match transition(exchange.phase, packet, reason.is_error()) {
            Transition::End => match self.exchanges.remove(id) {
                Some(exchange) => SenderStep::Ended(exchange),
                None => SenderStep::Ignored,
            },
            Transition::Release => {
                exchange.phase = Phase::AwaitPubcomp;
                exchange.received = reason;
                SenderStep::SendPubrel(id, ReasonCode::SUCCESS)
            }
            Transition::Wrong => SenderStep::ProtocolError,
        }
    }

    /// The exchange with this identifier.
    pub fn get(&self, id: PacketId) -> Option<&Exchange<B>> {
        self.exchanges.get(id)
    }

    /// Takes the oldest exchange out, whatever it waits for.
    pub fn pop_front(&mut self) -> Option<(PacketId, Exchange<B>)> {
        self.exchanges.pop_front()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::HeapTable;

    type TestSender = Sender<(), HeapTable<Exchange<()>>>;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    #[test]
    fn every_acknowledgement_in_every_phase() {
        use PacketType::{Puback, Pubcomp, Pubrec};
        let refused = ReasonCode::NOT_AUTHORIZED;
        let success = ReasonCode::SUCCESS;
        for (qos, released, packet, reason, expected) in [
            (QoS::AtLeastOnce, false, Puback, success, "end"),
            (QoS::AtLeastOnce, false, Puback, refused, "end"),
            (QoS::AtLeastOnce, false, Pubrec, success, "wrong"),
            (QoS::AtLeastOnce, false, Pubcomp, success, "wrong"),
            (QoS::ExactlyOnce, false, Puback, success, "wrong"),
            (QoS::ExactlyOnce, false, Pubrec, success, "pubrel"),
            (QoS::ExactlyOnce, false, Pubrec, refused, "end"),
            (QoS::ExactlyOnce, false, Pubcomp, success, "wrong"),
            (QoS::ExactlyOnce, true, Puback, success, "wrong"),
            (QoS::ExactlyOnce, true, Pubrec, success, "pubrel"),
            (QoS::ExactlyOnce, true, Pubrec, refused, "wrong"),
            (QoS::ExactlyOnce, true, Pubcomp, success, "end"),
            (
                QoS::ExactlyOnce,
                true,
                Pubcomp,
                ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
                "end",
            ),
        ] {
            let mut sender = TestSender::new();
            sender.begin(id(7), 1, qos, ()).unwrap();
            if released {
                let _ = sender.acknowledge(Pubrec, id(7), success);
            }
            let step = match sender.acknowledge(packet, id(7), reason) {
                SenderStep::Ended(_) => "end",
                SenderStep::SendPubrel(_, ReasonCode::SUCCESS) => "pubrel",
                SenderStep::ProtocolError => "wrong",
                _ => "other",
            };
            assert_eq!(
                step, expected,
                "{qos:?} released {released} {packet} {reason}"
            );
            assert_eq!(sender.in_flight(), usize::from(expected != "end"));
        }
    }

    #[test]
    fn unknown_identifiers() {
        let mut sender = TestSender::new();
        let success = ReasonCode::SUCCESS;
        assert!(matches!(
            sender.acknowledge(PacketType::Pubrec, id(9), success),
            SenderStep::SendPubrel(_, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)
        ));
        for (packet, reason) in [
            (PacketType::Puback, success),
            (PacketType::Pubcomp, success),
            (PacketType::Pubrec, ReasonCode::QUOTA_EXCEEDED),
        ] {
            assert!(matches!(
                sender.acknowledge(packet, id(9), reason),
                SenderStep::Ignored
            ));
        }
    }

    #[test]
    fn identifiers_go_round_and_skip_what_is_taken() {
        let mut sender = TestSender::new();
        assert_eq!(sender.allocate(0, |_| false), Some(id(1)));
        assert_eq!(sender.allocate(1, |other| other == id(2)), Some(id(3)));
        for value in 4..=u16::MAX {
            sender.begin(id(value), 0, QoS::AtLeastOnce, ()).unwrap();
        }
        assert_eq!(sender.allocate(0, |_| false), Some(id(1)));
        assert_eq!(sender.allocate(0, |_| false), Some(id(2)));
        for value in 1..=3 {
            sender.begin(id(value), 0, QoS::AtLeastOnce, ()).unwrap();
        }
        assert_eq!(sender.allocate(0, |_| false), None);
        assert!(!sender.has_room());
    }
}
