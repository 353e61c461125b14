//! The machine on growable storage.

use super::machine::Machine;
use super::{
    AckToken, Authenticate, Config, DisconnectReason, Event, Op, Outbound, Progress, Refused,
    RejectReason, Statistics, face,
};
use crate::connection::{Negotiated, State, TimerReason};
use crate::message::Message;
use crate::packet::{Connect, SubscribeFilter};
use crate::storage::heap::{Heap, HeapTransmit, Incoming, Outgoing};
use crate::storage::{Receive, Transmit};
use crate::{
    Instant, PacketId, Persisted, Properties, ReasonCode, Record, RecordToken, SessionSnapshot,
    TopicFilter,
};

/// An MQTT 5 client as a machine: bytes and time in, packets and events out.
///
/// * **Commands** are what the application wants: [`connect`](Self::connect), [`publish`](Self::publish),
///   [`subscribe`](Self::subscribe), [`unsubscribe`](Self::unsubscribe), [`ack`](Self::ack), [`reject`](Self::reject),
///   [`withdraw`](Self::withdraw), [`disconnect`](Self::disconnect). They never block.
/// * **Inputs** are what happened: `handle_*`. They cannot fail; what a server does wrong becomes an event.
/// * **Outputs** are asked for: [`poll_event`](Self::poll_event) until `None` after every input, command and wake-up,
///   then the bytes to send, [`wants_close`](Self::wants_close) and [`poll_timeout`](Self::poll_timeout) in any order.
///
/// The machine reads no clock: `now` is a parameter, and one that goes backwards is taken for the latest seen.
///
/// ```
/// use mqtt5_proto::packet::{Connack, Connect};
/// use mqtt5_proto::{Client, Config, Event, Instant, Packet, Properties, ProtocolVersion, ReasonCode};
///
/// let mut client = Client::new(Config::default());
/// let now = Instant::ZERO;
/// client.connect(now, &Connect::new("sensor-1"))?;
/// assert_eq!(client.outgoing()[0], 0x10); // CONNECT
/// let count = client.outgoing().len();
/// client.handle_transmitted(now, count);
///
/// let connack = Packet::Connack(Connack {
///     session_present: false,
///     reason: ReasonCode::SUCCESS,
///     properties: Properties::EMPTY,
/// });
/// let count = connack.encode(ProtocolVersion::V5, client.receive_space())?;
/// client.handle_received(now, count);
/// assert!(matches!(client.poll_event(now), Some(Event::Connected(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client(Machine<Heap>);

impl Client {
    /// A machine without a connection; allocates nothing yet.
    pub fn new(config: Config) -> Self {
        Self(Machine::new(config))
    }

    face!();

    /// What happened next; `None` when there is nothing more, or reading is paused.
    #[must_use]
    pub fn poll_event(&mut self, now: Instant) -> Option<Event<'_, Message>> {
        self.0.poll_event(now)
    }

    /// The session as bytes to save; see [`records`](Self::records).
    pub fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot::new(self.records())
    }

    /// Moves the receive buffer out, half a packet included, so that a driver can read into it without holding a lock.
    /// A buffer of an earlier connection is emptied.
    pub fn take_incoming(&mut self, incoming: &mut Incoming) {
        let number = self.0.connection.number;
        if incoming.connection != number {
            incoming.reset(number);
        }
        self.0.connection.receive.take(incoming);
        incoming.connection = number;
    }

    /// Moves the receive buffer back, with what was read into it. Nothing happens with a buffer of an earlier connection.
    pub fn handle_incoming(&mut self, now: Instant, incoming: &mut Incoming) {
        let now = self.0.tick(now);
        if incoming.connection != self.0.connection.number || !self.0.connection.state.is_open() {
            incoming.reset(self.0.connection.number);
            return;
        }
        let count = incoming.take_fresh();
        self.0.connection.receive.give(incoming);
        self.0.note_received(now, count);
    }

    /// Moves what may be sent now into `outgoing`, if that is empty; what it holds of an earlier connection, or of one on
    /// which nothing may be written any more, is dropped.
    pub fn take_outgoing(&mut self, outgoing: &mut Outgoing) {
        let number = self.0.connection.number;
        if outgoing.connection != number {
            HeapTransmit::reset(outgoing, number);
        }
        if self.0.may_transmit() {
            self.0.connection.transmit.take(outgoing);
        }
    }

    /// The first `count` bytes of `outgoing` were written. Nothing happens with bytes of an earlier connection.
    pub fn handle_sent(&mut self, now: Instant, outgoing: &mut Outgoing, count: usize) {
        let number = self.0.connection.number;
        if outgoing.connection == number && self.0.connection.state != State::Disconnected {
            let count = self.0.connection.transmit.sent(outgoing, count);
            self.0.note_sent(now, count);
        } else {
            HeapTransmit::reset(outgoing, number);
        }
    }
}
