//! Records ahead of packets: limits of bytes and numbers, of time, and of the room for records (D39, E15, S53).

mod machine;

use mqtt5_proto::{Op, Outbound, Properties, Property, QoS, Refused, TimerReason, TopicName};

use machine::packets::{puback, publish, pubrec};
use machine::store::{Kind, recording, recording_with, write_ahead};
use machine::{Bed, End, Face, Told, WINDOW, every_storage};

use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    maximum_retained_bytes_holds,
    maximum_pending_bytes_holds,
    records_that_were_taken_back_leave_nothing,
    one_message_expires_after_the_other,
    what_was_not_handed_over_expires_all_the_same,
    limits_are_looked_at_when_the_next_one_is_taken_back,
    received_messages_have_room_while_the_store_is_behind,
);

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
