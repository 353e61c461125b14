//! Packets that a sender may build, there and back.

use arbitrary::{Arbitrary as _, Result, Unstructured};
use mqtt5_proto::{
    Decoding, EncodeError, FixedHeader, Packet, PacketType, Place, ProtocolVersion, Role,
};

use crate::golden::lenient;
use crate::golden::recipe::{
    LEVELS, OwnedProperty, PREFIXES, Recipe, filter_of, identifiers, packet_types, sent_by,
    together, topic_of,
};

const V5: ProtocolVersion = ProtocolVersion::V5;

/// Builds a packet out of the bytes and encodes it: it has the length that was said, decodes to the same, and cannot be
/// said in fewer bytes.
pub fn round_trip(data: &[u8]) {
    let mut input = Unstructured::new(data);
    while let Ok(recipe) = recipe(&mut input) {
        recipe.with_packet(|packet| check(&packet, Decoding::new(recipe.from)));
        if input.is_empty() {
            return;
        }
    }
}

fn check(packet: &Packet<'_>, decoding: Decoding) {
    let length = packet.encoded_len(V5).expect("a packet that may be sent");
    let mut bytes = vec![0xAA; length + 1];
    assert_eq!(packet.encode(V5, &mut bytes), Ok(length));
    assert_eq!(bytes.pop(), Some(0xAA), "wrote beyond its length");
    let mut appended = vec![0xAA];
    assert_eq!(packet.encode_to_vec(V5, &mut appended), Ok(length));
    assert!(appended[1..] == bytes);
    let too_small = EncodeError::BufferTooSmall { needed: length };
    assert_eq!(packet.encode(V5, &mut vec![0; length - 1]), Err(too_small));

    for decoding in [decoding, lenient(decoding)] {
        let header = FixedHeader::parse(&bytes, &decoding).unwrap().unwrap();
        assert_eq!(header.total_len(), length);
        let decoded = Packet::decode(&bytes, &decoding).expect("what was encoded");
        assert_eq!(decoded, *packet);
        let mut again = Vec::new();
        decoded.encode_to_vec(V5, &mut again).unwrap();
        assert_eq!(again, bytes);
    }
    check_minimal(packet, &bytes, header_length(length));
}

/// The Remaining Length and everything that may be left out is as short as it can be (1.5.5, 3.4.2.1, 3.14.2.1).
fn check_minimal(packet: &Packet<'_>, bytes: &[u8], header: usize) {
    let (reason, properties, identifier) = match packet {
        Packet::Puback(body)
        | Packet::Pubrec(body)
        | Packet::Pubrel(body)
        | Packet::Pubcomp(body) => (body.reason, body.properties, 2),
        Packet::Disconnect(body) => (body.reason, body.properties, 0),
        Packet::Auth(body) => (body.reason, body.properties, 0),
        _ => return,
    };
    let rest = bytes.len() - header - identifier;
    match (reason.value(), properties.is_empty()) {
        (0, true) => assert_eq!(rest, 0, "{bytes:02X?}"),
        (_, true) if !matches!(packet, Packet::Auth(_)) => assert_eq!(rest, 1, "{bytes:02X?}"),
        _ => assert!(rest >= 2, "{bytes:02X?}"),
    }
}

/// The shortest fixed header of a packet of this length.
fn header_length(total: usize) -> usize {
    let lengths = [(2, 0x7F), (3, 0x3FFF), (4, 0x1F_FFFF), (5, 0xFFF_FFFF)];
    let fits = |(header, most): &&(usize, usize)| total - header <= *most;
    lengths.iter().find(fits).unwrap().0
}

fn recipe(input: &mut Unstructured<'_>) -> Result<Recipe> {
    let from = *input.choose(&[Role::Client, Role::Server])?;
    let packet_type = *input.choose(&packet_types(from))?;
    let place = Place::Packet(packet_type);
    let properties = sent_by(from, packet_type, properties(input, place)?);
    let will = packet_type == PacketType::Connect;
    Ok(Recipe {
        from,
        packet_type,
        bits: input.arbitrary()?,
        numbers: [input.int_in_range(1..=u16::MAX)?, input.arbitrary()?],
        texts: [text(input)?, text(input)?],
        topic: topic_of(&text(input)?),
        data: [binary(input)?, binary(input)?],
        properties,
        will_properties: if will {
            self::properties(input, Place::Will)?
        } else {
            Vec::new()
        },
        filters: some(input, 1, 5, |input| {
            Ok((filter(input)?, input.arbitrary()?))
        })?,
        reasons: some(input, 1, 9, u16::arbitrary)?,
    })
}

fn properties(input: &mut Unstructured<'_>, place: Place) -> Result<Vec<OwnedProperty>> {
    let identifiers = identifiers(place);
    if identifiers.is_empty() {
        return Ok(Vec::new());
    }
    let list = some(input, 0, 8, |input| {
        Ok(OwnedProperty {
            identifier: *input.choose(&identifiers)?,
            number: input.arbitrary()?,
            name: text(input)?,
            text: text(input)?,
            data: binary(input)?,
        })
    })?;
    Ok(together(place, list))
}

fn filter(input: &mut Unstructured<'_>) -> Result<String> {
    let prefix = input.choose(&PREFIXES)?;
    let levels = some(input, 1, 4, |input| input.choose(&LEVELS).copied())?;
    Ok(filter_of(prefix, levels, input.arbitrary()?))
}

/// Any text without U+0000, now and then long.
fn text(input: &mut Unstructured<'_>) -> Result<String> {
    let text = input.arbitrary::<&str>()?.replace('\0', "\u{FEFF}");
    Ok(text.repeat(repeats(input, text.len())?))
}

fn binary(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let bytes: &[u8] = input.arbitrary()?;
    Ok(bytes.repeat(repeats(input, bytes.len())?))
}

/// Mostly 1; sometimes what brings a short text to a border of a length, never what makes it too long for a field.
fn repeats(input: &mut Unstructured<'_>, length: usize) -> Result<usize> {
    let counts = [1, 1, 1, 1, 1, 1, 2, 42, 64, 127, 128, 255];
    let count = *input.choose(&counts)?;
    Ok(count.min(65_535 / length.max(1)))
}

fn some<'a, T>(
    input: &mut Unstructured<'a>,
    least: usize,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = input.int_in_range(least..=most)?;
    (0..count).map(|_| one(input)).collect()
}
