//! Servers that are slow, silent, or loud (HB-03, HB-52, HB-55, HB-61).

mod machine;

use mqtt5_proto::{
    DecodeErrorKind as Kind, DisconnectCause, Instant, Packet, QoS, State, TimerReason,
};

use machine::hostile::ends;
use machine::packets::{encode, publish, pubrec, pubrel};
use machine::{Bed, Face, LIMITS, PACKET_LIMIT, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    hb_03_a_byte_every_ten_seconds,
    hb_03_a_promise_and_silence,
    hb_52_pingresp_with_content,
    hb_52_a_flood_of_pingresps,
    hb_52_half_open_is_found_within_one_and_a_half_keep_alives,
    hb_55_no_jump_moves_a_deadline,
    hb_55_the_same_instant_for_ever,
);

/// A PUBLISH of as many bytes as are allowed.
fn large() -> Vec<u8> {
    let packet = encode(&publish(
        AtMostOnce,
        0,
        &"x".repeat(PACKET_LIMIT as usize - 7),
    ));
    assert_eq!(packet.len(), PACKET_LIMIT as usize);
    packet
}

/// Every byte is a sign of life, but the packet must end: 30 s and a second for each 4 KiB after its first byte.
fn hb_03_a_byte_every_ten_seconds<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let packet = large();
    for (n, byte) in packet[..4].iter().enumerate() {
        bed.feed_bytes(&[*byte]);
        assert_eq!(bed.events(), []);
        assert!(!bed.client.wants_close(), "{n}");
        if n < 3 {
            bed.elapse(secs(10));
        }
    }
    assert_eq!(bed.timer(), Some((34_000, TimerReason::PartialPacket)));
    bed.sleep_until(34_000);
    bed.expect_end(None, DisconnectCause::PartialPacketTimeout);
}

/// The longest packet that is allowed, and nothing of it: the Keep Alive is not needed to end that.
fn hb_03_a_promise_and_silence<F: Face>() {
    for keep_alive in [0, 600] {
        let mut bed = Bed::<F>::new();
        bed.open_with(&LIMITS, keep_alive);
        bed.accept(&[]);
        bed.feed_bytes(&large()[..3]);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.timer(), Some((34_000, TimerReason::PartialPacket)));
        bed.sleep_until(34_000);
        bed.expect_end(None, DisconnectCause::PartialPacketTimeout);
    }
}

/// 268,435,455 bytes to a client that has set no limit, as only growable storage can: no memory but for what arrives,
/// and an end all the same, be it late.
#[cfg(feature = "alloc")]
#[test]
fn hb_03_the_longest_promise() {
    use machine::{Borrowing, Lending};

    fn run<F: Face>() {
        let mut bed = Bed::<F>::new();
        bed.open_with(&[], 0);
        bed.accept(&[]);
        bed.feed_bytes(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        assert_eq!(bed.events(), []);
        let limit = 30_000 + 65_536_000;
        assert_eq!(bed.timer(), Some((limit, TimerReason::PartialPacket)));
        for _ in 0..1_000 {
            bed.elapse(secs(10));
            bed.feed_bytes(&[0]);
            assert_eq!(bed.events(), []);
            assert!(bed.client.receive_space().len() <= 8_192);
        }
        bed.sleep_until(limit);
        bed.expect_end(None, DisconnectCause::PartialPacketTimeout);

        // With Keep Alive, silence ends it first.
        let mut bed = Bed::<F>::new();
        bed.open_with(&[], 60);
        bed.accept(&[]);
        bed.feed_bytes(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        assert_eq!(bed.events(), []);
        bed.sleep_until(55_000);
        bed.expect_sent(&[Packet::Pingreq]);
        bed.sleep_until(65_000);
        bed.expect_end(None, DisconnectCause::KeepAliveTimeout);
    }
    run::<Borrowing>();
    run::<Lending>();
}

/// 3.13.1: Remaining Length 0.
fn hb_52_pingresp_with_content<F: Face>() {
    for length in 1..=3_u8 {
        let packet = [&[0xD0, length], &vec![0; length.into()][..]].concat();
        ends(Bed::<F>::connected(), &packet, 0x81, Kind::TrailingBytes);
    }
}

/// Unsolicited, before and after PINGREQ: nothing is told, sent, kept or postponed by it.
fn hb_52_a_flood_of_pingresps<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let flood = encode(&Packet::Pingresp).repeat(4_000);
    for second in 1..=55 {
        bed.feed_bytes(&flood);
        assert_eq!(bed.events(), []);
        bed.expect_sent(&[]);
        assert_eq!(bed.timer(), Some((55_000, TimerReason::KeepAlive)));
        bed.sleep_until(second * 1_000);
    }
    bed.expect_sent(&[Packet::Pingreq]);
    bed.feed_bytes(&flood);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.timer(), Some((110_000, TimerReason::KeepAlive)));
    assert_eq!(bed.client.statistics().packets_received, 1 + 56 * 4_000);
}

/// For every Keep Alive: a server that is gone, whether what we write is still taken by the transport or not, and
/// whether we keep writing or not.
fn hb_52_half_open_is_found_within_one_and_a_half_keep_alives<F: Face>() {
    for keep_alive in (1..=120).chain([300, 3_600, 65_535]) {
        for (writable, busy) in [(true, false), (true, true), (false, false), (false, true)] {
            let mut bed = Bed::<F>::new();
            bed.open_with(&LIMITS, keep_alive);
            bed.accept(&[]);
            let limit = secs(keep_alive.into()) * 3 / 2;
            let pause = secs(keep_alive.into()) / 8;
            let mut next_publish = bed.now + pause;
            while bed.client.state() == State::Connected {
                let (deadline, _) = bed.client.poll_timeout().unwrap();
                bed.now = if busy {
                    deadline.min(next_publish)
                } else {
                    deadline
                };
                assert!(bed.now <= Instant::ZERO + limit, "{keep_alive} s");
                if busy && bed.now == next_publish {
                    bed.publish(AtMostOnce, "x").unwrap();
                    next_publish = bed.now + pause;
                }
                bed.client.handle_timeout(bed.now);
                if writable {
                    bed.sent_bytes();
                }
            }
            bed.expect_sent(&[]);
            assert!(bed.client.wants_close());
        }
    }
}

/// In every state with a deadline of its own the clock jumps to the beginning, back by a little, or not at all.
fn hb_55_no_jump_moves_a_deadline<F: Face>() {
    type Prepare<F> = fn() -> Bed<F>;
    let states: [(Prepare<F>, TimerReason); 5] = [
        (
            || {
                let mut bed = Bed::new();
                bed.wait(secs(1_000));
                bed.open();
                bed
            },
            TimerReason::Connect,
        ),
        (later, TimerReason::KeepAlive),
        (
            || {
                let mut bed = later();
                bed.elapse(secs(55));
                bed.expect_sent(&[Packet::Pingreq]);
                bed
            },
            TimerReason::PingResponse,
        ),
        (
            || {
                let mut bed = later();
                bed.feed_bytes(&[0x30]);
                assert_eq!(bed.events(), []);
                bed
            },
            TimerReason::PartialPacket,
        ),
        (
            || {
                let mut bed = later();
                bed.publish(AtLeastOnce, "x").unwrap();
                bed
            },
            TimerReason::Write,
        ),
    ];
    for (prepare, reason) in states {
        let mut bed = prepare();
        let (deadline, found) = bed.client.poll_timeout().unwrap();
        assert_eq!(found, reason);
        let now = bed.now.as_micros();
        for micros in [0, now, now - 1, now - 1_000_000, 1] {
            bed.now = Instant::from_micros(micros);
            bed.client.handle_timeout(bed.now);
            assert_eq!(bed.events(), []);
            bed.client.receive(bed.now, &[]);
            bed.client.set_reading(bed.now, true);
            bed.client.transmit(bed.now, 0);
            assert_eq!(bed.client.poll_timeout(), Some((deadline, reason)));
        }
        // Commands and bytes at an instant of the past count as if they came now.
        bed.now = Instant::ZERO;
        if reason == TimerReason::KeepAlive {
            bed.publish(AtMostOnce, "x").unwrap();
            let (at, reason) = bed.client.poll_timeout().unwrap();
            assert_eq!(reason, TimerReason::Write);
            assert_eq!(at, Instant::from_micros(now) + secs(30));
        }
        bed.now = deadline.max(bed.client.poll_timeout().unwrap().0);
        bed.client.handle_timeout(bed.now);
        let alive = bed.client.state() == State::Connected;
        assert!(!alive || reason == TimerReason::KeepAlive, "{reason:?}");
    }
}

/// Connected since a thousand seconds after the origin of time.
fn later<F: Face>() -> Bed<F> {
    let mut bed = Bed::new();
    bed.wait(secs(1_000));
    bed.open();
    bed.accept(&[]);
    bed
}

/// A clock that stands still: everything works, no deadline comes, nothing loops.
fn hb_55_the_same_instant_for_ever<F: Face>() {
    let mut bed = later::<F>();
    let deadline = bed.client.poll_timeout().unwrap();
    for n in 1..=100 {
        bed.client.handle_timeout(bed.now);
        bed.publish(AtMostOnce, "x").unwrap();
        bed.expect_sent(&[publish(AtMostOnce, 0, "x")]);
        let token = bed.token(&publish(AtLeastOnce, n, "x"));
        bed.ack(token);
        assert_eq!(bed.sent_bytes().len(), 4);
        assert_eq!(bed.client.poll_timeout(), Some(deadline));
    }
}

/// E1: while more than 64 KiB of answers wait, nothing is read, and the limits of receiving stand still; the write limit
/// ends it. A flood of PUBRELs, answered with PUBCOMP, and one of repeated QoS 2 PUBLISHes, answered with PUBREC.
#[cfg(feature = "alloc")]
#[test]
fn hb_61_answers_that_cannot_leave_stop_reading() {
    use machine::{Borrowing, Lending, millis};
    use mqtt5_proto::Property;

    fn run<F: Face>(flood: &[u8]) {
        let mut bed = Bed::<F>::new();
        bed.open_with(&[Property::ReceiveMaximum(10)], 20);
        bed.accept(&[]);
        let token = bed.token(&publish(ExactlyOnce, 7, "x"));
        bed.ack(token);
        bed.expect_sent(&[pubrec(7)]);
        bed.sleep_until(15_000);
        assert_eq!(bed.client.unsent(), 2);
        bed.feed_bytes(flood);
        bed.feed_bytes(&[0x30]);
        assert_eq!(bed.events(), []);
        assert!(!bed.client.wants_read());
        assert!(bed.client.receive_space().is_empty());
        // The PINGREQ, and answers of four or five bytes.
        let unsent = bed.client.unsent();
        assert!((65_536..65_536 + 20).contains(&unsent), "{unsent}");
        assert_eq!(bed.events(), []);
        bed.elapse(millis(29_999));
        // One write, and reading goes on where it stopped, with all its limits new.
        assert_eq!(bed.client.transmit(bed.now, 1_000).len(), 1_000);
        assert!(bed.client.wants_read());
        let (at, reason) = bed.timer().unwrap();
        assert!(at >= 54_999, "{reason:?} at {at}");
        assert_eq!(bed.events(), []);
        assert!(!bed.client.wants_read());
        assert!(bed.client.unsent() < 65_536 + 20);
        bed.elapse(millis(29_999));
        assert!(!bed.client.wants_close());
        bed.sleep_until(74_999);
        bed.expect_end(None, DisconnectCause::WriteTimeout);
    }
    for flood in [
        encode(&pubrel(9)).repeat(30_000),
        encode(&publish(ExactlyOnce, 7, "again")).repeat(30_000),
    ] {
        run::<Borrowing>(&flood);
        run::<Lending>(&flood);
    }
}

/// The same with fixed capacity: its transmit buffer is the bound, and the write limit the end.
#[test]
fn hb_61_fixed_capacity_stops_reading() {
    for packet in [pubrel(9), publish(ExactlyOnce, 7, "again")] {
        let mut bed = Bed::<machine::Small>::connected();
        let token = bed.token(&publish(ExactlyOnce, 7, "x"));
        bed.ack(token);
        bed.expect_sent(&[pubrec(7)]);
        let flood = encode(&packet);
        let mut taken = 0;
        while bed.client.wants_read() {
            bed.feed_bytes(&flood);
            assert_eq!(bed.events(), []);
            taken += 1;
            assert!(taken < 1_000);
        }
        assert!(taken > 300, "{taken}");
        assert!(bed.client.unsent() <= 2_048);
        assert!(bed.client.receive_space().is_empty());
        bed.sleep_until(30_000);
        bed.expect_end(None, DisconnectCause::WriteTimeout);
    }
}
