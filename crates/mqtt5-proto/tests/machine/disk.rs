//! A store as a storm has it: what was written, how much of it is durable, and what that allows on the wire.

use std::collections::{BTreeMap, BTreeSet};

use mqtt5_proto::{Op, Packet, QoS, Record, RecordToken};

use super::face::parse;
use super::wire::number;

/// One record, under the token of the machine that wrote it in this life.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    token: Option<RecordToken>,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Those that a restart finds, then those that it may find.
    records: Vec<Written>,
    durable: usize,
    /// The last token of the machine.
    last: Option<RecordToken>,
    known: Known,
}

impl Disk {
    /// The machine gave a record to write.
    pub(crate) fn write(&mut self, token: RecordToken, bytes: Vec<u8>) {
        assert!(self.last < Some(token), "tokens go up");
        self.last = Some(token);
        self.records.push(Written {
            token: Some(token),
            bytes,
        });
    }

    /// The last token of the machine.
    pub(crate) const fn last(&self) -> Option<RecordToken> {
        self.last
    }

    /// How many bytes all of it takes, or a few more.
    pub(crate) fn size(&self) -> usize {
        const ENTRY: usize = size_of::<Written>();
        let records: usize = self.records.iter().map(|w| w.bytes.capacity()).sum();
        records + 2 * ENTRY * self.records.capacity() + 512 * self.known.len()
    }

    /// How many were written and are not durable.
    pub(crate) fn behind(&self) -> usize {
        self.records.len() - self.durable
    }

    /// The next `count` are durable; gives the token of the last.
    pub(crate) fn sync(&mut self, count: usize) -> Option<RecordToken> {
        for written in &self.records[self.durable..][..count] {
            self.known.learn(&written.bytes);
        }
        self.durable += count;
        self.records[..self.durable].last()?.token
    }

    /// One that is not durable cannot be written; if that is no publish, nothing behind it is written either.
    pub(crate) fn fail(&mut self, index: usize) -> Failure {
        let written = self.records.remove(self.durable + index);
        let publish = matches!(parse(&written.bytes)[..], [Record::Publish { .. }]);
        if !publish {
            self.records.truncate(self.durable + index);
        }
        Failure {
            token: written.token.unwrap(),
            stops: !publish,
        }
    }

    /// What a restart finds if so many that are not durable are there nevertheless.
    pub(crate) fn found(&self, count: usize) -> Vec<Vec<u8>> {
        let found = self.records[..self.durable + count].iter();
        found.map(|written| written.bytes.clone()).collect()
    }

    /// A machine begins with these records; tokens begin again with a new one.
    pub(crate) fn begin(&mut self, log: Vec<Vec<u8>>, new: bool) {
        // What was durable before says nothing new.
        let mut old: BTreeMap<&[u8], usize> = BTreeMap::new();
        for written in &self.records[..self.durable] {
            *old.entry(&written.bytes).or_default() += 1;
        }
        for bytes in &log {
            match old.get_mut(&bytes[..]) {
                Some(count) if *count > 0 => *count -= 1,
                _ => self.known.learn(bytes),
            }
        }
        let written = log.into_iter().map(|bytes| Written { token: None, bytes });
        self.records = written.collect();
        self.durable = self.records.len();
        if new {
            self.last = None;
        }
    }

    /// What was sent was sent in another order than these records have.
    pub(crate) fn forget_order(&mut self) {
        self.known.sent.clear();
        self.known.completed.clear();
    }

    /// A packet of the client arrives: the record that it depends on is durable.
    pub(crate) fn check(&mut self, packet: &Packet<'_>) {
        self.known.check(packet);
    }
}

/// A record that was not written.
pub(crate) struct Failure {
    pub(crate) token: RecordToken,
    pub(crate) stops: bool,
}

/// The operations of these records.
pub(crate) fn publishes(records: &[u8]) -> BTreeSet<Op> {
    let op = |record: &Record<'_>| match record {
        Record::Publish { op, .. } => Some(*op),
        _ => None,
    };
    parse(records).iter().filter_map(op).collect()
}

/// All that was ever durable, and what was seen on the wire. Records are counted from 1.
#[derive(Debug, Default)]
struct Known {
    count: u64,
    /// The number of the message of each operation.
    messages: BTreeMap<Op, u32>,
    /// The last record that gave a message an identifier.
    assigned: BTreeMap<(u16, u32), u64>,
    /// The last of those of which PUBREC was recorded.
    released: BTreeMap<u16, u64>,
    received: BTreeMap<u16, u64>,
    finished: BTreeMap<u16, Vec<u64>>,
    /// The record of the message that was last seen under an identifier.
    sent: BTreeMap<u16, u64>,
    /// How many successful PUBCOMPs were seen.
    completed: BTreeMap<u16, usize>,
}

impl Known {
    fn len(&self) -> usize {
        let finished: usize = self.finished.values().map(Vec::len).sum();
        self.messages.len() + self.assigned.len() + self.received.len() + finished + 1
    }

    fn learn(&mut self, bytes: &[u8]) {
        for record in parse(bytes) {
            self.count += 1;
            match record {
                Record::Publish {
                    op,
                    publish,
                    waiting,
                    ..
                } => {
                    let message = number(publish.payload);
                    self.messages.insert(op, message);
                    let id = publish.delivery.packet_id().unwrap();
                    if !waiting {
                        self.assigned.insert((id.value(), message), self.count);
                    }
                }
                Record::Republished { op, id } => {
                    if let Some(message) = self.messages.get(&op) {
                        self.assigned.insert((id.value(), *message), self.count);
                    }
                }
                Record::Released { op, id, .. } => {
                    let assigned = self
                        .messages
                        .get(&op)
                        .and_then(|message| self.assigned.get(&(id.value(), *message)));
                    if let Some(assigned) = assigned {
                        let last = self.released.entry(id.value()).or_default();
                        *last = (*last).max(*assigned);
                    }
                }
                Record::Received { id } => {
                    self.received.insert(id.value(), self.count);
                }
                Record::Finished { id } => {
                    self.finished
                        .entry(id.value())
                        .or_default()
                        .push(self.count);
                }
                _ => {}
            }
        }
    }

    fn check(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) if publish.delivery.qos() > QoS::AtMostOnce => {
                let id = publish.delivery.packet_id().unwrap().value();
                let assigned = self.assigned.get(&(id, number(publish.payload)));
                let assigned = assigned.unwrap_or_else(|| panic!("no record of {packet:?}"));
                self.sent.insert(id, *assigned);
            }
            Packet::Pubrel(packet) if !packet.reason.is_error() => {
                let id = packet.packet_id.value();
                let released = self.released.get(&id);
                let recorded = released.is_some_and(|at| self.sent.get(&id) <= Some(at));
                assert!(recorded, "no record of PUBREC {id}");
            }
            Packet::Pubrec(packet) if !packet.reason.is_error() => {
                let id = packet.packet_id.value();
                let before = self.completed.get(&id).map_or(0, |count| {
                    let finished = self.finished.get(&id);
                    finished.map_or(0, |at| at[count - 1])
                });
                let received = self.received.get(&id);
                assert!(received > Some(&before), "no record of PUBLISH {id}");
            }
            Packet::Pubcomp(packet) if !packet.reason.is_error() => {
                let id = packet.packet_id.value();
                let completed = self.completed.entry(id).or_default();
                *completed += 1;
                let finished = self.finished.get(&id).map_or(0, Vec::len);
                assert!(*completed <= finished, "no record of PUBREL {id}");
            }
            _ => {}
        }
    }
}
