//! Golden vectors: packets as bytes, written by hand from the specification, with what they stand for.
//!
//! For tests, fuzzers and tools: `mod golden;`, or `#[path = "…/golden/mod.rs"] mod golden;` from another folder. Needs
//! `std` in the crate that includes it, and no feature of `mqtt5-proto`.
//!
//! * [`vectors`]: every packet type in its canonical form, with the decoded packet;
//! * [`accepted`]: other forms that a receiver takes, some only with `lenient`;
//! * [`invalid`]: packets that must be refused, with the answer.

#![allow(
    dead_code,
    reason = "which part is unused depends on who includes this file"
)]

use std::sync::LazyLock;

use mqtt5_proto::{Decoding, Packet, PacketType, ProtocolVersion, ReasonCode, Role};

pub(crate) mod blocks;
mod packets;
pub(crate) mod recipe;
pub(crate) mod table;

/// A packet in the form that an encoder must choose.
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) sender: Sender,
    pub(crate) bytes: Vec<u8>,
    pub(crate) packet: Packet<'static>,
}

/// A packet in another form that a receiver takes.
pub(crate) struct Accepted {
    pub(crate) name: &'static str,
    pub(crate) sender: Sender,
    /// Whether only `lenient` takes it.
    pub(crate) lenient: bool,
    pub(crate) bytes: Vec<u8>,
    /// The vector that it means the same as.
    pub(crate) vector: &'static Vector,
}

/// A packet that must be refused.
pub(crate) struct Invalid {
    pub(crate) name: &'static str,
    pub(crate) sender: Sender,
    pub(crate) bytes: Vec<u8>,
    pub(crate) reason: ReasonCode,
    /// What `Debug` prints of the `DecodeErrorKind`.
    pub(crate) kind: &'static str,
    /// The hostile lines and statements that it belongs to.
    pub(crate) statements: &'static str,
}

/// The side that may send a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
    Either,
}

impl Sender {
    /// The decodings under which the packet is read: strict, from each side that may send it.
    pub(crate) fn decodings(self) -> impl Iterator<Item = Decoding> {
        let roles: &[Role] = match self {
            Self::Client => &[Role::Client],
            Self::Server => &[Role::Server],
            Self::Either => &[Role::Client, Role::Server],
        };
        roles.iter().copied().map(Decoding::new)
    }

    fn parse(word: &str) -> Self {
        match word {
            "client" => Self::Client,
            "server" => Self::Server,
            "either" => Self::Either,
            other => panic!("no side: {other}"),
        }
    }
}

/// The same decoding, with `lenient`.
pub(crate) fn lenient(decoding: Decoding) -> Decoding {
    Decoding {
        lenient: true,
        ..decoding
    }
}

/// What was taken is sent in a form that a strict receiver takes for the same.
pub(crate) fn assert_survives(packet: &Packet<'_>, decoding: &Decoding, frame: &[u8]) {
    const V5: ProtocolVersion = ProtocolVersion::V5;

    let refusal = match packet {
        // A refusal in the form of MQTT 3.1.1 (D21) and a code that nobody may send (D31) can only be received.
        Packet::Connack(connack) => matches!(connack.reason.value(), 1..=5),
        Packet::Disconnect(disconnect) => ![Role::Client, Role::Server].into_iter().any(|from| {
            disconnect
                .reason
                .is_defined_for(PacketType::Disconnect, from)
        }),
        _ => false,
    };
    let length = packet.encoded_len(V5);
    assert_eq!(length.is_err(), refusal, "{length:?} {frame:02X?}");
    let Ok(length) = length else { return };
    assert!(length <= frame.len(), "{frame:02X?}");
    let mut buffer = vec![0; length];
    assert_eq!(packet.encode(V5, &mut buffer), Ok(length));
    let strict = Decoding::new(decoding.from);
    assert_eq!(
        Packet::decode(&buffer, &strict),
        Ok(*packet),
        "{frame:02X?}"
    );
}

/// A packet with this first byte around this content.
pub(crate) fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    [&[first], &*prefixed(content)].concat()
}

/// Content behind its length as a Variable Byte Integer: what a property block is.
pub(crate) fn prefixed(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut length = content.len();
    while length > 0x7F {
        bytes.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// Packets in their canonical form.
pub(crate) fn vectors() -> &'static [Vector] {
    static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(|| {
        let mut packets = packets::packets();
        let vectors = blocks(include_str!("vectors.txt"), |[name, sender], bytes| {
            let found = packets.iter().position(|(n, _)| *n == name);
            let (_, packet) = packets.remove(found.unwrap_or_else(|| panic!("no packet {name}")));
            Vector {
                name,
                sender: Sender::parse(sender),
                bytes,
                packet,
            }
        });
        assert!(packets.is_empty(), "without bytes: {packets:?}");
        vectors
    });
    &VECTORS
}

/// The vector with this name.
pub(crate) fn vector(name: &str) -> &'static Vector {
    let found = vectors().iter().find(|vector| vector.name == name);
    found.unwrap_or_else(|| panic!("no vector {name}"))
}

/// Other forms that a receiver takes.
pub(crate) fn accepted() -> &'static [Accepted] {
    static ACCEPTED: LazyLock<Vec<Accepted>> = LazyLock::new(|| {
        let text = include_str!("accepted.txt");
        blocks(text, |[name, sender, strictness, means], bytes| Accepted {
            name,
            sender: Sender::parse(sender),
            lenient: match strictness {
                "strict" => false,
                "lenient" => true,
                other => panic!("no strictness: {other}"),
            },
            bytes,
            vector: vector(means),
        })
    });
    &ACCEPTED
}

/// Packets that must be refused.
pub(crate) fn invalid() -> &'static [Invalid] {
    static INVALID: LazyLock<Vec<Invalid>> = LazyLock::new(|| {
        let text = include_str!("invalid.txt");
        blocks(text, |[name, sender, reason, kind, statements], bytes| {
            Invalid {
                name,
                sender: Sender::parse(sender),
                bytes,
                reason: ReasonCode::from(hex(reason)),
                kind,
                statements,
            }
        })
    });
    &INVALID
}

/// Reads blocks of one line with N fields and indented lines of bytes.
fn blocks<const N: usize, T>(
    text: &'static str,
    mut make: impl FnMut([&'static str; N], Vec<u8>) -> T,
) -> Vec<T> {
    let mut read: Vec<([&'static str; N], Vec<u8>)> = Vec::new();
    for line in text.lines() {
        let content = line.split('#').next().unwrap_or_default();
        if content.trim().is_empty() {
            continue;
        }
        if content.starts_with(' ') {
            let (_, bytes) = read.last_mut().expect("bytes follow a name");
            content
                .split_whitespace()
                .for_each(|word| push(bytes, word));
        } else {
            let fields: Vec<_> = content.split('|').map(str::trim).collect();
            let fields = <[_; N]>::try_from(fields).unwrap_or_else(|_| panic!("fields: {line}"));
            read.push((fields, Vec::new()));
        }
    }
    read.into_iter()
        .map(|(fields, bytes)| make(fields, bytes))
        .collect()
}

/// Appends `61` or `61*120`.
fn push(bytes: &mut Vec<u8>, word: &str) {
    let (byte, count) = word.split_once('*').unwrap_or((word, "1"));
    let count = count.parse().unwrap_or_else(|_| panic!("no count: {word}"));
    bytes.extend(std::iter::repeat_n(hex(byte), count));
}

fn hex(digits: &str) -> u8 {
    u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("no byte: {digits}"))
}
