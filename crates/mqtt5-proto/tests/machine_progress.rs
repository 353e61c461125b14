//! How far a publish has come, and where the bytes of a message end (D36, N5).

mod machine;

use mqtt5_proto::{Config, Op, Progress, Property, QoS};

use machine::packets::{again, encode, puback, pubcomp, publish, pubrec, pubrel};
use machine::store::{recording, restarted};
use machine::{Bed, End, Face, Told, every_storage};

use Progress::{Encoded, Pending, Received, Written};
use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    every_stage_of_an_exchange,
    a_publish_that_waits_is_pending,
    one_that_was_written_stays_so,
    what_is_sent_as_new_begins_again,
    a_restored_publish_may_have_left,
    one_that_waits_for_its_record_is_pending,
    the_end_of_a_qos_0_message,
    the_end_of_a_qos_0_message_that_had_to_wait,
    what_a_lost_connection_has_not_sent_counts_no_more,
);

#[track_caller]
fn expect<F: Face>(bed: &Bed<F>, op: Op, progress: impl Into<Option<Progress>>) {
    assert_eq!(bed.client.progress(op), progress.into());
}

fn every_stage_of_an_exchange<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let first = bed.publish(AtLeastOnce, "a").unwrap();
    let second = bed.publish(ExactlyOnce, "b").unwrap();
    let end = bed.client.unsent();
    let first_end = end / 2;
    expect(&bed, first, Encoded);
    // All but the last byte of the first, then that, then all but the last byte of the second.
    bed.client.transmit(bed.now, first_end - 1);
    expect(&bed, first, Encoded);
    bed.client.transmit(bed.now, 1);
    expect(&bed, first, Written);
    bed.client.transmit(bed.now, end - first_end - 1);
    expect(&bed, second, Encoded);
    bed.client.transmit(bed.now, 1);
    expect(&bed, second, Written);
    assert_eq!(bed.tell(&pubrec(2)), []);
    expect(&bed, second, Received);
    bed.expect_sent(&[pubrel(2)]);
    expect(&bed, second, Received);
    bed.tell(&pubcomp(2));
    expect(&bed, second, None);
    bed.tell(&puback(1));
    expect(&bed, first, None);
}

fn a_publish_that_waits_is_pending<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    let first = bed.publish(AtLeastOnce, "a").unwrap();
    let second = bed.publish(AtLeastOnce, "b").unwrap();
    let third = bed.publish(AtMostOnce, "c").unwrap();
    bed.sent_bytes();
    for op in [second, third] {
        expect(&bed, op, Pending);
    }
    assert!(bed.client.withdraw(third));
    expect(&bed, third, None);
    bed.tell(&puback(1));
    expect(&bed, first, None);
    bed.client.transmit(bed.now, bed.client.unsent() - 1);
    expect(&bed, second, Encoded);
    bed.sent_bytes();
    expect(&bed, second, Written);
}

/// What was written as a whole is so again only for the bytes; for the message it is a milestone.
fn one_that_was_written_stays_so<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let whole = bed.publish(AtLeastOnce, "whole").unwrap();
    bed.sent_bytes();
    let part = bed.publish(AtLeastOnce, "part").unwrap();
    let none = bed.publish(AtLeastOnce, "none").unwrap();
    bed.client.transmit(bed.now, 1);
    bed.lose();
    expect(&bed, whole, Written);
    expect(&bed, part, Encoded);
    // The transport was given all of it, too.
    expect(&bed, none, Encoded);
    bed.reopen();
    expect(&bed, part, Encoded);
    bed.connack(true, &[]);
    bed.events();
    expect(&bed, whole, Written);
    expect(&bed, part, Encoded);
    bed.expect_sent(&[
        again(AtLeastOnce, 1, "whole"),
        again(AtLeastOnce, 2, "part"),
        again(AtLeastOnce, 3, "none"),
    ]);
    for op in [whole, part, none] {
        expect(&bed, op, Written);
    }
}

fn what_is_sent_as_new_begins_again<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    // The transport was given nothing of it.
    bed.lose();
    expect(&bed, op, Pending);
    bed.resume(true, &[]);
    bed.sent_bytes();
    expect(&bed, op, Written);
    bed.lose();
    expect(&bed, op, Written);
    bed.resume(false, &[]);
    expect(&bed, op, Encoded);
    bed.sent_bytes();
    expect(&bed, op, Written);
}

fn a_restored_publish_may_have_left<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    let mut bed = restarted::<F>(Config::default(), &store.durable());
    expect(&bed, op, Encoded);
    bed.resume(true, &[]);
    bed.client.transmit(bed.now, bed.client.unsent() - 1);
    expect(&bed, op, Encoded);
    bed.sent_bytes();
    expect(&bed, op, Written);
}

fn one_that_waits_for_its_record_is_pending<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    expect(&bed, op, Pending);
    store.save(&mut bed);
    expect(&bed, op, Encoded);
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    expect(&bed, op, Received);
    // Published again in the next session, before its record is durable.
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    expect(&bed, op, Written);
    bed.reopen();
    bed.connack(false, &[]);
    bed.events();
    expect(&bed, op, Pending);
    store.save(&mut bed);
    expect(&bed, op, Encoded);
    bed.sent_bytes();
    expect(&bed, op, Written);
}

fn the_end_of_a_qos_0_message<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let before = bed.client.sent_position();
    assert_eq!(before, bed.client.statistics().bytes_sent);
    assert_eq!(bed.client.queued_position(), before);
    bed.publish(AtMostOnce, "a").unwrap();
    let end = bed.client.queued_position();
    let length = u64::try_from(bed.client.unsent()).unwrap();
    assert_eq!(end, before + length);
    bed.publish(AtMostOnce, "b").unwrap();
    assert_eq!(bed.client.queued_position(), end + length);
    bed.client.transmit(bed.now, bed.client.unsent() / 2 - 1);
    assert_eq!(bed.client.sent_position(), end - 1);
    bed.client.transmit(bed.now, 1);
    assert_eq!(bed.client.sent_position(), end);
    bed.sent_bytes();
    assert_eq!(bed.client.sent_position(), bed.client.queued_position());
}

/// `Accepted` comes when nothing is encoded behind it yet.
fn the_end_of_a_qos_0_message_that_had_to_wait<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    for text in ["a", "b"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    let first = bed.publish(AtMostOnce, "c").unwrap();
    let second = bed.publish(AtMostOnce, "longer").unwrap();
    bed.sent_bytes();
    let before = bed.client.sent_position();
    bed.feed(&puback(1));
    let mut ends = Vec::new();
    while let Some(event) = bed.client.poll_event(bed.now) {
        if let Told::Completed(op, End::Accepted) = event {
            ends.push((op, bed.client.queued_position() - before));
        }
    }
    let exchange = encode(&publish(AtLeastOnce, 2, "b")).len() as u64;
    assert_eq!(ends, [(first, exchange + 7), (second, exchange + 7 + 12)]);
}

fn what_a_lost_connection_has_not_sent_counts_no_more<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtMostOnce, "a").unwrap();
    bed.client.transmit(bed.now, 1);
    let sent = bed.client.sent_position();
    assert!(bed.client.queued_position() > sent);
    bed.client.handle_closed(bed.now);
    assert_eq!(bed.client.queued_position(), sent);
    bed.events();
    assert_eq!(bed.client.sent_position(), sent);
    bed.open();
    bed.accept(&[]);
    assert!(bed.client.sent_position() > sent);
    bed.expect_sent(&[]);
    assert_eq!(bed.client.queued_position(), bed.client.sent_position());
}
