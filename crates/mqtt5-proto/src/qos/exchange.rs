//! One exchange in which this side sends PUBLISH: its phases, and what acknowledgements do to it.

use crate::{PacketId, PacketType, ReasonCode};

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// QoS 1: the PUBACK.
    AwaitPuback,
    /// QoS 2: the PUBREC.
    AwaitPubrec,
    /// QoS 2: the PUBCOMP, after PUBREL.
    AwaitPubcomp,
}

/// One publish that was sent and is not finished.
#[derive(Debug)]
pub struct Exchange<B> {
    /// What the owner calls it.
    pub tag: u64,
    /// What it waits for.
    pub phase: Phase,
    /// The reason of the PUBREC, once there was one.
    pub received: ReasonCode,
    /// Whether the transport was ever given a part of its PUBLISH: if so, DUP is set when it is sent again.
    pub handed: bool,
    /// Where in the stream of the current connection its PUBLISH begins.
    pub(super) start: Option<u64>,
    /// It is to be sent again on the current connection.
    pub(super) resend: bool,
    /// Its PUBLISH was sent on the current connection.
    pub(super) here: bool,
    /// What is needed to send it again.
    pub body: B,
}

impl<B> Exchange<B> {
    /// Whether its PUBLISH was never encoded, or at least never given to a transport that is gone.
    pub fn is_queued(&self) -> bool {
        !self.handed && self.start.is_none()
    }

    /// Whether its PUBLISH is encoded, and nothing of it is among the `taken` bytes that the transport was given: nobody can
    /// have acknowledged it.
    pub(crate) fn is_untaken(&self, taken: u64) -> bool {
        !self.handed && self.start.is_some_and(|start| start >= taken)
    }
}

/// What follows from an acknowledgement.
#[derive(Debug)]
pub enum SenderStep<B> {
    /// The exchange is over and its identifier free.
    Ended(Exchange<B>),
    /// PUBREL must be sent with this reason.
    SendPubrel(PacketId, ReasonCode),
    /// It belongs to no exchange; harmless.
    Ignored,
    /// It is not the acknowledgement that the exchange waits for.
    ProtocolError,
}

impl<B> SenderStep<B> {
    /// What follows from an acknowledgement that belongs to no exchange.
    pub(crate) fn unknown(packet: PacketType, id: PacketId, reason: ReasonCode) -> Self {
        if packet == PacketType::Pubrec && !reason.is_error() {
            Self::SendPubrel(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)
        } else {
            Self::Ignored
        }
    }
}

/// What an acknowledgement does to an exchange.
pub(super) enum Transition {
    End,
    /// Send PUBREL and wait for PUBCOMP.
    Release,
    Wrong,
}

/// The transition table of section 4.3. PUBREC with an error ends the exchange without PUBREL [MQTT-4.4.0-2].
pub(super) const fn transition(phase: Phase, packet: PacketType, refused: bool) -> Transition {
    match (phase, packet, refused) {
        (Phase::AwaitPuback, PacketType::Puback, _)
        | (Phase::AwaitPubrec, PacketType::Pubrec, true)
        | (Phase::AwaitPubcomp, PacketType::Pubcomp, _) => Transition::End,
        (Phase::AwaitPubrec | Phase::AwaitPubcomp, PacketType::Pubrec, false) => {
            Transition::Release
        }
        _ => Transition::Wrong,
    }
}
