//! The receiver of PUBLISH.

use super::{Answer, Arrival, Held, Release};
use crate::planted::planted;
use crate::storage::Table;
use crate::{PacketId, PacketType, QoS, ReasonCode};

/// The exchanges in which this side receives PUBLISH.
///
/// Acknowledgements leave in the order of arrival, PUBACKs among QoS 1 and PUBRECs among QoS 2, whatever the order in
/// which they are given [MQTT-4.6.0-2], [MQTT-4.6.0-3].
#[derive(Debug, Default)]
pub struct Receiver<T> {
    /// QoS 1, before PUBACK.
    at_least_once: T,
    /// QoS 2, before PUBREC.
    exactly_once: T,
    /// QoS 2, after PUBREC and before PUBREL.
    released: T,
    /// QoS 2, after PUBREL, whose PUBCOMP waits for a record. They are no more than there is room for: new ones can only
    /// come when the records of the former ones are durable.
    finishing: T,
    /// How many of the last two were received on an earlier connection; they take nothing of our Receive Maximum.
    carried: usize,
    /// Received on an earlier connection and not acknowledged there: wait for their redelivery.
    parked: T,
    /// How many PUBRECs are due and wait for their records.
    recording: usize,
    arrivals: u64,
}

impl<T: Table<Held>> Receiver<T> {
    /// No exchange.
    pub fn new() -> Self {
        Self {
            at_least_once: T::default(),
            exactly_once: T::default(),
            released: T::default(),
            finishing: T::default(),
            carried: 0,
            parked: T::default(),
            recording: 0,
            arrivals: 0,
        }
    }

    /// How many exchanges that began on this connection are not finished; each occupies one of our Receive Maximum
    /// (4.9).
    pub fn held(&self) -> usize {
        let all = self.tracked().saturating_add(self.finishing.len());
        all.saturating_sub(self.carried)
    }

    fn tracked(&self) -> usize {
        [&self.at_least_once, &self.exactly_once, &self.released]
            .into_iter()
            .map(T::len)
            .fold(0, usize::saturating_add)
    }

    /// How many exchanges there can be.
    pub fn capacity(&self) -> usize {
        self.at_least_once.capacity()
    }

    /// Handles a PUBLISH of QoS 1 or 2, of which at most `maximum` may be unfinished.
    ///
    /// Decides by the identifier alone whether it is a repetition; DUP says nothing reliable (3.3.1.1). Only for a QoS 1
    /// message that was received on an earlier connection DUP tells its redelivery from a new message.
    pub fn publish(&mut self, id: PacketId, qos: QoS, dup: bool, maximum: usize) -> Arrival {
        let (same, other) = match qos {
            QoS::AtMostOnce => return Arrival::New(0),
            QoS::AtLeastOnce => (&self.at_least_once, &self.exactly_once),
            QoS::ExactlyOnce => (&self.exactly_once, &self.at_least_once),
        };
        if same.get(id).is_some() {
            return Arrival::Repeated;
        }
        let abandoned = |held: &Held| qos == QoS::AtLeastOnce && !held.here && held.record == 0;
        if self.released.get(id).is_some_and(abandoned) {
            // The other side has lost the session without our knowing: it has given up what it began on an earlier connection.
            self.released.remove(id);
            self.carried = self.carried.saturating_sub(1);
        }
        let released = self.released.get(id).is_some();
        if released && qos == QoS::ExactlyOnce {
            return Arrival::AnswerAgain;
        }
        if released || other.get(id).is_some() || self.finishing.get(id).is_some() {
            return Arrival::IdInUse;
        }
        if self.held() >= maximum {
            return Arrival::TooMany;
        }
        let parked = self.parked.remove(id);
        let kept = self.tracked().saturating_add(self.parked.len());
        // Redeliveries come first. What a new message finds parked beyond the room there is has been given up by the peer.
        if kept >= self.capacity() && self.parked.pop_front().is_none() {
            return Arrival::TooMany;
        }
        let redelivered = parked.filter(|held| held.qos == qos && (dup || qos == QoS::ExactlyOnce));
        let (held, arrival) = match redelivered {
            Some(held) => (Held { here: true, ..held }, Arrival::Repeated),
            None => {
                self.arrivals = self.arrivals.wrapping_add(1);
                (Held::new(self.arrivals, qos), Arrival::New(self.arrivals))
            }
        };
        match self.table(qos).insert(id, held) {
            Ok(()) => arrival,
            Err(_) => Arrival::TooMany,
        }
    }

    fn table(&mut self, qos: QoS) -> &mut T {
        match qos {
            QoS::ExactlyOnce => &mut self.exactly_once,
            _ => &mut self.at_least_once,
        }
    }

    /// Decides the acknowledgement of the message that arrived under this number; false when that is decided already,
    /// or the message belongs to the past.
    pub fn acknowledge(
        &mut self,
        id: PacketId,
        qos: QoS,
        arrival: u64,
        reason: ReasonCode,
    ) -> bool {
        let here = self.table(qos).get(id);
        let here = here.is_some_and(|held| held.arrival == arrival);
        let table = if here {
            self.table(qos)
        } else {
            &mut self.parked
        };
        match table.get_mut(id) {
            Some(held) if held.arrival == arrival && held.answer.is_none() => {
                held.answer = Some(reason);
                true
            }
            _ => false,
        }
    }

    /// The next acknowledgement to send, which counts as sent with this.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        if let Some((id, reason)) = pop_answered(&mut self.at_least_once) {
            return Some(Answer {
                packet: PacketType::Puback,
                id,
                reason,
            });
        }
        let (_, held) = self.exactly_once.front()?;
        if self.recording > 0 && held.answer?.is_error() {
            // A refusal has no record, and must not overtake those that wait for theirs.
            return None;
        }
        let (id, reason) = pop_answered(&mut self.exactly_once)?;
        if !reason.is_error() {
            // There is room: the tables are of one capacity and `publish` bounds their sum.
            let held = Held::new(0, QoS::ExactlyOnce);
            let _ = self.released.insert(id, held);
        }
        Some(Answer {
            packet: PacketType::Pubrec,
            id,
            reason,
        })
    }

    /// Handles a PUBREL: the exchange is over; gives the reason for PUBCOMP, 0x92 when there was no such exchange.
    pub fn release(&mut self, id: PacketId) -> ReasonCode {
        match self.released.remove(id) {
            Some(held) => {
                self.carried = self.carried.saturating_sub(usize::from(!held.here));
                ReasonCode::SUCCESS
            }
            None => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        }
    }

    /// The answer to this exchange, PUBREC or after PUBREL PUBCOMP, waits for a record.
    pub fn await_record(&mut self, id: PacketId, record: u64) {
        if let Some(held) = self.finishing.get_mut(id) {
            held.record = record;
            held.due = true;
        } else if let Some(held) = self.released.get_mut(id) {
            held.record = record;
            held.due = true;
            self.recording = self.recording.saturating_add(1);
        }
    }

    /// PUBREC is to be sent again: whether at once, or as soon as its record is durable.
    pub fn may_answer_again(&mut self, id: PacketId) -> bool {
        let Some(held) = self.released.get_mut(id).filter(|held| held.record > 0) else {
            return true;
        };
        if !core::mem::replace(&mut held.due, true) {
            self.recording = self.recording.saturating_add(1);
        }
        false
    }

    /// Handles a PUBREL where answers wait for records.
    pub fn begin_release(&mut self, id: PacketId) -> Release {
        if let Some(held) = self.finishing.get_mut(id) {
            held.due = true;
            return Release::Recording;
        }
        if self.released.get(id).is_none_or(|held| held.record > 0) {
            return Release::Unknown;
        }
        if let Some(held) = self.released.remove(id) {
            let _ = self.finishing.insert(id, held);
        }
        Release::Record
    }

    /// A record is durable: gives the answer that waited for it, if there is one to send on this connection.
    pub fn recorded(&mut self, id: PacketId, record: u64) -> Option<PacketType> {
        let waits = |held: &&Held| held.record == record;
        if self.finishing.get(id).filter(waits).is_some() {
            let held = self.finishing.remove(id)?;
            self.carried = self.carried.saturating_sub(usize::from(!held.here));
            return held.due.then_some(PacketType::Pubcomp);
        }
        let held = self.released.get_mut(id).filter(|held| waits(&&**held))?;
        held.record = 0;
        let due = core::mem::take(&mut held.due);
        self.recording = self.recording.saturating_sub(usize::from(due));
        due.then_some(PacketType::Pubrec)
    }

    /// A QoS 2 message of an earlier process was acknowledged by its application and PUBREL has not arrived.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn restore(&mut self, id: PacketId) -> Result<(), PacketId> {
        let held = Held {
            here: false,
            ..Held::new(0, QoS::ExactlyOnce)
        };
        if self.released.get(id).is_none() {
            self.released.insert(id, held).map_err(|_| id)?;
            self.carried = self.carried.saturating_add(1);
        }
        Ok(())
    }

    /// Whether PUBREC may have been sent for this one and PUBREL has not arrived.
    pub(crate) fn is_unreleased(&self, id: PacketId) -> bool {
        self.released.get(id).is_some()
    }

    /// Those of which PUBREC may have been sent and PUBREL has not arrived.
    pub fn unreleased(&self) -> impl Iterator<Item = PacketId> {
        let first = self.released.front().map(|(id, _)| id);
        core::iter::successors(first, |id| self.released.following(*id))
    }

    /// The connection is gone and the session lives: what is not acknowledged waits for its redelivery, and an
    /// acknowledgement that is given meanwhile waits with it.
    pub fn handle_closed(&mut self) {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            while let Some((id, held)) = self.table(qos).pop_front() {
                let held = Held {
                    here: false,
                    ..held
                };
                // The identifiers of both tables and of those parked before are distinct, and an older one gives way.
                self.parked.remove(id);
                let _ = self.parked.insert(id, held);
            }
        }
        for table in [&mut self.released, &mut self.finishing] {
            let mut next = table.front().map(|(id, _)| id);
            while let Some(id) = next {
                next = table.following(id);
                if let Some(held) = table.get_mut(id) {
                    held.here = false;
                    held.due = false;
                }
            }
        }
        self.recording = 0;
        self.carried = self.released.len().saturating_add(self.finishing.len());
    }

    /// After [`handle_closed`](Self::handle_closed): an acknowledgement that [`poll_answer`](Self::poll_answer) gave never
    /// left. It waits for the redelivery of its message, which is not handed over again.
    pub fn remember(&mut self, answer: Answer) {
        let qos = match answer.packet {
            PacketType::Pubrec => QoS::ExactlyOnce,
            _ => QoS::AtLeastOnce,
        };
        let held = Held {
            answer: Some(answer.reason),
            here: false,
            ..Held::new(0, qos)
        };
        // Where there is no room, or the identifier has carried another message since, its redelivery is handed over.
        let _ = self.parked.insert(answer.id, held);
    }

    /// A message that was handed over will not be acknowledged: its redelivery is to be handed over as a new message.
    pub fn forget(&mut self, id: PacketId, arrival: u64) -> bool {
        let parked = self
            .parked
            .get(id)
            .is_some_and(|held| held.arrival == arrival);
        parked && self.parked.remove(id).is_some()
    }

    /// Forgets all exchanges. Numbers of arrivals are not used again.
    pub fn clear(&mut self) {
        *self = self.successor();
    }

    /// One without exchanges that does not use the numbers of arrivals of this one again.
    pub fn successor(&self) -> Self {
        Self {
            arrivals: self.arrivals,
            ..Self::new()
        }
    }
}

fn pop_answered<T: Table<Held>>(table: &mut T) -> Option<(PacketId, ReasonCode)> {
    let (mut id, mut held) = table.front()?;
    while planted!(AckOutOfOrder) && held.answer.is_none() {
        id = table.following(id)?;
        held = table.get(id)?;
    }
    let reason = held.answer?;
    table.remove(id);
    Some((id, reason))
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::HeapTable;
    use std::vec::Vec;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    fn receiver() -> Receiver<HeapTable<Held>> {
        Receiver::new()
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_arrival() {
        let mut receiver = receiver();
        let mut arrivals = Vec::new();
        for value in 1..=6 {
            let qos = if value % 2 == 0 {
                QoS::ExactlyOnce
            } else {
                QoS::AtLeastOnce
            };
            let Arrival::New(arrival) = receiver.publish(id(value), qos, false, 10) else {
                panic!("not new");
            };
            arrivals.push((value, qos, arrival));
        }
        let mut sent = Vec::new();
        for (value, qos, arrival) in arrivals.into_iter().rev() {
            assert!(receiver.acknowledge(id(value), qos, arrival, ReasonCode::SUCCESS));
            assert!(!receiver.acknowledge(id(value), qos, arrival, ReasonCode::SUCCESS));
            sent.extend(core::iter::from_fn(|| receiver.poll_answer()).map(|a| a.id.value()));
        }
        assert_eq!(sent, [2, 4, 6, 1, 3, 5]);
        assert_eq!(receiver.held(), 3);
    }

    #[test]
    fn exactly_once_by_identifier_until_pubrel() {
        let mut receiver = receiver();
        let Arrival::New(arrival) = receiver.publish(id(5), QoS::ExactlyOnce, false, 2) else {
            panic!("not new");
        };
        assert_eq!(
            receiver.publish(id(5), QoS::ExactlyOnce, false, 2),
            Arrival::Repeated
        );
        assert_eq!(
            receiver.publish(id(5), QoS::AtLeastOnce, false, 2),
            Arrival::IdInUse
        );
        receiver.acknowledge(id(5), QoS::ExactlyOnce, arrival, ReasonCode::SUCCESS);
        assert!(receiver.poll_answer().is_some());
        assert_eq!(
            receiver.publish(id(5), QoS::ExactlyOnce, false, 2),
            Arrival::AnswerAgain
        );
        assert_eq!(
            receiver.publish(id(5), QoS::AtLeastOnce, false, 2),
            Arrival::IdInUse
        );
        assert_eq!(receiver.release(id(5)), ReasonCode::SUCCESS);
        assert_eq!(
            receiver.release(id(5)),
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        );
        assert!(matches!(
            receiver.publish(id(5), QoS::ExactlyOnce, false, 2),
            Arrival::New(next) if next != arrival
        ));
    }

    #[test]
    fn a_refused_exchange_is_over_at_once() {
        let mut receiver = receiver();
        let Arrival::New(arrival) = receiver.publish(id(1), QoS::ExactlyOnce, false, 1) else {
            panic!("not new");
        };
        assert_eq!(
            receiver.publish(id(2), QoS::AtLeastOnce, false, 1),
            Arrival::TooMany
        );
        receiver.acknowledge(id(1), QoS::ExactlyOnce, arrival, ReasonCode::QUOTA_EXCEEDED);
        assert!(receiver.poll_answer().is_some());
        assert_eq!(receiver.held(), 0);
        assert!(matches!(
            receiver.publish(id(1), QoS::ExactlyOnce, false, 1),
            Arrival::New(_)
        ));
    }
}
