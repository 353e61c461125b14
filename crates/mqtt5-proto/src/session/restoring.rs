//! How records become a session again.

use super::{Kept, Pending, Session};
use crate::client::{NEVER_KEPT, Op, Outbound, Payload, Refused, SessionLoss, refuse_properties};
use crate::packet::Publish;
use crate::qos::Phase;
use crate::storage::{Body, Storage};
use crate::{Instant, Packet, PacketId, PacketType, ProtocolVersion, ReasonCode, Record};

/// Numbers of sessions, which mark publishes while they are restored, are above all numbers of records.
const MARK: u64 = 1 << 62;

/// A session that is made from records.
pub(crate) struct Restoring<S: Storage> {
    session: Session<S>,
    /// Counts sessions from [`MARK`] on in steps of two, and marks their publishes, those that are published again with one
    /// more; those of an earlier one than the last are lost.
    epoch: u64,
    /// The last operation of those that were restored.
    last: u64,
    /// What is clear, if the session was assumed.
    assumed: Option<u16>,
}

impl<S: Storage> Restoring<S> {
    /// Begins with nothing but what must not be used again: numbers of operations, of arrivals and of records.
    pub(crate) fn new(recording: bool, former: &Session<S>) -> Self {
        let mut session = Session::new(recording);
        session.last_op = former.last_op;
        session.journal = former.journal.successor();
        session.receiver = former.receiver.successor();
        Self {
            session,
            epoch: MARK,
            last: 0,
            assumed: None,
        }
    }

    /// Applies the next record.
    pub(crate) fn apply(&mut self, record: Record<'_>) -> Result<(), Refused> {
        let session = &mut self.session;
        match record {
            Record::Session { expiry_interval } => {
                session.exists = expiry_interval > 0;
                session.expiry_interval = expiry_interval;
                session.unbegun = false;
            }
            Record::SessionLost => {
                self.epoch = self.epoch.saturating_add(2);
                session.unbegun = true;
                session.doubted = S::Doubted::default();
                self.assumed = None;
                session.receiver.clear();
                session.exists = false;
            }
            Record::Assumed { clear } => self.assumed = Some(clear),
            Record::Publish {
                op,
                publish,
                expires,
                alias,
                waiting,
            } => self.publish(op, &publish, expires, alias, waiting)?,
            Record::Republished { op, id } => self.republish(op, id)?,
            Record::Released { op, id, reason } => {
                self.note(op);
                self.release(op, id, reason);
            }
            Record::Ended { op, id } => {
                self.note(op);
                if self.is(op, id) {
                    self.session.sender.remove(id);
                }
            }
            Record::InDoubt { id } => session.doubt_id(id),
            Record::Received { id } => session.receiver.restore(id).map_err(|_| Refused::Full)?,
            Record::Finished { id } => {
                session.receiver.release(id);
            }
        }
        Ok(())
    }

    fn note(&mut self, op: Op) {
        self.last = self.last.max(op.number());
    }

    fn is(&self, op: Op, id: PacketId) -> bool {
        let exchange = self.session.sender.get(id);
        exchange.is_some_and(|exchange| exchange.tag == op.number())
    }

    fn publish(
        &mut self,
        op: Op,
        publish: &Publish<'_>,
        expires: Option<Instant>,
        alias: bool,
        waiting: bool,
    ) -> Result<(), Refused> {
        if op.number() <= self.last {
            self.forget(op);
        }
        self.note(op);
        let qos = publish.delivery.qos();
        let (Some(id), Some(topic)) = (publish.delivery.packet_id(), publish.topic) else {
            return Err(Refused::InvalidRecord);
        };
        refuse_properties(&publish.properties, &NEVER_KEPT).map_err(|_| Refused::InvalidRecord)?;
        let length = Packet::Publish(*publish).encoded_len(ProtocolVersion::V5)?;
        let maximum = S::Body::CAPACITY;
        let message = Outbound {
            topic,
            qos,
            retain: publish.retain,
            properties: publish.properties,
            payload: Payload::Borrowed(publish.payload),
            alias,
        };
        let body = S::Body::retain(&message).ok_or(Refused::TooLarge { length, maximum })?;
        let message = Kept {
            qos,
            length,
            expires,
            alias,
            record: self.epoch,
            released: false,
            due: false,
            end: u64::MAX,
            was_sent: false,
            body,
        };
        let session = &mut self.session;
        if waiting {
            return session.take_waiting(op, message);
        }
        session.sender.remove(id);
        let kept = session.sender.restore(id, op.number(), qos, message);
        kept.map_err(|_| Refused::Full)
    }

    /// Whatever is known of this publish is written again.
    fn forget(&mut self, op: Op) {
        self.session.remove_pending(|pending| pending.op == op);
        let mut exchanges = self.session.sender.iter();
        let known = exchanges.find(|(_, exchange)| exchange.tag == op.number());
        let known = known.map(|(id, _)| id);
        drop(exchanges);
        known.map(|id| self.session.sender.remove(id));
    }

    fn republish(&mut self, op: Op, id: PacketId) -> Result<(), Refused> {
        let sender = &mut self.session.sender;
        let known = sender.iter().find(|(_, known)| known.tag == op.number());
        let Some(old) = known.map(|(id, _)| id) else {
            return Ok(());
        };
        let Some(exchange) = sender.remove(old) else {
            return Ok(());
        };
        sender.remove(id);
        let message = Kept {
            record: self.epoch.saturating_add(1),
            released: false,
            was_sent: true,
            ..exchange.body
        };
        let kept = sender.restore(id, op.number(), message.qos, message);
        kept.map_err(|_| Refused::Full)
    }

    fn release(&mut self, op: Op, id: PacketId, reason: ReasonCode) {
        if !self.is(op, id) {
            return;
        }
        let sender = &mut self.session.sender;
        let _ = sender.acknowledge(PacketType::Pubrec, id, reason);
        if let Some(exchange) = sender.get_mut(id) {
            exchange.body.released = exchange.phase == Phase::AwaitPubcomp;
        }
    }

    /// Settles what belonged to sessions that are lost.
    pub(crate) fn finish(self, policy: SessionLoss) -> Result<Session<S>, Refused> {
        let Self {
            mut session,
            epoch,
            last,
            assumed,
        } = self;
        session.last_op = session.last_op.max(last);
        if let Some(clear) = assumed {
            session.clear_from(clear, 0);
        }
        session.recount();
        if !session.has_record_room(session.pending()) {
            return Err(Refused::Full);
        }
        let unbegun = session.unbegun;
        if unbegun {
            session.unsend(epoch);
        }
        let dead = !session.exists && !unbegun;
        let received = session.receiver.unreleased().next().is_some();
        if dead && (received || session.sender.in_flight() > 0) {
            session.void();
        }
        session.settle(policy, |message| {
            // What was never sent goes behind what is published again, so that the order is kept.
            dead || message.record < epoch || (unbegun && message.record == epoch)
        });
        session.sender.for_each_mut(|exchange| {
            let record = &mut exchange.body.record;
            *record = if *record >= MARK { 0 } else { *record };
        });
        if session.recording {
            session.record_waiting()?;
        }
        session.recount();
        Ok(session)
    }
}

impl<S: Storage> Session<S> {
    /// In a session that was not begun nothing was sent.
    fn unsend(&mut self, epoch: u64) {
        self.sender
            .for_each_mut(|exchange| exchange.handed &= exchange.body.record < epoch);
        self.recount();
    }

    /// A publish of a snapshot that has no Packet Identifier.
    fn take_waiting(&mut self, op: Op, message: Kept<S::Body>) -> Result<(), Refused> {
        if !self.has_room() {
            return Err(Refused::Full);
        }
        let pending = Pending { op, message };
        self.push_pending(pending).map_err(|()| Refused::Full)
    }

    /// What waits without a Packet Identifier is recorded with one.
    fn record_waiting(&mut self) -> Result<(), Refused> {
        while let Some(Pending { op, message }) = self.pop_pending() {
            let id = self
                .allocate_publish_id()
                .ok_or(Refused::PacketIdsExhausted)?;
            self.enqueue(id, op, message);
        }
        Ok(())
    }
}
