//! What a store and its failures add to a storm: records, restarts, snapshots.

use std::collections::BTreeSet;

use mqtt5_proto::{Persisted, Refused, State};

use super::chaos::{Chaos, Storm};
use super::disk::publishes;
use super::face::{Face, bytes, parse};
use super::store::kinds;

/// The most records that [`Small`](super::Small) may keep.
const RECORDS: usize = 52;

impl<F: Face> Storm<'_, F> {
    /// The store or the process does something.
    pub(super) fn store(&mut self, step: &Chaos) {
        match step {
            Chaos::Record(count) => self.record(*count),
            Chaos::Durable(count) => {
                let behind = self.disk.behind();
                let count = usize::from(*count).min(behind);
                if let (1.., Some(token)) = (count, self.disk.sync(count)) {
                    self.report(Persisted::Through(token));
                }
            }
            Chaos::Failed(n) if self.disk.behind() > 0 => {
                let failure = self.disk.fail(usize::from(*n) % self.disk.behind());
                self.stopped |= failure.stops;
                self.report(Persisted::Failed(failure.token));
            }
            Chaos::Stale(n, failed) => {
                let place = usize::from(*n) % self.past.len().max(1);
                if let Some(token) = self.past.get(place) {
                    self.report(if *failed {
                        Persisted::Failed(*token)
                    } else {
                        Persisted::Through(*token)
                    });
                }
            }
            Chaos::Restart(found) => {
                self.compare();
                let found = usize::from(*found) % (self.disk.behind() + 1);
                let log = self.disk.found(found);
                self.restart(log).unwrap();
            }
            Chaos::Shuffled(first, second) => self.shuffled(*first, *second),
            Chaos::Snapshot => {
                let log = self.snapshot();
                self.restart(log).unwrap();
            }
            Chaos::Restore => self.restore(),
            _ => {}
        }
    }

    /// How many bytes the store takes, or a few more.
    pub(crate) fn stored(&self) -> usize {
        self.disk.size()
    }

    fn report(&mut self, persisted: Persisted) {
        self.bed.client.handle_persisted(self.bed.now, persisted);
    }

    /// Writes what the machine gives.
    fn record(&mut self, count: usize) {
        for _ in 0..count {
            let Some((token, bytes)) = self.bed.client.poll_persist() else {
                break;
            };
            assert!(self.write_ahead && !self.stopped);
            self.disk.write(token, bytes);
        }
        assert!(!F::FIXED || self.disk.behind() <= RECORDS);
    }

    /// All records are worth as much as the whole session.
    fn compare(&mut self) {
        self.poll(usize::MAX);
        let connected = self.bed.client.state() != State::Disconnected;
        if !self.write_ahead || self.stopped || self.in_doubt || connected {
            return;
        }
        self.record(usize::MAX);
        let log = self.disk.found(self.disk.behind()).concat();
        let [log, whole] = [log, self.bed.client.records()].map(|records| {
            let mut client = F::keeping(self.config);
            client.restore(self.bed.now, &records).unwrap();
            while client.poll_event(self.bed.now).is_some() {}
            client.records()
        });
        assert_eq!(publishes(&log), publishes(&whole));
        // Without a session identifiers mean nothing.
        if self.bed.client.has_session() {
            assert_eq!(kinds(&log), kinds(&whole));
            assert_eq!(log, whole);
        }
    }

    /// The whole session, record by record.
    fn snapshot(&self) -> Vec<Vec<u8>> {
        let whole = self.bed.client.records();
        parse(&whole).iter().map(bytes).collect()
    }

    /// Records in another order, some of them twice, some missing.
    fn shuffled(&mut self, first: u8, second: u8) {
        let mut log = self.disk.found(self.disk.behind());
        if let 1.. = log.len() {
            let [first, second] = [first, second].map(|n| usize::from(n) % log.len());
            match (first + second) % 3 {
                0 => log.swap(first, second),
                1 => log.rotate_left(first),
                _ => log.extend_from_within(first.min(second)..=first.max(second)),
            }
        }
        self.disk.forget_order();
        self.wire.expect_no_order();
        if self.restart(log).is_err() {
            self.restart(Vec::new()).unwrap();
        }
    }

    /// A new process.
    fn restart(&mut self, log: Vec<Vec<u8>>) -> Result<(), Refused> {
        self.bed.client = if self.sessions {
            F::keeping(self.config)
        } else {
            F::new(self.config)
        };
        self.wire.close();
        self.tokens.clear();
        self.past.clear();
        self.bed.client.restore(self.bed.now, &log.concat())?;
        self.begin(log, true);
        Ok(())
    }

    /// The same machine goes on from what is durable, if it may.
    fn restore(&mut self) {
        let log = self.disk.found(0);
        let restored = self.bed.client.restore(self.bed.now, &log.concat());
        if restored.is_err() {
            return;
        }
        assert!(self.ends.values().all(|count| *count == 1));
        self.past.extend(self.disk.last());
        self.begin(log, false);
    }

    fn begin(&mut self, log: Vec<Vec<u8>>, new: bool) {
        self.stopped = false;
        self.in_doubt = false;
        let kept = publishes(&self.bed.client.records());
        self.ends = kept.iter().map(|op| (*op, 0)).collect();
        let all: BTreeSet<_> = publishes(&log.concat());
        self.settled = &all - &kept;
        self.disk.begin(log, new);
    }
}
