//! Messages that were made, not received.
#![cfg(feature = "alloc")]

use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{EncodeError, Message, PacketId, Properties, Property, QoS, TopicName};

fn publish<'a>(properties: Properties<'a>) -> Publish<'a> {
    Publish {
        delivery: Delivery::ExactlyOnce {
            id: PacketId::new(7).expect("not zero"),
            dup: true,
        },
        retain: true,
        topic: Some(TopicName::new("a/b").expect("valid")),
        properties,
        payload: b"22.5",
    }
}

#[test]
fn a_message_can_be_made_from_a_packet() {
    let list = [
        Property::SubscriptionIdentifier(3),
        Property::ResponseTopic("r"),
        Property::UserProperty("k", "v"),
    ];
    let message = Message::try_from(&publish(Properties::new(&list).expect("valid")));
    let message = message.expect("can be encoded");
    assert_eq!((message.topic(), message.payload()), ("a/b", &b"22.5"[..]));
    assert!(message.retain() && message.delivery().dup());
    assert_eq!(message.qos(), QoS::ExactlyOnce);
    assert_eq!(message.packet_id(), PacketId::new(7));
    assert_eq!(message.properties().response_topic(), Some("r"));
    assert_eq!(message.properties().iter().count(), 3);
}

#[test]
fn what_cannot_be_encoded_makes_no_message() {
    let list = [Property::ReceiveMaximum(1)];
    let wrong = publish(Properties::new(&list).expect("a property"));
    assert!(Message::try_from(&wrong).is_err());
    let list = [Property::TopicAlias(1)];
    let alias = Properties::new(&list).expect("valid");
    let without = Publish {
        topic: None,
        ..publish(alias)
    };
    assert_eq!(
        Message::try_from(&without).err(),
        Some(EncodeError::NoTopic)
    );
}
