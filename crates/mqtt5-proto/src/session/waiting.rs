//! Publishes that wait to be encoded, and what rules them out.

use super::{Entry, Kept, Loss, Pending, Session};
use crate::client::{Op, Progress};
use crate::qos::Phase;
use crate::storage::{Queue, Storage, Table};
use crate::{Instant, PacketId};

impl<S: Storage> Session<S> {
    pub(crate) fn pending(&self) -> usize {
        self.pending.len().saturating_add(self.queued)
    }

    /// Whether a publish waits that has no Packet Identifier.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending.len() > 0
    }

    /// Whether a publish without a Packet Identifier waits that was accepted before this one.
    pub(crate) fn has_pending_before(&self, op: Op) -> bool {
        self.pending.front().is_some_and(|pending| pending.op < op)
    }

    /// Whether this publish waits.
    pub(crate) fn is_pending(&self, op: Op) -> bool {
        self.pending.any(|pending| pending.op == op) || self.find_queued(op).is_some()
    }

    /// How far this publish has come, when so many bytes are sent.
    pub(crate) fn progress(&self, op: Op, sent: u64) -> Option<Progress> {
        let mut exchanges = self.sender.iter();
        let found = exchanges.find(|(_, exchange)| exchange.tag == op.number());
        let Some((_, exchange)) = found else {
            let waits = self.pending.any(|pending| pending.op == op);
            return waits.then_some(Progress::Pending);
        };
        Some(match exchange.phase {
            Phase::AwaitPubcomp => Progress::Received,
            _ if exchange.is_queued() => Progress::Pending,
            _ if exchange.body.end <= sent => Progress::Written,
            _ => Progress::Encoded,
        })
    }

    pub(crate) const fn pending_bytes(&self) -> usize {
        self.pending_bytes.saturating_add(self.queued_bytes)
    }

    /// How many QoS 1 and 2 publishes were encoded and are not finished.
    pub(crate) fn in_flight(&self) -> usize {
        self.sender.in_flight().saturating_sub(self.queued)
    }

    pub(crate) const fn retained_bytes(&self) -> usize {
        self.retained_bytes
    }

    pub(crate) fn next_pending(&self) -> Option<&Pending<S::Body>> {
        self.pending.front()
    }

    /// Lets a publish wait; gives it back when there is no room.
    pub(crate) fn push_pending(&mut self, pending: Pending<S::Body>) -> Result<(), ()> {
        let (length, expires) = (pending.message.length, pending.message.expires);
        let ids = pending.ids();
        self.pending.push_back(pending).map_err(drop)?;
        self.pending_ids = self.pending_ids.saturating_add(ids);
        self.pending_bytes = self.pending_bytes.saturating_add(length);
        self.note_expiry(expires);
        Ok(())
    }

    pub(crate) fn pop_pending(&mut self) -> Option<Pending<S::Body>> {
        let pending = self.pending.pop_front()?;
        self.note_removed(&pending);
        Some(pending)
    }

    pub(super) fn remove_pending(
        &mut self,
        matches: impl Fn(&Pending<S::Body>) -> bool,
    ) -> Option<Pending<S::Body>> {
        let pending = self.pending.remove_first(matches)?;
        self.note_removed(&pending);
        Some(pending)
    }

    /// Takes note of one that waits no more.
    fn note_removed(&mut self, pending: &Pending<S::Body>) {
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.message.length);
        self.pending_ids = self.pending_ids.saturating_sub(pending.ids());
        self.examined = 0;
        if self.pending() == 0 {
            self.next_expiry = None;
        }
    }

    /// One that may expire waits.
    pub(super) fn note_expiry(&mut self, expires: Option<Instant>) {
        self.next_expiry = self.next_expiry.into_iter().chain(expires).min();
    }

    /// When the first Message Expiry Interval of what waits ends, or earlier.
    pub(crate) const fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// A Message Expiry Interval has ended: everything that waits is to be looked through.
    pub(crate) fn handle_expiry(&mut self) {
        self.next_expiry = None;
        self.examining = true;
        self.examined = 0;
        if self.queued > 0 {
            self.unexamined = self.sender.front();
        }
    }

    /// A server has announced its limits: everything that waits or is to be sent again is to be looked through.
    pub(crate) fn handle_limits(&mut self) {
        self.examining = true;
        self.examined = 0;
        self.unexamined = self.sender.front();
    }

    /// Whether something is to be looked through.
    pub(crate) const fn is_examining(&self) -> bool {
        self.examining || self.unexamined.is_some()
    }

    /// Takes out the next publish that waits and that `check` ends, if what waits is to be looked through.
    pub(crate) fn poll_pending(
        &mut self,
        check: impl Fn(&Kept<S::Body>) -> Result<(), Loss>,
    ) -> Option<(Op, Loss)> {
        if !self.examining {
            return None;
        }
        let ends = |pending: &Pending<S::Body>| check(&pending.message).is_err();
        if let Some((place, pending)) = self.pending.remove_from(self.examined, ends) {
            self.note_removed(&pending);
            self.examined = place;
            let loss = check(&pending.message).err()?;
            return Some((pending.op, pending.message.loss(loss)));
        }
        self.examining = false;
        let queued = self
            .sender
            .iter()
            .filter(|(_, exchange)| exchange.is_queued());
        let queued = queued.filter_map(|(_, exchange)| exchange.body.expires);
        let pending = self.pending.iter().filter_map(|p| p.message.expires);
        self.next_expiry = pending.chain(queued).min();
        None
    }

    /// Ends the next exchange that waits for PUBACK or PUBREC and that `check` ends, if exchanges are to be looked
    /// through; it is told whether the exchange waits to be encoded at all.
    pub(crate) fn poll_exchange(
        &mut self,
        check: impl Fn(&Kept<S::Body>, bool) -> Result<(), Loss>,
    ) -> Option<(Op, Loss)> {
        while let Some(id) = self.unexamined {
            let Some(exchange) = self.sender.get(id) else {
                // It has ended meanwhile.
                self.unexamined = self.sender.front();
                continue;
            };
            self.unexamined = self.sender.following(id);
            if exchange.phase == Phase::AwaitPubcomp {
                continue;
            }
            if let Err(loss) = check(&exchange.body, exchange.is_queued()) {
                let loss = exchange.body.loss(loss);
                return self.give_up(id).map(|op| (op, loss));
            }
        }
        None
    }

    /// Ends an exchange that the server may know of, unless it was never sent.
    fn give_up(&mut self, id: PacketId) -> Option<Op> {
        let exchange = self.sender.remove(id)?;
        self.release(id, &exchange);
        if exchange.phase == Phase::AwaitPubrec && !exchange.is_queued() {
            self.doubt_id(id);
            self.record(Entry::InDoubt { id });
        }
        Some(Op(exchange.tag))
    }

    /// The server may know of an exchange with this identifier.
    pub(super) fn doubt_id(&mut self, id: PacketId) {
        if self.doubted.len() >= self.doubted.capacity() {
            self.doubted.pop_front();
        }
        let _ = self.doubted.insert(id, ());
    }

    /// The server has said that it knows of no exchange with this identifier.
    pub(crate) fn note_finished(&mut self, id: PacketId) {
        self.doubted.remove(id);
    }

    /// Takes a publish back that waits, and that no session has seen.
    pub(crate) fn withdraw(&mut self, op: Op) -> bool {
        match self.find_queued(op) {
            Some(id) => {
                let exchange = self.sender.get(id);
                exchange.is_some_and(|exchange| !exchange.body.was_sent) && self.end(id).is_some()
            }
            None => {
                let is_it = |pending: &Pending<_>| pending.op == op && !pending.message.was_sent;
                self.remove_pending(is_it).is_some()
            }
        }
    }
}
