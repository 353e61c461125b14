//! What the packets of the client do not hold, and what it does not read (3.2.2, 3.4 to 3.15).

mod machine;

use mqtt5_proto::packet::{Auth, Disconnect, List, SubscribeAcknowledgement};
use mqtt5_proto::{
    Authenticate, DisconnectCause, DisconnectReason, Packet, PacketType, Properties, Property, QoS,
    ReasonCode, Refused, RejectReason,
};

use machine::packets::{ack_with, id, publish};
use machine::{Bed, Face, LIMITS, Told, every_storage};

use PacketType::{Puback, Pubcomp, Pubrec, Pubrel};
use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    acknowledgements_have_no_optional_properties,
    disconnect_is_never_too_large_for_its_properties,
    auth_has_no_optional_properties,
    auth_that_is_too_large,
    reason_strings_change_nothing,
    codes_of_refusals_are_told,
);

/// [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2],
/// [MQTT-3.7.2-3]: neither Reason String nor User Property leaves in them, so that none is too large for it, whatever the
/// server's Maximum Packet Size, and whatever the packets that they answer carried.
fn acknowledgements_have_no_optional_properties<F: Face>() {
    let list = [
        Property::ReasonString("a reason"),
        Property::UserProperty("name", "value"),
    ];
    let properties = Properties::new(&list).unwrap();
    // The longest of them has five bytes.
    for limit in [5, 6, 20, 1_000] {
        let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(limit)]);
        let sent = |bed: &mut Bed<F>, expected: &[u8]| {
            assert_eq!(bed.sent_bytes(), expected, "at most {limit} bytes");
        };
        let token = bed.token(&publish(AtLeastOnce, 1, "x"));
        bed.ack(token);
        sent(&mut bed, &[0x40, 2, 0, 1]);
        let token = bed.token(&publish(AtLeastOnce, 1, "x"));
        bed.client
            .reject(bed.now, token, RejectReason::QuotaExceeded);
        sent(&mut bed, &[0x40, 3, 0, 1, 0x97]);
        let token = bed.token(&publish(ExactlyOnce, 1, "x"));
        bed.client
            .reject(bed.now, token, RejectReason::NotAuthorized);
        sent(&mut bed, &[0x50, 3, 0, 1, 0x87]);
        let token = bed.token(&publish(ExactlyOnce, 1, "x"));
        bed.ack(token);
        sent(&mut bed, &[0x50, 2, 0, 1]);
        bed.tell(&ack_with(Pubrel, 1, 0, properties));
        sent(&mut bed, &[0x70, 2, 0, 1]);
        bed.tell(&ack_with(Pubrel, 9, 0, properties));
        sent(&mut bed, &[0x70, 3, 0, 9, 0x92]);
        bed.tell(&ack_with(Pubrec, 9, 0, properties));
        sent(&mut bed, &[0x62, 3, 0, 9, 0x92]);
    }
    let mut bed = Bed::<F>::connected();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    bed.tell(&ack_with(Pubrec, 1, 0, properties));
    assert_eq!(bed.sent_bytes(), [0x62, 2, 0, 1]);
}

/// [MQTT-3.14.2-3], [MQTT-3.14.2-4]: either property, one byte too many; what fits leaves whole.
fn disconnect_is_never_too_large_for_its_properties<F: Face>() {
    let normal = DisconnectReason::Normal;
    for property in [
        Property::UserProperty("name", "value"),
        Property::ReasonString("a reason"),
    ] {
        let list = [property];
        let properties = Properties::new(&list).unwrap();
        let packet = Packet::Disconnect(Disconnect {
            reason: ReasonCode::NORMAL_DISCONNECTION,
            properties,
        });
        let length = machine::packets::encode(&packet).len();
        for missing in [0, 1] {
            let limit = u32::try_from(length - missing).unwrap();
            let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(limit)]);
            let result = bed.client.disconnect(bed.now, normal, properties);
            if missing == 0 {
                assert_eq!(result, Ok(()));
                bed.expect_sent(&[packet]);
                continue;
            }
            // Whether the caller is asked to leave them out or not, they do not leave.
            if result.is_err() {
                bed.expect_sent(&[]);
                let plain = bed.client.disconnect(bed.now, normal, Properties::EMPTY);
                assert_eq!(plain, Ok(()));
            }
            bed.expect_end(Some(0), DisconnectCause::Requested);
        }
    }
}

const METHOD: Property<'static> = Property::AuthenticationMethod("m");

fn authenticated<F: Face>(connack: &[Property<'_>]) -> Bed<F> {
    let mut bed = Bed::<F>::new();
    bed.open_with(&[LIMITS[0], LIMITS[1], METHOD], 60);
    bed.accept(connack);
    bed
}

fn auth<'a>(reason: u8, list: &'a [Property<'a>]) -> Packet<'a> {
    Packet::Auth(Auth {
        reason: ReasonCode::from(reason),
        properties: Properties::new(list).unwrap(),
    })
}

/// [MQTT-3.15.2-2], [MQTT-3.15.2-3]: AUTH leaves with its method and data alone.
fn auth_has_no_optional_properties<F: Face>() {
    let theirs = [
        METHOD,
        Property::ReasonString("a reason"),
        Property::UserProperty("name", "value"),
    ];
    let ours = [METHOD, Property::AuthenticationData(b"x")];
    let mut bed = authenticated::<F>(&[METHOD]);
    bed.client.reauthenticate(bed.now, None).unwrap();
    bed.expect_sent(&[auth(0x19, &ours[..1])]);
    for _ in 0..2 {
        assert_eq!(bed.tell(&auth(0x18, &theirs)).len(), 1);
        let step = Authenticate::Continue(b"x");
        bed.client.authenticate(bed.now, step).unwrap();
        bed.expect_sent(&[auth(0x18, &ours)]);
    }
}

/// [MQTT-3.2.2-15] for AUTH, whose data cannot be left out.
fn auth_that_is_too_large<F: Face>() {
    let data = [b'x'; 30];
    let list = [METHOD, Property::AuthenticationData(&data)];
    let length = machine::packets::encode(&auth(0x19, &list)).len();
    for missing in [0, 1] {
        let maximum = length - missing;
        let limit = Property::MaximumPacketSize(u32::try_from(maximum).unwrap());
        let mut bed = authenticated::<F>(&[METHOD, limit]);
        let result = bed.client.reauthenticate(bed.now, Some(&data));
        if missing == 0 {
            assert!(result.is_ok());
            bed.expect_sent(&[auth(0x19, &list)]);
        } else {
            assert_eq!(result, Err(Refused::TooLarge { length, maximum }));
            bed.expect_sent(&[]);
        }
    }
}

/// What happens when the server answers everything with this Reason String: the events but for its text, and the bytes.
fn conversation<F: Face>(reason: Option<&str>) -> (Vec<String>, Vec<u8>) {
    let with = |list: &[Property<'static>]| {
        let reason = reason.map(|text| Property::ReasonString(Box::leak(text.into())));
        let list: Vec<_> = list.iter().copied().chain(reason).collect();
        Properties::new(Box::leak(list.into_boxed_slice())).unwrap()
    };
    let plain = with(&[]);
    let codes = [ReasonCode::SUCCESS];
    let request = |packet_id| SubscribeAcknowledgement {
        packet_id: id(packet_id),
        properties: plain,
        reasons: List::from(&codes[..]),
    };
    let mut bed = Bed::<F>::new();
    bed.open_with(&[LIMITS[0], LIMITS[1], METHOD], 60);
    let mut told = bed.tell(&Packet::Connack(mqtt5_proto::packet::Connack {
        session_present: false,
        reason: ReasonCode::SUCCESS,
        properties: with(&[METHOD]),
    }));
    bed.publish(AtLeastOnce, "1").unwrap();
    bed.publish(AtLeastOnce, "2").unwrap();
    bed.publish(ExactlyOnce, "3").unwrap();
    bed.subscribe(&["a"]).unwrap();
    bed.unsubscribe(&["a"]).unwrap();
    bed.client.reauthenticate(bed.now, None).unwrap();
    let token = bed.token(&publish(ExactlyOnce, 7, "x"));
    bed.ack(token);
    for packet in [
        ack_with(Puback, 1, 0x00, plain),
        ack_with(Puback, 2, 0x97, plain),
        ack_with(Pubrec, 3, 0x00, plain),
        ack_with(Pubcomp, 3, 0x00, plain),
        ack_with(Pubrel, 7, 0x00, plain),
        Packet::Suback(request(4)),
        Packet::Unsuback(request(5)),
        Packet::Auth(Auth {
            reason: ReasonCode::SUCCESS,
            properties: with(&[METHOD]),
        }),
    ] {
        told.extend(bed.tell(&packet));
    }
    bed.publish(AtMostOnce, "last").unwrap();
    let sent = bed.sent_bytes();
    told.extend(bed.tell(&Packet::Disconnect(Disconnect {
        reason: ReasonCode::SERVER_SHUTTING_DOWN,
        properties: plain,
    })));
    assert_eq!(bed.sent_bytes(), []);
    told.extend(bed.close());
    // In the print of an event its properties are a string, with the quotes of that.
    let reason = format!(r#"ReasonString(\"{}\")"#, reason.unwrap_or_default());
    let print = |told: &Told| format!("{told:?}").replace(&reason, "ReasonString");
    (told.iter().map(print).collect(), sent)
}

/// 3.2.2.3.9 and the like: whatever it says, it is told and nothing else; the client does what it does without it.
fn reason_strings_change_nothing<F: Face>() {
    let (_, expected_bytes) = conversation::<F>(None);
    let (expected_events, _) = conversation::<F>(Some("x"));
    assert_eq!(expected_events.len(), 8);
    for reason in [
        "",
        "0x97",
        "Success",
        "Not authorized, try again in 60 s",
        "Use another server: other.example:1883",
    ] {
        let (events, bytes) = conversation::<F>(Some(reason));
        assert_eq!(events, expected_events);
        assert_eq!(bytes, expected_bytes, "{reason}");
    }
}

/// [MQTT-3.1.2-2], [MQTT-3.1.3-8], [MQTT-3.2.2-12], [MQTT-3.2.2-13], [MQTT-4.12.0-1]: a CONNECT that a server cannot take is
/// answered with the code that says why, and the application is told that code.
fn codes_of_refusals_are_told<F: Face>() {
    for (code, name) in [
        (0x81, "Malformed Packet"),
        (0x82, "Protocol Error"),
        (0x84, "Unsupported Protocol Version"),
        (0x85, "Client Identifier not valid"),
        (0x8C, "Bad authentication method"),
        (0x90, "Topic Name invalid"),
        (0x9A, "Retain not supported"),
        (0x9B, "QoS not supported"),
    ] {
        let mut bed = Bed::<F>::new();
        bed.open();
        bed.feed_bytes(&[0x20, 3, 0, code, 0]);
        let reason = ReasonCode::from(code);
        assert_eq!(reason.name(), name);
        bed.expect_end(None, DisconnectCause::Refused(reason));
    }
}
