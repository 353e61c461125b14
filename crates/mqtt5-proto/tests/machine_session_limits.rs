//! Message expiry, and what the next server rules out (D39, D40, E15).

mod machine;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{Op, Outbound, Packet, Properties, Property, QoS, Refused, State, TopicName};

use machine::packets::{again, delivery, puback, publish, pubrec, pubrel};
use machine::{Bed, End, Face, Told, every_storage, millis, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    expiry_counts_down_while_waiting,
    a_message_expires_before_it_is_first_sent,
    at_most_once_expires_too,
    expiry_at_once_is_not_changed,
    a_resend_carries_what_is_left,
    a_resend_carries_at_least_a_second_and_never_expires,
    what_was_not_handed_over_expires,
    a_lower_qos_rules_out_what_waits_and_what_is_sent_again,
    no_retain_rules_out_what_waits_and_what_is_sent_again,
    a_smaller_packet_size_rules_out_what_waits_and_what_is_sent_again,
    a_limit_rules_out_nothing_after_pubrec,
    what_is_ruled_out_gives_way_to_what_is_not,
);

fn expiring<'a>(properties: &'a [Property<'a>], qos: QoS, id: u16, dup: bool) -> Packet<'a> {
    Packet::Publish(Publish {
        delivery: delivery(qos, id, dup),
        retain: false,
        topic: Some(TopicName::new("t").unwrap()),
        properties: Properties::new(properties).unwrap(),
        payload: b"x",
    })
}

fn expect_expiry<F: Face>(bed: &mut Bed<F>, qos: QoS, id: u16, dup: bool, seconds: u32) {
    let properties = [
        Property::ContentType("before"),
        Property::MessageExpiryInterval(seconds),
    ];
    bed.expect_sent(&[expiring(&properties, qos, id, dup)]);
}

fn publish_expiring<F: Face>(bed: &mut Bed<F>, qos: QoS, seconds: u32) -> Op {
    let properties = [
        Property::ContentType("before"),
        Property::MessageExpiryInterval(seconds),
    ];
    let topic = TopicName::new("t").unwrap();
    let message = Outbound {
        properties: Properties::new(&properties).unwrap(),
        ..Outbound::new(topic, qos, "x")
    };
    bed.client.publish(bed.now, &message).unwrap()
}

/// A bed in which one publish with identifier 1 fills the server's Receive Maximum.
fn full<F: Face>() -> Bed<F> {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(false, &[Property::ReceiveMaximum(1)]);
    bed.publish(AtLeastOnce, "full").unwrap();
    bed.sent_bytes();
    bed
}

/// D39: what is left, rounded up.
fn expiry_counts_down_while_waiting<F: Face>() {
    for (waited, left) in [(0, 10), (1, 10), (1_000, 9), (1_001, 9), (9_999, 1)] {
        let mut bed = full::<F>();
        publish_expiring(&mut bed, AtLeastOnce, 10);
        bed.wait(millis(waited));
        bed.tell(&puback(1));
        expect_expiry(&mut bed, AtLeastOnce, 2, false, left);
    }
}

fn a_message_expires_before_it_is_first_sent<F: Face>() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let mut bed = full::<F>();
        let op = publish_expiring(&mut bed, qos, 10);
        bed.publish(AtMostOnce, "next").unwrap();
        bed.wait(secs(10));
        let events = bed.tell(&puback(1));
        assert!(events.contains(&Told::Completed(op, End::Expired)));
        assert_eq!(events.len(), 3);
        bed.expect_sent(&[publish(AtMostOnce, 0, "next")]);
        bed.expect_empty();
    }
}

fn at_most_once_expires_too<F: Face>() {
    let mut bed = full::<F>();
    bed.publish(AtLeastOnce, "waits").unwrap();
    let op = publish_expiring(&mut bed, AtMostOnce, 10);
    bed.wait(secs(10));
    let events = bed.tell(&puback(1));
    assert_eq!(events[1..], [Told::Completed(op, End::Expired)]);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "waits")]);
    assert_eq!(bed.client.pending(), 0);
}

fn expiry_at_once_is_not_changed<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    publish_expiring(&mut bed, AtLeastOnce, 10);
    bed.wait(secs(5));
    expect_expiry(&mut bed, AtLeastOnce, 1, false, 10);
}

fn a_resend_carries_what_is_left<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    publish_expiring(&mut bed, ExactlyOnce, 10);
    bed.sent_bytes();
    bed.wait(secs(3));
    bed.lose();
    bed.wait(secs(3));
    bed.resume(true, &[]);
    expect_expiry(&mut bed, ExactlyOnce, 1, true, 4);
}

fn a_resend_carries_at_least_a_second_and_never_expires<F: Face>() {
    for waited in [9_500, 10_000, 1_000_000] {
        let mut bed = Bed::<F>::keeping();
        publish_expiring(&mut bed, AtLeastOnce, 10);
        bed.sent_bytes();
        bed.lose();
        bed.wait(millis(waited));
        assert_eq!(bed.resume(true, &[]), []);
        expect_expiry(&mut bed, AtLeastOnce, 1, true, 1);
    }
}

fn what_was_not_handed_over_expires<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = publish_expiring(&mut bed, AtLeastOnce, 10);
    bed.lose();
    bed.wait(secs(10));
    assert_eq!(bed.resume(true, &[]), [Told::Completed(op, End::Expired)]);
    bed.expect_sent(&[]);
    bed.expect_empty();
}

/// Three publishes, the middle one ruled out by these properties of the next CONNACK: handed over, or not.
fn ruled_out<F: Face>(outbound: &Outbound<'_>, next: &[Property<'_>], limit: Refused) {
    for handed in [true, false] {
        let mut bed = Bed::<F>::keeping();
        let first = bed.publish(AtLeastOnce, "a").unwrap();
        let op = bed.client.publish(bed.now, outbound).unwrap();
        let last = bed.publish(AtLeastOnce, "b").unwrap();
        if handed {
            bed.sent_bytes();
        }
        bed.lose();
        let end = Told::Completed(op, End::LimitExceeded(limit));
        assert_eq!(bed.resume(true, next), [end]);
        assert_eq!(bed.client.state(), State::Connected);
        let ids = if handed {
            bed.expect_sent(&[again(AtLeastOnce, 1, "a"), again(AtLeastOnce, 3, "b")]);
            [1, 3]
        } else {
            bed.expect_sent(&[publish(AtLeastOnce, 4, "a"), publish(AtLeastOnce, 5, "b")]);
            [4, 5]
        };
        for (op, id) in [first, last].into_iter().zip(ids) {
            let end = Told::Completed(op, End::delivered());
            assert_eq!(bed.tell(&puback(id)), [end]);
        }
        bed.expect_empty();
    }
}

/// [MQTT-3.2.2-11].
fn a_lower_qos_rules_out_what_waits_and_what_is_sent_again<F: Face>() {
    let message = Outbound::new(TopicName::new("t").unwrap(), ExactlyOnce, "x");
    let limit = Refused::QoSNotSupported(AtLeastOnce);
    ruled_out::<F>(&message, &[Property::MaximumQoS(1)], limit);
}

/// [MQTT-3.2.2-14].
fn no_retain_rules_out_what_waits_and_what_is_sent_again<F: Face>() {
    let message = Outbound {
        retain: true,
        ..Outbound::new(TopicName::new("t").unwrap(), ExactlyOnce, "x")
    };
    let limit = Refused::RetainNotSupported;
    ruled_out::<F>(&message, &[Property::RetainAvailable(false)], limit);
}

/// [MQTT-3.2.2-15].
fn a_smaller_packet_size_rules_out_what_waits_and_what_is_sent_again<F: Face>() {
    let text = "x".repeat(100);
    let message = Outbound::new(TopicName::new("t").unwrap(), AtLeastOnce, &text[..]);
    let limit = Refused::TooLarge {
        length: 108,
        maximum: 107,
    };
    ruled_out::<F>(&message, &[Property::MaximumPacketSize(107)], limit);
}

fn a_limit_rules_out_nothing_after_pubrec<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    bed.lose();
    assert_eq!(bed.resume(true, &[Property::MaximumQoS(0)]), []);
    bed.expect_sent(&[pubrel(1)]);
}

/// Also when Receive Maximum holds up the others.
fn what_is_ruled_out_gives_way_to_what_is_not<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.sent_bytes();
    bed.lose();
    let next = [Property::MaximumQoS(1), Property::ReceiveMaximum(1)];
    let limit = Refused::QoSNotSupported(AtLeastOnce);
    assert_eq!(
        bed.resume(true, &next),
        [Told::Completed(op, End::LimitExceeded(limit))]
    );
    bed.expect_sent(&[again(AtLeastOnce, 2, "b")]);
}
