//! The write-ahead journal: what must be durable before the packets that depend on it may be encoded.

use core::marker::PhantomData;

use crate::client::Op;
use crate::storage::Queue;
use crate::{PacketId, Persisted, RecordToken};

/// No storage keeps more records than this: twice what 65,535 operations and as many received messages can need.
const MAXIMUM: usize = 1 << 20;

/// One record, without what the session itself holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Session {
        expiry_interval: u32,
    },
    SessionLost,
    Assumed {
        clear: u16,
    },
    Publish {
        op: Op,
        id: PacketId,
    },
    Republished {
        op: Op,
        id: PacketId,
    },
    Released {
        op: Op,
        id: PacketId,
    },
    Ended {
        op: Op,
        id: PacketId,
    },
    InDoubt {
        id: PacketId,
    },
    Received {
        id: PacketId,
    },
    Finished {
        id: PacketId,
    },
    /// What it was about is gone; nothing depends on it.
    Void,
}

/// Records that are not durable yet, in their order; each has a number, counted from 1.
#[derive(Debug)]
pub(crate) struct Journal<Q> {
    entries: Q,
    /// The number of the oldest of `entries`.
    first: u64,
    /// The number of the last one that was given out to be written.
    given: u64,
    /// The number of the last one that is durable.
    durable: u64,
    entry: PhantomData<Entry>,
}

impl<Q: Queue<Entry>> Journal<Q> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Q::default(),
            first: 1,
            given: 0,
            durable: 0,
            entry: PhantomData,
        }
    }

    /// An empty one that does not use the numbers of this one again: what is still to be said of these says nothing about
    /// its own.
    pub(crate) fn successor(&self) -> Self {
        let last = self.first.saturating_add(self.entries.len() as u64);
        let last = last.saturating_sub(1);
        Self {
            first: last.saturating_add(1),
            given: last,
            durable: last,
            ..Self::new()
        }
    }

    /// How many more records there is room for.
    pub(crate) fn room(&self) -> usize {
        let capacity = self.entries.capacity().min(MAXIMUM);
        capacity.saturating_sub(self.entries.len())
    }

    /// Adds a record, for which there must be room, and gives its number.
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        let number = self.first.saturating_add(self.entries.len() as u64);
        // Room was asked for before what makes the record necessary was accepted.
        let _ = self.entries.push_back(entry);
        number
    }

    pub(crate) const fn is_durable(&self, number: u64) -> bool {
        number <= self.durable
    }

    pub(crate) const fn is_given(&self, number: u64) -> bool {
        number <= self.given
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    /// The next record to write, with its number.
    pub(crate) fn next(&self) -> Option<(u64, Entry)> {
        let number = self.given.saturating_add(1);
        let entry = self.entries.get(self.index(number)?)?;
        Some((number, *entry))
    }

    /// The next record was given out.
    pub(crate) fn give(&mut self) -> RecordToken {
        self.given = self.given.saturating_add(1);
        RecordToken(self.given)
    }

    /// Takes back the record of a publish, if it was not given out: true if so.
    pub(crate) fn take_back(&mut self, number: u64) -> bool {
        if self.is_given(number) {
            return false;
        }
        let entry = self.index(number).and_then(|i| self.entries.get_mut(i));
        match entry {
            Some(entry @ Entry::Publish { .. }) => {
                *entry = Entry::Void;
                true
            }
            _ => false,
        }
    }

    /// Nothing depends on this record any more; gives what it was.
    pub(crate) fn void(&mut self, number: u64) -> Option<Entry> {
        let index = self.index(number)?;
        let entry = self.entries.get_mut(index)?;
        Some(core::mem::replace(entry, Entry::Void))
    }

    /// Takes note of what was written; gives the record that was not.
    pub(crate) fn persisted(&mut self, persisted: Persisted) -> Option<Entry> {
        match persisted {
            Persisted::Through(RecordToken(number)) => {
                self.durable = self.durable.max(number.min(self.given));
                None
            }
            Persisted::Failed(RecordToken(number)) if self.is_given(number) => self.void(number),
            Persisted::Failed(_) => None,
        }
    }

    /// The oldest record, once it is durable.
    pub(crate) fn front(&self) -> Option<(u64, Entry)> {
        let entry = *self.entries.front()?;
        (self.is_durable(self.first) || entry == Entry::Void).then_some((self.first, entry))
    }

    /// What the oldest record permits was done.
    pub(crate) fn pop(&mut self) {
        if self.entries.pop_front().is_some() {
            self.given = self.given.max(self.first);
            self.first = self.first.saturating_add(1);
        }
    }
}
