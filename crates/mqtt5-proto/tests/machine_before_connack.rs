//! Publishing between CONNECT and CONNACK (3.1.4), an option.

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    Config, DisconnectCause, DisconnectReason, Outbound, Packet, Properties, Property, QoS,
    ReasonCode, Refused, TopicAliases, TopicName,
};

use machine::packets::{again, connack, disconnect, publish};
use machine::{Bed, End, Face, LIMITS, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    without_the_option_all_wait,
    qos_0_leaves_behind_connect,
    connect_publish_and_disconnect_in_one_piece,
    qos_1_and_2_wait_for_connack,
    it_does_not_overtake_what_is_to_be_sent_again,
    what_waited_is_measured_by_connack,
    a_refusal_loses_what_was_sent,
    a_lost_connection_tells_what_was_not_sent,
    nothing_is_sent_before_connack_with_a_method,
    no_alias_is_used_before_connack,
    not_before_connect_nor_after_disconnect,
    it_overtakes_what_waits_for_a_record,
);

fn option() -> Config {
    let mut config = Config::default();
    config.publish_before_connack = true;
    config
}

/// A machine whose CONNECT is written.
fn connecting<F: Face>() -> Bed<F> {
    let mut bed = Bed::<F>::with(option());
    bed.open();
    bed
}

fn without_the_option_all_wait<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.open();
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        assert_eq!(bed.publish(qos, "a"), Err(Refused::NotConnected));
    }
}

fn qos_0_leaves_behind_connect<F: Face>() {
    let mut bed = connecting::<F>();
    let op = bed.publish(AtMostOnce, "a").unwrap();
    assert!(!bed.client.is_pending(op));
    bed.expect_sent(&[publish(AtMostOnce, 0, "a")]);
    bed.connack(false, &[]);
    assert!(matches!(bed.events()[..], [Told::Connected { .. }]));
    bed.expect_sent(&[]);
    bed.publish(AtMostOnce, "b").unwrap();
    bed.expect_sent(&[publish(AtMostOnce, 0, "b")]);
}

fn connect_publish_and_disconnect_in_one_piece<F: Face>() {
    let mut bed = Bed::<F>::with(option());
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    bed.publish(AtMostOnce, "a").unwrap();
    let normal = DisconnectReason::Normal;
    let ended = bed.client.disconnect(bed.now, normal, Properties::EMPTY);
    ended.unwrap();
    bed.expect_sent(&[
        Packet::Connect(connect),
        publish(AtMostOnce, 0, "a"),
        disconnect(0),
    ]);
    assert!(bed.client.wants_close());
    assert_eq!(bed.expect_closed(DisconnectCause::Requested), []);
}

/// Only CONNACK says in which session they are, and how many the server takes.
fn qos_1_and_2_wait_for_connack<F: Face>() {
    let mut bed = connecting::<F>();
    for qos in [AtLeastOnce, ExactlyOnce] {
        assert_eq!(bed.publish(qos, "a"), Err(Refused::NotConnected));
    }
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 0));
    bed.expect_sent(&[]);
}

/// Messages leave in the order in which they were accepted.
fn it_does_not_overtake_what_is_to_be_sent_again<F: Face>() {
    let mut bed = Bed::<F>::keeping_with(option());
    bed.publish(AtLeastOnce, "first").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    let second = bed.publish(AtMostOnce, "second").unwrap();
    assert!(bed.client.is_pending(second));
    bed.expect_sent(&[]);
    bed.connack(true, &[]);
    let told = bed.events();
    assert_eq!(told[1..], [Told::Completed(second, End::Accepted)]);
    bed.expect_sent(&[
        again(AtLeastOnce, 1, "first"),
        publish(AtMostOnce, 0, "second"),
    ]);
    // The same without a session: the first goes out as new, and still before the other.
    bed.lose();
    bed.reopen();
    let third = bed.publish(AtMostOnce, "third").unwrap();
    bed.connack(false, &[]);
    let told = bed.events();
    assert_eq!(told[1..], [Told::Completed(third, End::Accepted)]);
    bed.expect_sent(&[
        publish(AtLeastOnce, 2, "first"),
        publish(AtMostOnce, 0, "third"),
    ]);
}

fn what_waited_is_measured_by_connack<F: Face>() {
    let mut bed = Bed::<F>::keeping_with(option());
    bed.publish(AtLeastOnce, "first").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    let topic = TopicName::new("t").unwrap();
    let retained = Outbound {
        retain: true,
        ..Outbound::new(topic, AtMostOnce, b"second".as_slice())
    };
    let op = bed.client.publish(bed.now, &retained).unwrap();
    bed.connack(true, &[Property::RetainAvailable(false)]);
    let told = bed.events();
    let end = End::LimitExceeded(Refused::RetainNotSupported);
    assert_eq!(told[1..], [Told::Completed(op, end)]);
    bed.expect_sent(&[again(AtLeastOnce, 1, "first")]);
}

fn a_refusal_loses_what_was_sent<F: Face>() {
    let mut bed = connecting::<F>();
    bed.publish(AtMostOnce, "a").unwrap();
    bed.sent_bytes();
    bed.feed(&connack(0x87, Properties::EMPTY));
    assert_eq!(bed.events(), []);
    let refused = DisconnectCause::Refused(ReasonCode::NOT_AUTHORIZED);
    assert_eq!(bed.expect_closed(refused), []);
}

fn a_lost_connection_tells_what_was_not_sent<F: Face>() {
    let mut bed = Bed::<F>::keeping_with(option());
    let first = bed.publish(AtLeastOnce, "first").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    let second = bed.publish(AtMostOnce, "second").unwrap();
    assert_eq!(bed.lose(), [Told::Completed(second, End::NotSent)]);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[again(AtLeastOnce, 1, "first")]);
    assert!(bed.client.progress(first).is_some());
}

/// [MQTT-3.1.2-30].
fn nothing_is_sent_before_connack_with_a_method<F: Face>() {
    let mut bed = Bed::<F>::with(option());
    let [receive_maximum, packet_size] = LIMITS;
    let method = Property::AuthenticationMethod("m");
    bed.open_with(&[receive_maximum, packet_size, method], 60);
    assert_eq!(bed.publish(AtMostOnce, "a"), Err(Refused::NotConnected));
    bed.expect_sent(&[]);
}

fn no_alias_is_used_before_connack<F: Face>() {
    let mut config = option();
    config.topic_aliases = TopicAliases::Auto(8);
    let mut bed = Bed::<F>::with(config);
    bed.open();
    let topic = TopicName::new("long/topic").unwrap();
    let message = Outbound::new(topic, AtMostOnce, b"x".as_slice());
    bed.client.publish(bed.now, &message).unwrap();
    assert_eq!(bed.sent_bytes(), b"\x30\x0E\x00\x0Along/topic\x00x");
    bed.accept(&[Property::TopicAliasMaximum(8)]);
    bed.client.publish(bed.now, &message).unwrap();
    let aliased = b"\x30\x11\x00\x0Along/topic\x03\x23\x00\x01x";
    assert_eq!(bed.sent_bytes(), aliased);
}

fn not_before_connect_nor_after_disconnect<F: Face>() {
    let mut bed = Bed::<F>::with(option());
    assert_eq!(bed.publish(AtMostOnce, "a"), Err(Refused::NotConnected));
    bed.open();
    let normal = DisconnectReason::Normal;
    let ended = bed.client.disconnect(bed.now, normal, Properties::EMPTY);
    ended.unwrap();
    assert_eq!(bed.publish(AtMostOnce, "a"), Err(Refused::NotConnected));
}

/// Nor does it wait for the record that the session was lost: it leaves with CONNECT or not at all.
fn it_overtakes_what_waits_for_a_record<F: Face>() {
    let mut config = option();
    config.write_ahead = true;
    let mut bed = Bed::<F>::keeping_with(config);
    bed.publish(AtLeastOnce, "recorded").unwrap();
    bed.lose();
    bed.reopen();
    let op = bed.publish(AtMostOnce, "now").unwrap();
    assert!(!bed.client.is_pending(op));
    bed.expect_sent(&[publish(AtMostOnce, 0, "now")]);
}
