//! What the client sends while Receive Maximum is used up, while a subscription ends, and with which options it
//! subscribes (3.3.4, 3.8.3, 3.10.4, 4.9).

mod machine;

use mqtt5_proto::packet::{Auth, Publish, SubscribeFilter};
use mqtt5_proto::{
    Authenticate, DisconnectReason, EncodeError, Outbound, Packet, PacketType, Properties,
    Property, QoS, ReasonCode, Refused, RetainHandling, TopicFilter, TopicName,
};

use machine::packets::{
    ack_with, delivery, disconnect, filter, puback, pubcomp, publish, pubrec, pubrel, reasons,
    subscribe, unsuback, unsubscribe,
};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    every_other_packet_passes_an_exhausted_quota,
    the_quota_is_the_receive_maximum_of_the_server,
    every_combination_of_options,
    identifiers_of_subscriptions_are_not_0_and_not_several,
    deliveries_go_on_after_unsubscribe,
    what_matches_no_subscription_is_delivered_and_acknowledged,
    every_alias_up_to_our_maximum_is_accepted,
    a_payload_that_is_said_to_be_text_is_text,
);

const METHOD: Property<'static> = Property::AuthenticationMethod("m");

/// [MQTT-3.3.4-8], [MQTT-4.9.0-3]: every packet of a client but PUBLISH, at once.
fn every_other_packet_passes_an_exhausted_quota<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.open_with(&[LIMITS[0], LIMITS[1], METHOD], 60);
    bed.accept(&[METHOD, Property::ReceiveMaximum(1)]);
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "waits").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a")]);

    bed.subscribe(&["a"]).unwrap();
    bed.expect_sent(&[subscribe(2, &[filter("a")])]);
    bed.unsubscribe(&["a"]).unwrap();
    bed.expect_sent(&[unsubscribe(3, &[TopicFilter::new("a").unwrap()])]);
    let at_least_once = bed.token(&publish(AtLeastOnce, 1, "x"));
    bed.ack(at_least_once);
    bed.expect_sent(&[puback(1)]);
    let exactly_once = bed.token(&publish(ExactlyOnce, 2, "x"));
    bed.ack(exactly_once);
    bed.expect_sent(&[pubrec(2)]);
    bed.tell(&pubrel(2));
    bed.expect_sent(&[pubcomp(2)]);
    bed.tell(&pubrec(1));
    bed.expect_sent(&[pubrel(1)]);
    let list = [METHOD, Property::AuthenticationData(b"x")];
    let auth = |reason: u8, count: usize| {
        Packet::Auth(Auth {
            reason: ReasonCode::from(reason),
            properties: Properties::new(&list[..count]).unwrap(),
        })
    };
    bed.client.reauthenticate(bed.now, None).unwrap();
    bed.expect_sent(&[auth(0x19, 1)]);
    assert_eq!(bed.tell(&auth(0x18, 1)).len(), 1);
    let step = Authenticate::Continue(b"x");
    bed.client.authenticate(bed.now, step).unwrap();
    bed.expect_sent(&[auth(0x18, 2)]);
    bed.elapse(secs(55));
    bed.expect_sent(&[Packet::Pingreq]);
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (1, 1));
    let normal = DisconnectReason::Normal;
    bed.client
        .disconnect(bed.now, normal, Properties::EMPTY)
        .unwrap();
    bed.expect_sent(&[disconnect(0)]);
}

/// [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-3.3.4-7]: what the server said on this connection, not on an earlier one.
fn the_quota_is_the_receive_maximum_of_the_server<F: Face>() {
    let mut bed = Bed::<F>::new();
    for maximum in [1, 2, 5, 3] {
        bed.open();
        bed.accept(&[Property::ReceiveMaximum(maximum)]);
        for sent in 1..=7 {
            let qos = if sent % 2 == 0 {
                AtLeastOnce
            } else {
                ExactlyOnce
            };
            bed.publish(qos, "x").unwrap();
            let in_flight = sent.min(usize::from(maximum));
            assert_eq!(bed.client.in_flight(), in_flight);
            assert_eq!(bed.client.pending(), sent - in_flight);
        }
        assert_eq!(bed.sent_bytes().len(), usize::from(maximum) * 9);
        bed.close();
    }
}

/// [MQTT-3.8.3-5], 3.8.3.1: bits 6 and 7 are 0, and neither QoS 3 nor Retain Handling 3 is among them.
fn every_combination_of_options<F: Face>() {
    let mut seen = Vec::new();
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        for retain_handling in [
            RetainHandling::SendAtSubscribe,
            RetainHandling::SendAtSubscribeIfNew,
            RetainHandling::DoNotSend,
        ] {
            for (no_local, retain_as_published) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let mut bed = Bed::<F>::connected();
                let filter = SubscribeFilter {
                    no_local,
                    retain_as_published,
                    retain_handling,
                    ..SubscribeFilter::new(TopicFilter::new("a").unwrap(), qos)
                };
                bed.client
                    .subscribe(bed.now, &[filter], Properties::EMPTY)
                    .unwrap();
                let options = qos as u8
                    | u8::from(no_local) << 2
                    | u8::from(retain_as_published) << 3
                    | (retain_handling as u8) << 4;
                let expected = [0x82, 7, 0, 1, 0, 0, 1, b'a', options];
                assert_eq!(bed.sent_bytes(), expected);
                assert!(options & 0xC0 == 0 && options & 0x03 != 3 && options & 0x30 != 0x30);
                seen.push(options);
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 36);
    assert!(QoS::try_from(3).is_err() && RetainHandling::try_from(3).is_err());
}

/// 3.8.2.1.2: nothing is sent.
fn identifiers_of_subscriptions_are_not_0_and_not_several<F: Face>() {
    let zero = Properties::new(&[Property::SubscriptionIdentifier(0)]).map(drop);
    assert_eq!(zero, Err(EncodeError::InvalidPropertyValue(0x0B)));
    let two = [
        Property::SubscriptionIdentifier(1),
        Property::SubscriptionIdentifier(2),
    ];
    let mut bed = Bed::<F>::connected();
    let properties = Properties::new(&two).unwrap();
    let refused = bed.client.subscribe(bed.now, &[filter("a")], properties);
    let error = EncodeError::DuplicateProperty(0x0B);
    assert_eq!(refused, Err(Refused::Encode(error)));
    bed.expect_sent(&[]);
}

/// [MQTT-3.10.4-3]: what was under way is finished, whether it arrives before UNSUBACK or after it.
fn deliveries_go_on_after_unsubscribe<F: Face>() {
    let codes = reasons(&[0]);
    for answered in [false, true] {
        let mut bed = Bed::<F>::connected();
        let before = bed.token(&publish(ExactlyOnce, 1, "before"));
        bed.ack(before);
        let held = bed.token(&publish(AtLeastOnce, 2, "held"));
        bed.sent_bytes();
        bed.unsubscribe(&["t"]).unwrap();
        bed.sent_bytes();
        if answered {
            assert_eq!(bed.tell(&unsuback(1, &codes)).len(), 1);
        }
        bed.ack(held);
        bed.expect_sent(&[puback(2)]);
        assert_eq!(bed.tell(&pubrel(1)), []);
        bed.expect_sent(&[pubcomp(1)]);
        bed.message(&publish(AtMostOnce, 0, "after"));
        let after = bed.token(&publish(AtLeastOnce, 3, "after"));
        bed.ack(after);
        bed.expect_sent(&[puback(3)]);
        let after = bed.token(&publish(ExactlyOnce, 4, "after"));
        bed.ack(after);
        bed.expect_sent(&[pubrec(4)]);
        bed.tell(&pubrel(4));
        bed.expect_sent(&[pubcomp(4)]);
        assert_eq!(bed.client.held(), 0);
    }
}

/// [MQTT-3.3.2-3], [MQTT-4.5.0-2], [MQTT-3.3.4-1]: each by the rules of its QoS.
fn what_matches_no_subscription_is_delivered_and_acknowledged<F: Face>() {
    for (qos, answer) in [
        (AtMostOnce, None),
        (AtLeastOnce, Some(puback(7))),
        (ExactlyOnce, Some(pubrec(7))),
    ] {
        let mut bed = Bed::<F>::connected();
        bed.subscribe(&["subscribed/#"]).unwrap();
        bed.sent_bytes();
        let told = bed.message(&Packet::Publish(Publish {
            delivery: delivery(qos, 7, false),
            retain: false,
            topic: Some(TopicName::new("something/else").unwrap()),
            properties: Properties::EMPTY,
            payload: b"x",
        }));
        let Told::Message { topic, token, .. } = told else {
            panic!("{told:?}");
        };
        assert_eq!(topic, "something/else");
        if let Some(token) = token {
            bed.ack(token);
        }
        bed.expect_sent(answer.as_slice());
    }
}

/// [MQTT-3.3.2-10]: all of them at the same time.
fn every_alias_up_to_our_maximum_is_accepted<F: Face>() {
    for maximum in [1, 2, 8] {
        expect_aliases::<F>(maximum, 1);
    }
    if !F::FIXED {
        // The last one is among them.
        expect_aliases::<F>(u16::MAX, 217);
    }
}

fn expect_aliases<F: Face>(maximum: u16, step: usize) {
    let mut bed = Bed::<F>::new();
    let list = [LIMITS[0], LIMITS[1], Property::TopicAliasMaximum(maximum)];
    bed.open_with(&list, 60);
    bed.accept(&[]);
    for named in [true, false] {
        for alias in (1..=maximum).step_by(step) {
            let name = format!("topic/{alias}");
            let list = [Property::TopicAlias(alias)];
            let told = bed.message(&Packet::Publish(Publish {
                delivery: delivery(AtMostOnce, 0, false),
                retain: false,
                topic: named.then(|| TopicName::new(&name).unwrap()),
                properties: Properties::new(&list).unwrap(),
                payload: b"x",
            }));
            assert!(matches!(told, Told::Message { topic, .. } if topic == name));
        }
    }
}

/// 3.3.2.3.2: nothing is sent when it is not, and no identifier is taken.
fn a_payload_that_is_said_to_be_text_is_text<F: Face>() {
    let topic = TopicName::new("t").unwrap();
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let mut bed = Bed::<F>::connected();
        for (indicator, payload, refused) in [
            (Some(1), &b"\xFF"[..], true),
            (Some(1), b"cut off \xC3", true),
            (Some(1), b"\xED\xA0\x80", true),
            (Some(0), b"\xFF", false),
            (None, b"\xFF", false),
            (Some(1), "é\u{FEFF}".as_bytes(), false),
            (Some(1), b"", false),
        ] {
            let list = indicator.map(Property::PayloadFormatIndicator);
            let properties = Properties::new(list.as_slice()).unwrap();
            let message = Outbound {
                properties,
                ..Outbound::new(topic, qos, payload)
            };
            let result = bed.client.publish(bed.now, &message);
            if refused {
                assert_eq!(result, Err(Refused::Encode(EncodeError::PayloadNotText)));
                bed.expect_sent(&[]);
                assert_eq!((bed.client.in_flight(), bed.client.pending()), (0, 0));
                continue;
            }
            let op = result.unwrap();
            let sent = bed.sent_bytes();
            assert!(sent.ends_with(payload));
            if qos == AtLeastOnce {
                let id = u16::from_be_bytes([sent[5], sent[6]]);
                let ends = bed.tell(&ack_with(PacketType::Puback, id, 0, Properties::EMPTY));
                assert_eq!(ends, [Told::Completed(op, End::delivered())]);
            }
        }
    }
}
