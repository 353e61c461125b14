//! Sending application messages: the three flows of section 4.3 from the sender's side, and how a publish ends.

mod machine;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{
    Outbound, Packet, PacketType, Properties, Property, QoS, ReasonCode, Refused, TopicName,
};

use machine::packets::{ack_with, encode, puback, pubcomp, publish, pubrec, pubrel};
use machine::{Bed, End, Face, Told, every_storage};

use PacketType::{Puback, Pubcomp, Pubrec};
use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    qos_0_is_finished_when_it_is_encoded,
    qos_1_ends_with_puback,
    qos_2_ends_with_pubcomp,
    qos_2_keeps_the_reason_of_pubrec,
    a_refusing_puback_ends_the_exchange,
    hb_37_a_refusing_pubrec_ends_the_exchange_without_pubrel,
    hb_39_acknowledgements_out_of_order,
    pubrels_leave_in_the_order_of_pubrecs,
    everything_of_a_publish_is_sent,
    what_connack_rules_out_is_refused,
    maximum_packet_size_counts_every_byte,
    hb_19_nothing_fits_a_server_that_takes_one_byte,
    hb_39_nothing_is_resent_on_a_live_connection,
);

fn delivered(reason: u8, last: u8) -> End {
    End::Delivered(reason.into(), last.into(), "[]".into())
}

/// [MQTT-4.3.1-1], [MQTT-2.2.1-2], D36: no identifier, no DUP, no event.
fn qos_0_is_finished_when_it_is_encoded<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let op = bed.publish(AtMostOnce, "x").unwrap();
    assert!(!bed.client.is_pending(op));
    assert_eq!(bed.client.in_flight(), 0);
    assert_eq!(bed.sent_bytes(), b"\x30\x05\x00\x01t\x00x");
    assert_eq!(bed.events(), []);
    assert!(!bed.client.withdraw(op));
}

/// [MQTT-4.3.2-1], [MQTT-4.3.2-2], [MQTT-4.3.2-3]; success and No matching subscribers.
fn qos_1_ends_with_puback<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for (n, reason) in [(1, 0x00), (2, 0x10)] {
        let op = bed.publish(AtLeastOnce, "x").unwrap();
        bed.expect_sent(&[publish(AtLeastOnce, n, "x")]);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.client.in_flight(), 1);
        let events = bed.tell(&ack_with(Puback, n, reason, Properties::EMPTY));
        assert_eq!(events, [Told::Completed(op, delivered(reason, reason))]);
        assert_eq!(bed.client.in_flight(), 0);
        bed.expect_sent(&[]);
    }
}

/// [MQTT-4.3.3-1] to [MQTT-4.3.3-5]: the exchange is open until PUBCOMP.
fn qos_2_ends_with_pubcomp<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 1, "x")]);
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[pubrel(1)]);
    assert_eq!(bed.client.in_flight(), 1);
    let events = bed.tell(&pubcomp(1));
    assert_eq!(events, [Told::Completed(op, End::delivered())]);
    assert_eq!(bed.client.in_flight(), 0);
    bed.expect_sent(&[]);
}

/// The reason that counts is that of PUBREC; PUBCOMP 0x92 does not undo it (D26).
fn qos_2_keeps_the_reason_of_pubrec<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for (n, reason, last) in [(1, 0x10, 0x00), (2, 0x00, 0x92)] {
        let op = bed.publish(ExactlyOnce, "x").unwrap();
        bed.sent_bytes();
        assert_eq!(
            bed.tell(&ack_with(Pubrec, n, reason, Properties::EMPTY)),
            []
        );
        bed.expect_sent(&[pubrel(n)]);
        let events = bed.tell(&ack_with(Pubcomp, n, last, Properties::EMPTY));
        assert_eq!(events, [Told::Completed(op, delivered(reason, last))]);
    }
}

const REFUSALS: [u8; 7] = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// [MQTT-4.4.0-2]: with its code and properties.
fn a_refusing_puback_ends_the_exchange<F: Face>() {
    refused::<F>(AtLeastOnce, Puback);
}

/// [MQTT-4.4.0-2], D25, HB-37: no PUBREL, the identifier is free, a late PUBCOMP is ignored.
fn hb_37_a_refusing_pubrec_ends_the_exchange_without_pubrel<F: Face>() {
    refused::<F>(ExactlyOnce, Pubrec);
}

fn refused<F: Face>(qos: QoS, packet: PacketType) {
    let list = [
        Property::ReasonString("no"),
        Property::UserProperty("a", "b"),
    ];
    let properties = Properties::new(&list).unwrap();
    let mut bed = Bed::<F>::connected();
    for (n, reason) in (1..).zip(REFUSALS) {
        let op = bed.publish(qos, "x").unwrap();
        bed.sent_bytes();
        let events = bed.tell(&ack_with(packet, n, reason, properties));
        let printed = r#"[ReasonString("no"), UserProperty("a", "b")]"#.into();
        let end = End::Rejected(ReasonCode::from(reason), printed);
        assert_eq!(events, [Told::Completed(op, end)]);
        assert_eq!(bed.client.in_flight(), 0);
        assert_eq!(bed.tell(&pubcomp(n)), []);
        bed.expect_sent(&[]);
    }
    assert_eq!(bed.client.statistics().acknowledgements_ignored, 7);
}

/// HB-39: the server answers in any order.
fn hb_39_acknowledgements_out_of_order<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let ops: Vec<_> = (0..5)
        .map(|_| bed.publish(AtLeastOnce, "x").unwrap())
        .collect();
    bed.sent_bytes();
    for n in [3, 1, 5, 4, 2] {
        let events = bed.tell(&puback(n));
        let op = ops[usize::from(n) - 1];
        assert_eq!(events, [Told::Completed(op, End::delivered())]);
    }
}

/// [MQTT-4.6.0-4].
fn pubrels_leave_in_the_order_of_pubrecs<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for _ in 0..4 {
        bed.publish(ExactlyOnce, "x").unwrap();
    }
    bed.sent_bytes();
    for n in [2, 4, 1, 3] {
        bed.feed(&pubrec(n));
    }
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[pubrel(2), pubrel(4), pubrel(1), pubrel(3)]);
}

/// Retain, properties in their order, an empty payload; the same when it waited to be encoded.
fn everything_of_a_publish_is_sent<F: Face>() {
    let list = [
        Property::PayloadFormatIndicator(1),
        Property::MessageExpiryInterval(9),
        Property::UserProperty("z", "1"),
        Property::UserProperty("a", "2"),
        Property::UserProperty("z", "1"),
        Property::ContentType("text"),
        Property::ResponseTopic("r"),
        Property::CorrelationData(b"\xFF"),
    ];
    let properties = Properties::new(&list).unwrap();
    let topic = TopicName::new("a/ü").unwrap();
    for payload in [&b""[..], b"payload"] {
        let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
        let message = Outbound {
            retain: true,
            properties,
            ..Outbound::new(topic, ExactlyOnce, payload)
        };
        for n in 1..=2_u16 {
            bed.client.publish(bed.now, &message).unwrap();
            assert_eq!(bed.client.pending(), usize::from(n) - 1);
        }
        let packet = |n| {
            Packet::Publish(Publish {
                delivery: machine::packets::delivery(ExactlyOnce, n, false),
                retain: true,
                topic: Some(topic),
                properties,
                payload,
            })
        };
        bed.expect_sent(&[packet(1)]);
        assert_eq!(bed.tell(&pubrec(1)), []);
        assert_eq!(bed.tell(&pubcomp(1)).len(), 1);
        bed.expect_sent(&[pubrel(1), packet(2)]);
    }
}

/// [MQTT-3.2.2-11], [MQTT-3.2.2-14], D40; Topic Aliases are the machine's, Subscription Identifiers the server's
/// [MQTT-3.3.4-6].
fn what_connack_rules_out_is_refused<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::MaximumQoS(0), Property::RetainAvailable(false)]);
    for qos in [AtLeastOnce, ExactlyOnce] {
        let refused = bed.publish(qos, "x");
        assert_eq!(refused, Err(Refused::QoSNotSupported(AtMostOnce)));
    }
    let topic = TopicName::new("t").unwrap();
    let mut message = Outbound::new(topic, AtMostOnce, "x");
    message.retain = true;
    let refused = bed.client.publish(bed.now, &message);
    assert_eq!(refused, Err(Refused::RetainNotSupported));

    let mut bed = Bed::<F>::accepted(&[Property::MaximumQoS(1), Property::TopicAliasMaximum(9)]);
    let refused = bed.publish(ExactlyOnce, "x");
    assert_eq!(refused, Err(Refused::QoSNotSupported(AtLeastOnce)));
    for (property, identifier) in [
        (Property::TopicAlias(1), 0x23),
        (Property::SubscriptionIdentifier(1), 0x0B),
    ] {
        let list = [property];
        let properties = Properties::new(&list).unwrap();
        let message = Outbound {
            properties,
            ..Outbound::new(topic, AtLeastOnce, "x")
        };
        let refused = bed.client.publish(bed.now, &message);
        assert_eq!(refused, Err(Refused::PropertyNotSupported(identifier)));
    }
    let list = [Property::ReceiveMaximum(1)];
    let message = Outbound {
        properties: Properties::new(&list).unwrap(),
        ..Outbound::new(topic, AtLeastOnce, "x")
    };
    let refused = bed.client.publish(bed.now, &message);
    assert!(matches!(refused, Err(Refused::Encode(_))), "{refused:?}");
    bed.expect_sent(&[]);
    // A refusal costs no identifier and no operation.
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 1, "x")]);
}

/// [MQTT-3.2.2-15], T6: exactly at the limit is sent, one byte more is refused, the connection lives.
fn maximum_packet_size_counts_every_byte<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(40)]);
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let overhead = encode(&publish(qos, 1, "")).len();
        let fits = "x".repeat(40 - overhead);
        bed.publish(qos, &fits).unwrap();
        assert_eq!(bed.sent_bytes().len(), 40);
        let (length, maximum) = (41, 40);
        let refused = bed.publish(qos, &(fits + "x"));
        assert_eq!(refused, Err(Refused::TooLarge { length, maximum }));
    }
    bed.expect_sent(&[]);
    assert_eq!(bed.client.pending(), 0);
}

/// HB-19: every publish fails by itself, nothing loops, and not even DISCONNECT exceeds the limit [MQTT-3.2.2-15].
fn hb_19_nothing_fits_a_server_that_takes_one_byte<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(1)]);
    assert!(matches!(
        bed.publish(AtMostOnce, ""),
        Err(Refused::TooLarge { maximum: 1, .. })
    ));
    assert!(matches!(
        bed.subscribe(&["a"]),
        Err(Refused::TooLarge { maximum: 1, .. })
    ));
    bed.elapse(machine::secs(54));
    assert!(bed.client.negotiated().is_some());
    bed.feed_bytes(&[0xD0, 1, 0]);
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[]);
    assert!(bed.client.wants_close());
}

/// [MQTT-4.4.0-1], D2, HB-39: silence about a publish changes nothing, however long it lasts.
fn hb_39_nothing_is_resent_on_a_live_connection<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let op = bed.publish(AtLeastOnce, "x").unwrap();
    bed.publish(ExactlyOnce, "y").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(2));
    bed.sent_bytes();
    for _ in 0..1_000 {
        bed.elapse(machine::secs(55));
        bed.expect_sent(&[Packet::Pingreq]);
        assert_eq!(bed.tell(&Packet::Pingresp), []);
    }
    let events = bed.tell(&puback(1));
    assert_eq!(events, [Told::Completed(op, End::delivered())]);
}

/// A large payload that is shared leaves in the same bytes as one that is borrowed.
#[cfg(feature = "alloc")]
#[test]
fn a_shared_payload_is_the_same_on_the_wire() {
    use machine::{Borrowing, Lending};
    use mqtt5_proto::Payload;

    fn run<F: Face>() {
        let payload: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        let topic = TopicName::new("t").unwrap();
        for length in [0, 4_095, 4_096, 20_000] {
            let mut bed = Bed::<F>::connected();
            let mut expected = Vec::new();
            for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
                let part = &payload[..length];
                let shared = Payload::Shared(bytes::Bytes::copy_from_slice(part));
                let mut message = Outbound::new(topic, qos, "");
                message.payload = shared;
                bed.client.publish(bed.now, &message).unwrap();
                let packet_id = (qos as u16).max(1);
                let delivery = machine::packets::delivery(qos, packet_id, false);
                expected.extend(encode(&Packet::Publish(Publish {
                    delivery,
                    retain: false,
                    topic: Some(topic),
                    properties: Properties::EMPTY,
                    payload: part,
                })));
            }
            assert_eq!(bed.client.unsent(), expected.len());
            assert_eq!(bed.sent_bytes(), expected);
        }
    }
    run::<Borrowing>();
    run::<Lending>();
}
