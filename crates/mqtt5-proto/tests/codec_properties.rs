//! Every property in every place, in every state (S163, HB-15 to HB-18): 27 identifiers × 14 places × {absent, valid,
//! duplicate, misplaced, bad value, truncated}, against table 2-4 as it stands in `golden/table.rs`.

mod golden;

use mqtt5_proto::packet::{
    Acknowledgement, Auth, Connack, Connect, Delivery, Disconnect, List, Publish, Subscribe,
    SubscribeAcknowledgement, SubscribeFilter, Unsubscribe, Will,
};
use mqtt5_proto::{
    DecodeError, Decoding, EncodeError, Packet, PacketId, PacketType, Place, Properties, Property,
    ProtocolVersion, QoS, ReasonCode, TopicFilter, TopicName,
};

use golden::blocks::{bad_samples, block, frame, may_repeat, pairs, samples};
use golden::table::{self, Line, PLACES, PROPERTIES};

const V5: ProtocolVersion = ProtocolVersion::V5;
const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
const RESPONSE_TOPIC: u8 = 0x08;
const USER_PROPERTY: u8 = 0x26;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const AUTHENTICATION_DATA: u8 = 0x16;
const TOPIC_ALIAS: u8 = 0x23;

#[test]
fn absent() {
    for place in PLACES {
        let frame = frame(place, &[]);
        let properties = decode(place, &frame).unwrap();
        assert!(properties.is_empty());
        assert_eq!(properties.iter().count(), 0);
        for line in &PROPERTIES {
            assert_eq!(
                get(&properties, line.id),
                None,
                "{:#04x} {place:?}",
                line.id
            );
        }
    }
}

/// A property where it belongs is read, given by its getter alone, and written again as it was.
#[test]
fn valid() {
    for (line, place) in pairs().filter(|(line, place)| line.places.contains(place)) {
        for (value, text) in samples(line.data) {
            let block = block(line, &[&value]);
            let frame = frame(place, &block);
            let properties = decode(place, &frame).unwrap();
            for other in &PROPERTIES {
                let method = line.id == AUTHENTICATION_DATA && other.id == 0x15;
                let expected = if other.id == line.id {
                    Some(text)
                } else {
                    method.then_some("\"m\"")
                };
                assert_eq!(
                    get(&properties, other.id).as_deref(),
                    expected,
                    "{:#04x}",
                    other.id
                );
            }
            let found = properties
                .iter()
                .find(|property| property.identifier() == line.id);
            let list: Vec<_> = properties.iter().collect();
            assert!(found.is_some());
            assert_eq!(
                encode(place, properties).unwrap(),
                frame,
                "{:#04x} {place:?}",
                line.id
            );
            let sent = Properties::new(&list);
            let forwarded_only = match line.id {
                PAYLOAD_FORMAT_INDICATOR => value[0] > 1,
                RESPONSE_TOPIC => value == [0, 0],
                _ => false,
            };
            if forwarded_only {
                assert_eq!(sent, Err(EncodeError::InvalidPropertyValue(line.id)));
                continue;
            }
            let sent = sent.unwrap();
            assert_eq!(
                encode(place, sent).unwrap(),
                frame,
                "{:#04x} {place:?}",
                line.id
            );
            assert_eq!(
                get(&sent, line.id).as_deref(),
                Some(text),
                "{:#04x}",
                line.id
            );
            assert_eq!(sent, properties);
        }
    }
}

/// HB-17: twice is a Protocol Error, except for User Property, and Subscription Identifier in PUBLISH.
#[test]
fn hb_17_duplicate() {
    for (line, place) in pairs().filter(|(line, place)| line.places.contains(place)) {
        let values = samples(line.data);
        let first = &values[0].0;
        for second in [first, &values[values.len() - 1].0] {
            let frame = frame(place, &block(line, &[first, second]));
            let result = decode(place, &frame);
            if may_repeat(line.id, place) {
                let repeated = result.unwrap();
                let count = repeated
                    .iter()
                    .filter(|p| p.identifier() == line.id)
                    .count();
                assert_eq!(count, 2, "{:#04x} {place:?}", line.id);
                assert_eq!(encode(place, repeated).unwrap(), frame);
            } else {
                let expected = format!("DuplicateProperty({})", line.id);
                assert_refused(result, 0x82, &expected, line, place);
            }
        }
    }
}

/// HB-16: a property that the packet does not have is malformed, whatever its value.
#[test]
fn hb_16_misplaced() {
    for (line, place) in pairs().filter(|(line, place)| !line.places.contains(place)) {
        let expected = format!("MisplacedProperty({})", line.id);
        let values = samples(line.data).into_iter().map(|(value, _)| value);
        for value in values.chain([vec![], vec![0xFF; 4]]) {
            let frame = frame(place, &[vec![line.id], value].concat());
            assert_refused(decode(place, &frame), 0x81, &expected, line, place);
        }
    }
}

/// HB-18, HB-19, HB-12, HB-01: a value of the type that is not allowed is a Protocol Error, one that is not of the type
/// is malformed.
#[test]
fn hb_18_bad_value() {
    for (line, place) in pairs().filter(|(line, place)| line.places.contains(place)) {
        for (value, malformed) in bad_samples(line.data) {
            let frame = frame(place, &block(line, &[&value]));
            let (code, expected) = match malformed {
                Some(kind) => (0x81, kind.to_string()),
                None if line.id == TOPIC_ALIAS => (0x94, "TopicAliasZero".to_string()),
                None => (0x82, format!("InvalidPropertyValue({})", line.id)),
            };
            assert_refused(decode(place, &frame), code, &expected, line, place);
        }
    }
}

/// HB-15, HB-11: a block that ends inside a property is malformed, whatever follows it.
#[test]
fn hb_15_truncated() {
    for (line, place) in pairs().filter(|(line, place)| line.places.contains(place)) {
        for (value, _) in samples(line.data) {
            let whole = block(line, &[&value]);
            for length in whole.len() - value.len()..whole.len() {
                let result = frame(place, &whole[..length]);
                assert_refused(decode(place, &result), 0x81, "Truncated", line, place);
            }
        }
    }
}

/// HB-16: identifiers that no table knows.
#[test]
fn hb_16_unknown() {
    let known: Vec<_> = PROPERTIES.iter().map(|line| u32::from(line.id)).collect();
    for place in PLACES {
        for number in (0..300).filter(|number| !known.contains(number)) {
            let identifier = match number {
                0..=0x7F => vec![number as u8],
                _ => vec![(number & 0x7F) as u8 | 0x80, (number >> 7) as u8],
            };
            let frame = frame(place, &[identifier, vec![0; 4]].concat());
            let error = decode(place, &frame).unwrap_err();
            assert_eq!(
                format!("{:?}", error.kind),
                format!("UnknownProperty({number})")
            );
            assert_eq!(error.reason_code(), ReasonCode::MALFORMED_PACKET);
        }
    }
}

/// The encoder keeps table 2-4 too, for what is built and for what was received elsewhere.
#[test]
fn encoder_refuses_what_is_misplaced() {
    for line in &PROPERTIES {
        let origin = line.places[0];
        let values = samples(line.data);
        let received = frame(origin, &block(line, &[&values[0].0]));
        let received = decode(origin, &received).unwrap();
        let list: Vec<_> = received.iter().collect();
        for properties in [received, Properties::new(&list).unwrap()] {
            for place in PLACES {
                // Authentication Data stands with its method, which belongs in the same places.
                let expected = match place {
                    _ if line.places.contains(&place) => Ok(()),
                    Place::Will => Err(EncodeError::WillPropertyNotAllowed),
                    Place::Packet(packet) => Err(EncodeError::PropertyNotAllowed(packet)),
                };
                let result = encode(place, properties).map(drop);
                assert_eq!(result, expected, "{:#04x} {place:?}", line.id);
            }
        }
    }
}

/// The encoder keeps the rule of HB-17 too.
#[test]
fn encoder_refuses_duplicates() {
    for line in &PROPERTIES {
        let place = line.places[0];
        let values = samples(line.data);
        let frame = frame(place, &block(line, &[&values[0].0]));
        let once: Vec<_> = decode(place, &frame).unwrap().iter().collect();
        let twice = [&once[..], &once[once.len() - 1..]].concat();
        match Properties::new(&twice) {
            Ok(properties) => {
                assert!([USER_PROPERTY, SUBSCRIPTION_IDENTIFIER].contains(&line.id));
                assert!(encode(place, properties).is_ok());
            }
            Err(error) => assert_eq!(error, EncodeError::DuplicateProperty(line.id)),
        }
    }
    let twice = [
        Property::SubscriptionIdentifier(1),
        Property::SubscriptionIdentifier(2),
    ];
    let list = Properties::new(&twice).unwrap();
    let publish = Place::Packet(PacketType::Publish);
    let frame = encode(publish, list).unwrap();
    for properties in [list, decode(publish, &frame).unwrap()] {
        assert_eq!(
            encode(Place::Packet(PacketType::Subscribe), properties),
            Err(EncodeError::DuplicateProperty(SUBSCRIPTION_IDENTIFIER))
        );
    }
}

/// The encoder sends no value that a receiver has to refuse, and none that only an application may send on (E17).
#[test]
fn encoder_refuses_bad_values() {
    let long = "a".repeat(65_536);
    let bad = [
        (Property::PayloadFormatIndicator(2), None),
        (Property::ResponseTopic(""), None),
        (Property::ResponseTopic("a/+"), None),
        (Property::ResponseTopic("#"), None),
        (Property::SubscriptionIdentifier(0), None),
        (Property::SubscriptionIdentifier(268_435_456), None),
        (Property::SubscriptionIdentifier(u32::MAX), None),
        (Property::ReceiveMaximum(0), None),
        (Property::TopicAlias(0), None),
        (Property::MaximumQoS(2), None),
        (Property::MaximumPacketSize(0), None),
        (
            Property::ResponseTopic("a\0b"),
            Some(EncodeError::NulCharacter),
        ),
        (Property::ContentType("\0"), Some(EncodeError::NulCharacter)),
        (
            Property::UserProperty("a\0", ""),
            Some(EncodeError::NulCharacter),
        ),
        (
            Property::UserProperty("", "\0"),
            Some(EncodeError::NulCharacter),
        ),
        (
            Property::ReasonString(&long),
            Some(EncodeError::FieldTooLong),
        ),
        (
            Property::UserProperty(&long, ""),
            Some(EncodeError::FieldTooLong),
        ),
        (
            Property::UserProperty("", &long),
            Some(EncodeError::FieldTooLong),
        ),
        (
            Property::CorrelationData(long.as_bytes()),
            Some(EncodeError::FieldTooLong),
        ),
        (
            Property::AuthenticationData(long.as_bytes()),
            Some(EncodeError::FieldTooLong),
        ),
    ];
    for (property, error) in bad {
        let expected =
            error.unwrap_or_else(|| EncodeError::InvalidPropertyValue(property.identifier()));
        assert_eq!(Properties::new(&[property]), Err(expected));
        #[cfg(feature = "alloc")]
        {
            let mut buffer = mqtt5_proto::PropertyBuffer::new();
            assert_eq!(buffer.push(property).map(drop), Err(expected));
            assert!(buffer.is_empty());
        }
    }
    let longest = "a".repeat(65_535);
    let list = [Property::UserProperty(&longest, &longest)];
    assert!(Properties::new(&list).is_ok());
}

fn assert_refused(
    result: Result<Properties<'_>, DecodeError>,
    code: u8,
    kind: &str,
    line: &Line,
    place: Place,
) {
    let error = result.expect_err(&format!("{:#04x} {place:?}", line.id));
    assert_eq!(
        format!("{:?}", error.kind),
        kind,
        "{:#04x} {place:?}",
        line.id
    );
    assert_eq!(
        error.reason_code().value(),
        code,
        "{:#04x} {place:?}",
        line.id
    );
}

fn decode(place: Place, frame: &[u8]) -> Result<Properties<'_>, DecodeError> {
    let packet = Packet::decode(frame, &Decoding::new(table::sender(place)))?;
    Ok(match packet {
        Packet::Connect(packet) if place == Place::Will => packet.will.unwrap().properties,
        Packet::Connect(packet) => packet.properties,
        Packet::Connack(packet) => packet.properties,
        Packet::Publish(packet) => packet.properties,
        Packet::Puback(packet)
        | Packet::Pubrec(packet)
        | Packet::Pubrel(packet)
        | Packet::Pubcomp(packet) => packet.properties,
        Packet::Subscribe(packet) => packet.properties,
        Packet::Suback(packet) | Packet::Unsuback(packet) => packet.properties,
        Packet::Unsubscribe(packet) => packet.properties,
        Packet::Disconnect(packet) => packet.properties,
        Packet::Auth(packet) => packet.properties,
        Packet::Pingreq | Packet::Pingresp => panic!("a ping has no properties"),
    })
}

/// The packet of [`frame`] with these properties.
fn encode(place: Place, properties: Properties<'_>) -> Result<Vec<u8>, EncodeError> {
    let packet_id = PacketId::new(1).unwrap();
    let filter = TopicFilter::new("f").unwrap();
    let subscription = [SubscribeFilter::new(filter, QoS::AtMostOnce)];
    let filters = [filter];
    let reasons = [ReasonCode::SUCCESS];
    let connect = Connect {
        keep_alive: 0,
        ..Connect::new("c")
    };
    let acknowledgement = |reason| Acknowledgement {
        properties,
        ..Acknowledgement::new(packet_id, reason)
    };
    let answer = SubscribeAcknowledgement {
        packet_id,
        properties,
        reasons: List::from(&reasons[..]),
    };
    let packet = match place {
        Place::Will => Packet::Connect(Connect {
            will: Some(Will {
                properties,
                ..Will::new(TopicName::new("w").unwrap(), b"")
            }),
            ..connect
        }),
        Place::Packet(PacketType::Connect) => Packet::Connect(Connect {
            properties,
            ..connect
        }),
        Place::Packet(PacketType::Connack) => Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties,
        }),
        Place::Packet(PacketType::Publish) => Packet::Publish(Publish {
            delivery: Delivery::AtLeastOnce {
                id: packet_id,
                dup: false,
            },
            retain: false,
            topic: Some(TopicName::new("t").unwrap()),
            properties,
            payload: b"payload",
        }),
        Place::Packet(PacketType::Puback) => {
            Packet::Puback(acknowledgement(ReasonCode::UNSPECIFIED_ERROR))
        }
        Place::Packet(PacketType::Pubrec) => {
            Packet::Pubrec(acknowledgement(ReasonCode::UNSPECIFIED_ERROR))
        }
        Place::Packet(PacketType::Pubrel) => {
            Packet::Pubrel(acknowledgement(ReasonCode::PACKET_IDENTIFIER_NOT_FOUND))
        }
        Place::Packet(PacketType::Pubcomp) => {
            Packet::Pubcomp(acknowledgement(ReasonCode::PACKET_IDENTIFIER_NOT_FOUND))
        }
        Place::Packet(PacketType::Subscribe) => Packet::Subscribe(Subscribe {
            packet_id,
            properties,
            filters: List::from(&subscription[..]),
        }),
        Place::Packet(PacketType::Suback) => Packet::Suback(answer),
        Place::Packet(PacketType::Unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            packet_id,
            properties,
            filters: List::from(&filters[..]),
        }),
        Place::Packet(PacketType::Unsuback) => Packet::Unsuback(answer),
        Place::Packet(PacketType::Disconnect) => Packet::Disconnect(Disconnect {
            properties,
            ..Disconnect::new(ReasonCode::UNSPECIFIED_ERROR)
        }),
        Place::Packet(PacketType::Auth) => Packet::Auth(Auth {
            reason: ReasonCode::CONTINUE_AUTHENTICATION,
            properties,
        }),
        Place::Packet(other) => panic!("{other} has no properties"),
    };
    let mut buffer = vec![0; 256];
    let length = packet.encode(V5, &mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// What the getter of this property gives, as `Debug` prints it; flags as the byte on the wire.
fn get(properties: &Properties<'_>, identifier: u8) -> Option<String> {
    fn show(value: Option<impl std::fmt::Debug>) -> Option<String> {
        value.map(|value| format!("{value:?}"))
    }
    let flag = |value: Option<bool>| show(value.map(u8::from));
    match identifier {
        0x01 => show(properties.payload_format_indicator()),
        0x02 => show(properties.message_expiry_interval()),
        0x03 => show(properties.content_type()),
        0x08 => show(properties.response_topic()),
        0x09 => show(properties.correlation_data()),
        0x0B => {
            let first = properties.subscription_identifiers().next();
            assert_eq!(first, properties.subscription_identifier());
            show(first)
        }
        0x11 => show(properties.session_expiry_interval()),
        0x12 => show(properties.assigned_client_identifier()),
        0x13 => show(properties.server_keep_alive()),
        0x15 => show(properties.authentication_method()),
        0x16 => show(properties.authentication_data()),
        0x17 => flag(properties.request_problem_information()),
        0x18 => show(properties.will_delay_interval()),
        0x19 => flag(properties.request_response_information()),
        0x1A => show(properties.response_information()),
        0x1C => show(properties.server_reference()),
        0x1F => show(properties.reason_string()),
        0x21 => show(properties.receive_maximum()),
        0x22 => show(properties.topic_alias_maximum()),
        0x23 => show(properties.topic_alias()),
        0x24 => show(properties.maximum_qos()),
        0x25 => flag(properties.retain_available()),
        0x26 => show(properties.user_properties().next()),
        0x27 => show(properties.maximum_packet_size()),
        0x28 => flag(properties.wildcard_subscription_available()),
        0x29 => flag(properties.subscription_identifier_available()),
        0x2A => flag(properties.shared_subscription_available()),
        other => panic!("no property {other:#04x}"),
    }
}
