//! Our decoder and an independent one, `mqtt-protocol-core`, on the same packets.
//!
//! Where they disagree, the specification decides; `fuzz/disagreements.md` has each class with its clause.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::v5_0 as other;
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt5_proto::{DecodeErrorKind as Kind, Decoding, Packet, PacketType, Role};

use crate::disagreements::classes;
use crate::golden::frame;

/// The first byte is that of a packet, the rest is what follows the Remaining Length.
///
/// Both decoders take it, and what the other encodes again means the same to us; or both refuse it; or the disagreement
/// is of a known class.
pub fn differential(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let Some(packet_type) = PacketType::from_number(first >> 4) else {
        return;
    };
    // The other decoder looks at flags only where they carry data.
    let flags = match packet_type {
        PacketType::Publish => first & 0x0F,
        PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => 0x02,
        _ => 0,
    };
    let bytes = frame((packet_type as u8) << 4 | flags, body);
    let ours = [Role::Server, Role::Client]
        .map(|role| Packet::decode(&bytes, &Decoding::new(role)).map_err(|error| error.kind));
    let theirs = parse(packet_type, flags, body);
    if let Some(disagreement) = compare(packet_type, ours, theirs) {
        let known = classes().any(|class| (class.applies)(&disagreement));
        assert!(known, "{disagreement:?}: {bytes:02X?}");
    }
}

/// The headings of the known classes.
pub fn disagreements() -> impl Iterator<Item = &'static str> {
    classes().map(|class| class.name)
}

/// What the two make of one packet.
#[derive(Debug)]
#[expect(dead_code, reason = "some fields are there to be printed")]
pub(crate) enum Disagreement<'a> {
    /// Both take it; this is our reading of the other's reading.
    Content(Packet<'a>, Result<(), Kind>),
    RefusedByThem(Packet<'a>, MqttError),
    /// With our reason, which is not the direction alone.
    RefusedByUs(PacketType, Kind),
}

fn compare(
    packet_type: PacketType,
    ours: [Result<Packet<'_>, Kind>; 2],
    theirs: Result<Vec<u8>, MqttError>,
) -> Option<Disagreement<'_>> {
    let accepted = ours.iter().find_map(|packet| packet.ok());
    // A packet or a code of the other side says nothing about the rest.
    let of_side = |kind: &Kind| match kind {
        Kind::WrongDirection(_) => 2,
        Kind::UndefinedReasonCode(_) => 1,
        _ => 0,
    };
    let wrong = ours.iter().filter_map(|packet| packet.err());
    let refused = wrong.min_by_key(of_side);
    match (accepted, theirs) {
        (Some(packet), Ok(again)) => {
            let readings = [Role::Server, Role::Client]
                .map(|role| Packet::decode(&again, &Decoding::new(role)));
            if readings.contains(&Ok(packet)) {
                return None;
            }
            let reading = readings[0].map(drop).map_err(|error| error.kind);
            Some(Disagreement::Content(packet, reading))
        }
        (Some(packet), Err(error)) => Some(Disagreement::RefusedByThem(packet, error)),
        (None, Ok(_)) => {
            let kind = refused.unwrap_or(Kind::WrongDirection(packet_type));
            Some(Disagreement::RefusedByUs(packet_type, kind))
        }
        (None, Err(_)) => None,
    }
}

/// What the other decoder makes of it, encoded again.
fn parse(packet_type: PacketType, flags: u8, body: &[u8]) -> Result<Vec<u8>, MqttError> {
    macro_rules! parsed {
        ($packet:ident) => {{
            let (packet, length) = other::$packet::parse(body)?;
            if length != body.len() {
                return Err(MqttError::MalformedPacket);
            }
            Ok(packet.to_continuous_buffer())
        }};
    }
    match packet_type {
        PacketType::Connect => parsed!(Connect),
        PacketType::Connack => parsed!(Connack),
        PacketType::Publish => {
            let (packet, length) = other::Publish::parse(flags, Arc::from(body))?;
            if length != body.len() {
                return Err(MqttError::MalformedPacket);
            }
            Ok(packet.to_continuous_buffer())
        }
        PacketType::Puback => parsed!(Puback),
        PacketType::Pubrec => parsed!(Pubrec),
        PacketType::Pubrel => parsed!(Pubrel),
        PacketType::Pubcomp => parsed!(Pubcomp),
        PacketType::Subscribe => parsed!(Subscribe),
        PacketType::Suback => parsed!(Suback),
        PacketType::Unsubscribe => parsed!(Unsubscribe),
        PacketType::Unsuback => parsed!(Unsuback),
        PacketType::Pingreq => parsed!(Pingreq),
        PacketType::Pingresp => parsed!(Pingresp),
        PacketType::Disconnect => parsed!(Disconnect),
        PacketType::Auth => parsed!(Auth),
    }
}
