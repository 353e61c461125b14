//! What a server said when it accepted the connection.

use crate::endpoint::Endpoint;
use core::fmt;
use mqtt5_proto::{Negotiated, Properties, PropertyBuffer, QoS};
use std::sync::Arc;

/// What holds on a connection: the server's CONNACK, and the specification's defaults for what it left out (3.2.2.3).
///
/// Strings in here come from the peer: escape them before they meet a terminal.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    endpoint: Arc<Endpoint>,
    client_id: String,
    negotiated: Negotiated,
    properties: PropertyBuffer,
}

impl ConnectionInfo {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        client_id: &str,
        negotiated: Negotiated,
        properties: PropertyBuffer,
    ) -> Self {
        let assigned = properties.as_properties().assigned_client_identifier();
        // One that nobody asked for is not ours.
        let assigned = assigned.filter(|_| client_id.is_empty());
        let client_id = assigned.unwrap_or(client_id).to_owned();
        Self {
            endpoint,
            client_id,
            negotiated,
            properties,
        }
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The Client Identifier in use: that of the options, or the one that the server assigned to a client that had none.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The Client Identifier that the server assigned (3.2.2.3.7). It is in use only if CONNECT left that to the server.
    pub fn assigned_client_id(&self) -> Option<&str> {
        self.properties().assigned_client_identifier()
    }

    /// Whether the server had the session of an earlier connection (3.2.2.1.1).
    pub fn session_present(&self) -> bool {
        self.negotiated.session_present
    }

    /// How long the session outlives the connection, in seconds (3.2.2.3.2); `u32::MAX` is for ever.
    pub fn session_expiry_interval(&self) -> u32 {
        self.negotiated.session_expiry_interval
    }

    /// The Keep Alive in force, in seconds; 0 is off (3.2.2.3.14).
    pub fn keep_alive(&self) -> u16 {
        self.negotiated.keep_alive
    }

    /// How many of our QoS 1 and 2 messages the server takes unacknowledged (3.2.2.3.3).
    pub fn receive_maximum(&self) -> u16 {
        self.negotiated.receive_maximum
    }

    /// The highest QoS that the server accepts (3.2.2.3.4).
    pub fn maximum_qos(&self) -> QoS {
        self.negotiated.maximum_qos
    }

    /// Whether the server retains messages (3.2.2.3.5).
    pub fn retain_available(&self) -> bool {
        self.negotiated.retain_available
    }

    /// The largest packet that the server accepts, in bytes; `None` when it set no limit (3.2.2.3.6).
    pub fn maximum_packet_size(&self) -> Option<u32> {
        self.properties().maximum_packet_size()
    }

    /// The highest Topic Alias that the server accepts; 0 is none (3.2.2.3.8).
    pub fn topic_alias_maximum(&self) -> u16 {
        self.negotiated.topic_alias_maximum
    }

    /// Whether filters may hold wildcards (3.2.2.3.11).
    pub fn wildcard_subscription_available(&self) -> bool {
        self.negotiated.wildcard_subscription_available
    }

    /// Whether the server supports Subscription Identifiers (3.2.2.3.12).
    pub fn subscription_identifier_available(&self) -> bool {
        self.negotiated.subscription_identifier_available
    }

    /// Whether the server supports shared subscriptions (3.2.2.3.13).
    pub fn shared_subscription_available(&self) -> bool {
        self.negotiated.shared_subscription_available
    }

    /// What the server suggests for building response topics (3.2.2.3.15).
    pub fn response_information(&self) -> Option<&str> {
        self.properties().response_information()
    }

    /// Another server that the server names (3.2.2.3.16).
    pub fn server_reference(&self) -> Option<&str> {
        self.properties().server_reference()
    }

    /// The server's words for a person (3.2.2.3.9).
    pub fn reason_string(&self) -> Option<&str> {
        self.properties().reason_string()
    }

    /// The User Properties of CONNACK, in order (3.2.2.3.10).
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties().user_properties()
    }

    /// All properties of CONNACK.
    pub fn properties(&self) -> Properties<'_> {
        self.properties.as_properties()
    }
}

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("endpoint", &self.endpoint)
            .field("client_id", &self.client_id)
            .field("negotiated", &self.negotiated)
            .finish_non_exhaustive()
    }
}
