//! What the broker counted.

/// Numbers of a broker: what there is, and what has happened since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Open network connections, those before CONNECT included.
    pub connections: usize,
    /// Sessions, those without a connection included.
    pub sessions: usize,
    /// Sessions that were begun, whether or not their clients have heard of it.
    pub sessions_begun: u64,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Bytes that these retained messages hold.
    pub retained_bytes: usize,
    /// Messages that wait in sessions: not yet sent, or sent and not yet acknowledged.
    pub waiting: usize,
    /// PUBLISH packets received, repetitions included.
    pub messages_received: u64,
    /// PUBLISH packets encoded for clients, repetitions included.
    pub messages_sent: u64,
    /// Messages discarded because a client was too slow, its queue full, or the message too large for it.
    pub messages_dropped: u64,
    /// Messages discarded because their Message Expiry Interval had passed.
    pub messages_expired: u64,
    /// How often a [`Fault`](crate::Fault) struck.
    pub faults: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes written, as far as reported.
    pub bytes_sent: u64,
}
