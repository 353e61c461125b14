//! A store that loses what was not synced, or fails to write.

use mqtt5_proto::{Persisted, RecordToken};

/// When records become durable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sync {
    /// Each one at once.
    Each,
    /// All that were written, when nothing else happens any more.
    Rest,
    /// The oldest one, when nothing else happens any more.
    RestOne,
}

/// Which writes fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Only this one, counted from 0.
    Once(usize),
    /// This one and all after it.
    From(usize),
}

#[derive(Debug)]
pub(crate) struct Store {
    log: Vec<(RecordToken, Vec<u8>)>,
    /// What earlier processes left.
    past: Vec<u8>,
    durable: usize,
    writes: usize,
    fault: Fault,
}

impl Store {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            log: Vec::new(),
            past: Vec::new(),
            durable: 0,
            writes: 0,
            fault,
        }
    }

    pub(crate) fn write(&mut self, token: RecordToken, record: Vec<u8>) -> Option<Persisted> {
        let fails = match self.fault {
            Fault::None => false,
            Fault::Once(n) => self.writes == n,
            Fault::From(n) => self.writes >= n,
        };
        self.writes += 1;
        if fails {
            return Some(Persisted::Failed(token));
        }
        self.log.push((token, record));
        None
    }

    /// How many writes there were.
    pub(crate) const fn writes(&self) -> usize {
        self.writes
    }

    /// How many records are not durable.
    pub(crate) fn unsynced(&self) -> usize {
        self.log.len() - self.durable
    }

    pub(crate) fn sync(&mut self, count: usize) -> Persisted {
        self.durable += count;
        Persisted::Through(self.log[self.durable - 1].0)
    }

    /// The process ends, and so many of the records that are not durable survive: what the next one finds.
    pub(crate) fn crash(&mut self, surviving: usize) -> &[u8] {
        for (_, record) in self.log.drain(..).take(self.durable + surviving) {
            self.past.extend(record);
        }
        self.durable = 0;
        self.fault = Fault::None;
        &self.past
    }
}
