//! What one side has allowed the other.

use mqtt5_proto::Properties;

/// What the peer announced when the connection was made, or the specification's defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) receive_maximum: usize,
    pub(crate) maximum_packet_size: usize,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) maximum_qos: u8,
}

impl Limits {
    /// Of CONNECT or CONNACK.
    pub(crate) fn of(properties: Properties<'_>) -> Self {
        Self {
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX).into(),
            maximum_packet_size: properties.maximum_packet_size().unwrap_or(u32::MAX) as usize,
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            maximum_qos: properties.maximum_qos().map_or(2, Into::into),
        }
    }
}
