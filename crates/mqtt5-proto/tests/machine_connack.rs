//! The answer to CONNECT (3.2): accepted, refused, out of place.

mod golden;
mod machine;

use mqtt5_proto::packet::{Auth, Connack, Connect, Disconnect};
use mqtt5_proto::{
    Config, DecodeErrorKind, DisconnectCause, Packet, PacketType, Properties, Property, QoS,
    ReasonCode, Role, State, Violation,
};

use machine::packets::{ack, again, connack, encode, publish, reasons, suback, unsuback};
use machine::{Bed, Face, LIMITS, Told, every_storage};

every_storage!(
    connack_is_told_with_its_properties,
    hb_23_every_refusal_ends_the_connection_without_a_word,
    a_refusal_in_the_form_of_mqtt_3_1_1,
    hb_24_session_present_without_a_session,
    a_session_that_is_assumed_may_be_present,
    hb_24_session_present_in_a_refusal,
    hb_28_an_empty_client_identifier_must_be_replaced,
    hb_28_an_assigned_identifier_that_was_not_asked_for_is_ignored,
    hb_09_everything_else_before_connack_is_a_protocol_error,
    disconnect_before_connack_is_a_protocol_error,
    hb_09_a_second_connack_is_a_protocol_error,
    a_malformed_connack_is_answered,
);

fn connect<F: Face>(bed: &mut Bed<F>, connect: &Connect<'_>) {
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..*connect
    };
    bed.client.connect(bed.now, &connect).unwrap();
    bed.expect_sent(&[Packet::Connect(connect)]);
}

fn connack_is_told_with_its_properties<F: Face>() {
    let list = [
        Property::ReasonString("hi"),
        Property::UserProperty("a", "b"),
    ];
    let mut bed = Bed::<F>::new();
    bed.open();
    let events = bed.tell(&connack(0, Properties::new(&list).unwrap()));
    let properties = r#"[ReasonString("hi"), UserProperty("a", "b")]"#.into();
    let session_present = false;
    assert_eq!(
        events,
        [Told::Connected {
            session_present,
            properties
        }]
    );
    assert_eq!(bed.client.state(), State::Connected);
    assert!(bed.client.negotiated().is_some());
}

/// [MQTT-3.2.2-7], D29, S30, S34: after a refusal nothing is written; its reason and properties are told, the other server
/// of 0x9C and 0x9D among them.
fn hb_23_every_refusal_ends_the_connection_without_a_word<F: Face>() {
    let list = [
        Property::ReasonString("go"),
        Property::ServerReference("[::1]:1883 other"),
        Property::UserProperty("a", "b"),
    ];
    let properties = Properties::new(&list).unwrap();
    let refusals = (0x80..=0xFF)
        .filter(|code| golden::table::may_send(PacketType::Connack, Role::Server, *code))
        .map(ReasonCode::from);
    for code in refusals {
        let mut bed = Bed::<F>::new();
        bed.open();
        let refusal = connack(code.value(), properties);
        assert_eq!(bed.tell(&refusal), []);
        assert!(bed.client.wants_close() && !bed.client.wants_read());
        bed.expect_sent(&[]);
        // Bytes after it are ignored (HB-10).
        assert!(bed.client.receive_space().is_empty());
        bed.client.handle_received(bed.now, 5);
        assert_eq!(bed.events(), []);
        let told = Told::Disconnected(DisconnectCause::Refused(code), format!("{properties:?}"));
        assert_eq!(bed.close(), [told]);
    }
}

/// D21: a server of MQTT 3.1.1 refuses with two bytes; that is a refusal, not a malformed packet.
fn a_refusal_in_the_form_of_mqtt_3_1_1<F: Face>() {
    for code in 1..=5 {
        let mut bed = Bed::<F>::new();
        bed.open();
        bed.feed_bytes(&[0x20, 2, 0, code]);
        bed.expect_end(None, DisconnectCause::RefusedByOlderVersion(code));
    }
}

const SESSION_PRESENT: Packet<'static> = Packet::Connack(Connack {
    session_present: true,
    reason: ReasonCode::SUCCESS,
    properties: Properties::EMPTY,
});

/// [MQTT-3.2.2-4], D28, HB-24: whether Clean Start was 1, or 0 and this machine knows of no session.
fn hb_24_session_present_without_a_session<F: Face>() {
    for (clean_start, assume_session) in [(true, false), (false, false), (true, true)] {
        let mut config = Config::default();
        config.assume_session = assume_session;
        let mut bed = Bed::<F>::with(config);
        let template = Connect {
            clean_start,
            ..Connect::new("me")
        };
        connect(&mut bed, &template);
        bed.feed(&SESSION_PRESENT);
        let violation = Violation::UnexpectedSessionPresent;
        bed.expect_end(Some(0x82), DisconnectCause::Violation(violation));
    }
}

/// D28: how a new process takes over its queue.
fn a_session_that_is_assumed_may_be_present<F: Face>() {
    let mut config = Config::default();
    config.assume_session = true;
    let mut bed = Bed::<F>::with(config);
    let template = Connect {
        clean_start: false,
        ..Connect::new("me")
    };
    connect(&mut bed, &template);
    let events = bed.tell(&SESSION_PRESENT);
    let session_present = true;
    assert!(
        matches!(
            &events[..],
            [Told::Connected {
                session_present: true,
                ..
            }]
        ),
        "{events:?}"
    );
    let negotiated = bed.client.negotiated().unwrap();
    assert_eq!(negotiated.session_present, session_present);
}

/// [MQTT-3.2.2-6], HB-24.
fn hb_24_session_present_in_a_refusal<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.open();
    bed.feed_bytes(&[0x20, 3, 1, 0x87, 0]);
    let kind = DecodeErrorKind::SessionPresentInRefusal;
    bed.expect_end(Some(0x82), DisconnectCause::Violation(kind.into()));
}

/// [MQTT-3.2.2-16], HB-28.
fn hb_28_an_empty_client_identifier_must_be_replaced<F: Face>() {
    let mut bed = Bed::<F>::new();
    connect(&mut bed, &Connect::new(""));
    bed.feed(&connack(0, Properties::EMPTY));
    let violation = Violation::MissingClientIdentifier;
    bed.expect_end(Some(0x82), DisconnectCause::Violation(violation));

    connect(&mut bed, &Connect::new(""));
    bed.accept(&[Property::AssignedClientIdentifier("chosen")]);
}

/// HB-28: nothing changes; it is counted, also for a session that goes on.
fn hb_28_an_assigned_identifier_that_was_not_asked_for_is_ignored<F: Face>() {
    let list = [Property::AssignedClientIdentifier("chosen")];
    let mut bed = Bed::<F>::accepted(&list);
    assert_eq!(bed.client.statistics().assigned_identifiers_ignored, 1);
    bed.close();
    connect(&mut bed, &Connect::new(""));
    bed.accept(&list);
    assert_eq!(bed.client.statistics().assigned_identifiers_ignored, 1);

    let mut bed = Bed::<F>::keeping();
    bed.publish(QoS::AtLeastOnce, "x").unwrap();
    bed.sent_bytes();
    bed.lose();
    assert_eq!(bed.resume(true, &list), []);
    bed.expect_sent(&[again(QoS::AtLeastOnce, 1, "x")]);
    assert_eq!(bed.client.statistics().assigned_identifiers_ignored, 1);
}

/// [MQTT-3.2.0-1], HB-09, HB-08; D16 for AUTH.
fn hb_09_everything_else_before_connack_is_a_protocol_error<F: Face>() {
    let codes = reasons(&[0]);
    let auth = Packet::Auth(Auth {
        reason: ReasonCode::CONTINUE_AUTHENTICATION,
        properties: Properties::EMPTY,
    });
    for packet in [
        publish(QoS::AtMostOnce, 1, "x"),
        publish(QoS::ExactlyOnce, 1, "x"),
        ack(PacketType::Puback, 1),
        ack(PacketType::Pubrec, 1),
        ack(PacketType::Pubrel, 1),
        ack(PacketType::Pubcomp, 1),
        suback(1, &codes),
        unsuback(1, &codes),
        Packet::Pingresp,
        auth,
    ] {
        let mut bed = Bed::<F>::new();
        bed.open();
        bed.feed(&packet);
        let violation = match packet {
            Packet::Auth(_) => Violation::UnexpectedAuthentication,
            packet => Violation::UnexpectedPacket(packet.packet_type()),
        };
        bed.expect_end(Some(0x82), DisconnectCause::Violation(violation));
    }
}

/// [MQTT-3.14.0-1], D29: told with the server's own code and words, also of one that is undefined, and nothing is written.
fn disconnect_before_connack_is_a_protocol_error<F: Face>() {
    let list = [
        Property::ReasonString("go"),
        Property::ServerReference("other"),
    ];
    let with_expiry = [list[0], list[1], Property::SessionExpiryInterval(0)];
    for properties in [&[][..], &list, &with_expiry] {
        let properties = Properties::new(properties).unwrap();
        for code in [0x00, 0x04, 0x82, 0x89, 0x9D, 0xFF] {
            let reason = ReasonCode::from(code);
            let mut bed = Bed::<F>::new();
            bed.open();
            bed.feed_bytes(&disconnect_bytes(code, properties));
            assert_eq!(bed.events(), []);
            assert!(bed.client.wants_close() && !bed.client.wants_read());
            bed.expect_sent(&[]);
            let violation = Violation::DisconnectBeforeConnack(reason);
            assert_eq!(violation.reason_code(), ReasonCode::PROTOCOL_ERROR);
            let cause = DisconnectCause::Violation(violation);
            let told = Told::Disconnected(cause, format!("{properties:?}"));
            assert_eq!(bed.close(), [told]);
        }
    }
}

/// As a server would write it that sends codes which no server may.
fn disconnect_bytes(code: u8, properties: Properties<'_>) -> Vec<u8> {
    let reason = ReasonCode::NORMAL_DISCONNECTION;
    let mut bytes = encode(&Packet::Disconnect(Disconnect { reason, properties }));
    if bytes.len() == 2 {
        return vec![0xE0, 1, code];
    }
    bytes[2] = code;
    bytes
}

/// [MQTT-3.2.0-2], HB-09: a refusal too.
fn hb_09_a_second_connack_is_a_protocol_error<F: Face>() {
    for reason in [0, 0x87] {
        let mut bed = Bed::<F>::connected();
        bed.feed(&connack(reason, Properties::EMPTY));
        let violation = Violation::UnexpectedPacket(PacketType::Connack);
        bed.expect_end(Some(0x82), DisconnectCause::Violation(violation));
    }
}

/// [MQTT-3.2.2-1], HB-05, HB-24: reserved flags, a missing property length, bytes after the end.
fn a_malformed_connack_is_answered<F: Face>() {
    for (bytes, kind) in [
        (&[0x20, 3, 2, 0, 0][..], DecodeErrorKind::ReservedBit),
        (&[0x20, 2, 0, 0], DecodeErrorKind::Truncated),
        (&[0x20, 4, 0, 0, 0, 0], DecodeErrorKind::TrailingBytes),
        (&[0x21, 3, 0, 0, 0], DecodeErrorKind::InvalidFlags),
        (&[0x00, 0], DecodeErrorKind::ReservedPacketType),
    ] {
        let mut bed = Bed::<F>::new();
        bed.open();
        bed.feed_bytes(bytes);
        bed.expect_end(Some(0x81), DisconnectCause::Violation(kind.into()));
    }
}
