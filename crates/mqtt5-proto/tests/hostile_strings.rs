//! Strings and binary data (1.5.4, 1.5.6) in every field that a server can fill, and Topic Names (HB-11 to HB-13).

mod golden;
mod machine;

use mqtt5_proto::{DecodeErrorKind as Kind, DisconnectCause, Property};

use golden::{frame, prefixed};
use machine::authentication::{self, METHOD};
use machine::hostile::ends;
use machine::{Bed, Face, PACKET_LIMIT, Told, every_storage};

every_storage!(
    hb_11_longer_than_the_packet,
    hb_11_empty,
    hb_11_the_longest_that_fits,
    hb_12_ill_formed,
    hb_12_u_0000,
    hb_12_a_byte_order_mark_is_kept,
    hb_12_discouraged_characters_are_kept,
    hb_13_topic_names_that_are_none,
    hb_13_unusual_topic_names,
);

/// A field with a length of two bytes.
struct Field {
    name: &'static str,
    /// The state in which its packet may come.
    at: At,
    /// Its packet, with this field.
    packet: fn(&[u8]) -> Vec<u8>,
    /// Its packet, which ends with this field.
    last: fn(&[u8]) -> Vec<u8>,
    binary: bool,
}

impl Field {
    /// How `Debug` prints this value.
    fn print(&self, value: &[u8]) -> String {
        match (self.binary, self.name) {
            (false, _) => format!("{:?}", str::from_utf8(value).unwrap()),
            (true, "correlation data") => format!("CorrelationData({value:?})"),
            (true, _) => format!("AuthenticationData({} bytes)", value.len()),
        }
    }
}

#[derive(Clone, Copy)]
enum At {
    /// CONNECT is sent.
    Connecting,
    /// CONNECT with a method is sent.
    Authenticating,
    /// Connected, with a QoS 1 publish under identifier 1 and a SUBSCRIBE under 2.
    Connected,
}

fn bed<F: Face>(at: At) -> Bed<F> {
    match at {
        At::Connecting => {
            let mut bed = Bed::new();
            bed.open();
            bed
        }
        At::Authenticating => authentication::open(),
        At::Connected => {
            let mut bed = Bed::connected();
            bed.publish(mqtt5_proto::QoS::AtLeastOnce, "x").unwrap();
            bed.subscribe(&["a"]).unwrap();
            bed.sent_bytes();
            bed
        }
    }
}

/// Name, state, first byte, content before the properties, in them before the field, in them after it, content after them.
macro_rules! fields {
    ($($name:literal $at:ident $first:literal $before:literal $inside:literal $beside:literal $after:literal $binary:literal;)*) => {
        [$(Field {
            name: $name,
            at: At::$at,
            packet: |field| {
                let block = prefixed(&[&$inside[..], field, &$beside[..]].concat());
                frame($first, &[&$before[..], &block, &$after[..]].concat())
            },
            last: |field| {
                let block = prefixed(&[&$inside[..], field].concat());
                frame($first, &[&$before[..], &block, &$after[..]].concat())
            },
            binary: $binary,
        },)*]
    };
}

/// Every string and every binary field of the packets of a server.
fn fields() -> impl Iterator<Item = Field> {
    let topic = Field {
        name: "topic",
        at: At::Connected,
        packet: |field| frame(0x30, &[field, b"\0payload"].concat()),
        last: |field| frame(0x30, field),
        binary: false,
    };
    let properties = fields! {
        "response topic" Connected 0x30 b"\0\x01t" b"\x08" b"" b"payload" false;
        "content type" Connected 0x30 b"\0\x01t" b"\x03" b"\x01\0" b"payload" false;
        "content type beside binary" Connected 0x30 b"\0\x01t" b"\x09\0\x01\xFF\x03" b"" b"" false;
        "user property key" Connected 0x30 b"\0\x01t" b"\x26" b"\0\0" b"payload" false;
        "user property value" Connected 0x30 b"\0\x01t" b"\x26\0\x01k" b"" b"payload" false;
        "correlation data" Connected 0x30 b"\0\x01t" b"\x09" b"" b"payload" true;
        "reason string of PUBACK" Connected 0x40 b"\0\x01\0" b"\x1F" b"" b"" false;
        "user property value of PUBACK" Connected 0x40 b"\0\x01\0" b"\x26\0\0" b"" b"" false;
        "reason string of SUBACK" Connected 0x90 b"\0\x02" b"\x1F" b"" b"\0" false;
        "user property key of SUBACK" Connected 0x90 b"\0\x02" b"\x26" b"\0\0" b"\0" false;
        "reason string of DISCONNECT" Connected 0xE0 b"\x8B" b"\x1F" b"" b"" false;
        "server reference of DISCONNECT" Connected 0xE0 b"\x9C" b"\x1C" b"" b"" false;
        "reason string of CONNACK" Connecting 0x20 b"\0\0" b"\x1F" b"" b"" false;
        "assigned client identifier" Connecting 0x20 b"\0\0" b"\x12" b"" b"" false;
        "response information" Connecting 0x20 b"\0\0" b"\x1A" b"" b"" false;
        "server reference of CONNACK" Connecting 0x20 b"\0\x9D" b"\x1C" b"" b"" false;
        "user property value of CONNACK" Connecting 0x20 b"\0\0" b"\x26\0\x01k" b"" b"" false;
        "authentication data of CONNACK" Authenticating 0x20 b"\0\0" b"\x15\0\x0BSCRAM-SHA-1\x16" b"" b"" true;
        "reason string of AUTH" Authenticating 0xF0 b"\x18" b"\x15\0\x0BSCRAM-SHA-1\x1F" b"" b"" false;
        "authentication data" Authenticating 0xF0 b"\x18" b"\x15\0\x0BSCRAM-SHA-1\x16" b"" b"" true;
    };
    [topic].into_iter().chain(properties)
}

/// The Authentication Method, of which only the one that we have named is accepted.
fn methods() -> impl Iterator<Item = Field> {
    fields! {
        "authentication method of CONNACK" Authenticating 0x20 b"\0\0" b"\x15" b"" b"" false;
        "authentication method of AUTH" Authenticating 0xF0 b"\x18" b"\x15" b"" b"" false;
    }
    .into_iter()
}

fn with_length(value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&length.to_be_bytes()[..], value].concat()
}

/// What is told of a packet whose field has this value.
#[track_caller]
fn told<F: Face>(field: &Field, value: &[u8]) -> String {
    let mut bed = bed::<F>(field.at);
    bed.feed_bytes(&(field.packet)(&with_length(value)));
    let mut events = bed.events();
    if events.is_empty() {
        events = bed.close();
    }
    let violated = matches!(
        events[0],
        Told::Disconnected(DisconnectCause::Violation(_), _)
    );
    assert!(!violated, "{}: {events:?}", field.name);
    match &events[0] {
        Told::Connected { properties, .. } | Told::Disconnected(_, properties) => {
            properties.clone()
        }
        Told::Message {
            topic, properties, ..
        } => format!("{topic:?} {properties}"),
        Told::Challenge(_, properties, _) => properties.clone(),
        Told::Completed(_, end) => match end {
            machine::End::Delivered(_, _, properties) | machine::End::Subscribed(_, properties) => {
                properties.clone()
            }
            other => panic!("{}: {other:?}", field.name),
        },
    }
}

/// A length that is larger than what is left, up to the largest.
fn hb_11_longer_than_the_packet<F: Face>() {
    for field in fields().chain(methods()) {
        for (declared, present) in [(1_u16, 0), (2, 1), (0x100, 4), (65_535, 0), (65_535, 9)] {
            let short = [&declared.to_be_bytes()[..], &vec![b'a'; present]].concat();
            let packet = (field.last)(&short);
            // What follows the block is no part of it.
            ends(bed::<F>(field.at), &packet, 0x81, Kind::Truncated);
        }
        // Half of the length.
        ends(
            bed::<F>(field.at),
            &(field.last)(&[0]),
            0x81,
            Kind::Truncated,
        );
    }
}

fn hb_11_empty<F: Face>() {
    for field in fields() {
        if field.name == "topic" {
            let packet = (field.packet)(&[0, 0]);
            ends(bed::<F>(field.at), &packet, 0x82, Kind::EmptyTopicName);
            continue;
        }
        let told = told::<F>(&field, b"");
        assert!(told.contains(&field.print(b"")), "{}: {told}", field.name);
    }
    for field in methods() {
        let packet = (field.packet)(&[0, 0]);
        let violation = mqtt5_proto::Violation::UnexpectedAuthentication;
        ends(bed::<F>(field.at), &packet, 0x82, violation);
    }
}

/// 65,535 bytes, the most that a length can say; less where the packet would be too large: before CONNACK, and with fixed
/// capacity.
fn hb_11_the_longest_that_fits<F: Face>() {
    for field in fields() {
        let (limit, bed) = match field.at {
            at if F::FIXED => (PACKET_LIMIT as usize, bed::<F>(at)),
            At::Connected => (usize::MAX, unlimited(field.at)),
            _ => (65_536, unlimited(field.at)),
        };
        // Its length fields are as long as they will be.
        let sample = if F::FIXED { 16_000 } else { 65_000 };
        let around = (field.packet)(&with_length(&vec![b'a'; sample])).len() - sample;
        let length = (limit - around).min(65_535);
        let mut bed: Bed<F> = bed;
        bed.feed_bytes(&(field.packet)(&with_length(&vec![b'a'; length])));
        let mut events = bed.events();
        if events.is_empty() {
            events = bed.close();
        }
        let text = match &events[0] {
            Told::Message {
                topic, properties, ..
            } => format!("{topic:?} {properties}"),
            other => format!("{other:?}").replace("\\\"", "\""),
        };
        let shown = &text[..200.min(text.len())];
        assert!(!text.contains("Violation"), "{}: {shown}", field.name);
        let whole = text.contains(&field.print(&vec![b'a'; length]));
        assert!(whole, "{}: {shown}", field.name);
    }
}

/// A bed that has announced no Maximum Packet Size, which only growable storage can.
fn unlimited<F: Face>(at: At) -> Bed<F> {
    let method = [Property::AuthenticationMethod(METHOD)];
    let mut bed = Bed::new();
    match at {
        At::Authenticating => bed.open_with(&method, 60),
        _ => bed.open_with(&[], 60),
    }
    if let At::Connected = at {
        bed.accept(&[]);
        bed.publish(mqtt5_proto::QoS::AtLeastOnce, "x").unwrap();
        bed.subscribe(&["a"]).unwrap();
        bed.sent_bytes();
    }
    bed
}

/// [MQTT-1.5.4-1]: overlong, surrogates, above U+10FFFF, cut off.
fn hb_12_ill_formed<F: Face>() {
    let strings = fields().chain(methods()).filter(|field| !field.binary);
    for field in strings {
        for text in [
            &b"\xC0\xAF"[..],
            b"a\xC0\x80",
            b"\xE0\x9F\xBF",
            b"\xF0\x8F\xBF\xBF",
            b"\xED\xA0\x80",
            b"\xED\xBF\xBF",
            b"\xED\xA0\xBD\xED\xB8\x80",
            b"\xF4\x90\x80\x80",
            b"\xF8\x88\x80\x80\x80",
            b"a\xE2\x82",
            b"\xC3",
            b"\x80",
            b"\xFF",
        ] {
            let packet = (field.packet)(&with_length(text));
            ends(bed::<F>(field.at), &packet, 0x81, Kind::InvalidUtf8);
        }
    }
}

/// [MQTT-1.5.4-2].
fn hb_12_u_0000<F: Face>() {
    let strings = fields().chain(methods()).filter(|field| !field.binary);
    for field in strings {
        for text in [&b"\0"[..], b"a\0", b"\0a", "é\0é".as_bytes()] {
            let packet = (field.packet)(&with_length(text));
            ends(bed::<F>(field.at), &packet, 0x81, Kind::NulCharacter);
        }
    }
}

/// [MQTT-1.5.4-3]: neither skipped nor stripped.
fn hb_12_a_byte_order_mark_is_kept<F: Face>() {
    for field in fields().filter(|field| !field.binary) {
        for text in ["\u{FEFF}", "\u{FEFF}a", "a\u{FEFF}b"] {
            let told = told::<F>(&field, text.as_bytes());
            assert!(
                told.contains(&format!("{text:?}")),
                "{}: {told}",
                field.name
            );
        }
    }
    for field in methods() {
        let text = format!("\u{FEFF}{METHOD}");
        let packet = (field.packet)(&with_length(text.as_bytes()));
        let violation = mqtt5_proto::Violation::UnexpectedAuthentication;
        ends(bed::<F>(field.at), &packet, 0x82, violation);
    }
}

/// 1.5.4: control characters and non-characters may be refused, and are not by default.
fn hb_12_discouraged_characters_are_kept<F: Face>() {
    for field in fields().filter(|field| !field.binary) {
        for text in [
            "\u{1}",
            "a\u{1B}[31m\n\r\u{7}\u{1F}",
            "\u{7F}\u{80}\u{9F}",
            "\u{FDD0}\u{FDEF}",
            "\u{FFFE}\u{FFFF}\u{1FFFE}\u{10FFFF}",
        ] {
            let told = told::<F>(&field, text.as_bytes());
            assert!(
                told.contains(&format!("{text:?}")),
                "{}: {told}",
                field.name
            );
        }
    }
}

fn topic(name: &[u8]) -> Vec<u8> {
    frame(0x30, &[&with_length(name), &b"\0x"[..]].concat())
}

/// [MQTT-3.3.2-2], [MQTT-4.7.3-1], [MQTT-4.7.3-2]: E19 tells which of them does not parse.
fn hb_13_topic_names_that_are_none<F: Face>() {
    for name in [
        "#",
        "+",
        "a/+",
        "+/a",
        "a/#",
        "a+",
        "#a",
        "a/+/b",
        "$share/g/#",
    ] {
        let packet = topic(name.as_bytes());
        ends(Bed::<F>::connected(), &packet, 0x82, Kind::InvalidTopicName);
    }
    ends(
        Bed::<F>::connected(),
        &topic(b""),
        0x82,
        Kind::EmptyTopicName,
    );
    for name in ["\0", "a/\0", "\0/b"] {
        let packet = topic(name.as_bytes());
        ends(Bed::<F>::connected(), &packet, 0x81, Kind::NulCharacter);
    }
}

/// Legal, however strange: up to 65,535 levels' worth of slashes (with fixed capacity, as many as fit), and `$share`,
/// which means nothing in a Topic Name.
fn hb_13_unusual_topic_names<F: Face>() {
    let levels = "/".repeat(if F::FIXED { 16_000 } else { 65_535 });
    for name in [
        "/",
        "//",
        " ",
        "$",
        "$share",
        "$share/group/topic",
        "$SYS/broker",
        levels.as_str(),
    ] {
        let mut bed = if F::FIXED {
            Bed::<F>::connected()
        } else {
            unlimited(At::Connected)
        };
        bed.feed_bytes(&topic(name.as_bytes()));
        let events = bed.events();
        let [Told::Message { topic, .. }] = &events[..] else {
            panic!("{name:.20}: {events:?}");
        };
        assert!(topic == name, "{name:.20}");
    }
}
