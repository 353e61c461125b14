//! What the end of a connection, or of a session, ends.

use super::{Entry, FAILED, Kept, Loss, Pending, Session};
use crate::QoS;
use crate::client::{Op, SessionLoss};
use crate::planted::planted;
use crate::qos::{Exchange, Phase};
use crate::storage::{Queue, Storage, Table};

impl<S: Storage> Session<S> {
    /// The connection is gone, of whose stream the transport was given `taken` bytes; all connections together have sent
    /// `sent`.
    pub(crate) fn handle_closed(&mut self, taken: u64, sent: u64) {
        self.closed = true;
        self.receiver.handle_closed();
        if let Some(clearing) = &mut self.clearing {
            clearing.handle_closed();
        }
        if planted!(RepeatQos2) {
            self.receiver.clear();
        }
        while let Some(unsent) = self.unsent.pop_front() {
            if unsent.start >= taken {
                self.receiver.remember(unsent.answer);
            }
        }
        self.sender.handle_closed(taken);
        self.sender.for_each_mut(|exchange| {
            let message = &mut exchange.body;
            message.due = false;
            if message.end > sent {
                message.end = u64::MAX;
            }
        });
        // Where there are records, what the transport was never given is queued again, in its place.
        if !self.recording {
            let waiting = self.pending.len();
            while let Some(exchange) = self.sender.pop_unhanded() {
                self.send_as_new(exchange);
            }
            self.rotate_pending(waiting);
        }
        self.recount();
    }

    /// An exchange becomes a publish that waits, behind all others.
    fn send_as_new(&mut self, exchange: Exchange<Kept<S::Body>>) {
        let op = Op(exchange.tag);
        // There is room: `has_room` counts both kinds.
        let _ = self.push_pending(Pending {
            op,
            message: exchange.body,
        });
    }

    /// Moves the first `count` publishes that wait behind the others.
    fn rotate_pending(&mut self, count: usize) {
        self.examined = 0;
        for _ in 0..count {
            if let Some(pending) = self.pending.pop_front() {
                let _ = self.pending.push_back(pending);
            }
        }
    }

    /// The session is gone: what the other side knew of it is void. QoS 1 and, if asked for, QoS 2 publishes that it
    /// has not acknowledged are sent again as new ones, in their order; [`poll_loss`](Self::poll_loss) gives the rest.
    pub(crate) fn lose(&mut self, policy: SessionLoss) {
        self.void();
        while planted!(LoseQueuedAtLoss) && self.pop_pending().is_some() {}
        self.settle(policy, |_| true);
    }

    /// Nothing is left that the other side knows of.
    pub(super) fn void(&mut self) {
        if self.exists || !self.unbegun {
            self.record(Entry::SessionLost);
        }
        self.exists = false;
        self.unbegun = true;
        self.receiver.clear();
        self.doubted = S::Doubted::default();
        self.clearing = None;
    }

    /// Settles the exchanges of a session that is lost.
    pub(super) fn settle(&mut self, policy: SessionLoss, is_lost: impl Fn(&Kept<S::Body>) -> bool) {
        self.lost = 0;
        let waiting = self.pending.len();
        let mut left = self.sender.in_flight();
        let mut next = self.sender.front();
        while let Some(id) = next.filter(|_| left > 0) {
            left = left.saturating_sub(1);
            next = self.sender.following(id);
            let Some(exchange) = self.sender.get(id) else {
                return;
            };
            if exchange.body.record == FAILED || !is_lost(&exchange.body) {
                continue;
            }
            let again = exchange.is_queued()
                || match exchange.phase {
                    Phase::AwaitPuback => policy.republish_qos1,
                    Phase::AwaitPubrec => policy.republish_qos2 || planted!(RepublishUnasked),
                    Phase::AwaitPubcomp => false,
                };
            let Some(mut exchange) = again.then(|| self.sender.remove(id)).flatten() else {
                self.lost = self.lost.saturating_add(1);
                continue;
            };
            self.discount(&exchange);
            if self.recording {
                self.queue_as_new(id, exchange);
            } else {
                exchange.body.was_sent |= !exchange.is_queued();
                self.send_as_new(exchange);
            }
        }
        self.rotate_pending(waiting);
    }

    /// Everything ends, also what waits.
    pub(crate) fn abandon(&mut self) {
        self.void();
        self.closed = true;
        self.abandoned = true;
        self.lost = self.sender.in_flight();
    }

    /// Whether operations that ended are still to be reported.
    pub(crate) const fn has_losses(&self) -> bool {
        self.closed || self.lost > 0 || self.failed > 0
    }

    /// The next operation that ended with the connection or the session.
    pub(crate) fn poll_loss(&mut self) -> Option<(Op, Loss)> {
        if self.closed {
            if let Some(op) = self.reauthentication.take() {
                return Some((op, Loss::ConnectionLost));
            }
            if let Some((_, request)) = self.requests.pop_front() {
                return Some((request.op, Loss::ConnectionLost));
            }
        }
        if self.failed > 0 {
            if let Some(op) = self.end_unrecorded() {
                return Some((op, Loss::NotStored));
            }
        }
        while let Some(lost) = self.lost.checked_sub(1) {
            self.lost = lost;
            // Those that could not be recorded were told above.
            let Some((id, exchange)) = self.sender.pop_front() else {
                continue;
            };
            self.release(id, &exchange);
            let loss = if exchange.is_queued() {
                exchange.body.loss(Loss::NotSent)
            } else {
                Loss::Unknown
            };
            return Some((Op(exchange.tag), loss));
        }
        if self.closed {
            let all = self.abandoned;
            let dropped = |pending: &Pending<_>| all || pending.message.qos == QoS::AtMostOnce;
            if let Some(Pending { op, message }) = self.remove_pending(dropped) {
                return Some((op, message.loss(Loss::NotSent)));
            }
        }
        self.closed = false;
        self.abandoned = false;
        None
    }
}
