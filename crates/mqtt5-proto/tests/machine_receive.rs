//! Receiving application messages: the three flows of section 4.3 from the receiver's side.

mod machine;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{
    Config, DisconnectCause, Packet, PacketType, Properties, Property, QoS, RejectReason,
    TopicName, Violation,
};

use machine::packets::{
    ack, ack_with, delivery, puback, pubcomp, publish, publish_with, pubrec, pubrel,
};
use machine::{Bed, Face, Told, WINDOW, every_storage};

use PacketType::{Puback, Pubcomp, Pubrec};
use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    a_message_is_told_whole,
    qos_0_needs_no_answer,
    qos_1_is_answered_once,
    qos_2_is_answered_to_the_end,
    every_refusal_leaves_with_its_code,
    pubacks_leave_in_the_order_of_arrival,
    pubrecs_leave_in_the_order_of_arrival,
    the_two_orders_are_independent,
    a_refusal_waits_for_its_turn,
    hb_44_qos_1_again_before_puback,
    hb_44_qos_1_again_after_puback,
    hb_43_qos_2_again_before_pubrec,
    hb_43_qos_2_again_after_pubrec,
    hb_43_qos_2_again_after_a_refusing_pubrec,
    hb_45_qos_2_again_after_pubcomp,
    pubrel_before_pubrec_finds_nothing,
    an_identifier_of_another_qos,
    both_directions_may_use_an_identifier,
    hb_42_receive_maximum_is_strict,
    the_margin_is_tolerated_and_counted,
    receive_maximum_counts_until_the_answer,
    a_stale_token_does_nothing,
    qos_0_is_not_limited,
);

fn a_message_is_told_whole<F: Face>() {
    let list = [
        Property::UserProperty("b", "1"),
        Property::ContentType("text"),
        Property::SubscriptionIdentifier(3),
        Property::SubscriptionIdentifier(268_435_455),
        Property::UserProperty("a", "2"),
    ];
    let properties = Properties::new(&list).unwrap();
    for (qos, dup) in [
        (AtMostOnce, false),
        (AtLeastOnce, true),
        (ExactlyOnce, false),
    ] {
        let mut bed = Bed::<F>::connected();
        let delivery = delivery(qos, 65_535, dup);
        let told = bed.message(&Packet::Publish(Publish {
            delivery,
            retain: true,
            topic: Some(TopicName::new("a/ü").unwrap()),
            properties,
            payload: b"\x00\xFF",
        }));
        let token = (qos > AtMostOnce).then(|| told.token());
        assert_eq!(
            told,
            Told::Message {
                topic: "a/ü".into(),
                payload: b"\x00\xFF".to_vec(),
                delivery,
                retain: true,
                properties: format!("{properties:?}"),
                token,
            }
        );
    }
}

/// [MQTT-4.3.1-1].
fn qos_0_needs_no_answer<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.message(&publish(AtMostOnce, 0, "x"));
    assert_eq!(bed.client.held(), 0);
    bed.expect_sent(&[]);
}

/// [MQTT-4.3.2-4], D9: when the application says so, and only once.
fn qos_1_is_answered_once<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(AtLeastOnce, 7, "x"));
    bed.expect_sent(&[]);
    assert_eq!(bed.client.held(), 1);
    bed.ack(token);
    bed.expect_sent(&[puback(7)]);
    assert_eq!(bed.client.held(), 0);
    bed.ack(token);
    bed.client
        .reject(bed.now, token, RejectReason::NotAuthorized);
    bed.expect_sent(&[]);
}

/// [MQTT-4.3.3-8], [MQTT-4.3.3-11]: PUBREC when the application says so, PUBCOMP at once.
fn qos_2_is_answered_to_the_end<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.expect_sent(&[]);
    bed.ack(token);
    bed.expect_sent(&[pubrec(7)]);
    assert_eq!(bed.client.held(), 1);
    bed.ack(token);
    assert_eq!(bed.tell(&pubrel(7)), []);
    bed.expect_sent(&[pubcomp(7)]);
    assert_eq!(bed.client.held(), 0);
    bed.ack(token);
    assert_eq!(bed.tell(&pubrel(7)), []);
    bed.expect_sent(&[ack_with(Pubcomp, 7, 0x92, Properties::EMPTY)]);
}

/// 3.4.2.1, 3.5.2.1.
fn every_refusal_leaves_with_its_code<F: Face>() {
    for (qos, packet) in [(AtLeastOnce, Puback), (ExactlyOnce, Pubrec)] {
        let mut bed = Bed::<F>::connected();
        for (reason, code) in [
            (RejectReason::UnspecifiedError, 0x80),
            (RejectReason::ImplementationSpecificError, 0x83),
            (RejectReason::NotAuthorized, 0x87),
            (RejectReason::TopicNameInvalid, 0x90),
            (RejectReason::QuotaExceeded, 0x97),
            (RejectReason::PayloadFormatInvalid, 0x99),
        ] {
            let token = bed.token(&publish(qos, 7, "x"));
            bed.client.reject(bed.now, token, reason);
            bed.expect_sent(&[ack_with(packet, 7, code, Properties::EMPTY)]);
            assert_eq!(bed.client.held(), 0);
        }
    }
}

/// T146: in whatever order the application answers.
fn answers_in_order<F: Face>(qos: QoS, packet: PacketType) {
    let mut bed = Bed::<F>::connected();
    let ids = [5, 2, 9, 1];
    let tokens = ids.map(|n| bed.token(&publish(qos, n, "x")));
    bed.ack(tokens[3]);
    bed.ack(tokens[1]);
    bed.expect_sent(&[]);
    bed.ack(tokens[0]);
    bed.expect_sent(&[ack(packet, 5), ack(packet, 2)]);
    bed.ack(tokens[2]);
    bed.expect_sent(&[ack(packet, 9), ack(packet, 1)]);
}

/// [MQTT-4.6.0-2].
fn pubacks_leave_in_the_order_of_arrival<F: Face>() {
    answers_in_order::<F>(AtLeastOnce, Puback);
}

/// [MQTT-4.6.0-3].
fn pubrecs_leave_in_the_order_of_arrival<F: Face>() {
    answers_in_order::<F>(ExactlyOnce, Pubrec);
}

/// A QoS 1 message that is not acknowledged does not hold up QoS 2, nor the other way round.
fn the_two_orders_are_independent<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let first = bed.token(&publish(AtLeastOnce, 1, "x"));
    let second = bed.token(&publish(ExactlyOnce, 2, "x"));
    let third = bed.token(&publish(AtLeastOnce, 3, "x"));
    let fourth = bed.token(&publish(ExactlyOnce, 4, "x"));
    bed.ack(second);
    bed.expect_sent(&[pubrec(2)]);
    bed.ack(third);
    bed.expect_sent(&[]);
    bed.ack(first);
    bed.expect_sent(&[puback(1), puback(3)]);
    bed.ack(fourth);
    bed.expect_sent(&[pubrec(4)]);
}

/// T146: behind what arrived before it.
fn a_refusal_waits_for_its_turn<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let first = bed.token(&publish(AtLeastOnce, 1, "x"));
    let second = bed.token(&publish(AtLeastOnce, 2, "x"));
    bed.client
        .reject(bed.now, second, RejectReason::QuotaExceeded);
    bed.expect_sent(&[]);
    // The first answer stands.
    bed.ack(second);
    bed.ack(first);
    bed.expect_sent(&[puback(1), ack_with(Puback, 2, 0x97, Properties::EMPTY)]);
}

/// D10, E7, HB-44: not handed over again, acknowledged once, whatever DUP says.
fn hb_44_qos_1_again_before_puback<F: Face>() {
    for dup in [false, true] {
        let mut bed = Bed::<F>::connected();
        let token = bed.token(&publish(AtLeastOnce, 7, "x"));
        let blocked = bed.token(&publish(AtLeastOnce, 8, "x"));
        for (n, id) in [(1, 7), (2, 8), (3, 7)] {
            let again = publish_with(delivery(AtLeastOnce, id, dup), "x");
            assert_eq!(bed.tell(&again), []);
            assert_eq!(bed.client.statistics().repeated_publishes, n);
        }
        bed.ack(blocked);
        // Still unacknowledged: its PUBACK waits for its turn.
        assert_eq!(bed.tell(&publish(AtLeastOnce, 8, "x")), []);
        assert_eq!(bed.client.held(), 2);
        bed.ack(token);
        bed.expect_sent(&[puback(7), puback(8)]);
    }
}

/// [MQTT-4.3.2-5], HB-44: a new message whatever DUP says, with a token of its own.
fn hb_44_qos_1_again_after_puback<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let mut old = bed.token(&publish(AtLeastOnce, 7, "x"));
    bed.ack(old);
    bed.expect_sent(&[puback(7)]);
    for dup in [true, false] {
        let token = bed.token(&publish_with(delivery(AtLeastOnce, 7, dup), "y"));
        assert_ne!(token, old);
        bed.ack(old);
        bed.expect_sent(&[]);
        bed.ack(token);
        bed.expect_sent(&[puback(7)]);
        old = token;
    }
}

/// [MQTT-4.3.3-10], HB-43, E7: one PUBREC answers all, with different content too.
fn hb_43_qos_2_again_before_pubrec<F: Face>() {
    for dup in [false, true] {
        let mut bed = Bed::<F>::connected();
        let token = bed.token(&publish(ExactlyOnce, 7, "x"));
        let again = publish_with(delivery(ExactlyOnce, 7, dup), "other");
        assert_eq!(bed.tell(&again), []);
        assert_eq!(bed.client.held(), 1);
        bed.ack(token);
        bed.expect_sent(&[pubrec(7)]);
    }
}

/// [MQTT-4.3.3-10], HB-43: PUBREC every time at once, not handed over again.
fn hb_43_qos_2_again_after_pubrec<F: Face>() {
    let mut bed = Bed::<F>::connected();
    // An older one that is not acknowledged does not hold up what was sent before.
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    bed.expect_sent(&[pubrec(7)]);
    bed.token(&publish(ExactlyOnce, 8, "x"));
    for dup in [true, false, false] {
        let again = publish_with(delivery(ExactlyOnce, 7, dup), "other");
        assert_eq!(bed.tell(&again), []);
        bed.expect_sent(&[pubrec(7)]);
    }
    assert_eq!(bed.client.statistics().repeated_publishes, 3);
    assert_eq!(bed.tell(&pubrel(7)), []);
    bed.expect_sent(&[pubcomp(7)]);
}

/// [MQTT-4.3.3-9].
fn hb_43_qos_2_again_after_a_refusing_pubrec<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.client
        .reject(bed.now, token, RejectReason::QuotaExceeded);
    let again = bed.token(&publish_with(delivery(ExactlyOnce, 7, true), "y"));
    assert_ne!(token, again);
    bed.ack(token);
    bed.ack(again);
    bed.expect_sent(&[ack_with(Pubrec, 7, 0x97, Properties::EMPTY), pubrec(7)]);
}

/// [MQTT-4.3.3-12], HB-45: also when PUBREL and PUBLISH arrive together.
fn hb_45_qos_2_again_after_pubcomp<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    bed.feed(&pubrel(7));
    let again = bed.token(&publish_with(delivery(ExactlyOnce, 7, true), "y"));
    assert_ne!(token, again);
    bed.expect_sent(&[pubrec(7), pubcomp(7)]);
}

/// D26: a PUBREL while the message is still held ends nothing.
fn pubrel_before_pubrec_finds_nothing<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    assert_eq!(bed.tell(&pubrel(7)), []);
    bed.expect_sent(&[ack_with(Pubcomp, 7, 0x92, Properties::EMPTY)]);
    bed.ack(token);
    bed.expect_sent(&[pubrec(7)]);
}

/// [MQTT-2.2.1-4]: it must be unused, whatever the QoS.
fn an_identifier_of_another_qos<F: Face>() {
    let end = |mut bed: Bed<F>, qos| {
        bed.sent_bytes();
        bed.feed(&publish(qos, 7, "x"));
        bed.expect_end(
            Some(0x82),
            DisconnectCause::Violation(Violation::PacketIdInUse),
        );
    };
    for (first, second) in [(AtLeastOnce, ExactlyOnce), (ExactlyOnce, AtLeastOnce)] {
        let mut bed = Bed::<F>::connected();
        bed.token(&publish(first, 7, "x"));
        end(bed, second);
    }
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    end(bed, AtLeastOnce);
}

/// 2.2.1, T1: the identifiers of the two directions are different things.
fn both_directions_may_use_an_identifier<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(ExactlyOnce, "mine").unwrap();
    let token = bed.token(&publish(ExactlyOnce, 1, "theirs"));
    bed.sent_bytes();
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.ack(token);
    bed.expect_sent(&[pubrel(1), pubrec(1)]);
    assert_eq!(bed.tell(&pubrel(1)), []);
    assert_eq!(bed.tell(&pubcomp(1)).len(), 1);
    bed.expect_sent(&[pubcomp(1)]);
    assert_eq!((bed.client.held(), bed.client.in_flight()), (0, 0));
}

/// [MQTT-3.3.4-9], D13, HB-42: 0x93; repetitions do not count. T130.
fn hb_42_receive_maximum_is_strict<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for n in 1..=WINDOW {
        let qos = if n % 2 == 0 { AtLeastOnce } else { ExactlyOnce };
        bed.token(&publish(qos, n, "x"));
    }
    assert_eq!(bed.tell(&publish(AtLeastOnce, 2, "x")), []);
    assert_eq!(bed.tell(&publish(ExactlyOnce, 1, "x")), []);
    bed.feed(&publish(AtLeastOnce, 100, "x"));
    let violation = Violation::ReceiveMaximumExceeded;
    bed.expect_end(Some(0x93), DisconnectCause::Violation(violation));
}

/// D13, T7: a margin for servers that overshoot. T130.
fn the_margin_is_tolerated_and_counted<F: Face>() {
    let mut config = Config::default();
    config.inbound_margin = 2;
    let mut bed = Bed::<F>::with(config);
    bed.open_with(&[Property::ReceiveMaximum(3), machine::LIMITS[1]], 60);
    bed.accept(&[]);
    for n in 1..=5 {
        bed.token(&publish(AtLeastOnce, n, "x"));
        let overshoot = bed.client.statistics().receive_maximum_overshoot;
        assert_eq!(overshoot, u64::from(n.max(3) - 3));
    }
    bed.feed(&publish(AtLeastOnce, 6, "x"));
    let violation = Violation::ReceiveMaximumExceeded;
    bed.expect_end(Some(0x93), DisconnectCause::Violation(violation));
}

/// D13: from arrival until PUBACK, PUBCOMP or a refusing PUBREC is encoded. T130.
fn receive_maximum_counts_until_the_answer<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.close();
    bed.open_with(&[Property::ReceiveMaximum(1), machine::LIMITS[1]], 60);
    bed.accept(&[]);
    for n in 1..=4 {
        let token = bed.token(&publish(AtLeastOnce, n, "x"));
        bed.ack(token);
        let token = bed.token(&publish(ExactlyOnce, n, "x"));
        bed.client
            .reject(bed.now, token, RejectReason::QuotaExceeded);
        let token = bed.token(&publish(ExactlyOnce, n, "x"));
        bed.ack(token);
        bed.feed(&pubrel(n));
    }
    let token = bed.token(&publish(ExactlyOnce, 9, "x"));
    bed.ack(token);
    bed.sent_bytes();
    bed.feed(&publish(AtLeastOnce, 10, "x"));
    let violation = Violation::ReceiveMaximumExceeded;
    bed.expect_end(Some(0x93), DisconnectCause::Violation(violation));
}

/// E7, T1: one of a session that is over, also when the identifier is in use again.
fn a_stale_token_does_nothing<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let first = bed.token(&publish(AtLeastOnce, 7, "x"));
    let second = bed.token(&publish(ExactlyOnce, 8, "x"));
    bed.close();
    bed.ack(first);
    bed.client
        .reject(bed.now, second, RejectReason::NotAuthorized);
    bed.expect_idle();
    bed.open();
    bed.ack(first);
    bed.accept(&[]);
    bed.ack(first);
    let again = bed.token(&publish(AtLeastOnce, 7, "y"));
    bed.token(&publish(ExactlyOnce, 8, "y"));
    bed.ack(first);
    bed.client
        .reject(bed.now, second, RejectReason::NotAuthorized);
    bed.expect_sent(&[]);
    bed.ack(again);
    bed.expect_sent(&[puback(7)]);
}

/// 3.1.2.11.3: Receive Maximum is no limit for QoS 0.
fn qos_0_is_not_limited<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for n in 1..=WINDOW {
        bed.token(&publish(ExactlyOnce, n, "x"));
    }
    for _ in 0..100 {
        bed.message(&publish(AtMostOnce, 0, "x"));
    }
}

/// E17: content that a publisher should not have sent costs no connection; the message says what is wrong with it.
#[cfg(feature = "alloc")]
#[test]
fn hb_50_poison_is_delivered_and_marked() {
    use mqtt5_proto::{Client, Event, Instant};

    let mut client = Client::new(Config::default());
    let now = Instant::ZERO;
    client
        .connect(now, &mqtt5_proto::packet::Connect::new("me"))
        .unwrap();
    // Payload Format Indicator 1 and no UTF-8; Payload Format Indicator 2; a Response Topic with a wildcard.
    let frames: [&[u8]; 4] = [
        b"\x20\x03\x00\x00\x00",
        b"\x30\x07\x00\x01t\x02\x01\x01\xFF",
        b"\x30\x07\x00\x01t\x02\x01\x02x",
        b"\x30\x08\x00\x01t\x04\x08\x00\x01#",
    ];
    let bytes = frames.concat();
    client.receive_space()[..bytes.len()].copy_from_slice(&bytes);
    client.handle_received(now, bytes.len());
    assert!(matches!(client.poll_event(now), Some(Event::Connected(_))));
    let mut faults = Vec::new();
    while let Some(Event::Message { message, .. }) = client.poll_event(now) {
        faults.push(message.content_faults());
    }
    let all = faults
        .iter()
        .map(|f| (f.payload_format_indicator, f.payload, f.response_topic));
    assert_eq!(
        all.collect::<Vec<_>>(),
        [
            (false, true, false),
            (true, false, false),
            (false, false, true)
        ]
    );
}
