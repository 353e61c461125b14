//! Message expiry, and what the next server rules out (D39, D40, E15).

mod machine;

use mqtt5_proto::packet::Publish;
use mqtt5_proto::{
    DisconnectReason, Op, Outbound, Packet, Properties, Property, QoS, Refused, State, TimerReason,
    TopicName,
};

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
    what_waits_expires_in_time,
    a_timer_for_what_waits_only,
    everything_that_waits_is_looked_at,
    a_loss_in_the_middle_of_it,
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

/// S53: whatever stands before it, at the moment when it does, in every state of the connection.
fn what_waits_expires_in_time<F: Face>() {
    type Act<F> = fn(&mut Bed<F>);
    let acts: [Act<F>; 4] = [
        |_| {},
        |bed| drop(bed.lose()),
        |bed| {
            bed.lose();
            bed.reopen();
        },
        |bed| {
            let normal = DisconnectReason::Normal;
            let properties = Properties::EMPTY;
            bed.client.disconnect(bed.now, normal, properties).unwrap();
        },
    ];
    for act in acts {
        let mut bed = full::<F>();
        let start = bed.now.as_micros() / 1_000;
        bed.publish(AtLeastOnce, "waits").unwrap();
        let later = publish_expiring(&mut bed, AtLeastOnce, 6);
        let first = publish_expiring(&mut bed, ExactlyOnce, 5);
        let also = publish_expiring(&mut bed, AtLeastOnce, 5);
        bed.publish(AtLeastOnce, "waits too").unwrap();
        act(&mut bed);
        bed.events();
        let pending = bed.client.pending();
        bed.sleep_until(start + 4_999);
        assert_eq!(bed.events(), []);
        let timer = |seconds: u64| Some((start + seconds * 1_000, TimerReason::MessageExpiry));
        assert_eq!(bed.timer(), timer(5));
        bed.sleep_until(start + 5_000);
        let expired = |op| Told::Completed(op, End::Expired);
        assert_eq!(bed.events(), [expired(first), expired(also)]);
        assert_eq!(bed.timer(), timer(6));
        assert_eq!(bed.client.pending(), pending - 2);
        bed.sleep_until(start + 6_000);
        assert_eq!(bed.events(), [expired(later)]);
        assert!(!matches!(
            bed.timer(),
            Some((_, TimerReason::MessageExpiry))
        ));
        assert_eq!(bed.client.pending(), pending - 3);
    }
}

/// One timer for all of them, and none when none waits.
fn a_timer_for_what_waits_only<F: Face>() {
    let mut bed = full::<F>();
    let timer = bed.timer();
    let one = publish_expiring(&mut bed, AtLeastOnce, 20);
    let two = publish_expiring(&mut bed, AtLeastOnce, 10);
    assert!(bed.client.withdraw(two));
    // Harmless when early: the one that is gone.
    bed.elapse(secs(10));
    assert_eq!(bed.events(), []);
    let expiry = bed.now.as_micros() / 1_000 + 10_000;
    assert_eq!(bed.timer(), Some((expiry, TimerReason::MessageExpiry)));
    assert!(bed.client.withdraw(one));
    assert_eq!(bed.timer(), timer);
    publish_expiring(&mut bed, AtLeastOnce, 20);
    bed.tell(&puback(1));
    bed.sent_bytes();
    assert_ne!(bed.timer().unwrap().1, TimerReason::MessageExpiry);
}

/// Those that wait behind others are looked at, each once, and those that stay keep their order.
fn everything_that_waits_is_looked_at<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(false, &[Property::ReceiveMaximum(1)]);
    let full = bed.publish(AtLeastOnce, "full").unwrap();
    let ops = [
        ExactlyOnce,
        AtLeastOnce,
        AtLeastOnce,
        ExactlyOnce,
        ExactlyOnce,
        AtLeastOnce,
    ]
    .map(|qos| bed.publish(qos, "x").unwrap());
    bed.sent_bytes();
    bed.lose();
    let limits = [Property::MaximumQoS(1), Property::ReceiveMaximum(1)];
    bed.reopen();
    bed.connack(true, &limits);
    let connected = bed.client.poll_event(bed.now);
    assert!(matches!(connected, Some(Told::Connected { .. })));
    let ruled_out = |op| {
        let limit = Refused::QoSNotSupported(AtLeastOnce);
        Some(Told::Completed(op, End::LimitExceeded(limit)))
    };
    assert_eq!(bed.client.poll_event(bed.now), ruled_out(ops[0]));
    let last = bed.publish(AtLeastOnce, "y").unwrap();
    assert_eq!(bed.client.poll_event(bed.now), ruled_out(ops[3]));
    // What stood before those that are still to be looked at is taken back in the middle of it.
    assert!(bed.client.withdraw(ops[1]));
    assert_eq!(bed.client.poll_event(bed.now), ruled_out(ops[4]));
    assert_eq!(bed.client.poll_event(bed.now), None);
    bed.expect_sent(&[again(AtLeastOnce, 1, "full")]);
    for (n, (op, text)) in [(full, "x"), (ops[2], "x"), (ops[5], "y")]
        .into_iter()
        .enumerate()
    {
        let id = u16::try_from(n).unwrap() + 1;
        let end = Told::Completed(op, End::delivered());
        assert_eq!(bed.tell(&puback(id)), [end]);
        bed.expect_sent(&[publish(AtLeastOnce, id + 1, text)]);
    }
    assert_eq!(
        bed.tell(&puback(4)),
        [Told::Completed(last, End::delivered())]
    );
}

/// A limit of the next server, in the middle of telling what that of the last one rules out.
fn a_loss_in_the_middle_of_it<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let ops = [1, 2, 3].map(|_| bed.publish(ExactlyOnce, "x").unwrap());
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    bed.connack(true, &[Property::MaximumQoS(1)]);
    bed.client.poll_event(bed.now);
    let limit = Refused::QoSNotSupported(AtLeastOnce);
    let end = Told::Completed(ops[0], End::LimitExceeded(limit));
    assert_eq!(bed.client.poll_event(bed.now), Some(end));
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[again(ExactlyOnce, 2, "x"), again(ExactlyOnce, 3, "x")]);
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
