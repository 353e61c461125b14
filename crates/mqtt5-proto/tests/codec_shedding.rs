//! What is left out of a packet that would be larger than its receiver accepts [MQTT-3.14.2-3] and siblings.

use mqtt5_proto::packet::{
    Acknowledgement, Auth, Connack, Disconnect, List, Publish, Subscribe, SubscribeAcknowledgement,
    SubscribeFilter,
};
use mqtt5_proto::{
    Decoding, EncodeError, Packet, PacketId, Properties, Property, ProtocolVersion, QoS,
    ReasonCode, Role, TopicFilter, TopicName,
};

const V5: ProtocolVersion = ProtocolVersion::V5;
const REASON: Property<'static> = Property::ReasonString("why");
const USER: Property<'static> = Property::UserProperty("name", "value");
const SUCCESS: [ReasonCode; 1] = [ReasonCode::SUCCESS];

/// Every packet that explains a result, with these properties.
fn explaining(properties: Properties<'_>) -> [Packet<'_>; 9] {
    let packet_id = PacketId::new(1).unwrap();
    let body = Acknowledgement {
        packet_id,
        reason: ReasonCode::SUCCESS,
        properties,
    };
    let answer = SubscribeAcknowledgement {
        packet_id,
        properties,
        reasons: List::from(&SUCCESS[..]),
    };
    let reason = ReasonCode::SUCCESS;
    [
        Packet::Connack(Connack {
            session_present: false,
            reason,
            properties,
        }),
        Packet::Puback(body),
        Packet::Pubrec(body),
        Packet::Pubrel(body),
        Packet::Pubcomp(body),
        Packet::Suback(answer),
        Packet::Unsuback(answer),
        Packet::Disconnect(Disconnect { reason, properties }),
        Packet::Auth(Auth {
            reason: ReasonCode::CONTINUE_AUTHENTICATION,
            properties,
        }),
    ]
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = vec![0; packet.encoded_len(V5).unwrap()];
    packet.encode(V5, &mut bytes).unwrap();
    bytes
}

/// The packet that `maximum` leaves is this one, whether it is put together or was received.
#[track_caller]
fn leaves(packet: Packet<'_>, maximum: usize, expected: &Packet<'_>) {
    let expected = bytes(expected);
    let received = bytes(&packet);
    let server = [0x20, 0x90, 0xB0].contains(&(received[0] & 0xF0));
    let role = if server { Role::Server } else { Role::Client };
    let received = Packet::decode(&received, &Decoding::new(role)).unwrap();
    for packet in [packet, received] {
        let (shed, length) = packet.shed(V5, maximum).unwrap();
        assert_eq!(length, expected.len(), "{packet:?} {maximum}");
        assert_eq!(bytes(&shed), expected, "{packet:?} {maximum}");
    }
}

/// User Properties give way first, then the Reason String in their stead, then both; what is left fits exactly.
#[test]
fn the_least_is_left_out() {
    let (user, reason) = ([USER], [REASON]);
    let user_twice = [USER, USER];
    let both = [REASON, USER];
    let mixed = [USER, REASON, USER];
    let properties = |list| Properties::new(list).unwrap();
    let [none, only_user, only_reason, only_users] =
        [&[][..], &user, &reason, &user_twice].map(|list| explaining(properties(list)));
    let [both, mixed] = [&both[..], &mixed].map(|list| explaining(properties(list)));
    for kind in 0..none.len() {
        let len = |packet: &Packet<'_>| packet.encoded_len(V5).unwrap();
        for packet in [&both[kind], &mixed[kind]] {
            let full = len(packet);
            leaves(*packet, full, packet);
            leaves(*packet, usize::MAX, packet);
            leaves(*packet, full - 1, &only_reason[kind]);
            leaves(*packet, len(&only_reason[kind]), &only_reason[kind]);
            // What is smallest and still too large.
            leaves(*packet, len(&only_reason[kind]) - 1, &none[kind]);
            leaves(*packet, 0, &none[kind]);
        }
        leaves(only_users[kind], len(&only_users[kind]) - 1, &none[kind]);
        leaves(only_user[kind], len(&only_user[kind]), &only_user[kind]);
    }
}

/// A long Reason String goes, User Properties that fit stay.
#[test]
fn what_fits_stays() {
    let long = "x".repeat(100);
    let list = [Property::ReasonString(&long), USER];
    let kept = [USER];
    let packets = explaining(Properties::new(&list).unwrap());
    let expected = explaining(Properties::new(&kept).unwrap());
    for (packet, expected) in packets.into_iter().zip(&expected) {
        leaves(packet, 50, expected);
    }
}

/// Other properties are never left out.
#[test]
fn everything_else_stays() {
    let list = [
        Property::SessionExpiryInterval(7),
        REASON,
        Property::ServerReference("other"),
        USER,
    ];
    let kept = [list[0], list[2]];
    let reason = ReasonCode::SERVER_MOVED;
    let disconnect = |list| {
        let properties = Properties::new(list).unwrap();
        Packet::Disconnect(Disconnect { reason, properties })
    };
    leaves(disconnect(&list), 0, &disconnect(&kept));
    leaves(disconnect(&kept), 0, &disconnect(&kept));
}

/// In a PUBLISH or a SUBSCRIBE they are content.
#[test]
fn content_stays() {
    let list = [USER];
    let properties = Properties::new(&list).unwrap();
    let filters = [SubscribeFilter::new(
        TopicFilter::new("a").unwrap(),
        QoS::AtMostOnce,
    )];
    for packet in [
        Packet::Publish(Publish {
            delivery: mqtt5_proto::packet::Delivery::AtMostOnce,
            retain: false,
            topic: Some(TopicName::new("t").unwrap()),
            properties,
            payload: b"x",
        }),
        Packet::Subscribe(Subscribe {
            packet_id: PacketId::new(1).unwrap(),
            properties,
            filters: List::from(&filters[..]),
        }),
        Packet::Pingreq,
    ] {
        let length = packet.encoded_len(V5).unwrap();
        assert_eq!(packet.shed(V5, 1), Ok((packet, length)));
    }
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    let list = [Property::ContentType("x")];
    let properties = Properties::new(&list).unwrap();
    let reason = ReasonCode::SUCCESS;
    let packet = Packet::Disconnect(Disconnect { reason, properties });
    assert!(matches!(
        packet.shed(V5, 1),
        Err(EncodeError::PropertyNotAllowed(_))
    ));
}
