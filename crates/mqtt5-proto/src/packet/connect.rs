//! CONNECT (3.1).

use core::fmt;

use super::{authenticated_len, read_authenticated, sum};
use crate::wire::{Reader, Writer, binary_len, utf8_len};
use crate::{
    DecodeError, DecodeErrorKind as Kind, Decoding, EncodeError, PacketType, Place, Properties,
    ProtocolVersion, QoS, TopicName,
};

const PROTOCOL_NAME: &str = "MQTT";

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// Connection request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Asks the server to discard an existing session (3.1.2.4).
    pub clean_start: bool,
    /// The longest silence of the client, in seconds; 0 turns it off (3.1.2.10).
    pub keep_alive: u16,
    /// The Client Identifier; empty asks the server to choose one (3.1.3.1).
    pub client_id: &'a str,
    /// What the server publishes when the connection ends without a DISCONNECT 0x00 (3.1.2.5).
    pub will: Option<Will<'a>>,
    /// The User Name (3.1.3.5).
    pub username: Option<&'a str>,
    /// The Password, with or without a User Name (3.1.3.6).
    pub password: Option<&'a [u8]>,
    /// The properties.
    pub properties: Properties<'a>,
}

/// The Will Message of a CONNECT (3.1.2.5, 3.1.3.2 to 3.1.3.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Will<'a> {
    /// The QoS that it is published with.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Where it is published.
    pub topic: TopicName<'a>,
    /// Its payload, at most 65,535 bytes.
    pub payload: &'a [u8],
    /// Its properties.
    pub properties: Properties<'a>,
}

impl<'a> Connect<'a> {
    /// A request with Clean Start, Keep Alive 60 s and nothing else.
    pub const fn new(client_id: &'a str) -> Self {
        Self {
            clean_start: true,
            keep_alive: 60,
            client_id,
            will: None,
            username: None,
            password: None,
            properties: Properties::EMPTY,
        }
    }

    pub(super) fn read(reader: &mut Reader<'a>, decoding: &Decoding) -> Result<Self, DecodeError> {
        if reader.utf8()? != PROTOCOL_NAME {
            return Err(reader.error(Kind::InvalidProtocolName));
        }
        let level = reader.u8()?;
        if level != decoding.version.level() {
            return Err(reader.error(Kind::UnsupportedProtocolVersion(level)));
        }
        let flags = reader.u8()?;
        if flags & 1 != 0 {
            return Err(reader.error(Kind::ReservedBit));
        }
        let keep_alive = reader.u16()?;
        let properties = read_authenticated(reader, PacketType::Connect, decoding)?;
        let client_id = reader.utf8()?;
        let will = Will::read(reader, flags, decoding)?;
        let username = (flags & USER_NAME != 0)
            .then(|| reader.utf8())
            .transpose()?;
        let password = (flags & PASSWORD != 0)
            .then(|| reader.binary())
            .transpose()?;
        Ok(Self {
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            client_id,
            will,
            username,
            password,
            properties,
        })
    }

    pub(super) fn len(&self) -> Result<usize, EncodeError> {
        Ok(sum([
            utf8_len(PROTOCOL_NAME)?,
            4,
            authenticated_len(&self.properties, PacketType::Connect)?,
            utf8_len(self.client_id)?,
            self.will.as_ref().map_or(Ok(0), Will::len)?,
            self.username.map_or(Ok(0), utf8_len)?,
            self.password.map_or(Ok(0), binary_len)?,
        ]))
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        let mut flags = 0;
        for (set, flag) in [
            (self.clean_start, CLEAN_START),
            (self.password.is_some(), PASSWORD),
            (self.username.is_some(), USER_NAME),
        ] {
            flags |= if set { flag } else { 0 };
        }
        writer.utf8(PROTOCOL_NAME);
        writer.u8(ProtocolVersion::V5.level());
        writer.u8(flags | self.will.as_ref().map_or(0, Will::flags));
        writer.u16(self.keep_alive);
        self.properties.encode(writer);
        writer.utf8(self.client_id);
        if let Some(will) = &self.will {
            will.write(writer);
        }
        if let Some(username) = self.username {
            writer.utf8(username);
        }
        if let Some(password) = self.password {
            writer.binary(password);
        }
    }
}

impl<'a> Will<'a> {
    /// A will with QoS 0, not retained, without properties.
    pub const fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self {
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            payload,
            properties: Properties::EMPTY,
        }
    }

    fn read(
        reader: &mut Reader<'a>,
        flags: u8,
        decoding: &Decoding,
    ) -> Result<Option<Self>, DecodeError> {
        let qos = QoS::try_from(flags >> WILL_QOS_SHIFT & 3)
            .map_err(|_| reader.error(Kind::InvalidQoS))?;
        let retain = flags & WILL_RETAIN != 0;
        if flags & WILL == 0 {
            if retain || qos != QoS::AtMostOnce {
                return Err(reader.error(Kind::WillFlagsWithoutWill));
            }
            return Ok(None);
        }
        let properties = Properties::decode(reader, Place::Will, decoding.lenient)?;
        let topic = reader.topic_name()?;
        Ok(Some(Self {
            qos,
            retain,
            topic: topic.ok_or_else(|| reader.error(Kind::EmptyTopicName))?,
            payload: reader.binary()?,
            properties,
        }))
    }

    const fn flags(&self) -> u8 {
        let retain = if self.retain { WILL_RETAIN } else { 0 };
        WILL | retain | (self.qos as u8) << WILL_QOS_SHIFT
    }

    fn len(&self) -> Result<usize, EncodeError> {
        Ok(sum([
            self.properties.encoded_len(Place::Will)?,
            utf8_len(self.topic.as_str())?,
            binary_len(self.payload)?,
        ]))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.properties.encode(writer);
        writer.utf8(self.topic.as_str());
        writer.binary(self.payload);
    }
}

impl fmt::Debug for Connect<'_> {
    /// Prints everything but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("username", &self.username)
            .field("password", &self.password.map(|_| "…"))
            .field("properties", &self.properties)
            .finish()
    }
}

impl fmt::Debug for Will<'_> {
    /// Prints the length of the payload, not the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("topic", &self.topic)
            .field("payload_len", &self.payload.len())
            .field("properties", &self.properties)
            .finish()
    }
}
