//! How much may be under way: the server's Receive Maximum (4.9), identifiers, what waits, and for how many bytes.

mod machine;

use mqtt5_proto::{Config, PacketType, Properties, Property, QoS, Refused};

use machine::packets::{
    ack_with, filter, puback, pubcomp, publish, pubrec, pubrel, reasons, suback, subscribe,
};
use machine::{Bed, End, Face, LIMITS, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    hb_40_receive_maximum_is_never_exceeded,
    receive_maximum_of_one,
    an_exchange_counts_until_it_is_finished,
    a_refusal_returns_its_quota,
    what_waits_leaves_in_the_order_of_acceptance,
    other_packets_pass_an_exhausted_quota,
    hb_38_identifiers_go_round,
    publishes_and_requests_share_identifiers,
    our_own_limit_of_exchanges,
    so_many_may_wait,
    so_many_bytes_may_wait,
    one_larger_message_may_wait_alone,
    a_publish_that_waits_can_be_withdrawn,
    hb_39_an_encoded_publish_cannot_be_withdrawn,
    retained_bytes_are_bounded,
);

fn completed(events: &[Told]) -> usize {
    let delivered = |event: &&Told| matches!(event, Told::Completed(_, End::Delivered(..)));
    events.iter().filter(delivered).count()
}

/// [MQTT-3.3.4-7], [MQTT-4.9.0-1], [MQTT-4.9.0-2]: whatever the mix of QoS 1 and 2. T25, T130.
fn hb_40_receive_maximum_is_never_exceeded<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(3)]);
    for n in 0..8 {
        let qos = if n % 2 == 0 { AtLeastOnce } else { ExactlyOnce };
        bed.publish(qos, &n.to_string()).unwrap();
    }
    bed.expect_sent(&[
        publish(AtLeastOnce, 1, "0"),
        publish(ExactlyOnce, 2, "1"),
        publish(AtLeastOnce, 3, "2"),
    ]);
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (3, 5));
    assert_eq!(completed(&bed.tell(&puback(3))), 1);
    bed.expect_sent(&[publish(ExactlyOnce, 4, "3")]);
    assert_eq!(completed(&bed.tell(&puback(1))), 1);
    bed.expect_sent(&[publish(AtLeastOnce, 5, "4")]);
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (3, 3));
}

fn receive_maximum_of_one<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    for n in 0..5 {
        bed.publish(AtLeastOnce, &n.to_string()).unwrap();
    }
    for n in 1..=5 {
        let payload = (n - 1).to_string();
        bed.expect_sent(&[publish(AtLeastOnce, n, &payload)]);
        assert_eq!(completed(&bed.tell(&puback(n))), 1);
    }
    bed.expect_sent(&[]);
}

/// D34, 4.9: PUBREC does not return the quota, PUBCOMP does. T130, T151.
fn an_exchange_counts_until_it_is_finished<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a")]);
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[pubrel(1)]);
    assert_eq!(completed(&bed.tell(&pubcomp(1))), 1);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "b")]);
}

/// 4.9, D25, T4: PUBACK and PUBREC with an error return the quota like any end. T130, T151.
fn a_refusal_returns_its_quota<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    for (n, qos, packet) in [
        (1, AtLeastOnce, PacketType::Puback),
        (2, ExactlyOnce, PacketType::Pubrec),
        (3, ExactlyOnce, PacketType::Pubrec),
    ] {
        bed.publish(qos, "x").unwrap();
        bed.expect_sent(&[publish(qos, n, "x")]);
        assert_eq!(
            bed.tell(&ack_with(packet, n, 0x97, Properties::EMPTY))
                .len(),
            1
        );
        assert_eq!(bed.client.in_flight(), 0);
    }
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 4, "x")]);
}

/// A QoS 0 publish does not overtake what was accepted before it; that it was encoded is then an event.
fn what_waits_leaves_in_the_order_of_acceptance<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    let third = bed.publish(AtMostOnce, "c").unwrap();
    let fourth = bed.publish(AtMostOnce, "d").unwrap();
    bed.publish(AtLeastOnce, "e").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a")]);
    assert!(bed.client.is_pending(third));
    let events = bed.tell(&puback(1));
    assert_eq!(completed(&events), 1);
    assert_eq!(events[1], Told::Completed(third, End::Accepted));
    assert_eq!(events[2], Told::Completed(fourth, End::Accepted));
    bed.expect_sent(&[
        publish(AtLeastOnce, 2, "b"),
        publish(AtMostOnce, 0, "c"),
        publish(AtMostOnce, 0, "d"),
    ]);
    assert_eq!(bed.client.pending(), 1);
    assert_eq!(completed(&bed.tell(&puback(2))), 1);
    bed.expect_sent(&[publish(AtLeastOnce, 3, "e")]);
}

/// [MQTT-4.9.0-3]: acknowledgements, SUBSCRIBE and QoS 0 go on; T4.
fn other_packets_pass_an_exhausted_quota<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtMostOnce, "b").unwrap();
    bed.sent_bytes();
    bed.subscribe(&["a"]).unwrap();
    bed.expect_sent(&[subscribe(2, &[filter("a")])]);
    let token = bed.token(&publish(AtLeastOnce, 1, "x"));
    bed.ack(token);
    bed.expect_sent(&[puback(1)]);
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[pubrel(1)]);
}

/// [MQTT-2.2.1-3], HB-38: round robin, so that an identifier rests as long as possible; not lowest free. T125, T150.
fn hb_38_identifiers_go_round<F: Face>() {
    let mut bed = Bed::<F>::connected();
    for n in 1..=u16::MAX {
        bed.publish(AtLeastOnce, "").unwrap();
        if n == 1 {
            bed.expect_sent(&[publish(AtLeastOnce, n, "")]);
            continue;
        }
        assert_eq!(bed.sent_bytes()[5..7], n.to_be_bytes());
        assert_eq!(completed(&bed.tell(&puback(n))), 1);
    }
    // 1 is still in use.
    bed.publish(AtLeastOnce, "").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 2, "")]);
}

/// [MQTT-2.2.1-3]: one range for PUBLISH, SUBSCRIBE and UNSUBSCRIBE.
fn publishes_and_requests_share_identifiers<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.subscribe(&["a"]).unwrap();
    bed.publish(AtLeastOnce, "").unwrap();
    bed.unsubscribe(&["a"]).unwrap();
    let sent = bed.sent_bytes();
    assert_eq!(sent[..4], [0x82, 7, 0, 1]);
    assert_eq!(sent[9..16], [0x32, 6, 0, 1, b't', 0, 2]);
    assert_eq!(sent[17..21], [0xA2, 6, 0, 3]);
    // All others are used once; the next ones are those that are free.
    for n in 4..=u16::MAX {
        bed.publish(AtLeastOnce, "").unwrap();
        bed.sent_bytes();
        assert_eq!(completed(&bed.tell(&puback(n))), 1);
    }
    assert_eq!(bed.tell(&suback(1, &reasons(&[0]))).len(), 1);
    bed.publish(ExactlyOnce, "").unwrap();
    bed.publish(ExactlyOnce, "").unwrap();
    bed.expect_sent(&[publish(ExactlyOnce, 1, ""), publish(ExactlyOnce, 4, "")]);
}

fn our_own_limit_of_exchanges<F: Face>() {
    let mut config = Config::default();
    config.maximum_in_flight = 2;
    let mut bed = Bed::<F>::with(config);
    bed.open();
    bed.accept(&[]);
    for _ in 0..3 {
        bed.publish(AtLeastOnce, "").unwrap();
    }
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (2, 1));
}

/// A bed of which nothing but the first publish may be encoded.
fn blocked<F: Face>(config: Config) -> Bed<F> {
    let mut bed = Bed::<F>::with(config);
    bed.open();
    bed.accept(&[Property::ReceiveMaximum(1)]);
    bed.publish(AtLeastOnce, "first").unwrap();
    bed.sent_bytes();
    bed
}

fn so_many_may_wait<F: Face>() {
    let mut config = Config::default();
    config.maximum_pending = 3;
    let mut bed = blocked::<F>(config);
    for _ in 0..3 {
        bed.publish(AtLeastOnce, "x").unwrap();
    }
    assert_eq!(bed.publish(AtLeastOnce, "x"), Err(Refused::Full));
    assert_eq!(bed.publish(AtMostOnce, "x"), Err(Refused::Full));
    assert_eq!(completed(&bed.tell(&puback(1))), 1);
    bed.publish(AtLeastOnce, "x").unwrap();
    assert_eq!(bed.publish(AtLeastOnce, "x"), Err(Refused::Full));
}

fn so_many_bytes_may_wait<F: Face>() {
    let mut config = Config::default();
    config.maximum_pending_bytes = 200;
    let mut bed = blocked::<F>(config);
    // Each is a packet of 100 bytes.
    let payload = "x".repeat(92);
    let first = bed.publish(AtLeastOnce, &payload).unwrap();
    bed.publish(AtLeastOnce, &payload).unwrap();
    assert_eq!(bed.publish(AtLeastOnce, ""), Err(Refused::Full));
    assert!(bed.client.withdraw(first));
    bed.publish(AtLeastOnce, &payload).unwrap();
    assert_eq!(bed.publish(AtLeastOnce, ""), Err(Refused::Full));
    assert_eq!(completed(&bed.tell(&puback(1))), 1);
    bed.publish(AtLeastOnce, &payload).unwrap();
    assert_eq!(bed.publish(AtLeastOnce, ""), Err(Refused::Full));
}

fn one_larger_message_may_wait_alone<F: Face>() {
    let mut config = Config::default();
    config.maximum_pending_bytes = 200;
    let mut bed = blocked::<F>(config);
    let large = "x".repeat(400);
    bed.publish(AtLeastOnce, &large).unwrap();
    assert_eq!(bed.publish(AtLeastOnce, ""), Err(Refused::Full));
    assert_eq!(completed(&bed.tell(&puback(1))), 1);
    bed.expect_sent(&[publish(AtLeastOnce, 2, &large)]);
    bed.publish(AtLeastOnce, "").unwrap();
    assert_eq!(bed.publish(AtLeastOnce, &large), Err(Refused::Full));
}

/// D35, E3: nothing more is told of it, its bytes never leave, its identifier was never taken. T151.
fn a_publish_that_waits_can_be_withdrawn<F: Face>() {
    let mut bed = blocked::<F>(Config::default());
    let ops: Vec<_> = ["a", "b", "c"]
        .map(|payload| bed.publish(AtLeastOnce, payload).unwrap())
        .into();
    assert!(bed.client.is_pending(ops[1]));
    assert!(bed.client.withdraw(ops[1]));
    assert!(!bed.client.withdraw(ops[1]));
    assert!(!bed.client.is_pending(ops[1]));
    assert_eq!(bed.client.pending(), 2);
    assert_eq!(completed(&bed.tell(&puback(1))), 1);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "a")]);
    assert_eq!(completed(&bed.tell(&puback(2))), 1);
    bed.expect_sent(&[publish(AtLeastOnce, 3, "c")]);
    let events = bed.close();
    assert_eq!(events[1..], [Told::Completed(ops[2], End::Unknown)]);
}

/// D35.
fn hb_39_an_encoded_publish_cannot_be_withdrawn<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    let request = bed.subscribe(&["a"]).unwrap();
    assert!(!bed.client.withdraw(op) && !bed.client.withdraw(request));
    bed.sent_bytes();
    assert!(!bed.client.withdraw(op));
    assert_eq!(completed(&bed.tell(&puback(1))), 1);
    assert!(!bed.client.withdraw(op));
}

/// What is kept for unfinished exchanges is bounded, but a single larger message goes alone; every end gives it back.
fn retained_bytes_are_bounded<F: Face>() {
    let mut config = Config::default();
    config.maximum_retained_bytes = 100;
    let mut bed = Bed::<F>::with(config);
    bed.open();
    bed.accept(&[]);
    let payload = "x".repeat(40);
    for round in 0..3_u16 {
        for _ in 0..3 {
            bed.publish(AtLeastOnce, &payload).unwrap();
        }
        let first = round * 3 + 1;
        assert_eq!((bed.client.in_flight(), bed.client.pending()), (2, 1));
        for n in 0..3 {
            bed.sent_bytes();
            assert_eq!(completed(&bed.tell(&puback(first + n))), 1);
        }
        assert_eq!((bed.client.in_flight(), bed.client.pending()), (0, 0));
    }
    bed.publish(AtLeastOnce, &"x".repeat(400)).unwrap();
    assert_eq!(bed.client.in_flight(), 1);
    bed.publish(AtLeastOnce, "").unwrap();
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (1, 1));
    bed.close();
    bed.open_with(&LIMITS, 60);
    bed.accept(&[]);
    bed.publish(AtLeastOnce, &payload).unwrap();
    bed.publish(AtLeastOnce, &payload).unwrap();
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (2, 0));
}

#[cfg(feature = "alloc")]
mod growable {
    use super::*;
    use machine::{Borrowing, Lending};

    /// HB-40: all identifiers in use is back-pressure: publishes wait, a SUBSCRIBE is refused; O(1) for each. T150, T158.
    #[test]
    fn hb_40_all_identifiers_in_use() {
        let mut bed = Bed::<Lending>::connected();
        for n in 1..=u16::MAX {
            bed.publish(AtLeastOnce, "").unwrap();
            if n % 4_096 == 0 {
                bed.sent_bytes();
                bed.events();
            }
        }
        bed.events();
        assert_eq!((bed.client.in_flight(), bed.client.pending()), (65_535, 0));
        assert_eq!(bed.subscribe(&["a"]), Err(Refused::PacketIdsExhausted));
        bed.publish(AtLeastOnce, "waits").unwrap();
        assert_eq!(bed.client.pending(), 1);
        bed.sent_bytes();
        assert_eq!(completed(&bed.tell(&puback(777))), 1);
        bed.expect_sent(&[publish(AtLeastOnce, 777, "waits")]);
        // A request takes one, too.
        assert_eq!(completed(&bed.tell(&puback(778))), 1);
        bed.subscribe(&["a"]).unwrap();
        bed.sent_bytes();
        bed.publish(AtLeastOnce, "waits").unwrap();
        assert_eq!((bed.client.in_flight(), bed.client.pending()), (65_534, 1));
        assert_eq!(bed.subscribe(&["b"]), Err(Refused::PacketIdsExhausted));
        bed.tell(&suback(778, &reasons(&[0])));
        bed.expect_sent(&[publish(AtLeastOnce, 778, "waits")]);
        for n in 1..=u16::MAX {
            bed.feed(&puback(n));
        }
        assert_eq!(completed(&bed.events()), 65_535);
        assert_eq!(bed.client.in_flight(), 0);
    }

    /// 3.1.2.11.3: ours, where CONNECT does not say it.
    #[test]
    fn receive_maximum_by_default() {
        let mut bed = Bed::<Borrowing>::new();
        bed.open_with(&[], 60);
        bed.accept(&[]);
        for n in 1..=u16::MAX {
            bed.feed(&publish(AtLeastOnce, n, ""));
        }
        assert_eq!(bed.events().len(), 65_535);
        assert_eq!(bed.client.held(), 65_535);
        assert!(bed.client.wants_read());
    }

    /// No PUBLISH is encoded while 64 KiB or more wait to be sent; everything else is.
    #[test]
    fn high_water() {
        high_water_on::<Borrowing>();
        high_water_on::<Lending>();
    }

    fn high_water_on<F: Face>() {
        let mut bed = Bed::<F>::connected();
        // Packets of 1 KiB.
        let payload = "x".repeat(1_017);
        for n in 0..64 {
            assert_eq!(bed.client.unsent(), n * 1_024);
            bed.publish(AtMostOnce, &payload).unwrap();
        }
        let zero = bed.publish(AtMostOnce, &payload).unwrap();
        let one = bed.publish(AtLeastOnce, &payload).unwrap();
        assert_eq!((bed.client.pending(), bed.client.in_flight()), (2, 0));
        assert_eq!(bed.events(), []);
        bed.subscribe(&["a"]).unwrap();
        let token = bed.token(&publish(AtLeastOnce, 9, "x"));
        bed.ack(token);
        assert!(bed.client.unsent() > 64 * 1_024);
        assert!(bed.client.is_pending(zero) && bed.client.is_pending(one));
        assert_eq!(bed.client.transmit(bed.now, 100).len(), 100);
        assert_eq!(bed.events(), [Told::Completed(zero, End::Accepted)]);
        assert!(bed.client.is_pending(one));
        assert_eq!(bed.client.transmit(bed.now, 2_048).len(), 2_048);
        assert_eq!(bed.events(), []);
        assert!(!bed.client.is_pending(one));
    }

    /// What requests may take of the memory is bounded too, although they never wait.
    #[test]
    fn unsent_requests_are_bounded() {
        let mut config = Config::default();
        config.maximum_pending_bytes = 100_000;
        let mut bed = Bed::<Borrowing>::with(config);
        bed.open();
        bed.accept(&[]);
        let long = "x".repeat(1_000);
        let accepted = (0..1_000).take_while(|_| bed.subscribe(&[&long]).is_ok());
        let accepted = accepted.count();
        assert!((90..=101).contains(&accepted), "{accepted}");
        assert_eq!(bed.subscribe(&[&long]), Err(Refused::Full));
        assert_eq!(bed.unsubscribe(&[&long]), Err(Refused::Full));
        bed.sent_bytes();
        bed.subscribe(&[&long]).unwrap();
    }
}

/// The transmit buffer of fixed capacity keeps room for what cannot wait, whatever else is asked.
#[test]
fn fixed_capacity_keeps_a_reserve() {
    use machine::Small;
    let mut bed = Bed::<Small>::connected();
    // The buffer has 2,048 bytes.
    let filter_text = "f".repeat(1_900);
    bed.subscribe(&[&filter_text]).unwrap();
    let rest = 2_048 - bed.client.unsent();
    for length in (0..rest).rev() {
        let text = "g".repeat(length.max(1));
        let _ = bed.subscribe(&[&text]);
    }
    while bed.publish(AtMostOnce, "").is_ok() && bed.client.pending() == 0 {}
    let room = 2_048 - bed.client.unsent();
    assert!(room >= 32, "only {room} bytes left");
    let token = bed.token(&publish(AtLeastOnce, 1, "x"));
    bed.ack(token);
    bed.elapse(machine::secs(25));
    bed.feed_bytes(&[0xD0, 1, 0]);
    bed.events();
    let sent = bed.sent_bytes();
    let tail = [&[0x40, 2, 0, 1][..], &[0xE0, 1, 0x81]].concat();
    assert!(sent.ends_with(&tail), "{:02X?}", &sent[sent.len() - 16..]);
}

/// With fixed capacity, more than there is room for is refused, not lost.
#[test]
fn fixed_capacity_is_refused() {
    use machine::Small;
    let mut bed = Bed::<Small>::connected();
    for _ in 0..8 {
        bed.publish(AtLeastOnce, "").unwrap();
    }
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (8, 0));
    assert_eq!(bed.publish(AtLeastOnce, ""), Err(Refused::Full));
    let maximum = 2_048 - 32;
    let refused = bed.publish(AtMostOnce, &"x".repeat(2_100));
    assert!(matches!(refused, Err(Refused::TooLarge { maximum: m, .. }) if m == maximum));
    let refused = bed.publish(AtLeastOnce, &"x".repeat(600));
    assert!(matches!(
        refused,
        Err(Refused::Full | Refused::TooLarge { .. })
    ));
    for n in 0..4 {
        bed.subscribe(&[&n.to_string()]).unwrap();
    }
    assert_eq!(bed.subscribe(&["a"]), Err(Refused::Full));
    let mut bed = Bed::<Small>::connected();
    let refused = bed.publish(AtLeastOnce, &"x".repeat(600));
    assert!(matches!(
        refused,
        Err(Refused::TooLarge { maximum: 512, .. })
    ));
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[]);
}
