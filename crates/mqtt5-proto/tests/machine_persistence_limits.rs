//! Records ahead of packets: limits of bytes and numbers, of time, and of the room for records (D39, E15, S53).

mod machine;

use mqtt5_proto::{Op, Outbound, Properties, Property, QoS, Refused, TimerReason, TopicName};

use machine::packets::{puback, publish, pubrec};
use machine::store::{Kind, recording, recording_with, write_ahead};
use machine::{Bed, End, Face, Told, WINDOW, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    receive_maximum_holds,
    maximum_retained_bytes_holds,
    maximum_pending_holds,
    maximum_pending_bytes_holds,
    records_that_were_taken_back_leave_nothing,
    a_message_expires_while_it_waits,
    one_message_expires_after_the_other,
    what_was_not_handed_over_expires_all_the_same,
    limits_of_the_server_end_what_waits,
    limits_are_looked_at_when_the_next_one_is_taken_back,
    publishes_are_refused_while_the_store_is_behind,
    received_messages_have_room_while_the_store_is_behind,
    neither_starves_the_other,
);

fn receive_maximum_holds<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    bed.resume(true, &[Property::ReceiveMaximum(2)]);
    for text in ["a", "b", "c", "d"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    store.save(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a"), publish(AtLeastOnce, 2, "b")]);
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (2, 2));
    bed.tell(&puback(2));
    bed.expect_sent(&[publish(AtLeastOnce, 3, "c")]);
}

fn maximum_retained_bytes_holds<F: Face>() {
    let mut config = write_ahead();
    // The longer of two.
    config.maximum_retained_bytes = 20;
    let (mut bed, mut store) = recording_with::<F>(config);
    let long = "x".repeat(12);
    bed.publish(AtLeastOnce, &long).unwrap();
    let op = bed.publish(AtLeastOnce, "b").unwrap();
    assert_eq!(store.save(&mut bed), []);
    bed.expect_sent(&[publish(AtLeastOnce, 1, &long)]);
    assert!(bed.client.is_pending(op));
    assert_eq!(bed.tell(&puback(1)).len(), 1);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "b")]);
}

fn maximum_pending_holds<F: Face>() {
    let mut config = write_ahead();
    config.maximum_pending = 2;
    let (mut bed, mut store) = recording_with::<F>(config);
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    assert_eq!(bed.publish(AtLeastOnce, "c"), Err(Refused::Full));
    store.save(&mut bed);
    assert_eq!(bed.client.pending(), 0);
    bed.publish(AtLeastOnce, "c").unwrap();
}

fn maximum_pending_bytes_holds<F: Face>() {
    let mut config = write_ahead();
    // Two publishes of one byte.
    config.maximum_pending_bytes = 20;
    let (mut bed, mut store) = recording_with::<F>(config);
    let fill = |bed: &mut Bed<F>, texts: [&str; 2]| {
        let ops = texts.map(|text| bed.publish(AtLeastOnce, text).unwrap());
        assert_eq!(bed.publish(AtLeastOnce, "x"), Err(Refused::Full));
        ops
    };
    for op in fill(&mut bed, ["a", "b"]) {
        assert!(bed.client.withdraw(op));
    }
    fill(&mut bed, ["c", "d"]);
    store.save(&mut bed);
    fill(&mut bed, ["e", "f"]);
}

fn records_that_were_taken_back_leave_nothing<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for _ in 0..100 {
        let op = bed.publish(AtLeastOnce, "a").unwrap();
        assert!(bed.client.withdraw(op));
        assert_eq!(bed.events(), []);
    }
    let op = bed.publish(AtLeastOnce, "b").unwrap();
    assert_eq!(store.write(&mut bed), [Kind::Publish(op, 101)]);
    assert_eq!(store.sync(&mut bed), []);
    bed.expect_sent(&[publish(AtLeastOnce, 101, "b")]);
}

fn expiring<F: Face>(bed: &mut Bed<F>, seconds: u32, payload: &str) -> Op {
    let list = [Property::MessageExpiryInterval(seconds)];
    let properties = Properties::new(&list).unwrap();
    let topic = TopicName::new("t").unwrap();
    let message = Outbound {
        properties,
        ..Outbound::new(topic, AtLeastOnce, payload.as_bytes())
    };
    bed.client.publish(bed.now, &message).unwrap()
}

/// D39: what was sent late carries what is left.
fn a_message_expires_while_it_waits<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let late = expiring(&mut bed, 5, "late");
    expiring(&mut bed, 10, "in time");
    store.write(&mut bed);
    bed.elapse(secs(6));
    let expired = Told::Completed(late, End::Expired);
    assert_eq!(bed.events(), [expired]);
    assert_eq!(store.sync(&mut bed), []);
    let left = [Property::MessageExpiryInterval(4)];
    let mut packet = publish(AtLeastOnce, 2, "in time");
    if let mqtt5_proto::Packet::Publish(publish) = &mut packet {
        publish.properties = Properties::new(&left).unwrap();
    }
    bed.expect_sent(&[packet]);
    assert_eq!(store.write(&mut bed), [Kind::Ended(late, 1)]);
}

fn one_message_expires_after_the_other<F: Face>() {
    let (mut bed, _) = recording::<F>();
    for (op, at) in [5, 10].map(|seconds| (expiring(&mut bed, seconds, "x"), seconds)) {
        let at = u64::from(at) * 1_000;
        assert_eq!(bed.timer(), Some((at, TimerReason::MessageExpiry)));
        bed.sleep_until(at);
        assert_eq!(bed.events(), [Told::Completed(op, End::Expired)]);
    }
}

/// Whatever expired while it was no longer waiting.
fn what_was_not_handed_over_expires_all_the_same<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let encoded = expiring(&mut bed, 20, "x");
    store.save(&mut bed);
    let waits = expiring(&mut bed, 5, "y");
    bed.sleep_until(5_000);
    assert_eq!(bed.events(), [Told::Completed(waits, End::Expired)]);
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.timer(), Some((20_000, TimerReason::MessageExpiry)));
    bed.sleep_until(20_000);
    assert_eq!(bed.events(), [Told::Completed(encoded, End::Expired)]);
}

fn limits_of_the_server_end_what_waits<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    store.write(&mut bed);
    bed.lose();
    let limit = End::LimitExceeded(Refused::QoSNotSupported(AtLeastOnce));
    let told = bed.resume(true, &[Property::MaximumQoS(1)]);
    assert_eq!(told, [Told::Completed(op, limit)]);
    let ended = [Kind::Session(3_600), Kind::Ended(op, 1)];
    assert_eq!(store.write(&mut bed), ended);
    store.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "b")]);
}

fn limits_are_looked_at_when_the_next_one_is_taken_back<F: Face>() {
    let (mut bed, _) = recording::<F>();
    let ops = ["a", "b", "c"].map(|text| bed.publish(ExactlyOnce, text).unwrap());
    bed.lose();
    bed.reopen();
    bed.connack(true, &[Property::MaximumQoS(1)]);
    let connected = bed.client.poll_event(bed.now);
    assert!(matches!(connected, Some(Told::Connected { .. })));
    let ruled_out = |op| {
        let limit = End::LimitExceeded(Refused::QoSNotSupported(AtLeastOnce));
        Some(Told::Completed(op, limit))
    };
    assert_eq!(bed.client.poll_event(bed.now), ruled_out(ops[0]));
    assert!(bed.client.withdraw(ops[1]));
    assert_eq!(bed.client.poll_event(bed.now), ruled_out(ops[2]));
    assert_eq!(bed.events(), []);
}

/// The fixed machine has room for so many records; a growable one is not behind for long enough.
fn publishes_are_refused_while_the_store_is_behind<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let mut refused = false;
    for _ in 0..40 {
        match bed.publish(AtLeastOnce, "a") {
            Ok(op) => {
                store.write(&mut bed);
                assert!(bed.client.withdraw(op));
            }
            Err(reason) => {
                assert_eq!(reason, Refused::Full);
                refused = true;
            }
        }
    }
    assert_eq!(refused, F::FIXED);
    store.write(&mut bed);
    assert_eq!(store.sync(&mut bed), []);
    bed.publish(AtLeastOnce, "b").unwrap();
    store.save(&mut bed);
    let sent = bed.sent_bytes();
    assert!(sent.ends_with(b"b"));
}

fn received_messages_have_room_while_the_store_is_behind<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for _ in 0..40 {
        if let Ok(op) = bed.publish(AtLeastOnce, "a") {
            store.write(&mut bed);
            assert!(bed.client.withdraw(op));
        }
    }
    store.write(&mut bed);
    for id in 1..=WINDOW {
        let token = bed.token(&publish(ExactlyOnce, id, "x"));
        bed.ack(token);
    }
    let records: Vec<_> = (1..=WINDOW).map(Kind::Received).collect();
    assert_eq!(store.write(&mut bed), records);
    assert_eq!(store.sync(&mut bed), []);
    let sent: Vec<_> = (1..=WINDOW).map(pubrec).collect();
    bed.expect_sent(&sent);
}

/// Both wait for room in the transmit buffer: they leave in the order of acceptance, whoever goes on publishing.
fn neither_starves_the_other<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let large = "x".repeat(400);
    let mut accepted = 0;
    while bed.client.pending() == 0 {
        bed.publish(AtMostOnce, &large).unwrap();
        accepted += 1;
        assert!(accepted < 1_000, "no bound of what is unsent");
    }
    let first = bed.publish(AtLeastOnce, "first").unwrap();
    let second = bed.publish(AtMostOnce, "second").unwrap();
    let third = bed.publish(AtLeastOnce, "third").unwrap();
    assert_eq!(store.save(&mut bed), []);
    for op in [first, second, third] {
        assert!(bed.client.is_pending(op));
    }
    let mut sent = bed.sent_bytes();
    bed.events();
    sent.extend(bed.sent_bytes());
    let place = |text: &str| {
        let mut windows = sent.windows(text.len());
        windows.position(|window| window == text.as_bytes())
    };
    let places = ["first", "second", "third"].map(|text| place(text).unwrap());
    assert!(places.is_sorted(), "{places:?}");
}
