//! Cut, stretched and damaged packets (HB-05, HB-06).

mod golden;

use mqtt5_proto::{DecodeErrorKind, Decoding, FixedHeader, Packet, PacketType, Role};

use golden::{Vector, assert_survives, frame, lenient};

/// A packet without its last bytes is truncated, wherever it is cut; its header is known as soon as it is there.
#[test]
fn hb_05_every_prefix_is_truncated() {
    for vector in golden::vectors() {
        for decoding in vector.sender.decodings() {
            let whole = FixedHeader::parse(&vector.bytes, &decoding)
                .unwrap()
                .unwrap();
            for length in lengths(vector) {
                let prefix = &vector.bytes[..length];
                let error = Packet::decode(prefix, &decoding).unwrap_err();
                assert_eq!(
                    error.kind,
                    DecodeErrorKind::Truncated,
                    "{} {length}",
                    vector.name
                );
                assert_eq!(error.offset, length, "{}", vector.name);
                let expected = (length >= whole.header_len).then_some(whole);
                assert_eq!(
                    FixedHeader::parse(prefix, &decoding),
                    Ok(expected),
                    "{}",
                    vector.name
                );
            }
        }
    }
}

/// Bytes after the end that the Remaining Length names belong to no packet, also where the last field takes what is
/// left.
#[test]
fn hb_05_longer_frames_have_trailing_bytes() {
    for vector in golden::vectors() {
        for decoding in vector.sender.decodings() {
            for tail in [&[0x00][..], &[0xC0, 0x00], &[0xFF; 9]] {
                let frame = [&vector.bytes, tail].concat();
                let error = Packet::decode(&frame, &decoding).unwrap_err();
                assert_eq!(
                    error.kind,
                    DecodeErrorKind::TrailingBytes,
                    "{}",
                    vector.name
                );
                assert_eq!(error.offset, vector.bytes.len(), "{}", vector.name);
            }
        }
    }
}

/// Every content under every other Remaining Length: malformed, or another packet that is well formed.
#[test]
fn hb_05_every_other_remaining_length() {
    let mut refused = 0;
    for vector in golden::vectors() {
        for decoding in vector.sender.decodings() {
            let header = FixedHeader::parse(&vector.bytes, &decoding)
                .unwrap()
                .unwrap();
            let content = &vector.bytes[header.header_len..];
            let shorter = lengths(vector).filter(|length| *length < content.len());
            for fill in [0x00, 0x26, 0xFF] {
                for length in shorter.clone().chain(content.len() + 1..content.len() + 9) {
                    let mut content = content.to_vec();
                    content.resize(length, fill);
                    let frame = frame(vector.bytes[0], &content);
                    refused += usize::from(!check(vector, &frame, &decoding));
                }
            }
        }
    }
    assert!(refused > 3_000, "{refused}");
}

/// Whether the packet is taken; if not, whether the refusal is one that a wrong length can lead to.
fn check(vector: &Vector, frame: &[u8], decoding: &Decoding) -> bool {
    use DecodeErrorKind as Kind;
    use PacketType::{Connack, Connect, Pingreq, Pingresp};

    let name = vector.name;
    match Packet::decode(frame, decoding) {
        Ok(packet) => {
            // These have neither an optional tail nor a list.
            let fixed = [Connect, Connack, Pingreq, Pingresp].contains(&packet.packet_type());
            assert!(!fixed, "{name}: {frame:02X?}");
            assert_survives(&packet, decoding, frame);
            true
        }
        Err(error) => {
            let not_allowed = matches!(
                error.kind,
                Kind::NoFilters
                    | Kind::NoReasonCodes
                    | Kind::InvalidTopicFilter
                    | Kind::InvalidSubscriptionOption
                    | Kind::UndefinedReasonCode(_)
            );
            let expected = if not_allowed { 0x82 } else { 0x81 };
            assert_eq!(
                error.reason_code().value(),
                expected,
                "{name}: {frame:02X?}"
            );
            assert!(error.offset <= frame.len(), "{name}: {frame:02X?}");
            false
        }
    }
}

/// Every byte of every vector with every other value: no panic, and what is taken means the same when sent again.
#[test]
fn every_damaged_byte() {
    let mut taken = 0;
    for vector in golden::vectors() {
        let long = vector.bytes.len() > 1_000;
        let positions = if long { 16 } else { vector.bytes.len() };
        let step = if long { 37 } else { 1 };
        let mut frame = vector.bytes.clone();
        for position in 0..positions {
            for change in (1..=255).step_by(step) {
                frame[position] ^= change;
                for from in [Role::Client, Role::Server] {
                    let decoding = Decoding::new(from);
                    for decoding in [decoding, lenient(decoding)] {
                        let _ = FixedHeader::parse(&frame, &decoding);
                        if let Ok(packet) = Packet::decode(&frame, &decoding) {
                            taken += 1;
                            assert_survives(&packet, &decoding, &frame);
                        }
                    }
                }
                frame[position] ^= change;
            }
        }
    }
    assert!(taken > 10_000, "{taken}");
}

/// The lengths to cut a vector to: all, or those around the fields of a long one.
fn lengths(vector: &Vector) -> impl Iterator<Item = usize> + Clone {
    let end = vector.bytes.len();
    let all = end < 1_000;
    (0..end).filter(move |&length| all || length < 40 || length + 40 > end || length % 4_096 < 2)
}
