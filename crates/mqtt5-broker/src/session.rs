//! What outlives a network connection: the Session State of the server (4.1).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use mqtt5_proto::qos::{Exchange, Held, Phase, Receiver, Sender, SenderStep};
use mqtt5_proto::storage::HeapTable;
use mqtt5_proto::{Instant, PacketId, PacketType, QoS, ReasonCode};

use crate::message::{Delivery, WillMessage};
use crate::timers::ConnectionSlot;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Arc<str>,
    pub(crate) connection: Option<ConnectionSlot>,
    /// The Session Expiry Interval in seconds.
    pub(crate) expiry: u32,
    /// The filters of its subscriptions, shared ones in full.
    pub(crate) subscriptions: BTreeSet<Arc<str>>,
    /// Messages that were sent to the client and not completely acknowledged.
    pub(crate) sender: Sender<Delivery, HeapTable<Exchange<Delivery>>>,
    /// QoS 2 messages that were received from the client and not completely acknowledged.
    pub(crate) receiver: Receiver<HeapTable<Held>>,
    /// Messages that wait for their turn to be sent.
    pub(crate) queue: VecDeque<Delivery>,
    /// How many of them are QoS 0: retained messages that a slow client is to get, and what must not overtake them.
    pub(crate) queued_at_most_once: usize,
    /// Bytes of the messages in `queue` and `sender`.
    pub(crate) waiting_bytes: usize,
    pub(crate) will: Option<WillMessage>,
    /// When the Will Delay Interval ends.
    pub(crate) will_at: Option<Instant>,
    /// When the session ends, unless the client comes back.
    pub(crate) ends_at: Option<Instant>,
}

impl Session {
    pub(crate) fn new(client_id: Arc<str>) -> Self {
        Self {
            client_id,
            connection: None,
            expiry: 0,
            subscriptions: BTreeSet::new(),
            sender: Sender::new(),
            receiver: Receiver::new(),
            queue: VecDeque::new(),
            queued_at_most_once: 0,
            waiting_bytes: 0,
            will: None,
            will_at: None,
            ends_at: None,
        }
    }

    /// Messages that the client has not completely acknowledged, and those that were not sent yet.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.sender.in_flight()
    }

    /// The connection is gone; what it left unfinished is kept for the next one.
    pub(crate) fn detach(&mut self) {
        self.connection = None;
        // Whatever was encoded may have arrived, so that it is sent again with DUP 1.
        self.sender.handle_closed(u64::MAX);
        self.receiver.handle_closed();
    }

    /// The message of an exchange whose PUBLISH was not answered.
    pub(crate) fn unanswered(&self, id: PacketId) -> Option<&Delivery> {
        let exchange = self.sender.get(id)?;
        (exchange.phase != Phase::AwaitPubcomp).then_some(&exchange.body)
    }

    /// Ends an exchange as if the client had refused the message.
    pub(crate) fn give_up(&mut self, id: PacketId) {
        let Some(delivery) = self.unanswered(id) else {
            return;
        };
        let answer = match delivery.qos {
            QoS::ExactlyOnce => PacketType::Pubrec,
            _ => PacketType::Puback,
        };
        let step = self
            .sender
            .acknowledge(answer, id, ReasonCode::UNSPECIFIED_ERROR);
        if let SenderStep::Ended(exchange) = step {
            self.waiting_bytes -= exchange.body.message.size();
        }
    }

    /// Appends a message to the queue; false when it has no room.
    pub(crate) fn enqueue(&mut self, delivery: Delivery, bounds: Bounds) -> bool {
        let size = delivery.message.size();
        let has_room =
            self.waiting() < bounds.messages && self.waiting_bytes + size <= bounds.bytes;
        if has_room {
            self.waiting_bytes += size;
            self.queued_at_most_once += usize::from(delivery.qos == QoS::AtMostOnce);
            self.queue.push_back(delivery);
        }
        has_room
    }
}

/// How much may wait in one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}
