//! Limits of time apart from Keep Alive (D18): CONNACK, half packets, writes; and that reading can be paused.

mod machine;

use mqtt5_proto::packet::{Connect, Publish};
use mqtt5_proto::{
    Config, DisconnectCause, DisconnectReason, Packet, PacketType, Properties, QoS, TimerReason,
    TopicName,
};

use machine::packets::{ack_with, delivery, encode, pubcomp, publish, pubrec, pubrel};
use machine::{Bed, Face, LIMITS, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use TimerReason::{KeepAlive, PartialPacket, Write};

every_storage!(
    hb_27_connack_must_arrive_in_time,
    the_connect_timeout_is_configurable,
    hb_03_a_packet_must_arrive_in_time,
    a_large_packet_may_take_longer,
    every_packet_has_its_own_time,
    other_turns_do_not_restart_the_time_of_a_packet,
    bytes_must_leave_in_time,
    every_byte_that_leaves_restarts_the_write_limit,
    disconnect_must_leave_in_time,
    pausing_stops_the_limits_of_receiving,
    pausing_stops_messages_but_nothing_else,
    what_was_received_before_a_pause_comes_after_it,
);

/// A machine without Keep Alive, so that no other deadline is in the way.
fn connected<F: Face>() -> Bed<F> {
    let mut bed = Bed::new();
    bed.open_with(&LIMITS, 0);
    bed.accept(&[]);
    bed
}

/// HB-27: 10 s after `connect`, whatever else is received.
fn hb_27_connack_must_arrive_in_time<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.wait(secs(100));
    bed.open();
    assert_eq!(bed.timer(), Some((110_000, TimerReason::Connect)));
    bed.sleep_until(109_999);
    bed.feed_bytes(&[0x20]);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.timer(), Some((110_000, TimerReason::Connect)));
    bed.sleep_until(110_000);
    bed.expect_end(None, DisconnectCause::ConnectTimeout);
}

fn the_connect_timeout_is_configurable<F: Face>() {
    let mut config = Config::default();
    config.connect_timeout = secs(3);
    let mut bed = Bed::<F>::with(config);
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    assert_eq!(bed.timer(), Some((3_000, TimerReason::Connect)));
    bed.sleep_until(3_000);
    bed.expect_end(None, DisconnectCause::ConnectTimeout);
}

/// HB-03: the first byte starts 30 s, and more bytes do not prolong them.
fn hb_03_a_packet_must_arrive_in_time<F: Face>() {
    let mut bed = connected::<F>();
    let packet = encode(&publish(AtMostOnce, 0, "0123456789"));
    for (n, byte) in packet[..3].iter().enumerate() {
        bed.feed_bytes(&[*byte]);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.timer(), Some((30_000, PartialPacket)));
        bed.sleep_until((n as u64 + 1) * 9_999);
    }
    bed.sleep_until(30_000);
    bed.expect_end(None, DisconnectCause::PartialPacketTimeout);
}

fn large(length: usize) -> Vec<u8> {
    encode(&Packet::Publish(Publish {
        delivery: delivery(AtMostOnce, 0, false),
        retain: false,
        topic: Some(TopicName::new("t").unwrap()),
        properties: Properties::EMPTY,
        payload: &vec![b'x'; length - 7],
    }))
}

/// D18: a second more for each 4 KiB, as soon as the length is known.
fn a_large_packet_may_take_longer<F: Face>() {
    for (length, limit) in [(4_095, 30_000), (4_096, 31_000), (12_288, 33_000)] {
        let packet = large(length);
        assert_eq!(packet.len(), length);
        let mut bed = connected::<F>();
        bed.feed_bytes(&packet[..2]);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.timer(), Some((30_000, PartialPacket)));
        bed.sleep_until(10_000);
        bed.feed_bytes(&packet[2..length - 1]);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.timer(), Some((limit, PartialPacket)));
        bed.sleep_until(limit - 1);
        bed.feed_bytes(&packet[length - 1..]);
        assert_eq!(bed.events()[0].payload().len(), length - 7);
        assert_eq!(bed.timer(), None);
    }
}

fn every_packet_has_its_own_time<F: Face>() {
    let mut bed = connected::<F>();
    let packet = encode(&publish(AtMostOnce, 0, "x"));
    bed.feed_bytes(&packet[..3]);
    assert_eq!(bed.events(), []);
    for n in 1..=10 {
        bed.sleep_until(n * 29_000);
        // The end of one and the beginning of the next.
        bed.feed_bytes(&packet[3..]);
        bed.feed_bytes(&packet[..3]);
        assert_eq!(bed.events().len(), 1);
        assert_eq!(bed.timer(), Some((n * 29_000 + 30_000, PartialPacket)));
    }
}

/// The machine is polled for many reasons, also while its driver holds the receive buffer.
fn other_turns_do_not_restart_the_time_of_a_packet<F: Face>() {
    let mut bed = connected::<F>();
    let packet = large(8_192);
    bed.feed_bytes(&packet[..10]);
    assert_eq!(bed.events(), []);
    for n in 1..=31 {
        bed.sleep_until(n * 1_000);
        bed.publish(AtMostOnce, "x").unwrap();
        assert_eq!(bed.events(), []);
        bed.sent_bytes();
        assert_eq!(bed.timer(), Some((32_000, PartialPacket)));
    }
    bed.sleep_until(32_000);
    bed.expect_end(None, DisconnectCause::PartialPacketTimeout);
}

/// HB-54: 30 s without a byte written, from when there was something to write.
fn bytes_must_leave_in_time<F: Face>() {
    let mut bed = connected::<F>();
    bed.sleep_until(100_000);
    assert_eq!(bed.timer(), None);
    bed.publish(AtMostOnce, "x").unwrap();
    assert_eq!(bed.timer(), Some((130_000, Write)));
    bed.sleep_until(110_000);
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.subscribe(&["a"]).unwrap();
    assert_eq!(bed.timer(), Some((130_000, Write)));
    bed.sleep_until(130_000);
    assert!(bed.client.wants_close());
    bed.expect_sent(&[]);
    let ends = bed.expect_closed(DisconnectCause::WriteTimeout);
    assert_eq!(ends.len(), 2);
}

/// HB-54: partial writes of one byte.
fn every_byte_that_leaves_restarts_the_write_limit<F: Face>() {
    let mut bed = connected::<F>();
    bed.publish(AtMostOnce, "x").unwrap();
    for n in 1..7 {
        bed.sleep_until(n * 29_000);
        assert_eq!(bed.client.transmit(bed.now, 1).len(), 1);
        assert_eq!(bed.timer(), Some((n * 29_000 + 30_000, Write)));
        // A write of nothing is none.
        bed.wait(secs(1));
        bed.client.handle_transmitted(bed.now, 0);
        assert_eq!(bed.timer(), Some((n * 29_000 + 30_000, Write)));
    }
    bed.sleep_until(6 * 29_000 + 30_000);
    bed.expect_end(None, DisconnectCause::WriteTimeout);
}

/// The cause stays what it was.
fn disconnect_must_leave_in_time<F: Face>() {
    let mut bed = connected::<F>();
    let normal = DisconnectReason::Normal;
    bed.client
        .disconnect(bed.now, normal, Properties::EMPTY)
        .unwrap();
    assert!(!bed.client.wants_close());
    assert_eq!(bed.timer(), Some((30_000, Write)));
    bed.sleep_until(30_000);
    bed.expect_end(None, DisconnectCause::Requested);
}

/// E1: the silence of a server to which we do not listen says nothing; the limits start anew afterwards.
fn pausing_stops_the_limits_of_receiving<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.sleep_until(55_000);
    bed.expect_sent(&[Packet::Pingreq]);
    bed.feed_bytes(&[0x30]);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.timer(), Some((85_000, PartialPacket)));
    bed.client.set_reading(bed.now, false);
    assert!(!bed.client.wants_read());
    assert!(bed.client.receive_space().is_empty());
    assert_eq!(bed.timer(), Some((110_000, KeepAlive)));
    bed.sleep_until(109_000);
    bed.client.set_reading(bed.now, true);
    assert!(bed.client.wants_read());
    assert_eq!(bed.timer(), Some((110_000, KeepAlive)));
    bed.sleep_until(110_000);
    bed.expect_sent(&[Packet::Pingreq]);
    assert_eq!(bed.timer(), Some((120_000, TimerReason::PingResponse)));
    bed.feed_bytes(&[0x05]);
    assert_eq!(bed.timer(), Some((139_000, PartialPacket)));
    bed.sleep_until(139_000);
    bed.expect_end(None, DisconnectCause::PartialPacketTimeout);
}

/// Commands, acknowledgements and the end of the connection go on.
fn pausing_stops_messages_but_nothing_else<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(AtLeastOnce, 1, "x"));
    bed.client.set_reading(bed.now, false);
    bed.ack(token);
    bed.publish(AtMostOnce, "y").unwrap();
    bed.expect_sent(&[machine::packets::puback(1), publish(AtMostOnce, 0, "y")]);
    bed.close();
    // A pause belongs to its connection.
    bed.open();
    assert!(bed.client.wants_read());
    bed.accept(&[]);
}

fn what_was_received_before_a_pause_comes_after_it<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.feed(&publish(AtMostOnce, 0, "a"));
    bed.feed(&publish(AtMostOnce, 0, "b"));
    assert_eq!(bed.client.poll_event(bed.now).unwrap().payload(), b"a");
    bed.client.set_reading(bed.now, false);
    assert_eq!(bed.events(), []);
    bed.client.set_reading(bed.now, true);
    assert_eq!(bed.events()[0].payload(), b"b");
}

/// The rest of a packet that we did not read has a whole new limit when we read again.
#[cfg(feature = "alloc")]
#[test]
fn a_stop_of_reading_stops_the_time_of_a_packet() {
    use machine::{Borrowing, Lending, millis};

    fn run<F: Face>() {
        let mut bed = Bed::<F>::new();
        bed.open_with(&[], 0);
        bed.accept(&[]);
        for n in 1..=17_000 {
            bed.feed(&publish(AtLeastOnce, n, ""));
        }
        bed.feed_bytes(&[0x30]);
        let events = bed.events();
        assert_eq!(bed.timer(), Some((30_000, PartialPacket)));
        bed.wait(millis(20_000));
        for event in &events {
            bed.ack(event.token());
        }
        assert!(!bed.client.wants_read());
        assert_eq!(bed.timer(), Some((50_000, Write)));
        bed.sleep_until(49_000);
        assert_eq!(bed.sent_bytes().len(), 65_540);
        assert!(bed.client.wants_read());
        assert_eq!(bed.timer(), Some((79_000, PartialPacket)));
        assert_eq!(bed.events(), []);
        assert_eq!(bed.sent_bytes().len(), 17_000 * 4 - 65_540);
        assert_eq!(bed.client.held(), 0);
    }
    run::<Borrowing>();
    run::<Lending>();
}

/// With fixed capacity reading stops as soon as an answer might have no room, and no answer is lost.
#[test]
fn hb_61_answers_always_have_room() {
    use machine::Small;
    let mut bed = Bed::<Small>::connected();
    let mut sent = Vec::new();
    let mut stops = 0;
    let mut make_room = |bed: &mut Bed<Small>| {
        stops += u32::from(!bed.client.wants_read());
        while !bed.client.wants_read() {
            sent.extend(bed.client.transmit(bed.now, 7));
            assert_eq!(bed.events(), []);
        }
    };
    for n in 1..=1_000 {
        make_room(&mut bed);
        if n % 3 == 0 {
            let token = bed.token(&publish(ExactlyOnce, n, "x"));
            bed.ack(token);
            make_room(&mut bed);
        }
        bed.feed(&pubrel(n));
        assert_eq!(bed.events(), []);
        assert!(bed.client.unsent() <= 2_048);
    }
    while bed.client.unsent() > 0 || !bed.client.wants_read() {
        sent.extend(bed.client.transmit(bed.now, 100));
        assert_eq!(bed.events(), []);
    }
    let expected: Vec<u8> = (1..=1_000)
        .flat_map(|n| {
            let unknown = ack_with(PacketType::Pubcomp, n, 0x92, Properties::EMPTY);
            if n % 3 == 0 {
                [encode(&pubrec(n)), encode(&pubcomp(n))].concat()
            } else {
                encode(&unknown)
            }
        })
        .collect();
    assert_eq!(sent, expected);
    assert!(stops > 100, "{stops}");
}
