//! Arbitrary packets there and back (S162, S163). The seed is fixed, so that a failure comes again.

mod golden;

#[path = "golden/arbitrary.rs"]
mod arbitrary;

use mqtt5_proto::{Decoding, EncodeError, FixedHeader, Packet, Properties, ProtocolVersion, Role};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use arbitrary::{OwnedProperty, packets_from, properties, recipe};
use golden::table::PLACES;
use golden::{assert_survives, frame, lenient};

const V5: ProtocolVersion = ProtocolVersion::V5;

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(0x4D51_5454),
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    /// What is encoded has the length that was said, decodes to the same, and encodes to the same bytes again.
    #[test]
    fn packet(recipe in recipe()) {
        recipe.with_packet(|packet| {
            let bytes = encode(&packet);
            for needed in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                let result = packet.encode(V5, &mut vec![0; needed]);
                prop_assert_eq!(result, Err(EncodeError::BufferTooSmall { needed: bytes.len() }));
            }
            let decoding = Decoding::new(recipe.from);
            for decoding in [decoding, lenient(decoding)] {
                let decoded = Packet::decode(&bytes, &decoding);
                prop_assert_eq!(decoded, Ok(packet));
                prop_assert!(encode(&decoded.unwrap()) == bytes);
            }
            Ok(())
        })?;
    }

    /// HB-06: any chunks of any stream give the same packets.
    #[test]
    fn stream(recipes in packets_from(), chunks in prop::collection::vec(1..40_usize, 1..9)) {
        let decoding = Decoding::new(recipes[0].from);
        let sent: Vec<_> = recipes.iter().map(|recipe| recipe.with_packet(|p| encode(&p))).collect();
        let stream = sent.concat();
        let mut rest = &stream[..];
        let mut buffered = Vec::new();
        let mut received = Vec::new();
        for chunk in chunks.iter().cycle() {
            let (bytes, later) = rest.split_at((*chunk).min(rest.len()));
            buffered.extend(bytes);
            rest = later;
            while let Some(header) = FixedHeader::parse(&buffered, &decoding).unwrap() {
                if buffered.len() < header.total_len() {
                    break;
                }
                let later = buffered.split_off(header.total_len());
                received.push(std::mem::replace(&mut buffered, later));
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(buffered.is_empty());
        prop_assert!(received == sent);
        for (bytes, recipe) in received.iter().zip(&recipes) {
            recipe.with_packet(|packet| {
                prop_assert_eq!(Packet::decode(bytes, &decoding), Ok(packet));
                Ok(())
            })?;
        }
    }

    /// Any bytes in a frame of the right length: no panic; what is taken means the same when sent again.
    #[test]
    fn noise(first: u8, content in prop::collection::vec(any::<u8>(), 0..60)) {
        check_noise(&frame(first, &content));
    }

    /// Packets with bytes changed, removed and put in, under their new length.
    #[test]
    fn damage(
        recipe in recipe(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4),
    ) {
        let bytes = recipe.with_packet(|packet| encode(&packet));
        let header = FixedHeader::parse(&bytes, &Decoding::new(recipe.from)).unwrap().unwrap();
        let mut content = bytes[header.header_len..].to_vec();
        for (index, edit, byte) in edits {
            let at = index.index(content.len() + 1);
            match edit {
                0 => content.insert(at, byte),
                1 if at < content.len() => drop(content.remove(at)),
                2 => content.truncate(at),
                _ if at < content.len() => content[at] = byte,
                _ => content.push(byte),
            }
        }
        check_noise(&frame(bytes[0], &content));
    }

    /// A list gives what was put in, in its order; equal is what has the same properties in the same order.
    #[test]
    fn property_list(list in prop::sample::select(&PLACES[..]).prop_flat_map(properties)) {
        let list: Vec<_> = list.iter().map(OwnedProperty::property).collect();
        let built = Properties::new(&list).unwrap();
        prop_assert!(built.iter().eq(list.iter().copied()));
        prop_assert_eq!(built.is_empty(), list.is_empty());
        let users = list.iter().filter(|property| property.identifier() == 0x26).count();
        prop_assert_eq!(built.user_properties().count(), users);
        let other = &list[list.len().min(1)..];
        prop_assert_eq!(Properties::new(other).unwrap() == built, list.is_empty());
    }
}

#[cfg(feature = "alloc")]
proptest! {
    #![proptest_config(config(500))]

    /// A buffer keeps what was pushed, in its order; what may occur once replaces and comes last.
    #[test]
    fn property_buffer(list in prop::sample::select(&PLACES[..]).prop_flat_map(properties), again: u8) {
        use mqtt5_proto::PropertyBuffer;

        let mut buffer = PropertyBuffer::new();
        let mut expected = Vec::new();
        let twice = list.iter().chain(list.iter().take(usize::from(again % 4)));
        for property in twice.map(OwnedProperty::property) {
            let identifier = property.identifier();
            if ![0x26, 0x0B].contains(&identifier) {
                expected.retain(|old: &mqtt5_proto::Property<'_>| old.identifier() != identifier);
            }
            expected.push(property);
            buffer.push(property).unwrap();
            prop_assert!(buffer.as_properties().iter().eq(expected.iter().copied()));
        }
        let built = Properties::new(&expected).unwrap();
        prop_assert_eq!(buffer.as_properties(), built);
        prop_assert_eq!(PropertyBuffer::from(built), buffer.clone());
        prop_assert_eq!(PropertyBuffer::from(buffer.as_properties()), buffer.clone());
        prop_assert_eq!(buffer.is_empty(), expected.is_empty());
        prop_assert_eq!(format!("{buffer:?}"), format!("{built:?}"));
        buffer.clear();
        prop_assert_eq!(buffer, PropertyBuffer::new());
    }
}

/// Encodes by every way that there is.
fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let length = packet.encoded_len(V5).unwrap();
    let mut bytes = vec![0xAA; length + 1];
    assert_eq!(packet.encode(V5, &mut bytes), Ok(length));
    assert_eq!(bytes.pop(), Some(0xAA));
    #[cfg(feature = "alloc")]
    {
        let mut appended = vec![0xAA];
        assert_eq!(packet.encode_to_vec(V5, &mut appended), Ok(length));
        assert!(appended[1..] == bytes);
    }
    bytes
}

fn check_noise(bytes: &[u8]) {
    for decoding in [Role::Client, Role::Server].map(Decoding::new) {
        for decoding in [decoding, lenient(decoding)] {
            match Packet::decode(bytes, &decoding) {
                Ok(packet) => assert_survives(&packet, &decoding, bytes),
                Err(error) => assert!(error.offset <= bytes.len(), "{error:?} {bytes:02X?}"),
            }
        }
    }
}

/// The greatest packet, and one byte more (2.1.4); nothing of that size is touched.
#[test]
fn greatest_packet() {
    let payload = vec![0; 268_435_455];
    let publish = |length: usize| {
        Packet::Publish(mqtt5_proto::packet::Publish {
            delivery: mqtt5_proto::packet::Delivery::AtMostOnce,
            retain: false,
            topic: Some(mqtt5_proto::TopicName::new("a").unwrap()),
            properties: Properties::EMPTY,
            payload: &payload[..length],
        })
    };
    let most = 268_435_455 - 4;
    assert_eq!(publish(most).encoded_len(V5), Ok(268_435_460));
    assert_eq!(
        publish(most + 1).encoded_len(V5),
        Err(EncodeError::PacketTooLarge)
    );
    assert_eq!(
        publish(most + 1).encode(V5, &mut []),
        Err(EncodeError::PacketTooLarge)
    );
    for (length, header) in [(2_097_147, 4), (2_097_148, 5)] {
        assert_eq!(publish(length).encoded_len(V5), Ok(header + 4 + length));
    }
    let four_bytes = encode(&publish(2_097_148));
    assert_eq!(four_bytes[..5], [0x30, 0x80, 0x80, 0x80, 0x01]);
    let decoding = Decoding::new(Role::Server);
    assert_eq!(
        Packet::decode(&four_bytes, &decoding),
        Ok(publish(2_097_148))
    );
}
