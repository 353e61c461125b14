//! What a broker offers, and the bounds it keeps.

use std::fmt;
use std::time::Duration;

use mqtt5_proto::QoS;

use crate::access::{Access, Everybody};

/// Settings of a broker: what it announces in CONNACK, and its own bounds.
///
/// ```
/// use mqtt5_broker::{Broker, Config};
/// use mqtt5_proto::QoS;
///
/// let mut config = Config::default();
/// config.maximum_qos = QoS::AtLeastOnce;
/// config.server_keep_alive = Some(20);
/// let broker = Broker::new(config);
/// # let _ = broker;
/// ```
#[non_exhaustive]
pub struct Config {
    /// The highest QoS of a PUBLISH that is accepted and of a subscription that is granted (3.2.2.3.4). Announced when
    /// it is not 2. Default: 2.
    pub maximum_qos: QoS,
    /// Whether messages may be retained (3.2.2.3.5). Announced when it is false. Default: true.
    pub retain_available: bool,
    /// How many QoS 1 and QoS 2 publishes a client may have unfinished, at least 1 (3.2.2.3.3). Announced when it is
    /// not 65,535. Default: 1,024.
    pub receive_maximum: u16,
    /// The largest packet in bytes that is accepted, at least 1 (3.2.2.3.6). Announced when it is less than 268,435,460,
    /// above which no packet can be. Before CONNECT, at most 1 MiB is accepted. Default: 16 MiB.
    pub maximum_packet_size: u32,
    /// The highest Topic Alias that a client may use (3.2.2.3.8). Announced when it is not 0. Default: 16.
    pub topic_alias_maximum: u16,
    /// How many Topic Aliases are used towards a client, as far as it announces them; the topic that was not used for
    /// longest gives way. Every message looks through them. Default: 16.
    pub maximum_topic_aliases: u16,
    /// Replaces the Keep Alive that clients ask for, in seconds; 0 turns it off (3.2.2.3.14). Default: none.
    pub server_keep_alive: Option<u16>,
    /// The longest Session Expiry Interval in seconds; 0xFFFFFFFF is no limit. A client that asks for more is told in
    /// CONNACK (3.2.2.3.2). Default: no limit.
    pub maximum_session_expiry: u32,
    /// Whether filters may have wildcards (3.2.2.3.11). Announced when it is false. Default: true.
    pub wildcard_subscription_available: bool,
    /// Whether subscriptions may have identifiers (3.2.2.3.12). Announced when it is false. Default: true.
    pub subscription_identifier_available: bool,
    /// Whether subscriptions may be shared (3.2.2.3.13). Announced when it is false. Default: true.
    pub shared_subscription_available: bool,
    /// The Response Information for clients that request it (3.2.2.3.15). Default: none.
    pub response_information: Option<String>,
    /// Who may do what. Default: [`Everybody`] everything.
    pub access: Box<dyn Access>,
    /// How long a connection may be open before its CONNECT is complete. Default: 10 s.
    pub connect_timeout: Duration,
    /// How many sessions there may be; CONNECT beyond it is refused with 0x97. Default: 100,000.
    pub maximum_sessions: usize,
    /// How many subscriptions a session may have; filters beyond it are refused with 0x97. Default: 10,000.
    pub maximum_subscriptions: usize,
    /// How many levels a filter may have; filters beyond it are refused with 0x97. Default: 1,024.
    pub maximum_levels: usize,
    /// How many messages may be retained; PUBLISH beyond it is refused with 0x97. Default: 100,000.
    pub maximum_retained: usize,
    /// How many bytes retained messages may hold. Default: 256 MiB.
    pub maximum_retained_bytes: usize,
    /// How many messages may wait in a session, unacknowledged ones included. Beyond it messages for this session are
    /// discarded; a publisher whose message nobody could take gets 0x97. Default: 100,000.
    pub maximum_queued: usize,
    /// How many bytes these messages may hold. Default: 64 MiB.
    pub maximum_queued_bytes: usize,
    /// How many bytes may wait to be written to one client before QoS 0 messages for it are discarded. One that leaves
    /// twice as many and a packet of the maximum size unread, and still sends what is to be answered, is cut off.
    /// Default: 16 MiB.
    pub maximum_unsent_bytes: usize,
    /// Distinguishes the client identifiers that this broker assigns from those of others, and decides when a
    /// [`Fault`](crate::Fault) strikes that does so by chance. Default: 0.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            receive_maximum: 1_024,
            maximum_packet_size: 16 << 20,
            topic_alias_maximum: 16,
            maximum_topic_aliases: 16,
            server_keep_alive: None,
            maximum_session_expiry: u32::MAX,
            wildcard_subscription_available: true,
            subscription_identifier_available: true,
            shared_subscription_available: true,
            response_information: None,
            access: Box::new(Everybody),
            connect_timeout: Duration::from_secs(10),
            maximum_sessions: 100_000,
            maximum_subscriptions: 10_000,
            maximum_levels: 1_024,
            maximum_retained: 100_000,
            maximum_retained_bytes: 256 << 20,
            maximum_queued: 100_000,
            maximum_queued_bytes: 64 << 20,
            maximum_unsent_bytes: 16 << 20,
            seed: 0,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("maximum_qos", &self.maximum_qos)
            .field("retain_available", &self.retain_available)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("server_keep_alive", &self.server_keep_alive)
            .finish_non_exhaustive()
    }
}
