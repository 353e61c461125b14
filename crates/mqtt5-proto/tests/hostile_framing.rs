//! Where packets begin and end (2.1): lengths, flags, types, the wrong side, the wrong moment, any cut
//! (HB-01 to HB-10).

mod golden;
mod machine;

use mqtt5_proto::packet::{Connack, Publish, SubscribeAcknowledgement};
use mqtt5_proto::{
    Config, DecodeErrorKind as Kind, Decoding, DisconnectCause, DisconnectReason, FixedHeader,
    Packet, PacketType, Properties, Property, QoS, ReasonCode, Role, State, TopicName, Violation,
};

use golden::blocks::{around, of_a_server};
use golden::frame;
use machine::authentication;
use machine::hostile::ends;
use machine::packets::{
    delivery, disconnect, encode, id, puback, pubcomp, publish, pubrec, pubrel,
};
use machine::{Bed, Face, LIMITS, PACKET_LIMIT, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    hb_01_variable_byte_integers_of_five_bytes,
    hb_02_longer_than_needed_is_malformed,
    hb_02_longer_than_needed_is_tolerated_if_lenient,
    hb_05_every_other_length_of_every_packet,
    hb_06_every_cut_of_a_conversation,
    hb_07_every_first_byte,
    hb_08_whole_packets_of_a_client,
    hb_09_every_packet_of_a_client_before_connack,
    hb_10_a_flood_after_the_end_is_not_read,
);

/// What only a client sends (table 2-1).
const OF_A_CLIENT: [PacketType; 4] = [
    PacketType::Connect,
    PacketType::Subscribe,
    PacketType::Unsubscribe,
    PacketType::Pingreq,
];

fn connecting<F: Face>() -> Bed<F> {
    let mut bed = Bed::new();
    bed.open();
    bed
}

/// A bed in the state in which the server may send a packet that begins with this byte.
fn bed_for<F: Face>(first: u8) -> Bed<F> {
    match first >> 4 {
        2 => connecting(),
        _ => Bed::connected(),
    }
}

/// In the Remaining Length, every Property Length, and the Subscription Identifier (1.5.5).
fn hb_01_variable_byte_integers_of_five_bytes<F: Face>() {
    let kind = Kind::InvalidVariableByteInteger;
    for five in [
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x80, 0x80, 0x80, 0x80, 0x00],
        &[0x80, 0x80, 0x80, 0x80, 0x01],
        &[0xFF; 5],
    ] {
        for (first, before, after) in of_a_server().map(around) {
            let header = [&[first], &five[..]].concat();
            ends(bed_for::<F>(first), &header, 0x81, kind);
            // The fifth byte is not waited for.
            ends(bed_for::<F>(first), &header[..5], 0x81, kind);
            let packet = frame(first, &[before, five, after].concat());
            ends(bed_for::<F>(first), &packet, 0x81, kind);
        }
        let header = [&[0xD0], &five[..]].concat();
        ends(Bed::<F>::connected(), &header, 0x81, kind);
        let properties = [&[6, 0x0B], &five[..]].concat();
        let packet = frame(0x30, &[b"\0\x01t", &properties[..]].concat());
        ends(Bed::<F>::connected(), &packet, 0x81, kind);
    }
}

/// Longer forms of 0 and 1, and the packets that they stand in.
const LONGER: [(&[u8], u8); 5] = [
    (&[0x80, 0x00], 0),
    (&[0x80, 0x80, 0x80, 0x00], 0),
    (&[0x81, 0x00], 1),
    (&[0x81, 0x80, 0x00], 1),
    (&[0x81, 0x80, 0x80, 0x00], 1),
];

/// [MQTT-1.5.5-1].
fn hb_02_longer_than_needed_is_malformed<F: Face>() {
    let kind = Kind::NonMinimalVariableByteInteger;
    for (longer, value) in LONGER {
        for (first, before, after) in of_a_server().map(around) {
            let header = [&[first], longer].concat();
            ends(bed_for::<F>(first), &header, 0x81, kind);
            let padding = vec![0; usize::from(value)];
            let packet = frame(first, &[before, longer, &padding, after].concat());
            ends(bed_for::<F>(first), &packet, 0x81, kind);
        }
        let identifier = [&[0x0B], longer].concat();
        let properties = golden::prefixed(&identifier);
        let packet = frame(0x30, &[b"\0\x01t", &properties[..]].concat());
        ends(Bed::<F>::connected(), &packet, 0x81, kind);
    }
}

/// E8.
fn hb_02_longer_than_needed_is_tolerated_if_lenient<F: Face>() {
    let mut config = Config::default();
    config.lenient = true;
    let mut bed = Bed::<F>::with(config);
    bed.open();
    bed.feed_bytes(b"\x20\x84\x80\x00\x00\x00\x80\x00");
    assert!(matches!(bed.events()[..], [Told::Connected { .. }]));
    for (packet, properties) in [
        (&b"\x30\x85\x00\x00\x01t\x00x"[..], "[]"),
        (b"\x30\x06\x00\x01t\x80\x00x", "[]"),
        (b"\x30\x08\x00\x01t\x80\x80\x80\x00x", "[]"),
        (
            b"\x30\x08\x00\x01t\x03\x0B\x81\x00x",
            "[SubscriptionIdentifier(1)]",
        ),
    ] {
        bed.feed_bytes(packet);
        let told = bed.events();
        let [
            Told::Message {
                payload,
                properties: found,
                ..
            },
        ] = &told[..]
        else {
            panic!("{packet:02X?}: {told:?}");
        };
        assert_eq!((&payload[..], &found[..]), (&b"x"[..], properties));
    }
    // Five bytes stay malformed.
    let kind = Kind::InvalidVariableByteInteger;
    ends(bed, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], 0x81, kind);
}

/// E5: before CONNACK 64 KiB are accepted, whatever was announced; above that 0x97, above what was announced 0x95. A
/// machine of fixed capacity has announced less.
#[cfg(feature = "alloc")]
#[test]
fn hb_04_packets_before_connack_are_limited() {
    use machine::{Borrowing, Lending};

    /// A packet of so many bytes, as far as its header tells.
    fn header(first: u8, total: usize) -> Vec<u8> {
        let mut header = frame(first, &vec![0; total - 4]);
        assert_eq!(header.len(), total);
        header.truncate(4);
        header
    }

    fn run<F: Face>() {
        const LIMIT: usize = 64 << 10;
        let too_large = (0x95, Violation::PacketTooLarge);
        let quota = (0x97, Violation::ConnackTooLarge);
        for (announced, length, (code, violation)) in [
            (1 << 20, LIMIT + 1, quota),
            (1 << 20, 1 << 20, quota),
            (1 << 20, (1 << 20) + 1, too_large),
            (1 << 15, (1 << 15) + 1, too_large),
            (1 << 15, LIMIT + 1, too_large),
            (1 << 16, LIMIT + 1, too_large),
        ] {
            // AUTH and what may not come at all have no other limit.
            for first in [0x20, 0xF0, 0x30, 0xE0] {
                let mut bed = Bed::<F>::new();
                bed.open_with(&[Property::MaximumPacketSize(announced)], 60);
                ends(bed, &header(first, length), code, violation);
            }
        }
        // The largest CONNACK, and then the larger limit.
        let text = "x".repeat(65_518);
        let list = [Property::UserProperty("name", &text)];
        let connack = encode(&Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: Properties::new(&list).unwrap(),
        }));
        assert_eq!(connack.len(), LIMIT);
        let mut bed = Bed::<F>::new();
        bed.open_with(&[Property::MaximumPacketSize(1 << 20)], 60);
        bed.feed_bytes(&connack);
        assert!(matches!(bed.events()[..], [Told::Connected { .. }]));
        let payload = "x".repeat((1 << 20) - 8);
        let packet = publish(AtMostOnce, 0, &payload);
        assert_eq!(encode(&packet).len(), 1 << 20);
        bed.message(&packet);
    }
    run::<Borrowing>();
    run::<Lending>();
}

/// Every packet with every other Remaining Length than its own: it is another packet that may come, or it ends the
/// connection; 0x81 for fields that are cut off or bytes that are left over.
fn hb_05_every_other_length_of_every_packet<F: Face>() {
    let decoding = Decoding::new(Role::Server);
    let mut seen = [false; 16];
    let mut refused = 0;
    for vector in golden::vectors().iter().filter(|v| v.bytes.len() < 120) {
        let first = vector.bytes[0];
        let packet_type = vector.packet.packet_type();
        seen[usize::from(first >> 4)] = true;
        if vector.sender == golden::Sender::Client {
            if !OF_A_CLIENT.contains(&packet_type) {
                continue;
            }
            // The first byte decides.
            for length in 0..=vector.bytes.len() {
                let packet = frame(first, &vec![0; length]);
                let kind = Kind::WrongDirection(packet_type);
                ends(Bed::<F>::connected(), &packet, 0x82, kind);
            }
            continue;
        }
        let header = FixedHeader::parse(&vector.bytes, &decoding)
            .unwrap()
            .unwrap();
        let content = &vector.bytes[header.header_len..];
        for length in (0..content.len() + 9).filter(|length| *length != content.len()) {
            let mut content = content.to_vec();
            content.resize(length, 0);
            let packet = frame(first, &content);
            let taken = survives::<F>(&packet, &decoding);
            assert!(!taken || may_have(packet_type, length, header.remaining));
            refused += usize::from(!taken);
        }
    }
    assert_eq!(seen.iter().filter(|seen| **seen).count(), 15);
    assert!(refused > 500, "{refused}");
}

/// Whether a packet of another length than a whole one can be one: what goes on to the end of its packet, and fields that
/// may be left out at its end. More than these is left over.
fn may_have(packet: PacketType, length: usize, whole: usize) -> bool {
    use PacketType::{Connack, Disconnect, Pingresp, Publish, Suback, Unsuback};

    match packet {
        Publish | Suback | Unsuback => true,
        Connack | Pingresp => false,
        // Reason code and Property Length.
        Disconnect | PacketType::Auth => length <= whole.max(2),
        _ => length <= whole.max(4),
    }
}

/// Whether these bytes are a packet; if not, they end the connection.
fn survives<F: Face>(packet: &[u8], decoding: &Decoding) -> bool {
    let bed = bed_for::<F>(packet[0]);
    match Packet::decode(packet, decoding) {
        Err(error) => {
            let not_allowed = matches!(
                error.kind,
                Kind::NoReasonCodes | Kind::UndefinedReasonCode(_)
            );
            let code = if not_allowed { 0x82 } else { 0x81 };
            ends(bed, packet, code, error.kind);
            false
        }
        Ok(_) => {
            let mut bed = bed;
            bed.feed_bytes(packet);
            bed.events();
            bed.sent_bytes();
            let told = bed.close();
            let malformed = matches!(
                told[0],
                Told::Disconnected(DisconnectCause::Violation(Violation::Decode(_)), _)
            );
            assert!(!malformed, "{packet:02X?}: {told:?}");
            true
        }
    }
}

/// Everything that a server sends to a client that has two publishes and a subscription open.
fn conversation() -> Vec<Vec<u8>> {
    let list = [
        Property::UserProperty("ключ", "значение"),
        Property::ReasonString("a €, 😀"),
        Property::SubscriptionIdentifier(300),
    ];
    let properties =
        |count: usize, from: usize| Properties::new(&list[from..from + count]).unwrap();
    let long = "y".repeat(200);
    let message = |qos, packet_id, payload| {
        encode(&Packet::Publish(Publish {
            delivery: delivery(qos, packet_id, false),
            retain: true,
            topic: TopicName::new("дом/€").ok(),
            properties: Properties::new(&[list[0], list[2]]).unwrap(),
            payload,
        }))
    };
    let codes = [ReasonCode::GRANTED_QOS_2];
    let suback = Packet::Suback(SubscribeAcknowledgement {
        packet_id: id(3),
        properties: properties(2, 0),
        reasons: (&codes[..]).into(),
    });
    vec![
        encode(&Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: properties(2, 0),
        })),
        encode(&puback(1)),
        encode(&pubrec(2)),
        encode(&suback),
        message(AtMostOnce, 0, b"a"),
        // A Remaining Length of two bytes.
        message(AtLeastOnce, 9, long.as_bytes()),
        message(ExactlyOnce, 10, b""),
        encode(&Packet::Pingresp),
        encode(&pubrel(77)),
        encode(&pubcomp(2)),
        encode(&disconnect(0x8B)),
    ]
}

/// What a conversation comes to when it arrives in these pieces; everything is written and acknowledged at once.
fn outcome<F: Face>(pieces: &[&[u8]]) -> (Vec<Told>, Vec<u8>) {
    let mut bed = connecting::<F>();
    let (mut told, mut sent) = (Vec::new(), Vec::new());
    for piece in pieces {
        bed.feed_bytes(piece);
        while let Some(event) = bed.client.poll_event(bed.now) {
            match &event {
                Told::Connected { .. } => {
                    bed.publish(AtLeastOnce, "x").unwrap();
                    bed.publish(ExactlyOnce, "x").unwrap();
                    bed.subscribe(&["a"]).unwrap();
                }
                Told::Message {
                    token: Some(token), ..
                } => bed.ack(*token),
                _ => {}
            }
            told.push(event);
            sent.extend(bed.sent_bytes());
        }
        sent.extend(bed.sent_bytes());
    }
    told.extend(bed.close());
    (told, sent)
}

/// In one read, packet by packet, byte by byte, and cut once at every byte, inside lengths, characters and properties:
/// always the same events and the same answers.
fn hb_06_every_cut_of_a_conversation<F: Face>() {
    let packets = conversation();
    let stream = packets.concat();
    let expected = outcome::<F>(&packets.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(expected.0.len(), 8, "{:?}", expected.0);
    assert_eq!(outcome::<F>(&[&stream]), expected);
    for size in [1, 2, 3, 7, 64] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        assert_eq!(outcome::<F>(&pieces), expected, "in pieces of {size}");
    }
    for at in 1..stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(outcome::<F>(&[head, tail]), expected, "cut at {at}");
    }
}

/// [MQTT-2.1.3-1]: the reserved type, and sixteen flags for every other. It takes one byte, before CONNACK too.
fn hb_07_every_first_byte<F: Face>() {
    for first in 0..=u8::MAX {
        let (number, flags) = (first >> 4, first & 0x0F);
        let required = if [6, 8, 10].contains(&number) { 2 } else { 0 };
        let expected = match number {
            0 => Some((0x81, Kind::ReservedPacketType)),
            // All flags of PUBLISH mean something.
            3 => None,
            _ if flags != required => Some((0x81, Kind::InvalidFlags)),
            1 => Some((0x82, Kind::WrongDirection(PacketType::Connect))),
            8 => Some((0x82, Kind::WrongDirection(PacketType::Subscribe))),
            10 => Some((0x82, Kind::WrongDirection(PacketType::Unsubscribe))),
            12 => Some((0x82, Kind::WrongDirection(PacketType::Pingreq))),
            _ => None,
        };
        for mut bed in [connecting::<F>(), Bed::connected()] {
            match expected {
                Some((code, kind)) => ends(bed, &[first], code, kind),
                None => {
                    bed.feed_bytes(&[first]);
                    assert_eq!(bed.events(), []);
                    assert!(bed.client.wants_read(), "{first:#04x}");
                }
            }
        }
    }
}

/// Table 2-1: CONNECT, SUBSCRIBE, UNSUBSCRIBE and PINGREQ as a client sends them.
fn hb_08_whole_packets_of_a_client<F: Face>() {
    let mut count = 0;
    for vector in golden::vectors() {
        let packet_type = vector.packet.packet_type();
        if !OF_A_CLIENT.contains(&packet_type) || vector.bytes.len() > PACKET_LIMIT as usize {
            continue;
        }
        count += 1;
        let kind = Kind::WrongDirection(packet_type);
        ends(Bed::<F>::connected(), &vector.bytes, 0x82, kind);
    }
    assert!(count > 8, "{count}");
}

/// [MQTT-3.2.0-1]: also the four that a server may never send.
fn hb_09_every_packet_of_a_client_before_connack<F: Face>() {
    for name in [
        "connect-minimal",
        "subscribe-minimal",
        "unsubscribe-minimal",
        "pingreq",
    ] {
        let vector = golden::vector(name);
        let kind = Kind::WrongDirection(vector.packet.packet_type());
        ends(connecting::<F>(), &vector.bytes, 0x82, kind);
    }
    // Everything but AUTH also when authentication was asked for.
    for packet in [publish(AtLeastOnce, 1, "x"), puback(1), Packet::Pingresp] {
        let violation = Violation::UnexpectedPacket(packet.packet_type());
        ends(
            authentication::open::<F>(),
            &encode(&packet),
            0x82,
            violation,
        );
    }
}

/// Whatever ended the connection, and also when it is closed: nothing more is taken, counted, kept or told.
fn hb_10_a_flood_after_the_end_is_not_read<F: Face>() {
    type End<F> = fn(&mut Bed<F>);
    let ends: [End<F>; 5] = [
        |bed| bed.feed(&disconnect(0x8B)),
        |bed| bed.feed_bytes(&[0x00]),
        |bed| {
            let reason = DisconnectReason::Normal;
            bed.client
                .disconnect(bed.now, reason, Properties::EMPTY)
                .unwrap();
        },
        |bed| bed.elapse(machine::secs(100)),
        |bed| bed.client.handle_closed(bed.now),
    ];
    let flood = encode(&publish(AtLeastOnce, 1, "late")).repeat(100);
    for end in ends {
        let mut bed = Bed::<F>::connected();
        end(&mut bed);
        let told = bed.events();
        assert_ne!(bed.client.state(), State::Connected);
        let statistics = bed.client.statistics();
        for _ in 0..1_000 {
            assert!(!bed.client.wants_read());
            assert!(bed.client.receive_space().is_empty());
            // A driver that reads all the same.
            bed.client.receive(bed.now, &flood);
            bed.client.handle_received(bed.now, flood.len());
            assert_eq!(bed.events(), []);
        }
        assert_eq!(bed.client.statistics(), statistics);
        assert_eq!(bed.client.held(), 0);
        if told.is_empty() {
            assert_eq!(bed.close().len(), 1);
        }
    }
    // And nothing of it meets the next connection.
    let mut bed = Bed::<F>::connected();
    bed.feed(&disconnect(0x8B));
    bed.events();
    bed.client.receive(bed.now, &flood);
    bed.close();
    bed.open_with(&LIMITS, 60);
    bed.accept(&[]);
}

/// What a driver has read into its buffer after the end is thrown away with the next call, not kept.
#[cfg(feature = "alloc")]
#[test]
fn hb_10_a_buffer_in_the_hands_of_a_driver_stays_small() {
    let mut bed = Bed::<machine::Lending>::connected();
    bed.feed(&disconnect(0x8B));
    assert_eq!(bed.events(), []);
    let flood = vec![0x30; 4_096];
    for _ in 0..1_000 {
        bed.client.receive(bed.now, &flood);
        assert!(bed.client.incoming.space().len() <= 8_192);
    }
}
