//! A server that breaks the protocol: the right code in DISCONNECT, then the transport is closed, then one event that
//! says why (4.13, E19).

mod golden;
mod machine;

use mqtt5_proto::packet::Acknowledgement;
use mqtt5_proto::{
    Config, DecodeErrorKind, Decoding, DisconnectCause, FixedHeader, Packet, PacketType, Property,
    QoS, ReasonCode, Role, Violation,
};

use machine::packets::{disconnect, encode, id, publish};
use machine::{Bed, Face, LIMITS, PACKET_LIMIT, Told, every_storage};

every_storage!(
    every_golden_vector_of_what_is_invalid,
    every_golden_vector_of_what_a_server_sends,
    hb_08_packets_of_a_client,
    hb_03_the_fixed_header_decides_on_too_large_packets,
    the_largest_packet_is_accepted,
    lenient_tolerates_what_breaks_nothing,
    what_was_handled_before_stays_handled,
    the_answers_before_it_leave_first,
    hb_10_nothing_after_it_is_handled,
    hb_06_every_split_of_a_violation,
);

fn expected(kind: &str, cause: DisconnectCause) -> bool {
    match cause {
        DisconnectCause::Violation(Violation::Decode(found)) => format!("{found:?}") == kind,
        _ => false,
    }
}

/// HB-01, HB-02, HB-05, HB-07, HB-11 to HB-13, HB-15 to HB-19, HB-26, HB-36, HB-41, HB-46, HB-47: what the codec
/// refuses ends the connection with the code that the vector names.
fn every_golden_vector_of_what_is_invalid<F: Face>() {
    let mut count = 0;
    let decoding = Decoding::new(Role::Server);
    for vector in golden::invalid() {
        let of_server = vector.sender != golden::Sender::Client;
        // What is no whole packet, or more than one, is something else to a machine.
        let whole = FixedHeader::parse(&vector.bytes, &decoding).map_or(true, |header| {
            header.is_some_and(|header| header.total_len() == vector.bytes.len())
        });
        if !of_server || !whole {
            continue;
        }
        count += 1;
        let connack = vector.bytes[0] >> 4 == PacketType::Connack as u8;
        let mut bed = if connack {
            let mut bed = Bed::<F>::new();
            bed.open();
            bed
        } else {
            Bed::<F>::connected()
        };
        bed.feed_bytes(&vector.bytes);
        let events = bed.events();
        let sent = bed.sent_bytes();
        let told = bed.close();
        let name = vector.name;
        let Told::Disconnected(cause, _) = &told[0] else {
            panic!("{name}: {told:?}")
        };
        assert!(events.is_empty(), "{name}: {events:?}");
        assert!(expected(vector.kind, *cause), "{name}: {cause:?}");
        assert_eq!(sent, encode(&disconnect(vector.reason.value())), "{name}");
    }
    assert!(count > 50, "{count}");
}

/// Every packet that a server may send is handled in every state without a panic, and ends the connection or not.
fn every_golden_vector_of_what_a_server_sends<F: Face>() {
    for vector in golden::vectors() {
        if vector.sender == golden::Sender::Client || vector.bytes.len() > PACKET_LIMIT as usize {
            continue;
        }
        for accepted in [false, true] {
            let mut bed = Bed::<F>::new();
            bed.open();
            if accepted {
                bed.accept(&[]);
                bed.publish(QoS::AtLeastOnce, "x").unwrap();
                bed.sent_bytes();
            }
            bed.feed_bytes(&vector.bytes);
            bed.events();
            bed.sent_bytes();
            bed.close();
        }
    }
}

/// HB-08: the first byte is enough. T125.
fn hb_08_packets_of_a_client<F: Face>() {
    for (byte, packet) in [
        (0x10, PacketType::Connect),
        (0x82, PacketType::Subscribe),
        (0xA2, PacketType::Unsubscribe),
        (0xC0, PacketType::Pingreq),
    ] {
        let mut bed = Bed::<F>::connected();
        bed.feed_bytes(&[byte]);
        let kind = DecodeErrorKind::WrongDirection(packet);
        bed.expect_end(Some(0x82), DisconnectCause::Violation(kind.into()));
    }
}

/// D14, HB-03, [MQTT-3.1.2-24]: 0x95 before any of it is kept, also for the longest there is.
fn hb_03_the_fixed_header_decides_on_too_large_packets<F: Face>() {
    for header in [
        // 16,384 bytes are allowed.
        [0x30, 0xFE, 0x7F],
        [0x30, 0xFF, 0x7F],
        [0x40, 0xFE, 0x7F],
    ] {
        let mut bed = Bed::<F>::connected();
        bed.feed_bytes(&header);
        let violation = Violation::PacketTooLarge;
        bed.expect_end(Some(0x95), DisconnectCause::Violation(violation));
    }
    let mut bed = Bed::<F>::connected();
    bed.feed_bytes(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    let violation = Violation::PacketTooLarge;
    bed.expect_end(Some(0x95), DisconnectCause::Violation(violation));
}

fn the_largest_packet_is_accepted<F: Face>() {
    let payload = "x".repeat(PACKET_LIMIT as usize - 7);
    let packet = publish(QoS::AtMostOnce, 0, &payload);
    assert_eq!(encode(&packet).len(), PACKET_LIMIT as usize);
    let mut bed = Bed::<F>::connected();
    for _ in 0..3 {
        assert_eq!(bed.message(&packet).payload(), payload.as_bytes());
    }
}

/// E8: longer integers than needed, DUP with QoS 0, problem information that was not asked for; each packet counts once
/// for each kind.
fn lenient_tolerates_what_breaks_nothing<F: Face>() {
    let list = [
        LIMITS[0],
        LIMITS[1],
        Property::RequestProblemInformation(false),
    ];
    // With how many integers, flags and explanations that should not be.
    let odd: [(&[u8], [u64; 3]); 11] = [
        (b"\x30\x05\x00\x01t\x00x", [0, 0, 0]),
        // Remaining Length, property length, the identifier of a property, the value of one.
        (b"\x30\x85\x00\x00\x01t\x00x", [1, 0, 0]),
        (b"\x30\x06\x00\x01t\x80\x00x", [1, 0, 0]),
        (b"\x30\x08\x00\x01t\x03\x81\x00\x00x", [1, 0, 0]),
        (b"\x30\x08\x00\x01t\x03\x0B\x81\x00x", [1, 0, 0]),
        (b"\x38\x05\x00\x01t\x00x", [0, 1, 0]),
        (b"\x38\x86\x00\x00\x01t\x80\x00x", [1, 1, 0]),
        // The acknowledgements of nothing, which is ignored.
        (b"\x40\x83\x00\x00\x07\x00", [1, 0, 0]),
        (b"\x40\x08\x00\x07\x00\x04\x1F\x00\x01w", [0, 0, 1]),
        (b"\xB0\x0A\x00\x07\x06\x26\x00\x01a\x00\x00\x00", [0, 0, 1]),
        (b"\xD0\x80\x00", [1, 0, 0]),
    ];
    for (bytes, expected) in odd {
        for lenient in [false, true] {
            let mut config = Config::default();
            config.lenient = lenient;
            let mut bed = Bed::<F>::with(config);
            bed.open_with(&list, 60);
            bed.accept(&[]);
            bed.feed_bytes(bytes);
            let events = bed.events();
            let tolerated = lenient || expected == [0, 0, 0];
            let told = tolerated && bytes[0] & 0xF0 == 0x30;
            assert_eq!(events.len(), usize::from(told), "{bytes:02X?} {events:?}");
            if told {
                assert_eq!(events[0].payload(), b"x");
            }
            assert_eq!(bed.client.wants_read(), tolerated, "{bytes:02X?}");
            let statistics = bed.client.statistics();
            let counted = [
                statistics.non_minimal_integers,
                statistics.dup_without_qos,
                statistics.unexpected_problem_information,
            ];
            let expected = if lenient { expected } else { [0, 0, 0] };
            assert_eq!(counted, expected, "{bytes:02X?}");
        }
    }
}

fn what_was_handled_before_stays_handled<F: Face>() {
    let mut bytes = encode(&publish(QoS::AtMostOnce, 0, "a"));
    bytes.extend(encode(&publish(QoS::AtMostOnce, 0, "b")));
    bytes.extend([0xD0, 1, 0]);
    let mut bed = Bed::<F>::connected();
    bed.feed_bytes(&bytes);
    let events = bed.events();
    let payloads: Vec<_> = events.iter().map(Told::payload).collect();
    assert_eq!(payloads, [b"a", b"b"]);
    let kind = DecodeErrorKind::TrailingBytes;
    bed.expect_end(Some(0x81), DisconnectCause::Violation(kind.into()));
}

fn the_answers_before_it_leave_first<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(QoS::AtMostOnce, "x").unwrap();
    bed.feed(&machine::packets::pubrel(9));
    bed.feed_bytes(&[0x00]);
    assert_eq!(bed.events(), []);
    assert!(!bed.client.wants_close());
    let not_found = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
    bed.expect_sent(&[
        publish(QoS::AtMostOnce, 0, "x"),
        Packet::Pubcomp(Acknowledgement::new(id(9), not_found)),
        disconnect(0x81),
    ]);
    assert!(bed.client.wants_close());
    // Only now is the connection over, whatever happens to the transport.
    let kind = DecodeErrorKind::ReservedPacketType;
    bed.expect_closed(DisconnectCause::Violation(kind.into()));
}

/// HB-10; the first violation is the cause.
fn hb_10_nothing_after_it_is_handled<F: Face>() {
    let mut bytes = vec![0x00];
    bytes.extend(encode(&publish(QoS::AtMostOnce, 0, "late")));
    bytes.extend(encode(&disconnect(0x8B)));
    let mut bed = Bed::<F>::connected();
    bed.feed_bytes(&bytes);
    let kind = DecodeErrorKind::ReservedPacketType;
    bed.expect_end(Some(0x81), DisconnectCause::Violation(kind.into()));
    assert_eq!(bed.client.statistics().packets_received, 1);
}

/// HB-06: how the bytes are cut makes no difference to where a violation is seen or what is answered.
fn hb_06_every_split_of_a_violation<F: Face>() {
    let mut bytes = encode(&publish(QoS::AtMostOnce, 0, "a"));
    bytes.extend([0x40, 3, 0, 1, 0x7F]);
    for at in 0..=bytes.len() {
        let mut bed = Bed::<F>::connected();
        let mut events = Vec::new();
        for part in [&bytes[..at], &bytes[at..]] {
            bed.feed_bytes(part);
            events.extend(bed.events());
        }
        assert_eq!(events.len(), 1);
        let kind = DecodeErrorKind::UndefinedReasonCode(0x7F);
        bed.expect_end(Some(0x82), DisconnectCause::Violation(kind.into()));
    }
}
