//! The golden vectors, in both directions (S162, S166).

mod golden;

use mqtt5_proto::{DecodeError, EncodeError, FixedHeader, Packet, PacketType, ProtocolVersion};

use golden::lenient;

const V5: ProtocolVersion = ProtocolVersion::V5;

#[test]
fn every_packet_type_from_every_side_has_vectors() {
    for packet_type in PacketType::ALL {
        let count = golden::vectors()
            .iter()
            .filter(|vector| vector.packet.packet_type() == packet_type)
            .count();
        let least = match packet_type {
            PacketType::Pingreq | PacketType::Pingresp => 1,
            _ => 3,
        };
        assert!(count >= least, "{packet_type}: {count}");
    }
    assert!(golden::invalid().len() >= 80);
}

#[test]
fn names_are_unique() {
    let vectors = golden::vectors().iter().map(|vector| vector.name);
    let accepted = golden::accepted().iter().map(|vector| vector.name);
    let invalid = golden::invalid().iter().map(|vector| vector.name);
    for mut names in [
        vectors.collect::<Vec<_>>(),
        accepted.collect(),
        invalid.collect(),
    ] {
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

/// Every packet decodes to what the specification says, with the type and length of its fixed header (2.1). T158.
#[test]
fn decodes() {
    for vector in golden::vectors() {
        for decoding in vector.sender.decodings() {
            for decoding in [decoding, lenient(decoding)] {
                let packet = Packet::decode(&vector.bytes, &decoding);
                assert_eq!(packet, Ok(vector.packet), "{}", vector.name);
                let header = FixedHeader::parse(&vector.bytes, &decoding)
                    .unwrap()
                    .unwrap();
                assert_eq!(
                    header.packet_type,
                    vector.packet.packet_type(),
                    "{}",
                    vector.name
                );
                assert_eq!(header.total_len(), vector.bytes.len(), "{}", vector.name);
            }
        }
    }
}

/// Every packet encodes to the bytes of the specification, whether it was built or received.
#[test]
fn encodes() {
    for vector in golden::vectors() {
        let decoding = vector.sender.decodings().next().unwrap();
        let received = Packet::decode(&vector.bytes, &decoding).unwrap();
        for packet in [vector.packet, received] {
            let needed = vector.bytes.len();
            let mut buffer = vec![0xAA; needed + 3];
            assert_eq!(packet.encoded_len(V5), Ok(needed), "{}", vector.name);
            assert_eq!(
                packet.encode(V5, &mut buffer),
                Ok(needed),
                "{}",
                vector.name
            );
            assert!(buffer[..needed] == vector.bytes[..], "{}", vector.name);
            assert_eq!(
                buffer[needed..],
                [0xAA; 3],
                "{}: wrote beyond its end",
                vector.name
            );
            assert_eq!(
                packet.encode(V5, &mut buffer[..needed - 1]),
                Err(EncodeError::BufferTooSmall { needed }),
                "{}",
                vector.name
            );
        }
    }
}

#[cfg(feature = "alloc")]
#[test]
fn encodes_to_the_end_of_a_vec() {
    let mut stream = vec![0xAA];
    let mut expected = stream.clone();
    for vector in golden::vectors() {
        let written = vector.packet.encode_to_vec(V5, &mut stream);
        assert_eq!(written, Ok(vector.bytes.len()), "{}", vector.name);
        expected.extend(&vector.bytes);
    }
    assert!(stream == expected);
}

/// Forms that nobody has to choose mean the same; those that break [MQTT-1.5.5-1] or [MQTT-3.3.1-2] do so only with
/// `lenient` (E8). What is forwarded is in the canonical form again.
#[test]
fn takes_other_forms() {
    for form in golden::accepted() {
        for decoding in form.sender.decodings() {
            let strict = Packet::decode(&form.bytes, &decoding);
            assert_eq!(strict.is_err(), form.lenient, "{}", form.name);
            let packet = Packet::decode(&form.bytes, &lenient(decoding)).unwrap();
            assert_eq!(packet, form.vector.packet, "{}", form.name);
            let mut buffer = vec![0; form.vector.bytes.len()];
            assert_eq!(
                packet.encode(V5, &mut buffer),
                Ok(buffer.len()),
                "{}",
                form.name
            );
            assert_eq!(buffer, form.vector.bytes, "{}", form.name);
        }
    }
}

/// Every invalid packet is refused with its code: 0x81 for what does not parse, 0x82 for what is not allowed, the
/// specific code where there is one (1.2, 4.13.1).
#[test]
fn refuses() {
    for vector in golden::invalid() {
        for decoding in vector.sender.decodings() {
            let DecodeError { kind, offset } = Packet::decode(&vector.bytes, &decoding)
                .expect_err(&format!("{} from {:?}", vector.name, decoding.from));
            assert_eq!(format!("{kind:?}"), vector.kind, "{}", vector.name);
            assert_eq!(kind.reason_code(), vector.reason, "{}", vector.name);
            assert!(offset <= vector.bytes.len(), "{}: {offset}", vector.name);
        }
    }
}
