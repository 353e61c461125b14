//! What session state must survive, and what must not be sent a second time (4.1, 4.3, 4.4).

mod machine;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{Outbound, Packet, PacketType, Properties, Property, QoS, State, TopicName};

use machine::packets::{
    ack_with, again, delivery, puback, pubcomp, publish, publish_with, pubrec, pubrel,
};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, secs};

use PacketType::{Puback, Pubrec};
use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    no_expiry_ends_a_session_that_is_in_use,
    a_session_is_kept_exactly_when_it_outlives_the_connection,
    what_was_refused_is_not_sent_again,
    what_is_acknowledged_is_not_sent_again,
    a_publish_that_was_sent_expires_no_more,
    a_received_message_that_has_expired_is_finished,
    identifiers_are_fresh_and_flags_are_new,
);

/// [MQTT-4.1.0-1]: the Session Expiry Interval counts from the end of the connection.
fn no_expiry_ends_a_session_that_is_in_use<F: Face>() {
    for expiry in [0, 1, 100] {
        let mut bed = Bed::<F>::new();
        let list = [
            LIMITS[0],
            LIMITS[1],
            Property::SessionExpiryInterval(expiry),
        ];
        bed.open_with(&list, 60);
        bed.accept(&[]);
        let at_least_once = bed.publish(AtLeastOnce, "a").unwrap();
        let released = bed.publish(ExactlyOnce, "b").unwrap();
        bed.sent_bytes();
        bed.tell(&pubrec(2));
        let token = bed.token(&publish(ExactlyOnce, 7, "in"));
        bed.ack(token);
        let held = bed.token(&publish(AtLeastOnce, 8, "in"));
        bed.sent_bytes();
        for _ in 0..200 {
            bed.elapse(secs(55));
            bed.expect_sent(&[Packet::Pingreq]);
            bed.tell(&Packet::Pingresp);
        }
        assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
        assert_eq!(bed.tell(&again(AtLeastOnce, 8, "in")), []);
        bed.ack(held);
        bed.expect_sent(&[pubrec(7), puback(8)]);
        for (packet, op) in [(puback(1), at_least_once), (pubcomp(2), released)] {
            assert_eq!(
                bed.tell(&packet),
                [Told::Completed(op, End::delivered())],
                "{expiry}"
            );
        }
        bed.tell(&pubrel(7));
        bed.expect_sent(&[pubcomp(7)]);
        bed.expect_empty();
    }
}

/// [MQTT-3.1.2-23]: by the interval that is in force, the server's if it sent one.
fn a_session_is_kept_exactly_when_it_outlives_the_connection<F: Face>() {
    for (ours, server, kept) in [
        (0, None, false),
        (1, None, true),
        (u32::MAX, None, true),
        (100, Some(0), false),
        (0, Some(100), true),
    ] {
        let mut bed = Bed::<F>::keeping();
        bed.lose();
        bed.reopen_with(true, ours);
        let list = server.map(Property::SessionExpiryInterval);
        bed.connack(false, list.as_slice());
        bed.events();
        let op = bed.publish(ExactlyOnce, "x").unwrap();
        bed.sent_bytes();
        let token = bed.token(&publish(ExactlyOnce, 7, "in"));
        bed.ack(token);
        bed.sent_bytes();
        let ends = bed.lose();
        assert_eq!(bed.client.has_session(), kept, "{ours} {server:?}");
        if kept {
            assert_eq!(ends, []);
            bed.wait(secs(1_000_000));
            assert_eq!(bed.resume(true, &[]), []);
            bed.expect_sent(&[again(ExactlyOnce, 1, "x")]);
            assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
            bed.expect_sent(&[pubrec(7)]);
        } else {
            assert_eq!(ends, [Told::Completed(op, End::Unknown)]);
            bed.expect_empty();
        }
    }
}

/// [MQTT-4.4.0-2]: a code of 0x80 or more acknowledges too; the identifier is free.
fn what_was_refused_is_not_sent_again<F: Face>() {
    for (qos, packet) in [(AtLeastOnce, Puback), (ExactlyOnce, Pubrec)] {
        for code in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] {
            let mut bed = Bed::<F>::keeping();
            bed.publish(qos, "refused").unwrap();
            bed.publish(qos, "open").unwrap();
            bed.sent_bytes();
            let events = bed.tell(&ack_with(packet, 1, code, Properties::EMPTY));
            assert!(matches!(
                events[..],
                [Told::Completed(_, End::Rejected(..))]
            ));
            bed.lose();
            bed.resume(true, &[]);
            bed.expect_sent(&[again(qos, 2, "open")]);
        }
    }
}

/// [MQTT-4.4.0-1], [MQTT-4.3.2-3], [MQTT-4.3.3-3], [MQTT-4.3.3-5], [MQTT-4.3.3-6]: at every stage of an exchange, on every
/// connection until it ends, and on none after that.
fn what_is_acknowledged_is_not_sent_again<F: Face>() {
    let publish_again = |qos| Some(again(qos, 1, "x"));
    for (qos, answers, expected) in [
        (AtLeastOnce, vec![], publish_again(AtLeastOnce)),
        (AtLeastOnce, vec![puback(1)], None),
        (ExactlyOnce, vec![], publish_again(ExactlyOnce)),
        (ExactlyOnce, vec![pubrec(1)], Some(pubrel(1))),
        (ExactlyOnce, vec![pubrec(1), pubcomp(1)], None),
    ] {
        let mut bed = Bed::<F>::keeping();
        bed.publish(qos, "x").unwrap();
        bed.sent_bytes();
        for answer in &answers {
            bed.tell(answer);
        }
        bed.sent_bytes();
        for _ in 0..3 {
            assert_eq!(bed.client.in_flight(), usize::from(expected.is_some()));
            bed.lose();
            assert_eq!(bed.resume(true, &[]), []);
            bed.expect_sent(expected.as_slice());
        }
    }
}

/// A message with a Message Expiry Interval.
fn expiring<'a>(list: &'a [Property<'a>], qos: QoS, id: u16, dup: bool) -> Packet<'a> {
    Packet::Publish(Publish {
        delivery: delivery(qos, id, dup),
        retain: false,
        topic: Some(TopicName::new("t").unwrap()),
        properties: Properties::new(list).unwrap(),
        payload: b"x",
    })
}

/// [MQTT-4.3.3-7]: whether it was answered or not, the exchange goes on to its end.
fn a_publish_that_was_sent_expires_no_more<F: Face>() {
    let list = [Property::MessageExpiryInterval(10)];
    let message = Outbound {
        properties: Properties::new(&list).unwrap(),
        ..Outbound::new(TopicName::new("t").unwrap(), ExactlyOnce, "x")
    };
    for answered in [false, true] {
        let mut bed = Bed::<F>::keeping();
        let op = bed.client.publish(bed.now, &message).unwrap();
        bed.expect_sent(&[expiring(&list, ExactlyOnce, 1, false)]);
        if answered {
            bed.tell(&pubrec(1));
            bed.expect_sent(&[pubrel(1)]);
        }
        bed.wait(secs(1_000));
        assert_eq!(bed.lose(), []);
        assert_eq!(bed.resume(true, &[]), []);
        if answered {
            bed.expect_sent(&[pubrel(1)]);
        } else {
            let left = [Property::MessageExpiryInterval(1)];
            bed.expect_sent(&[expiring(&left, ExactlyOnce, 1, true)]);
            bed.wait(secs(1_000));
            assert_eq!(bed.tell(&pubrec(1)), []);
            bed.expect_sent(&[pubrel(1)]);
        }
        let ends = bed.tell(&pubcomp(1));
        assert_eq!(ends, [Told::Completed(op, End::delivered())]);
    }
}

/// [MQTT-4.3.3-13]: also across connections.
fn a_received_message_that_has_expired_is_finished<F: Face>() {
    for seconds in [0, 1] {
        let list = [Property::MessageExpiryInterval(seconds)];
        let mut bed = Bed::<F>::keeping();
        let token = bed.token(&expiring(&list, ExactlyOnce, 7, false));
        bed.wait(secs(1_000));
        bed.ack(token);
        bed.expect_sent(&[pubrec(7)]);
        bed.wait(secs(1_000));
        bed.lose();
        bed.resume(true, &[]);
        assert_eq!(bed.tell(&expiring(&list, ExactlyOnce, 7, true)), []);
        bed.expect_sent(&[pubrec(7)]);
        bed.wait(secs(1_000));
        bed.tell(&pubrel(7));
        bed.expect_sent(&[pubcomp(7)]);
        bed.expect_empty();
    }
}

/// [MQTT-4.3.2-1], [MQTT-4.3.2-2], [MQTT-4.3.3-1], [MQTT-4.3.3-2], [MQTT-3.3.1-1]: DUP is 0 on every first transmission and 1
/// on every other, and an open exchange keeps its identifier to itself.
fn identifiers_are_fresh_and_flags_are_new<F: Face>() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let mut bed = Bed::<F>::keeping();
        for id in 1..=4 {
            bed.publish(qos, "x").unwrap();
            bed.expect_sent(&[publish_with(delivery(qos, id, false), "x")]);
        }
        bed.lose();
        bed.resume(true, &[]);
        bed.expect_sent(&[1, 2, 3, 4].map(|id| publish_with(delivery(qos, id, true), "x")));
        bed.publish(qos, "y").unwrap();
        bed.expect_sent(&[publish_with(delivery(qos, 5, false), "y")]);
        assert_eq!(bed.client.state(), State::Connected);
    }
}
