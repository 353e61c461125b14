//! CONNECT (3.1.4): who may come, which session it is, what CONNACK says.

use std::sync::Arc;
use std::time::Duration;

use mqtt5_proto::packet::{Connack, Connect, Packet};
use mqtt5_proto::{PacketType, Property, PropertyBuffer, QoS, ReasonCode, Role};

use super::Broker;
use super::authenticate::push_authentication;
use super::publish::may_publish;
use crate::access::Login;
use crate::aliases::TopicAliases;
use crate::connection::{ClientLimits, Phase};
use crate::message::WillMessage;
use crate::session::Session;
use crate::timers::{ConnectionSlot, Timer};
use crate::trie::SessionSlot;

impl Broker {
    pub(super) fn handle_connect(
        &mut self,
        slot: ConnectionSlot,
        connect: &Connect<'_>,
        frame: &[u8],
    ) {
        let client_id: Arc<str> = match connect.client_id {
            "" => self.assign_client_id(),
            client_id => client_id.into(),
        };
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.limits = ClientLimits::new(connect.properties);
            connection.client_id = Some(Arc::clone(&client_id));
        }
        if let Err((reason, text)) = self.check_will(connect) {
            return self.fail(slot, reason, text);
        }
        if let Some(method) = connect.properties.authentication_method() {
            let data = connect.properties.authentication_data();
            return self.begin_authentication(slot, client_id, method, data, frame);
        }
        let login = Login {
            client_id: &client_id,
            username: connect.username,
            password: connect.password,
        };
        match self.config.access.login(&login) {
            Ok(()) => self.admit(slot, connect, &client_id, &[]),
            Err(reason) => self.fail(slot, permitted(reason, PacketType::Connack), ""),
        }
    }

    /// Accepts a client that may come; CONNACK ends its enhanced authentication with `data`.
    pub(super) fn admit(
        &mut self,
        slot: ConnectionSlot,
        connect: &Connect<'_>,
        client_id: &Arc<str>,
        data: &[u8],
    ) {
        let old = self.clients.get(client_id).copied();
        if old.is_none() && self.sessions.len() >= self.config.maximum_sessions {
            return self.fail(slot, ReasonCode::QUOTA_EXCEEDED, "too many sessions");
        }
        if let Some(will) = &connect.will {
            let access = &mut *self.config.access;
            if let Err(reason) = may_publish(access, client_id, will.topic.as_str()) {
                let reason = permitted(reason, PacketType::Connack);
                return self.fail(slot, reason, "the topic of the will");
            }
        }
        if let Some(old) = old.and_then(|session| self.sessions.get(session)?.connection) {
            // [MQTT-3.1.4-3]
            self.fail(old, ReasonCode::SESSION_TAKEN_OVER, "");
        }
        let connection = self.connections.get_mut(slot);
        let is_lost = connection.is_some_and(|connection| connection.loses_session);
        let session = self.session_for(client_id, connect.clean_start || is_lost);
        let (session, is_present) = match session {
            Some(session) => (session, true),
            None => (self.new_session(Arc::clone(client_id)), false),
        };
        self.attach(slot, session, connect);
        if !self.accept(slot, session, connect, is_present, client_id, data) {
            // It was never connected, so that its will is none [MQTT-3.1.2-7].
            if let Some(entry) = self.sessions.get_mut(session) {
                entry.will = None;
            }
            return self.abort(slot);
        }
        self.resume(session);
    }

    /// What a will may not ask for.
    fn check_will(&self, connect: &Connect<'_>) -> Result<(), (ReasonCode, &'static str)> {
        let Some(will) = &connect.will else {
            return Ok(());
        };
        if will.qos > self.config.maximum_qos {
            // [MQTT-3.2.2-12]
            return Err((ReasonCode::QOS_NOT_SUPPORTED, "the QoS of the will"));
        }
        if will.retain && !self.config.retain_available {
            // [MQTT-3.2.2-13]
            let text = "the will is to be retained";
            return Err((ReasonCode::RETAIN_NOT_SUPPORTED, text));
        }
        Ok(())
    }

    /// The session to go on with; one that Clean Start ends is ended [MQTT-3.1.2-4].
    fn session_for(&mut self, client_id: &str, clean_start: bool) -> Option<SessionSlot> {
        let session = *self.clients.get(client_id)?;
        if clean_start {
            self.end_session(session);
            return None;
        }
        Some(session)
    }

    fn new_session(&mut self, client_id: Arc<str>) -> SessionSlot {
        let session = self.sessions.insert(Session::new(Arc::clone(&client_id)));
        self.clients.insert(client_id, session);
        self.outputs.statistics.sessions_begun += 1;
        session
    }

    /// Joins a connection and a session.
    fn attach(&mut self, slot: ConnectionSlot, session: SessionSlot, connect: &Connect<'_>) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        entry.connection = Some(slot);
        entry.expiry = connect
            .properties
            .session_expiry_interval()
            .unwrap_or_default()
            .min(self.config.maximum_session_expiry);
        entry.will = connect.will.as_ref().map(WillMessage::from);
        // A will that still waits is not sent: the client is back [MQTT-3.1.3-9].
        self.timers
            .clear(entry.will_at.take(), Timer::Will(session));
        self.timers
            .clear(entry.ends_at.take(), Timer::Session(session));
        connection.phase = Phase::Live(session);
        let maximum = connection.limits.topic_alias_maximum;
        connection.topic_aliases =
            TopicAliases::new(maximum.min(self.config.maximum_topic_aliases));
        // Without Server Keep Alive that of the client counts [MQTT-3.2.2-22].
        let keep_alive = self.config.server_keep_alive.unwrap_or(connect.keep_alive);
        connection.patience =
            (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1_500));
        let patience = connection.patience;
        self.clear_deadline(slot);
        if let Some(patience) = patience {
            self.set_deadline(slot, self.now + patience);
        }
    }

    /// Sends CONNACK [MQTT-3.1.4-5]; false when the client accepts no packet of that size.
    fn accept(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        connect: &Connect<'_>,
        session_present: bool,
        client_id: &str,
        data: &[u8],
    ) -> bool {
        let asked = &connect.properties;
        let granted = self.sessions.get(session).map(|session| session.expiry);
        let expiry =
            granted.filter(|expiry| *expiry != asked.session_expiry_interval().unwrap_or(0));
        let assigned = connect.client_id.is_empty().then_some(client_id);
        let mut properties = self.announcement(expiry, assigned);
        if let Some(method) = asked.authentication_method() {
            push_authentication(&mut properties, method, data);
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        let requested = asked.request_response_information().unwrap_or(false);
        let response = self.config.response_information.as_deref();
        if let Some(response) = response.filter(|_| requested) {
            let mut with = properties.clone();
            // [MQTT-3.1.2-28]
            push(&mut with, Some(Property::ResponseInformation(response)));
            let connack = connack(session_present, &with);
            if self.outputs.write(self.now, connection, &connack) {
                return true;
            }
        }
        let connack = connack(session_present, &properties);
        self.outputs.write(self.now, connection, &connack)
    }

    /// The properties of CONNACK: what differs from what the specification says without them.
    fn announcement(&self, expiry: Option<u32>, assigned: Option<&str>) -> PropertyBuffer {
        let config = &self.config;
        let unless_available = |available: bool, property: fn(bool) -> Property<'static>| {
            (!available).then(|| property(false))
        };
        let mut properties = PropertyBuffer::new();
        for property in [
            expiry.map(Property::SessionExpiryInterval),
            (config.receive_maximum != u16::MAX)
                .then_some(Property::ReceiveMaximum(config.receive_maximum.max(1))),
            // [MQTT-3.2.2-9]
            (config.maximum_qos != QoS::ExactlyOnce)
                .then_some(Property::MaximumQoS(config.maximum_qos as u8)),
            unless_available(config.retain_available, Property::RetainAvailable),
            (config.maximum_packet_size < LARGEST_PACKET).then_some(Property::MaximumPacketSize(
                config.maximum_packet_size.max(1),
            )),
            // [MQTT-3.2.2-16]
            assigned.map(Property::AssignedClientIdentifier),
            (config.topic_alias_maximum > 0)
                .then_some(Property::TopicAliasMaximum(config.topic_alias_maximum)),
            unless_available(
                config.wildcard_subscription_available,
                Property::WildcardSubscriptionAvailable,
            ),
            unless_available(
                config.subscription_identifier_available,
                Property::SubscriptionIdentifierAvailable,
            ),
            unless_available(
                config.shared_subscription_available,
                Property::SharedSubscriptionAvailable,
            ),
            config.server_keep_alive.map(Property::ServerKeepAlive),
        ] {
            push(&mut properties, property);
        }
        properties
    }

    /// A Client Identifier that no session has [MQTT-3.2.2-16].
    fn assign_client_id(&mut self) -> Arc<str> {
        loop {
            self.assigned += 1;
            let client_id = format!("auto-{:x}-{:x}", self.config.seed, self.assigned);
            if !self.clients.contains_key(&*client_id) {
                return client_id.into();
            }
        }
    }
}

fn connack(session_present: bool, properties: &PropertyBuffer) -> Packet<'_> {
    Packet::Connack(Connack {
        session_present,
        reason: ReasonCode::SUCCESS,
        properties: properties.as_properties(),
    })
}

/// Adds a property; a value that cannot be sent, such as a text of more than 65,535 bytes, is left out.
fn push(properties: &mut PropertyBuffer, property: Option<Property<'_>>) {
    if let Some(property) = property {
        let _ = properties.push(property);
    }
}

/// A refusal that the server may send in this packet.
pub(super) fn permitted(reason: ReasonCode, packet: PacketType) -> ReasonCode {
    if reason.is_error() && reason.is_defined_for(packet, Role::Server) {
        reason
    } else {
        ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR
    }
}

/// No packet is larger: 268,435,455 bytes and a fixed header of five.
const LARGEST_PACKET: u32 = 268_435_460;
