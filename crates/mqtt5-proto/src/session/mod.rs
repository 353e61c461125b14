//! What survives a lost connection: exchanges, requests and what waits to be encoded.

use crate::PacketId;
use crate::QoS;
use crate::client::Op;
use crate::qos::{Receiver, Sender};
use crate::storage::{Body, Queue, Storage, Table};

/// A publish that was accepted and is not encoded.
#[derive(Debug)]
pub(crate) struct Pending<B> {
    pub(crate) op: Op,
    pub(crate) qos: QoS,
    /// Its length as a packet, in bytes.
    pub(crate) length: usize,
    pub(crate) body: B,
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
}

pub(crate) struct Session<S: Storage> {
    pub(crate) sender: Sender<S::Body, S::Exchanges>,
    pub(crate) receiver: Receiver<S::Inbound>,
    pub(crate) requests: S::Requests,
    pending: S::Pending,
    /// Sum of the lengths in `pending`, in bytes.
    pending_bytes: usize,
    /// Sum of the bodies in `sender`, in bytes.
    pub(crate) retained_bytes: usize,
    last_op: u64,
    /// The session is over; its operations are still to be reported.
    ended: bool,
}

impl<S: Storage> Session<S> {
    pub(crate) fn new() -> Self {
        Self {
            sender: Sender::new(),
            receiver: Receiver::new(),
            requests: S::Requests::default(),
            pending: S::Pending::default(),
            pending_bytes: 0,
            retained_bytes: 0,
            last_op: 0,
            ended: false,
        }
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

    pub(crate) fn next_pending(&self) -> Option<&Pending<S::Body>> {
        self.pending.front()
    }

    /// Lets a publish wait; gives it back when there is no room.
    pub(crate) fn push_pending(&mut self, pending: Pending<S::Body>) -> Result<(), ()> {
        let length = pending.length;
        self.pending.push_back(pending).map_err(drop)?;
        self.pending_bytes = self.pending_bytes.saturating_add(length);
        Ok(())
    }

    pub(crate) fn pop_pending(&mut self) -> Option<Pending<S::Body>> {
        let pending = self.pending.pop_front()?;
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.length);
        Some(pending)
    }

    /// Takes a publish back that waits.
    pub(crate) fn withdraw(&mut self, op: Op) -> bool {
        let Some(pending) = self.pending.remove_first(|pending| pending.op == op) else {
            return false;
        };
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.length);
        true
    }

    /// The session is over: what the peer knew of it is void, and [`poll_loss`](Self::poll_loss) gives what is lost.
    pub(crate) fn end(&mut self) {
        self.receiver.clear();
        self.ended = true;
    }

    /// Whether operations of a session that is over are still to be reported.
    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next operation that ended with the session.
    pub(crate) fn poll_loss(&mut self) -> Option<(Op, Loss)> {
        if !self.ended {
            return None;
        }
        if let Some((_, request)) = self.requests.pop_front() {
            return Some((request.op, Loss::ConnectionLost));
        }
        if let Some((_, exchange)) = self.sender.pop_front() {
            self.retained_bytes = self.retained_bytes.saturating_sub(exchange.body.occupied());
            return Some((Op(exchange.tag), Loss::Unknown));
        }
        if let Some(pending) = self.pop_pending() {
            return Some((pending.op, Loss::NotSent));
        }
        self.ended = false;
        None
    }
}
