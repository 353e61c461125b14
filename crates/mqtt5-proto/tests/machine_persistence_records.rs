//! Records as bytes: cut off, damaged, in any order, too many, and such as no machine writes (S108).

mod machine;

use mqtt5_proto::{
    Config, Instant, Packet, PacketId, Properties, Property, QoS, Record, RecordError, Refused,
    TopicName,
};
use proptest::prelude::*;

use machine::packets::{encode, puback, publish};
use machine::store::{Store, busy, recording, restarted, write_ahead};
use machine::{Bed, End, Face, Small, Told, bytes, every_storage, parse};

use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    more_than_there_is_room_for,
    what_waits_needs_room,
    records_that_no_machine_writes,
    records_of_an_identifier_that_is_another_operations,
);

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

/// Restoring fails whole: afterwards the machine is as it was.
fn more_than_there_is_room_for<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(AtLeastOnce, "a").unwrap();
    store.save(&mut bed);
    let [_, _, (_, record)] = &store.log[..] else {
        panic!("{} records", store.log.len());
    };
    let (Record::Publish { op, publish, .. }, _) = Record::decode(record).unwrap() else {
        panic!("no publish");
    };
    let session = Record::Session {
        expiry_interval: 60,
    };
    let outbound = |count: u16, waiting: bool| {
        let records = (1..=count).map(move |value| {
            let delivery = machine::packets::delivery(AtLeastOnce, value, false);
            Record::Publish {
                op,
                publish: mqtt5_proto::packet::Publish {
                    delivery,
                    ..publish
                },
                expires: None,
                alias: false,
                waiting,
            }
        });
        records
            .flat_map(|record| bytes(&record))
            .collect::<Vec<u8>>()
    };
    let inbound: Vec<u8> = (1..=9)
        .flat_map(|value| bytes(&Record::Received { id: id(value) }))
        .collect();
    // One operation has one place: only the last of these counts.
    let mut bed = restarted::<F>(
        write_ahead(),
        &[bytes(&session), outbound(9, false)].concat(),
    );
    assert_eq!(bed.client.in_flight(), 1);
    bed.client.abandon().unwrap();
    bed.events();

    let many = [bytes(&session), inbound].concat();
    let result = bed.client.restore(bed.now, &many);
    assert_eq!(result, if F::FIXED { Err(Refused::Full) } else { Ok(()) });
    assert_eq!(bed.client.has_session(), !F::FIXED);
}

/// Whether it was sent or waits, a publish takes the same room.
fn what_waits_needs_room<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for value in 1..=8 {
        bed.publish(AtLeastOnce, "a").unwrap();
        bed.sent_bytes();
        bed.tell(&puback(value));
    }
    bed.lose();
    bed.resume(true, &[Property::ReceiveMaximum(1)]);
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "waits").unwrap();
    let records = bed.client.records();
    let waiting = parse(&records).pop().unwrap();
    let mut bed = Bed::<F>::keeping();
    for _ in 1..=8 {
        bed.publish(AtLeastOnce, "a").unwrap();
    }
    bed.sent_bytes();
    let full = [bed.client.records(), bytes(&waiting)].concat();
    let mut bed = nothing::<F>();
    let restored = bed.client.restore(bed.now, &full);
    assert_eq!(restored, if F::FIXED { Err(Refused::Full) } else { Ok(()) });
}

/// A Topic Alias means nothing on another connection, and a client never sends a Subscription Identifier.
fn records_that_no_machine_writes<F: Face>() {
    for (property, decodes) in [
        (Property::TopicAlias(1), true),
        (Property::SubscriptionIdentifier(1), false),
    ] {
        let list = [property];
        let publish = mqtt5_proto::packet::Publish {
            delivery: machine::packets::delivery(AtLeastOnce, 1, false),
            retain: false,
            topic: Some(TopicName::new("t").unwrap()),
            properties: Properties::new(&list).unwrap(),
            payload: b"a",
        };
        let mut bytes = vec![3, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        bytes.extend(encode(&Packet::Publish(publish)));
        assert_eq!(Record::decode(&bytes).is_ok(), decodes);
        if decodes {
            let mut bed = nothing::<F>();
            assert_eq!(
                bed.client.restore(bed.now, &bytes),
                Err(Refused::InvalidRecord)
            );
        }
    }
}

/// The end of an operation ends no other, and the last that is said of an identifier holds.
fn records_of_an_identifier_that_is_another_operations<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let [a, b] = ["a", "b"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    store.save(&mut bed);
    let ended = bytes(&Record::Ended { op: a, id: id(2) });
    let republished = bytes(&Record::Republished { op: a, id: id(2) });
    let (_, last) = &store.log[store.log.len() - 1];
    let Ok((Record::Publish { publish, .. }, _)) = Record::decode(last) else {
        panic!("no publish");
    };
    let published = bytes(&Record::Publish {
        op: a,
        publish,
        expires: None,
        alias: false,
        waiting: false,
    });
    for (record, left) in [
        (ended, &[(1, a), (2, b)][..]),
        (republished, &[(2, a)]),
        (published, &[(2, a)]),
    ] {
        let mut bed = restarted::<F>(write_ahead(), &[store.durable(), record].concat());
        assert_eq!(bed.resume(true, &[]), []);
        Store::default().save(&mut bed);
        bed.sent_bytes();
        for (id, op) in left {
            let end = Told::Completed(*op, End::delivered());
            assert_eq!(bed.tell(&puback(*id)), [end]);
        }
        bed.expect_empty();
    }
}

/// What could not be recorded any further is not taken over.
#[test]
fn a_session_without_room_for_its_records() {
    let (mut bed, mut store) = recording::<Small>();
    bed.publish(AtLeastOnce, "a").unwrap();
    store.save(&mut bed);
    let durable = store.durable();
    // Of one publish, one received message and the connection.
    let mut client = mqtt5_proto::fixed::Client::<1_024, 256, 64, 1, 1, 0, 11>::new(write_ahead());
    assert_eq!(client.restore(Instant::ZERO, parse(&durable)), Ok(()));
    let mut client = mqtt5_proto::fixed::Client::<1_024, 256, 64, 1, 1, 0, 10>::new(write_ahead());
    let restored = client.restore(Instant::ZERO, parse(&durable));
    assert_eq!(restored, Err(Refused::Full));
}

fn nothing<F: Face>() -> Bed<F> {
    Bed {
        client: F::keeping(Config::default()),
        now: Instant::ZERO,
    }
}

/// Records say themselves where they end.
#[test]
fn every_truncation_of_a_record_is_an_error() {
    let (_, store) = busy::<Small>();
    for (_, record) in &store.log {
        let (decoded, length) = Record::decode(record).unwrap();
        assert_eq!((bytes(&decoded), length), (record.clone(), record.len()));
        let mut short = vec![0; record.len() - 1];
        assert!(decoded.encode(&mut short).is_err());
        for length in 0..record.len() {
            let cut = Record::decode(&record[..length]);
            assert!(matches!(cut, Err(RecordError::Malformed(_))), "{cut:?}");
        }
    }
}

/// A machine with such a session, if it takes it, still works.
fn survive<F: Face>(records: &[u8]) {
    for config in [Config::default(), write_ahead()] {
        let mut bed = Bed {
            client: F::keeping(config),
            now: Instant::ZERO,
        };
        if bed.client.restore(bed.now, records).is_err() {
            continue;
        }
        bed.events();
        let mut store = Store::default();
        store.save(&mut bed);
        for session_present in [true, false] {
            let present = session_present && bed.client.has_session();
            bed.resume(present, &[]);
            store.save(&mut bed);
            bed.sent_bytes();
            let _ = bed.publish(ExactlyOnce, "new");
            store.save(&mut bed);
            bed.sent_bytes();
            bed.lose();
        }
        bed.client.abandon().unwrap();
        bed.events();
        bed.expect_empty();
    }
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let op = 1_u8..6;
    (1_u8..=8, op, 1_u8..6, any::<u8>(), 0_u8..8).prop_map(|(kind, op, id, byte, flags)| {
        let mut bytes = vec![kind];
        let mut operation = vec![0, 0, 0, 0, 0, 0, 0, op];
        match kind {
            1 => bytes.extend([0, 0, 0, byte % 2]),
            2 => {}
            3 => {
                let qos = if byte % 2 == 0 {
                    AtLeastOnce
                } else {
                    ExactlyOnce
                };
                bytes.append(&mut operation);
                bytes.push(flags);
                if flags & 1 != 0 {
                    bytes.extend([0, 0, 0, 0, 0, 0, byte, 0]);
                }
                bytes.extend(encode(&publish(qos, id.into(), "x")));
            }
            4..=6 => {
                bytes.append(&mut operation);
                bytes.extend([0, id]);
                bytes.extend((kind == 5).then_some(byte));
            }
            _ => bytes.extend([0, id]),
        }
        bytes
    })
}

proptest! {
    #[test]
    fn records_in_any_order_are_survived(records in proptest::collection::vec(record(), 0..40)) {
        let bytes = records.concat();
        #[cfg(feature = "alloc")]
        survive::<machine::Borrowing>(&bytes);
        survive::<Small>(&bytes);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = Record::decode(&bytes);
        #[cfg(feature = "alloc")]
        let _ = mqtt5_proto::SessionSnapshot::from_bytes(bytes);
    }
}

#[cfg(feature = "alloc")]
mod snapshots {
    use super::*;
    use machine::Borrowing;
    use mqtt5_proto::{Client, SessionSnapshot};

    fn full() -> Vec<u8> {
        let (bed, _) = busy::<Borrowing>();
        bed.client.client.snapshot().into_bytes()
    }

    #[test]
    fn a_snapshot_is_its_bytes() {
        let (bed, _) = busy::<Borrowing>();
        let snapshot = bed.client.client.snapshot();
        let again = SessionSnapshot::from_bytes(snapshot.as_bytes().to_vec()).unwrap();
        assert_eq!(again, snapshot);
        let records: Vec<u8> = again.records().flat_map(|record| bytes(&record)).collect();
        assert_eq!(records, bed.client.records());
        let mut client = Client::new(Config::default());
        client.restore(Instant::ZERO, again.records()).unwrap();
        assert_eq!(client.snapshot(), snapshot);
    }

    #[test]
    fn no_snapshot() {
        let from = |bytes: &[u8]| SessionSnapshot::from_bytes(bytes.to_vec()).map(drop);
        assert_eq!(from(b""), Err(RecordError::NoSnapshot));
        assert_eq!(from(b"mqtt5 session"), Err(RecordError::NoSnapshot));
        assert_eq!(from(b"mqtt5 zession\x01"), Err(RecordError::NoSnapshot));
        assert_eq!(
            from(b"mqtt5 session\x02"),
            Err(RecordError::UnknownFormat(2))
        );
        assert_eq!(from(b"mqtt5 session\x01"), Ok(()));
        assert_eq!(
            from(b"mqtt5 session\x01\x0B"),
            Err(RecordError::UnknownKind(11))
        );
    }

    #[test]
    fn every_truncation_of_a_snapshot_is_an_error_or_a_shorter_one() {
        let bytes = full();
        for length in 0..bytes.len() {
            if let Ok(snapshot) = SessionSnapshot::from_bytes(bytes[..length].to_vec()) {
                let mut client = Client::new(Config::default());
                client.restore(Instant::ZERO, snapshot.records()).unwrap();
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_snapshot_is_survived() {
        let whole = full();
        for index in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[index] ^= 1 << bit;
                if let Ok(snapshot) = SessionSnapshot::from_bytes(damaged) {
                    let records: Vec<u8> = snapshot
                        .records()
                        .flat_map(|record| bytes(&record))
                        .collect();
                    survive::<Borrowing>(&records);
                }
            }
        }
    }
}
