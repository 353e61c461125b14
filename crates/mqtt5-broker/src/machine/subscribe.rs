//! SUBSCRIBE and UNSUBSCRIBE (3.8.4, 3.10.4).

use std::sync::Arc;

use mqtt5_proto::packet::{
    List, Packet, Subscribe, SubscribeAcknowledgement, SubscribeFilter, Unsubscribe,
};
use mqtt5_proto::{PacketType, Properties, ReasonCode, RetainHandling, TopicFilter, topic};

use super::Broker;
use super::connect::permitted;
use super::deliver::Target;
use crate::message::Fanout;
use crate::timers::ConnectionSlot;
use crate::trie::{SessionSlot, Subscription};

impl Broker {
    pub(super) fn handle_subscribe(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        packet: &Subscribe<'_>,
    ) {
        let identifier = packet.properties.subscription_identifiers().next();
        if let Some((reason, text)) = self.unavailable(packet, identifier) {
            return self.fail(slot, reason, text);
        }
        // As a sequence of SUBSCRIBE packets with one answer [MQTT-3.8.4-5].
        let (reasons, retained): (Vec<ReasonCode>, Vec<bool>) = packet
            .filters
            .iter()
            .map(|filter| self.subscribe(session, &filter, identifier))
            .unzip();
        // [MQTT-3.8.4-2], [MQTT-3.9.3-1]
        let suback = SubscribeAcknowledgement {
            packet_id: packet.packet_id,
            properties: Properties::EMPTY,
            reasons: List::from(&*reasons),
        };
        self.reply(slot, &Packet::Suback(suback));
        for (filter, wants_retained) in packet.filters.iter().zip(retained) {
            if wants_retained {
                self.send_retained(session, &filter, identifier);
            }
        }
    }

    /// What CONNACK said is not supported is a Protocol Error (3.2.2.3.11 to 3.2.2.3.13).
    fn unavailable(
        &self,
        packet: &Subscribe<'_>,
        identifier: Option<u32>,
    ) -> Option<(ReasonCode, &'static str)> {
        let config = &self.config;
        if !config.subscription_identifier_available && identifier.is_some() {
            let reason = ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED;
            return Some((reason, "subscription identifiers are not available"));
        }
        packet.filters.iter().find_map(|item| {
            if !config.shared_subscription_available && item.filter.is_shared() {
                let reason = ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
                Some((reason, "shared subscriptions are not available"))
            } else if !config.wildcard_subscription_available && item.filter.has_wildcard() {
                let reason = ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED;
                Some((reason, "wildcards are not available"))
            } else {
                None
            }
        })
    }

    /// Makes or replaces one subscription: the reason code for it, and whether it gets retained messages.
    fn subscribe(
        &mut self,
        session: SessionSlot,
        item: &SubscribeFilter<'_>,
        identifier: Option<u32>,
    ) -> (ReasonCode, bool) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return (ReasonCode::UNSPECIFIED_ERROR, false);
        };
        let text = item.filter.as_str();
        if let Err(reason) = self.config.access.subscribe(&entry.client_id, text) {
            return (permitted(reason, PacketType::Suback), false);
        }
        let exists = entry.subscriptions.contains(text);
        let has_room = exists || entry.subscriptions.len() < self.config.maximum_subscriptions;
        if !has_room || topic::levels(text).count() > self.config.maximum_levels {
            return (ReasonCode::QUOTA_EXCEEDED, false);
        }
        if !exists {
            entry.subscriptions.insert(Arc::from(text));
        }
        // Every requested QoS is accepted, and granted as far as it is supported [MQTT-3.2.2-10].
        let qos = item.qos.min(self.config.maximum_qos);
        let subscription = Subscription {
            qos,
            no_local: item.no_local,
            retain_as_published: item.retain_as_published,
            identifier,
        };
        self.subscriptions
            .insert(item.filter, session, subscription);
        let wants_retained = match item.retain_handling {
            // [MQTT-3.3.1-9]
            RetainHandling::SendAtSubscribe => true,
            // [MQTT-3.3.1-10]
            RetainHandling::SendAtSubscribeIfNew => !exists,
            // [MQTT-3.3.1-11]
            RetainHandling::DoNotSend => false,
        };
        // No retained messages for a Shared Subscription (4.8.2).
        (
            ReasonCode::from(qos as u8),
            wants_retained && !item.filter.is_shared(),
        )
    }

    fn send_retained(
        &mut self,
        session: SessionSlot,
        item: &SubscribeFilter<'_>,
        identifier: Option<u32>,
    ) {
        let subscription = Subscription {
            qos: item.qos.min(self.config.maximum_qos),
            no_local: item.no_local,
            retain_as_published: true,
            identifier,
        };
        let messages: Vec<_> = self
            .retained
            .matching(item.filter, self.now)
            .cloned()
            .collect();
        for message in messages {
            let target = Target::individual(&subscription, true);
            self.deliver(session, target, &mut Fanout::stored(message, true), true);
        }
    }

    pub(super) fn handle_unsubscribe(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        packet: &Unsubscribe<'_>,
    ) {
        let reasons: Vec<ReasonCode> = packet
            .filters
            .iter()
            .map(|filter| self.unsubscribe(session, filter))
            .collect();
        // [MQTT-3.10.4-5], [MQTT-3.11.3-1]
        let unsuback = SubscribeAcknowledgement {
            packet_id: packet.packet_id,
            properties: Properties::EMPTY,
            reasons: List::from(&*reasons),
        };
        self.reply(slot, &Packet::Unsuback(unsuback));
    }

    /// Ends one subscription. What is queued for it is still delivered [MQTT-3.10.4-3].
    fn unsubscribe(&mut self, session: SessionSlot, filter: TopicFilter<'_>) -> ReasonCode {
        let Some(entry) = self.sessions.get_mut(session) else {
            return ReasonCode::UNSPECIFIED_ERROR;
        };
        if entry.subscriptions.remove(filter.as_str()) {
            self.subscriptions.remove(filter, session);
            ReasonCode::SUCCESS
        } else {
            ReasonCode::NO_SUBSCRIPTION_EXISTED
        }
    }
}
