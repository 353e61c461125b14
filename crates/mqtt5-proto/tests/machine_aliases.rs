//! Topic Aliases in both directions (3.3.2.3.4, 3.3.4).

mod machine;

use std::alloc::System;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{
    Config, DisconnectCause, Op, Outbound, Packet, Properties, Property, QoS, TopicAliases,
    TopicName, Violation,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use machine::packets::{delivery, encode, puback};
use machine::{Bed, End, Face, LIMITS, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use TopicAliases::{Auto, Off, OnRequest};

/// Counts what the tests of this file allocate, all together.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

every_storage!(
    an_alias_is_learnt_used_and_remapped,
    hb_46_an_alias_that_is_not_mapped_is_a_protocol_error,
    hb_46_no_topic_and_no_alias_is_a_protocol_error,
    hb_46_alias_0_is_refused,
    hb_46_an_alias_above_our_maximum_is_refused,
    hb_46_inbound_aliases_end_with_their_connection,
    hb_46_remapping_keeps_memory_bounded,
    none_unless_asked_for,
    first_with_the_topic_then_without,
    every_long_topic_gets_one,
    the_one_not_used_for_longest_gives_way,
    hb_21_never_above_either_maximum,
    none_without_a_maximum_of_the_server,
    what_waits_gets_its_alias_when_it_leaves,
    a_fresh_table_for_each_connection,
    what_is_sent_again_has_its_topic,
    never_above_the_maximum_packet_size,
    every_qos_may_use_one,
);

/// A PUBLISH with an alias, and with a topic unless that is empty.
fn aliased<'a>(topic: &'a str, alias: &'a [Property<'a>], payload: &'a str) -> Packet<'a> {
    sent(AtMostOnce, 0, false, topic, alias, payload)
}

fn sent<'a>(
    qos: QoS,
    id: u16,
    dup: bool,
    topic: &'a str,
    properties: &'a [Property<'a>],
    payload: &'a str,
) -> Packet<'a> {
    Packet::Publish(Publish {
        delivery: delivery(qos, id, dup),
        retain: false,
        topic: TopicName::new(topic).ok(),
        properties: Properties::new(properties).unwrap(),
        payload: payload.as_bytes(),
    })
}

/// CONNECT announces a Topic Alias Maximum; CONNACK too.
fn connect<F: Face>(bed: &mut Bed<F>, ours: u16, server: &[Property<'_>]) {
    let list = [LIMITS[0], LIMITS[1], Property::TopicAliasMaximum(ours)];
    bed.open_with(&list, 60);
    bed.accept(server);
}

fn inbound<F: Face>(maximum: u16) -> Bed<F> {
    let mut bed = Bed::<F>::new();
    connect(&mut bed, maximum, &[]);
    bed
}

fn outbound<F: Face>(mode: TopicAliases, server: u16) -> Bed<F> {
    let mut config = Config::default();
    config.topic_aliases = mode;
    let mut bed = Bed::<F>::with(config);
    connect(&mut bed, 0, &[Property::TopicAliasMaximum(server)]);
    bed
}

fn topic_of(told: &Told) -> &str {
    match told {
        Told::Message { topic, .. } => topic,
        other => panic!("no message: {other:?}"),
    }
}

const fn alias(number: u16) -> [Property<'static>; 1] {
    [Property::TopicAlias(number)]
}

// Inbound.

/// T135: the last topic counts.
fn an_alias_is_learnt_used_and_remapped<F: Face>() {
    let mut bed = inbound::<F>(8);
    for (topic, number, expected) in [
        ("first", 1, "first"),
        ("last", 8, "last"),
        ("", 1, "first"),
        ("", 8, "last"),
        ("other", 1, "other"),
        ("", 1, "other"),
        ("", 8, "last"),
        ("a much longer topic", 1, "a much longer topic"),
        ("", 1, "a much longer topic"),
        ("s", 1, "s"),
        ("", 1, "s"),
    ] {
        let told = bed.message(&aliased(topic, &alias(number), "payload"));
        assert_eq!(topic_of(&told), expected);
        assert_eq!(told.payload(), b"payload");
    }
    // A topic without an alias changes no mapping.
    bed.message(&aliased("free", &[], ""));
    let told = bed.message(&aliased("", &alias(1), ""));
    assert_eq!(topic_of(&told), "s");
}

#[track_caller]
fn refused<F: Face>(mut bed: Bed<F>, packet: &Packet<'_>, code: u8, violation: Violation) {
    bed.feed(packet);
    bed.expect_end(Some(code), DisconnectCause::Violation(violation));
}

fn hb_46_an_alias_that_is_not_mapped_is_a_protocol_error<F: Face>() {
    let unknown = Violation::UnknownTopicAlias;
    refused(inbound::<F>(8), &aliased("", &alias(1), ""), 0x82, unknown);
    let mut bed = inbound::<F>(8);
    bed.message(&aliased("t", &alias(3), ""));
    refused(bed, &aliased("", &alias(2), ""), 0x82, unknown);
}

fn hb_46_no_topic_and_no_alias_is_a_protocol_error<F: Face>() {
    let mut bed = inbound::<F>(8);
    bed.feed_bytes(&[0x30, 4, 0, 0, 0, b'x']);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.sent_bytes()[..3], [0xE0, 1, 0x82]);
}

fn hb_46_alias_0_is_refused<F: Face>() {
    for topic in [&b"\x00\x01t"[..], b"\x00\x00"] {
        let mut bed = inbound::<F>(8);
        let length = u8::try_from(topic.len() + 4).unwrap();
        bed.feed_bytes(&[&[0x30, length], topic, &[3, 0x23, 0, 0]].concat());
        assert_eq!(bed.events(), []);
        assert_eq!(bed.sent_bytes()[..3], [0xE0, 1, 0x94]);
    }
}

fn hb_46_an_alias_above_our_maximum_is_refused<F: Face>() {
    let invalid = Violation::TopicAliasInvalid;
    for (maximum, number) in [(8, 9), (1, 2), (0, 1), (8, u16::MAX), (2, 8)] {
        for topic in ["t", ""] {
            let alias = alias(number);
            let packet = aliased(topic, &alias, "");
            refused(inbound::<F>(maximum), &packet, 0x94, invalid);
        }
    }
    // CONNECT said nothing of aliases.
    let one = alias(1);
    let packet = aliased("t", &one, "");
    refused(Bed::<F>::connected(), &packet, 0x94, invalid);
}

/// T135: what the last connection knew is unknown.
fn hb_46_inbound_aliases_end_with_their_connection<F: Face>() {
    let mut bed = inbound::<F>(8);
    bed.message(&aliased("t", &alias(1), ""));
    bed.close();
    connect(&mut bed, 8, &[]);
    let one = alias(1);
    let packet = aliased("", &one, "");
    refused(bed, &packet, 0x82, Violation::UnknownTopicAlias);
}

const LONG: &str =
    "a/topic/of/some/length/so/that/a/hundred/thousand/of/them/are/ten/million/bytes/in/all/";

fn hb_46_remapping_keeps_memory_bounded<F: Face>() {
    let mut bed = inbound::<F>(2);
    let region = Region::new(ALLOCATOR);
    for turn in 0..100_000_u32 {
        let topic = format!("{LONG}{turn}");
        let number = u16::try_from(turn % 2 + 1).unwrap();
        bed.feed(&aliased(&topic, &alias(number), ""));
        assert_eq!(topic_of(&bed.events()[0]), topic);
    }
    let change = region.change();
    let kept = change.bytes_allocated as i64 - change.bytes_deallocated as i64;
    assert!(kept < 4 << 20, "{kept} bytes kept of 10 million");
    for (number, turn) in [(1, 99_998), (2, 99_999)] {
        let told = bed.message(&aliased("", &alias(number), ""));
        assert_eq!(topic_of(&told), format!("{LONG}{turn}"));
    }
}

/// A message that is kept needs neither the connection nor the mapping that it came with.
#[cfg(feature = "alloc")]
#[test]
fn a_kept_message_keeps_its_topic() {
    use mqtt5_proto::Event;

    let mut bed = inbound::<machine::Borrowing>(1);
    bed.message(&aliased("t/1", &alias(1), ""));
    bed.feed(&aliased("", &alias(1), "payload"));
    let now = bed.now;
    let Some(Event::Message { message, .. }) = bed.client.client.poll_event(now) else {
        panic!("no message");
    };
    let copy = message.detach();
    bed.message(&aliased("another", &alias(1), ""));
    bed.close();
    drop(bed);
    assert_eq!((message.topic(), copy.topic()), ("t/1", "t/1"));
    assert_eq!(
        (message.payload(), copy.payload()),
        (&b"payload"[..], &b"payload"[..])
    );
}

// Outbound.

fn publish<F: Face>(bed: &mut Bed<F>, qos: QoS, topic: &str, asked: bool) -> Op {
    let topic = TopicName::new(topic).unwrap();
    let message = Outbound {
        alias: asked,
        ..Outbound::new(topic, qos, "x")
    };
    bed.client.publish(bed.now, &message).unwrap()
}

/// A QoS 0 publish to `topic` leaves with this topic and this alias.
#[track_caller]
fn leaves<F: Face>(bed: &mut Bed<F>, topic: &str, asked: bool, expected: (&str, u16)) {
    publish(bed, AtMostOnce, topic, asked);
    let (topic, number) = expected;
    let alias = alias(number);
    let list = if number == 0 { &[] } else { &alias[..] };
    bed.expect_sent(&[aliased(topic, list, "x")]);
}

fn none_unless_asked_for<F: Face>() {
    let mut bed = outbound::<F>(Off, 8);
    for asked in [true, false, true] {
        leaves(&mut bed, "topic", asked, ("topic", 0));
    }
    let mut bed = outbound::<F>(OnRequest(8), 8);
    leaves(&mut bed, "topic", false, ("topic", 0));
    leaves(&mut bed, "topic", true, ("topic", 1));
    leaves(&mut bed, "topic", false, ("topic", 0));
    leaves(&mut bed, "topic", true, ("", 1));
}

fn first_with_the_topic_then_without<F: Face>() {
    let mut bed = outbound::<F>(OnRequest(8), 8);
    for (number, topic) in [(1, "a"), (2, "b"), (3, "c")] {
        leaves(&mut bed, topic, true, (topic, number));
        leaves(&mut bed, topic, true, ("", number));
    }
    for (number, topic) in [(2, "b"), (3, "c"), (1, "a")] {
        leaves(&mut bed, topic, true, ("", number));
    }
}

fn every_long_topic_gets_one<F: Face>() {
    let mut bed = outbound::<F>(Auto(8), 8);
    // An alias takes three bytes.
    leaves(&mut bed, "abc", false, ("abc", 0));
    leaves(&mut bed, "abc", true, ("abc", 0));
    leaves(&mut bed, "abcd", false, ("abcd", 1));
    leaves(&mut bed, "abcd", false, ("", 1));
}

fn the_one_not_used_for_longest_gives_way<F: Face>() {
    let mut bed = outbound::<F>(OnRequest(3), 8);
    for (number, topic) in [(1, "a"), (2, "b"), (3, "c")] {
        leaves(&mut bed, topic, true, (topic, number));
    }
    leaves(&mut bed, "a", true, ("", 1));
    leaves(&mut bed, "d", true, ("d", 2));
    leaves(&mut bed, "b", true, ("b", 3));
    leaves(&mut bed, "a", true, ("", 1));
    leaves(&mut bed, "d", true, ("", 2));
    leaves(&mut bed, "c", true, ("c", 3));
    leaves(&mut bed, "e", true, ("e", 1));
}

/// T37: the oldest gives way.
fn hb_21_never_above_either_maximum<F: Face>() {
    for (ours, server) in [(2, u16::MAX), (8, 2), (2, 2), (u16::MAX, 2)] {
        for mode in [OnRequest(ours), Auto(ours)] {
            let mut bed = outbound::<F>(mode, server);
            for turn in 0..20 {
                let topic = format!("topic/{turn}");
                leaves(&mut bed, &topic, true, (&topic, turn % 2 + 1));
            }
        }
    }
    // A machine of fixed capacity has a cap of its own.
    let mut bed = outbound::<F>(OnRequest(u16::MAX), u16::MAX);
    for turn in 0..8 {
        let topic = format!("topic/{turn}");
        leaves(&mut bed, &topic, true, (&topic, turn + 1));
    }
    let next = if F::FIXED { 1 } else { 9 };
    leaves(&mut bed, "one more", true, ("one more", next));
}

fn none_without_a_maximum_of_the_server<F: Face>() {
    for mode in [OnRequest(8), Auto(8)] {
        let mut bed = outbound::<F>(mode, 0);
        leaves(&mut bed, "topic", true, ("topic", 0));
        leaves(&mut bed, "topic", true, ("topic", 0));
    }
    let mut bed = outbound::<F>(OnRequest(0), 8);
    leaves(&mut bed, "topic", true, ("topic", 0));
}

fn every_qos_may_use_one<F: Face>() {
    let mut bed = outbound::<F>(OnRequest(8), 8);
    let one = alias(1);
    publish(&mut bed, ExactlyOnce, "topic", true);
    publish(&mut bed, AtLeastOnce, "topic", true);
    publish(&mut bed, AtMostOnce, "topic", true);
    bed.expect_sent(&[
        sent(ExactlyOnce, 1, false, "topic", &one, "x"),
        sent(AtLeastOnce, 2, false, "", &one, "x"),
        sent(AtMostOnce, 0, false, "", &one, "x"),
    ]);
}

fn what_waits_gets_its_alias_when_it_leaves<F: Face>() {
    let mut config = Config::default();
    config.topic_aliases = OnRequest(1);
    let mut bed = Bed::<F>::with(config);
    let server = [Property::TopicAliasMaximum(8), Property::ReceiveMaximum(1)];
    connect(&mut bed, 0, &server);
    let one = alias(1);
    publish(&mut bed, AtLeastOnce, "a", true);
    publish(&mut bed, AtLeastOnce, "b", true);
    publish(&mut bed, AtLeastOnce, "b", true);
    bed.expect_sent(&[sent(AtLeastOnce, 1, false, "a", &one, "x")]);
    for (id, topic) in [(1, "b"), (2, "")] {
        assert_eq!(bed.tell(&puback(id)).len(), 1);
        bed.expect_sent(&[sent(AtLeastOnce, id + 1, false, topic, &one, "x")]);
    }
}

/// T135: on our side.
fn a_fresh_table_for_each_connection<F: Face>() {
    let mut bed = outbound::<F>(OnRequest(8), 8);
    leaves(&mut bed, "b", true, ("b", 1));
    leaves(&mut bed, "a", true, ("a", 2));
    bed.close();
    connect(&mut bed, 0, &[Property::TopicAliasMaximum(8)]);
    leaves(&mut bed, "a", true, ("a", 1));
    leaves(&mut bed, "b", true, ("b", 2));
    bed.close();
    connect(&mut bed, 0, &[]);
    leaves(&mut bed, "a", true, ("a", 0));
}

/// T135: or an alias of this connection.
fn what_is_sent_again_has_its_topic<F: Face>() {
    let mut config = Config::default();
    config.topic_aliases = OnRequest(8);
    let mut bed = Bed::<F>::keeping_with(config);
    bed.lose();
    let server = [Property::TopicAliasMaximum(8)];
    assert_eq!(bed.resume(true, &server), []);
    let (one, two) = (alias(1), alias(2));
    let a = publish(&mut bed, AtLeastOnce, "a", true);
    publish(&mut bed, ExactlyOnce, "b", true);
    publish(&mut bed, AtLeastOnce, "b", true);
    bed.expect_sent(&[
        sent(AtLeastOnce, 1, false, "a", &one, "x"),
        sent(ExactlyOnce, 2, false, "b", &two, "x"),
        sent(AtLeastOnce, 3, false, "", &two, "x"),
    ]);
    assert_eq!(bed.tell(&puback(1)), [Told::Completed(a, End::delivered())]);

    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &server), []);
    bed.expect_sent(&[
        sent(ExactlyOnce, 2, true, "b", &one, "x"),
        sent(AtLeastOnce, 3, true, "", &one, "x"),
    ]);
    // The next server knows no aliases.
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[
        sent(ExactlyOnce, 2, true, "b", &[], "x"),
        sent(AtLeastOnce, 3, true, "b", &[], "x"),
    ]);
}

fn never_above_the_maximum_packet_size<F: Face>() {
    let plain = encode(&aliased("topic", &[], "x")).len();
    let full = encode(&aliased("topic", &alias(1), "x")).len();
    assert_eq!(full, plain + 3);
    for limit in plain..full + 4 {
        let mut config = Config::default();
        config.topic_aliases = OnRequest(8);
        let mut bed = Bed::<F>::with(config);
        let server = [
            Property::TopicAliasMaximum(8),
            Property::MaximumPacketSize(u32::try_from(limit).unwrap()),
        ];
        connect(&mut bed, 0, &server);
        let mut used = false;
        for _ in 0..3 {
            publish(&mut bed, AtMostOnce, "topic", true);
            let bytes = bed.sent_bytes();
            assert!(bytes.len() <= limit, "{} of {limit} bytes", bytes.len());
            used |= bytes != encode(&aliased("topic", &[], "x"));
        }
        assert!(used || limit < full + 2, "no alias within {limit} bytes");
    }
}
