//! CONNECT as the machine sends it, and what it refuses to connect with (3.1).

mod machine;

use mqtt5_proto::packet::{Connect, Will};
use mqtt5_proto::{
    DisconnectReason, EncodeError, Outbound, Properties, Property, QoS, Refused, State,
    TopicFilter, TopicName,
};

use machine::{Bed, Face, LIMITS, every_storage};

every_storage!(
    connect_with_everything_is_byte_for_byte,
    smallest_connect_is_byte_for_byte,
    connect_is_the_first_packet,
    commands_need_an_accepted_connection,
    a_second_connect_is_refused,
    what_the_machine_does_not_offer_is_refused,
    a_connect_that_cannot_be_encoded_is_refused,
    new_machine_is_idle,
);

/// [MQTT-3.1.3-1], [MQTT-3.1.2-9], [MQTT-3.1.2-17], [MQTT-3.1.2-19]: all options, all properties, all properties of the
/// will, each at its place. T140.
fn connect_with_everything_is_byte_for_byte<F: Face>() {
    let properties = [
        Property::SessionExpiryInterval(300),
        Property::ReceiveMaximum(8),
        Property::MaximumPacketSize(16_384),
        Property::RequestResponseInformation(true),
        Property::RequestProblemInformation(false),
        Property::UserProperty("k", "v"),
    ];
    let will = [
        Property::WillDelayInterval(5),
        Property::PayloadFormatIndicator(1),
        Property::MessageExpiryInterval(60),
        Property::ContentType("text"),
        Property::ResponseTopic("r"),
        Property::CorrelationData(&[1, 2]),
        Property::UserProperty("a", "b"),
    ];
    let connect = Connect {
        clean_start: false,
        keep_alive: 10,
        client_id: "me",
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: TopicName::new("w").unwrap(),
            payload: b"gone",
            properties: Properties::new(&will).unwrap(),
        }),
        username: Some("u"),
        password: Some(b"p"),
        properties: Properties::new(&properties).unwrap(),
    };
    let mut bed = Bed::<F>::new();
    bed.client.connect(bed.now, &connect).unwrap();
    let mut expected = b"\x10\x5A\x00\x04MQTT\x05\xEC\x00\x0A".to_vec();
    expected.extend(b"\x18\x11\x00\x00\x01\x2C\x21\x00\x08\x27\x00\x00\x40\x00\x19\x01\x17\x00");
    expected.extend(b"\x26\x00\x01k\x00\x01v\x00\x02me");
    expected.extend(b"\x23\x18\x00\x00\x00\x05\x01\x01\x02\x00\x00\x00\x3C\x03\x00\x04text");
    expected.extend(b"\x08\x00\x01r\x09\x00\x02\x01\x02\x26\x00\x01a\x00\x01b");
    expected.extend(b"\x00\x01w\x00\x04gone\x00\x01u\x00\x01p");
    assert_eq!(bed.sent_bytes(), expected);
}

/// [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-16], [MQTT-3.1.2-18], [MQTT-3.1.3-3]: without will and credentials
/// their flags are 0.
fn smallest_connect_is_byte_for_byte<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.open_with(&LIMITS, 0);
    let connect = Connect {
        keep_alive: 0,
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("")
    };
    let mut bed = Bed::<F>::new();
    bed.client.connect(bed.now, &connect).unwrap();
    assert_eq!(
        bed.sent_bytes(),
        b"\x10\x15\x00\x04MQTT\x05\x02\x00\x00\x08\x21\x00\x08\x27\x00\x00\x40\x00\x00\x00"
    );
}

/// [MQTT-3.1.0-1]: nothing is sent before CONNECT, and nothing but it until CONNACK.
fn connect_is_the_first_packet<F: Face>() {
    let mut bed = Bed::<F>::new();
    assert!(bed.events().is_empty());
    bed.expect_sent(&[]);
    assert!(!bed.client.wants_read());
    bed.open();
    assert!(bed.client.wants_read() && !bed.client.wants_close());
    assert!(bed.events().is_empty());
    bed.expect_sent(&[]);
}

/// Until CONNACK accepts, commands are refused and change nothing; the machine asks its engine to wait.
fn commands_need_an_accepted_connection<F: Face>() {
    let mut bed = Bed::<F>::new();
    refuse_everything(&mut bed);
    let normal = DisconnectReason::Normal;
    let refused = bed.client.disconnect(bed.now, normal, Properties::EMPTY);
    assert_eq!(refused, Err(Refused::NotConnected));
    bed.open();
    refuse_everything(&mut bed);
}

fn refuse_everything<F: Face>(bed: &mut Bed<F>) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let refused = bed.publish(qos, "x");
        assert_eq!(refused, Err(Refused::NotConnected));
    }
    assert_eq!(bed.subscribe(&["a"]), Err(Refused::NotConnected));
    assert_eq!(bed.unsubscribe(&["a"]), Err(Refused::NotConnected));
    assert_eq!((bed.client.pending(), bed.client.requests()), (0, 0));
    bed.expect_sent(&[]);
}

/// A machine has one connection at a time.
fn a_second_connect_is_refused<F: Face>() {
    let again = |bed: &mut Bed<F>| {
        let connect = Connect {
            properties: Properties::new(&LIMITS).unwrap(),
            ..Connect::new("other")
        };
        let refused = bed.client.connect(bed.now, &connect);
        assert_eq!(refused, Err(Refused::AlreadyConnected));
        bed.expect_sent(&[]);
    };
    let mut bed = Bed::<F>::new();
    bed.open();
    again(&mut bed);
    bed.accept(&[]);
    again(&mut bed);
    let normal = DisconnectReason::Normal;
    let disconnected = bed.client.disconnect(bed.now, normal, Properties::EMPTY);
    assert_eq!(disconnected, Ok(()));
    bed.sent_bytes();
    assert_eq!(bed.client.state(), State::Closing);
    again(&mut bed);
}

/// An Authentication Method that the machine cannot keep is not begun with.
fn what_the_machine_does_not_offer_is_refused<F: Face>() {
    let method = "m".repeat(65);
    let list = [
        LIMITS[0],
        LIMITS[1],
        Property::AuthenticationMethod(&method),
    ];
    let connect = Connect {
        properties: Properties::new(&list).unwrap(),
        ..Connect::new("me")
    };
    let mut bed = Bed::<F>::new();
    let refused = bed.client.connect(bed.now, &connect);
    assert_eq!(refused, Err(Refused::AuthenticationMethodTooLong));
    assert_eq!(bed.client.state(), State::Disconnected);
    bed.expect_sent(&[]);
}

/// What cannot be encoded leaves the machine as it was.
fn a_connect_that_cannot_be_encoded_is_refused<F: Face>() {
    let mut bed = Bed::<F>::new();
    let list = [LIMITS[0], LIMITS[1], Property::ContentType("no")];
    let long = "x".repeat(65_536);
    let misplaced = Connect {
        properties: Properties::new(&list).unwrap(),
        ..Connect::new("me")
    };
    let too_long = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new(&long)
    };
    let refused = bed.client.connect(bed.now, &misplaced).unwrap_err();
    assert!(matches!(
        refused,
        Refused::Encode(EncodeError::PropertyNotAllowed(_))
    ));
    let refused = bed.client.connect(bed.now, &too_long);
    assert_eq!(refused, Err(Refused::Encode(EncodeError::FieldTooLong)));
    bed.expect_idle();
    bed.open();
    bed.accept(&[]);
}

/// A machine that was never connected asks for nothing and takes every input.
fn new_machine_is_idle<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.client.handle_timeout(bed.now);
    bed.client.handle_closed(bed.now);
    bed.client.handle_received(bed.now, 10);
    bed.client.handle_transmitted(bed.now, 10);
    bed.client.set_reading(bed.now, false);
    bed.client.set_reading(bed.now, true);
    assert!(bed.client.receive_space().is_empty());
    assert!(bed.events().is_empty());
    bed.expect_idle();
    let statistics = bed.client.statistics();
    assert_eq!((statistics.bytes_received, statistics.bytes_sent), (0, 0));
    let filter = TopicFilter::new("a").unwrap();
    let refused = bed
        .client
        .unsubscribe(bed.now, &[filter], Properties::EMPTY);
    assert_eq!(refused, Err(Refused::NotConnected));
    let message = Outbound::new(TopicName::new("t").unwrap(), QoS::AtMostOnce, "x");
    assert_eq!(
        bed.client.publish(bed.now, &message),
        Err(Refused::NotConnected)
    );
}

/// A machine of fixed capacity must announce limits within it, or a server could rightly send more.
#[test]
fn fixed_capacity_must_be_announced() {
    use machine::Small;
    for list in [
        vec![],
        vec![LIMITS[0]],
        vec![LIMITS[1]],
        vec![LIMITS[0], Property::MaximumPacketSize(16_385)],
        vec![LIMITS[1], Property::ReceiveMaximum(9)],
    ] {
        let mut bed = Bed::<Small>::new();
        let connect = Connect {
            properties: Properties::new(&list).unwrap(),
            ..Connect::new("me")
        };
        let refused = bed.client.connect(bed.now, &connect);
        assert_eq!(refused, Err(Refused::CapacityNotAnnounced));
        bed.expect_idle();
    }
}
