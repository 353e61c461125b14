//! Enhanced authentication (4.12): before CONNACK, and again on a connection that was accepted.

use std::sync::Arc;

use mqtt5_proto::packet::{Auth, Connect, Packet};
use mqtt5_proto::{PacketType, Property, PropertyBuffer, ReasonCode};

use super::Broker;
use super::connect::permitted;
use crate::access::{AuthenticationStep, Login, Verdict};
use crate::connection::{Authentication, DECODING, Phase};
use crate::timers::ConnectionSlot;

impl Broker {
    /// A CONNECT with an Authentication Method, as it was received: nothing comes of it before the client is known.
    pub(super) fn begin_authentication(
        &mut self,
        slot: ConnectionSlot,
        client_id: Arc<str>,
        method: &str,
        data: Option<&[u8]>,
        frame: &[u8],
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.phase = Phase::Authenticating;
        let authentication = Box::new(Authentication {
            method: method.into(),
            client_id,
            round: Some(0),
            connect: frame.to_vec(),
        });
        self.authenticate(slot, authentication, data);
    }

    /// AUTH of a client: the answer to a challenge, or the beginning of a re-authentication.
    pub(super) fn handle_auth(&mut self, slot: ConnectionSlot, auth: &Auth<'_>) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let method = auth.properties.authentication_method();
        let text = match &mut connection.authentication {
            // [MQTT-4.12.0-7]
            None => "AUTH without an authentication method",
            // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
            Some(known) if method != Some(&known.method) => "another authentication method",
            Some(known) => match (auth.reason, known.round) {
                (ReasonCode::CONTINUE_AUTHENTICATION, Some(_)) => "",
                (ReasonCode::REAUTHENTICATE, None) => {
                    known.round = Some(0);
                    ""
                }
                _ => "AUTH out of turn",
            },
        };
        match connection.authentication.take() {
            Some(authentication) if text.is_empty() => {
                let data = auth.properties.authentication_data();
                self.authenticate(slot, authentication, data);
            }
            _ => self.fail(slot, ReasonCode::PROTOCOL_ERROR, text),
        }
    }

    /// Asks what is to become of a step of the client.
    fn authenticate(
        &mut self,
        slot: ConnectionSlot,
        mut authentication: Box<Authentication>,
        data: Option<&[u8]>,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let frame = std::mem::take(&mut authentication.connect);
        let connect = match Packet::decode(&frame, &DECODING) {
            Ok(Packet::Connect(connect)) => Some(connect),
            _ => None,
        };
        let round = authentication.round.unwrap_or_default();
        let step = AuthenticationStep {
            login: Login {
                client_id: &authentication.client_id,
                username: connect.as_ref().and_then(|connect| connect.username),
                password: connect.as_ref().and_then(|connect| connect.password),
            },
            connection: connection.number,
            method: &authentication.method,
            data,
            round,
            is_again: connect.is_none(),
        };
        match self.config.access.authenticate(&step) {
            Verdict::Continue(data) => {
                authentication.round = Some(round + 1);
                let reason = ReasonCode::CONTINUE_AUTHENTICATION;
                authentication.connect = frame;
                self.send_auth(slot, authentication, reason, &data);
            }
            Verdict::Success(data) => {
                authentication.round = None;
                self.authenticated(slot, authentication, connect.as_ref(), &data);
            }
            Verdict::Refuse(reason) => {
                let packet = match connect {
                    Some(_) => PacketType::Connack,
                    None => PacketType::Disconnect,
                };
                self.fail(slot, permitted(reason, packet), "");
            }
        }
    }

    fn authenticated(
        &mut self,
        slot: ConnectionSlot,
        authentication: Box<Authentication>,
        connect: Option<&Connect<'_>>,
        data: &[u8],
    ) {
        let Some(connect) = connect else {
            return self.send_auth(slot, authentication, ReasonCode::SUCCESS, data);
        };
        let client_id = Arc::clone(&authentication.client_id);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.authentication = Some(authentication);
        }
        self.admit(slot, connect, &client_id, data);
    }

    /// Sends AUTH and goes on with the authentication; a client that cannot be sent it cannot go on.
    fn send_auth(
        &mut self,
        slot: ConnectionSlot,
        authentication: Box<Authentication>,
        reason: ReasonCode,
        data: &[u8],
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let mut properties = PropertyBuffer::new();
        push_authentication(&mut properties, &authentication.method, data);
        connection.authentication = Some(authentication);
        let properties = properties.as_properties();
        let auth = Packet::Auth(Auth { reason, properties });
        if !self.outputs.write(self.now, connection, &auth) {
            let text = "the AUTH is larger than the client accepts";
            self.fail(slot, ReasonCode::PACKET_TOO_LARGE, text);
        }
    }
}

/// Adds the method, which every AUTH and the CONNACK must name [MQTT-4.12.0-5], and data that is not empty.
pub(super) fn push_authentication(properties: &mut PropertyBuffer, method: &str, data: &[u8]) {
    let _ = properties.push(Property::AuthenticationMethod(method));
    if !data.is_empty() {
        let _ = properties.push(Property::AuthenticationData(data));
    }
}
