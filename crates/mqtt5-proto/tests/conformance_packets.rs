//! What the packets of the client hold, and what it makes of packets that hold more than they should (2.2, 3.4 to 3.15).

mod golden;
mod machine;

use mqtt5_proto::packet::{Auth, Disconnect, List, SubscribeAcknowledgement};
use mqtt5_proto::{
    Authenticate, DisconnectCause, DisconnectReason, Packet, PacketType, Place, Properties,
    Property, QoS, ReasonCode, Refused, RejectReason, Role, Violation,
};

use golden::table::{self, Data, Line, PROPERTIES};
use machine::packets::{ack_with, id, publish};
use machine::{Bed, Face, LIMITS, Told, every_storage};

use PacketType::{Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback};
use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    acknowledgements_have_no_optional_properties,
    disconnect_with_user_properties_that_are_too_large,
    auth_has_no_optional_properties,
    auth_that_is_too_large,
    every_duplicated_property,
    every_forbidden_value,
    every_misplaced_property,
    problem_information_on_every_packet,
    reason_strings_change_nothing,
    codes_of_refusals_are_told,
);

/// [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2],
/// [MQTT-3.7.2-3]: neither Reason String nor User Property leaves in them, so that none is too large for it, whatever the
/// server's Maximum Packet Size, and whatever the packets that they answer carried.
fn acknowledgements_have_no_optional_properties<F: Face>() {
    let list = [
        Property::ReasonString("a reason"),
        Property::UserProperty("name", "value"),
    ];
    let properties = Properties::new(&list).unwrap();
    // The longest of them has five bytes.
    for limit in [5, 6, 20, 1_000] {
        let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(limit)]);
        let sent = |bed: &mut Bed<F>, expected: &[u8]| {
            assert_eq!(bed.sent_bytes(), expected, "at most {limit} bytes");
        };
        let token = bed.token(&publish(AtLeastOnce, 1, "x"));
        bed.ack(token);
        sent(&mut bed, &[0x40, 2, 0, 1]);
        let token = bed.token(&publish(AtLeastOnce, 1, "x"));
        bed.client
            .reject(bed.now, token, RejectReason::QuotaExceeded);
        sent(&mut bed, &[0x40, 3, 0, 1, 0x97]);
        let token = bed.token(&publish(ExactlyOnce, 1, "x"));
        bed.client
            .reject(bed.now, token, RejectReason::NotAuthorized);
        sent(&mut bed, &[0x50, 3, 0, 1, 0x87]);
        let token = bed.token(&publish(ExactlyOnce, 1, "x"));
        bed.ack(token);
        sent(&mut bed, &[0x50, 2, 0, 1]);
        bed.tell(&ack_with(Pubrel, 1, 0, properties));
        sent(&mut bed, &[0x70, 2, 0, 1]);
        bed.tell(&ack_with(Pubrel, 9, 0, properties));
        sent(&mut bed, &[0x70, 3, 0, 9, 0x92]);
        bed.tell(&ack_with(Pubrec, 9, 0, properties));
        sent(&mut bed, &[0x62, 3, 0, 9, 0x92]);
    }
    let mut bed = Bed::<F>::connected();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    bed.tell(&ack_with(Pubrec, 1, 0, properties));
    assert_eq!(bed.sent_bytes(), [0x62, 2, 0, 1]);
}

/// [MQTT-3.14.2-3], [MQTT-3.14.2-4]: either property, one byte too many; what fits leaves whole.
fn disconnect_with_user_properties_that_are_too_large<F: Face>() {
    let normal = DisconnectReason::Normal;
    for property in [
        Property::UserProperty("name", "value"),
        Property::ReasonString("a reason"),
    ] {
        let list = [property];
        let properties = Properties::new(&list).unwrap();
        let packet = Packet::Disconnect(Disconnect {
            reason: ReasonCode::NORMAL_DISCONNECTION,
            properties,
        });
        let length = machine::packets::encode(&packet).len();
        for missing in [0, 1] {
            let limit = u32::try_from(length - missing).unwrap();
            let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(limit)]);
            let result = bed.client.disconnect(bed.now, normal, properties);
            if missing == 0 {
                assert_eq!(result, Ok(()));
                bed.expect_sent(&[packet]);
                continue;
            }
            // Whether the caller is asked to leave them out or not, they do not leave.
            if result.is_err() {
                bed.expect_sent(&[]);
                let plain = bed.client.disconnect(bed.now, normal, Properties::EMPTY);
                assert_eq!(plain, Ok(()));
            }
            bed.expect_end(Some(0), DisconnectCause::Requested);
        }
    }
}

const METHOD: Property<'static> = Property::AuthenticationMethod("m");

fn authenticated<F: Face>(connack: &[Property<'_>]) -> Bed<F> {
    let mut bed = Bed::<F>::new();
    bed.open_with(&[LIMITS[0], LIMITS[1], METHOD], 60);
    bed.accept(connack);
    bed
}

fn auth<'a>(reason: u8, list: &'a [Property<'a>]) -> Packet<'a> {
    Packet::Auth(Auth {
        reason: ReasonCode::from(reason),
        properties: Properties::new(list).unwrap(),
    })
}

/// [MQTT-3.15.2-2], [MQTT-3.15.2-3]: AUTH leaves with its method and data alone.
fn auth_has_no_optional_properties<F: Face>() {
    let theirs = [
        METHOD,
        Property::ReasonString("a reason"),
        Property::UserProperty("name", "value"),
    ];
    let ours = [METHOD, Property::AuthenticationData(b"x")];
    let mut bed = authenticated::<F>(&[METHOD]);
    bed.client.reauthenticate(bed.now, None).unwrap();
    bed.expect_sent(&[auth(0x19, &ours[..1])]);
    for _ in 0..2 {
        assert_eq!(bed.tell(&auth(0x18, &theirs)).len(), 1);
        let step = Authenticate::Continue(b"x");
        bed.client.authenticate(bed.now, step).unwrap();
        bed.expect_sent(&[auth(0x18, &ours)]);
    }
}

/// [MQTT-3.2.2-15] for AUTH, whose data cannot be left out.
fn auth_that_is_too_large<F: Face>() {
    let data = [b'x'; 30];
    let list = [METHOD, Property::AuthenticationData(&data)];
    let length = machine::packets::encode(&auth(0x19, &list)).len();
    for missing in [0, 1] {
        let maximum = length - missing;
        let limit = Property::MaximumPacketSize(u32::try_from(maximum).unwrap());
        let mut bed = authenticated::<F>(&[METHOD, limit]);
        let result = bed.client.reauthenticate(bed.now, Some(&data));
        if missing == 0 {
            assert!(result.is_ok());
            bed.expect_sent(&[auth(0x19, &list)]);
        } else {
            assert_eq!(result, Err(Refused::TooLarge { length, maximum }));
            bed.expect_sent(&[]);
        }
    }
}

/// A value that is allowed.
fn good(data: Data) -> Vec<u8> {
    match data {
        Data::Byte | Data::ZeroOrOne | Data::VarintNotZero => vec![1],
        Data::TwoByte | Data::TwoByteNotZero => vec![0, 1],
        Data::FourByte | Data::FourByteNotZero => vec![0, 0, 0, 1],
        Data::Utf8 | Data::Binary => b"\0\x01m".to_vec(),
        Data::Pair => b"\0\x01k\0\x01v".to_vec(),
    }
}

/// A value of the type that is not allowed.
fn forbidden(data: Data) -> Option<Vec<u8>> {
    match data {
        Data::ZeroOrOne => Some(vec![2]),
        Data::VarintNotZero => Some(vec![0]),
        Data::TwoByteNotZero => Some(vec![0, 0]),
        Data::FourByteNotZero => Some(vec![0; 4]),
        Data::Byte | Data::TwoByte | Data::FourByte | Data::Utf8 | Data::Binary | Data::Pair => {
            None
        }
    }
}

/// The places that a server writes to.
fn places() -> impl Iterator<Item = Place> {
    let servers = |place: &Place| table::sender(*place) == Role::Server;
    table::PLACES.into_iter().filter(servers)
}

/// A packet of the server with these properties.
fn packet(place: Place, block: &[u8]) -> Vec<u8> {
    let (first, before, after): (u8, &[u8], &[u8]) = match place {
        Place::Packet(PacketType::Connack) => (0x20, b"\0\0", b""),
        Place::Packet(PacketType::Publish) => (0x32, b"\0\x01t\0\x01", b"payload"),
        Place::Packet(Puback) => (0x40, b"\0\x01\0", b""),
        Place::Packet(Pubrec) => (0x50, b"\0\x01\0", b""),
        Place::Packet(Pubrel) => (0x62, b"\0\x01\0", b""),
        Place::Packet(Pubcomp) => (0x70, b"\0\x01\0", b""),
        Place::Packet(Suback) => (0x90, b"\0\x01", b"\0"),
        Place::Packet(Unsuback) => (0xB0, b"\0\x01", b"\0"),
        Place::Packet(PacketType::Disconnect) => (0xE0, b"\0", b""),
        Place::Packet(PacketType::Auth) => (0xF0, b"\x18", b""),
        other => panic!("no server sends {other:?}"),
    };
    golden::frame(first, &[before, &*golden::prefixed(block), after].concat())
}

/// The server sends a packet where it may be sent, with these properties; gives what the client answers.
fn answer<F: Face>(place: Place, block: &[u8]) -> Vec<u8> {
    let mut bed = Bed::<F>::new();
    bed.open_with(
        &[LIMITS[0], LIMITS[1], METHOD, Property::TopicAliasMaximum(1)],
        60,
    );
    if place != Place::Packet(PacketType::Connack) {
        bed.accept(&[METHOD]);
    }
    bed.feed_bytes(&packet(place, block));
    assert_eq!(bed.events(), [], "{place:?} {block:02X?}");
    let sent = bed.sent_bytes();
    assert!(bed.client.wants_close(), "{place:?} {block:02X?}");
    let told = bed.close();
    assert!(
        matches!(
            told[0],
            Told::Disconnected(DisconnectCause::Violation(Violation::Decode(_)), _)
        ),
        "{place:?} {block:02X?}: {told:?}"
    );
    sent
}

/// The block that a property stands in: Authentication Data needs a method.
fn block(line: &Line, values: &[&[u8]]) -> Vec<u8> {
    const AUTHENTICATION_DATA: u8 = 0x16;
    let mut block = Vec::new();
    if line.id == AUTHENTICATION_DATA {
        block.extend(b"\x15\0\x01m");
    }
    for value in values {
        block.push(line.id);
        block.extend(*value);
    }
    block
}

/// Every Protocol Error of the form "to include it more than once": DISCONNECT 0x82, and the connection is closed.
fn every_duplicated_property<F: Face>() {
    let mut count = 0;
    for place in places() {
        for line in PROPERTIES
            .iter()
            .filter(|line| line.places.contains(&place))
        {
            let repeatable = match line.id {
                0x26 => true,
                0x0B => place == Place::Packet(PacketType::Publish),
                _ => false,
            };
            if repeatable {
                continue;
            }
            let value = good(line.data);
            let sent = answer::<F>(place, &block(line, &[&value, &value]));
            assert_eq!(sent, [0xE0, 1, 0x82], "{:#04x} {place:?}", line.id);
            count += 1;
        }
    }
    assert_eq!(count, 34);
}

/// Every Protocol Error of the form "or for it to have the value": 0x82, and 0x94 for Topic Alias 0.
fn every_forbidden_value<F: Face>() {
    let mut count = 0;
    for place in places() {
        for line in PROPERTIES
            .iter()
            .filter(|line| line.places.contains(&place))
        {
            let Some(value) = forbidden(line.data) else {
                continue;
            };
            let code = if line.id == 0x23 { 0x94 } else { 0x82 };
            let sent = answer::<F>(place, &block(line, &[&value]));
            assert_eq!(sent, [0xE0, 1, code], "{:#04x} {place:?}", line.id);
            count += 1;
        }
    }
    assert!(count >= 9, "{count}");
}

/// 2.2.2.2: an identifier that the packet does not have is malformed.
fn every_misplaced_property<F: Face>() {
    for place in places() {
        let misplaced = |line: &&Line| !line.places.contains(&place);
        for line in PROPERTIES.iter().filter(misplaced) {
            let value = good(line.data);
            let sent = answer::<F>(place, &[&[line.id], &value[..]].concat());
            assert_eq!(sent, [0xE0, 1, 0x81], "{:#04x} {place:?}", line.id);
        }
        for unknown in [0x00, 0x04, 0x2B, 0x7F] {
            let sent = answer::<F>(place, &[unknown, 0, 0, 0, 0]);
            assert_eq!(sent, [0xE0, 1, 0x81], "{unknown:#04x} {place:?}");
        }
    }
}

/// [MQTT-3.1.2-29]: after Request Problem Information 0, on every packet but the three that may have it.
fn problem_information_on_every_packet<F: Face>() {
    const REASON_STRING: &[u8] = b"\x1F\0\x01w";
    const USER_PROPERTY: &[u8] = b"\x26\0\x01k\0\x01v";
    for packet_type in [
        Puback,
        Pubrec,
        Pubrel,
        Pubcomp,
        Suback,
        Unsuback,
        PacketType::Auth,
    ] {
        for information in [REASON_STRING, USER_PROPERTY] {
            let list = [
                LIMITS[0],
                LIMITS[1],
                METHOD,
                Property::RequestProblemInformation(false),
            ];
            let mut bed = Bed::<F>::new();
            bed.open_with(&list, 60);
            bed.accept(&[METHOD]);
            let mut block = information.to_vec();
            if packet_type == PacketType::Auth {
                bed.client.reauthenticate(bed.now, None).unwrap();
                bed.sent_bytes();
                block.extend(b"\x15\0\x01m");
            }
            bed.feed_bytes(&packet(Place::Packet(packet_type), &block));
            assert_eq!(bed.events(), [], "{packet_type}");
            assert_eq!(bed.sent_bytes(), [0xE0, 1, 0x82], "{packet_type}");
            let told = bed.close();
            let cause = DisconnectCause::Violation(Violation::UnexpectedProblemInformation);
            assert_eq!(told[0], Told::Disconnected(cause, "[]".into()));
        }
    }
}

/// What happens when the server answers everything with this Reason String: the events but for its text, and the bytes.
fn conversation<F: Face>(reason: Option<&str>) -> (Vec<String>, Vec<u8>) {
    let with = |list: &[Property<'static>]| {
        let reason = reason.map(|text| Property::ReasonString(Box::leak(text.into())));
        let list: Vec<_> = list.iter().copied().chain(reason).collect();
        Properties::new(Box::leak(list.into_boxed_slice())).unwrap()
    };
    let plain = with(&[]);
    let codes = [ReasonCode::SUCCESS];
    let request = |packet_id| SubscribeAcknowledgement {
        packet_id: id(packet_id),
        properties: plain,
        reasons: List::from(&codes[..]),
    };
    let mut bed = Bed::<F>::new();
    bed.open_with(&[LIMITS[0], LIMITS[1], METHOD], 60);
    let mut told = bed.tell(&Packet::Connack(mqtt5_proto::packet::Connack {
        session_present: false,
        reason: ReasonCode::SUCCESS,
        properties: with(&[METHOD]),
    }));
    bed.publish(AtLeastOnce, "1").unwrap();
    bed.publish(AtLeastOnce, "2").unwrap();
    bed.publish(ExactlyOnce, "3").unwrap();
    bed.subscribe(&["a"]).unwrap();
    bed.unsubscribe(&["a"]).unwrap();
    bed.client.reauthenticate(bed.now, None).unwrap();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    for packet in [
        ack_with(Puback, 1, 0x00, plain),
        ack_with(Puback, 2, 0x97, plain),
        ack_with(Pubrec, 3, 0x00, plain),
        ack_with(Pubcomp, 3, 0x00, plain),
        ack_with(Pubrel, 7, 0x00, plain),
        Packet::Suback(request(4)),
        Packet::Unsuback(request(5)),
        Packet::Auth(Auth {
            reason: ReasonCode::SUCCESS,
            properties: with(&[METHOD]),
        }),
    ] {
        told.extend(bed.tell(&packet));
    }
    bed.publish(AtMostOnce, "last").unwrap();
    let sent = bed.sent_bytes();
    told.extend(bed.tell(&Packet::Disconnect(Disconnect {
        reason: ReasonCode::SERVER_SHUTTING_DOWN,
        properties: plain,
    })));
    assert_eq!(bed.sent_bytes(), []);
    told.extend(bed.close());
    // In the print of an event its properties are a string, with the quotes of that.
    let reason = format!(r#"ReasonString(\"{}\")"#, reason.unwrap_or_default());
    let print = |told: &Told| format!("{told:?}").replace(&reason, "ReasonString");
    (told.iter().map(print).collect(), sent)
}

/// 3.2.2.3.9 and the like: whatever it says, it is told and nothing else; the client does what it does without it.
fn reason_strings_change_nothing<F: Face>() {
    let (_, expected_bytes) = conversation::<F>(None);
    let (expected_events, _) = conversation::<F>(Some("x"));
    assert_eq!(expected_events.len(), 8);
    for reason in [
        "",
        "0x97",
        "Success",
        "Not authorized, try again in 60 s",
        "Use another server: other.example:1883",
    ] {
        let (events, bytes) = conversation::<F>(Some(reason));
        assert_eq!(events, expected_events);
        assert_eq!(bytes, expected_bytes, "{reason}");
    }
}

/// [MQTT-3.1.2-2], [MQTT-3.1.3-8], [MQTT-3.2.2-12], [MQTT-3.2.2-13], [MQTT-4.12.0-1]: a CONNECT that a server cannot take is
/// answered with the code that says why, and the application is told that code.
fn codes_of_refusals_are_told<F: Face>() {
    for (code, name) in [
        (0x81, "Malformed Packet"),
        (0x82, "Protocol Error"),
        (0x84, "Unsupported Protocol Version"),
        (0x85, "Client Identifier not valid"),
        (0x8C, "Bad authentication method"),
        (0x90, "Topic Name invalid"),
        (0x9A, "Retain not supported"),
        (0x9B, "QoS not supported"),
    ] {
        let mut bed = Bed::<F>::new();
        bed.open();
        bed.feed_bytes(&[0x20, 3, 0, code, 0]);
        let reason = ReasonCode::from(code);
        assert_eq!(reason.name(), name);
        bed.expect_end(None, DisconnectCause::Refused(reason));
    }
}
