//! What goes wrong on purpose.

use mqtt5_proto::packet::Packet;
use mqtt5_proto::qos::Phase as ExchangePhase;
use mqtt5_proto::{DecodeError, PacketId, PacketType, ReasonCode};

use super::Broker;
use crate::connection::{ClientLimits, Phase};
use crate::faults::{Ending, Farewell, Fault, Faults, LatePacket, Later, Mishap, On};
use crate::outputs::{Address, envelope};
use crate::timers::ConnectionSlot;
use crate::trie::SessionSlot;

impl Broker {
    /// Makes something go wrong on purpose: for tests and simulations.
    ///
    /// Rules are asked in the order in which they came; without any nothing is asked.
    pub fn inject(&mut self, fault: Fault) {
        let seed = self.config.seed;
        let faults = &mut self.outputs.faults;
        let faults = faults.get_or_insert_with(|| Box::new(Faults::new(seed)));
        faults.rules.push(fault);
    }

    /// Forgets all rules of what goes wrong. Packets that were delayed are still sent at their time.
    pub fn clear_faults(&mut self) {
        if let Some(faults) = &mut self.outputs.faults {
            faults.rules.clear();
        }
    }

    /// The rules that may still strike, as they are now.
    pub fn faults(&self) -> &[Fault] {
        self.outputs
            .faults
            .as_ref()
            .map_or(&[], |faults| &faults.rules)
    }

    /// Whether a received packet is to be handled.
    pub(super) fn withstands(
        &mut self,
        slot: ConnectionSlot,
        packet: &Result<Packet<'_>, DecodeError>,
    ) -> bool {
        let (Ok(packet), Some(connection)) = (packet, self.connections.get_mut(slot)) else {
            return true;
        };
        let Some(faults) = &mut self.outputs.faults else {
            return true;
        };
        let client = match packet {
            Packet::Connect(connect) => {
                connection.limits = ClientLimits::new(connect.properties);
                Some(connect.client_id)
            }
            _ => connection.client_id.as_deref(),
        };
        let on = On::Received(packet.packet_type());
        let Some(mishap) = faults.strike(on, client, false) else {
            return true;
        };
        self.outputs.statistics.faults += 1;
        let is_connect = matches!(packet, Packet::Connect(_));
        let (ending, is_handled) = match mishap {
            Mishap::LoseSession if is_connect => {
                connection.loses_session = true;
                return true;
            }
            Mishap::CutAfter => (Ending::Close, true),
            Mishap::Cut => (Ending::Close, false),
            Mishap::Refuse(farewell) => (Ending::Refuse(farewell), false),
            Mishap::LoseSession => (Ending::LoseSession, false),
            Mishap::Drop | Mishap::Delay(_) | Mishap::Repeat(_) => return false,
        };
        faults.endings.push_back((connection.number, ending));
        is_handled
    }

    /// Ends what is to end and sends what is due: the end of every input.
    pub(super) fn settle_faults(&mut self) {
        let now = self.now;
        while let Some(faults) = &mut self.outputs.faults {
            if let Some((connection, ending)) = faults.endings.pop_front() {
                self.end_by_fault(connection, ending);
            } else if let Some(later) = faults.take_due(now) {
                self.send_late(later);
            } else {
                return;
            }
        }
    }

    fn end_by_fault(&mut self, connection: u64, ending: Ending) {
        let slot = self.numbers.get(&connection).copied();
        let Some(entry) = slot.and_then(|slot| self.connections.get_mut(slot)) else {
            return;
        };
        let Some(slot) = slot else { return };
        match ending {
            Ending::Close => self.close(slot),
            Ending::Refuse(farewell) => {
                entry.is_mute = false;
                let Farewell {
                    reason,
                    server_reference,
                    reason_string,
                } = farewell;
                let text = reason_string.unwrap_or_default();
                self.fail_with(slot, reason, server_reference.as_deref(), &text);
            }
            Ending::LoseSession => {
                let client_id = entry.client_id.clone();
                self.close(slot);
                if let Some(client_id) = client_id {
                    self.forget(self.now, &client_id);
                }
            }
        }
    }

    fn send_late(&mut self, later: Later) {
        let slot = self.numbers.get(&later.connection).copied();
        let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) else {
            return;
        };
        let session = match connection.phase {
            Phase::Live(session) => Some(session),
            _ => None,
        };
        match (later.packet, session) {
            (LatePacket::Delayed(_, held), _) => self.outputs.release(connection, held),
            (LatePacket::Repeated(bytes), _) => self.outputs.write_again(connection, &bytes),
            (LatePacket::RepeatedPublish(id), Some(session)) => self.publish_again(session, id),
            (LatePacket::RepeatedPubrel(id), Some(session)) => self.release_again(session, id),
            (_, None) => {}
        }
    }

    /// Sends a PUBLISH again that is not answered, behind those that are late: they may tell its Topic Alias.
    fn publish_again(&mut self, session: SessionSlot, id: PacketId) {
        let Some(entry) = self.sessions.get(session) else {
            return;
        };
        let slot = entry.connection;
        let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) else {
            return;
        };
        let faults = self.outputs.faults.as_mut();
        if let Some(faults) = faults {
            let number = connection.number;
            if let Some(due) = faults.held_until(number, PacketType::Publish) {
                return faults.send_later(due, number, LatePacket::RepeatedPublish(id));
            }
        }
        if let Some(delivery) = entry.unanswered(id) {
            let address = Address {
                envelope: envelope(delivery.qos, id, true),
                retain: delivery.retain,
                identifiers: delivery.identifiers.as_slice(),
            };
            let content = delivery.message.content();
            self.outputs
                .publish_now(self.now, connection, content, address);
        }
    }

    /// Sends a PUBREL again whose PUBCOMP has not come.
    fn release_again(&mut self, session: SessionSlot, id: PacketId) {
        let Some(entry) = self.sessions.get(session) else {
            return;
        };
        let slot = entry.connection;
        let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) else {
            return;
        };
        let exchange = entry.sender.get(id);
        if exchange.is_some_and(|exchange| exchange.phase == ExchangePhase::AwaitPubcomp) {
            let pubrel = super::acknowledge::pubrel(id, ReasonCode::SUCCESS);
            self.outputs.encode(connection, &pubrel);
        }
    }
}
