//! CONNACK (3.2).

use super::{authenticated_len, read_authenticated, sum};
use crate::wire::{Reader, Writer};
use crate::{
    DecodeError, DecodeErrorKind as Kind, Decoding, EncodeError, PacketType, Properties,
    ReasonCode, Role,
};

/// Connect acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    /// Whether the server has the session of an earlier connection (3.2.2.1.1).
    pub session_present: bool,
    /// Whether the connection is accepted (3.2.2.2).
    ///
    /// 0x01 to 0x05 occurs in a CONNACK in the form of MQTT 3.1.1, of exactly two bytes, with which an older server
    /// refuses this version; it means what MQTT 3.1.1 says and is a refusal, although
    /// [`ReasonCode::is_error`] is false. See [`is_accepted`](Self::is_accepted).
    pub reason: ReasonCode,
    /// The properties.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    /// Whether the connection is accepted.
    pub fn is_accepted(&self) -> bool {
        self.reason == ReasonCode::SUCCESS
    }

    pub(super) fn read(reader: &mut Reader<'a>, decoding: &Decoding) -> Result<Self, DecodeError> {
        let flags = reader.u8()?;
        if flags > 1 {
            return Err(reader.error(Kind::ReservedBit));
        }
        let session_present = flags == 1;
        let reason = ReasonCode::from(reader.u8()?);
        if reader.is_empty() && !session_present && matches!(reason.value(), 1..=5) {
            return Ok(Self {
                session_present,
                reason,
                properties: Properties::EMPTY,
            });
        }
        if !reason.is_defined_for(PacketType::Connack, Role::Server) {
            return Err(reader.error(Kind::UndefinedReasonCode(reason.value())));
        }
        if session_present && reason.is_error() {
            return Err(reader.error(Kind::SessionPresentInRefusal));
        }
        Ok(Self {
            session_present,
            reason,
            properties: read_authenticated(reader, PacketType::Connack, decoding)?,
        })
    }

    pub(super) fn len(&self) -> Result<usize, EncodeError> {
        if !self
            .reason
            .is_defined_for(PacketType::Connack, Role::Server)
        {
            return Err(EncodeError::ReasonCodeNotAllowed(PacketType::Connack));
        }
        if self.session_present && self.reason.is_error() {
            return Err(EncodeError::SessionPresentInRefusal);
        }
        Ok(sum([
            2,
            authenticated_len(&self.properties, PacketType::Connack)?,
        ]))
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(u8::from(self.session_present));
        writer.u8(self.reason.value());
        self.properties.encode(writer);
    }
}
