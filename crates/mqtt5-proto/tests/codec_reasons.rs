//! Reason codes: every code in every packet from either side, against tables 2-6, 3-1 and 3-4 to 3-11.

mod golden;

use mqtt5_proto::packet::{
    Acknowledgement, Auth, Connack, Disconnect, List, SubscribeAcknowledgement,
};
use mqtt5_proto::{
    DecodeErrorKind, Decoding, EncodeError, Packet, PacketId, PacketType, Properties,
    ProtocolVersion, ReasonCode, Role,
};

use golden::table;

const SIDES: [Role; 2] = [Role::Client, Role::Server];

/// [MQTT-3.2.2-8], [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2],
/// [MQTT-3.14.2-1], [MQTT-3.15.2-1], E18.
#[test]
fn every_code_belongs_where_the_tables_say() {
    for packet in PacketType::ALL {
        for (from, code) in sides_and_codes() {
            assert_eq!(
                ReasonCode::from(code).is_defined_for(packet, from),
                table::may_send(packet, from, code),
                "{code:#04x} in {packet} from {from:?}"
            );
        }
    }
}

#[test]
fn every_code_has_its_name() {
    for code in 0..=255 {
        let reason = ReasonCode::from(code);
        let known = table::NAMES.iter().find(|(known, _)| *known == code);
        let name = known.map_or("unknown reason code", |(_, name)| name);
        assert_eq!(reason.name(), name);
        assert_eq!(reason.to_string(), format!("{code:#04x} {name}"));
        assert_eq!(reason.is_error(), code >= 0x80);
        assert_eq!(reason.value(), code);
    }
}

/// HB-26: a received code that is undefined or the other side's is a Protocol Error, except in DISCONNECT, which ends
/// the connection anyway and whose code is reported as it is (D31).
#[test]
fn hb_26_every_code_received() {
    for (packet, frame) in frames() {
        for (from, code) in sides_and_codes() {
            let frame = frame(code);
            let result = Packet::decode(&frame, &Decoding::new(from));
            let wrong_side = match packet {
                PacketType::Connack | PacketType::Suback | PacketType::Unsuback => {
                    from == Role::Client
                }
                _ => false,
            };
            let taken = table::may_send(packet, from, code) || packet == PacketType::Disconnect;
            let expected = match taken {
                _ if wrong_side => Err(DecodeErrorKind::WrongDirection(packet)),
                false => Err(DecodeErrorKind::UndefinedReasonCode(code)),
                true => Ok(ReasonCode::from(code)),
            };
            let result = result
                .map(|packet| reason(&packet))
                .map_err(|error| error.kind);
            assert_eq!(result, expected, "{code:#04x} in {packet} from {from:?}");
        }
    }
}

/// A code that neither side may send in a packet is not sent.
#[test]
fn every_code_sent() {
    for (packet_type, _) in frames() {
        for code in 0..=255 {
            let defined = SIDES
                .iter()
                .any(|from| table::may_send(packet_type, *from, code));
            let expected = match defined {
                true => Ok(()),
                false => Err(EncodeError::ReasonCodeNotAllowed(packet_type)),
            };
            let result = with_reason(packet_type, code, |packet| {
                packet.encoded_len(ProtocolVersion::V5).map(drop)
            });
            assert_eq!(result, expected, "{code:#04x} in {packet_type}");
        }
    }
}

fn sides_and_codes() -> impl Iterator<Item = (Role, u8)> {
    SIDES
        .into_iter()
        .flat_map(|side| (0..=255).map(move |code| (side, code)))
}

type Frame = fn(u8) -> Vec<u8>;

/// The packets that carry a reason code, around that code.
fn frames() -> [(PacketType, Frame); 9] {
    [
        (PacketType::Connack, |code| vec![0x20, 3, 0, code, 0]),
        (PacketType::Puback, |code| vec![0x40, 3, 0, 1, code]),
        (PacketType::Pubrec, |code| vec![0x50, 3, 0, 1, code]),
        (PacketType::Pubrel, |code| vec![0x62, 3, 0, 1, code]),
        (PacketType::Pubcomp, |code| vec![0x70, 3, 0, 1, code]),
        (PacketType::Suback, |code| vec![0x90, 5, 0, 1, 0, 0, code]),
        (PacketType::Unsuback, |code| vec![0xB0, 5, 0, 1, 0, 0, code]),
        (PacketType::Disconnect, |code| vec![0xE0, 1, code]),
        (PacketType::Auth, |code| {
            vec![0xF0, 6, code, 4, 0x15, 0, 1, b'm']
        }),
    ]
}

/// The reason code of a packet, the last one of a list.
fn reason(packet: &Packet<'_>) -> ReasonCode {
    match packet {
        Packet::Connack(packet) => packet.reason,
        Packet::Puback(packet)
        | Packet::Pubrec(packet)
        | Packet::Pubrel(packet)
        | Packet::Pubcomp(packet) => packet.reason,
        Packet::Suback(packet) | Packet::Unsuback(packet) => packet.reasons.iter().last().unwrap(),
        Packet::Disconnect(packet) => packet.reason,
        Packet::Auth(packet) => packet.reason,
        other => panic!("{other:?} has no reason code"),
    }
}

/// A packet with this code, built.
fn with_reason<T>(packet_type: PacketType, code: u8, run: impl FnOnce(Packet<'_>) -> T) -> T {
    let reason = ReasonCode::from(code);
    let packet_id = PacketId::new(1).unwrap();
    let properties = Properties::EMPTY;
    let body = Acknowledgement::new(packet_id, reason);
    let reasons = [ReasonCode::SUCCESS, reason];
    let answer = SubscribeAcknowledgement {
        packet_id,
        properties,
        reasons: List::from(&reasons[..]),
    };
    run(match packet_type {
        PacketType::Connack => Packet::Connack(Connack {
            session_present: false,
            reason,
            properties,
        }),
        PacketType::Puback => Packet::Puback(body),
        PacketType::Pubrec => Packet::Pubrec(body),
        PacketType::Pubrel => Packet::Pubrel(body),
        PacketType::Pubcomp => Packet::Pubcomp(body),
        PacketType::Suback => Packet::Suback(answer),
        PacketType::Unsuback => Packet::Unsuback(answer),
        PacketType::Disconnect => Packet::Disconnect(Disconnect::new(reason)),
        PacketType::Auth => Packet::Auth(Auth { reason, properties }),
        other => panic!("{other} has no reason code"),
    })
}
