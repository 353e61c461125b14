//! Where one packet ends and the next begins: the fixed header (2.1).

use crate::wire::Reader;
use crate::{DecodeError, DecodeErrorKind as Kind, PacketType, ProtocolVersion, Role};

/// The largest Remaining Length: 256 MiB less one byte (2.1.4).
pub const MAXIMUM_REMAINING_LENGTH: usize = 268_435_455;

/// How bytes are to be read: the version, who sent them, how strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoding {
    /// The version of the protocol.
    pub version: ProtocolVersion,
    /// The side that sent the bytes; what it may not send is an error.
    pub from: Role,
    /// Tolerates Variable Byte Integers that are longer than needed and DUP on QoS 0.
    pub lenient: bool,
}

impl Decoding {
    /// Strict decoding of MQTT 5 sent by `from`.
    pub const fn new(from: Role) -> Self {
        Self {
            version: ProtocolVersion::V5,
            from,
            lenient: false,
        }
    }
}

/// The fixed header of a packet: its type, flags and length.
///
/// ```
/// use mqtt5_proto::{Decoding, FixedHeader, PacketType, Role};
///
/// let decoding = Decoding::new(Role::Server);
/// assert_eq!(FixedHeader::parse(&[0x30], &decoding)?, None); // more bytes are needed
/// let header = FixedHeader::parse(&[0x30, 0x80, 0x01], &decoding)?.unwrap();
/// assert_eq!(header.packet_type, PacketType::Publish);
/// assert_eq!(header.total_len(), 3 + 128);
/// # Ok::<(), mqtt5_proto::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// The type of the packet.
    pub packet_type: PacketType,
    /// The lower four bits of the first byte.
    pub flags: u8,
    /// The length of the fixed header itself: 2 to 5 bytes.
    pub header_len: usize,
    /// The Remaining Length: bytes after the fixed header.
    pub remaining: usize,
}

impl FixedHeader {
    /// Reads the fixed header at the beginning of `bytes`; `None` when more bytes are needed.
    ///
    /// Looks at no byte beyond the header, so that a caller can compare [`total_len`](Self::total_len) with its
    /// Maximum Packet Size before it buffers anything.
    ///
    /// # Errors
    ///
    /// A reserved type, wrong flags [MQTT-2.1.3-1], the wrong direction, or a Remaining Length that is no Variable
    /// Byte Integer.
    pub fn parse(bytes: &[u8], decoding: &Decoding) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(bytes, 0);
        let Ok(first) = reader.u8() else {
            return Ok(None);
        };
        let Some(packet_type) = PacketType::from_number(first >> 4) else {
            return Err(reader.error(Kind::ReservedPacketType));
        };
        let flags = first & 0x0F;
        if packet_type
            .required_flags()
            .is_some_and(|required| required != flags)
        {
            return Err(reader.error(Kind::InvalidFlags));
        }
        if !packet_type.may_come_from(decoding.from) {
            return Err(reader.error(Kind::WrongDirection(packet_type)));
        }
        match reader.varint(decoding.lenient) {
            Ok(remaining) => Ok(Some(Self {
                packet_type,
                flags,
                header_len: reader.offset(),
                remaining: remaining as usize,
            })),
            Err(error) if error.kind == Kind::Truncated => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The length of the whole packet in bytes, fixed header included.
    pub const fn total_len(&self) -> usize {
        self.header_len.saturating_add(self.remaining)
    }
}
