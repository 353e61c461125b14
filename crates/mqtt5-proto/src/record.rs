//! What a session writes down to outlive its process: records one by one, or a snapshot of all of it.

use crate::packet::Publish;
use crate::wire::{Reader, Writer};
use crate::{
    DecodeError, DecodeErrorKind, Decoding, EncodeError, FixedHeader, Instant, Op, Packet,
    PacketId, ProtocolVersion, QoS, ReasonCode, Role,
};

/// One change of a session, as [`poll_persist`](crate::fixed::Client::poll_persist) gives them to be made durable, and as
/// [`restore`](crate::fixed::Client::restore) takes them.
///
/// A record that is written twice, or an end whose beginning is not there, does no harm: restoring applies them in their
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// The session outlives its connection by so many seconds from now on; 0 is not at all, 0xFFFFFFFF for ever.
    Session {
        /// The Session Expiry Interval that holds.
        expiry_interval: u32,
    },
    /// The server has no session: all identifiers are void, and publishes that are not published again are lost.
    SessionLost,
    /// The session was taken over from an earlier process without its state: the server may hold any Packet Identifier, except
    /// those up to this one.
    Assumed {
        /// The last one that is clear; 0 is none.
        clear: u16,
    },
    /// A publish of QoS 1 or 2 was accepted.
    Publish {
        /// Its operation.
        op: Op,
        /// The message under its Packet Identifier, without a Topic Alias.
        publish: Publish<'a>,
        /// When its Message Expiry Interval ends, on the clock of the machine that wrote this.
        expires: Option<Instant>,
        /// It asks for a Topic Alias.
        alias: bool,
        /// It has no Packet Identifier yet; the one in `publish` stands for none.
        waiting: bool,
    },
    /// A publish goes into a new session.
    Republished {
        /// Its operation.
        op: Op,
        /// The Packet Identifier in the new session.
        id: PacketId,
    },
    /// PUBREC has arrived: the message is the server's, PUBREL and PUBCOMP are left.
    Released {
        /// The operation.
        op: Op,
        /// Its Packet Identifier.
        id: PacketId,
        /// The reason of the PUBREC.
        reason: ReasonCode,
    },
    /// An operation has ended, its Packet Identifier is free.
    Ended {
        /// The operation.
        op: Op,
        /// Its Packet Identifier.
        id: PacketId,
    },
    /// A QoS 2 publish was given up although the server may know of it: its Packet Identifier is not used again while the
    /// session lives.
    InDoubt {
        /// Its Packet Identifier.
        id: PacketId,
    },
    /// A received QoS 2 message was acknowledged by the application: its repetitions are not handed over any more.
    Received {
        /// The Packet Identifier that the server gave it.
        id: PacketId,
    },
    /// PUBREL has arrived: the next message under this identifier is a new one.
    Finished {
        /// The Packet Identifier that the server gave it.
        id: PacketId,
    },
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A kind of record that this version does not know.
    #[error("unknown kind of record {0}")]
    UnknownKind(u8),
    /// A field is missing or not allowed.
    #[error("malformed record: {0}")]
    Malformed(#[from] DecodeError),
    /// What should be a snapshot does not begin like one.
    #[error("no snapshot of a session")]
    NoSnapshot,
    /// A snapshot of a format that this version does not know.
    #[error("unknown format {0} of a snapshot")]
    UnknownFormat(u8),
}

const SESSION: u8 = 1;
const SESSION_LOST: u8 = 2;
const PUBLISH: u8 = 3;
const REPUBLISHED: u8 = 4;
const RELEASED: u8 = 5;
const ENDED: u8 = 6;
const RECEIVED: u8 = 7;
const FINISHED: u8 = 8;
const IN_DOUBT: u8 = 9;
const ASSUMED: u8 = 10;

const EXPIRES: u8 = 0x01;
const ALIAS: u8 = 0x02;
const WAITING: u8 = 0x04;

impl<'a> Record<'a> {
    const fn kind(&self) -> u8 {
        match self {
            Self::Session { .. } => SESSION,
            Self::SessionLost => SESSION_LOST,
            Self::Assumed { .. } => ASSUMED,
            Self::Publish { .. } => PUBLISH,
            Self::Republished { .. } => REPUBLISHED,
            Self::Released { .. } => RELEASED,
            Self::Ended { .. } => ENDED,
            Self::InDoubt { .. } => IN_DOUBT,
            Self::Received { .. } => RECEIVED,
            Self::Finished { .. } => FINISHED,
        }
    }

    /// How many bytes [`encode`](Self::encode) writes.
    ///
    /// # Errors
    ///
    /// The publish of a record made by hand cannot be encoded.
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        const KIND: usize = 1;
        const OP: usize = 8;
        const ID: usize = 2;
        let body = match self {
            Self::Session { .. } => 4,
            Self::SessionLost => 0,
            Self::Publish {
                publish, expires, ..
            } => {
                let packet = Packet::Publish(*publish).encoded_len(ProtocolVersion::V5)?;
                let expires = if expires.is_some() { 8 } else { 0 };
                packet.saturating_add(OP + 1).saturating_add(expires)
            }
            Self::Republished { .. } | Self::Ended { .. } => OP + ID,
            Self::Released { .. } => OP + ID + 1,
            Self::Assumed { .. }
            | Self::InDoubt { .. }
            | Self::Received { .. }
            | Self::Finished { .. } => ID,
        };
        Ok(body.saturating_add(KIND))
    }

    /// Writes the record to the beginning of `buffer` and gives how many bytes it has. What is written says itself where
    /// it ends; it carries no checksum.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`], or the publish of a record made by hand cannot be encoded.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.encoded_len()?;
        let Some(buffer) = buffer.get_mut(..needed) else {
            return Err(EncodeError::BufferTooSmall { needed });
        };
        let mut writer = Writer::new(buffer);
        writer.u8(self.kind());
        match *self {
            Self::Session { expiry_interval } => writer.u32(expiry_interval),
            Self::SessionLost => {}
            Self::Assumed { clear } => writer.u16(clear),
            Self::Publish {
                op,
                publish,
                expires,
                alias,
                waiting,
            } => {
                writer.u64(op.number());
                let flag = |set, flag| if set { flag } else { 0 };
                writer.u8(flag(expires.is_some(), EXPIRES)
                    | flag(alias, ALIAS)
                    | flag(waiting, WAITING));
                if let Some(expires) = expires {
                    writer.u64(expires.as_micros());
                }
                Packet::Publish(publish).encode(ProtocolVersion::V5, writer.rest())?;
            }
            Self::Republished { op, id } | Self::Ended { op, id } => {
                writer.u64(op.number());
                writer.u16(id.value());
            }
            Self::Released { op, id, reason } => {
                writer.u64(op.number());
                writer.u16(id.value());
                writer.u8(reason.value());
            }
            Self::InDoubt { id } | Self::Received { id } | Self::Finished { id } => {
                writer.u16(id.value());
            }
        }
        Ok(needed)
    }

    /// Reads the record at the beginning of `bytes`; gives it with how many bytes it has.
    ///
    /// # Errors
    ///
    /// No record, or one that is cut off.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), RecordError> {
        let mut reader = Reader::new(bytes, 0);
        let record = match reader.u8()? {
            SESSION => Self::Session {
                expiry_interval: reader.u32()?,
            },
            SESSION_LOST => Self::SessionLost,
            ASSUMED => Self::Assumed {
                clear: reader.u16()?,
            },
            PUBLISH => Self::read_publish(&mut reader)?,
            REPUBLISHED => Self::Republished {
                op: Op(reader.u64()?),
                id: reader.packet_id()?,
            },
            RELEASED => Self::Released {
                op: Op(reader.u64()?),
                id: reader.packet_id()?,
                reason: ReasonCode::from(reader.u8()?),
            },
            ENDED => Self::Ended {
                op: Op(reader.u64()?),
                id: reader.packet_id()?,
            },
            IN_DOUBT => Self::InDoubt {
                id: reader.packet_id()?,
            },
            RECEIVED => Self::Received {
                id: reader.packet_id()?,
            },
            FINISHED => Self::Finished {
                id: reader.packet_id()?,
            },
            kind => return Err(RecordError::UnknownKind(kind)),
        };
        Ok((record, reader.offset()))
    }

    fn read_publish(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let op = Op(reader.u64()?);
        let flags = reader.u8()?;
        let expires = match flags & EXPIRES {
            0 => None,
            _ => Some(Instant::from_micros(reader.u64()?)),
        };
        let decoding = Decoding::new(Role::Client);
        let start = reader.offset();
        let whole = FixedHeader::parse(reader.peek(), &decoding)?;
        let length = whole.map_or(usize::MAX, |header| header.total_len());
        let packet = Packet::decode(reader.bytes(length)?, &decoding)?;
        let error = |kind| DecodeError {
            kind,
            offset: start,
        };
        let Packet::Publish(publish) = packet else {
            return Err(error(DecodeErrorKind::ReservedPacketType));
        };
        if publish.delivery.qos() == QoS::AtMostOnce {
            return Err(error(DecodeErrorKind::InvalidQoS));
        }
        if publish.topic.is_none() {
            return Err(error(DecodeErrorKind::EmptyTopicName));
        }
        Ok(Self::Publish {
            op,
            publish,
            expires,
            alias: flags & ALIAS != 0,
            waiting: flags & WAITING != 0,
        })
    }

    /// The same record on another clock, on which it is `to` when it was `from` on the clock of the record: for
    /// machines whose instants do not go on from one process to the next.
    #[must_use]
    pub fn rebased(self, from: Instant, to: Instant) -> Self {
        match self {
            Self::Publish {
                op,
                publish,
                expires,
                alias,
                waiting,
            } => Self::Publish {
                op,
                publish,
                expires: expires.map(|at| {
                    let late = from.saturating_duration_since(at);
                    let left = at.saturating_duration_since(from);
                    let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
                    Instant::from_micros(to.as_micros().saturating_sub(micros)).saturating_add(left)
                }),
                alias,
                waiting,
            },
            record => record,
        }
    }
}

/// Names a record, and with it all earlier ones of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordToken(pub(crate) u64);

/// What became of records that were to be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persisted {
    /// This record and all before it are durable, except those that were reported as failed.
    Through(RecordToken),
    /// This record was not written, and no restart will find it.
    Failed(RecordToken),
}

/// The state of a session as bytes: what a program saves when it ends, and goes on from when it starts again.
///
/// ```
/// use mqtt5_proto::{Client, Config, Instant, SessionSnapshot};
///
/// let client = Client::new(Config::default());
/// let saved: Vec<u8> = client.snapshot().into_bytes();
///
/// let snapshot = SessionSnapshot::from_bytes(saved)?;
/// let mut client = Client::new(Config::default());
/// client.restore(Instant::ZERO, snapshot.records())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSnapshot(alloc::vec::Vec<u8>);

#[cfg(feature = "alloc")]
impl SessionSnapshot {
    const MAGIC: &'static [u8] = b"mqtt5 session";
    const FORMAT: u8 = 1;
    const HEAD: usize = Self::MAGIC.len() + 1;

    pub(crate) fn new<'a>(records: impl Iterator<Item = Record<'a>>) -> Self {
        let mut bytes = Self::MAGIC.to_vec();
        bytes.push(Self::FORMAT);
        for record in records {
            let start = bytes.len();
            // What a session holds was measured when it was accepted.
            let length = record.encoded_len().unwrap_or_default();
            bytes.resize(start.saturating_add(length), 0);
            let _ = record.encode(bytes.get_mut(start..).unwrap_or_default());
        }
        Self(bytes)
    }

    /// Takes bytes that were saved.
    ///
    /// # Errors
    ///
    /// They are no snapshot, one of another format, or damaged. There is no checksum: whoever stores them keeps them
    /// whole.
    pub fn from_bytes(bytes: alloc::vec::Vec<u8>) -> Result<Self, RecordError> {
        let rest = bytes
            .strip_prefix(Self::MAGIC)
            .ok_or(RecordError::NoSnapshot)?;
        let (format, mut rest) = rest.split_first().ok_or(RecordError::NoSnapshot)?;
        if *format != Self::FORMAT {
            return Err(RecordError::UnknownFormat(*format));
        }
        while !rest.is_empty() {
            let (_, length) = Record::decode(rest)?;
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to keep.
    pub fn into_bytes(self) -> alloc::vec::Vec<u8> {
        self.0
    }

    /// What it consists of, in the order in which it is to be restored.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.0.get(Self::HEAD..).unwrap_or_default();
        core::iter::from_fn(move || {
            let (record, length) = Record::decode(rest).ok()?;
            rest = rest.get(length..)?;
            Some(record)
        })
    }
}
