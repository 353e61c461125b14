//! Acknowledgements that do not fit: of the wrong kind, of nothing, too often, with too few codes (HB-33 to HB-39).

mod golden;
mod machine;

use mqtt5_proto::{
    DecodeErrorKind as Kind, DisconnectCause, Packet, PacketType, Properties, QoS, ReasonCode,
    Violation,
};

use machine::hostile::ends;
use machine::packets::{
    ack, ack_with, encode, puback, pubcomp, publish, pubrec, pubrel, reasons, suback, unsuback,
};
use machine::{Bed, End, Face, Told, every_storage};

use PacketType::{Puback, Pubcomp, Pubrec, Suback, Unsuback};
use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    hb_33_no_code,
    hb_33_fewer_or_more_codes_than_filters,
    hb_36_packet_identifier_0,
    hb_34_of_the_wrong_kind_for_a_publish,
    hb_34_of_the_wrong_kind_for_a_request,
    hb_34_an_answer_to_a_publish_for_a_request,
    a_refusing_pubrec_after_pubrel,
    hb_35_puback_and_pubcomp_of_nothing_are_ignored,
    hb_35_pubrec_of_nothing_is_answered,
    hb_35_pubrel_of_nothing_is_answered,
    hb_38_pubrec_twice_is_answered_twice,
    hb_38_pubrec_after_pubcomp_is_answered,
    hb_38_a_late_puback_does_not_end_the_next_publish,
    hb_38_what_the_transport_has_not_taken_is_not_acknowledged,
    hb_35_suback_and_unsuback_of_nothing_are_ignored,
);

fn wrong<F: Face>(mut bed: Bed<F>, packet: &Packet<'_>) {
    bed.sent_bytes();
    bed.feed(packet);
    let violation = Violation::WrongAcknowledgement(packet.packet_type());
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[machine::packets::disconnect(0x82)]);
    assert!(bed.client.wants_close());
    let ends = bed.expect_closed(DisconnectCause::Violation(violation));
    assert_eq!(ends.len(), 1, "{ends:?}");
}

/// HB-34: PUBACK for QoS 2, PUBREC or PUBCOMP for QoS 1, PUBCOMP before PUBREC, SUBACK or UNSUBACK for either.
fn hb_34_of_the_wrong_kind_for_a_publish<F: Face>() {
    let codes = reasons(&[0]);
    for (qos, packet) in [
        (AtLeastOnce, ack(Pubrec, 1)),
        (AtLeastOnce, ack_with(Pubrec, 1, 0x87, Properties::EMPTY)),
        (AtLeastOnce, ack(Pubcomp, 1)),
        (AtLeastOnce, suback(1, &codes)),
        (AtLeastOnce, unsuback(1, &codes)),
        (ExactlyOnce, ack(Puback, 1)),
        (ExactlyOnce, ack_with(Puback, 1, 0x87, Properties::EMPTY)),
        (ExactlyOnce, ack(Pubcomp, 1)),
        (ExactlyOnce, suback(1, &codes)),
        (ExactlyOnce, unsuback(1, &codes)),
    ] {
        let mut bed = Bed::<F>::connected();
        bed.publish(qos, "x").unwrap();
        wrong(bed, &packet);
    }
    for packet in [ack(Puback, 1), suback(1, &codes)] {
        let mut bed = Bed::<F>::connected();
        bed.publish(ExactlyOnce, "x").unwrap();
        assert_eq!(bed.tell(&pubrec(1)), []);
        wrong(bed, &packet);
    }
}

/// HB-34: SUBACK for an UNSUBSCRIBE and the other way round.
fn hb_34_of_the_wrong_kind_for_a_request<F: Face>() {
    let codes = reasons(&[0]);
    for packet in [Suback, Unsuback] {
        let mut bed = Bed::<F>::connected();
        if packet == Suback {
            bed.unsubscribe(&["a"]).unwrap();
            wrong(bed, &suback(1, &codes));
        } else {
            bed.subscribe(&["a"]).unwrap();
            wrong(bed, &unsuback(1, &codes));
        }
    }
}

/// HB-34: a PUBACK for a SUBSCRIBE's identifier.
fn hb_34_an_answer_to_a_publish_for_a_request<F: Face>() {
    for packet in [Puback, Pubrec, Pubcomp] {
        let mut bed = Bed::<F>::connected();
        bed.subscribe(&["a"]).unwrap();
        wrong(bed, &ack(packet, 1));
    }
}

/// The server has taken responsibility with its first PUBREC; it cannot refuse any more.
fn a_refusing_pubrec_after_pubrel<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.tell(&pubrec(1)), []);
    wrong(bed, &ack_with(Pubrec, 1, 0x97, Properties::EMPTY));
}

/// HB-35: counted, no reason to end the connection.
fn hb_35_puback_and_pubcomp_of_nothing_are_ignored<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for (n, packet) in [
        (1, ack(Puback, 7)),
        (2, ack(Pubcomp, 7)),
        (3, ack_with(Pubcomp, 7, 0x92, Properties::EMPTY)),
        (4, ack_with(Puback, 7, 0x87, Properties::EMPTY)),
        (5, ack_with(Pubrec, 7, 0x87, Properties::EMPTY)),
    ] {
        assert_eq!(bed.tell(&packet), []);
        bed.expect_sent(&[]);
        assert_eq!(bed.client.statistics().acknowledgements_ignored, n);
    }
}

/// D26, T1: PUBREL 0x92, and nothing is ended by it.
fn hb_35_pubrec_of_nothing_is_answered<F: Face>() {
    let mut bed = Bed::<F>::connected();
    assert_eq!(bed.tell(&pubrec(65_535)), []);
    bed.expect_sent(&[ack_with(
        PacketType::Pubrel,
        65_535,
        0x92,
        Properties::EMPTY,
    )]);
    assert_eq!(bed.tell(&pubcomp(65_535)), []);
    bed.expect_sent(&[]);
}

/// D26, [MQTT-4.3.3-11]: PUBCOMP 0x92.
fn hb_35_pubrel_of_nothing_is_answered<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.subscribe(&["a"]).unwrap();
    bed.sent_bytes();
    for n in [1, 2, 3] {
        // Identifiers of the two directions have nothing to do with each other.
        assert_eq!(bed.tell(&pubrel(n)), []);
        bed.expect_sent(&[ack_with(Pubcomp, n, 0x92, Properties::EMPTY)]);
    }
    assert_eq!((bed.client.in_flight(), bed.client.requests()), (1, 1));
}

/// HB-38.
fn hb_38_pubrec_twice_is_answered_twice<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    for _ in 0..2 {
        assert_eq!(bed.tell(&pubrec(1)), []);
        bed.expect_sent(&[pubrel(1)]);
    }
    let events = bed.tell(&pubcomp(1));
    assert_eq!(events, [Told::Completed(op, End::delivered())]);
}

/// HB-38.
fn hb_38_pubrec_after_pubcomp_is_answered<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    assert_eq!(bed.tell(&pubcomp(1)).len(), 1);
    bed.sent_bytes();
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[ack_with(PacketType::Pubrel, 1, 0x92, Properties::EMPTY)]);
}

/// HB-38: the identifier of a finished exchange is not the next one to be used.
fn hb_38_a_late_puback_does_not_end_the_next_publish<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.tell(&puback(1)).len(), 1);
    bed.publish(AtLeastOnce, "y").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 2, "y")]);
    assert_eq!(bed.tell(&puback(1)), []);
    assert_eq!(bed.client.in_flight(), 1);
}

/// An acknowledgement that comes again meets a publish that is encoded under its identifier, and that would be lost with the connection.
fn hb_38_what_the_transport_has_not_taken_is_not_acknowledged<F: Face>() {
    for (qos, early) in [
        (AtLeastOnce, ack(Puback, 1)),
        (ExactlyOnce, ack(Pubrec, 1)),
        (ExactlyOnce, ack_with(Pubrec, 1, 0x87, Properties::EMPTY)),
        (ExactlyOnce, ack(Pubcomp, 1)),
    ] {
        let mut bed = Bed::<F>::connected();
        bed.publish(qos, "x").unwrap();
        assert_eq!(bed.tell(&early), []);
        assert_eq!(bed.client.in_flight(), 1);
        assert_eq!(bed.client.statistics().acknowledgements_ignored, 1);
        bed.expect_sent(&[publish(qos, 1, "x")]);
    }
}

/// HB-35 for requests.
fn hb_35_suback_and_unsuback_of_nothing_are_ignored<F: Face>() {
    let codes = [ReasonCode::SUCCESS, ReasonCode::NOT_AUTHORIZED];
    let mut bed = Bed::<F>::connected();
    assert_eq!(bed.tell(&suback(9, &codes)), []);
    assert_eq!(bed.tell(&unsuback(9, &codes)), []);
    bed.expect_sent(&[]);
    assert_eq!(bed.client.statistics().acknowledgements_ignored, 2);
}

/// Whether it is expected or not; the operation fails.
fn hb_33_no_code<F: Face>() {
    for first in [0x90, 0xB0] {
        for properties in [&[0][..], &[5, 0x26, 0, 0, 0, 0], &[]] {
            let packet = golden::frame(first, &[&[0, 1], properties].concat());
            let (code, kind) = match properties {
                // Not even a Property Length.
                [] => (0x81, Kind::Truncated),
                _ => (0x82, Kind::NoReasonCodes),
            };
            ends(Bed::<F>::connected(), &packet, code, kind);
            let mut bed = Bed::<F>::connected();
            let op = match first {
                0x90 => bed.subscribe(&["a", "b"]),
                _ => bed.unsubscribe(&["a", "b"]),
            };
            fails(bed, &packet, code, kind, op.unwrap());
        }
    }
}

/// [MQTT-3.8.4-6], [MQTT-3.11.3-1].
fn hb_33_fewer_or_more_codes_than_filters<F: Face>() {
    for (filters, codes) in [(1, 2), (2, 1), (2, 3), (3, 1), (3, 4), (1, 1_000)] {
        let names = &["a", "b", "c"][..filters];
        let codes = reasons(&vec![0; codes]);
        let violation = Violation::WrongReasonCount;
        let mut bed = Bed::<F>::connected();
        let op = bed.subscribe(names).unwrap();
        fails(bed, &encode(&suback(1, &codes)), 0x82, violation, op);
        let mut bed = Bed::<F>::connected();
        let op = bed.unsubscribe(names).unwrap();
        fails(bed, &encode(&unsuback(1, &codes)), 0x82, violation, op);
    }
}

/// These bytes end the connection, and the operation with it.
#[track_caller]
fn fails<F: Face>(
    mut bed: Bed<F>,
    bytes: &[u8],
    code: u8,
    violation: impl Into<Violation>,
    op: mqtt5_proto::Op,
) {
    bed.sent_bytes();
    bed.feed_bytes(bytes);
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[machine::packets::disconnect(code)]);
    assert!(bed.client.wants_close());
    let ends = bed.expect_closed(DisconnectCause::Violation(violation.into()));
    assert_eq!(ends, [Told::Completed(op, End::ConnectionLost)]);
}

/// [MQTT-2.2.1-3], [MQTT-2.2.1-4]: in every packet that has one, whatever else it holds. T150.
fn hb_36_packet_identifier_0<F: Face>() {
    for packet in [
        &b"\x32\x07\0\x01t\0\0\0x"[..],
        b"\x3A\x07\0\x01t\0\0\0x",
        b"\x34\x07\0\x01t\0\0\0x",
        b"\x3D\x07\0\x01t\0\0\0x",
        b"\x40\x02\0\0",
        b"\x40\x04\0\0\x87\0",
        b"\x50\x02\0\0",
        b"\x50\x04\0\0\x87\0",
        b"\x62\x02\0\0",
        b"\x62\x03\0\0\x92",
        b"\x70\x02\0\0",
        b"\x70\x03\0\0\x92",
        b"\x90\x04\0\0\0\0",
        b"\xB0\x04\0\0\0\0",
    ] {
        ends(Bed::<F>::connected(), packet, 0x82, Kind::PacketIdZero);
    }
}
