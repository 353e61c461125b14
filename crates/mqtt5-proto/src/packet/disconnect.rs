//! DISCONNECT and AUTH (3.14, 3.15).

use super::{authenticated_len, read_authenticated, sum};
use crate::wire::{Reader, Writer};
use crate::{
    DecodeError, DecodeErrorKind as Kind, Decoding, EncodeError, PacketType, Place, Properties,
    ReasonCode, Role,
};

/// Disconnect notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why. Decoding accepts every number, so that a peer that ends the connection for a reason of its own can be
    /// quoted; see [`is_defined_for`](ReasonCode::is_defined_for).
    pub reason: ReasonCode,
    /// The properties.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
    pub const fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            properties: Properties::EMPTY,
        }
    }

    pub(super) fn read(reader: &mut Reader<'a>, decoding: &Decoding) -> Result<Self, DecodeError> {
        if reader.is_empty() {
            return Ok(Self::new(ReasonCode::NORMAL_DISCONNECTION));
        }
        let reason = ReasonCode::from(reader.u8()?);
        if reader.is_empty() {
            return Ok(Self::new(reason));
        }
        let place = Place::Packet(PacketType::Disconnect);
        Ok(Self {
            reason,
            properties: Properties::decode(reader, place, decoding.lenient)?,
        })
    }

    pub(super) fn len(&self) -> Result<usize, EncodeError> {
        let packet = PacketType::Disconnect;
        if !self.reason.is_defined_for(packet, Role::Client)
            && !self.reason.is_defined_for(packet, Role::Server)
        {
            return Err(EncodeError::ReasonCodeNotAllowed(packet));
        }
        let properties = self.properties.encoded_len(Place::Packet(packet))?;
        Ok(match (self.reason, self.properties.is_empty()) {
            (ReasonCode::NORMAL_DISCONNECTION, true) => 0,
            (_, true) => 1,
            (_, false) => sum([1, properties]),
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        if self.reason != ReasonCode::NORMAL_DISCONNECTION || !self.properties.is_empty() {
            writer.u8(self.reason.value());
        }
        if !self.properties.is_empty() {
            self.properties.encode(writer);
        }
    }
}

/// Authentication exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// The step.
    pub reason: ReasonCode,
    /// The properties; the machine requires an Authentication Method among them (3.15.2.2.2).
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, decoding: &Decoding) -> Result<Self, DecodeError> {
        let bare = reader.is_empty();
        let reason = if bare {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::from(reader.u8()?)
        };
        if !reason.is_defined_for(PacketType::Auth, decoding.from) {
            return Err(reader.error(Kind::UndefinedReasonCode(reason.value())));
        }
        Ok(Self {
            reason,
            properties: if bare {
                Properties::EMPTY
            } else {
                read_authenticated(reader, PacketType::Auth, decoding)?
            },
        })
    }

    pub(super) fn len(&self) -> Result<usize, EncodeError> {
        let packet = PacketType::Auth;
        if !self.reason.is_defined_for(packet, Role::Client)
            && !self.reason.is_defined_for(packet, Role::Server)
        {
            return Err(EncodeError::ReasonCodeNotAllowed(packet));
        }
        let properties = authenticated_len(&self.properties, packet)?;
        Ok(if self.is_bare_success() {
            0
        } else {
            sum([1, properties])
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        if !self.is_bare_success() {
            writer.u8(self.reason.value());
            self.properties.encode(writer);
        }
    }

    /// Success without properties is left out as a whole (3.15.2.1).
    fn is_bare_success(&self) -> bool {
        self.reason == ReasonCode::SUCCESS && self.properties.is_empty()
    }
}
