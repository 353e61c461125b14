//! Any bytes as one packet.

use mqtt5_proto::packet::{Connect, Publish};
use mqtt5_proto::{Decoding, EncodeError, FixedHeader, Packet, Properties, Role, TopicName};

use crate::golden::{assert_survives, frame, lenient};
use crate::records;

/// Decodes the bytes as a packet, and also their tail as the content of a packet with their first byte; then as a record
/// and as a snapshot of a session.
///
/// Nothing panics; an error is inside the input; what is taken can be sent again, in no more bytes, and means the same.
pub fn decode(data: &[u8]) {
    check(data);
    if let Some((first, content)) = data.split_first() {
        check(&frame(*first, content));
    }
    records::check(data);
}

fn check(bytes: &[u8]) {
    for decoding in decodings() {
        let header = FixedHeader::parse(bytes, &decoding);
        match Packet::decode(bytes, &decoding) {
            Ok(packet) => {
                let header = header.unwrap().unwrap();
                assert_eq!(header.total_len(), bytes.len());
                assert_eq!(header.packet_type, packet.packet_type());
                assert_survives(&packet, &decoding, bytes);
                assert!(!format!("{packet:?}").is_empty());
                look_at(&packet);
                // Lenient takes all that strict takes, for the same.
                let tolerant = Packet::decode(bytes, &lenient(decoding));
                assert_eq!(tolerant, Ok(packet));
            }
            Err(error) => {
                assert!(error.offset <= bytes.len(), "{error:?}");
                assert!(error.reason_code().is_error());
                assert!(!error.to_string().is_empty());
                if let Err(early) = header {
                    assert_eq!(early, error, "the header alone says otherwise");
                }
            }
        }
    }
}

/// Strict and lenient, from both sides.
pub(crate) fn decodings() -> [Decoding; 4] {
    let [client, server] = [Role::Client, Role::Server].map(Decoding::new);
    [client, server, lenient(client), lenient(server)]
}

/// What is decoded keeps its promises when it is read.
fn look_at(packet: &Packet<'_>) {
    match packet {
        Packet::Connect(Connect {
            will, properties, ..
        }) => {
            if let Some(will) = will {
                assert!(TopicName::new(will.topic.as_str()).is_ok());
                check_properties(&will.properties);
            }
            check_properties(properties);
        }
        Packet::Publish(Publish {
            topic, properties, ..
        }) => {
            assert!(topic.is_some() || properties.topic_alias().is_some());
            assert!(topic.is_none_or(|topic| TopicName::new(topic.as_str()).is_ok()));
            check_properties(properties);
        }
        Packet::Connack(packet) => check_properties(&packet.properties),
        Packet::Puback(packet)
        | Packet::Pubrec(packet)
        | Packet::Pubrel(packet)
        | Packet::Pubcomp(packet) => check_properties(&packet.properties),
        Packet::Subscribe(packet) => {
            assert_eq!(packet.filters.iter().count(), packet.filters.len());
            check_properties(&packet.properties);
        }
        Packet::Unsubscribe(packet) => {
            assert_eq!(packet.filters.iter().count(), packet.filters.len());
            check_properties(&packet.properties);
        }
        Packet::Suback(packet) | Packet::Unsuback(packet) => {
            assert_eq!(packet.reasons.iter().count(), packet.reasons.len());
            check_properties(&packet.properties);
        }
        Packet::Disconnect(packet) => check_properties(&packet.properties),
        Packet::Auth(packet) => check_properties(&packet.properties),
        Packet::Pingreq | Packet::Pingresp => {}
    }
}

/// A property that may occur once occurs once; a list of the same properties is equal.
fn check_properties(properties: &Properties<'_>) {
    let list: Vec<_> = properties.iter().collect();
    assert_eq!(list.is_empty(), properties.is_empty());
    assert_eq!(
        properties.user_properties().count(),
        list.iter().filter(|p| p.identifier() == 0x26).count()
    );
    assert_eq!(
        properties.subscription_identifiers().count(),
        list.iter().filter(|p| p.identifier() == 0x0B).count()
    );
    match Properties::new(&list) {
        Ok(built) => assert_eq!(built, *properties),
        // Payload Format Indicator and Response Topic are handed over and passed on as they came.
        Err(error) => assert!(
            matches!(error, EncodeError::InvalidPropertyValue(0x01 | 0x08)),
            "{error:?} {list:?}"
        ),
    }
}
