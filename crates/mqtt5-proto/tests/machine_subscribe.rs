//! SUBSCRIBE and UNSUBSCRIBE, their answers, and what the server must support (3.8 to 3.11).

mod machine;

use mqtt5_proto::packet::{Connect, List, Subscribe, SubscribeFilter, Unsubscribe};
use mqtt5_proto::{
    Config, DisconnectCause, EncodeError, Packet, Properties, Property, QoS, Refused,
    RetainHandling, TopicFilter,
};

use machine::packets::{id, reasons, suback, unsuback};
use machine::{Bed, End, Face, LIMITS, Told, every_storage};

every_storage!(
    subscribe_with_everything_is_byte_for_byte,
    unsubscribe_is_byte_for_byte,
    each_filter_has_its_own_code,
    unsubscribing_what_did_not_exist_is_no_failure,
    requests_are_answered_in_any_order,
    capabilities_are_checked,
    capabilities_do_not_rule_out_unsubscribe,
    maximum_packet_size_is_checked,
    a_higher_qos_than_the_server_has_may_be_asked_for,
    requests_that_cannot_be_encoded_are_refused,
    open_requests_end_with_the_connection,
    bytes_of_requests_are_bounded_until_they_are_written,
    properties_of_the_answer_are_told,
);

/// [MQTT-3.8.1-1], [MQTT-3.8.3-2]: options and properties at their places.
fn subscribe_with_everything_is_byte_for_byte<F: Face>() {
    let list = [
        Property::SubscriptionIdentifier(200),
        Property::UserProperty("k", "v"),
    ];
    let filters = [
        SubscribeFilter {
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
            ..SubscribeFilter::new(TopicFilter::new("a/+").unwrap(), QoS::AtLeastOnce)
        },
        SubscribeFilter::new(TopicFilter::new("$share/g/#").unwrap(), QoS::ExactlyOnce),
    ];
    let mut bed = Bed::<F>::connected();
    let properties = Properties::new(&list).unwrap();
    bed.client.subscribe(bed.now, &filters, properties).unwrap();
    let mut expected = b"\x82\x20\x00\x01\x0A\x0B\xC8\x01\x26\x00\x01k\x00\x01v".to_vec();
    expected.extend(b"\x00\x03a/+\x2D\x00\x0A$share/g/#\x02");
    assert_eq!(bed.sent_bytes(), expected);
    assert_eq!(bed.client.requests(), 1);
}

/// [MQTT-3.10.1-1], [MQTT-3.10.3-2].
fn unsubscribe_is_byte_for_byte<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.unsubscribe(&["a", "b/#"]).unwrap();
    assert_eq!(
        bed.sent_bytes(),
        b"\xA2\x0B\x00\x01\x00\x00\x01a\x00\x03b/#"
    );
}

/// D32, [MQTT-3.8.4-6], [MQTT-3.11.3-1]: all codes in the order of the filters; a failure of one is no failure of all.
fn each_filter_has_its_own_code<F: Face>() {
    let codes = [
        0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
    ];
    let filters: Vec<_> = (0..codes.len()).map(|n| n.to_string()).collect();
    let filters: Vec<_> = filters.iter().map(String::as_str).collect();
    let codes = reasons(&codes);
    let mut bed = Bed::<F>::connected();
    let op = bed.subscribe(&filters).unwrap();
    let events = bed.tell(&suback(1, &codes));
    assert_eq!(
        events,
        [Told::Completed(op, End::Subscribed(codes, "[]".into()))]
    );
    let codes = reasons(&[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]);
    let op = bed.unsubscribe(&filters[..7]).unwrap();
    let events = bed.tell(&unsuback(2, &codes));
    assert_eq!(
        events,
        [Told::Completed(op, End::Unsubscribed(codes, "[]".into()))]
    );
    assert_eq!(bed.client.requests(), 0);
}

/// D41.
fn unsubscribing_what_did_not_exist_is_no_failure<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let op = bed.unsubscribe(&["a"]).unwrap();
    let codes = reasons(&[0x11]);
    let events = bed.tell(&unsuback(1, &codes));
    assert_eq!(
        events,
        [Told::Completed(op, End::Unsubscribed(codes, "[]".into()))]
    );
}

/// [MQTT-3.8.4-2].
fn requests_are_answered_in_any_order<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let ops = [
        bed.subscribe(&["a"]).unwrap(),
        bed.unsubscribe(&["b"]).unwrap(),
        bed.subscribe(&["c"]).unwrap(),
    ];
    let codes = reasons(&[0]);
    for (n, packet) in [
        (2, suback(3, &codes)),
        (0, suback(1, &codes)),
        (1, unsuback(2, &codes)),
    ] {
        let events = bed.tell(&packet);
        assert!(matches!(events[..], [Told::Completed(op, _)] if op == ops[n]));
    }
}

/// 3.2.2.3.11 to 3.2.2.3.13: nothing is sent that the server has ruled out.
fn capabilities_are_checked<F: Face>() {
    let wildcard = Property::WildcardSubscriptionAvailable(false);
    let shared = Property::SharedSubscriptionAvailable(false);
    for (property, filters, refused) in [
        (
            wildcard,
            ["a", "+/b"],
            Refused::WildcardSubscriptionsNotSupported,
        ),
        (
            wildcard,
            ["a", "#"],
            Refused::WildcardSubscriptionsNotSupported,
        ),
        (
            wildcard,
            ["a", "$share/g/a/#"],
            Refused::WildcardSubscriptionsNotSupported,
        ),
        (
            shared,
            ["a", "$share/g/a"],
            Refused::SharedSubscriptionsNotSupported,
        ),
    ] {
        let mut bed = Bed::<F>::accepted(&[property]);
        assert_eq!(bed.subscribe(&filters), Err(refused));
        bed.expect_sent(&[]);
        bed.subscribe(&filters[..1]).unwrap();
        assert_eq!(bed.sent_bytes()[2..4], [0, 1]);
    }
    let list = [Property::SubscriptionIdentifier(1)];
    let filters = [machine::packets::filter("a")];
    let properties = Properties::new(&list).unwrap();
    let mut bed = Bed::<F>::accepted(&[Property::SubscriptionIdentifierAvailable(false)]);
    let refused = bed.client.subscribe(bed.now, &filters, properties);
    assert_eq!(refused, Err(Refused::SubscriptionIdentifiersNotSupported));
    bed.expect_sent(&[]);
}

fn capabilities_do_not_rule_out_unsubscribe<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[
        Property::WildcardSubscriptionAvailable(false),
        Property::SharedSubscriptionAvailable(false),
    ]);
    bed.unsubscribe(&["#", "$share/g/a"]).unwrap();
}

/// [MQTT-3.2.2-15].
fn maximum_packet_size_is_checked<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(20)]);
    let (length, maximum) = (21, 20);
    let refused = Err(Refused::TooLarge { length, maximum });
    let fits = "x".repeat(12);
    assert_eq!(bed.subscribe(&[&(fits.clone() + "x")]), refused);
    bed.subscribe(&[&fits]).unwrap();
    assert_eq!(bed.sent_bytes().len(), 20);
    let fits = "x".repeat(13);
    assert_eq!(bed.unsubscribe(&[&(fits.clone() + "x")]), refused);
    bed.unsubscribe(&[&fits]).unwrap();
    assert_eq!(bed.sent_bytes().len(), 20);
}

/// [MQTT-3.2.2-10].
fn a_higher_qos_than_the_server_has_may_be_asked_for<F: Face>() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut bed = Bed::<F>::accepted(&[Property::MaximumQoS(0)]);
        let filters = [SubscribeFilter::new(TopicFilter::new("a").unwrap(), qos)];
        let subscribed = bed.client.subscribe(bed.now, &filters, Properties::EMPTY);
        let op = subscribed.unwrap();
        let options = qos as u8;
        assert_eq!(bed.sent_bytes(), [0x82, 7, 0, 1, 0, 0, 1, b'a', options]);
        let codes = reasons(&[0]);
        let events = bed.tell(&suback(1, &codes));
        assert_eq!(
            events,
            [Told::Completed(op, End::Subscribed(codes, "[]".into()))]
        );
    }
}

/// [MQTT-3.8.3-2], [MQTT-3.8.3-4], [MQTT-3.10.3-2]: nothing is sent, no identifier is taken.
fn requests_that_cannot_be_encoded_are_refused<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let no_filters = Err(Refused::Encode(EncodeError::NoFilters));
    assert_eq!(bed.subscribe(&[]), no_filters);
    assert_eq!(bed.unsubscribe(&[]), no_filters);
    let shared = TopicFilter::new("$share/g/a").unwrap();
    let filter = SubscribeFilter {
        no_local: true,
        ..SubscribeFilter::new(shared, QoS::AtMostOnce)
    };
    let refused = bed.client.subscribe(bed.now, &[filter], Properties::EMPTY);
    let encode = EncodeError::NoLocalOnSharedSubscription;
    assert_eq!(refused, Err(Refused::Encode(encode)));
    let list = [Property::SubscriptionIdentifier(1)];
    let properties = Properties::new(&list).unwrap();
    let refused = bed.client.unsubscribe(bed.now, &[shared], properties);
    assert!(matches!(refused, Err(Refused::Encode(_))));
    assert_eq!(bed.client.requests(), 0);
    bed.expect_sent(&[]);
    bed.subscribe(&["a"]).unwrap();
    bed.unsubscribe(&["a"]).unwrap();
    let filters = [machine::packets::filter("a")];
    let names = [TopicFilter::new("a").unwrap()];
    bed.expect_sent(&[
        Packet::Subscribe(Subscribe {
            packet_id: id(1),
            properties: Properties::EMPTY,
            filters: List::from(&filters[..]),
        }),
        Packet::Unsubscribe(Unsubscribe {
            packet_id: id(2),
            properties: Properties::EMPTY,
            filters: List::from(&names[..]),
        }),
    ]);
}

/// They end as lost, their identifiers are free, and an answer on the next connection belongs to nothing.
fn open_requests_end_with_the_connection<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let first = bed.subscribe(&["a"]).unwrap();
    let second = bed.unsubscribe(&["b"]).unwrap();
    bed.sent_bytes();
    let events = bed.expect_closed(DisconnectCause::TransportClosed);
    let lost = [first, second].map(|op| Told::Completed(op, End::ConnectionLost));
    assert_eq!(events, lost);
    bed.open();
    bed.accept(&[]);
    assert_eq!(bed.tell(&suback(1, &reasons(&[0]))), []);
}

/// What an earlier connection left unwritten does not count, either.
fn bytes_of_requests_are_bounded_until_they_are_written<F: Face>() {
    let mut config = Config::default();
    // Two requests for a filter of one byte.
    config.maximum_pending_bytes = 20;
    let mut bed = Bed::<F>::with(config);
    bed.open();
    bed.accept(&[]);
    let fill = |bed: &mut Bed<F>| {
        for filter in ["a", "b"] {
            bed.subscribe(&[filter]).unwrap();
        }
        assert_eq!(bed.subscribe(&["c"]), Err(Refused::Full));
    };
    fill(&mut bed);
    bed.sent_bytes();
    fill(&mut bed);
    bed.close();
    // The transport tells late how much of CONNECT was written.
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    bed.connack(false, &[]);
    assert_eq!(bed.events().len(), 1);
    fill(&mut bed);
}

fn properties_of_the_answer_are_told<F: Face>() {
    use mqtt5_proto::packet::SubscribeAcknowledgement;
    let list = [
        Property::ReasonString("why"),
        Property::UserProperty("a", "b"),
    ];
    let properties = Properties::new(&list).unwrap();
    let codes = reasons(&[0x87]);
    let mut bed = Bed::<F>::connected();
    let op = bed.subscribe(&["a"]).unwrap();
    let events = bed.tell(&Packet::Suback(SubscribeAcknowledgement {
        packet_id: id(1),
        properties,
        reasons: List::from(&codes[..]),
    }));
    let end = End::Subscribed(codes, format!("{properties:?}"));
    assert_eq!(events, [Told::Completed(op, end)]);
}
