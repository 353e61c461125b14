//! PUBLISH from a server that breaks the rules, or forwards what a publisher broke (HB-41, HB-45, HB-47, HB-50, HB-51).

mod golden;
mod machine;

use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{
    Config, ContentPolicy, DecodeErrorKind as Kind, Outbound, Packet, PacketType, Properties,
    Property, QoS, RejectReason, TopicName, Violation,
};

use golden::{frame, prefixed};
use machine::hostile::ends;
use machine::packets::{ack_with, delivery, puback, pubcomp, pubrec, pubrel, reasons, suback};
use machine::{Bed, End, Face, LIMITS, PACKET_LIMIT, Told, every_storage, secs};

use QoS::ExactlyOnce;

every_storage!(
    hb_41_every_flag,
    hb_41_dup_without_qos_if_lenient,
    hb_41_a_higher_qos_than_granted,
    hb_45_an_expired_message_finishes,
    hb_45_an_expired_message_of_ours_finishes,
    hb_47_subscription_identifier_0,
    hb_47_many_subscription_identifiers,
    hb_47_a_subscription_identifier_that_was_never_used,
    hb_50_a_payload_that_is_no_text,
    hb_50_strict_ends_the_connection,
    hb_51_expiry_0,
    hb_51_a_response_topic_with_a_wildcard,
    hb_51_large_correlation_data,
);

/// A PUBLISH to `t` with these flags, identifier 7 unless the QoS is 0, this block and this payload.
fn bytes(flags: u8, block: &[u8], payload: &[u8]) -> Vec<u8> {
    let packet_id: &[u8] = if flags & 6 == 0 { &[] } else { &[0, 7] };
    let content = [b"\0\x01t", packet_id, &prefixed(block), payload].concat();
    frame(0x30 | flags, &content)
}

#[track_caller]
fn message<F: Face>(bed: &mut Bed<F>, bytes: &[u8]) -> Told {
    bed.feed_bytes(bytes);
    let mut told = bed.events();
    assert!(matches!(told[..], [Told::Message { .. }]), "{told:?}");
    told.remove(0)
}

fn properties(told: &Told) -> &str {
    match told {
        Told::Message { properties, .. } => properties,
        other => panic!("no message: {other:?}"),
    }
}

/// [MQTT-3.3.1-4], [MQTT-3.3.1-2], E19: QoS 3 does not parse, DUP with QoS 0 is not allowed.
fn hb_41_every_flag<F: Face>() {
    for flags in 0..16_u8 {
        let (dup, qos, retained) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
        let packet = bytes(flags, &[], b"x");
        let mut bed = Bed::<F>::connected();
        match (qos, dup) {
            (3, _) => ends(bed, &packet, 0x81, Kind::InvalidQoS),
            (0, true) => ends(bed, &packet, 0x82, Kind::DupWithoutQoS),
            _ => {
                let told = message(&mut bed, &packet);
                let Told::Message {
                    delivery: found,
                    retain,
                    ..
                } = told
                else {
                    unreachable!()
                };
                let qos = QoS::try_from(qos).unwrap();
                assert_eq!((found, retain), (delivery(qos, 7, dup), retained));
            }
        }
    }
}

/// E8; QoS 3 is no matter of tolerance.
fn hb_41_dup_without_qos_if_lenient<F: Face>() {
    let mut config = Config::default();
    config.lenient = true;
    let mut bed = Bed::<F>::with(config);
    bed.open();
    bed.accept(&[]);
    let told = message(&mut bed, &bytes(0b1000, &[], b"x"));
    let Told::Message {
        delivery, token, ..
    } = told
    else {
        unreachable!()
    };
    assert_eq!((delivery, token), (Delivery::AtMostOnce, None));
    ends(bed, &bytes(0b1110, &[], b"x"), 0x81, Kind::InvalidQoS);
}

/// Whatever SUBACK granted, and whatever Maximum QoS the server has.
fn hb_41_a_higher_qos_than_granted<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::MaximumQoS(0)]);
    bed.subscribe(&["t"]).unwrap();
    let granted = reasons(&[0]);
    assert_eq!(bed.tell(&suback(1, &granted)).len(), 1);
    bed.sent_bytes();
    let token = message(&mut bed, &bytes(0b0010, &[], b"x")).token();
    bed.ack(token);
    bed.expect_sent(&[puback(7)]);
    let token = message(&mut bed, &bytes(0b0100, &[], b"x")).token();
    bed.ack(token);
    bed.expect_sent(&[pubrec(7)]);
    assert_eq!(bed.tell(&pubrel(7)), []);
    bed.expect_sent(&[pubcomp(7)]);
}

const EXPIRES: [Property<'static>; 1] = [Property::MessageExpiryInterval(1)];

/// [MQTT-4.3.3-13]: the handshake goes on, however long ago the message expired, with every repetition.
fn hb_45_an_expired_message_finishes<F: Face>() {
    for keeps in [false, true] {
        let mut bed = if keeps {
            Bed::<F>::keeping()
        } else {
            Bed::connected()
        };
        let packet = Packet::Publish(Publish {
            delivery: delivery(ExactlyOnce, 7, false),
            retain: false,
            topic: TopicName::new("t").ok(),
            properties: Properties::new(&EXPIRES).unwrap(),
            payload: b"x",
        });
        let token = bed.token(&packet);
        bed.wait(secs(40));
        bed.ack(token);
        bed.expect_sent(&[pubrec(7)]);
        bed.wait(secs(40));
        assert_eq!(bed.tell(&packet), []);
        bed.expect_sent(&[pubrec(7)]);
        assert_eq!(bed.tell(&pubrel(7)), []);
        bed.expect_sent(&[pubcomp(7)]);
        assert_eq!(bed.client.held(), 0);
    }
}

/// The same for a publish of ours: PUBREL follows PUBREC after it expired, and it is delivered.
fn hb_45_an_expired_message_of_ours_finishes<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let message = Outbound {
        properties: Properties::new(&EXPIRES).unwrap(),
        ..Outbound::new(TopicName::new("t").unwrap(), ExactlyOnce, "x")
    };
    let op = bed.client.publish(bed.now, &message).unwrap();
    bed.sent_bytes();
    bed.wait(secs(40));
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[pubrel(1)]);
    bed.wait(secs(40));
    assert_eq!(
        bed.tell(&pubcomp(1)),
        [Told::Completed(op, End::delivered())]
    );
}

/// 3.3.2.3.8: alone, and among others.
fn hb_47_subscription_identifier_0<F: Face>() {
    for block in [&[0x0B, 0][..], &[0x0B, 1, 0x0B, 0], &[0x0B, 0, 0x0B, 1]] {
        let kind = Kind::InvalidPropertyValue(0x0B);
        ends(Bed::<F>::connected(), &bytes(0, block, b"x"), 0x82, kind);
    }
}

/// Ten thousand of them; with fixed capacity, as many as its Maximum Packet Size allows.
fn hb_47_many_subscription_identifiers<F: Face>() {
    let count = if F::FIXED { 5_000 } else { 10_000 };
    let block: Vec<u8> = (0..count)
        .flat_map(|n| [0x0B, (n & 0x7F) as u8 | 0x80, (n >> 7) as u8 | 1])
        .collect();
    let packet = bytes(0b0010, &block, b"x");
    let mut bed = if F::FIXED {
        assert!(packet.len() <= PACKET_LIMIT as usize);
        Bed::<F>::connected()
    } else {
        let mut bed = Bed::<F>::new();
        bed.open_with(&LIMITS[..1], 60);
        bed.accept(&[]);
        bed
    };
    let told = message(&mut bed, &packet);
    let found = properties(&told).matches("SubscriptionIdentifier(").count();
    assert_eq!((found, told.payload()), (count, &b"x"[..]));
    bed.ack(told.token());
    bed.expect_sent(&[puback(7)]);
}

/// Delivered with its number, for whoever knows what it stands for.
fn hb_47_a_subscription_identifier_that_was_never_used<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for (block, number) in [
        (&[0x0B, 1][..], 1),
        (&[0x0B, 0xFF, 0xFF, 0xFF, 0x7F], 268_435_455),
    ] {
        let told = message(&mut bed, &bytes(0, block, b"x"));
        let expected = format!("[SubscriptionIdentifier({number})]");
        assert_eq!(properties(&told), expected);
    }
}

/// E17: it is delivered with its claim, and the application may refuse it with 0x99, in PUBACK or PUBREC; the
/// connection lives.
fn hb_50_a_payload_that_is_no_text<F: Face>() {
    let faulty = [&b"\xFF"[..], b"ends in the middle \xC3", b"\xED\xA0\x80"];
    let mut bed = Bed::<F>::connected();
    for payload in faulty {
        for (flags, answer) in [(0b0010, PacketType::Puback), (0b0100, PacketType::Pubrec)] {
            let told = message(&mut bed, &bytes(flags, &[0x01, 1], payload));
            assert_eq!(told.payload(), payload);
            assert_eq!(properties(&told), "[PayloadFormatIndicator(1)]");
            let reason = RejectReason::PayloadFormatInvalid;
            bed.client.reject(bed.now, told.token(), reason);
            bed.expect_sent(&[ack_with(answer, 7, 0x99, Properties::EMPTY)]);
        }
        message(&mut bed, &bytes(0, &[0x01, 1], payload));
        assert_eq!(bed.client.held(), 0);
    }
}

/// E17: only on request, and then with 0x82, since it is the connection that ends.
fn hb_50_strict_ends_the_connection<F: Face>() {
    for flags in [0, 0b0010, 0b0100] {
        let packet = bytes(flags, &[0x01, 1], b"\xFF");
        ends(strict::<F>(), &packet, 0x82, Violation::Content);
    }
}

fn strict<F: Face>() -> Bed<F> {
    let mut config = Config::default();
    config.content = ContentPolicy::Strict;
    let mut bed = Bed::with(config);
    bed.open();
    bed.accept(&[]);
    bed
}

/// 3.3.2.3.3: it has expired, and it is there. Only the receiver knows what to make of it.
fn hb_51_expiry_0<F: Face>() {
    let packet = bytes(0b0100, &[0x02, 0, 0, 0, 0], b"x");
    for mut bed in [Bed::<F>::connected(), strict()] {
        let told = message(&mut bed, &packet);
        assert_eq!(properties(&told), "[MessageExpiryInterval(0)]");
        bed.ack(told.token());
        bed.expect_sent(&[pubrec(7)]);
        assert_eq!(bed.tell(&pubrel(7)), []);
        bed.expect_sent(&[pubcomp(7)]);
    }
}

/// [MQTT-3.3.2-14], E17: delivered as it is; 0x82 only with `Strict`.
fn hb_51_a_response_topic_with_a_wildcard<F: Face>() {
    for topic in ["#", "+", "a/+/b", "a/#", "a+b"] {
        let length = u8::try_from(topic.len()).unwrap();
        let block = [&[0x08, 0, length], topic.as_bytes()].concat();
        let packet = bytes(0b0010, &block, b"x");
        let mut bed = Bed::<F>::connected();
        let told = message(&mut bed, &packet);
        assert_eq!(properties(&told), format!("[ResponseTopic({topic:?})]"));
        bed.client.reject(
            bed.now,
            told.token(),
            RejectReason::ImplementationSpecificError,
        );
        bed.expect_sent(&[ack_with(PacketType::Puback, 7, 0x83, Properties::EMPTY)]);
        ends(strict::<F>(), &packet, 0x82, Violation::Content);
    }
}

/// 65,535 bytes, the most there is; with fixed capacity, what its Maximum Packet Size allows.
fn hb_51_large_correlation_data<F: Face>() {
    let length = if F::FIXED { 16_000_u16 } else { u16::MAX };
    let data = vec![0xFF; usize::from(length)];
    let block = [&[0x09], &length.to_be_bytes()[..], &data].concat();
    let mut bed = Bed::<F>::new();
    let size = if F::FIXED { PACKET_LIMIT } else { 70_000 };
    bed.open_with(&[LIMITS[0], Property::MaximumPacketSize(size)], 60);
    bed.accept(&[]);
    let told = message(&mut bed, &bytes(0, &block, b"x"));
    let list = [Property::CorrelationData(&data)];
    let expected = format!("{:?}", Properties::new(&list).unwrap());
    assert!(properties(&told) == expected);
    assert_eq!(told.payload(), b"x");
}
