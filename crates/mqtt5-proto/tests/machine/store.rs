//! A store for scripts: what was written, how much of it is durable, and a new process that begins with that.

use mqtt5_proto::{Config, Op, Persisted, QoS, Record, RecordToken};

use super::bed::Bed;
use super::face::{Face, parse};
use super::packets::{puback, pubcomp, publish, pubrec, pubrel};
use super::told::Told;

/// A record without its message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Session(u32),
    SessionLost,
    Publish(Op, u16),
    Waiting(Op),
    Republished(Op, u16),
    Released(Op, u16),
    Ended(Op, u16),
    Received(u16),
    Finished(u16),
    InDoubt(u16),
    Assumed(u16),
}

pub(crate) fn kind(record: &Record<'_>) -> Kind {
    match *record {
        Record::Session { expiry_interval } => Kind::Session(expiry_interval),
        Record::SessionLost => Kind::SessionLost,
        Record::Publish {
            op, waiting: true, ..
        } => Kind::Waiting(op),
        Record::Publish { op, publish, .. } => {
            Kind::Publish(op, publish.delivery.packet_id().unwrap().value())
        }
        Record::Republished { op, id } => Kind::Republished(op, id.value()),
        Record::Released { op, id, .. } => Kind::Released(op, id.value()),
        Record::Ended { op, id } => Kind::Ended(op, id.value()),
        Record::Received { id } => Kind::Received(id.value()),
        Record::InDoubt { id } => Kind::InDoubt(id.value()),
        Record::Finished { id } => Kind::Finished(id.value()),
        Record::Assumed { clear } => Kind::Assumed(clear),
        _ => panic!("unknown record {record:?}"),
    }
}

pub(crate) fn kinds(bytes: &[u8]) -> Vec<Kind> {
    parse(bytes).iter().map(kind).collect()
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) log: Vec<(RecordToken, Vec<u8>)>,
    durable: usize,
}

impl Store {
    /// Writes what the machine gives; none of it is durable yet.
    pub(crate) fn write<F: Face>(&mut self, bed: &mut Bed<F>) -> Vec<Kind> {
        let first = self.log.len();
        while let Some((token, record)) = bed.client.poll_persist() {
            assert!(
                self.log.last().is_none_or(|(last, _)| *last < token),
                "tokens go up"
            );
            self.log.push((token, record));
        }
        let new = self.log[first..].iter();
        new.flat_map(|(_, bytes)| kinds(bytes)).collect()
    }

    /// The next record is durable.
    pub(crate) fn sync_one<F: Face>(&mut self, bed: &mut Bed<F>) -> Vec<Told> {
        let (token, _) = self.log[self.durable];
        self.durable += 1;
        bed.client
            .handle_persisted(bed.now, Persisted::Through(token));
        bed.events()
    }

    /// All that was written is durable.
    pub(crate) fn sync<F: Face>(&mut self, bed: &mut Bed<F>) -> Vec<Told> {
        self.durable = self.log.len();
        let (token, _) = *self.log.last().unwrap();
        bed.client
            .handle_persisted(bed.now, Persisted::Through(token));
        bed.events()
    }

    /// Writes what the machine gives until there is nothing more, all of it durable.
    pub(crate) fn save<F: Face>(&mut self, bed: &mut Bed<F>) -> Vec<Told> {
        let mut told = bed.events();
        while !self.write(bed).is_empty() {
            told.extend(self.sync(bed));
        }
        told
    }

    /// The next record that is not durable cannot be written, and is forgotten.
    pub(crate) fn fail<F: Face>(&mut self, bed: &mut Bed<F>) {
        let (token, _) = self.log.remove(self.durable);
        bed.client
            .handle_persisted(bed.now, Persisted::Failed(token));
    }

    /// What a new process finds when the first `count` records were written.
    pub(crate) fn prefix(&self, count: usize) -> Vec<u8> {
        let records = self.log[..count].iter();
        records.flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// What a new process finds.
    pub(crate) fn durable(&self) -> Vec<u8> {
        self.prefix(self.durable)
    }
}

pub(crate) fn write_ahead() -> Config {
    let mut config = Config::default();
    config.write_ahead = true;
    config
}

/// A machine that records, and its store; connected, all durable, nothing to send.
pub(crate) fn recording<F: Face>() -> (Bed<F>, Store) {
    recording_with(write_ahead())
}

pub(crate) fn recording_with<F: Face>(config: Config) -> (Bed<F>, Store) {
    let mut bed = Bed::keeping_with(config);
    let mut store = Store::default();
    let begun = [Kind::SessionLost, Kind::Session(3_600)];
    assert_eq!(store.write(&mut bed), begun);
    assert_eq!(store.sync(&mut bed), []);
    bed.expect_sent(&[]);
    (bed, store)
}

/// A new process, that begins with these records; its own are written behind them.
pub(crate) fn restarted<F: Face>(config: Config, records: &[u8]) -> Bed<F> {
    let mut bed = Bed {
        client: F::keeping(config),
        now: mqtt5_proto::Instant::ZERO,
    };
    bed.client.restore(bed.now, records).unwrap();
    bed
}

/// A busy session: every kind of record, and every phase at the end.
pub(crate) fn busy<F: Face>() -> (Bed<F>, Store) {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(QoS::AtLeastOnce, "old").unwrap();
    bed.publish(QoS::AtLeastOnce, "older").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    bed.resume(false, &[]);
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&puback(4));
    for text in ["a", "b", "c"] {
        bed.publish(QoS::ExactlyOnce, text).unwrap();
    }
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(7));
    bed.tell(&pubrec(5));
    store.save(&mut bed);
    bed.tell(&pubcomp(7));
    for id in [7, 8] {
        let token = bed.token(&publish(QoS::ExactlyOnce, id, "in"));
        bed.ack(token);
    }
    store.save(&mut bed);
    bed.tell(&pubrel(7));
    store.save(&mut bed);
    bed.sent_bytes();
    (bed, store)
}
