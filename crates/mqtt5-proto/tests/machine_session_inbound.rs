//! Received messages that are not finished when the connection is lost (D10, E7, HB-43 to HB-45, 4.9).

mod machine;

use mqtt5_proto::{
    DisconnectCause, DisconnectReason, PacketType, Properties, QoS, RejectReason, Violation,
};

use machine::packets::{ack_with, again, disconnect, puback, pubcomp, publish, pubrec, pubrel};
use machine::{Bed, Face, Told, WINDOW, every_storage};

use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    hb_44_a_held_at_least_once_is_not_handed_over_again,
    without_dup_it_is_a_new_message,
    a_held_exactly_once_is_known_by_its_identifier,
    after_pubrec_it_is_answered_again,
    an_acknowledgement_waits_for_the_redelivery,
    acknowledgements_leave_in_the_order_of_the_new_connection,
    a_rejection_waits_for_the_redelivery_too,
    an_acknowledgement_that_did_not_leave,
    a_pubrec_that_did_not_leave,
    what_ended_an_exchange_and_did_not_leave,
    only_what_did_not_leave_is_remembered,
    what_did_not_leave_is_for_one_redelivery,
    a_lost_session_forgets_what_did_not_leave,
    pubrel_after_the_loss,
    pubrel_for_what_was_never_acknowledged,
    through_several_connections,
    hb_25_a_lost_session_makes_tokens_stale,
    no_session_makes_tokens_stale_at_the_end,
    forgotten_messages_are_handed_over_again,
    only_what_waits_can_be_forgotten,
    messages_can_be_forgotten_as_soon_as_their_connection_ends,
    receive_maximum_counts_this_connection_only,
    receive_maximum_counts_redeliveries,
    what_is_never_delivered_again_takes_no_room,
    hb_45_a_released_identifier_carries_a_new_message,
    what_the_server_has_given_up_gives_way_to_at_least_once,
);

fn lose_and_resume<F: Face>(bed: &mut Bed<F>) {
    bed.lose();
    assert_eq!(bed.client.held(), 0);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[]);
}

/// E7, HB-44: acknowledged once, with the token of the first delivery.
fn hb_44_a_held_at_least_once_is_not_handed_over_again<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(AtLeastOnce, 7, "x"));
    lose_and_resume(&mut bed);
    assert_eq!(bed.tell(&again(AtLeastOnce, 7, "x")), []);
    assert_eq!(bed.client.statistics().repeated_publishes, 1);
    bed.expect_sent(&[]);
    bed.ack(token);
    bed.ack(token);
    bed.expect_sent(&[puback(7)]);
    bed.expect_empty();
}

/// E7: the old token is stale.
fn without_dup_it_is_a_new_message<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let old = bed.token(&publish(AtLeastOnce, 7, "old"));
    lose_and_resume(&mut bed);
    let new = bed.token(&publish(AtLeastOnce, 7, "new"));
    bed.ack(old);
    bed.expect_sent(&[]);
    assert!(!bed.client.forget(old));
    bed.ack(new);
    bed.expect_sent(&[puback(7)]);
    bed.expect_empty();
}

/// D10: DUP says nothing.
fn a_held_exactly_once_is_known_by_its_identifier<F: Face>() {
    for dup in [again, publish] {
        let mut bed = Bed::<F>::keeping();
        let token = bed.token(&publish(ExactlyOnce, 7, "x"));
        lose_and_resume(&mut bed);
        assert_eq!(bed.tell(&dup(ExactlyOnce, 7, "other")), []);
        bed.ack(token);
        bed.expect_sent(&[pubrec(7)]);
        bed.tell(&pubrel(7));
        bed.expect_sent(&[pubcomp(7)]);
        bed.expect_empty();
    }
}

/// [MQTT-4.3.3-10].
fn after_pubrec_it_is_answered_again<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    bed.expect_sent(&[pubrec(7)]);
    lose_and_resume(&mut bed);
    for _ in 0..2 {
        assert_eq!(bed.tell(&again(ExactlyOnce, 7, "x")), []);
        bed.expect_sent(&[pubrec(7)]);
    }
    bed.tell(&pubrel(7));
    bed.expect_sent(&[pubcomp(7)]);
}

/// E7: never before.
fn an_acknowledgement_waits_for_the_redelivery<F: Face>() {
    for (qos, answer) in [(AtLeastOnce, puback(7)), (ExactlyOnce, pubrec(7))] {
        let mut bed = Bed::<F>::keeping();
        let token = bed.token(&publish(qos, 7, "x"));
        bed.lose();
        bed.ack(token);
        bed.resume(true, &[]);
        bed.ack(token);
        bed.expect_sent(&[]);
        assert_eq!(bed.tell(&again(qos, 7, "x")), []);
        bed.expect_sent(&[answer]);
    }
}

/// [MQTT-4.6.0-2], whatever the order was before.
fn acknowledgements_leave_in_the_order_of_the_new_connection<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let tokens = [1, 2, 3].map(|id| bed.token(&publish(AtLeastOnce, id, "x")));
    bed.lose();
    bed.ack(tokens[0]);
    bed.ack(tokens[1]);
    bed.resume(true, &[]);
    assert_eq!(bed.tell(&again(AtLeastOnce, 3, "x")), []);
    assert_eq!(bed.tell(&again(AtLeastOnce, 1, "x")), []);
    let new = bed.token(&publish(AtLeastOnce, 4, "x"));
    assert_eq!(bed.tell(&again(AtLeastOnce, 2, "x")), []);
    bed.expect_sent(&[]);
    bed.ack(tokens[2]);
    bed.expect_sent(&[puback(3), puback(1)]);
    bed.ack(new);
    bed.expect_sent(&[puback(4), puback(2)]);
}

fn a_rejection_waits_for_the_redelivery_too<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.lose();
    bed.client
        .reject(bed.now, token, RejectReason::QuotaExceeded);
    bed.resume(true, &[]);
    bed.expect_sent(&[]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "x")), []);
    bed.expect_sent(&[ack_with(PacketType::Pubrec, 7, 0x97, Properties::EMPTY)]);
    bed.expect_empty();
}

/// It was held back by an earlier message.
fn an_acknowledgement_that_did_not_leave<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.token(&publish(AtLeastOnce, 1, "x"));
    let second = bed.token(&publish(AtLeastOnce, 2, "x"));
    bed.ack(second);
    lose_and_resume(&mut bed);
    assert_eq!(bed.tell(&again(AtLeastOnce, 2, "x")), []);
    bed.expect_sent(&[puback(2)]);
}

/// It was encoded and not taken: the message was handed over, and is not again.
fn a_pubrec_that_did_not_leave<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    assert!(bed.client.unsent() > 0);
    lose_and_resume(&mut bed);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "x")), []);
    bed.expect_sent(&[pubrec(7)]);
    // It is not remembered beyond the end of the exchange.
    assert_eq!(bed.tell(&pubrel(7)), []);
    bed.expect_sent(&[pubcomp(7)]);
    bed.token(&publish(ExactlyOnce, 7, "new"));
}

/// E7: the application has given it, so its redelivery is not handed over again.
fn what_ended_an_exchange_and_did_not_leave<F: Face>() {
    let refusal = |packet| ack_with(packet, 7, 0x97, Properties::EMPTY);
    for (qos, refuse, answer) in [
        (AtLeastOnce, false, puback(7)),
        (AtLeastOnce, true, refusal(PacketType::Puback)),
        (ExactlyOnce, true, refusal(PacketType::Pubrec)),
    ] {
        let mut bed = Bed::<F>::keeping();
        let token = bed.token(&publish(qos, 7, "x"));
        if refuse {
            let quota = RejectReason::QuotaExceeded;
            bed.client.reject(bed.now, token, quota);
        } else {
            bed.ack(token);
        }
        for _ in 0..2 {
            assert_eq!(bed.client.held(), 0);
            assert!(bed.client.unsent() > 0);
            lose_and_resume(&mut bed);
            bed.ack(token);
            assert!(!bed.client.forget(token));
            bed.expect_sent(&[]);
            assert_eq!(bed.tell(&again(qos, 7, "x")), []);
        }
        bed.expect_sent(&[answer]);
        bed.expect_empty();
    }
}

/// Of an acknowledgement that was given to the transport, if only a byte of it, nobody knows whether it has arrived; a
/// redelivery says that it has not [MQTT-4.3.2-5].
fn only_what_did_not_leave_is_remembered<F: Face>() {
    for written in 0..=8 {
        let mut bed = Bed::<F>::keeping();
        // Earlier ones, which have left.
        for _ in 0..2 * WINDOW {
            let token = bed.token(&publish(AtLeastOnce, 9, "x"));
            bed.ack(token);
            bed.expect_sent(&[puback(9)]);
        }
        let tokens = [1, 2].map(|id| bed.token(&publish(AtLeastOnce, id, "x")));
        for (token, count) in [(tokens[0], written.min(4)), (tokens[1], written.max(4) - 4)] {
            bed.ack(token);
            // Even a driver that writes nothing may have taken it.
            if count > 0 {
                bed.client.transmit(bed.now, count);
            }
        }
        lose_and_resume(&mut bed);
        let told = [1, 2].map(|id| bed.tell(&again(AtLeastOnce, id, "x")).len());
        assert_eq!(
            told,
            [usize::from(written > 0), usize::from(written > 4)],
            "{written} bytes written"
        );
    }
}

/// After it, and without DUP, the identifier carries a new message.
fn what_did_not_leave_is_for_one_redelivery<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(AtLeastOnce, 7, "x"));
    bed.ack(token);
    lose_and_resume(&mut bed);
    bed.token(&publish(AtLeastOnce, 7, "new"));
    bed.expect_sent(&[]);

    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(AtLeastOnce, 7, "x"));
    bed.ack(token);
    lose_and_resume(&mut bed);
    assert_eq!(bed.tell(&again(AtLeastOnce, 7, "x")), []);
    bed.expect_sent(&[puback(7)]);
    bed.token(&again(AtLeastOnce, 7, "x"));
}

fn a_lost_session_forgets_what_did_not_leave<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(AtLeastOnce, 7, "x"));
    bed.ack(token);
    bed.lose();
    bed.resume(false, &[]);
    bed.token(&again(AtLeastOnce, 7, "x"));
}

fn pubrel_after_the_loss<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    bed.sent_bytes();
    lose_and_resume(&mut bed);
    assert_eq!(bed.tell(&pubrel(7)), []);
    bed.expect_sent(&[pubcomp(7)]);
    // The PUBCOMP was lost.
    lose_and_resume(&mut bed);
    bed.tell(&pubrel(7));
    bed.expect_sent(&[ack_with(PacketType::Pubcomp, 7, 0x92, Properties::EMPTY)]);
}

/// The server is wrong; the message is still ours to acknowledge when it comes again.
fn pubrel_for_what_was_never_acknowledged<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.token(&publish(ExactlyOnce, 7, "x"));
    lose_and_resume(&mut bed);
    bed.tell(&pubrel(7));
    bed.expect_sent(&[ack_with(PacketType::Pubcomp, 7, 0x92, Properties::EMPTY)]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "x")), []);
}

fn through_several_connections<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(AtLeastOnce, 7, "x"));
    for _ in 0..3 {
        lose_and_resume(&mut bed);
        assert_eq!(bed.tell(&again(AtLeastOnce, 7, "x")), []);
        lose_and_resume(&mut bed);
    }
    assert_eq!(bed.tell(&again(AtLeastOnce, 7, "x")), []);
    bed.ack(token);
    bed.expect_sent(&[puback(7)]);
}

/// HB-25.
fn hb_25_a_lost_session_makes_tokens_stale<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let one = bed.token(&publish(AtLeastOnce, 1, "x"));
    let two = bed.token(&publish(ExactlyOnce, 2, "x"));
    let three = bed.token(&publish(ExactlyOnce, 3, "x"));
    bed.lose();
    bed.ack(one);
    bed.resume(false, &[]);
    let new = [
        bed.token(&again(AtLeastOnce, 1, "x")),
        bed.token(&again(ExactlyOnce, 2, "x")),
        bed.token(&again(ExactlyOnce, 3, "x")),
    ];
    for token in [one, two, three] {
        bed.ack(token);
        assert!(!bed.client.forget(token));
    }
    bed.expect_sent(&[]);
    for token in new {
        bed.ack(token);
    }
    bed.expect_sent(&[puback(1), pubrec(2), pubrec(3)]);
}

fn no_session_makes_tokens_stale_at_the_end<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.reopen_with(true, 0);
    bed.connack(false, &[]);
    bed.events();
    let token = bed.token(&publish(AtLeastOnce, 1, "x"));
    bed.lose();
    assert!(!bed.client.forget(token));
}

fn forgotten_messages_are_handed_over_again<F: Face>() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let mut bed = Bed::<F>::keeping();
        let old = bed.token(&publish(qos, 7, "x"));
        bed.lose();
        assert!(bed.client.forget(old));
        assert!(!bed.client.forget(old));
        bed.resume(true, &[]);
        let new = bed.token(&again(qos, 7, "x"));
        bed.ack(old);
        bed.expect_sent(&[]);
        bed.ack(new);
        assert!(bed.client.unsent() > 0);
    }
}

/// Those that are kept are acknowledged all the same when they come again.
fn messages_can_be_forgotten_as_soon_as_their_connection_ends<F: Face>() {
    for (qos, acknowledgements) in [
        (AtLeastOnce, [7, 8, 9].map(puback)),
        (ExactlyOnce, [7, 8, 9].map(pubrec)),
    ] {
        let mut bed = Bed::<F>::keeping();
        let [forgotten, answered, kept] =
            [7, 8, 9].map(|value| bed.token(&publish(qos, value, "x")));
        assert!(!bed.client.forget(forgotten), "the connection goes on");
        let reason = DisconnectReason::QuotaExceeded;
        let ended = bed.client.disconnect(bed.now, reason, Properties::EMPTY);
        ended.unwrap();
        assert!(bed.client.forget(forgotten));
        assert!(!bed.client.forget(forgotten));
        bed.ack(answered);
        bed.expect_sent(&[disconnect(0x97)]);
        bed.lose();
        bed.resume(true, &[]);
        let new = bed.token(&again(qos, 7, "x"));
        for value in [8, 9] {
            assert_eq!(bed.tell(&again(qos, value, "x")), []);
        }
        bed.ack(forgotten);
        bed.ack(kept);
        bed.expect_sent(&[]);
        bed.ack(new);
        bed.expect_sent(&acknowledgements);
    }
}

fn only_what_waits_can_be_forgotten<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(AtLeastOnce, 7, "x"));
    assert!(!bed.client.forget(token));
    lose_and_resume(&mut bed);
    bed.tell(&again(AtLeastOnce, 7, "x"));
    assert!(!bed.client.forget(token));
    bed.ack(token);
    bed.expect_sent(&[puback(7)]);
    bed.lose();
    assert!(!bed.client.forget(token));
}

/// 4.9: the values are not preserved. Exchanges that only wait for PUBREL take nothing of it.
fn receive_maximum_counts_this_connection_only<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for id in 1..=WINDOW / 2 {
        let token = bed.token(&publish(ExactlyOnce, id, "x"));
        bed.ack(token);
    }
    bed.sent_bytes();
    assert_eq!(bed.client.held(), usize::from(WINDOW / 2));
    lose_and_resume(&mut bed);
    let token = bed.token(&publish(ExactlyOnce, 20, "x"));
    assert_eq!(bed.client.held(), 1);
    bed.tell(&pubrel(1));
    assert_eq!(bed.client.held(), 1);
    bed.ack(token);
    bed.tell(&pubrel(20));
    assert_eq!(bed.client.held(), 0);
}

fn receive_maximum_counts_redeliveries<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for id in 1..=WINDOW {
        bed.token(&publish(AtLeastOnce, id, "x"));
    }
    lose_and_resume(&mut bed);
    for id in 1..=WINDOW {
        assert_eq!(bed.tell(&again(AtLeastOnce, id, "x")), []);
        assert_eq!(bed.client.held(), usize::from(id));
    }
    assert_eq!(bed.tell(&publish(AtLeastOnce, 20, "x")), []);
    bed.sent_bytes();
    bed.client.handle_closed(bed.now);
    let cause = DisconnectCause::Violation(Violation::ReceiveMaximumExceeded);
    assert_eq!(bed.events()[0], Told::Disconnected(cause, "[]".into()));
}

/// The server has dropped what it had not delivered to the end, as it may when that expires.
fn what_is_never_delivered_again_takes_no_room<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let old: Vec<_> = (1..=WINDOW)
        .map(|id| bed.token(&publish(AtLeastOnce, id, "x")))
        .collect();
    lose_and_resume(&mut bed);
    let new: Vec<_> = (101..=100 + WINDOW)
        .map(|id| bed.token(&publish(ExactlyOnce, id, "x")))
        .collect();
    for token in old.into_iter().chain(new) {
        bed.ack(token);
    }
    let answers: Vec<_> = (101..=100 + WINDOW).map(pubrec).collect();
    bed.expect_sent(&answers);
}

/// HB-45.
fn hb_45_a_released_identifier_carries_a_new_message<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    bed.sent_bytes();
    lose_and_resume(&mut bed);
    bed.tell(&pubrel(7));
    bed.expect_sent(&[pubcomp(7)]);
    bed.token(&publish(ExactlyOnce, 7, "new"));
}

/// The server has begun a session anew without our knowing: it never sends PUBREL for what it began before, and then the
/// identifier is its to use. On one connection that is wrong.
fn what_the_server_has_given_up_gives_way_to_at_least_once<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let token = bed.token(&publish(ExactlyOnce, 7, "old"));
    bed.ack(token);
    bed.expect_sent(&[pubrec(7)]);
    lose_and_resume(&mut bed);
    let token = bed.token(&publish(AtLeastOnce, 7, "new"));
    assert_eq!(bed.client.held(), 1);
    bed.ack(token);
    bed.expect_sent(&[puback(7)]);
    bed.expect_empty();
    let token = bed.token(&publish(ExactlyOnce, 7, "newer"));
    assert_eq!(bed.client.held(), 1);
    bed.ack(token);
    bed.expect_sent(&[pubrec(7)]);
    bed.feed(&publish(AtLeastOnce, 7, "wrong"));
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[disconnect(0x82)]);
    let cause = DisconnectCause::Violation(Violation::PacketIdInUse);
    bed.expect_closed(cause);
}
