//! CONNECT (3.1.4): who may come, which session it is, what CONNACK says.

use std::sync::Arc;
use std::time::Duration;

use mqtt5_proto::packet::{Connack, Connect, Packet};
use mqtt5_proto::{PacketType, Property, PropertyBuffer, QoS, ReasonCode, Role};

use super::Broker;
use crate::access::Login;
use crate::connection::{ClientLimits, Phase};
use crate::message::WillMessage;
use crate::session::Session;
use crate::timers::{ConnectionSlot, Timer};
use crate::trie::SessionSlot;

impl Broker {
    pub(super) fn handle_connect(&mut self, slot: ConnectionSlot, connect: &Connect<'_>) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.limits = ClientLimits::new(connect.properties);
        }
        let is_assigned = connect.client_id.is_empty();
        let client_id: Arc<str> = if is_assigned {
            self.assign_client_id()
        } else {
            connect.client_id.into()
        };
        if let Err((reason, text)) = self.check_connect(connect, &client_id) {
            return self.fail(slot, reason, text);
        }
        let old = self.clients.get(&client_id).copied();
        if let Some(old) = old.and_then(|session| self.sessions.get(session)?.connection) {
            // [MQTT-3.1.4-3]
            self.fail(old, ReasonCode::SESSION_TAKEN_OVER, "");
        }
        let session = self.session_for(&client_id, connect.clean_start);
        let (session, is_present) = match session {
            Some(session) => (session, true),
            None => (self.new_session(Arc::clone(&client_id)), false),
        };
        self.attach(slot, session, connect);
        let assigned = is_assigned.then_some(&*client_id);
        if !self.accept(slot, session, connect, is_present, assigned) {
            return self.abort(slot);
        }
        self.resume(session);
    }

    /// What a CONNECT may not ask for.
    fn check_connect(
        &mut self,
        connect: &Connect<'_>,
        client_id: &str,
    ) -> Result<(), (ReasonCode, &'static str)> {
        if connect.properties.authentication_method().is_some() {
            // [MQTT-4.12.0-1]
            return Err((
                ReasonCode::BAD_AUTHENTICATION_METHOD,
                "no authentication methods",
            ));
        }
        if let Some(will) = &connect.will {
            if will.qos > self.config.maximum_qos {
                // [MQTT-3.2.2-12]
                return Err((ReasonCode::QOS_NOT_SUPPORTED, "the QoS of the will"));
            }
            if will.retain && !self.config.retain_available {
                // [MQTT-3.2.2-13]
                return Err((
                    ReasonCode::RETAIN_NOT_SUPPORTED,
                    "the will is to be retained",
                ));
            }
        }
        let login = Login {
            client_id,
            username: connect.username,
            password: connect.password,
        };
        if let Err(reason) = self.config.access.login(&login) {
            return Err((permitted(reason, PacketType::Connack), ""));
        }
        let is_new = !self.clients.contains_key(client_id);
        if is_new && self.sessions.len() >= self.config.maximum_sessions {
            return Err((ReasonCode::QUOTA_EXCEEDED, "too many sessions"));
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
        connection.inherited = entry.receiver.held();
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
        assigned: Option<&str>,
    ) -> bool {
        let granted = self
            .sessions
            .get(session)
            .map_or(0, |session| session.expiry);
        let asked = connect
            .properties
            .session_expiry_interval()
            .unwrap_or_default();
        let expiry = (granted != asked).then_some(granted);
        let mut properties = self.announcement(expiry, assigned);
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        let response = self.config.response_information.as_deref();
        let requested = connect
            .properties
            .request_response_information()
            .unwrap_or(false);
        if let Some(response) = response.filter(|_| requested) {
            let without = properties.clone();
            // [MQTT-3.1.2-28]
            push(
                &mut properties,
                Some(Property::ResponseInformation(response)),
            );
            if self
                .outputs
                .write(connection, &connack(session_present, &properties))
            {
                return true;
            }
            properties = without;
        }
        self.outputs
            .write(connection, &connack(session_present, &properties))
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
