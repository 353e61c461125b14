//! Keep Alive to the millisecond (3.1.2.10, D18, D19, T8): when PINGREQ leaves, and when silence is death.

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    DisconnectCause, DisconnectReason, Instant, Packet, Properties, Property, QoS, TimerReason,
};

use machine::packets::{encode, publish};
use machine::{Bed, Face, LIMITS, every_storage, millis, secs};

use QoS::{AtLeastOnce, AtMostOnce};
use TimerReason::{KeepAlive, PingResponse};

every_storage!(
    pingreq_when_nothing_was_sent,
    hb_52_receiving_does_not_postpone_pingreq,
    sending_postpones_pingreq,
    hb_52_pingreq_when_nothing_was_received,
    hb_52_silence_after_pingreq_is_death,
    hb_53_any_byte_is_life,
    hb_53_a_server_that_never_answers_pingreq_lives,
    hb_20_the_server_decides,
    off_is_off,
    hb_20_one_second_is_no_busy_loop,
    no_pingreq_outside_of_a_connection,
    early_and_late_wake_ups,
    keep_alive_begins_with_connect,
    hb_55_time_that_goes_backwards_stands_still,
    hb_55_the_end_of_time_is_no_endless_loop,
    pingreqs_leave_while_reading_is_paused,
    what_follows_a_pingreq_does_not_hold_up_the_next,
    a_large_packet_that_leaves_slowly_is_no_silence,
    hb_52_a_transport_that_stalls_under_pingreq_is_dead,
);

fn connected<F: Face>(keep_alive: u16) -> Bed<F> {
    let mut bed = Bed::new();
    bed.open_with(&LIMITS, keep_alive);
    bed.accept(&[]);
    bed
}

/// [MQTT-3.1.2-20], D18: the shorter of a quarter and 5 s before the end. T76, T79, T129.
fn pingreq_when_nothing_was_sent<F: Face>() {
    for (keep_alive, due) in [
        (60, 55_000),
        (20, 15_000),
        (10, 7_500),
        (1, 750),
        (3, 2_250),
        (65_535, 65_530_000),
    ] {
        let mut bed = connected::<F>(keep_alive);
        assert_eq!(bed.timer(), Some((due, KeepAlive)));
        bed.sleep_until(due - 1);
        bed.expect_sent(&[]);
        bed.sleep_until(due);
        bed.expect_sent(&[Packet::Pingreq]);
        assert_eq!(bed.tell(&Packet::Pingresp), []);
        assert_eq!(bed.timer(), Some((2 * due, KeepAlive)));
    }
}

/// HB-52: a client that only receives must be heard too.
fn hb_52_receiving_does_not_postpone_pingreq<F: Face>() {
    let mut bed = connected::<F>(60);
    for at in (5_000..=50_000).step_by(5_000) {
        bed.sleep_until(at);
        bed.message(&publish(AtMostOnce, 0, "x"));
        assert_eq!(bed.timer(), Some((55_000, KeepAlive)));
    }
    bed.sleep_until(55_000);
    bed.expect_sent(&[Packet::Pingreq]);
}

/// From the moment when a packet is written, not when it is encoded. T75, T149.
fn sending_postpones_pingreq<F: Face>() {
    let mut bed = connected::<F>(60);
    bed.sleep_until(20_000);
    bed.publish(AtMostOnce, "x").unwrap();
    bed.sleep_until(25_000);
    bed.sent_bytes();
    bed.sleep_until(30_000);
    bed.token(&publish(AtLeastOnce, 1, "x"));
    assert_eq!(bed.timer(), Some((80_000, KeepAlive)));
    bed.sleep_until(80_000);
    bed.expect_sent(&[Packet::Pingreq]);
}

/// D18: a client that only sends finds out whether it is heard. T129.
fn hb_52_pingreq_when_nothing_was_received<F: Face>() {
    let mut bed = connected::<F>(60);
    for at in (10_000..60_000).step_by(10_000) {
        bed.sleep_until(at);
        bed.publish(AtMostOnce, "x").unwrap();
        bed.expect_sent(&[publish(AtMostOnce, 0, "x")]);
    }
    assert_eq!(bed.timer(), Some((60_000, KeepAlive)));
    bed.sleep_until(60_000);
    bed.expect_sent(&[Packet::Pingreq]);
    // What is sent after it says nothing about the server.
    bed.sleep_until(65_000);
    bed.publish(AtMostOnce, "x").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.timer(), Some((70_000, PingResponse)));
}

/// D18: min(10 s, KA/2) after PINGREQ; within one and a half times the Keep Alive (HB-52). T78, T129, T149.
fn hb_52_silence_after_pingreq_is_death<F: Face>() {
    for (keep_alive, pingreq, death) in [
        (60, 55_000, 65_000),
        (20, 15_000, 25_000),
        (10, 7_500, 12_500),
        (1, 750, 1_250),
    ] {
        let mut bed = connected::<F>(keep_alive);
        bed.sleep_until(pingreq);
        bed.expect_sent(&[Packet::Pingreq]);
        assert_eq!(bed.timer(), Some((death, PingResponse)));
        bed.sleep_until(death - 1);
        assert!(!bed.client.wants_close());
        bed.sleep_until(death);
        bed.expect_end(None, DisconnectCause::KeepAliveTimeout);
    }
}

/// D18, HB-53: one byte of a packet is a sign of life. T77, T129.
fn hb_53_any_byte_is_life<F: Face>() {
    let mut bed = connected::<F>(60);
    let packet = encode(&publish(AtMostOnce, 0, "x"));
    bed.sleep_until(55_000);
    bed.expect_sent(&[Packet::Pingreq]);
    bed.sleep_until(64_999);
    bed.feed_bytes(&packet[..1]);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.timer(), Some((94_999, TimerReason::PartialPacket)));
    bed.feed_bytes(&packet[1..]);
    assert_eq!(bed.events().len(), 1);
    assert_eq!(bed.timer(), Some((110_000, KeepAlive)));
}

/// HB-53.
fn hb_53_a_server_that_never_answers_pingreq_lives<F: Face>() {
    let mut bed = connected::<F>(10);
    for _ in 0..100 {
        bed.elapse(secs(4));
        bed.sent_bytes();
        bed.message(&publish(AtMostOnce, 0, "x"));
    }
}

/// [MQTT-3.1.2-21], D19, HB-20: its value holds when it is 0, and when we asked for 0. T36, T128.
fn hb_20_the_server_decides<F: Face>() {
    for (ours, server, timer) in [
        (60, 20, Some((15_000, KeepAlive))),
        (60, 0, None),
        (0, 20, Some((15_000, KeepAlive))),
        (0, 1, Some((750, KeepAlive))),
        (60, 65_535, Some((65_530_000, KeepAlive))),
    ] {
        let mut bed = Bed::<F>::new();
        bed.open_with(&LIMITS, ours);
        bed.accept(&[Property::ServerKeepAlive(server)]);
        assert_eq!(bed.timer(), timer);
        assert_eq!(bed.client.negotiated().unwrap().keep_alive, server);
    }
}

/// T129: no deadline, no PINGREQ.
fn off_is_off<F: Face>() {
    let mut bed = connected::<F>(0);
    assert_eq!(bed.timer(), None);
    bed.elapse(secs(1_000_000));
    bed.expect_sent(&[]);
    bed.message(&publish(AtMostOnce, 0, "x"));
}

/// HB-20, T8: one PINGREQ for each interval, two wake-ups at most.
fn hb_20_one_second_is_no_busy_loop<F: Face>() {
    let mut bed = connected::<F>(1);
    let mut wake_ups = 0;
    let mut pingreqs = 0;
    while bed.now < Instant::from_micros(100_000_000) {
        let (deadline, _) = bed.client.poll_timeout().unwrap();
        bed.now = deadline;
        bed.client.handle_timeout(bed.now);
        wake_ups += 1;
        pingreqs += bed.sent_bytes().len() / 2;
        bed.wait(millis(100));
        assert_eq!(bed.tell(&Packet::Pingresp), []);
    }
    assert!((100..=140).contains(&pingreqs), "{pingreqs}");
    assert!(wake_ups <= pingreqs, "{wake_ups}");
}

/// [MQTT-3.14.4-1]: not before CONNACK, not after DISCONNECT.
fn no_pingreq_outside_of_a_connection<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.open_with(&LIMITS, 1);
    bed.sleep_until(9_999);
    bed.expect_sent(&[]);
    bed.accept(&[]);
    // The CONNECT was the last packet: PINGREQ is overdue.
    bed.client.handle_timeout(bed.now);
    bed.expect_sent(&[Packet::Pingreq]);
    let normal = DisconnectReason::Normal;
    bed.client
        .disconnect(bed.now, normal, Properties::EMPTY)
        .unwrap();
    bed.elapse(secs(5));
    bed.expect_sent(&[machine::packets::disconnect(0)]);
    assert_eq!(bed.timer(), None);
}

/// A wake-up that comes early changes nothing; one that comes hours late is no proof of silence.
fn early_and_late_wake_ups<F: Face>() {
    let mut bed = connected::<F>(60);
    for at in [0, 1, 54_999] {
        bed.now = Instant::from_micros(at * 1_000);
        bed.client.handle_timeout(bed.now);
        assert_eq!(bed.timer(), Some((55_000, KeepAlive)));
    }
    bed.expect_sent(&[]);
    bed.now = Instant::from_micros(7_200_000_000);
    bed.client.handle_timeout(bed.now);
    bed.expect_sent(&[Packet::Pingreq]);
    assert_eq!(bed.timer(), Some((7_210_000, PingResponse)));
}

/// The transport tells late that CONNECT was written.
fn keep_alive_begins_with_connect<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.wait(secs(100));
    let connect = Connect {
        keep_alive: 20,
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    bed.connack(false, &[]);
    assert_eq!(bed.events().len(), 1);
    assert_eq!(bed.timer(), Some((115_000, KeepAlive)));
}

/// HB-55.
fn hb_55_time_that_goes_backwards_stands_still<F: Face>() {
    let mut bed = connected::<F>(60);
    bed.sleep_until(50_000);
    bed.publish(AtMostOnce, "x").unwrap();
    bed.now = Instant::from_micros(1_000_000);
    bed.client.handle_timeout(bed.now);
    bed.sent_bytes();
    bed.message(&publish(AtMostOnce, 0, "x"));
    bed.client.set_reading(bed.now, false);
    bed.client.set_reading(bed.now, true);
    assert_eq!(bed.timer(), Some((105_000, KeepAlive)));
    bed.now = Instant::from_micros(105_000_000);
    bed.client.handle_timeout(bed.now);
    bed.now = Instant::ZERO;
    bed.expect_sent(&[Packet::Pingreq]);
    assert_eq!(bed.timer(), Some((115_000, PingResponse)));
    bed.client.handle_closed(bed.now);
}

/// HB-55: all arithmetic saturates, and every call comes back.
fn hb_55_the_end_of_time_is_no_endless_loop<F: Face>() {
    for reading in [true, false] {
        let mut bed = connected::<F>(60);
        bed.client.set_reading(bed.now, reading);
        bed.now = Instant::MAX;
        for _ in 0..10 {
            bed.client.handle_timeout(bed.now);
            assert_eq!(bed.events(), []);
        }
        assert!(bed.client.unsent() <= 2);
    }
}

/// E1: PINGREQs leave, their answers are not waited for; none piles up behind one that is not written.
fn pingreqs_leave_while_reading_is_paused<F: Face>() {
    let mut bed = connected::<F>(10);
    bed.client.set_reading(bed.now, false);
    for n in 1..=10 {
        bed.sleep_until(n * 7_500);
        bed.expect_sent(&[Packet::Pingreq]);
        assert_eq!(bed.timer(), Some(((n + 1) * 7_500, KeepAlive)));
    }
    bed.client.set_reading(bed.now, true);
    assert_eq!(bed.timer(), Some((82_500, KeepAlive)));
    bed.client.set_reading(bed.now, false);
    for n in 11..=13 {
        bed.sleep_until(n * 7_500);
        assert_eq!(bed.client.unsent(), 2);
    }
    // The write limit is counted from the first of them.
    bed.elapse(millis(14_999));
    assert!(!bed.client.wants_close());
    bed.sleep_until(11 * 7_500 + 30_000);
    bed.expect_end(None, DisconnectCause::WriteTimeout);
}

/// A PINGREQ waits for what was encoded before it, and for nothing else.
fn what_follows_a_pingreq_does_not_hold_up_the_next<F: Face>() {
    let mut bed = connected::<F>(20);
    bed.client.set_reading(bed.now, false);
    bed.publish(AtMostOnce, "x").unwrap();
    let before = bed.client.unsent();
    bed.sleep_until(15_000);
    bed.publish(AtMostOnce, "y").unwrap();
    bed.sleep_until(20_000);
    bed.client.transmit(bed.now, 1);
    // It still waits.
    bed.sleep_until(35_000);
    bed.client.transmit(bed.now, before - 1 + 2);
    bed.sleep_until(50_000);
    bed.expect_sent(&[publish(AtMostOnce, 0, "y"), Packet::Pingreq]);
}

/// D18: a PINGREQ that waits behind a large packet has not been sent; as long as bytes leave, the link lives.
fn a_large_packet_that_leaves_slowly_is_no_silence<F: Face>() {
    let mut bed = connected::<F>(10);
    bed.publish(AtMostOnce, &"x".repeat(993)).unwrap();
    let mut at = 0;
    while bed.client.unsent() > 2 {
        at += 1_000;
        bed.elapse(secs(1));
        assert_eq!(bed.now, Instant::from_micros(at * 1_000));
        assert!(!bed.client.wants_close(), "dead after {at} ms");
        assert_eq!(bed.client.transmit(bed.now, 20).len(), 20);
    }
    assert!(at > 40_000);
    bed.expect_sent(&[Packet::Pingreq]);
    assert_eq!(bed.timer(), Some((at + 5_000, PingResponse)));
    bed.sleep_until(at + 5_000);
    bed.expect_end(None, DisconnectCause::KeepAliveTimeout);
}

/// HB-52: a half-open transport is found out although PINGREQ never leaves. T149.
fn hb_52_a_transport_that_stalls_under_pingreq_is_dead<F: Face>() {
    let mut bed = connected::<F>(10);
    bed.sleep_until(7_500);
    assert_eq!(bed.client.unsent(), 2);
    assert_eq!(bed.timer(), Some((12_500, PingResponse)));
    bed.sleep_until(12_500);
    bed.expect_end(None, DisconnectCause::KeepAliveTimeout);
}
