//! Packet Identifiers in a session that was assumed: the server may hold any of them for a message of an earlier process, whose
//! PUBREL it never got, and would take a new message under it for a repetition [MQTT-4.3.3-10]. PUBREL ends that, once
//! PUBCOMP was sent [MQTT-4.3.3-12].

mod machine;

use mqtt5_proto::{Op, Outbound, PacketType, Properties, Property, QoS, ReasonCode, TopicName};

use machine::assumed::{SPARE, answer, assumed, assumed_with, config, expect_pubrels, take_over};
use machine::packets::{
    ack_with, again, filter, puback, pubcomp, publish, pubrec, pubrel, suback, subscribe,
};
use machine::{Bed, End, Face, Told, every_storage, secs};

use PacketType::Pubcomp;
use Property::{MaximumQoS, ReceiveMaximum};
use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    a_new_message_is_no_repetition,
    nothing_is_cleared_where_nothing_can_be_held,
    publishes_are_cleared_together_and_keep_their_order,
    what_is_clear_is_used_round_and_round,
    no_more_is_cleared_than_may_be_in_flight,
    clearing_begins_again_on_the_next_connection,
    what_waits_is_withdrawn_and_expires,
    a_new_session_holds_nothing,
    requests_do_not_wait,
    pubrec_that_crosses_pubrel,
    pubrec_that_comes_before_pubrel,
    answers_that_come_twice,
    a_known_session_is_assumed_no_more,
    what_was_given_up_is_not_cleared,
);

/// So many identifiers are clear.
fn cleared<F: Face>() -> (Bed<F>, Op) {
    let mut bed = assumed::<F>();
    let op = bed.publish(ExactlyOnce, "first").unwrap();
    expect_pubrels(&mut bed, 1..=1 + SPARE);
    answer(&mut bed, 1..=1 + SPARE);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "first")]);
    (bed, op)
}

/// Whatever the server says of it, and whatever the QoS: a server may answer QoS 1 with 0x91, or take it for QoS 2.
fn a_new_message_is_no_repetition<F: Face>() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        for answer in [pubcomp(1), ack_with(Pubcomp, 1, 0x92, Properties::EMPTY)] {
            let mut bed = assumed::<F>();
            let op = bed.publish(qos, "x").unwrap();
            assert_eq!((bed.client.pending(), bed.client.in_flight()), (1, 0));
            expect_pubrels(&mut bed, 1..=1 + SPARE);
            assert_eq!(bed.tell(&answer), []);
            bed.expect_sent(&[publish(qos, 1, "x")]);
            assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 1));
            let told = if qos == ExactlyOnce {
                assert_eq!(bed.tell(&pubrec(1)), []);
                bed.expect_sent(&[pubrel(1)]);
                bed.tell(&pubcomp(1))
            } else {
                bed.tell(&puback(1))
            };
            assert_eq!(told, [Told::Completed(op, End::delivered())]);
            assert_eq!(bed.client.statistics().acknowledgements_ignored, 0);
        }
    }
}

/// QoS 0, also where it waits, a server that takes no QoS 2, and a new session.
fn nothing_is_cleared_where_nothing_can_be_held<F: Face>() {
    let mut bed = assumed::<F>();
    bed.publish(AtMostOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtMostOnce, 1, "x")]);
    while bed.client.pending() == 0 {
        bed.publish(AtMostOnce, "x").unwrap();
    }
    assert!(!bed.sent_bytes().contains(&0x62), "PUBREL");

    let mut bed = assumed_with::<F>(config(), &[MaximumQoS(1)]);
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 1, "x")]);

    let mut bed = Bed::<F>::keeping_with(config());
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
}

/// One round trip for all of them, whatever the order of the answers.
fn publishes_are_cleared_together_and_keep_their_order<F: Face>() {
    let mut bed = assumed::<F>();
    bed.publish(ExactlyOnce, "a").unwrap();
    let unacknowledged = bed.publish(AtMostOnce, "b").unwrap();
    bed.publish(AtLeastOnce, "c").unwrap();
    bed.publish(ExactlyOnce, "d").unwrap();
    expect_pubrels(&mut bed, 1..=3 + SPARE);
    answer(&mut bed, [3, 2]);
    bed.expect_sent(&[]);
    let told = bed.tell(&pubcomp(1));
    assert_eq!(told, [Told::Completed(unacknowledged, End::Accepted)]);
    bed.expect_sent(&[
        publish(ExactlyOnce, 1, "a"),
        publish(AtMostOnce, 1, "b"),
        publish(AtLeastOnce, 2, "c"),
        publish(ExactlyOnce, 3, "d"),
    ]);
}

fn what_is_clear_is_used_round_and_round<F: Face>() {
    let (mut bed, _) = cleared::<F>();
    for id in (2..=1 + SPARE).chain(2..=4) {
        bed.publish(AtLeastOnce, "x").unwrap();
        bed.expect_sent(&[publish(AtLeastOnce, id, "x")]);
        assert_eq!(bed.tell(&puback(id)).len(), 1);
    }
}

fn no_more_is_cleared_than_may_be_in_flight<F: Face>() {
    let mut bed = assumed_with::<F>(config(), &[ReceiveMaximum(2)]);
    for text in ["a", "b", "c", "d", "e"] {
        bed.publish(ExactlyOnce, text).unwrap();
    }
    expect_pubrels(&mut bed, 1..=2 + SPARE);
    answer(&mut bed, 1..=2 + SPARE);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a"), publish(ExactlyOnce, 2, "b")]);
    bed.tell(&pubrec(1));
    bed.expect_sent(&[pubrel(1)]);
    bed.tell(&pubcomp(1));
    bed.expect_sent(&[publish(ExactlyOnce, 3, "c")]);
}

/// Nobody knows which PUBRELs have arrived.
fn clearing_begins_again_on_the_next_connection<F: Face>() {
    let mut bed = assumed::<F>();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(ExactlyOnce, "b").unwrap();
    expect_pubrels(&mut bed, 1..=2 + SPARE);
    answer(&mut bed, [1, 3]);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a")]);
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &[]), []);
    let mut packets: Vec<_> = (2..=2 + SPARE).map(pubrel).collect();
    packets.push(again(ExactlyOnce, 1, "a"));
    bed.expect_sent(&packets);
    answer(&mut bed, [2]);
    bed.expect_sent(&[publish(ExactlyOnce, 2, "b")]);
}

fn what_waits_is_withdrawn_and_expires<F: Face>() {
    let mut bed = assumed::<F>();
    let withdrawn = bed.publish(ExactlyOnce, "a").unwrap();
    let list = [Property::MessageExpiryInterval(5)];
    let message = Outbound {
        properties: Properties::new(&list).unwrap(),
        ..Outbound::new(TopicName::new("t").unwrap(), ExactlyOnce, "b")
    };
    let expiring = bed.client.publish(bed.now, &message).unwrap();
    bed.publish(ExactlyOnce, "c").unwrap();
    expect_pubrels(&mut bed, 1..=3 + SPARE);
    assert!(bed.client.withdraw(withdrawn));
    bed.wait(secs(5));
    bed.client.handle_timeout(bed.now);
    assert_eq!(bed.events(), [Told::Completed(expiring, End::Expired)]);
    answer(&mut bed, [1]);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "c")]);
}

fn a_new_session_holds_nothing<F: Face>() {
    let mut bed = assumed::<F>();
    bed.publish(ExactlyOnce, "a").unwrap();
    expect_pubrels(&mut bed, 1..=1 + SPARE);
    bed.lose();
    assert_eq!(bed.resume(false, &[]), []);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a")]);
    // A late answer means nothing.
    assert_eq!(bed.tell(&pubcomp(2)), []);
    assert_eq!(bed.client.statistics().acknowledgements_ignored, 1);
}

/// A request is not swallowed; a server that finds its identifier in use says so. Publishes never need that one.
fn requests_do_not_wait<F: Face>() {
    let mut bed = assumed::<F>();
    let filters = [filter("f")];
    let op = bed.subscribe(&["f"]).unwrap();
    bed.expect_sent(&[subscribe(32_768, &filters)]);
    bed.subscribe(&["f"]).unwrap();
    bed.expect_sent(&[subscribe(32_769, &filters)]);
    bed.publish(ExactlyOnce, "x").unwrap();
    expect_pubrels(&mut bed, 1..=1 + SPARE);
    answer(&mut bed, [1]);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
    let refused = [ReasonCode::PACKET_IDENTIFIER_IN_USE];
    let end = End::Subscribed(refused.to_vec(), "[]".into());
    let told = bed.tell(&suback(32_768, &refused));
    assert_eq!(told, [Told::Completed(op, end)]);
    bed.subscribe(&["f"]).unwrap();
    bed.expect_sent(&[subscribe(32_770, &filters)]);
}

/// It is what PUBREL answers, whichever came first.
fn pubrec_that_crosses_pubrel<F: Face>() {
    let mut bed = assumed::<F>();
    bed.publish(ExactlyOnce, "x").unwrap();
    expect_pubrels(&mut bed, 1..=1 + SPARE);
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[]);
    answer(&mut bed, [1]);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
}

/// One PUBREL answers it and clears its identifier, so that one PUBCOMP comes: a second would meet the next message.
fn pubrec_that_comes_before_pubrel<F: Face>() {
    let mut bed = assumed::<F>();
    assert_eq!(bed.tell(&pubrec(2)), []);
    bed.expect_sent(&[pubrel(1), pubrel(2)]);
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    expect_pubrels(&mut bed, 3..=1 + SPARE);
    assert_eq!(bed.tell(&pubcomp(2)), []);
    assert_eq!(bed.tell(&pubcomp(1)), []);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[pubrel(1)]);
    let told = bed.tell(&pubcomp(1));
    assert_eq!(told, [Told::Completed(op, End::delivered())]);
    // What is refused ends with that.
    assert_eq!(
        bed.tell(&ack_with(PacketType::Pubrec, 99, 0x97, Properties::EMPTY)),
        []
    );
    bed.expect_sent(&[]);
    // One that will not be cleared soon, as ever.
    assert_eq!(bed.tell(&pubrec(300)), []);
    bed.expect_sent(&[ack_with(PacketType::Pubrel, 300, 0x92, Properties::EMPTY)]);
}

/// One answer is not taken for that of another identifier.
fn answers_that_come_twice<F: Face>() {
    let mut bed = assumed::<F>();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(ExactlyOnce, "b").unwrap();
    expect_pubrels(&mut bed, 1..=2 + SPARE);
    answer(&mut bed, [2, 2]);
    bed.expect_sent(&[]);
    answer(&mut bed, [1]);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a"), publish(ExactlyOnce, 2, "b")]);
}

/// What this machine has begun it may go on with, also where it could not be sure that the server has it.
fn a_known_session_is_assumed_no_more<F: Face>() {
    let mut bed = Bed::<F>::keeping_with(config());
    bed.lose();
    take_over(&mut bed, &[]);
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a")]);
    bed.lose();
    bed.reopen_with(true, 3_600);
    bed.lose();
    assert!(!bed.client.has_session());
    take_over(&mut bed, &[]);
    bed.expect_sent(&[again(ExactlyOnce, 1, "a")]);
    bed.publish(ExactlyOnce, "b").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 2, "b")]);
}

/// PUBREL would deliver what was told to have failed.
fn what_was_given_up_is_not_cleared<F: Face>() {
    let mut bed = Bed::<F>::keeping_with(config());
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a")]);
    bed.lose();
    let told = bed.resume(true, &[MaximumQoS(1)]);
    assert!(matches!(
        told[..],
        [Told::Completed(_, End::LimitExceeded(_))]
    ));
    bed.lose();
    bed.reopen_with(true, 3_600);
    bed.lose();
    assert!(!bed.client.has_session());
    take_over(&mut bed, &[]);
    bed.publish(ExactlyOnce, "b").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 2, "b")]);
}

/// However many wait, so many PUBRELs are unanswered at most.
#[cfg(feature = "alloc")]
#[test]
fn clearing_is_paced() {
    let mut bed = assumed::<machine::Lending>();
    for _ in 0..300 {
        bed.publish(AtLeastOnce, "x").unwrap();
    }
    expect_pubrels(&mut bed, 1..=128);
    let mut next = 129;
    for id in 1..=300_u16 {
        answer(&mut bed, [id]);
        let mut packets = Vec::new();
        if next <= 300 + SPARE {
            packets.push(pubrel(next));
            next += 1;
        }
        packets.push(publish(AtLeastOnce, id, "x"));
        bed.expect_sent(&packets);
    }
    assert_eq!(bed.client.in_flight(), 300);
}

/// As many publishes as there are identifiers, of which these are clear, and no more publishes than those are sent.
#[cfg(feature = "alloc")]
fn all_wanted(clear: u16) -> Bed<machine::Lending> {
    let mut config = config();
    config.maximum_pending = usize::from(u16::MAX);
    let mut bed = assumed_with::<machine::Lending>(config, &[]);
    for _ in 0..u16::MAX {
        bed.publish(AtLeastOnce, "x").unwrap();
    }
    for id in 1..=clear {
        answer(&mut bed, [id]);
        if id % 1_024 == 0 {
            bed.sent_bytes();
        }
    }
    bed.sent_bytes();
    assert_eq!(bed.client.in_flight(), usize::from(clear));
    bed
}

/// Every one is clear in the end, and then the session is like any other.
#[cfg(feature = "alloc")]
#[test]
fn all_identifiers_become_clear() {
    let mut bed = all_wanted(u16::MAX);
    bed.tell(&puback(40_000));
    bed.subscribe(&["f"]).unwrap();
    let filters = [filter("f")];
    bed.expect_sent(&[subscribe(40_000, &filters)]);
}

/// PUBCOMP would answer the request.
#[cfg(feature = "alloc")]
#[test]
fn no_request_has_an_identifier_that_is_being_cleared() {
    let mut bed = all_wanted(u16::MAX - 128);
    for id in 1..=200 {
        bed.tell(&puback(id));
        bed.sent_bytes();
    }
    assert_eq!(bed.client.pending(), 0);
    bed.subscribe(&["f"]).unwrap();
    let filters = [filter("f")];
    bed.expect_sent(&[subscribe(200, &filters)]);
    answer(&mut bed, [u16::MAX]);
}
