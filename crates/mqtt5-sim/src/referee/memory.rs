//! What one side must remember of a session when the connection is gone.

use std::collections::BTreeMap;

/// The unfinished exchanges of a session, as one side sees them.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Messages that this side sends, by packet identifier.
    pub(crate) outbound: BTreeMap<u16, Outbound>,
    /// QoS 2 messages that this side receives and that are not released, by packet identifier.
    pub(crate) inbound: BTreeMap<u16, Inbound>,
    /// How many connections the server has accepted.
    pub(crate) connections: usize,
    /// How many messages were begun.
    pub(crate) begun: u64,
}

/// A message that was sent with QoS 1 or 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbound {
    pub(crate) number: Option<usize>,
    pub(crate) qos: u8,
    /// It was answered by PUBREC.
    pub(crate) released: bool,
    /// The connection on which it, or its PUBREL, was last sent.
    pub(crate) connection: u64,
    /// Its place among all that were begun.
    pub(crate) place: u64,
}

/// A message that was received with QoS 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inbound {
    /// PUBREC was sent.
    pub(crate) answered: bool,
}

impl Memory {
    /// The server has no session.
    pub(crate) fn forget(&mut self) {
        self.outbound.clear();
        self.inbound.clear();
    }
}
