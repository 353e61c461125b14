//! Properties that no server may send (2.2.2): in every packet, every property in every wrong way, against table 2-4
//! (HB-15 to HB-18, HB-22, HB-23).

mod golden;
mod machine;

use mqtt5_proto::{
    Config, DecodeErrorKind as Kind, DisconnectCause, PacketType, Place, Property, Violation,
};

use golden::blocks::{around, bad_samples, block, frame, may_repeat, of_a_server, pairs, samples};
use golden::table::{Line, PROPERTIES};
use machine::authentication;
use machine::hostile::ends;
use machine::{Bed, Face, LIMITS, PACKET_LIMIT, Told, every_storage};

every_storage!(
    what_belongs_breaks_nothing,
    hb_15_longer_than_the_packet,
    hb_15_ends_inside_a_property,
    hb_16_unknown,
    hb_16_longer_identifiers_than_needed,
    hb_16_misplaced,
    hb_16_of_another_type,
    hb_17_twice,
    hb_18_values_that_are_not_allowed,
    hb_18_every_flag,
    hb_18_payload_format_is_delivered,
    hb_22_as_many_user_properties_as_fit,
    hb_23_explanations_that_were_not_asked_for,
    hb_23_explanations_that_are_always_allowed,
);

const PUBLISH: Place = Place::Packet(PacketType::Publish);
const CONNACK: Place = Place::Packet(PacketType::Connack);
const TOPIC_ALIAS: u8 = 0x23;

/// A bed in the state in which the server may send the packet.
fn bed_for<F: Face>(place: Place) -> Bed<F> {
    match place {
        CONNACK => {
            let mut bed = Bed::new();
            bed.open();
            bed
        }
        _ => Bed::connected(),
    }
}

/// Every property in every packet of a server that may carry it.
fn placed() -> impl Iterator<Item = (&'static Line, Place)> {
    let of_a_server: Vec<_> = of_a_server().collect();
    pairs().filter(move |(line, place)| line.places.contains(place) && of_a_server.contains(place))
}

/// The packet is well formed, whatever else may be wrong with it.
#[track_caller]
fn parses<F: Face>(mut bed: Bed<F>, packet: &[u8]) {
    bed.feed_bytes(packet);
    bed.events();
    bed.sent_bytes();
    let told = bed.close();
    let malformed = matches!(
        told[0],
        Told::Disconnected(DisconnectCause::Violation(Violation::Decode(_)), _)
    );
    assert!(!malformed, "{packet:02X?}: {told:?}");
}

/// The counterpart of all others: no block, and every property with good values.
fn what_belongs_breaks_nothing<F: Face>() {
    for place in of_a_server() {
        parses(bed_for::<F>(place), &frame(place, &[]));
    }
    for (line, place) in placed() {
        for (value, _) in samples(line.data) {
            parses(bed_for::<F>(place), &frame(place, &block(line, &[&value])));
        }
    }
}

/// The Property Length reaches beyond the packet, by one byte and by as much as it can.
fn hb_15_longer_than_the_packet<F: Face>() {
    for place in of_a_server() {
        let (first, before, after) = around(place);
        let user = [0x26, 0, 1, b'k', 0, 1, b'v'];
        for content in [&[][..], &user] {
            let rest = [content, after].concat();
            let one_more = u8::try_from(rest.len() + 1).unwrap();
            for length in [&[one_more][..], &[0x7F], &[0xFF, 0xFF, 0xFF, 0x7F]] {
                let packet = golden::frame(first, &[before, length, &rest].concat());
                ends(bed_for::<F>(place), &packet, 0x81, Kind::Truncated);
            }
        }
    }
}

/// The Property Length splits a property, whether the rest of it follows or not.
fn hb_15_ends_inside_a_property<F: Face>() {
    for (line, place) in placed() {
        let (first, before, after) = around(place);
        for (value, _) in samples(line.data) {
            let whole = block(line, &[&value]);
            for cut in whole.len() - value.len()..whole.len() {
                let packet = frame(place, &whole[..cut]);
                ends(bed_for::<F>(place), &packet, 0x81, Kind::Truncated);
                let length = [u8::try_from(cut).unwrap()];
                let packet = golden::frame(first, &[before, &length, &whole, after].concat());
                ends(bed_for::<F>(place), &packet, 0x81, Kind::Truncated);
            }
        }
    }
}

/// Identifiers that no table knows, of one and of several bytes.
fn hb_16_unknown<F: Face>() {
    for place in of_a_server() {
        for number in (0..300_u32).chain([16_384, 268_435_455]) {
            if PROPERTIES.iter().any(|line| u32::from(line.id) == number) {
                continue;
            }
            let mut identifier = Vec::new();
            let mut rest = number;
            while rest > 0x7F {
                identifier.push((rest & 0x7F) as u8 | 0x80);
                rest >>= 7;
            }
            identifier.push(rest as u8);
            let packet = frame(place, &[identifier, vec![0; 4]].concat());
            let kind = Kind::UnknownProperty(number);
            ends(bed_for::<F>(place), &packet, 0x81, kind);
        }
    }
}

/// A known identifier as a Variable Byte Integer that is longer than needed, and one that does not end.
fn hb_16_longer_identifiers_than_needed<F: Face>() {
    for (line, place) in placed() {
        let (value, _) = samples(line.data).swap_remove(0);
        for (identifier, kind) in [
            (
                &[line.id | 0x80, 0x00][..],
                Kind::NonMinimalVariableByteInteger,
            ),
            (
                &[line.id | 0x80, 0x80, 0x00],
                Kind::NonMinimalVariableByteInteger,
            ),
            (
                &[line.id | 0x80, 0x80, 0x80, 0x80, 0x00],
                Kind::InvalidVariableByteInteger,
            ),
        ] {
            let packet = frame(place, &[identifier, &value].concat());
            ends(bed_for::<F>(place), &packet, 0x81, kind);
        }
    }
}

/// 2.2.2.2: in a packet that the table does not name for it.
fn hb_16_misplaced<F: Face>() {
    let mut count = 0;
    for place in of_a_server() {
        for line in PROPERTIES
            .iter()
            .filter(|line| !line.places.contains(&place))
        {
            let values = samples(line.data).into_iter().map(|(value, _)| value);
            for value in values.chain([vec![]]) {
                count += 1;
                let packet = frame(place, &[vec![line.id], value].concat());
                let kind = Kind::MisplacedProperty(line.id);
                ends(bed_for::<F>(place), &packet, 0x81, kind);
            }
        }
    }
    assert!(count > 500, "{count}");
}

/// 2.2.2.2: a value that is longer or shorter than its type.
fn hb_16_of_another_type<F: Face>() {
    let auth = Place::Packet(PacketType::Auth);
    let puback = Place::Packet(PacketType::Puback);
    for (place, block, kind) in [
        // Payload Format Indicator as two bytes: the second one is an identifier.
        (PUBLISH, &[0x01, 0, 0][..], Kind::UnknownProperty(0)),
        // Message Expiry Interval as two and as five bytes.
        (PUBLISH, &[0x02, 0, 1], Kind::Truncated),
        (PUBLISH, &[0x02, 0, 0, 0, 1, 0], Kind::UnknownProperty(0)),
        // Content Type as a byte, and without its length.
        (PUBLISH, &[0x03, 1], Kind::Truncated),
        (PUBLISH, b"\x03text", Kind::Truncated),
        // Correlation Data without its length.
        (PUBLISH, b"\x09data", Kind::Truncated),
        // Subscription Identifier as four bytes, and as a string.
        (
            PUBLISH,
            &[0x0B, 0x80, 0x80, 0x80, 0x80],
            Kind::InvalidVariableByteInteger,
        ),
        (PUBLISH, &[0x0B, 1, 0, 1], Kind::UnknownProperty(0)),
        // Topic Alias as a byte.
        (PUBLISH, &[TOPIC_ALIAS, 1], Kind::Truncated),
        (CONNACK, &[0x11, 0, 10], Kind::Truncated),
        (CONNACK, &[0x13, 10], Kind::Truncated),
        (CONNACK, &[0x21, 0, 1, 0, 0], Kind::UnknownProperty(0)),
        (CONNACK, &[0x24, 0, 0], Kind::UnknownProperty(0)),
        (CONNACK, &[0x27, 0, 10], Kind::Truncated),
        (CONNACK, &[0x12, 1], Kind::Truncated),
        (auth, &[0x15, b'm'], Kind::Truncated),
        // A User Property with a name and no value.
        (puback, &[0x26, 0, 1, b'k'], Kind::Truncated),
        (puback, &[0x1F, 1], Kind::Truncated),
    ] {
        ends(bed_for::<F>(place), &frame(place, block), 0x81, kind);
    }
}

/// 2.2.2.2, E19: the same value or another, at once or after another property; User Properties may repeat, and in a
/// PUBLISH to a client Subscription Identifiers.
fn hb_17_twice<F: Face>() {
    for (line, place) in placed() {
        let values = samples(line.data);
        let first = &values[0].0;
        let user = [0x26, 0, 0, 0, 0];
        for second in [first, &values[values.len() - 1].0] {
            let once = block(line, &[first]);
            let again = [&[line.id], &second[..]].concat();
            let at_once = [&once[..], &again].concat();
            let later = [&once[..], &user, &again].concat();
            for block in [at_once, later] {
                let packet = frame(place, &block);
                if may_repeat(line.id, place) {
                    parses(bed_for::<F>(place), &packet);
                } else {
                    let kind = Kind::DuplicateProperty(line.id);
                    ends(bed_for::<F>(place), &packet, 0x82, kind);
                }
            }
        }
    }
}

/// Every value that its property may not have, Receive Maximum 0, Maximum Packet Size 0, Subscription Identifier 0 and
/// Topic Alias 0 (0x94) among them.
fn hb_18_values_that_are_not_allowed<F: Face>() {
    let mut count = 0;
    for (line, place) in placed() {
        for (value, malformed) in bad_samples(line.data) {
            if malformed.is_some() {
                // What is not of the type has tests of its own.
                continue;
            }
            count += 1;
            let packet = frame(place, &block(line, &[&value]));
            let (code, kind) = match line.id {
                TOPIC_ALIAS => (0x94, Kind::TopicAliasZero),
                id => (0x82, Kind::InvalidPropertyValue(id)),
            };
            ends(bed_for::<F>(place), &packet, code, kind);
        }
    }
    assert!(count > 20, "{count}");
}

/// Retain, wildcards, Subscription Identifiers and shared subscriptions available, and Maximum QoS (3.2.2.3.4): 0 and 1
/// are all that there is.
fn hb_18_every_flag<F: Face>() {
    for identifier in [0x24, 0x25, 0x28, 0x29, 0x2A] {
        for value in 0..=u8::MAX {
            let packet = frame(CONNACK, &[identifier, value]);
            if value < 2 {
                parses(bed_for::<F>(CONNACK), &packet);
            } else {
                let kind = Kind::InvalidPropertyValue(identifier);
                ends(bed_for::<F>(CONNACK), &packet, 0x82, kind);
            }
        }
    }
}

/// E17: a publisher chose it, so that it costs no connection.
fn hb_18_payload_format_is_delivered<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for value in 0..=u8::MAX {
        bed.feed_bytes(&[0x30, 6, 0, 1, b't', 2, 1, value]);
        let told = bed.events();
        let [Told::Message { properties, .. }] = &told[..] else {
            panic!("{value}: {told:?}");
        };
        assert_eq!(*properties, format!("[PayloadFormatIndicator({value})]"));
    }
}

/// E17: Maximum Packet Size is the only bound.
fn hb_22_as_many_user_properties_as_fit<F: Face>() {
    let limit = if F::FIXED {
        PACKET_LIMIT as usize
    } else {
        1_200_000
    };
    // A hundred thousand of twelve bytes; with fixed capacity, what its Maximum Packet Size allows.
    let count = limit / 12 - 2;
    let mut block = Vec::new();
    for number in 0..count {
        block.extend(b"\x26\0\x01k\0\x06");
        block.extend(format!("{number:06}").as_bytes());
    }
    let packet = golden::frame(0x30, &[&b"\0\x01t"[..], &golden::prefixed(&block)].concat());
    assert!(packet.len() <= limit && (F::FIXED || count > 99_990));
    let mut bed = Bed::<F>::new();
    let size = u32::try_from(limit).unwrap();
    bed.open_with(&[LIMITS[0], Property::MaximumPacketSize(size)], 60);
    bed.accept(&[]);
    bed.feed_bytes(&packet);
    let told = bed.events();
    let [Told::Message { properties, .. }] = &told[..] else {
        panic!("no message");
    };
    assert_eq!(properties.matches("UserProperty").count(), count);
    for number in [0, 1, count / 2, count - 1] {
        assert!(properties.contains(&format!("UserProperty(\"k\", \"{number:06}\")")));
    }
}

/// Connected, with a method if one is given, and without Request Problem Information.
fn unexplained<F: Face>(lenient: bool) -> Bed<F> {
    let mut config = Config::default();
    config.lenient = lenient;
    let mut bed = Bed::with(config);
    open_unexplained(&mut bed, &[]);
    bed.accept(&[]);
    bed
}

fn open_unexplained<F: Face>(bed: &mut Bed<F>, more: &[Property<'_>]) {
    let quiet = Property::RequestProblemInformation(false);
    let list = [&[LIMITS[0], LIMITS[1], quiet], more].concat();
    bed.open_with(&list, 60);
}

const EXPLANATIONS: [&[u8]; 2] = [b"\x1F\0\x03why", b"\x26\0\x01k\0\x01v"];

/// [MQTT-3.1.2-29]: in every packet but PUBLISH, CONNACK and DISCONNECT. `lenient` tolerates it (E8).
fn hb_23_explanations_that_were_not_asked_for<F: Face>() {
    use PacketType::{Auth, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback};

    let violation = Violation::UnexpectedProblemInformation;
    for packet in [Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback] {
        for explanation in EXPLANATIONS {
            let packet = frame(Place::Packet(packet), explanation);
            ends(unexplained::<F>(false), &packet, 0x82, violation);
            let mut bed = unexplained::<F>(true);
            bed.feed_bytes(&packet);
            assert_eq!(bed.events(), []);
            assert!(bed.client.wants_read(), "{packet:02X?}");
            // Asked for by default.
            let mut bed = Bed::<F>::connected();
            bed.feed_bytes(&packet);
            assert_eq!(bed.events(), []);
            assert!(bed.client.wants_read(), "{packet:02X?}");
        }
    }
    let method = [Property::AuthenticationMethod(authentication::METHOD)];
    for explanation in EXPLANATIONS {
        let challenge = [&b"\x15\0\x0BSCRAM-SHA-1"[..], explanation].concat();
        let packet = frame(Place::Packet(Auth), &challenge);
        for lenient in [false, true] {
            let mut config = Config::default();
            config.lenient = lenient;
            let mut bed = Bed::<F>::with(config);
            open_unexplained(&mut bed, &method);
            if lenient {
                bed.feed_bytes(&packet);
                assert!(matches!(bed.events()[..], [Told::Challenge(..)]));
            } else {
                ends(bed, &packet, 0x82, violation);
            }
        }
    }
}

/// [MQTT-3.1.2-29].
fn hb_23_explanations_that_are_always_allowed<F: Face>() {
    let both = EXPLANATIONS.concat();
    let shown = r#"[ReasonString("why"), UserProperty("k", "v")]"#;
    let mut bed = Bed::<F>::new();
    open_unexplained(&mut bed, &[]);
    bed.feed_bytes(&frame(CONNACK, &both));
    let told = bed.events();
    let [Told::Connected { properties, .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(properties, shown);
    bed.feed_bytes(&frame(PUBLISH, EXPLANATIONS[1]));
    let told = bed.events();
    let [Told::Message { properties, .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(properties, r#"[UserProperty("k", "v")]"#);
    bed.feed_bytes(&frame(Place::Packet(PacketType::Disconnect), &both));
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[]);
    let told = bed.close();
    let cause = DisconnectCause::ByServer {
        reason: mqtt5_proto::ReasonCode::UNSPECIFIED_ERROR,
        defined: true,
    };
    assert_eq!(told, [Told::Disconnected(cause, shown.into())]);
}

/// Ten times as many may take thirty times as long, where a quadratic decoder would take a hundred. The least of up to
/// fifty runs is measured, each short enough to be left alone by a busy machine.
#[cfg(feature = "alloc")]
#[test]
#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn hb_22_user_properties_take_linear_time() {
    use mqtt5_proto::{Client, Event, Instant};
    use std::time::{Duration, Instant as Clock};

    fn packet(count: usize) -> Vec<u8> {
        let block = b"\x26\0\x01k\0\x01v".repeat(count);
        golden::frame(0x30, &[&b"\0\x01t"[..], &golden::prefixed(&block)].concat())
    }

    fn time(packet: &[u8]) -> Duration {
        let mut client = Client::new(Config::default());
        let now = Instant::ZERO;
        client
            .connect(now, &mqtt5_proto::packet::Connect::new("me"))
            .unwrap();
        client.receive_space()[..5].copy_from_slice(b"\x20\x03\0\0\0");
        client.handle_received(now, 5);
        assert!(client.poll_event(now).is_some());
        let begin = Clock::now();
        let mut rest = packet;
        while !rest.is_empty() {
            let space = client.receive_space();
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            client.handle_received(now, count);
            rest = &rest[count..];
        }
        let Some(Event::Message { message, .. }) = client.poll_event(now) else {
            panic!("no message");
        };
        let user = message.properties().user_properties().count();
        assert!(user >= 200);
        begin.elapsed()
    }

    let (few, many) = (packet(200), packet(2_000));
    let (mut least_few, mut least_many) = (Duration::MAX, Duration::MAX);
    let linear = (0..50).any(|_| {
        least_few = least_few.min(time(&few));
        least_many = least_many.min(time(&many));
        least_many < least_few * 30
    });
    assert!(linear, "{least_few:?} for 200, {least_many:?} for 2,000");
}
