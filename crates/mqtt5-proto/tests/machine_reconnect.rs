//! One machine, many connections: nothing of an earlier one reaches a later one (T1, T5, T7).

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    Config, DisconnectCause, DisconnectReason, Packet, Properties, QoS, TimerReason,
};

use machine::packets::{encode, puback, publish, pubrec, pubrel, reasons, suback};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    half_a_packet_does_not_meet_the_next_connection,
    unsent_bytes_do_not_reach_the_next_connection,
    half_a_written_packet_does_not_reach_the_next_connection,
    timers_start_anew,
    answers_that_had_no_room_do_not_stop_the_next_connection,
    identifiers_go_on,
    acknowledgements_of_an_earlier_connection_find_nothing,
    inbound_exchanges_are_forgotten,
    loss_at_every_byte_of_a_conversation,
    operations_have_numbers_of_their_own,
    closing_twice_tells_once,
    inputs_without_a_connection_are_ignored,
    a_thousand_connections_leave_nothing,
);

/// T1: in the middle of every packet.
fn half_a_packet_does_not_meet_the_next_connection<F: Face>() {
    let packet = encode(&publish(AtMostOnce, 0, "old"));
    let mut bed = Bed::<F>::connected();
    for at in 1..packet.len() {
        bed.feed_bytes(&packet[..at]);
        assert_eq!(bed.events(), []);
        bed.close();
        bed.open();
        assert_eq!(bed.events(), []);
        bed.accept(&[]);
        assert_eq!(
            bed.message(&publish(AtMostOnce, 0, "new")).payload(),
            b"new"
        );
    }
}

fn unsent_bytes_do_not_reach_the_next_connection<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(AtLeastOnce, 9, "x"));
    bed.ack(token);
    bed.publish(AtMostOnce, "x").unwrap();
    bed.subscribe(&["a"]).unwrap();
    assert!(bed.client.unsent() > 0);
    bed.close();
    // Nothing but the CONNECT of the next one.
    bed.open();
    bed.accept(&[]);
}

fn half_a_written_packet_does_not_reach_the_next_connection<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtMostOnce, "0123456789").unwrap();
    bed.publish(AtMostOnce, "0123456789").unwrap();
    assert_eq!(bed.client.transmit(bed.now, 5).len(), 5);
    bed.close();
    bed.open();
    bed.accept(&[]);
    // CONNECT itself, half written.
    bed.close();
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    assert_eq!(bed.client.transmit(bed.now, 3).len(), 3);
    bed.close();
    bed.open();
    bed.accept(&[]);
}

fn timers_start_anew<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.sleep_until(55_000);
    bed.expect_sent(&[Packet::Pingreq]);
    bed.feed_bytes(&[0x30]);
    assert_eq!(bed.events(), []);
    bed.publish(AtMostOnce, "x").unwrap();
    bed.close();
    assert_eq!(bed.timer(), None);
    bed.wait(secs(945));
    bed.open();
    assert_eq!(bed.timer(), Some((1_010_000, TimerReason::Connect)));
    bed.accept(&[]);
    assert_eq!(bed.timer(), Some((1_055_000, TimerReason::KeepAlive)));
}

/// Neither its reading, nor the time that a packet may take.
fn answers_that_had_no_room_do_not_stop_the_next_connection<F: Face>() {
    let mut config = Config::default();
    config.connect_timeout = secs(100);
    let mut bed = Bed::<F>::with(config);
    bed.open();
    bed.accept(&[]);
    while bed.client.wants_read() {
        bed.feed(&pubrel(1));
        assert_eq!(bed.events(), []);
    }
    bed.close();
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    assert!(bed.client.wants_read());
    // The first byte of CONNACK.
    bed.feed_bytes(&[0x20]);
    assert_eq!(bed.events(), []);
    bed.wait(secs(10));
    bed.sent_bytes();
    assert_eq!(bed.timer(), Some((30_000, TimerReason::PartialPacket)));
}

/// HB-38: they rest as long as possible, over connections too.
fn identifiers_go_on<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.close();
    bed.open();
    bed.accept(&[]);
    bed.publish(AtLeastOnce, "c").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 3, "c")]);
}

/// The session ended with the connection.
fn acknowledgements_of_an_earlier_connection_find_nothing<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.subscribe(&["a"]).unwrap();
    bed.sent_bytes();
    bed.close();
    bed.open();
    bed.accept(&[]);
    assert_eq!(bed.tell(&puback(1)), []);
    assert_eq!(bed.tell(&suback(2, &reasons(&[0]))), []);
    assert_eq!(bed.client.statistics().acknowledgements_ignored, 2);
}

/// A new session: the same identifiers are new messages.
fn inbound_exchanges_are_forgotten<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(ExactlyOnce, 1, "a"));
    bed.ack(token);
    bed.token(&publish(ExactlyOnce, 2, "b"));
    bed.token(&publish(AtLeastOnce, 3, "c"));
    bed.close();
    bed.open();
    bed.accept(&[]);
    for (n, qos) in [(1, ExactlyOnce), (2, ExactlyOnce), (3, AtLeastOnce)] {
        bed.token(&publish(qos, n, "again"));
    }
    assert_eq!(bed.client.held(), 3);
}

/// T1: the transport may go at any byte in either direction; the machine always gets back to work.
fn loss_at_every_byte_of_a_conversation<F: Face>() {
    let mut inbound = encode(&machine::packets::connack(0, Properties::EMPTY));
    for packet in [
        publish(AtLeastOnce, 1, "in"),
        publish(ExactlyOnce, 2, "in"),
        puback(2),
        pubrec(3),
    ] {
        inbound.extend(encode(&packet));
    }
    for received in 0..=inbound.len() {
        for sent in [0, 1, 10, 20, 30, 40, 50, 60, usize::MAX] {
            let mut bed = Bed::<F>::connected();
            bed.publish(AtMostOnce, "moves the next identifier")
                .unwrap();
            bed.close();
            bed.open();
            let mut accepted = Vec::new();
            let mut events = Vec::new();
            for byte in &inbound[..received] {
                bed.feed_bytes(&[*byte]);
                for event in bed.events() {
                    if let Told::Connected { .. } = event {
                        accepted.push(bed.subscribe(&["a"]).unwrap());
                        accepted.push(bed.publish(AtLeastOnce, "x").unwrap());
                        accepted.push(bed.publish(ExactlyOnce, "x").unwrap());
                    }
                    if let Told::Message { token, .. } = event {
                        bed.ack(token.unwrap());
                    }
                    events.push(event);
                }
            }
            bed.client.transmit(bed.now, sent);
            events.extend(bed.close());
            let mut ended: Vec<_> = events.iter().filter_map(Told::op).collect();
            ended.sort_unstable();
            assert_eq!(ended, accepted);
            bed.open();
            bed.accept(&[]);
            bed.publish(AtMostOnce, "x").unwrap();
            bed.expect_sent(&[publish(AtMostOnce, 0, "x")]);
        }
    }
}

fn operations_have_numbers_of_their_own<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        for _ in 0..3 {
            assert!(seen.insert(bed.publish(AtMostOnce, "x").unwrap()));
            assert!(seen.insert(bed.publish(AtLeastOnce, "x").unwrap()));
        }
        assert!(seen.insert(bed.subscribe(&["a"]).unwrap()));
        bed.close();
        bed.open();
        bed.accept(&[]);
    }
}

fn closing_twice_tells_once<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let op = bed.publish(AtLeastOnce, "x").unwrap();
    let normal = DisconnectReason::Normal;
    bed.client
        .disconnect(bed.now, normal, Properties::EMPTY)
        .unwrap();
    bed.client.handle_closed(bed.now);
    bed.client.handle_closed(bed.now);
    let events = bed.events();
    assert_eq!(
        events,
        [
            Told::Disconnected(DisconnectCause::Requested, "[]".into()),
            // Its bytes were never taken.
            Told::Completed(op, End::NotSent)
        ]
    );
    bed.client.handle_closed(bed.now);
    assert_eq!(bed.events(), []);
}

fn inputs_without_a_connection_are_ignored<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.close();
    let before = bed.client.statistics();
    bed.client.handle_received(bed.now, 1_000);
    bed.client.handle_transmitted(bed.now, 1_000);
    bed.client.handle_timeout(bed.now + secs(1_000));
    bed.client.set_reading(bed.now, false);
    bed.client.set_reading(bed.now, true);
    assert!(bed.client.receive_space().is_empty());
    assert_eq!(bed.events(), []);
    assert_eq!(bed.client.statistics(), before);
    bed.expect_idle();
}

fn a_thousand_connections_leave_nothing<F: Face>() {
    let mut bed = Bed::<F>::new();
    for n in 0..1_000 {
        bed.open();
        bed.accept(&[]);
        bed.publish(ExactlyOnce, "x").unwrap();
        bed.subscribe(&["a"]).unwrap();
        let token = bed.token(&publish(ExactlyOnce, 1, "x"));
        if n % 2 == 0 {
            bed.ack(token);
        }
        let events = bed.close();
        assert_eq!(events.len(), 3);
    }
}
