//! The codec without an allocator: every golden vector there and back through buffers on the stack. What is read here is
//! there without the feature `alloc` too: `cargo test -p mqtt5-proto --no-default-features`.

mod golden;

use mqtt5_proto::{Decoding, EncodeError, FixedHeader, Packet, ProtocolVersion};

const V5: ProtocolVersion = ProtocolVersion::V5;

/// Longer than the longest vector.
const CAPACITY: usize = 140_000;

#[test]
fn round_trip() {
    for vector in golden::vectors() {
        for decoding in vector.sender.decodings() {
            let mut first = [0; CAPACITY];
            let length = vector.packet.encode(V5, &mut first).unwrap();
            let received = receive(&first[..length], &decoding);
            assert_eq!(received, vector.packet, "{}", vector.name);
            let mut second = [0xFF; CAPACITY];
            assert_eq!(received.encode(V5, &mut second), Ok(length));
            assert!(second[..length] == vector.bytes, "{}", vector.name);
        }
    }
}

/// Small buffers: the answer to one that is too small is how large it must be.
#[test]
fn buffer_too_small() {
    for vector in golden::vectors() {
        let mut buffer = [0_u8; 16];
        match vector.packet.encode(V5, &mut buffer) {
            Ok(length) => assert_eq!(buffer[..length], vector.bytes, "{}", vector.name),
            Err(EncodeError::BufferTooSmall { needed }) => {
                assert_eq!(needed, vector.bytes.len(), "{}", vector.name);
                assert!(needed > buffer.len());
                assert_eq!(
                    buffer, [0; 16],
                    "{}: wrote although it refused",
                    vector.name
                );
            }
            Err(error) => panic!("{}: {error}", vector.name),
        }
    }
}

/// Every packet refused without an allocator is refused as with one.
#[test]
fn refuses() {
    for vector in golden::invalid() {
        for decoding in vector.sender.decodings() {
            let error = Packet::decode(&vector.bytes, &decoding).unwrap_err();
            assert_eq!(error.reason_code(), vector.reason, "{}", vector.name);
        }
    }
}

/// Reads one packet out of a buffer that is longer.
fn receive<'a>(buffer: &'a [u8], decoding: &Decoding) -> Packet<'a> {
    let header = FixedHeader::parse(buffer, decoding).unwrap().unwrap();
    Packet::decode(&buffer[..header.total_len()], decoding).unwrap()
}
