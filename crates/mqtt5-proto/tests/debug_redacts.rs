//! Secrets and payloads are in no `Debug` output (E12).

use mqtt5_proto::packet::{Auth, Connect, Publish, Will};
use mqtt5_proto::{
    Authenticate, Outbound, Packet, Payload, Properties, Property, QoS, ReasonCode, TopicName,
};

const SECRET: &str = "s3cret";

#[track_caller]
fn hidden(value: &dyn core::fmt::Debug) {
    let bytes = format!("{:?}", SECRET.as_bytes());
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        let numbers: String = text.split_whitespace().collect();
        let plain = bytes.replace(' ', "");
        let plain = plain.trim_matches(['[', ']']);
        assert!(!text.contains(SECRET) && !numbers.contains(plain), "{text}");
    }
}

#[test]
fn of_values_and_packets() {
    let data = Property::AuthenticationData(SECRET.as_bytes());
    hidden(&data);
    assert_eq!(format!("{data:?}"), "AuthenticationData(6 bytes)");
    assert_eq!(
        format!("{:?}", Property::UserProperty("a", "b")),
        r#"UserProperty("a", "b")"#
    );
    let list = [Property::AuthenticationMethod("m"), data];
    hidden(&list);
    let properties = Properties::new(&list).unwrap();
    hidden(&properties);
    hidden(&properties.iter());
    let topic = TopicName::new("t").unwrap();
    let will = Will::new(topic, SECRET.as_bytes());
    let connect = Connect {
        properties,
        will: Some(will),
        password: Some(SECRET.as_bytes()),
        ..Connect::new("me")
    };
    hidden(&Packet::Connect(connect));
    let reason = ReasonCode::CONTINUE_AUTHENTICATION;
    hidden(&Packet::Auth(Auth { reason, properties }));
    hidden(&Authenticate::Continue(SECRET.as_bytes()));
    hidden(&Payload::from(SECRET));
    hidden(&Outbound::new(topic, QoS::AtMostOnce, SECRET));
    hidden(&Packet::Publish(Publish {
        delivery: mqtt5_proto::packet::Delivery::AtMostOnce,
        retain: false,
        topic: Some(topic),
        properties: Properties::EMPTY,
        payload: SECRET.as_bytes(),
    }));
}

#[cfg(feature = "alloc")]
#[test]
fn of_buffers() {
    use mqtt5_proto::{Client, Config, Incoming, Instant, Outgoing, PropertyBuffer};

    let mut buffer = PropertyBuffer::new();
    buffer
        .push(Property::AuthenticationData(SECRET.as_bytes()))
        .unwrap();
    hidden(&buffer);

    let mut client = Client::new(Config::default());
    let connect = Connect {
        password: Some(SECRET.as_bytes()),
        ..Connect::new("me")
    };
    client.connect(Instant::ZERO, &connect).unwrap();
    hidden(&client);
    let mut outgoing = Outgoing::new();
    client.take_outgoing(&mut outgoing);
    assert!(outgoing.first().ends_with(SECRET.as_bytes()));
    hidden(&outgoing);

    let mut incoming = Incoming::new();
    incoming.space()[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    incoming.filled(SECRET.len());
    hidden(&incoming);
}

/// That the test would see it.
#[test]
#[should_panic = "s3cret"]
fn what_is_not_hidden_is_found() {
    hidden(&Property::ReasonString(SECRET));
}

#[test]
#[should_panic = "115"]
fn bytes_that_are_not_hidden_are_found() {
    hidden(&[1, 115, 51, 99, 114, 101, 116]);
}
