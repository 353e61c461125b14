//! What survives a lost connection: exchanges, what waits to be encoded, and what was received and is not finished.

mod clearing;
mod journal;
mod loss;
mod persistence;
mod restoring;
mod waiting;

use clearing::Clearing;
pub(crate) use journal::{Entry, Journal};
pub(crate) use restoring::Restoring;

use core::time::Duration;

use crate::client::{Op, Refused};
use crate::planted::planted;
use crate::qos::{Answer, Arrival, Exchange, Phase, Receiver, Sender};
use crate::storage::{Body, Queue, Storage, Table};
use crate::{Instant, PacketId, PacketType, QoS};

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
    /// The record that must be durable before its next packet; [`FAILED`] will never be.
    pub(crate) record: u64,
    /// PUBREC was recorded.
    pub(crate) released: bool,
    /// PUBREL is to be sent as soon as it may be.
    pub(crate) due: bool,
    /// How many bytes this machine will have sent when its PUBLISH is written as a whole; `u64::MAX` when no connection
    /// that may still do so has it.
    pub(crate) end: u64,
    /// It was sent in a session that is lost: it may have been delivered, however it ends now.
    pub(crate) was_sent: bool,
    pub(crate) body: B,
}

/// The record of a publish that could not be written.
const FAILED: u64 = u64::MAX;

impl<B: Body> Kept<B> {
    /// What the end of a publish means that waits to be encoded.
    pub(crate) const fn loss(&self, loss: Loss) -> Loss {
        match loss {
            Loss::NotSent | Loss::Expired if self.was_sent => Loss::Unknown,
            loss => loss,
        }
    }

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

impl<B> Pending<B> {
    /// How many Packet Identifiers it needs.
    fn ids(&self) -> usize {
        usize::from(self.message.qos != QoS::AtMostOnce)
    }
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
    /// Its record could not be written.
    NotStored,
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
    /// Which identifiers are clear, in a session that was assumed.
    clearing: Option<Clearing>,
    pending: S::Pending,
    /// How many in `pending` need a Packet Identifier.
    pending_ids: usize,
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
    /// The Client Identifier of `exists`; `None` is not known.
    client: Option<ClientKey>,
    /// A session was lost, and none was begun since.
    unbegun: bool,
    /// The Session Expiry Interval of the last connection, in seconds.
    pub(crate) expiry_interval: u32,
    /// So many of the oldest exchanges are lost and still to be reported.
    lost: usize,
    /// The connection is gone; what ended with it is still to be reported.
    closed: bool,
    /// Everything ends.
    abandoned: bool,
    /// Changes are recorded before the packets that depend on them leave.
    pub(crate) recording: bool,
    pub(crate) journal: Journal<S::Journal>,
    /// The record of the session of the current connection.
    session_record: u64,
    /// The record of what gave way to QoS 1 last.
    gave_way: u64,
    /// How many of `sender` are queued, and the sum of their lengths in bytes.
    queued: usize,
    queued_bytes: usize,
    /// How many publishes could not be recorded and are still to be reported.
    failed: usize,
}

impl<S: Storage> Session<S> {
    pub(crate) fn new(recording: bool) -> Self {
        Self {
            sender: Sender::new(),
            receiver: Receiver::new(),
            unsent: S::Answers::default(),
            requests: S::Requests::default(),
            reauthentication: None,
            doubted: S::Doubted::default(),
            clearing: None,
            pending: S::Pending::default(),
            pending_ids: 0,
            pending_bytes: 0,
            next_expiry: None,
            examining: false,
            examined: 0,
            unexamined: None,
            retained_bytes: 0,
            last_op: 0,
            exists: false,
            unbegun: false,
            client: None,
            expiry_interval: 0,
            lost: 0,
            closed: false,
            abandoned: false,
            recording,
            journal: Journal::new(),
            session_record: 0,
            gave_way: 0,
            queued: 0,
            queued_bytes: 0,
            failed: 0,
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
        let (requests, doubted) = (&self.requests, &self.doubted);
        let others = requests.len().saturating_add(doubted.len());
        if planted!(ReusePacketId) {
            let mut exchanges = self.sender.iter();
            let released = exchanges.find(|(_, exchange)| exchange.phase == Phase::AwaitPubcomp);
            if let Some((id, _)) = released {
                return Some(id);
            }
        }
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

    /// Handles a PUBLISH of QoS 1 or 2. What gives way to it is finished in the records, too.
    pub(crate) fn receive(&mut self, id: PacketId, qos: QoS, dup: bool, maximum: usize) -> Arrival {
        let was_unreleased = self.receiver.is_unreleased(id);
        let arrival = self.receiver.publish(id, qos, dup, maximum);
        if was_unreleased && !self.receiver.is_unreleased(id) {
            self.gave_way = self.record(Entry::Finished { id });
        }
        arrival
    }

    /// The next acknowledgement to send. PUBACK frees its identifier for QoS 2, and a restart without the record of what
    /// gave way would take that for a repetition.
    pub(crate) fn poll_answer(&mut self) -> Option<Answer> {
        let may_answer = self.journal.is_durable(self.gave_way);
        may_answer.then(|| self.receiver.poll_answer()).flatten()
    }

    /// Ends an exchange, whatever it waits for; gives its operation.
    pub(crate) fn end(&mut self, id: PacketId) -> Option<Op> {
        let exchange = self.sender.remove(id)?;
        self.release(id, &exchange);
        Some(Op(exchange.tag))
    }

    /// Takes note of the end of an exchange.
    pub(crate) fn release(&mut self, id: PacketId, exchange: &Exchange<Kept<S::Body>>) {
        self.discount(exchange);
        self.record_end(id, exchange);
    }

    /// It is not kept as an exchange any more.
    fn discount(&mut self, exchange: &Exchange<Kept<S::Body>>) {
        let message = &exchange.body;
        if exchange.is_queued() {
            self.queued = self.queued.saturating_sub(1);
            self.queued_bytes = self.queued_bytes.saturating_sub(message.length);
        } else {
            let occupied = message.body.occupied();
            self.retained_bytes = self.retained_bytes.saturating_sub(occupied);
        }
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
}
