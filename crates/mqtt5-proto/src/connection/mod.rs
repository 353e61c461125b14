//! What dies with a connection: its state, negotiated values, timers and buffers.

mod authentication;
mod liveness;
mod negotiated;
mod state;

pub(crate) use authentication::{Authentication, Purpose, Stage, Step as AuthenticationStep};
pub(crate) use liveness::Liveness;
pub use liveness::TimerReason;
pub(crate) use negotiated::Announced;
pub use negotiated::Negotiated;
pub use state::State;
pub(crate) use state::Trigger;

use crate::client::DisconnectCause;
use crate::storage::{Receive, Storage, Transmit};
use crate::{EncodeError, Instant, Packet, ProtocolVersion};

/// Reading pauses while more than so many bytes of answers wait to be written.
const MAXIMUM_ANSWERS: usize = 64 * 1024;
/// Room that the transmit buffer must have before another packet is handled: the largest answer.
const ANSWER_ROOM: usize = 16;

pub(crate) struct Connection<S: Storage> {
    /// Changes whenever the buffers that a driver holds become void, so that it is told from those that it may use.
    pub(crate) number: u32,
    pub(crate) state: State,
    /// Why it ends, once that is known.
    pub(crate) cause: Option<DisconnectCause>,
    pub(crate) announced: Announced,
    pub(crate) negotiated: Option<Negotiated>,
    /// Both sides have accepted it.
    pub(crate) accepted: bool,
    /// Whether the server had a session for us, as far as we knew, when CONNECT was encoded.
    pub(crate) session_before: bool,
    /// The last packet that was received is a PUBLISH that broke the protocol.
    pub(crate) offended: bool,
    /// The record that must be durable before anything may leave; 0 is none.
    pub(crate) gate: u64,
    pub(crate) authentication: Authentication,
    pub(crate) liveness: Liveness,
    pub(crate) transmit: S::Transmit,
    pub(crate) receive: S::Receive,
    /// Unsent bytes of answers, at most.
    answers: usize,
    /// Unsent bytes of SUBSCRIBEs and UNSUBSCRIBEs, at most.
    pub(crate) requests: usize,
    /// Reading has stopped because there was no room for an answer.
    stalled: bool,
    /// The embedder has asked not to read.
    pub(crate) paused: bool,
}

impl<S: Storage> Connection<S> {
    pub(crate) fn new() -> Self {
        Self {
            number: 0,
            state: State::Disconnected,
            cause: None,
            announced: Announced::default(),
            negotiated: None,
            accepted: false,
            session_before: false,
            offended: false,
            gate: 0,
            authentication: Authentication::default(),
            liveness: Liveness::default(),
            transmit: S::Transmit::default(),
            receive: S::Receive::default(),
            answers: 0,
            requests: 0,
            stalled: false,
            paused: false,
        }
    }

    /// A new connection begins.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        announced: Announced,
        authentication: Authentication,
    ) {
        self.void_buffers();
        self.transmit.reset();
        self.receive.clear();
        self.cause = None;
        self.announced = announced;
        self.authentication = authentication;
        self.negotiated = None;
        self.accepted = false;
        self.offended = false;
        self.answers = 0;
        self.requests = 0;
        self.stalled = false;
        self.paused = false;
        self.liveness = Liveness::new(now);
    }

    /// Encodes a packet.
    ///
    /// # Errors
    ///
    /// `PacketTooLarge` when the server does not accept one of this size [MQTT-3.2.2-15].
    pub(crate) fn send(&mut self, now: Instant, packet: &Packet<'_>) -> Result<usize, EncodeError> {
        if let Some(negotiated) = &self.negotiated {
            let length = packet.encoded_len(ProtocolVersion::V5)?;
            if length > negotiated.maximum_packet_size as usize {
                return Err(EncodeError::PacketTooLarge);
            }
        }
        self.liveness.encoding(now, self.transmit.unsent());
        let length = self.transmit.push(packet, ProtocolVersion::V5)?;
        self.note_room();
        Ok(length)
    }

    /// Encodes an answer to the server; whether there is room was asked before.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
    ) -> Result<usize, EncodeError> {
        let length = self.send(now, packet)?;
        self.answers = self.answers.saturating_add(length);
        self.note_room();
        Ok(length)
    }

    /// Takes note of something that was encoded: reading stops when it has left no room for an answer.
    pub(crate) fn note_room(&mut self) {
        self.stalled |= !self.has_answer_room();
    }

    /// Whether an answer can be encoded.
    pub(crate) fn has_answer_room(&self) -> bool {
        self.answers <= MAXIMUM_ANSWERS && self.transmit.room() >= ANSWER_ROOM
    }

    /// Whether a received packet may be handled.
    pub(crate) fn may_handle(&self) -> bool {
        !self.paused && !self.authentication.is_checking() && self.has_answer_room()
    }

    /// Bytes were written.
    pub(crate) fn sent(&mut self, now: Instant, count: usize) {
        let unsent = self.transmit.unsent();
        self.answers = self.answers.min(unsent);
        self.requests = self.requests.min(unsent);
        if count > 0 {
            self.liveness.sent(now, count);
        }
        if self.stalled && self.has_answer_room() {
            self.stalled = false;
            self.liveness.resume(now);
        }
    }

    /// Ends the connection for a reason that is kept if it is the first: what is encoded is still written.
    pub(crate) fn finish(&mut self, cause: DisconnectCause) {
        self.cause.get_or_insert(cause);
        self.state = self.state.after(Trigger::Finish);
    }

    /// Ends the connection at once: nothing more is written.
    pub(crate) fn abort(&mut self, cause: DisconnectCause) {
        self.finish(cause);
        self.void_buffers();
    }

    /// Gives back what a connection that is over has left.
    pub(crate) fn release(&mut self) {
        self.transmit.reset();
        self.transmit.release();
        self.receive.clear();
    }

    /// Drops what waits to be sent, in the hands of a driver too.
    pub(crate) fn void_buffers(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.transmit.clear();
    }
}
