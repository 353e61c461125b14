//! The session beyond its process: what is recorded when, and what waits for it.

use super::{Entry, FAILED, Kept, Pending, Session};
use crate::client::{Op, delivery};
use crate::qos::{Exchange, Phase};
use crate::storage::{Body, Queue, Storage, Table};
use crate::{PacketId, PacketType, Persisted, QoS, Record, RecordToken};

/// How many records a publish may need after its first: published again, released, ended, its identifier in doubt.
const LATER_RECORDS: usize = 4;
/// The same for a received message: received, finished.
const RECEIVED_RECORDS: usize = 2;
/// The same for a connection: one when it begins, two when it is accepted or one when it is refused, one when its Session
/// Expiry Interval changes, one when it is lost. Where identifiers are cleared, and recorded one by one, none was needed for
/// Clean Start.
const CONNECTION_RECORDS: usize = 5;

impl<S: Storage> Session<S> {
    /// Adds a record, if there are records, and gives its number.
    pub(crate) fn record(&mut self, entry: Entry) -> u64 {
        if self.recording {
            self.journal.push(entry)
        } else {
            0
        }
    }

    /// Whether everything that may happen to what is kept can be recorded, and so many publishes more.
    pub(crate) fn has_record_room(&self, publishes: usize) -> bool {
        let received = self.receiver.capacity().min(usize::from(u16::MAX));
        let kept = self.sender.in_flight().saturating_add(publishes);
        let needed = kept
            .saturating_mul(LATER_RECORDS)
            .saturating_add(received.saturating_mul(RECEIVED_RECORDS))
            .saturating_add(CONNECTION_RECORDS)
            .saturating_add(publishes);
        !self.recording || self.journal.room() >= needed
    }

    /// Takes a publish over that leaves once it is recorded.
    pub(crate) fn enqueue(&mut self, id: PacketId, op: Op, message: Kept<S::Body>) {
        let record = self.record(Entry::Publish { op, id });
        self.queue(id, op, Kept { record, ..message });
    }

    /// The connection is accepted: the session that it belongs to is recorded before anything new is sent in it.
    pub(crate) fn record_session(&mut self, expiry_interval: u32) -> u64 {
        self.exists = expiry_interval > 0;
        self.unbegun = false;
        self.expiry_interval = expiry_interval;
        self.session_record = self.record(Entry::Session { expiry_interval });
        self.session_record
    }

    /// Our session may end without our knowing: it does for a restart. Gives the record that says so.
    pub(crate) fn doubt(&mut self) -> u64 {
        self.exists = false;
        self.record(Entry::Session { expiry_interval: 0 })
    }

    /// It has not ended, after all.
    pub(crate) fn settle_doubt(&mut self, exists: bool) {
        if exists && !self.exists {
            self.record_session(self.expiry_interval);
        }
    }

    /// Whether the record of this queued publish, and of its session, are durable.
    pub(crate) fn is_recorded(&self, message: &Kept<S::Body>) -> bool {
        self.journal.is_durable(message.record) && self.journal.is_durable(self.session_record)
    }

    fn queue(&mut self, id: PacketId, op: Op, message: Kept<S::Body>) {
        let length = message.length;
        let qos = message.qos;
        self.note_expiry(message.expires);
        // There is room, and the identifier is free: both were asked before.
        if self.sender.enqueue(id, op.number(), qos, message).is_ok() {
            self.queued = self.queued.saturating_add(1);
            self.queued_bytes = self.queued_bytes.saturating_add(length);
        }
    }

    /// A PUBLISH is sent again, or that of a queued exchange for the first time; it begins at `start` of the stream, and
    /// is written when `end` bytes are.
    pub(crate) fn note_publish(&mut self, id: PacketId, start: u64, end: u64) {
        if let Some(exchange) = self.sender.get(id).filter(|exchange| exchange.is_queued()) {
            let message = &exchange.body;
            self.queued = self.queued.saturating_sub(1);
            self.queued_bytes = self.queued_bytes.saturating_sub(message.length);
            let occupied = message.body.occupied();
            self.retained_bytes = self.retained_bytes.saturating_add(occupied);
        }
        self.sender.note_start(id, start);
        if let Some(exchange) = self.sender.get_mut(id) {
            // One that was written before stays so.
            exchange.body.end = exchange.body.end.min(end);
        }
    }

    pub(super) fn find_queued(&self, op: Op) -> Option<PacketId> {
        if self.queued == 0 {
            return None;
        }
        let mut exchanges = self.sender.iter();
        exchanges
            .find(|(_, exchange)| exchange.tag == op.number() && exchange.is_queued())
            .map(|(id, _)| id)
    }

    /// Counts again what is queued and what is retained.
    pub(super) fn recount(&mut self) {
        self.queued = 0;
        self.queued_bytes = 0;
        self.retained_bytes = 0;
        for (_, exchange) in self.sender.iter() {
            let message = &exchange.body;
            if exchange.is_queued() {
                let expires = message.expires;
                self.next_expiry = self.next_expiry.into_iter().chain(expires).min();
                self.queued = self.queued.saturating_add(1);
                self.queued_bytes = self.queued_bytes.saturating_add(message.length);
            } else {
                let occupied = message.body.occupied();
                self.retained_bytes = self.retained_bytes.saturating_add(occupied);
            }
        }
    }

    /// An exchange of a session that is lost becomes one of the next, behind all others; what was never sent keeps its
    /// identifier.
    pub(super) fn queue_as_new(&mut self, id: PacketId, exchange: Exchange<Kept<S::Body>>) {
        let op = Op(exchange.tag);
        let id = if exchange.is_queued() {
            id
        } else {
            // One was freed just before.
            self.allocate_publish_id().unwrap_or(id)
        };
        let record = self.record(Entry::Republished { op, id });
        let message = Kept {
            record,
            released: false,
            due: false,
            end: u64::MAX,
            was_sent: exchange.body.was_sent || !exchange.is_queued(),
            ..exchange.body
        };
        self.queue(id, op, message);
    }

    /// Takes out a publish whose record could not be written.
    pub(super) fn end_unrecorded(&mut self) -> Option<Op> {
        self.failed = self.failed.saturating_sub(1);
        let mut exchanges = self.sender.iter();
        let found = exchanges.find(|(_, exchange)| exchange.body.record == FAILED);
        let found = found.map(|(id, _)| id);
        drop(exchanges);
        let Some(exchange) = found.and_then(|id| self.sender.remove(id)) else {
            // Those that failed have ended otherwise.
            self.failed = 0;
            return None;
        };
        self.discount(&exchange);
        Some(Op(exchange.tag))
    }

    /// Records the end of an exchange, unless its beginning can still be taken back.
    pub(super) fn record_end(&mut self, id: PacketId, exchange: &Exchange<Kept<S::Body>>) {
        let message = &exchange.body;
        if self.recording && !(exchange.is_queued() && self.journal.take_back(message.record)) {
            let op = Op(exchange.tag);
            self.record(Entry::Ended { op, id });
        }
    }

    /// PUBREL is to be sent: whether it waits for a record, after which it is sent.
    pub(crate) fn awaits_record(&mut self, id: PacketId) -> bool {
        let Some(exchange) = self.sender.get_mut(id) else {
            return false;
        };
        let message = &mut exchange.body;
        message.due = self.recording && !self.journal.is_durable(message.record);
        message.due
    }

    /// PUBREC has arrived: whether PUBREL may be sent now, or as soon as that is recorded.
    pub(crate) fn record_release(&mut self, id: PacketId) -> bool {
        if !self.recording {
            return true;
        }
        let Some(exchange) = self.sender.get_mut(id) else {
            return true;
        };
        let message = &mut exchange.body;
        if message.released {
            return !self.awaits_record(id);
        }
        message.released = true;
        message.due = true;
        let op = Op(exchange.tag);
        let record = self.journal.push(Entry::Released { op, id });
        message.record = record;
        false
    }

    /// What became of records; false when the machine must stop.
    pub(crate) fn handle_persisted(&mut self, persisted: Persisted) -> bool {
        match self.journal.persisted(persisted) {
            None | Some(Entry::Void) => true,
            Some(Entry::Publish { op, .. }) => {
                self.fail(op);
                true
            }
            Some(_) => false,
        }
    }

    /// The record of a publish could not be written: it ends, if it has not yet.
    fn fail(&mut self, op: Op) {
        let Some(id) = self.find_queued(op) else {
            return;
        };
        if let Some(exchange) = self.sender.get_mut(id) {
            exchange.body.record = FAILED;
            self.failed = self.failed.saturating_add(1);
        }
    }

    /// The store has failed: everything ends, and nothing is recorded any more.
    pub(crate) fn stop(&mut self) {
        self.recording = false;
        let journal = &self.journal;
        self.sender.for_each_mut(|exchange| {
            // A restart may find it, and send it.
            exchange.handed |= journal.is_given(exchange.body.record);
        });
        self.recount();
        self.journal = self.journal.successor();
        self.abandon();
    }

    /// Whether there is anything that a restored session would replace.
    pub(crate) fn is_in_use(&self) -> bool {
        let empty = self.sender.in_flight() == 0 && self.pending.len() == 0;
        !empty || self.exists
    }

    /// Gives the next record that is to be written.
    pub(crate) fn poll_persist(&mut self) -> Option<(RecordToken, Record<'_>)> {
        let entry = loop {
            let (number, entry) = self.journal.next()?;
            if self.is_alive(entry) {
                break entry;
            }
            self.journal.void(number);
            self.journal.give();
        };
        let token = self.journal.give();
        self.describe(entry).map(|record| (token, record))
    }

    /// Whether what a record is about is still there.
    fn is_alive(&self, entry: Entry) -> bool {
        self.describe(entry).is_some()
    }

    fn describe(&self, entry: Entry) -> Option<Record<'_>> {
        let exchange = |id: PacketId, op: Op| {
            let exchange = self.sender.get(id)?;
            (exchange.tag == op.number() && exchange.body.record != FAILED).then_some(exchange)
        };
        Some(match entry {
            Entry::Session { expiry_interval } => Record::Session { expiry_interval },
            Entry::SessionLost => Record::SessionLost,
            Entry::Assumed { clear } => Record::Assumed { clear },
            Entry::Publish { op, id } => publish(id, exchange(id, op)?),
            // Its end is recorded under this identifier.
            Entry::Republished { op, id } => Record::Republished { op, id },
            Entry::Released { op, id } => Record::Released {
                op,
                id,
                reason: exchange(id, op)?.received,
            },
            Entry::Ended { op, id } => Record::Ended { op, id },
            Entry::InDoubt { id } => Record::InDoubt { id },
            Entry::Received { id } => Record::Received { id },
            Entry::Finished { id } => Record::Finished { id },
            Entry::Void => return None,
        })
    }

    /// A record is durable: the acknowledgement that it permits now, if the connection is the one that waits for it.
    pub(crate) fn permitted(
        &mut self,
        number: u64,
        entry: Entry,
    ) -> Option<(PacketType, PacketId)> {
        match entry {
            Entry::Released { id, .. } => {
                let exchange = self.sender.get_mut(id)?;
                let message = &mut exchange.body;
                let due = message.record == number && core::mem::take(&mut message.due);
                due.then_some((PacketType::Pubrel, id))
            }
            Entry::Received { id } | Entry::Finished { id } => {
                let packet = self.receiver.recorded(id, number)?;
                Some((packet, id))
            }
            _ => None,
        }
    }

    /// All of the session, as records.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let expiry_interval = if self.exists { self.expiry_interval } else { 0 };
        // What is kept before a session was begun was never sent.
        let lost = self.unbegun.then_some(Record::SessionLost);
        let assumed = self.cleared().map(|clear| Record::Assumed { clear });
        let first = self.doubted.front().map(|(id, ())| id);
        let doubted = core::iter::successors(first, |id| self.doubted.following(*id));
        let doubted = doubted.map(|id| Record::InDoubt { id });
        let inbound = self.receiver.unreleased().map(|id| Record::Received { id });
        let exchanges = self.sender.iter();
        let alive = exchanges.filter(|(_, exchange)| exchange.body.record != FAILED);
        let outbound = alive.skip(self.lost).flat_map(|(id, exchange)| {
            let released = (exchange.phase == Phase::AwaitPubcomp).then_some(Record::Released {
                op: Op(exchange.tag),
                id,
                reason: exchange.received,
            });
            [Some(publish(id, exchange)), released]
                .into_iter()
                .flatten()
        });
        let waiting = (0..self.pending.len())
            .filter_map(|index| self.pending.get(index))
            .filter(|pending| pending.message.qos != QoS::AtMostOnce)
            .map(waiting);
        core::iter::once(Record::Session { expiry_interval })
            .chain(lost)
            .chain(assumed)
            .chain(doubted)
            .chain(inbound)
            .chain(outbound)
            .chain(waiting)
    }
}

fn publish<B: Body>(id: PacketId, exchange: &Exchange<Kept<B>>) -> Record<'_> {
    let message = &exchange.body;
    Record::Publish {
        op: Op(exchange.tag),
        publish: message.body.publish(delivery(message.qos, id)),
        expires: message.expires,
        alias: message.alias,
        waiting: false,
    }
}

fn waiting<B: Body>(pending: &Pending<B>) -> Record<'_> {
    let message = &pending.message;
    Record::Publish {
        op: pending.op,
        publish: message.body.publish(delivery(message.qos, PacketId::FIRST)),
        expires: message.expires,
        alias: message.alias,
        waiting: true,
    }
}
