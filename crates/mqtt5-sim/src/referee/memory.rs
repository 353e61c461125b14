//! What one side must remember of a session when the connection is gone.

use std::collections::{BTreeMap, BTreeSet};

/// The unfinished exchanges of a session, as one side sees them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Messages that this side sends, by packet identifier.
    pub(crate) outbound: BTreeMap<u16, Outbound>,
    /// QoS 2 messages that this side receives and that are not released, by packet identifier.
    pub(crate) inbound: BTreeMap<u16, Inbound>,
    /// QoS 1 messages that a client received and has not acknowledged, by packet identifier.
    pub(crate) held: BTreeMap<u16, Inbound>,
    /// What it held before packets that it perhaps never looked at.
    pub(crate) held_before: BTreeMap<u16, Inbound>,
    /// Exchanges as they were before packets that were read last and perhaps never looked at: then they are so still.
    pub(crate) doubtful: BTreeMap<u16, Outbound>,
    /// In a session that this side has assumed: the identifiers under which the server holds nothing, since PUBCOMP said so.
    pub(crate) clear: Option<BTreeSet<u16>>,
    /// How many CONNECTs were sent since the last connection: a session may have begun with one that was not answered.
    pub(crate) asked: usize,
    /// How many sessions it has had, as far as it may hold messages of each.
    pub(crate) sessions: usize,
    /// The last connection ended with a stall.
    pub(crate) stalled: bool,
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
    /// Its place among all that were begun, and from PUBREC on among all that were answered by that.
    pub(crate) place: u64,
}

/// A message that was received with QoS 1 or 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inbound {
    pub(crate) number: Option<usize>,
    /// PUBREC was sent.
    pub(crate) answered: bool,
    /// In which session of the client at the broker it came.
    pub(crate) session: u64,
}

impl Memory {
    /// The server has no session.
    pub(crate) fn forget(&mut self) {
        self.outbound.clear();
        self.inbound.clear();
        self.held.clear();
        self.held_before.clear();
        self.doubtful.clear();
        self.clear = None;
    }

    /// The connection was lost before packets were looked at that had been read since `before`.
    pub(crate) fn doubt(&mut self, before: Self) {
        let same = |id: &u16, was: &Outbound| {
            self.outbound
                .get(id)
                .is_some_and(|now| now.released == was.released)
        };
        // What an earlier connection left in doubt is so until its identifier is seen again.
        let doubted = before
            .outbound
            .into_iter()
            .filter(|(id, was)| !same(id, was));
        self.doubtful.extend(doubted);
        // What was held first may be so still, however many connections have ended before its identifier was looked at.
        for (id, was) in before.held {
            self.held_before.entry(id).or_insert(was);
        }
    }

    /// The exchange under this identifier, or how it may still be.
    pub(crate) fn believe(
        &mut self,
        id: u16,
        is_so: impl Fn(&Outbound) -> bool,
    ) -> Option<Outbound> {
        let known = self.outbound.get(&id).copied();
        if known.as_ref().is_none_or(|known| !is_so(known)) {
            if let Some(was) = self.doubtful.remove(&id).filter(is_so) {
                self.outbound.insert(id, was);
                return Some(was);
            }
        }
        known
    }
}
