//! Numbers about a client.

use mqtt5_proto::Statistics as ProtocolStatistics;

/// Counters since the client was built, and gauges of the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections that the server accepted.
    pub connects: u64,
    /// Attempts that did not lead to one.
    pub connect_failures: u64,
    /// Connections that ended, however.
    pub disconnects: u64,
    /// Connections that the server ended with DISCONNECT.
    pub server_disconnects: u64,
    /// Connections that ended because the server was silent for too long.
    pub keep_alive_timeouts: u64,
    /// Connections that ended because the server broke the protocol.
    pub protocol_errors: u64,
    /// Connections on which the server had no session of ours any more.
    pub sessions_lost: u64,
    /// Messages that the protocol machine took for sending.
    pub publishes_accepted: u64,
    /// QoS 1 and 2 publishes that the server acknowledged as received.
    pub publishes_delivered: u64,
    /// QoS 1 and 2 publishes that the server refused.
    pub publishes_rejected: u64,
    /// Messages received, each counted once.
    pub messages_received: u64,
    /// Messages that no subscription matched.
    pub messages_unmatched: u64,
    /// Times a subscription lost a message, as [`Subscription::dropped`](crate::Subscription::dropped) counts them.
    pub messages_dropped: u64,
    /// SUBSCRIBE packets handed to the protocol machine.
    pub subscribes_sent: u64,
    /// UNSUBSCRIBE packets handed to the protocol machine.
    pub unsubscribes_sent: u64,
    /// Gauge: filters that are subscribed or wanted.
    pub filters: usize,
    /// Gauge: subscriptions that live.
    pub subscriptions: usize,
    /// Gauge: QoS 1 and 2 publishes without a final acknowledgement.
    pub unacknowledged_publishes: usize,
    /// Gauge: QoS 1 and 2 publishes that the server takes now besides those (4.9); 0 without a connection.
    pub send_quota: usize,
    /// Gauge: messages that wait for a connection or for room in its window.
    pub waiting_publishes: usize,
    /// Gauge: received QoS 1 and 2 messages that are not acknowledged yet.
    pub held_messages: usize,
    /// Gauge: their bytes.
    pub held_bytes: usize,
    /// What the protocol machine has counted: packets, bytes, and what it has tolerated.
    pub protocol: ProtocolStatistics,
}
