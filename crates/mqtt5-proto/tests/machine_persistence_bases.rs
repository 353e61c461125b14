//! All of a session at some moment, and the records that came after it, are the session; and what else a restart must know.

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{Config, Instant, Outbound, Properties, Property, QoS, Refused, TopicName};

use machine::packets::{again, connack, puback, publish, pubrec};
use machine::store::{Kind, Store, kinds, recording, restarted, write_ahead};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, secs};

use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    a_base_in_a_session_without_expiry,
    a_base_while_clean_start_is_in_doubt,
    identifiers_in_doubt_rest_after_a_restart,
    records_in_a_machine_that_writes_none,
    an_expired_publish_is_not_sent,
    withdrawn_and_not_stored,
    abandoned_again_and_again,
);

/// A base, and the records that were written after it.
fn with_tail(base: &[u8], store: &Store, from: usize) -> Vec<u8> {
    let head = store.prefix(from).len();
    [base, &store.durable()[head..]].concat()
}

/// Its session ends with the process, so that nobody knows what became of the publish.
fn a_base_in_a_session_without_expiry<F: Face>() {
    let mut bed = Bed {
        client: F::keeping(write_ahead()),
        now: Instant::ZERO,
    };
    let mut store = Store::default();
    bed.reopen_with(true, 0);
    bed.connack(false, &[]);
    store.save(&mut bed);
    let (base, from) = (bed.client.records(), store.log.len());
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    store.save(&mut bed);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);

    let mut bed = restarted::<F>(write_ahead(), &with_tail(&base, &store, from));
    assert_eq!(bed.events(), [Told::Completed(op, End::Unknown)]);
    bed.expect_empty();
}

/// The server refuses, and so the session has never ended.
fn a_base_while_clean_start_is_in_doubt<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let token = bed.token(&publish(ExactlyOnce, 7, "in"));
    bed.ack(token);
    bed.publish(ExactlyOnce, "out").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    let (base, from) = (bed.client.records(), store.log.len());
    bed.feed(&connack(0x88, Properties::EMPTY));
    store.save(&mut bed);

    let mut bed = restarted::<F>(write_ahead(), &with_tail(&base, &store, from));
    assert!(bed.client.has_session());
    bed.resume(true, &[]);
    Store::default().save(&mut bed);
    bed.expect_sent(&[again(ExactlyOnce, 1, "out")]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
    bed.expect_sent(&[pubrec(7)]);
}

/// The server may wait for PUBREL under this one, and would take another message for the same.
fn identifiers_in_doubt_rest_after_a_restart<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    let told = bed.resume(true, &[Property::MaximumQoS(AtLeastOnce as u8)]);
    let limit = End::LimitExceeded(Refused::QoSNotSupported(AtLeastOnce));
    assert_eq!(told, [Told::Completed(op, limit)]);
    store.save(&mut bed);
    let all = bed.client.records();
    assert_eq!(kinds(&all), [Kind::Session(3_600), Kind::InDoubt(1)]);
    for records in [all, store.durable()] {
        let mut bed = restarted::<F>(write_ahead(), &records);
        bed.resume(true, &[]);
        let mut store = Store::default();
        bed.publish(ExactlyOnce, "y").unwrap();
        store.save(&mut bed);
        bed.expect_sent(&[publish(ExactlyOnce, 2, "y")]);
    }
}

/// What was never sent is sent, ends, and leaves nothing.
fn records_in_a_machine_that_writes_none<F: Face>() {
    let mut bed = restarted::<F>(Config::default(), &{
        let (mut bed, _) = recording::<F>();
        bed.publish(AtLeastOnce, "x").unwrap();
        bed.lose();
        bed.reopen_with(false, 0);
        bed.connack(false, &[]);
        bed.events();
        bed.client.handle_closed(bed.now);
        bed.events();
        bed.client.records()
    });
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (1, 0));
    bed.reopen();
    bed.lose();
    assert_eq!(bed.resume(false, &[]), []);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "x")]);
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 1));
    let told = bed.tell(&puback(2));
    assert!(matches!(told[..], [Told::Completed(_, End::Delivered(..))]));
    bed.expect_empty();
}

/// Even if nobody has said that the time is over.
fn an_expired_publish_is_not_sent<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let list = [Property::MessageExpiryInterval(1)];
    let message = Outbound {
        properties: Properties::new(&list).unwrap(),
        ..Outbound::new(TopicName::new("t").unwrap(), AtLeastOnce, "x")
    };
    let op = bed.client.publish(bed.now, &message).unwrap();
    store.write(&mut bed);
    bed.wait(secs(2));
    assert_eq!(store.sync(&mut bed), [Told::Completed(op, End::Expired)]);
    bed.expect_sent(&[]);
    assert_eq!(store.write(&mut bed), [Kind::Ended(op, 1)]);
}

/// Nothing is owed for those that were withdrawn.
fn withdrawn_and_not_stored<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let [a, b, c] = ["a", "b", "c"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    store.write(&mut bed);
    bed.lose();
    for _ in 0..3 {
        store.fail(&mut bed);
    }
    assert!(bed.client.withdraw(a) && bed.client.withdraw(c));
    assert_eq!(bed.events(), [Told::Completed(b, End::NotStored)]);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_empty();
}

/// There is nothing to say that was not said.
fn abandoned_again_and_again<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    for _ in 0..100 {
        bed.client.abandon().unwrap();
        assert_eq!(bed.events(), []);
    }
    assert_eq!(store.write(&mut bed), [Kind::SessionLost]);
}
