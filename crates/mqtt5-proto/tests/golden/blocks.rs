//! Property blocks with good and bad values, in the packets that carry them.

use mqtt5_proto::PacketType::{
    Auth, Connack, Connect, Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback,
    Subscribe, Unsuback, Unsubscribe,
};
use mqtt5_proto::{Place, Role};

use super::table::{Data, Line, PLACES, PROPERTIES};

const USER_PROPERTY: u8 = 0x26;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const AUTHENTICATION_DATA: u8 = 0x16;

/// A value as bytes and as `Debug` prints it.
pub(crate) type Sample = (Vec<u8>, &'static str);

pub(crate) fn pairs() -> impl Iterator<Item = (&'static Line, Place)> {
    PROPERTIES
        .iter()
        .flat_map(|line| PLACES.map(|place| (line, place)))
}

pub(crate) fn may_repeat(identifier: u8, place: Place) -> bool {
    match identifier {
        USER_PROPERTY => true,
        SUBSCRIPTION_IDENTIFIER => place == Place::Packet(Publish),
        _ => false,
    }
}

/// Values of a type, the smallest and the largest among them.
pub(crate) fn samples(data: Data) -> Vec<Sample> {
    let two = |text| (vec![0x12, 0x34], text);
    let text = |bytes: &[u8], text| ([&[0, bytes.len() as u8], bytes].concat(), text);
    match data {
        Data::Byte => vec![
            (vec![0], "0"),
            (vec![1], "1"),
            (vec![2], "2"),
            (vec![255], "255"),
        ],
        Data::ZeroOrOne => vec![(vec![0], "0"), (vec![1], "1")],
        Data::TwoByte => vec![(vec![0, 0], "0"), two("4660"), (vec![255; 2], "65535")],
        Data::TwoByteNotZero => vec![(vec![0, 1], "1"), two("4660"), (vec![255; 2], "65535")],
        Data::FourByte => vec![
            (vec![0; 4], "0"),
            (vec![0x12, 0x34, 0x56, 0x78], "305419896"),
            (vec![255; 4], "4294967295"),
        ],
        Data::FourByteNotZero => vec![(vec![0, 0, 0, 1], "1"), (vec![255; 4], "4294967295")],
        Data::VarintNotZero => vec![
            (vec![1], "1"),
            (vec![0x80, 0x01], "128"),
            (vec![0xFF, 0xFF, 0xFF, 0x7F], "268435455"),
        ],
        Data::Utf8 => vec![
            text(b"a", r#""a""#),
            text(b"", r#""""#),
            text("é€\u{1F680}".as_bytes(), r#""é€🚀""#),
        ],
        Data::Binary => vec![text(b"", "[]"), text(b"\0\xFF", "[0, 255]")],
        Data::Pair => vec![
            (vec![0; 4], r#"("", "")"#),
            (vec![0, 1, b'k', 0, 1, b'v'], r#"("k", "v")"#),
            (vec![0, 2, 0xC3, 0xA9, 0, 0], r#"("é", "")"#),
        ],
    }
}

/// Values that are not allowed, and those that are not of the type with what the decoder says of them.
pub(crate) fn bad_samples(data: Data) -> Vec<(Vec<u8>, Option<&'static str>)> {
    let ill_formed = Some("InvalidUtf8");
    let nul = Some("NulCharacter");
    match data {
        Data::Byte | Data::TwoByte | Data::FourByte | Data::Binary => vec![],
        Data::ZeroOrOne => [2, 3, 127, 128, 255]
            .map(|byte| (vec![byte], None))
            .to_vec(),
        Data::TwoByteNotZero => vec![(vec![0; 2], None)],
        Data::FourByteNotZero => vec![(vec![0; 4], None)],
        Data::VarintNotZero => vec![
            (vec![0], None),
            (vec![0x80, 0x00], Some("NonMinimalVariableByteInteger")),
            (
                vec![0x81, 0x80, 0x00],
                Some("NonMinimalVariableByteInteger"),
            ),
            (
                vec![0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
                Some("InvalidVariableByteInteger"),
            ),
        ],
        Data::Utf8 => vec![
            (vec![0, 1, 0xFF], ill_formed),
            (vec![0, 1, 0xC3], ill_formed),
            (vec![0, 3, 0xED, 0xA0, 0x80], ill_formed),
            (vec![0, 2, 0xC0, 0x80], ill_formed),
            (vec![0, 4, 0xF4, 0x90, 0x80, 0x80], ill_formed),
            (vec![0, 3, b'a', 0, b'b'], nul),
        ],
        Data::Pair => vec![
            (vec![0, 1, 0xFF, 0, 0], ill_formed),
            (vec![0, 0, 0, 1, 0xFF], ill_formed),
            (vec![0, 1, 0, 0, 0], nul),
            (vec![0, 0, 0, 1, 0], nul),
        ],
    }
}

/// A block of one property, with the Authentication Method that Authentication Data needs.
pub(crate) fn block(line: &Line, values: &[&[u8]]) -> Vec<u8> {
    let mut block = Vec::new();
    if line.id == AUTHENTICATION_DATA {
        block.extend([0x15, 0, 1, b'm']);
    }
    for value in values {
        block.push(line.id);
        block.extend(*value);
    }
    block
}

/// A packet that carries properties: its first byte, what stands before their length, what stands after them.
pub(crate) fn around(place: Place) -> (u8, &'static [u8], &'static [u8]) {
    match place {
        Place::Will => (0x10, b"\0\x04MQTT\x05\x06\0\0\0\0\x01c", b"\0\x01w\0\0"),
        Place::Packet(Connect) => (0x10, b"\0\x04MQTT\x05\x02\0\0", b"\0\x01c"),
        Place::Packet(Connack) => (0x20, b"\0\0", b""),
        Place::Packet(Publish) => (0x32, b"\0\x01t\0\x01", b"payload"),
        Place::Packet(Puback) => (0x40, b"\0\x01\x80", b""),
        Place::Packet(Pubrec) => (0x50, b"\0\x01\x80", b""),
        Place::Packet(Pubrel) => (0x62, b"\0\x01\x92", b""),
        Place::Packet(Pubcomp) => (0x70, b"\0\x01\x92", b""),
        Place::Packet(Subscribe) => (0x82, b"\0\x01", b"\0\x01f\0"),
        Place::Packet(Suback) => (0x90, b"\0\x01", b"\0"),
        Place::Packet(Unsubscribe) => (0xA2, b"\0\x01", b"\0\x01f"),
        Place::Packet(Unsuback) => (0xB0, b"\0\x01", b"\0"),
        Place::Packet(Disconnect) => (0xE0, b"\x80", b""),
        Place::Packet(Auth) => (0xF0, b"\x18", b""),
        Place::Packet(other) => panic!("{other} has no properties"),
    }
}

/// The packet with a block of at most 127 bytes.
pub(crate) fn frame(place: Place, block: &[u8]) -> Vec<u8> {
    let (first, before, after) = around(place);
    // Without properties these leave out their length, which is not what is tested here.
    let optional = matches!(
        place,
        Place::Packet(Puback | Pubrec | Pubrel | Pubcomp | Disconnect)
    );
    let length: &[u8] = if optional && block.is_empty() {
        &[]
    } else {
        &[block.len() as u8]
    };
    let content = [before, length, block, after].concat();
    assert!(content.len() < 128);
    [&[first, content.len() as u8][..], &content].concat()
}

/// The places in packets of a server.
pub(crate) fn of_a_server() -> impl Iterator<Item = Place> {
    PLACES
        .into_iter()
        .filter(|place| super::table::sender(*place) == Role::Server)
}
