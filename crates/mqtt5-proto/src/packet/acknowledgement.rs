//! PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7), SUBACK and UNSUBACK (3.9, 3.11).

use super::list::List;
use super::sum;
use crate::wire::{Reader, Writer};
use crate::{
    DecodeError, DecodeErrorKind as Kind, Decoding, EncodeError, PacketId, PacketType, Place,
    Properties, ReasonCode, Role,
};

/// The body that PUBACK, PUBREC, PUBREL and PUBCOMP share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement<'a> {
    /// The exchange that it belongs to.
    pub packet_id: PacketId,
    /// How it went; success is left out on the wire where possible.
    pub reason: ReasonCode,
    /// The properties.
    pub properties: Properties<'a>,
}

impl<'a> Acknowledgement<'a> {
    /// An acknowledgement without properties.
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self {
            packet_id,
            reason,
            properties: Properties::EMPTY,
        }
    }

    pub(super) fn read(
        reader: &mut Reader<'a>,
        packet: PacketType,
        decoding: &Decoding,
    ) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let reason = if reader.is_empty() {
            ReasonCode::SUCCESS
        } else {
            read_reason(reader, packet, decoding.from)?
        };
        let properties = if reader.is_empty() {
            Properties::EMPTY
        } else {
            Properties::decode(reader, Place::Packet(packet), decoding.lenient)?
        };
        Ok(Self {
            packet_id,
            reason,
            properties,
        })
    }

    pub(super) fn len(&self, packet: PacketType) -> Result<usize, EncodeError> {
        check_reason(self.reason, packet)?;
        let properties = self.properties.encoded_len(Place::Packet(packet))?;
        Ok(match (self.reason, self.properties.is_empty()) {
            (ReasonCode::SUCCESS, true) => 2,
            (_, true) => 3,
            (_, false) => sum([3, properties]),
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.value());
        if self.reason != ReasonCode::SUCCESS || !self.properties.is_empty() {
            writer.u8(self.reason.value());
        }
        if !self.properties.is_empty() {
            self.properties.encode(writer);
        }
    }
}

/// The body that SUBACK and UNSUBACK share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeAcknowledgement<'a> {
    /// The packet that it answers.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: Properties<'a>,
    /// One code for each filter, in their order [MQTT-3.8.4-6], [MQTT-3.11.3-2].
    pub reasons: List<'a, ReasonCode>,
}

impl<'a> SubscribeAcknowledgement<'a> {
    pub(super) fn read(
        reader: &mut Reader<'a>,
        packet: PacketType,
        decoding: &Decoding,
    ) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = Properties::decode(reader, Place::Packet(packet), decoding.lenient)?;
        if reader.is_empty() {
            return Err(reader.error(Kind::NoReasonCodes));
        }
        let reasons = List::encoded(reader.clone().rest(), reader.offset());
        while !reader.is_empty() {
            read_reason(reader, packet, decoding.from)?;
        }
        Ok(Self {
            packet_id,
            properties,
            reasons,
        })
    }

    pub(super) fn len(&self, packet: PacketType) -> Result<usize, EncodeError> {
        if self.reasons.is_empty() {
            return Err(EncodeError::NoReasonCodes);
        }
        for reason in self.reasons.iter() {
            check_reason(reason, packet)?;
        }
        Ok(sum([
            2,
            self.properties.encoded_len(Place::Packet(packet))?,
            self.reasons.len(),
        ]))
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.value());
        self.properties.encode(writer);
        for reason in self.reasons.iter() {
            writer.u8(reason.value());
        }
    }
}

fn read_reason(
    reader: &mut Reader<'_>,
    packet: PacketType,
    from: Role,
) -> Result<ReasonCode, DecodeError> {
    let reason = ReasonCode::from(reader.u8()?);
    if reason.is_defined_for(packet, from) {
        Ok(reason)
    } else {
        Err(reader.error(Kind::UndefinedReasonCode(reason.value())))
    }
}

/// Whether either side may send the code.
fn check_reason(reason: ReasonCode, packet: PacketType) -> Result<(), EncodeError> {
    if reason.is_defined_for(packet, Role::Client) || reason.is_defined_for(packet, Role::Server) {
        Ok(())
    } else {
        Err(EncodeError::ReasonCodeNotAllowed(packet))
    }
}
