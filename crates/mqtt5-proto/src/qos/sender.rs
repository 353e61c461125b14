//! The sender of PUBLISH.

use core::marker::PhantomData;

use super::exchange::{Exchange, Phase, SenderStep, Transition, transition};
use crate::planted::planted;
use crate::storage::Table;
use crate::{PacketId, PacketType, QoS, ReasonCode};

/// The exchanges in which this side sends PUBLISH: their identifiers, phases and bodies, in the order in which they
/// were begun.
#[derive(Debug)]
pub struct Sender<B, X> {
    /// Those that wait for PUBCOMP are moved behind the others when their PUBREC arrives, so that both kinds stand in
    /// the order in which they are to be sent again [MQTT-4.6.0-1], [MQTT-4.6.0-4].
    exchanges: X,
    last_id: PacketId,
    /// Where to look for the next PUBLISH to send again.
    publishes: Option<PacketId>,
    /// Where to look for the next PUBREL to send again.
    releases: Option<PacketId>,
    /// How many exchanges whose PUBLISH was sent on the current connection are not finished.
    sent_here: usize,
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
            publishes: None,
            releases: None,
            sent_here: 0,
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
        self.insert(id, tag, qos, body, false, false)
    }

    /// Begins an exchange whose PUBLISH is to be sent later: [`next_publish`](Self::next_publish) gives it after all
    /// that are before it.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn enqueue(&mut self, id: PacketId, tag: u64, qos: QoS, body: B) -> Result<(), B> {
        self.insert(id, tag, qos, body, true, false)?;
        self.publishes = self.publishes.or(Some(id));
        Ok(())
    }

    /// Goes on with an exchange of an earlier process, whose PUBLISH may have been sent.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn restore(&mut self, id: PacketId, tag: u64, qos: QoS, body: B) -> Result<(), B> {
        self.insert(id, tag, qos, body, false, true)?;
        self.last_id = id;
        Ok(())
    }

    fn insert(
        &mut self,
        id: PacketId,
        tag: u64,
        qos: QoS,
        body: B,
        resend: bool,
        handed: bool,
    ) -> Result<(), B> {
        let phase = match qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => Phase::AwaitPuback,
            QoS::ExactlyOnce => Phase::AwaitPubrec,
        };
        let exchange = Exchange {
            tag,
            phase,
            received: ReasonCode::SUCCESS,
            handed,
            start: None,
            resend,
            here: false,
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
        let Some(exchange) = self.exchanges.get(id) else {
            return SenderStep::unknown(packet, id, reason);
        };
        match transition(exchange.phase, packet, reason.is_error()) {
            Transition::End => match self.remove(id) {
                Some(exchange) => SenderStep::Ended(exchange),
                None => SenderStep::Ignored,
            },
            Transition::Release => {
                self.release(id, reason);
                SenderStep::SendPubrel(id, ReasonCode::SUCCESS)
            }
            Transition::Wrong => SenderStep::ProtocolError,
        }
    }

    /// PUBREC has arrived: PUBREL is sent with this, and the exchange takes its place in the order of PUBRECs.
    fn release(&mut self, id: PacketId, reason: ReasonCode) {
        self.skip(id);
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        if exchange.phase == Phase::AwaitPubrec {
            exchange.phase = Phase::AwaitPubcomp;
            exchange.received = reason;
            if !planted!(PubrecOrder) {
                self.exchanges.move_to_back(id);
            }
        }
    }

    /// Ends an exchange, whatever it waits for; its identifier is free.
    pub fn remove(&mut self, id: PacketId) -> Option<Exchange<B>> {
        self.skip(id);
        let exchange = self.exchanges.remove(id)?;
        self.sent_here = self.sent_here.saturating_sub(usize::from(exchange.here));
        Some(exchange)
    }

    /// Takes an exchange out of those that are to be sent again.
    fn skip(&mut self, id: PacketId) {
        let following = self.exchanges.following(id);
        for cursor in [&mut self.publishes, &mut self.releases] {
            if *cursor == Some(id) {
                *cursor = following;
            }
        }
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.resend = false;
        }
    }

    /// Notes where in the stream of the current connection the PUBLISH of an exchange begins.
    pub fn note_start(&mut self, id: PacketId, start: u64) {
        self.skip(id);
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.start = Some(start);
            if !core::mem::replace(&mut exchange.here, true) {
                self.sent_here = self.sent_here.saturating_add(1);
            }
        }
    }

    /// Notes that the PUBREL of an exchange was sent again.
    pub fn note_released(&mut self, id: PacketId) {
        self.skip(id);
    }

    /// The connection is gone, of whose stream the transport was given `taken` bytes.
    ///
    /// [`pop_unhanded`](Self::pop_unhanded) gives the exchanges of which it was given nothing: to the other side they
    /// never existed.
    pub fn handle_closed(&mut self, taken: u64) {
        self.sent_here = 0;
        self.releases = None;
        self.publishes = self.front();
        self.for_each_mut(|exchange| {
            exchange.resend = false;
            exchange.here = false;
            exchange.handed |= exchange.start.take().is_some_and(|start| start < taken);
        });
    }

    /// After [`handle_closed`](Self::handle_closed): takes out the next exchange, in the original order, of which the
    /// transport was never given anything.
    pub fn pop_unhanded(&mut self) -> Option<Exchange<B>> {
        self.publishes = self.first_from(self.publishes, |exchange| !exchange.handed);
        self.remove(self.publishes?)
    }

    /// The session goes on with a new connection: everything is to be sent again [MQTT-4.4.0-1].
    pub fn resume(&mut self) {
        if let Some(first) = self.front().filter(|_| planted!(ResendOutOfOrder)) {
            self.exchanges.move_to_back(first);
        }
        self.publishes = self.front();
        self.releases = self.publishes;
        self.for_each_mut(|exchange| exchange.resend = true);
    }

    /// The first exchange of this kind, from this one on.
    fn first_from(
        &self,
        from: Option<PacketId>,
        matches: impl Fn(&Exchange<B>) -> bool,
    ) -> Option<PacketId> {
        let mut next = from;
        while let Some(id) = next {
            if self.exchanges.get(id).is_some_and(&matches) {
                break;
            }
            next = self.exchanges.following(id);
        }
        next
    }

    /// The next PUBLISH to send again. It stays the next until [`note_start`](Self::note_start) or
    /// [`remove`](Self::remove).
    pub fn next_publish(&mut self) -> Option<(PacketId, &mut Exchange<B>)> {
        self.publishes = self.first_from(self.publishes, |exchange| {
            exchange.resend && exchange.phase != Phase::AwaitPubcomp
        });
        let id = self.publishes?;
        self.exchanges.get_mut(id).map(|exchange| (id, exchange))
    }

    /// The next PUBREL to send again; no Receive Maximum holds it up. It stays the next until
    /// [`note_released`](Self::note_released) or [`remove`](Self::remove).
    pub fn next_release(&mut self) -> Option<PacketId> {
        self.releases = self.first_from(self.releases, |exchange| {
            exchange.resend && exchange.phase == Phase::AwaitPubcomp
        });
        self.releases
    }

    /// How many PUBLISHes were sent on the current connection and are not finished; those of QoS 2 are when PUBCOMP
    /// arrives (4.9).
    pub fn sent_here(&self) -> usize {
        self.sent_here
    }

    /// Whether something is to be sent again before anything new.
    pub fn is_resuming(&mut self) -> bool {
        self.next_release().is_some() || self.next_publish().is_some()
    }

    /// The exchange with this identifier.
    pub fn get(&self, id: PacketId) -> Option<&Exchange<B>> {
        self.exchanges.get(id)
    }

    /// The exchange with this identifier, to change.
    pub fn get_mut(&mut self, id: PacketId) -> Option<&mut Exchange<B>> {
        self.exchanges.get_mut(id)
    }

    /// The exchanges in their order.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, &Exchange<B>)> {
        core::iter::successors(self.front(), |id| self.exchanges.following(*id))
            .filter_map(|id| self.exchanges.get(id).map(|exchange| (id, exchange)))
    }

    /// Changes the exchanges in their order.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(&mut Exchange<B>)) {
        let mut next = self.front();
        while let Some(id) = next {
            next = self.exchanges.following(id);
            if let Some(exchange) = self.exchanges.get_mut(id) {
                change(exchange);
            }
        }
    }

    /// The identifier of the oldest exchange.
    pub fn front(&self) -> Option<PacketId> {
        self.exchanges.front().map(|(id, _)| id)
    }

    /// The identifier of the exchange after that of `id`.
    pub fn following(&self, id: PacketId) -> Option<PacketId> {
        self.exchanges.following(id)
    }

    /// Takes the oldest exchange out, whatever it waits for.
    pub fn pop_front(&mut self) -> Option<(PacketId, Exchange<B>)> {
        let (id, _) = self.exchanges.front()?;
        self.remove(id).map(|exchange| (id, exchange))
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
