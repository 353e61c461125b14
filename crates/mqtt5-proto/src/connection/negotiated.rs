//! What the two sides have announced to each other.

use crate::packet::{Connack, Connect};
use crate::session::ClientKey;
use crate::{MAXIMUM_REMAINING_LENGTH, QoS};

/// Longer than every packet.
const NO_LIMIT: u32 = MAXIMUM_REMAINING_LENGTH as u32 + 5;

/// What our CONNECT said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Announced {
    pub(crate) clean_start: bool,
    pub(crate) empty_client_id: bool,
    /// Our Client Identifier, the assigned one as soon as the server has told it.
    pub(crate) client: ClientKey,
    pub(crate) keep_alive: u16,
    pub(crate) session_expiry_interval: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) request_problem_information: bool,
}

impl Announced {
    pub(crate) fn new(connect: &Connect<'_>) -> Self {
        let properties = &connect.properties;
        Self {
            clean_start: connect.clean_start,
            empty_client_id: connect.client_id.is_empty(),
            client: ClientKey::new(connect.client_id),
            keep_alive: connect.keep_alive,
            session_expiry_interval: properties.session_expiry_interval().unwrap_or(0),
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX),
            maximum_packet_size: properties.maximum_packet_size().unwrap_or(NO_LIMIT),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            request_problem_information: properties.request_problem_information().unwrap_or(true),
        }
    }
}

/// What holds on the current connection: the values of CONNACK, and the specification's defaults for what it left out
/// (3.2.2.3). Made anew for every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// Whether the server had the session of an earlier connection.
    pub session_present: bool,
    /// How long the session outlives the connection, in seconds; the server's value if it sent one.
    pub session_expiry_interval: u32,
    /// The Keep Alive in force, in seconds, 0 is off; the server's value if it sent one [MQTT-3.1.2-21].
    pub keep_alive: u16,
    /// How many QoS 1 and 2 publishes may be unfinished towards the server.
    pub receive_maximum: u16,
    /// The highest QoS that the server accepts.
    pub maximum_qos: QoS,
    /// Whether the server retains messages.
    pub retain_available: bool,
    /// The largest packet that the server accepts, in bytes; larger than every packet if it set no limit.
    pub maximum_packet_size: u32,
    /// The highest Topic Alias that the server accepts; 0 is none.
    pub topic_alias_maximum: u16,
    /// Whether the server allows wildcards in filters.
    pub wildcard_subscription_available: bool,
    /// Whether the server supports Subscription Identifiers.
    pub subscription_identifier_available: bool,
    /// Whether the server supports Shared Subscriptions.
    pub shared_subscription_available: bool,
}

impl Negotiated {
    pub(crate) fn new(announced: &Announced, connack: &Connack<'_>) -> Self {
        let properties = &connack.properties;
        let maximum_qos = properties.maximum_qos().map(QoS::try_from);
        Self {
            session_present: connack.session_present,
            session_expiry_interval: properties
                .session_expiry_interval()
                .unwrap_or(announced.session_expiry_interval),
            keep_alive: properties
                .server_keep_alive()
                .unwrap_or(announced.keep_alive),
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX),
            maximum_qos: maximum_qos.and_then(Result::ok).unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available().unwrap_or(true),
            maximum_packet_size: properties.maximum_packet_size().unwrap_or(NO_LIMIT),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            wildcard_subscription_available: properties
                .wildcard_subscription_available()
                .unwrap_or(true),
            subscription_identifier_available: properties
                .subscription_identifier_available()
                .unwrap_or(true),
            shared_subscription_available: properties
                .shared_subscription_available()
                .unwrap_or(true),
        }
    }
}
