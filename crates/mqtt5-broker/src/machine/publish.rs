//! PUBLISH from a client (3.3.4).

use mqtt5_proto::packet::{Acknowledgement, Packet, Publish};
use mqtt5_proto::qos::Arrival;
use mqtt5_proto::{PacketId, PacketType, QoS, ReasonCode, TopicName};

use super::Broker;
use super::connect::permitted;
use crate::access::Access;
use crate::message::{Fanout, Publication};
use crate::timers::ConnectionSlot;
use crate::trie::SessionSlot;

impl Broker {
    pub(super) fn handle_publish(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        publish: &Publish<'_>,
    ) {
        self.outputs.statistics.messages_received += 1;
        if publish.delivery.qos() > self.config.maximum_qos {
            return self.fail(
                slot,
                ReasonCode::QOS_NOT_SUPPORTED,
                "QoS above the Maximum QoS",
            );
        }
        if publish.retain && !self.config.retain_available {
            return self.fail(
                slot,
                ReasonCode::RETAIN_NOT_SUPPORTED,
                "no messages are retained",
            );
        }
        let Some(alias) = publish.properties.topic_alias() else {
            return match publish.topic {
                Some(topic) => self.accept_publish(slot, session, publish, topic),
                None => self.fail(slot, ReasonCode::PROTOCOL_ERROR, "no topic"),
            };
        };
        if alias == 0 || alias > self.config.topic_alias_maximum {
            return self.fail(
                slot,
                ReasonCode::TOPIC_ALIAS_INVALID,
                "Topic Alias out of range",
            );
        }
        self.publish_by_alias(slot, session, publish, usize::from(alias) - 1);
    }

    /// Learns or resolves a Topic Alias [MQTT-3.3.2-12].
    fn publish_by_alias(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        publish: &Publish<'_>,
        at: usize,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if connection.aliases.len() <= at {
            connection.aliases.resize(at + 1, None);
        }
        if let Some(topic) = publish.topic {
            connection.aliases[at] = Some(topic.as_str().into());
            return self.accept_publish(slot, session, publish, topic);
        }
        let Some(name) = connection.aliases[at].take() else {
            return self.fail(
                slot,
                ReasonCode::PROTOCOL_ERROR,
                "Topic Alias without a topic",
            );
        };
        if let Ok(topic) = TopicName::new(&name) {
            self.accept_publish(slot, session, publish, topic);
        }
        if let Some(entry) = self
            .connections
            .get_mut(slot)
            .and_then(|c| c.aliases.get_mut(at))
        {
            *entry = Some(name);
        }
    }

    fn accept_publish(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
    ) {
        let publication = Publication {
            topic,
            qos: publish.delivery.qos(),
            retain: publish.retain,
            properties: publish.properties,
            payload: publish.payload,
        };
        let Some(id) = publish.delivery.packet_id() else {
            self.forward(session, publication);
            return;
        };
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let maximum = usize::from(self.config.receive_maximum.max(1));
        // Everything is acknowledged on the connection on which it arrives, so that DUP never matters.
        match entry.receiver.publish(id, publication.qos, false, maximum) {
            Arrival::New(arrival) => {
                let reason = self.forward(session, publication);
                self.acknowledge(slot, session, id, publication.qos, arrival, reason);
            }
            Arrival::AnswerAgain => self.answer(slot, PacketType::Pubrec, id, ReasonCode::SUCCESS),
            Arrival::IdInUse => {
                let packet = acknowledgement_of(publication.qos);
                self.answer(slot, packet, id, ReasonCode::PACKET_IDENTIFIER_IN_USE);
            }
            // Every message is acknowledged as soon as it arrives.
            Arrival::Repeated => {}
            Arrival::TooMany => {
                let text = "more unfinished messages than the Receive Maximum";
                self.fail(slot, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED, text);
            }
        }
    }

    /// Routes a message that its publisher may publish; the answer to the publisher.
    fn forward(&mut self, session: SessionSlot, publication: Publication<'_>) -> ReasonCode {
        let Some(entry) = self.sessions.get(session) else {
            return ReasonCode::UNSPECIFIED_ERROR;
        };
        let topic = publication.topic.as_str();
        if let Err(reason) = may_publish(&mut *self.config.access, &entry.client_id, topic) {
            return permitted(reason, PacketType::Puback);
        }
        self.route(Some(session), Fanout::new(self.now, publication))
    }

    /// Sends the PUBACK [MQTT-4.3.2-4] or PUBREC [MQTT-4.3.3-8] of a message.
    fn acknowledge(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        id: PacketId,
        qos: QoS,
        arrival: u64,
        reason: ReasonCode,
    ) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.receiver.acknowledge(id, qos, arrival, reason);
        if let Some(answer) = entry.receiver.poll_answer() {
            self.answer(slot, answer.packet, answer.id, answer.reason);
        }
    }

    fn answer(
        &mut self,
        slot: ConnectionSlot,
        packet: PacketType,
        id: PacketId,
        reason: ReasonCode,
    ) {
        let ack = Acknowledgement::new(id, reason);
        let packet = match packet {
            PacketType::Puback => Packet::Puback(ack),
            _ => Packet::Pubrec(ack),
        };
        self.reply(slot, &packet);
    }
}

/// Whether a client may publish to a topic, itself or by its will.
pub(super) fn may_publish(
    access: &mut dyn Access,
    client_id: &str,
    topic: &str,
) -> Result<(), ReasonCode> {
    // Topics of the server itself are not for exchanging messages (4.7.2).
    if topic == "$SYS" || topic.starts_with("$SYS/") {
        return Err(ReasonCode::NOT_AUTHORIZED);
    }
    access.publish(client_id, topic)
}

/// The packet that answers a PUBLISH with this QoS (3.3.4).
const fn acknowledgement_of(qos: QoS) -> PacketType {
    match qos {
        QoS::ExactlyOnce => PacketType::Pubrec,
        _ => PacketType::Puback,
    }
}
