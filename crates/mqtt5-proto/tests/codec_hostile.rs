//! The hostile lines of the codec that no other file has: HB-05 is in `codec_truncation`, HB-15 to HB-18 are in
//! `codec_properties`, HB-26 is in `codec_reasons`.

mod golden;

use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{
    DecodeError, DecodeErrorKind as Kind, Decoding, EncodeError, FixedHeader,
    MAXIMUM_REMAINING_LENGTH, Packet, PacketType, ProtocolVersion, ReasonCode, Role, TopicName,
};

use golden::{Sender, frame, lenient, prefixed};

const V5: ProtocolVersion = ProtocolVersion::V5;
const SIDES: [Role; 2] = [Role::Client, Role::Server];

/// Five bytes of length are malformed before the fifth arrives; four are the limit. T153.
#[test]
fn hb_01_variable_byte_integers_end() {
    let server = Decoding::new(Role::Server);
    for first in [0x30, 0x40, 0x90] {
        for decoding in [server, lenient(server)] {
            let limit = [first, 0xFF, 0xFF, 0xFF, 0x7F];
            let header = FixedHeader::parse(&limit, &decoding).unwrap().unwrap();
            assert_eq!(header.remaining, MAXIMUM_REMAINING_LENGTH);
            for fourth in [0x80, 0xFF] {
                let error = FixedHeader::parse(&[first, 0xFF, 0xFF, 0xFF, fourth], &decoding);
                assert_eq!(error.unwrap_err().kind, Kind::InvalidVariableByteInteger);
            }
        }
    }
    assert_refused("HB-01", 8);
}

/// [MQTT-1.5.5-1] is the sender's rule; a receiver refuses what breaks it unless it is `lenient` (E8).
#[test]
fn hb_02_longer_than_needed() {
    for (length, value) in [
        (&[0x80, 0x00][..], 0),
        (&[0x81, 0x00], 1),
        (&[0xFF, 0x00], 127),
        (&[0x81, 0x80, 0x00], 1),
        (&[0xFF, 0xFF, 0x00], 16_383),
        (&[0x80, 0x80, 0x80, 0x00], 0),
        (&[0xFF, 0xFF, 0xFF, 0x00], 2_097_151),
    ] {
        let header = [&[0x30], length].concat();
        let strict = Decoding::new(Role::Server);
        let error = FixedHeader::parse(&header, &strict).unwrap_err();
        assert_eq!(
            error.kind,
            Kind::NonMinimalVariableByteInteger,
            "{length:02X?}"
        );
        let taken = FixedHeader::parse(&header, &lenient(strict))
            .unwrap()
            .unwrap();
        assert_eq!((taken.remaining, taken.header_len), (value, header.len()));
    }
    assert_refused("HB-02", 5);
    assert!(
        golden::accepted()
            .iter()
            .filter(|form| form.lenient)
            .count()
            >= 10
    );
}

/// The length is known from the fixed header alone, so that a limit can be kept before anything is buffered.
#[test]
fn hb_03_hb_04_the_length_is_known_before_the_content() {
    let decoding = Decoding::new(Role::Server);
    for (length, total) in [
        (&[0x00][..], 2),
        (&[0x7F], 129),
        (&[0x80, 0x01], 131),
        (&[0x80, 0x80, 0x04], 65_540),
        (&[0xFF, 0xFF, 0xFF, 0x7F], 268_435_460),
    ] {
        for first in [0x20, 0x30, 0xF0] {
            let header = [&[first], length].concat();
            for prefix in 0..header.len() {
                assert_eq!(FixedHeader::parse(&header[..prefix], &decoding), Ok(None));
            }
            let parsed = FixedHeader::parse(&header, &decoding).unwrap().unwrap();
            assert_eq!(parsed.total_len(), total);
            assert_eq!(parsed.header_len, header.len());
        }
    }
}

/// Any cut of a stream, inside lengths, characters and properties too, gives the same packets.
#[test]
fn hb_06_split_invariance() {
    for from in SIDES {
        let decoding = Decoding::new(from);
        let sent: Vec<_> = golden::vectors()
            .iter()
            .filter(|vector| vector.sender.decodings().any(|d| d == decoding))
            .collect();
        let stream: Vec<u8> = sent
            .iter()
            .flat_map(|vector| vector.bytes.clone())
            .collect();
        for chunk in [1, 2, 3, 7, 4_096, stream.len()] {
            let mut received = Vec::new();
            let mut buffered = Vec::new();
            for bytes in stream.chunks(chunk) {
                buffered.extend(bytes);
                while let Some(header) = FixedHeader::parse(&buffered, &decoding).unwrap() {
                    if buffered.len() < header.total_len() {
                        break;
                    }
                    let rest = buffered.split_off(header.total_len());
                    received.push(std::mem::replace(&mut buffered, rest));
                }
            }
            assert!(buffered.is_empty());
            assert_eq!(received.len(), sent.len());
            for (bytes, vector) in received.iter().zip(&sent) {
                assert_eq!(
                    Packet::decode(bytes, &decoding),
                    Ok(vector.packet),
                    "{}",
                    vector.name
                );
            }
        }
    }
}

/// [MQTT-2.1.3-1]: sixteen flags for each of sixteen types.
#[test]
fn hb_07_reserved_type_and_flags() {
    for first in 0..=255_u8 {
        let (number, flags) = (first >> 4, first & 0x0F);
        for decoding in SIDES.map(Decoding::new) {
            let result = FixedHeader::parse(&[first, 0], &decoding);
            let expected = match number {
                0 => Some(Kind::ReservedPacketType),
                3 => None,
                6 | 8 | 10 if flags != 0b0010 => Some(Kind::InvalidFlags),
                6 | 8 | 10 => None,
                _ if flags != 0 => Some(Kind::InvalidFlags),
                _ => None,
            };
            match (result, expected) {
                (Err(error), Some(kind)) => {
                    assert_eq!(error.kind, kind, "{first:#04x}");
                    assert_eq!(error.reason_code(), ReasonCode::MALFORMED_PACKET);
                }
                (Err(error), None) => {
                    assert!(
                        matches!(error.kind, Kind::WrongDirection(_)),
                        "{first:#04x}"
                    );
                }
                (Ok(header), None) => {
                    let header = header.unwrap();
                    assert_eq!((header.packet_type as u8, header.flags), (number, flags));
                }
                (Ok(header), Some(kind)) => panic!("{first:#04x}: {header:?}, not {kind}"),
            }
        }
    }
    assert_refused("HB-07", 15);
}

/// Table 2-1: who may send what.
#[test]
fn hb_08_wrong_direction() {
    use PacketType::{
        Connack, Connect, Pingreq, Pingresp, Suback, Subscribe, Unsuback, Unsubscribe,
    };

    for packet in PacketType::ALL {
        for from in SIDES {
            let wrong = match from {
                Role::Client => [Connack, Suback, Unsuback, Pingresp].contains(&packet),
                Role::Server => [Connect, Subscribe, Unsubscribe, Pingreq].contains(&packet),
            };
            let flags = golden::vectors()
                .iter()
                .find(|vector| vector.packet.packet_type() == packet)
                .map(|vector| vector.bytes[0]);
            let result = FixedHeader::parse(&[flags.unwrap(), 0], &Decoding::new(from));
            match result {
                Ok(_) => assert!(!wrong, "{packet} from {from:?}"),
                Err(error) => {
                    assert!(wrong, "{packet} from {from:?}");
                    assert_eq!(error.kind, Kind::WrongDirection(packet));
                    assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
                }
            }
        }
    }
    assert_refused("HB-08", 9);
}

/// Every string and every binary field: empty, of the greatest length, longer than what is there.
#[test]
fn hb_11_lengths_of_fields() {
    let longest = vec![b'a'; 65_535];
    for field in fields() {
        let may_be_empty = !matches!(field.rule, Rule::Topic | Rule::Filter | Rule::Protocol);
        assert_eq!(field.decode(&[]).is_ok(), may_be_empty, "{}", field.name);
        assert_eq!(
            field.decode(&longest).is_ok(),
            field.rule != Rule::Protocol,
            "{}",
            field.name
        );
        for declared in [2_u16, 65_535] {
            let short = [&declared.to_be_bytes()[..], b"a"].concat();
            let frame = (field.before_the_end)(&short);
            let error = Packet::decode(&frame, &field.decoding()).unwrap_err();
            assert_eq!(error.kind, Kind::Truncated, "{}", field.name);
        }
    }
    assert_refused("HB-11", 10);
}

/// [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-1.5.4-3] for every string of every packet.
#[test]
fn hb_12_utf8() {
    let ill_formed: [&[u8]; 12] = [
        b"\x80",                     // continuation without beginning
        b"\xBF\xBF",                 //
        b"\xC0\xAF",                 // overlong
        b"\xC1\xBF",                 //
        b"\xE0\x9F\xBF",             //
        b"\xF0\x8F\xBF\xBF",         //
        b"\xED\xA0\x80",             // U+D800
        b"\xED\xBF\xBF",             // U+DFFF
        b"\xED\xA0\xBD\xED\xB8\x80", // a pair of surrogates
        b"\xF4\x90\x80\x80",         // above U+10FFFF
        b"a\xE2\x82",                // cut off
        b"\xFF",                     //
    ];
    let nul: [&[u8]; 3] = [b"\0", b"a\0", b"\0\xC3\xA9"];
    let fine = [
        "\u{FEFF}",
        "a\u{FEFF}b",
        "\u{1}\u{1F}\u{7F}\u{9F}",
        "\u{FDD0}\u{FFFE}\u{FFFF}\u{10FFFF}",
        "\u{D7FF}\u{E000}",
        "A\u{2A6D4}",
    ];
    for field in fields().filter(|field| field.rule != Rule::Binary) {
        for (texts, kind) in [
            (&ill_formed[..], Kind::InvalidUtf8),
            (&nul, Kind::NulCharacter),
        ] {
            for text in texts {
                let error = field.decode(text).unwrap_err();
                assert_eq!(error.kind, kind, "{} {text:02X?}", field.name);
                assert_eq!(error.reason_code(), ReasonCode::MALFORMED_PACKET);
            }
        }
        if field.rule == Rule::Protocol {
            continue;
        }
        for text in fine {
            let bytes = field.bytes(text.as_bytes());
            let packet = Packet::decode(&bytes, &field.decoding());
            let packet = packet.unwrap_or_else(|error| panic!("{} {text:?}: {error}", field.name));
            let shown = format!("{packet:?}");
            assert!(
                shown.contains(&format!("{text:?}")),
                "{} {text:?}: {shown}",
                field.name
            );
            let mut buffer = vec![0; bytes.len()];
            assert_eq!(packet.encode(V5, &mut buffer), Ok(bytes.len()));
            assert_eq!(buffer, bytes, "{} {text:?}", field.name);
        }
    }
    assert_refused("HB-12", 25);
}

/// Topic Names: no wildcard, not empty without an alias; any number of levels, any beginning.
#[test]
fn hb_13_topic_names() {
    let levels = "/".repeat(65_535);
    for name in [
        "/",
        "//",
        " ",
        "$SYS/a",
        "$share/g/t",
        "$share",
        "$",
        "a/b c",
        levels.as_str(),
    ] {
        let topic = [&(name.len() as u16).to_be_bytes()[..], name.as_bytes()].concat();
        let publish = frame(0x30, &[&*topic, &[0]].concat());
        for decoding in SIDES.map(Decoding::new) {
            let Ok(Packet::Publish(publish)) = Packet::decode(&publish, &decoding) else {
                panic!("{name:.20}");
            };
            assert_eq!(publish.topic.map(TopicName::as_str), Some(name));
        }
    }
    assert_refused("HB-13", 8);
}

/// No cap on User Properties (E17); order and repeats stay (D22).
#[test]
fn hb_22_a_hundred_thousand_user_properties() {
    const COUNT: usize = 100_000;
    let mut block = vec![0x01, 1];
    for index in 0..COUNT {
        block.extend([0x26, 0, 1, b'k', 0, 5]);
        block.extend(format!("{index:05}").as_bytes());
    }
    block.extend([0x03, 0, 1, b't']);
    for binary in [&[][..], &[0x09, 0, 1, 0xFF]] {
        // With a value that is no text the block as a whole is none.
        let block = prefixed(&[&*block, binary].concat());
        let bytes = frame(0x30, &[b"\0\x01a", &*block].concat());
        let packet = Packet::decode(&bytes, &Decoding::new(Role::Server)).unwrap();
        let Packet::Publish(publish) = packet else {
            panic!("{packet:?}");
        };
        let pairs = publish.properties.user_properties();
        let in_order = pairs
            .enumerate()
            .filter(|(index, (name, value))| *name == "k" && value.parse() == Ok(*index));
        assert_eq!(in_order.count(), COUNT);
        assert_eq!(publish.properties.content_type(), Some("t"));
        let mut buffer = vec![0; bytes.len()];
        assert_eq!(packet.encode(V5, &mut buffer), Ok(bytes.len()));
        assert!(buffer == bytes);
    }
}

/// [MQTT-2.2.1-3], [MQTT-2.2.1-4]: no packet has identifier 0, every other number is one.
#[test]
fn hb_36_packet_identifiers() {
    type Build = fn([u8; 2]) -> Vec<u8>;
    let packets: [(u8, Build); 10] = [
        (0x32, |id| [b"\0\x01a", &id[..], &[0]].concat()),
        (0x34, |id| [b"\0\x01a", &id[..], &[0]].concat()),
        (0x40, |id| id.to_vec()),
        (0x50, |id| id.to_vec()),
        (0x62, |id| id.to_vec()),
        (0x70, |id| id.to_vec()),
        (0x82, |id| [&id[..], b"\0\0\x01a\0"].concat()),
        (0x90, |id| [&id[..], b"\0\0"].concat()),
        (0xA2, |id| [&id[..], b"\0\0\x01a"].concat()),
        (0xB0, |id| [&id[..], b"\0\0"].concat()),
    ];
    for (first, content) in packets {
        let from = if matches!(first, 0x82 | 0xA2) {
            Role::Client
        } else {
            Role::Server
        };
        for number in [0_u16, 1, 0xFF, 0x100, 0xFFFF] {
            let bytes = frame(first, &content(number.to_be_bytes()));
            let result = Packet::decode(&bytes, &Decoding::new(from));
            match number {
                0 => assert_eq!(result.unwrap_err().kind, Kind::PacketIdZero, "{first:#04x}"),
                _ => assert!(result.is_ok(), "{first:#04x} {number}"),
            }
        }
    }
    assert_refused("HB-36", 10);
}

/// [MQTT-3.3.1-4], [MQTT-3.3.1-2]: all sixteen flags of PUBLISH.
#[test]
fn hb_41_flags_of_publish() {
    for flags in 0..16 {
        let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
        let id: &[u8] = if qos == 0 { &[] } else { &[0, 7] };
        let bytes = frame(0x30 | flags, &[b"\0\x01a", id, &[0]].concat());
        for strict in SIDES.map(Decoding::new) {
            for decoding in [strict, lenient(strict)] {
                let result = Packet::decode(&bytes, &decoding);
                let expected = match qos {
                    3 => Err((Kind::InvalidQoS, 0x81)),
                    0 if dup && !decoding.lenient => Err((Kind::DupWithoutQoS, 0x82)),
                    _ => Ok((qos, dup && qos > 0, retain)),
                };
                let result = result
                    .map(|packet| match packet {
                        Packet::Publish(Publish {
                            delivery, retain, ..
                        }) => {
                            assert_eq!(
                                delivery.packet_id().map(mqtt5_proto::PacketId::value),
                                (qos > 0).then_some(7)
                            );
                            assert_eq!(delivery == Delivery::AtMostOnce, qos == 0);
                            (delivery.qos() as u8, delivery.dup(), retain)
                        }
                        other => panic!("{other:?}"),
                    })
                    .map_err(|error| (error.kind, error.reason_code().value()));
                assert_eq!(result, expected, "{flags:04b}");
            }
        }
    }
    assert_refused("HB-41", 3);
}

/// E17: what a publisher did wrong does not cost a subscriber its connection, and is forwarded unaltered
/// [MQTT-3.3.2-4], [MQTT-3.3.2-15].
#[test]
fn poison_is_decoded_and_forwarded() {
    for block in [
        &[0x01, 2][..],
        &[0x01, 255],
        b"\x08\0\x03a/+",
        b"\x08\0\x01#",
        b"\x08\0\0",
        b"\x03\0\x02\x01\x7F",
        b"\x01\x01", // says that the payload is text
    ] {
        for (first, before, after) in [
            (0x30, &b"\0\x01t"[..], &b"\xFF\xFE"[..]),
            (
                0x10,
                b"\0\x04MQTT\x05\x06\0\0\0\0\x01c",
                b"\0\x01w\0\x02\xFF\xFE",
            ),
        ] {
            let bytes = frame(first, &[before, &prefixed(block), after].concat());
            let packet = Packet::decode(&bytes, &Decoding::new(Role::Client)).unwrap();
            let mut buffer = vec![0; bytes.len()];
            assert_eq!(
                packet.encode(V5, &mut buffer),
                Ok(bytes.len()),
                "{block:02X?}"
            );
            assert_eq!(buffer, bytes);
        }
    }
}

/// D21: a server of MQTT 3.1.1 refuses with a CONNACK of two bytes, which is a refusal, not a malformed packet, and
/// nothing that is ever sent.
#[test]
fn connack_of_mqtt_3_1_1() {
    let decoding = Decoding::new(Role::Server);
    for code in 0..=255 {
        let bytes = [0x20, 2, 0, code];
        match (code, Packet::decode(&bytes, &decoding)) {
            (1..=5, Ok(packet)) => {
                let Packet::Connack(connack) = packet else {
                    panic!("{packet:?}");
                };
                assert_eq!(connack.reason.value(), code);
                assert!(!connack.is_accepted());
                assert!(!connack.session_present);
                let refused = EncodeError::ReasonCodeNotAllowed(PacketType::Connack);
                assert_eq!(packet.encoded_len(V5), Err(refused));
            }
            (_, Err(error)) => assert!(
                matches!(error.kind, Kind::Truncated | Kind::UndefinedReasonCode(_)),
                "{code:#04x}"
            ),
            (_, Ok(packet)) => panic!("{packet:?}"),
        }
        let with_properties = Packet::decode(&[0x20, 3, 0, code, 0], &decoding).is_ok();
        let defined = golden::table::may_send(PacketType::Connack, Role::Server, code);
        assert_eq!(with_properties, defined, "{code:#04x}");
    }
}

/// Secrets and payloads are not printed.
#[test]
fn debug_keeps_secrets() {
    let connect = golden::vector("connect-maximal").packet;
    let Packet::Connect(packet) = connect else {
        panic!("{connect:?}");
    };
    let iterator = format!("{:?}", packet.properties.iter());
    let shown = format!("{connect:?}{iterator}");
    for secret in ["pass\"", "[112, 97", "gone", "[1, 2, 255]"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

/// Every invalid vector that names the line is refused; there are at least `count`.
fn assert_refused(line: &str, count: usize) {
    let mut found = 0;
    for vector in golden::invalid() {
        if !vector
            .statements
            .split(' ')
            .any(|statement| statement == line)
        {
            continue;
        }
        found += 1;
        for decoding in vector.sender.decodings() {
            let error = Packet::decode(&vector.bytes, &decoding).unwrap_err();
            assert_eq!(error.reason_code(), vector.reason, "{}", vector.name);
        }
    }
    assert!(found >= count, "{line}: {found}");
}

/// A field with a length of two bytes, in a packet around it.
struct Field {
    name: &'static str,
    sender: Sender,
    rule: Rule,
    /// The packet with this field, complete.
    around: fn(&[u8]) -> Vec<u8>,
    /// The packet that ends with this field.
    before_the_end: fn(&[u8]) -> Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Any,
    Topic,
    Filter,
    Protocol,
    Binary,
}

impl Field {
    fn decoding(&self) -> Decoding {
        self.sender.decodings().next().unwrap()
    }

    fn bytes(&self, value: &[u8]) -> Vec<u8> {
        (self.around)(&[&(value.len() as u16).to_be_bytes()[..], value].concat())
    }

    fn decode(&self, value: &[u8]) -> Result<(), DecodeError> {
        Packet::decode(&self.bytes(value), &self.decoding()).map(drop)
    }
}

/// Name, sender, rule, first byte, content before the field, content after it.
macro_rules! fields {
    ($($name:literal $sender:ident $rule:ident $first:literal $before:literal $after:literal;)*) => {
        [$(Field {
            name: $name,
            sender: Sender::$sender,
            rule: Rule::$rule,
            around: |field| frame($first, &[$before, field, $after].concat()),
            before_the_end: |field| frame($first, &[&$before[..], field].concat()),
        }),*]
    };
}

/// The same for a field in a property block: what is before and after the block, what is before the field in it.
macro_rules! properties {
    ($($name:literal $sender:ident $rule:ident $first:literal $before:literal $inside:literal $last:literal $after:literal;)*) => {
        [$(Field {
            name: $name,
            sender: Sender::$sender,
            rule: Rule::$rule,
            around: |field| {
                let block = prefixed(&[$inside, field, $last].concat());
                frame($first, &[$before, &*block, $after].concat())
            },
            before_the_end: |field| {
                let block = prefixed(&[&$inside[..], field].concat());
                frame($first, &[$before, &*block, $after].concat())
            },
        }),*]
    };
}

/// Every field with a length of two bytes.
fn fields() -> impl Iterator<Item = Field> {
    let plain = fields! {
        "protocol name" Client Protocol 0x10 b"" b"\x05\x02\0\0\0\0\x01c";
        "client identifier" Client Any 0x10 b"\0\x04MQTT\x05\x02\0\0\0" b"";
        "will topic" Client Topic 0x10 b"\0\x04MQTT\x05\x06\0\0\0\0\x01c\0" b"\0\0";
        "will payload" Client Binary 0x10 b"\0\x04MQTT\x05\x06\0\0\0\0\x01c\0\0\x01w" b"";
        "user name" Client Any 0x10 b"\0\x04MQTT\x05\x82\0\0\0\0\x01c" b"";
        "password" Client Binary 0x10 b"\0\x04MQTT\x05\x42\0\0\0\0\x01c" b"";
        "topic" Either Topic 0x30 b"" b"\0payload";
        "subscribe filter" Client Filter 0x82 b"\0\x01\0" b"\0";
        "second subscribe filter" Client Filter 0x82 b"\0\x01\0\0\x01a\0" b"\0";
        "unsubscribe filter" Client Filter 0xA2 b"\0\x01\0" b"";
    };
    let properties = properties! {
        "content type" Either Any 0x30 b"\0\x01a" b"\x03" b"" b"payload";
        "content type beside binary" Either Any 0x30 b"\0\x01a" b"\x09\0\x01\xC3\x03" b"" b"";
        "response topic" Either Any 0x30 b"\0\x01a" b"\x08" b"\x01\0" b"payload";
        "correlation data" Either Binary 0x30 b"\0\x01a" b"\x09" b"" b"payload";
        "user property name" Either Any 0x40 b"\0\x01\0" b"\x26" b"\0\0" b"";
        "user property value" Either Any 0x40 b"\0\x01\0" b"\x26\0\x01k" b"" b"";
        "user property value beside binary" Either Any 0x30 b"\0\x01a" b"\x09\0\x01\xFF\x26\0\0" b"" b"";
        "reason string" Server Any 0x90 b"\0\x01" b"\x1F" b"" b"\0";
        "server reference" Server Any 0xE0 b"\x9C" b"\x1C" b"" b"";
        "assigned client identifier" Server Any 0x20 b"\0\0" b"\x12" b"" b"";
        "response information" Server Any 0x20 b"\0\0" b"\x1A" b"" b"";
        "authentication method" Either Any 0xF0 b"\x18" b"\x15" b"" b"";
        "authentication data" Either Binary 0xF0 b"\x18" b"\x15\0\x01m\x16" b"" b"";
        "will content type" Client Any 0x10 b"\0\x04MQTT\x05\x06\0\0\0\0\x01c" b"\x03" b"" b"\0\x01w\0\0";
        "will response topic" Client Any 0x10 b"\0\x04MQTT\x05\x06\0\0\0\0\x01c" b"\x08" b"" b"\0\x01w\0\0";
    };
    plain.into_iter().chain(properties)
}
