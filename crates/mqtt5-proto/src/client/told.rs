//! What a step is told as.

use super::handle::Step;
use super::machine::Machine;
use super::{Event, Outcome};
use crate::planted::planted;
use crate::session::Loss;
use crate::storage::{Receive, Storage};
use crate::{DisconnectCause, Packet, Properties, ReasonCode, Violation};

impl<S: Storage> Machine<S> {
    /// Makes the event of a step; the packet that it came from is still the current one.
    pub(super) fn event(&self, step: Step) -> Event<'_, <S::Receive as Receive>::Message<'_>> {
        let receive = &self.connection.receive;
        let packet = || Packet::decode(receive.frame(), &self.decoding()).ok();
        let (op, outcome) = match step {
            Step::Message { layout, token } => {
                let message = receive.message(&layout);
                return Event::Message { message, token };
            }
            Step::Connected => match packet() {
                Some(Packet::Connack(connack)) => return Event::Connected(connack),
                packet => return self.disconnected(packet),
            },
            Step::Disconnected => return self.disconnected(packet()),
            Step::Challenge => return challenge(packet()),
            Step::Accepted(op) => (op, Outcome::Accepted),
            Step::Authenticated(op) => (op, Outcome::Authenticated),
            Step::Lost(op, loss) => (op, lost(loss)),
            Step::Answered(op, reason) => {
                let outcome = packet().map(|packet| answered(&packet, reason));
                (op, outcome.unwrap_or(Outcome::ConnectionLost))
            }
        };
        Event::Completed { op, outcome }
    }

    fn disconnected<'a, M>(&self, packet: Option<Packet<'a>>) -> Event<'a, M> {
        let cause = self
            .connection
            .cause
            .unwrap_or(DisconnectCause::TransportClosed);
        let properties = match (cause, packet) {
            (
                DisconnectCause::ByServer { .. }
                | DisconnectCause::Violation(
                    Violation::SessionExpiryFromServer(_) | Violation::DisconnectBeforeConnack(_),
                ),
                Some(Packet::Disconnect(packet)),
            ) => packet.properties,
            (DisconnectCause::Refused(_), Some(Packet::Connack(packet))) => packet.properties,
            _ => Properties::EMPTY,
        };
        Event::Disconnected { cause, properties }
    }
}

fn challenge<'a, M>(packet: Option<Packet<'a>>) -> Event<'a, M> {
    let (reason, properties) = match packet {
        Some(Packet::Auth(packet)) => (packet.reason, packet.properties),
        Some(Packet::Connack(packet)) => (packet.reason, packet.properties),
        _ => (ReasonCode::SUCCESS, Properties::EMPTY),
    };
    Event::AuthChallenge { reason, properties }
}

const fn lost(loss: Loss) -> Outcome<'static> {
    match loss {
        Loss::Unknown => Outcome::Unknown,
        Loss::NotSent => Outcome::NotSent,
        Loss::ConnectionLost => Outcome::ConnectionLost,
        Loss::NotStored => Outcome::NotStored,
        Loss::Expired => Outcome::Expired,
        Loss::LimitExceeded(limit) => Outcome::LimitExceeded(limit),
    }
}

fn answered<'a>(packet: &Packet<'a>, received: ReasonCode) -> Outcome<'a> {
    match *packet {
        Packet::Puback(acknowledgement) | Packet::Pubrec(acknowledgement)
            if acknowledgement.reason.is_error() =>
        {
            Outcome::Rejected(acknowledgement)
        }
        Packet::Puback(acknowledgement) => Outcome::Delivered {
            reason: acknowledgement.reason,
            acknowledgement,
        },
        Packet::Pubrec(acknowledgement) if planted!(CompleteAtPubrec) => Outcome::Delivered {
            reason: acknowledgement.reason,
            acknowledgement,
        },
        Packet::Pubcomp(acknowledgement) => Outcome::Delivered {
            reason: received,
            acknowledgement,
        },
        Packet::Suback(acknowledgement) => Outcome::Subscribed(acknowledgement),
        Packet::Unsuback(acknowledgement) => Outcome::Unsubscribed(acknowledgement),
        _ => Outcome::ConnectionLost,
    }
}
