//! Inputs and outputs of the machine.

use core::fmt;
use core::time::Duration;

use super::handle::Step;
use super::{Event, SessionLoss, Statistics, TopicAliases};
use crate::connection::{Connection, Negotiated, Purpose, State, TimerReason, Trigger};
use crate::packet::{Acknowledgement, Disconnect};
use crate::session::{Entry, Session};
use crate::storage::{Receive, Storage, Table, Transmit};
use crate::{
    Decoding, DisconnectCause, EncodeError, Instant, Packet, PacketType, ReasonCode, Role,
    Violation,
};

/// How a machine behaves, apart from what CONNECT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How long after [`connect`](crate::Client::connect) CONNACK may arrive.
    pub connect_timeout: Duration,
    /// How many publishes above our Receive Maximum are tolerated; 0 is strict [MQTT-3.3.4-9].
    pub inbound_margin: u16,
    /// Tolerates Variable Byte Integers that are longer than needed, DUP on QoS 0, and problem information that was not
    /// asked for; [`Statistics`] counts them.
    pub lenient: bool,
    /// Accepts Session Present although this machine knows of no session: how a new process takes over the queue that
    /// the server keeps for its Client Identifier.
    ///
    /// In such a session the server may hold any Packet Identifier for a message of the earlier process, which PUBREL finishes.
    /// So PUBREL and its PUBCOMP come before the first PUBLISH under each: the first publishes of QoS 1 and 2 wait for one
    /// round trip. Not where the server announces a Maximum QoS below 2.
    pub assume_session: bool,
    /// QoS 0 publishes are accepted from [`connect`](crate::Client::connect) on, and leave behind CONNECT without waiting
    /// for CONNACK (3.1.4). They are lost if the server refuses, and one that its limits rule out may cost the connection.
    /// QoS 1 and 2 must wait, since only CONNACK says in which session they are; so must all when CONNECT names an
    /// Authentication Method [MQTT-3.1.2-30].
    pub publish_before_connack: bool,
    /// Changes of the session are recorded before the packets that depend on them leave; see
    /// [`poll_persist`](crate::Client::poll_persist).
    pub write_ahead: bool,
    /// What becomes of unacknowledged publishes when the server no longer has the session.
    pub session_loss: SessionLoss,
    /// What to do with content that no publisher may send.
    pub content: ContentPolicy,
    /// When Topic Aliases are used towards the server.
    pub topic_aliases: TopicAliases,
    /// How many publishes may wait to be encoded.
    pub maximum_pending: usize,
    /// How many bytes of publishes may wait to be encoded; a single larger one is allowed alone.
    pub maximum_pending_bytes: usize,
    /// How many QoS 1 and 2 publishes may be unfinished, whatever the server allows.
    pub maximum_in_flight: u16,
    /// How many bytes of unfinished QoS 1 and 2 publishes may be kept; a single larger one is allowed alone.
    pub maximum_retained_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            inbound_margin: 0,
            lenient: false,
            assume_session: false,
            publish_before_connack: false,
            write_ahead: false,
            session_loss: SessionLoss::default(),
            content: ContentPolicy::Deliver,
            topic_aliases: TopicAliases::Off,
            maximum_pending: 1024,
            maximum_pending_bytes: 4 * 1024 * 1024,
            maximum_in_flight: u16::MAX,
            maximum_retained_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What to do with content that no publisher may send and servers forward all the same: a payload that is not the UTF-8 it
/// claims to be, a Payload Format Indicator above 1, a Response Topic with a wildcard; and control characters and
/// non-characters, which strings should not include (1.5.4), in every packet of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentPolicy {
    /// Hands it over; see [`Message::content_faults`](crate::Message::content_faults). One bad publisher cannot
    /// disconnect its subscribers.
    #[default]
    Deliver,
    /// Ends the connection with 0x82. Where the server itself ends it with such content, it is told nothing, and
    /// [`Violation::ContentFromServer`] quotes its code.
    Strict,
}

/// The state code of the client on any storage.
pub(crate) struct Machine<S: Storage> {
    pub(super) config: Config,
    pub(super) session: Session<S>,
    pub(super) connection: Connection<S>,
    pub(super) statistics: Statistics,
    now: Instant,
    /// `Disconnected` is to be told.
    closed: bool,
    /// A record could not be written.
    pub(super) stopped: bool,
    /// The application has approved of the server's final data of an authentication.
    pub(super) checked: Option<Purpose>,
}

impl<S: Storage> fmt::Debug for Machine<S> {
    /// Prints counts, no content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.connection.state)
            .field("unsent", &self.connection.transmit.unsent())
            .field("pending", &self.session.pending())
            .field("in_flight", &self.in_flight())
            .field("held", &self.session.receiver.held())
            .field("negotiated", &self.negotiated())
            .finish_non_exhaustive()
    }
}

impl<S: Storage> Machine<S> {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            session: Session::new(config.write_ahead),
            connection: Connection::new(),
            statistics: Statistics::default(),
            now: Instant::ZERO,
            closed: false,
            stopped: false,
            checked: None,
        }
    }

    /// Takes note of the time; it never goes backwards.
    pub(super) fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn decoding(&self) -> Decoding {
        Decoding {
            lenient: self.config.lenient,
            ..Decoding::new(Role::Server)
        }
    }

    // Inputs.

    pub(crate) fn handle_received(&mut self, now: Instant, count: usize) {
        let now = self.tick(now);
        if self.connection.state.is_open() {
            let count = self.connection.receive.filled(count);
            self.note_received(now, count);
        }
    }

    pub(super) fn note_received(&mut self, now: Instant, count: usize) {
        if count > 0 {
            Statistics::add(&mut self.statistics.bytes_received, count);
            self.connection.liveness.received(now);
        }
    }

    pub(crate) fn note_sent(&mut self, now: Instant, count: usize) {
        let now = self.tick(now);
        Statistics::add(&mut self.statistics.bytes_sent, count);
        self.connection.sent(now, count);
    }

    /// How many bytes will have been sent when all that is encoded is.
    pub(crate) fn queued_position(&self) -> u64 {
        let unsent = self.connection.transmit.unsent() as u64;
        self.statistics.bytes_sent.saturating_add(unsent)
    }

    pub(crate) fn handle_closed(&mut self, now: Instant) {
        self.tick(now);
        if self.connection.state == State::Disconnected {
            return;
        }
        self.connection
            .cause
            .get_or_insert(DisconnectCause::TransportClosed);
        self.connection.state = self.connection.state.after(Trigger::TransportClosed);
        self.connection.void_buffers();
        let taken = self.connection.transmit.taken();
        self.session
            .handle_closed(taken, self.statistics.bytes_sent);
        if self.stopped {
            self.session.stop();
        } else if self.connection.accepted {
            if self.session.expiry_interval == 0 {
                self.session.lose(self.config.session_loss);
            }
        } else if taken == 0 {
            // The server knows nothing of the CONNECT.
            self.session.settle_doubt(self.connection.session_before);
        } else if self.has_new_session() {
            self.session.lose(self.config.session_loss);
        }
        self.closed = true;
        self.checked = None;
    }

    /// Whether the server has begun a new session [MQTT-3.2.2-5] with a CONNACK that the application had not approved of
    /// before the connection ended. One that it has disapproved of is not our server's.
    fn has_new_session(&self) -> bool {
        let negotiated = self.connection.negotiated.as_ref();
        negotiated.is_some_and(|negotiated| !negotiated.session_present)
            && self.connection.cause != Some(DisconnectCause::AuthenticationAborted)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        let mut pinged = false;
        while let Some((deadline, reason)) = self.poll_timeout() {
            if deadline > now {
                return;
            }
            match reason {
                // At the end of time the next one is due at once, too.
                TimerReason::KeepAlive if pinged => return,
                TimerReason::KeepAlive => {
                    self.ping(now);
                    pinged = true;
                }
                TimerReason::Connect => self.connection.abort(DisconnectCause::ConnectTimeout),
                TimerReason::PingResponse => {
                    self.connection.abort(DisconnectCause::KeepAliveTimeout);
                }
                TimerReason::PartialPacket => {
                    self.connection.abort(DisconnectCause::PartialPacketTimeout);
                }
                TimerReason::Write => self.connection.abort(DisconnectCause::WriteTimeout),
                TimerReason::MessageExpiry => self.session.handle_expiry(),
            }
        }
    }

    /// Sends PINGREQ, unless one still waits to be written; gives back what an idle connection does not need.
    fn ping(&mut self, now: Instant) {
        if !self.connection.liveness.ping_waits() {
            self.connection.receive.release();
            self.connection.transmit.release();
            let sent = self.connection.send(now, &Packet::Pingreq);
            self.note_answer(now, PacketType::Pingreq, sent);
        }
        let unsent = self.connection.transmit.unsent();
        self.connection.liveness.pinged(now, unsent);
    }

    pub(crate) fn set_reading(&mut self, now: Instant, reading: bool) {
        let now = self.tick(now);
        if self.connection.paused && reading {
            self.connection.liveness.resume(now);
        }
        self.connection.paused = !reading;
    }

    // Outputs.

    pub(crate) fn poll_event(
        &mut self,
        now: Instant,
    ) -> Option<Event<'_, <S::Receive as Receive>::Message<'_>>> {
        let now = self.tick(now);
        let step = self.next_step(now)?;
        Some(self.event(step))
    }

    /// First what is owed, then what received packets bring.
    fn next_step(&mut self, now: Instant) -> Option<Step> {
        if core::mem::take(&mut self.closed) {
            return Some(Step::Disconnected);
        }
        if self.connection.state == State::Disconnected {
            // `Disconnected` was told, and with it the last that was received.
            self.connection.release();
        }
        if let Some((op, loss)) = self.session.poll_loss() {
            return Some(Step::Lost(op, loss));
        }
        if let Some(step) = self.poll_checked() {
            return Some(step);
        }
        loop {
            self.send_recorded(now);
            self.send_answers(now);
            if let Some(step) = self.poll_ruled_out(now) {
                return Some(step);
            }
            self.clear_ids(now);
            self.resend(now);
            if self.session.is_examining() {
                continue;
            }
            if let Some(step) = self.encode_pending(now) {
                return Some(step);
            }
            if let Some(step) = self.handle_frame(now)? {
                return Some(step);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        let connection = &self.connection;
        let liveness = &connection.liveness;
        let reading = connection.state.is_open() && connection.may_handle();
        let with = |reason| move |deadline| (deadline, reason);
        let write = liveness.write(connection.transmit.unsent());
        let write = write.filter(|_| connection.state != State::Disconnected);
        let connect = (connection.state == State::Connecting).then(|| {
            liveness
                .opened()
                .saturating_add(self.config.connect_timeout)
        });
        let partial = liveness.partial_packet().filter(|_| reading);
        let keep_alive = connection.negotiated.as_ref().and_then(|negotiated| {
            let connected = connection.state == State::Connected;
            connected.then(|| liveness.keep_alive(negotiated.keep_alive, reading))?
        });
        let expiry = self.session.next_expiry();
        [
            expiry.map(with(TimerReason::MessageExpiry)),
            write.map(with(TimerReason::Write)),
            connect.map(with(TimerReason::Connect)),
            partial.map(with(TimerReason::PartialPacket)),
            keep_alive,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(crate) fn wants_read(&self) -> bool {
        self.connection.state.is_open() && self.connection.may_handle()
    }

    pub(crate) fn wants_close(&self) -> bool {
        self.connection.state == State::Closing && self.connection.transmit.unsent() == 0
    }

    pub(crate) const fn negotiated(&self) -> Option<&Negotiated> {
        match self.connection.state {
            State::Connected => self.connection.negotiated.as_ref(),
            _ => None,
        }
    }

    pub(crate) const fn cause_is_pending(&self) -> bool {
        self.closed || self.session.has_losses()
    }

    // Helpers of commands and packets.

    /// Encodes a packet whose length was checked before.
    pub(super) fn send(&mut self, now: Instant, packet: &Packet<'_>) {
        if self.connection.send(now, packet).is_ok() {
            Statistics::add(&mut self.statistics.packets_sent, 1);
        }
    }

    pub(super) fn answer(&mut self, now: Instant, packet: &Packet<'_>) {
        let answered = self.connection.answer(now, packet);
        self.note_answer(now, packet.packet_type(), answered);
    }

    /// Takes note of a packet that must be sent. Where it would exceed the server's Maximum Packet Size, the connection
    /// cannot go on.
    fn note_answer(
        &mut self,
        now: Instant,
        packet: PacketType,
        answered: Result<usize, EncodeError>,
    ) {
        match answered {
            Ok(_) => Statistics::add(&mut self.statistics.packets_sent, 1),
            Err(EncodeError::PacketTooLarge) => {
                let reason = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;
                self.send(now, &Packet::Disconnect(Disconnect::new(reason)));
                self.connection
                    .finish(DisconnectCause::PacketTooLarge(packet));
            }
            Err(_) => {}
        }
    }

    /// Sends the acknowledgements that are due.
    pub(super) fn send_answers(&mut self, now: Instant) {
        while self.connection.state == State::Connected && self.connection.has_answer_room() {
            let Some(answer) = self.session.poll_answer() else {
                return;
            };
            let acknowledgement = Acknowledgement::new(answer.id, answer.reason);
            let recorded = self.session.recording && !answer.reason.is_error();
            let packet = match answer.packet {
                PacketType::Pubrec if recorded => {
                    let id = answer.id;
                    let record = self.session.record(Entry::Received { id });
                    self.session.receiver.await_record(id, record);
                    continue;
                }
                PacketType::Pubrec => Packet::Pubrec(acknowledgement),
                _ => Packet::Puback(acknowledgement),
            };
            let taken = self.connection.transmit.taken();
            let start = self.connection.transmit.encoded();
            let answered = self.connection.answer(now, &packet);
            let start = if answered.is_ok() { start } else { u64::MAX };
            self.session.note_answer(answer, start, taken);
            self.note_answer(now, answer.packet, answered);
        }
    }

    /// Ends the connection because the server broke the protocol (4.13).
    pub(super) fn violated(&mut self, now: Instant, violation: Violation) {
        let reason = violation.reason_code();
        // Two codes are the server's alone.
        let reason = if reason.is_defined_for(PacketType::Disconnect, Role::Client) {
            reason
        } else {
            ReasonCode::PROTOCOL_ERROR
        };
        self.send(now, &Packet::Disconnect(Disconnect::new(reason)));
        self.connection
            .finish(DisconnectCause::Violation(violation));
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.session.in_flight()
    }

    pub(crate) fn requests(&self) -> usize {
        self.session.requests.len()
    }
}
