//! PUBACK, PUBREC, PUBREL and PUBCOMP from a client (4.3).

use mqtt5_proto::packet::{Acknowledgement, Packet};
use mqtt5_proto::qos::SenderStep;
use mqtt5_proto::{PacketId, PacketType, ReasonCode};

use super::Broker;
use crate::timers::ConnectionSlot;
use crate::trie::SessionSlot;

impl Broker {
    /// PUBACK, PUBREC and PUBCOMP.
    ///
    /// A reason code of 0x80 and above ends the exchange; the message goes to nobody else [MQTT-4.8.2-6].
    pub(super) fn handle_acknowledgement(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        packet: PacketType,
        ack: &Acknowledgement<'_>,
    ) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        match entry.sender.acknowledge(packet, ack.packet_id, ack.reason) {
            SenderStep::Ended(exchange) => {
                entry.waiting_bytes -= exchange.body.message.size();
                self.pump(session);
            }
            SenderStep::SendPubrel(id, reason) => self.reply(slot, &pubrel(id, reason)),
            SenderStep::Ignored => {}
            SenderStep::ProtocolError => {
                let text = "acknowledgement of another QoS";
                self.fail(slot, ReasonCode::PROTOCOL_ERROR, text);
            }
        }
    }

    pub(super) fn handle_pubrel(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        ack: &Acknowledgement<'_>,
    ) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        // [MQTT-4.3.3-11]; 0x92 when the identifier is not known, which is no error (3.6.2.1).
        let reason = entry.receiver.release(ack.packet_id);
        self.reply(
            slot,
            &Packet::Pubcomp(Acknowledgement::new(ack.packet_id, reason)),
        );
    }
}

pub(super) fn pubrel(id: PacketId, reason: ReasonCode) -> Packet<'static> {
    Packet::Pubrel(Acknowledgement::new(id, reason))
}
