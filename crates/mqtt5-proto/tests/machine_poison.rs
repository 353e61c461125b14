//! What a received message that ends one connection after the other is recognised by (E17).

mod machine;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{
    Config, ContentPolicy, DecodeErrorKind, DisconnectCause, Packet, Properties, Property, QoS,
    TopicName, Violation,
};

use machine::packets::{delivery, disconnect, encode, id, publish};
use machine::{Bed, Face, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    a_token_tells_its_message,
    the_publish_that_broke_the_protocol,
    a_publish_that_does_not_parse,
    a_publish_before_the_fault_is_not_the_offender,
    an_offender_without_an_identifier_does_not_come_again,
    the_next_connection_begins_without_an_offender,
);

fn strict<F: Face>() -> Bed<F> {
    let mut config = Config::default();
    config.content = ContentPolicy::Strict;
    let mut bed = Bed::with(config);
    bed.open();
    bed.accept(&[]);
    bed
}

/// A payload that is not the text that it is said to be.
fn poison<F: Face>(bed: &mut Bed<F>, qos: QoS, value: u16) {
    let list = [Property::PayloadFormatIndicator(1)];
    let poison = Packet::Publish(Publish {
        delivery: delivery(qos, value, false),
        retain: false,
        topic: Some(TopicName::new("a/b").unwrap()),
        properties: Properties::new(&list).unwrap(),
        payload: b"\xFF",
    });
    bed.feed_bytes(&[encode(&poison), encode(&disconnect(0x8B))].concat());
}

/// What is known of the offender, from the violation on until all is told.
#[track_caller]
fn offender<F: Face>(bed: &mut Bed<F>, cause: Violation) -> Option<(u16, Vec<u8>)> {
    let own = |bed: &Bed<F>| {
        let offender = bed.client.offending_publish();
        offender.map(|(id, topic)| (id.value(), topic.to_vec()))
    };
    assert_eq!(bed.client.poll_event(bed.now), None);
    let found = own(bed);
    bed.sent_bytes();
    bed.client.handle_closed(bed.now);
    assert_eq!(own(bed), found);
    let told = bed.client.poll_event(bed.now);
    let cause = DisconnectCause::Violation(cause);
    assert_eq!(told, Some(Told::Disconnected(cause, "[]".into())));
    assert_eq!(own(bed), found);
    assert_eq!(bed.events(), []);
    assert_eq!(own(bed), None);
    found
}

fn a_token_tells_its_message<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for (qos, value) in [(AtLeastOnce, 7), (ExactlyOnce, 8)] {
        let token = bed.token(&publish(qos, value, "x"));
        assert_eq!((token.packet_id(), token.qos()), (id(value), qos));
    }
    assert_eq!(bed.client.offending_publish(), None);
}

fn the_publish_that_broke_the_protocol<F: Face>() {
    for (qos, value) in [(AtLeastOnce, 7), (ExactlyOnce, 513)] {
        let mut bed = strict::<F>();
        bed.token(&publish(AtLeastOnce, 1, "fine"));
        poison(&mut bed, qos, value);
        let found = offender(&mut bed, Violation::Content);
        assert_eq!(found, Some((value, b"a/b".to_vec())));
    }
}

/// Its topic and identifier are told as long as they are there.
fn a_publish_that_does_not_parse<F: Face>() {
    // A topic with U+0000, and a property that PUBLISH has not.
    for (packet, topic, kind) in [
        (
            b"\x32\x08\x00\x03a\0b\x00\x07\x00".as_slice(),
            b"a\0b".as_slice(),
            DecodeErrorKind::NulCharacter,
        ),
        (
            b"\x32\x08\x00\x01t\x00\x07\x02\x24\x01",
            b"t",
            DecodeErrorKind::MisplacedProperty(0x24),
        ),
    ] {
        let mut bed = Bed::<F>::connected();
        bed.feed_bytes(packet);
        let found = offender(&mut bed, Violation::Decode(kind));
        assert_eq!(found, Some((7, topic.to_vec())));
    }
    let mut bed = Bed::<F>::connected();
    bed.feed_bytes(b"\x32\x04\x00\x09tx");
    let cause = Violation::Decode(DecodeErrorKind::Truncated);
    assert_eq!(offender(&mut bed, cause), None);
}

fn a_publish_before_the_fault_is_not_the_offender<F: Face>() {
    let mut bed = Bed::<F>::connected();
    // No packet type 0, in the same piece.
    bed.feed_bytes(&[encode(&publish(AtLeastOnce, 7, "x")), vec![0, 0]].concat());
    assert!(matches!(
        bed.client.poll_event(bed.now),
        Some(Told::Message { .. })
    ));
    let cause = Violation::Decode(DecodeErrorKind::ReservedPacketType);
    assert_eq!(offender(&mut bed, cause), None);
}

fn an_offender_without_an_identifier_does_not_come_again<F: Face>() {
    let mut bed = strict::<F>();
    poison(&mut bed, AtMostOnce, 1);
    assert_eq!(offender(&mut bed, Violation::Content), None);
}

fn the_next_connection_begins_without_an_offender<F: Face>() {
    let mut bed = strict::<F>();
    poison(&mut bed, AtLeastOnce, 1);
    assert!(offender(&mut bed, Violation::Content).is_some());
    bed.open();
    bed.accept(&[]);
    assert_eq!(bed.client.offending_publish(), None);
    bed.token(&publish(AtLeastOnce, 1, "x"));
    assert_eq!(bed.client.offending_publish(), None);
}
