//! The identifier of a QoS 2 publish that a limit of the next server ruled out after it was sent (HB-38, E15).
//!
//! That server may still wait for its PUBREL, and would take another message under it for a repetition [MQTT-4.3.3-10]. It
//! does not wait for anything at QoS 1: a PUBACK is not sent again.

mod machine;

use mqtt5_proto::{PacketType, Properties, Property, QoS};

use machine::packets::{ack_with, puback, pubcomp, publish, pubrec};
use machine::store::recording;
use machine::{Bed, Face, every_storage};

use PacketType::{Pubrec, Pubrel};
use Property::{MaximumPacketSize, MaximumQoS};
use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    it_rests_as_long_as_the_session_lives,
    it_is_free_when_the_server_has_finished_with_it,
    it_is_free_if_it_was_never_sent,
    the_oldest_gives_way_where_there_is_no_room,
);

/// Uses up the identifiers from `next` on until it is the turn of 1.
fn go_round<F: Face>(bed: &mut Bed<F>, next: u16) {
    for id in next..=u16::MAX {
        bed.publish(AtLeastOnce, "").unwrap();
        bed.sent_bytes();
        assert_eq!(bed.tell(&puback(id)).len(), 1, "{id}");
    }
}

/// The next publish has this identifier.
#[track_caller]
fn next_is<F: Face>(bed: &mut Bed<F>, id: u16) {
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, id, "x")]);
}

fn it_rests_as_long_as_the_session_lives<F: Face>() {
    let long = "x".repeat(100);
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, &long).unwrap();
    bed.publish(AtLeastOnce, &long).unwrap();
    bed.sent_bytes();
    bed.lose();
    let limit = [MaximumPacketSize(50)];
    assert_eq!(bed.resume(true, &limit).len(), 2);
    go_round(&mut bed, 3);
    next_is(&mut bed, 2);
    bed.lose();
    bed.resume(false, &limit);
    bed.sent_bytes();
    bed.tell(&puback(3));
    go_round(&mut bed, 4);
    next_is(&mut bed, 1);
}

/// PUBCOMP, or a PUBREC that refuses; a PUBACK says nothing about it.
fn it_is_free_when_the_server_has_finished_with_it<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for _ in 0..4 {
        bed.publish(ExactlyOnce, "x").unwrap();
    }
    bed.sent_bytes();
    bed.lose();
    assert_eq!(bed.resume(true, &[MaximumQoS(1)]).len(), 4);
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[ack_with(Pubrel, 1, 0x92, Properties::EMPTY)]);
    for answer in [
        pubcomp(1),
        ack_with(Pubrec, 2, 0x97, Properties::EMPTY),
        puback(3),
    ] {
        assert_eq!(bed.tell(&answer), []);
    }
    assert_eq!(bed.client.statistics().acknowledgements_ignored, 3);
    go_round(&mut bed, 5);
    for id in [1, 2, 5] {
        next_is(&mut bed, id);
    }
}

fn it_is_free_if_it_was_never_sent<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.lose();
    assert_eq!(bed.resume(true, &[MaximumQoS(1)]).len(), 1);
    store.save(&mut bed);
    for _ in 2..=u16::MAX {
        let op = bed.publish(AtLeastOnce, "").unwrap();
        assert!(bed.client.withdraw(op));
        assert_eq!(bed.events(), []);
    }
    bed.publish(AtLeastOnce, "x").unwrap();
    store.save(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "x")]);
}

fn the_oldest_gives_way_where_there_is_no_room<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for _ in 0..4 {
        for _ in 0..4 {
            bed.publish(ExactlyOnce, "x").unwrap();
        }
        bed.sent_bytes();
        bed.lose();
        assert_eq!(bed.resume(true, &[MaximumQoS(1)]).len(), 4);
        bed.lose();
        bed.resume(true, &[]);
    }
    go_round(&mut bed, 17);
    // Of sixteen, the machine of fixed capacity remembers eight.
    let next = if F::FIXED { [1, 8] } else { [17, 24] };
    for id in next[0]..=next[1] {
        next_is(&mut bed, id);
    }
    bed.sent_bytes();
}
