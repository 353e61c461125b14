//! What survives a lost connection: exchanges, what waits to be encoded, and what was received and is not finished.

use core::time::Duration;

use crate::client::{Op, Refused, SessionLoss};
use crate::qos::{Exchange, Phase, Receiver, Sender};
use crate::storage::{Body, Queue, Storage, Table};
use crate::{Instant, PacketId, QoS};

/// Stands for a Client Identifier of any length: two sessions are told apart by it, nothing is looked up with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientKey(u64);

impl ClientKey {
    /// FNV-1a of 64 bits.
    pub(crate) fn new(client_id: &str) -> Self {
        let mix =
            |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        Self(client_id.bytes().fold(0xCBF2_9CE4_8422_2325, mix))
    }
}

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
    pub(crate) requests: S::Requests,
    /// The authentication that is under way on an established connection.
    pub(crate) reauthentication: Option<Op>,
    pending: S::Pending,
    /// Sum of the lengths in `pending`, in bytes.
    pending_bytes: usize,
    /// Sum of the bodies in `sender`, in bytes.
    retained_bytes: usize,
    last_op: u64,
    /// The server keeps a session for us, as far as we know.
    pub(crate) exists: bool,
    /// The Client Identifier of `exists`; `None` is not known.
    client: Option<ClientKey>,
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
            requests: S::Requests::default(),
            reauthentication: None,
            pending: S::Pending::default(),
            pending_bytes: 0,
            retained_bytes: 0,
            last_op: 0,
            exists: false,
            client: None,
            lost: 0,
            closed: false,
            abandoned: false,
        }
    }

    /// Whether the server keeps a session under this Client Identifier, as far as we know [MQTT-3.1.3-2].
    pub(crate) fn exists_for(&self, client: ClientKey) -> bool {
        self.exists && self.client.is_none_or(|known| known == client)
    }

    /// The server has a session under this Client Identifier.
    pub(crate) const fn belongs_to(&mut self, client: ClientKey) {
        self.client = Some(client);
    }

    pub(crate) fn next_op(&mut self) -> Op {
        self.last_op = self.last_op.wrapping_add(1);
        Op(self.last_op)
    }

    /// A free identifier; client packets of all types share one range [MQTT-2.2.1-3].
    pub(crate) fn allocate_id(&mut self) -> Option<PacketId> {
        let requests = &self.requests;
        self.sender
            .allocate(requests.len(), |id| requests.get(id).is_some())
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
        let length = pending.message.length;
        self.pending.push_back(pending).map_err(drop)?;
        self.pending_bytes = self.pending_bytes.saturating_add(length);
        Ok(())
    }

    pub(crate) fn pop_pending(&mut self) -> Option<Pending<S::Body>> {
        let pending = self.pending.pop_front()?;
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.message.length);
        Some(pending)
    }

    fn remove_pending(&mut self, matches: impl Fn(&Pending<S::Body>) -> bool) -> Option<Op> {
        let pending = self.pending.remove_first(matches)?;
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.message.length);
        Some(pending.op)
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

    /// The connection is gone, of whose stream the transport was given `taken` bytes.
    pub(crate) fn handle_closed(&mut self, taken: u64) {
        self.closed = true;
        self.receiver.handle_closed();
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
