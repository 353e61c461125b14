//! Session Present 1: what was in flight is sent again, and only then what is new (4.4, 4.6, 4.9; D2, D3, D34).

mod machine;

use mqtt5_proto::{PacketType, Properties, Property, QoS, ReasonCode};

use machine::packets::{
    ack_with, again, encode, puback, pubcomp, publish, pubrec, pubrel, subscribe,
};
use machine::{Bed, End, Face, Told, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    publishes_are_sent_again_in_their_order,
    pubrels_are_sent_again_in_the_order_of_pubrecs,
    nothing_is_sent_again_on_a_live_connection,
    what_was_never_handed_over_goes_out_as_new,
    what_was_never_handed_over_keeps_its_place,
    what_was_encoded_before_a_disconnect_goes_out_as_new,
    a_publish_handed_over_in_part_counts_as_handed,
    one_shown_byte_counts_as_handed,
    handed_once_is_handed_for_good,
    what_was_not_taken_is_not_answered,
    hb_40_publishes_again_only_below_receive_maximum,
    pubcomp_and_not_pubrec_makes_room,
    pubrels_do_not_wait_for_receive_maximum,
    a_later_pubrec_does_not_overtake,
    what_is_new_waits_behind_all_that_is_sent_again,
    pubrels_occupy_receive_maximum_for_what_is_new,
    puback_before_the_publish_is_sent_again,
    pubrec_before_the_publish_is_sent_again,
    pubcomp_with_unknown_identifier_is_success,
    a_second_loss_in_the_middle,
    a_connection_without_connack_changes_nothing,
    hb_38_identifiers_in_doubt_are_not_used,
    requests_are_not_sent_again,
    a_full_machine_resumes,
    everything_is_given_back,
);

fn maximum(value: u16) -> [Property<'static>; 1] {
    [Property::ReceiveMaximum(value)]
}

/// [MQTT-4.4.0-1], [MQTT-4.6.0-1]: the same identifiers, DUP 1. T32, T82, T141.
fn publishes_are_sent_again_in_their_order<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for (qos, text) in [(AtLeastOnce, "a"), (ExactlyOnce, "b"), (AtLeastOnce, "c")] {
        bed.publish(qos, text).unwrap();
    }
    bed.sent_bytes();
    bed.tell(&puback(1));
    bed.publish(AtLeastOnce, "d").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[
        again(ExactlyOnce, 2, "b"),
        again(AtLeastOnce, 3, "c"),
        again(AtLeastOnce, 4, "d"),
    ]);
    bed.publish(AtLeastOnce, "new").unwrap();
    assert_eq!(bed.client.statistics().publishes_resent, 3);
}

/// [MQTT-4.6.0-4]. T23, T125.
fn pubrels_are_sent_again_in_the_order_of_pubrecs<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for _ in 0..4 {
        bed.publish(ExactlyOnce, "x").unwrap();
    }
    bed.sent_bytes();
    for id in [3, 1, 4] {
        bed.tell(&pubrec(id));
    }
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[pubrel(3), pubrel(1), pubrel(4), again(ExactlyOnce, 2, "x")]);
}

/// D2.
fn nothing_is_sent_again_on_a_live_connection<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[again(AtLeastOnce, 1, "x")]);
    bed.now = bed.now + secs(50);
    bed.client.handle_timeout(bed.now);
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[]);
}

/// D3: DUP 0, and in this place.
fn what_was_never_handed_over_goes_out_as_new<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (1, 0));
    assert_eq!(bed.lose(), []);
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (0, 1));
    assert!(bed.client.is_pending(op));
    bed.resume(true, &[]);
    bed.expect_sent(&[publish(ExactlyOnce, 2, "a")]);
}

fn what_was_never_handed_over_keeps_its_place<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(true, &maximum(3));
    bed.publish(AtLeastOnce, "handed").unwrap();
    bed.sent_bytes();
    bed.publish(AtLeastOnce, "encoded 1").unwrap();
    bed.publish(AtLeastOnce, "encoded 2").unwrap();
    bed.publish(AtLeastOnce, "waits").unwrap();
    assert_eq!(bed.client.pending(), 1);
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[
        again(AtLeastOnce, 1, "handed"),
        publish(AtLeastOnce, 4, "encoded 1"),
        publish(AtLeastOnce, 5, "encoded 2"),
        publish(AtLeastOnce, 6, "waits"),
    ]);
}

/// What a received DISCONNECT keeps from leaving was never handed over.
fn what_was_encoded_before_a_disconnect_goes_out_as_new<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(true, &maximum(2));
    for text in ["a", "b", "c"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    bed.sent_bytes();
    let mut bytes = Vec::new();
    for id in [1, 2] {
        bytes.extend(encode(&puback(id)));
    }
    bytes.extend([0xE0, 1, 0x8D]);
    bed.feed_bytes(&bytes);
    bed.events();
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[publish(AtLeastOnce, 4, "c")]);
}

fn a_publish_handed_over_in_part_counts_as_handed<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.client.transmit(bed.now, 1);
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[again(AtLeastOnce, 1, "a")]);
}

/// The driver may have written what it was shown.
fn one_shown_byte_counts_as_handed<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "a").unwrap();
    assert!(!bed.client.outgoing().is_empty());
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[again(AtLeastOnce, 1, "a"), publish(AtLeastOnce, 3, "b")]);
}

/// Although nothing of the second transmission was.
fn handed_once_is_handed_for_good<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &[]);
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[again(ExactlyOnce, 1, "a")]);
}

/// By a server that guessed its identifier, or that acknowledges an earlier one again: it does not have the message.
fn what_was_not_taken_is_not_answered<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.tell(&pubrec(1));
    bed.lose();
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (0, 1));
    bed.resume(true, &[]);
    bed.expect_sent(&[publish(ExactlyOnce, 2, "a")]);
}

/// D34, HB-40: the next server allows less than is in flight.
fn hb_40_publishes_again_only_below_receive_maximum<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for text in ["a", "b", "c"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &maximum(1));
    bed.expect_sent(&[again(AtLeastOnce, 1, "a")]);
    assert_eq!(bed.tell(&puback(1)).len(), 1);
    bed.expect_sent(&[again(AtLeastOnce, 2, "b")]);
    assert_eq!(bed.tell(&puback(2)).len(), 1);
    bed.expect_sent(&[again(AtLeastOnce, 3, "c")]);
}

/// 4.9: PUBREC does not give back what PUBLISH took.
fn pubcomp_and_not_pubrec_makes_room<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(ExactlyOnce, "b").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &maximum(1));
    bed.expect_sent(&[again(ExactlyOnce, 1, "a")]);
    bed.tell(&pubrec(1));
    bed.expect_sent(&[pubrel(1)]);
    bed.tell(&pubcomp(1));
    bed.expect_sent(&[again(ExactlyOnce, 2, "b")]);
}

/// D34.
fn pubrels_do_not_wait_for_receive_maximum<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for text in ["a", "b", "c", "d"] {
        bed.publish(ExactlyOnce, text).unwrap();
    }
    bed.sent_bytes();
    bed.tell(&pubrec(3));
    bed.tell(&pubrec(4));
    bed.lose();
    bed.resume(true, &maximum(1));
    bed.expect_sent(&[pubrel(3), pubrel(4), again(ExactlyOnce, 1, "a")]);
}

/// [MQTT-4.6.0-4]: PUBRELs of earlier PUBRECs have left before.
fn a_later_pubrec_does_not_overtake<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for text in ["a", "b", "c"] {
        bed.publish(ExactlyOnce, text).unwrap();
    }
    bed.sent_bytes();
    bed.tell(&pubrec(3));
    bed.lose();
    bed.reopen();
    bed.connack(true, &maximum(1));
    bed.feed(&pubrec(2));
    bed.events();
    bed.expect_sent(&[pubrel(3), again(ExactlyOnce, 1, "a"), pubrel(2)]);
}

fn what_is_new_waits_behind_all_that_is_sent_again<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    bed.connack(true, &maximum(1));
    // At the first possible moment.
    assert!(matches!(
        bed.client.poll_event(bed.now),
        Some(Told::Connected { .. })
    ));
    let op = bed.publish(AtMostOnce, "new").unwrap();
    assert!(bed.client.is_pending(op));
    bed.events();
    bed.expect_sent(&[again(AtLeastOnce, 1, "a")]);
    bed.tell(&puback(1));
    bed.expect_sent(&[again(AtLeastOnce, 2, "b"), publish(AtMostOnce, 0, "new")]);
}

/// D34: stricter than 4.9.
fn pubrels_occupy_receive_maximum_for_what_is_new<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    bed.lose();
    bed.resume(true, &maximum(1));
    bed.publish(AtLeastOnce, "new").unwrap();
    bed.expect_sent(&[pubrel(1)]);
    bed.tell(&pubcomp(1));
    bed.expect_sent(&[publish(AtLeastOnce, 2, "new")]);
}

fn puback_before_the_publish_is_sent_again<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let ops = ["a", "b", "c"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &maximum(1));
    assert_eq!(
        bed.tell(&puback(2)),
        [Told::Completed(ops[1], End::delivered())]
    );
    bed.expect_sent(&[again(AtLeastOnce, 1, "a")]);
    bed.tell(&puback(1));
    bed.expect_sent(&[again(AtLeastOnce, 3, "c")]);
}

/// PUBREL at once, the PUBLISH never again [MQTT-4.3.3-6].
fn pubrec_before_the_publish_is_sent_again<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "a").unwrap();
    let op = bed.publish(ExactlyOnce, "b").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &maximum(1));
    bed.tell(&pubrec(2));
    bed.expect_sent(&[again(AtLeastOnce, 1, "a"), pubrel(2)]);
    assert_eq!(
        bed.tell(&pubcomp(2)),
        [Told::Completed(op, End::delivered())]
    );
    bed.tell(&puback(1));
    bed.expect_sent(&[]);
    bed.expect_empty();
}

/// The PUBCOMP was lost with the connection.
fn pubcomp_with_unknown_identifier_is_success<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    bed.lose();
    bed.resume(true, &[]);
    let pubcomp = ack_with(PacketType::Pubcomp, 1, 0x92, Properties::EMPTY);
    let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
    let end = End::Delivered(ReasonCode::SUCCESS, reason, "[]".into());
    assert_eq!(bed.tell(&pubcomp), [Told::Completed(op, end)]);
}

fn a_second_loss_in_the_middle<F: Face>() {
    let length = encode(&again(AtLeastOnce, 1, "a")).len();
    for sent in 0..=3 * length {
        let mut bed = Bed::<F>::keeping();
        for text in ["a", "b", "c"] {
            bed.publish(AtLeastOnce, text).unwrap();
        }
        bed.sent_bytes();
        bed.lose();
        bed.resume(true, &[]);
        bed.client.transmit(bed.now, sent);
        assert_eq!(bed.lose(), []);
        bed.resume(true, &[]);
        bed.expect_sent(&[
            again(AtLeastOnce, 1, "a"),
            again(AtLeastOnce, 2, "b"),
            again(AtLeastOnce, 3, "c"),
        ]);
    }
}

/// E16.
fn a_connection_without_connack_changes_nothing<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(ExactlyOnce, "b").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(2));
    for _ in 0..3 {
        bed.lose();
        bed.reopen();
    }
    bed.lose();
    bed.resume(true, &[]);
    bed.expect_sent(&[pubrel(2), again(ExactlyOnce, 1, "a")]);
}

/// HB-38: through all identifiers.
fn hb_38_identifiers_in_doubt_are_not_used<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "old").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &[]);
    bed.sent_bytes();
    for _ in 2..=u16::MAX {
        bed.publish(AtLeastOnce, "x").unwrap();
        let bytes = bed.sent_bytes();
        let id = u16::from_be_bytes([bytes[5], bytes[6]]);
        bed.tell(&puback(id));
    }
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 2, "x")]);
}

/// Their answers belong to the connection.
fn requests_are_not_sent_again<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.subscribe(&["a"]).unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), [Told::Completed(op, End::ConnectionLost)]);
    assert_eq!(bed.client.requests(), 0);
    bed.resume(true, &[]);
    bed.expect_sent(&[]);
    bed.subscribe(&["a"]).unwrap();
    let filters = [machine::packets::filter("a")];
    bed.expect_sent(&[subscribe(2, &filters)]);
}

/// As many as the machine of fixed capacity has, some of each kind. T152.
fn a_full_machine_resumes<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let texts = ["1", "2", "3", "4", "5", "6", "7", "8"];
    for text in texts {
        bed.publish(ExactlyOnce, text).unwrap();
        if text <= "4" {
            bed.sent_bytes();
        }
    }
    bed.lose();
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (4, 4));
    bed.resume(true, &maximum(4));
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (4, 4));
    let bytes = bed.sent_bytes();
    let first = texts[..4].iter().zip(1..);
    let expected: Vec<u8> = first
        .flat_map(|(text, id)| encode(&again(ExactlyOnce, id, text)))
        .collect();
    assert_eq!(bytes, expected);
}

fn everything_is_given_back<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for round in 0..50 {
        let first = 3 * round;
        for qos in [AtLeastOnce, ExactlyOnce, ExactlyOnce] {
            bed.publish(qos, "x").unwrap();
        }
        bed.sent_bytes();
        bed.tell(&pubrec(first + 3));
        bed.lose();
        bed.resume(true, &[]);
        bed.sent_bytes();
        bed.tell(&puback(first + 1));
        bed.tell(&pubrec(first + 2));
        bed.tell(&pubcomp(first + 3));
        bed.tell(&pubcomp(first + 2));
        bed.sent_bytes();
        bed.expect_empty();
    }
}
