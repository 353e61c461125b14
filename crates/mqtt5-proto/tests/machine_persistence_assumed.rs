//! What of the identifiers of an assumed session outlives its process. A publish that may have left under an identifier is not
//! cleared, since that would make two messages of it; one that has not waits until its identifier is.

mod machine;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{Config, QoS, Record};

use machine::assumed::{
    SPARE, answer, assumed, assumed_with, expect_pubrels, recording, take_over,
};
use machine::packets::{again, delivery, filter, publish, pubrel, subscribe};
use machine::store::{Kind, Store, kinds, restarted, write_ahead};
use machine::{Bed, Face, every_storage, parse};

use QoS::ExactlyOnce;

every_storage!(
    a_record_stands_between_clear_and_use,
    a_restart_while_identifiers_are_cleared,
    a_restart_after_identifiers_were_cleared,
    a_restart_before_the_session_is_recorded,
    what_was_recorded_before_is_cleared_too,
    a_snapshot_remembers_what_is_clear,
    requests_find_an_identifier_where_publishes_have_the_last,
);

/// The server has nothing under these, and that is recorded.
fn clear<F: Face>(bed: &mut Bed<F>, ids: impl IntoIterator<Item = u16>) {
    answer(bed, ids);
    Store::default().save(bed);
}

/// New processes that begin with the durable records and with a snapshot, in the session that they resume.
fn resumed<F: Face>(bed: &Bed<F>, store: &Store) -> [Bed<F>; 2] {
    [store.durable(), bed.client.records()].map(|records| {
        let mut bed = restarted::<F>(write_ahead(), &records);
        assert_eq!(bed.resume(true, &[]), []);
        Store::default().save(&mut bed);
        bed
    })
}

/// Otherwise a restart would clear an identifier whose PUBLISH has left, and send it again as a new message.
fn a_record_stands_between_clear_and_use<F: Face>() {
    let mut bed = assumed_with::<F>(recording(), &[]);
    let mut store = Store::default();
    let begun = [Kind::Assumed(0), Kind::Session(3_600)];
    assert_eq!(store.write(&mut bed), begun);
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    expect_pubrels(&mut bed, 1..=1 + SPARE);
    assert_eq!(store.write(&mut bed), [Kind::Publish(op, 1)]);
    answer(&mut bed, [1, 2]);
    assert_eq!(store.write(&mut bed), [], "one after the other");
    store.sync(&mut bed);
    bed.expect_sent(&[]);
    answer(&mut bed, [3]);
    assert_eq!(store.write(&mut bed), [Kind::Assumed(2)]);
    bed.expect_sent(&[]);
    assert_eq!(store.sync(&mut bed), []);
    // What has become clear since waits for its own record only.
    assert_eq!(store.write(&mut bed), [Kind::Assumed(3)]);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
}

/// Its PUBLISH has not left, and the server may hold its identifier.
fn a_restart_while_identifiers_are_cleared<F: Face>() {
    let mut bed = assumed_with::<F>(recording(), &[]);
    let mut store = Store::default();
    bed.publish(ExactlyOnce, "x").unwrap();
    store.save(&mut bed);
    expect_pubrels(&mut bed, 1..=1 + SPARE);
    for mut bed in resumed(&bed, &store) {
        expect_pubrels(&mut bed, [1]);
        clear(&mut bed, [1]);
        bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
    }
}

/// Its PUBLISH may have left: it is not cleared again, since that would make a new message of it.
fn a_restart_after_identifiers_were_cleared<F: Face>() {
    let mut bed = assumed_with::<F>(recording(), &[]);
    let mut store = Store::default();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.publish(ExactlyOnce, "y").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    answer(&mut bed, [1]);
    store.save(&mut bed);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
    for mut bed in resumed(&bed, &store) {
        bed.expect_sent(&[pubrel(2), again(ExactlyOnce, 1, "x")]);
        clear(&mut bed, [2]);
        bed.expect_sent(&[publish(ExactlyOnce, 2, "y")]);
    }
}

/// The record that says that the session was assumed comes first, so that nobody takes it for a known one.
fn a_restart_before_the_session_is_recorded<F: Face>() {
    let mut bed = assumed_with::<F>(recording(), &[]);
    let mut store = Store::default();
    store.write(&mut bed);
    for count in 0..=2 {
        let mut bed = restarted::<F>(recording(), &store.prefix(count));
        take_over(&mut bed, &[]);
        Store::default().save(&mut bed);
        bed.publish(ExactlyOnce, "x").unwrap();
        expect_pubrels(&mut bed, 1..=1 + SPARE);
    }
}

/// What waits from before the session was assumed has its identifiers already.
fn what_was_recorded_before_is_cleared_too<F: Face>() {
    let mut bed = Bed::<F>::keeping_with(recording());
    let mut store = Store::default();
    store.save(&mut bed);
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    store.save(&mut bed);
    let records: Vec<u8> = store.log[2..].iter().flat_map(|(_, r)| r.clone()).collect();
    let lost = machine::bytes(&Record::SessionLost);
    let mut bed = restarted::<F>(recording(), &[lost, records].concat());
    assert!(bed.client.is_pending(op));
    take_over(&mut bed, &[]);
    Store::default().save(&mut bed);
    expect_pubrels(&mut bed, [1]);
    clear(&mut bed, [1]);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
}

/// Also without records: what is in flight goes on, and what was never cleared is.
fn a_snapshot_remembers_what_is_clear<F: Face>() {
    let mut bed = assumed::<F>();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    answer(&mut bed, [1]);
    bed.sent_bytes();
    let records = bed.client.records();
    assert!(kinds(&records).contains(&Kind::Assumed(1)));
    let mut bed = restarted::<F>(Config::default(), &records);
    bed.resume(true, &[]);
    bed.expect_sent(&[again(ExactlyOnce, 1, "x")]);
    bed.publish(ExactlyOnce, "y").unwrap();
    expect_pubrels(&mut bed, 2..=2 + SPARE);
}

/// A publish of an earlier process may have it, and waits for many others to become clear.
fn requests_find_an_identifier_where_publishes_have_the_last<F: Face>() {
    let mut earlier = Bed::<F>::keeping_with(write_ahead());
    earlier.publish(ExactlyOnce, "x").unwrap();
    let mut records = machine::bytes(&Record::SessionLost);
    for record in parse(&earlier.client.records()) {
        if let Record::Publish {
            op,
            publish,
            expires,
            alias,
            waiting,
        } = record
        {
            let delivery = delivery(ExactlyOnce, u16::MAX, false);
            let publish = Publish {
                delivery,
                ..publish
            };
            let record = Record::Publish {
                op,
                publish,
                expires,
                alias,
                waiting,
            };
            records.extend(machine::bytes(&record));
        }
    }
    let mut bed = restarted::<F>(recording(), &records);
    take_over(&mut bed, &[]);
    Store::default().save(&mut bed);
    expect_pubrels(&mut bed, 1..=128);
    let filters = [filter("f")];
    for id in [65_534, 65_533] {
        bed.subscribe(&["f"]).unwrap();
        bed.expect_sent(&[subscribe(id, &filters)]);
    }
}
