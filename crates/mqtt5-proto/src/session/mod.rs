//! What survives a lost connection: exchanges, what waits to be encoded, and what was received and is not finished.

use core::time::Duration;

use crate::client::{Op, Refused, SessionLoss};
use crate::qos::{Answer, Exchange, Phase, Receiver, Sender};
use crate::storage::{Body, Queue, Storage, Table};
use crate::{Instant, PacketId, PacketType, QoS};

/// A publish of which a copy is kept.
#[derive(Debug)]
pub(crate) struct Kept<B> {
    pub(crate) qos: QoS,
    /// Its length as a packet, in bytes.
    pub(crate) length: usize,
    /// When its Message Expiry Interval ends.
    pub(crate) expires: Option<Instant>,
    /// It asks for a Topic Alias.
    pub(crate) alias: bool,
    pub(crate) body: B,
}

impl<B: Body> Kept<B> {
    /// Sets the Message Expiry Interval to what is left of it, at least one second; false when nothing is left
    /// (3.3.2.3.3).
    pub(crate) fn age(&mut self, now: Instant) -> bool {
        let Some(expires) = self.expires else {
            return true;
        };
        let left = expires.saturating_duration_since(now);
        let started = Duration::from_secs(1).saturating_sub(Duration::from_micros(1));
        let seconds = left.saturating_add(started).as_secs().max(1);
        self.body
            .set_message_expiry(u32::try_from(seconds).unwrap_or(u32::MAX));
        !left.is_zero()
    }
}

/// A publish that was accepted and is not encoded.
#[derive(Debug)]
pub(crate) struct Pending<B> {
    pub(crate) op: Op,
    pub(crate) message: Kept<B>,
}

/// What a SUBSCRIBE or UNSUBSCRIBE waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Subscribe,
    Unsubscribe,
}

/// A SUBSCRIBE or UNSUBSCRIBE without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) op: Op,
    pub(crate) kind: RequestKind,
    /// How many reason codes the answer must have.
    pub(crate) filters: usize,
}

/// An acknowledgement of which the transport was perhaps given nothing.
#[derive(Debug)]
pub(crate) struct Unsent {
    answer: Answer,
    /// Where in the stream of the current connection it begins; beyond its end when it could not be encoded.
    start: u64,
}

/// How an operation ended without an answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Its PUBLISH was sent and the exchange is open.
    Unknown,
    /// It was never encoded.
    NotSent,
    /// Its SUBSCRIBE or UNSUBSCRIBE was sent.
    ConnectionLost,
    /// It expired before it was encoded.
    Expired,
    /// The server that it is to be sent to now has announced a limit that rules it out.
    LimitExceeded(Refused),
}

pub(crate) struct Session<S: Storage> {
    pub(crate) sender: Sender<Kept<S::Body>, S::Exchanges>,
    pub(crate) receiver: Receiver<S::Inbound>,
    /// Acknowledgements that end their exchange, the oldest first; those at the front may have left.
    unsent: S::Answers,
    pub(crate) requests: S::Requests,
    /// The authentication that is under way on an established connection.
    pub(crate) reauthentication: Option<Op>,
    /// Identifiers of QoS 2 exchanges that were given up although the server may wait for their PUBREL: it would take
    /// another message under one of them for the same [MQTT-4.3.3-10]. Where there is no room for more, the oldest gives way.
    doubted: S::Doubted,
    pending: S::Pending,
    /// Sum of the lengths in `pending`, in bytes.
    pending_bytes: usize,
    /// No Message Expiry Interval in `pending` ends before this.
    next_expiry: Option<Instant>,
    /// Something may rule out what waits, so that it is to be looked through.
    examining: bool,
    /// So many at the front of `pending` were looked at.
    examined: usize,
    /// From which exchange on those that are to be sent again are still to be looked at.
    unexamined: Option<PacketId>,
    /// Sum of the bodies in `sender`, in bytes.
    retained_bytes: usize,
    last_op: u64,
    /// The server keeps a session for us, as far as we know.
    pub(crate) exists: bool,
    /// So many of the oldest exchanges are lost and still to be reported.
    lost: usize,
    /// The connection is gone; what ended with it is still to be reported.
    closed: bool,
    /// Everything ends.
    abandoned: bool,
}

impl<S: Storage> Session<S> {
    pub(crate) fn new() -> Self {
        Self {
            sender: Sender::new(),
            receiver: Receiver::new(),
            unsent: S::Answers::default(),
            requests: S::Requests::default(),
            reauthentication: None,
            doubted: S::Doubted::default(),
            pending: S::Pending::default(),
            pending_bytes: 0,
            next_expiry: None,
            examining: false,
            examined: 0,
            unexamined: None,
            retained_bytes: 0,
            last_op: 0,
            exists: false,
            lost: 0,
            closed: false,
            abandoned: false,
        }
    }

    pub(crate) fn next_op(&mut self) -> Op {
        self.last_op = self.last_op.wrapping_add(1);
        Op(self.last_op)
    }

    /// A free identifier; client packets of all types share one range [MQTT-2.2.1-3].
    pub(crate) fn allocate_id(&mut self) -> Option<PacketId> {
        let (requests, doubted) = (&self.requests, &self.doubted);
        let others = requests.len().saturating_add(doubted.len());
        self.sender.allocate(others, |id| {
            requests.get(id).is_some() || doubted.get(id).is_some()
        })
    }

    /// Whether one more publish can be kept, in whatever state.
    pub(crate) fn has_room(&self) -> bool {
        let kept = self.pending.len().saturating_add(self.sender.in_flight());
        kept < self.pending.capacity()
    }

    /// Whether one more of those that wait can become an exchange.
    pub(crate) fn has_room_in_flight(&self) -> bool {
        self.sender.has_room()
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether this publish waits.
    pub(crate) fn is_pending(&self, op: Op) -> bool {
        self.pending.any(|pending| pending.op == op)
    }

    pub(crate) const fn pending_bytes(&self) -> usize {
        self.pending_bytes
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
        self.pending.push_back(pending).map_err(drop)?;
        self.pending_bytes = self.pending_bytes.saturating_add(length);
        self.next_expiry = self.next_expiry.into_iter().chain(expires).min();
        Ok(())
    }

    pub(crate) fn pop_pending(&mut self) -> Option<Pending<S::Body>> {
        let pending = self.pending.pop_front()?;
        self.note_removed(&pending);
        Some(pending)
    }

    fn remove_pending(&mut self, matches: impl Fn(&Pending<S::Body>) -> bool) -> Option<Op> {
        let pending = self.pending.remove_first(matches)?;
        self.note_removed(&pending);
        Some(pending.op)
    }

    /// Takes note of one that waits no more.
    fn note_removed(&mut self, pending: &Pending<S::Body>) {
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.message.length);
        self.examined = 0;
        if self.pending.len() == 0 {
            self.next_expiry = None;
        }
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

    /// Takes out the next publish that waits and for which `ends` holds, if what waits is to be looked through.
    pub(crate) fn poll_pending(
        &mut self,
        ends: impl Fn(&Kept<S::Body>) -> bool,
    ) -> Option<Pending<S::Body>> {
        if !self.examining {
            return None;
        }
        let ends = |pending: &Pending<S::Body>| ends(&pending.message);
        if let Some((place, pending)) = self.pending.remove_from(self.examined, ends) {
            self.note_removed(&pending);
            self.examined = place;
            return Some(pending);
        }
        self.examining = false;
        let expiries = self.pending.iter().filter_map(|p| p.message.expires);
        self.next_expiry = expiries.min();
        None
    }

    /// Ends the next exchange that is to be sent again, waits for PUBACK or PUBREC, and for which `ends` holds, if those
    /// are to be looked through.
    pub(crate) fn poll_exchange<E>(
        &mut self,
        check: impl Fn(&Kept<S::Body>) -> Result<(), E>,
    ) -> Option<(Op, E)> {
        while let Some(id) = self.unexamined {
            self.unexamined = self.sender.following(id);
            let exchange = self.sender.get(id)?;
            if exchange.phase == Phase::AwaitPubcomp {
                continue;
            }
            if let Err(error) = check(&exchange.body) {
                return self.give_up(id).map(|op| (op, error));
            }
        }
        None
    }

    /// Ends an exchange that the server may know of.
    fn give_up(&mut self, id: PacketId) -> Option<Op> {
        let exchange = self.sender.remove(id)?;
        self.release(&exchange);
        if exchange.phase == Phase::AwaitPubrec {
            if self.doubted.len() >= self.doubted.capacity() {
                self.doubted.pop_front();
            }
            let _ = self.doubted.insert(id, ());
        }
        Some(Op(exchange.tag))
    }

    /// The server has said that it knows of no exchange with this identifier.
    pub(crate) fn note_finished(&mut self, id: PacketId) {
        self.doubted.remove(id);
    }

    /// Takes a publish back that waits.
    pub(crate) fn withdraw(&mut self, op: Op) -> bool {
        self.remove_pending(|pending| pending.op == op).is_some()
    }

    /// Takes note of an exchange whose PUBLISH begins at `start` of the stream.
    pub(crate) fn begin(&mut self, id: PacketId, op: Op, message: Kept<S::Body>, start: u64) {
        let occupied = message.body.occupied();
        // There is room, and the identifier is free: both were asked before.
        if self
            .sender
            .begin(id, op.number(), message.qos, message)
            .is_ok()
        {
            self.retained_bytes = self.retained_bytes.saturating_add(occupied);
            self.sender.note_start(id, start);
        }
    }

    /// Takes note of the end of an exchange.
    pub(crate) fn release(&mut self, exchange: &Exchange<Kept<S::Body>>) {
        let occupied = exchange.body.body.occupied();
        self.retained_bytes = self.retained_bytes.saturating_sub(occupied);
    }

    /// Takes note of an acknowledgement that begins at `start` of a stream of which the transport was given `taken`
    /// bytes.
    pub(crate) fn note_answer(&mut self, answer: Answer, start: u64, taken: u64) {
        let left = |unsent: &Unsent| unsent.start < taken;
        while self.unsent.front().is_some_and(left) {
            self.unsent.pop_front();
        }
        // An exchange that goes on after its PUBREC knows of it until PUBREL.
        if answer.packet == PacketType::Pubrec && !answer.reason.is_error() {
            return;
        }
        if self.unsent.len() >= self.unsent.capacity() {
            self.unsent.pop_front();
        }
        let _ = self.unsent.push_back(Unsent { answer, start });
    }

    /// The connection is gone, of whose stream the transport was given `taken` bytes.
    pub(crate) fn handle_closed(&mut self, taken: u64) {
        self.closed = true;
        self.receiver.handle_closed();
        while let Some(unsent) = self.unsent.pop_front() {
            if unsent.start >= taken {
                self.receiver.remember(unsent.answer);
            }
        }
        self.sender.handle_closed(taken);
        let waiting = self.pending.len();
        while let Some(exchange) = self.sender.pop_unhanded() {
            self.send_as_new(exchange);
        }
        self.rotate_pending(waiting);
    }

    /// An exchange becomes a publish that waits, behind all others.
    fn send_as_new(&mut self, exchange: Exchange<Kept<S::Body>>) {
        self.release(&exchange);
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
        self.exists = false;
        self.receiver.clear();
        self.doubted = S::Doubted::default();
        let waiting = self.pending.len();
        let mut next = self.sender.front();
        while let Some(id) = next {
            next = self.sender.following(id);
            let again = self
                .sender
                .get(id)
                .is_some_and(|exchange| match exchange.phase {
                    Phase::AwaitPuback => policy.republish_qos1,
                    Phase::AwaitPubrec => policy.republish_qos2,
                    Phase::AwaitPubcomp => false,
                });
            if let Some(exchange) = again.then(|| self.sender.remove(id)).flatten() {
                self.send_as_new(exchange);
            }
        }
        self.rotate_pending(waiting);
        self.lost = self.sender.in_flight();
    }

    /// Everything ends, also what waits.
    pub(crate) fn abandon(&mut self) {
        self.exists = false;
        self.receiver.clear();
        self.doubted = S::Doubted::default();
        self.closed = true;
        self.abandoned = true;
        self.lost = self.sender.in_flight();
    }

    /// Whether operations that ended are still to be reported.
    pub(crate) const fn has_losses(&self) -> bool {
        self.closed || self.lost > 0
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
        if let Some(lost) = self.lost.checked_sub(1) {
            self.lost = lost;
            let (_, exchange) = self.sender.pop_front()?;
            self.release(&exchange);
            return Some((Op(exchange.tag), Loss::Unknown));
        }
        if self.closed {
            let all = self.abandoned;
            let dropped = |pending: &Pending<_>| all || pending.message.qos == QoS::AtMostOnce;
            if let Some(op) = self.remove_pending(dropped) {
                return Some((op, Loss::NotSent));
            }
        }
        self.closed = false;
        self.abandoned = false;
        None
    }
}
