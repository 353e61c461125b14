//! What goes wrong on purpose by coming late, or twice.

mod common;

use std::time::Duration;

use common::*;
use mqtt5_broker::{Action, Fault, Mishap, On, TimerReason};
use mqtt5_proto::packet::{Connect, Packet};
use mqtt5_proto::{PacketType, Property};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_packet_comes_later_and_those_of_its_type_behind_it() {
    let mut bench = pair(AT_LEAST_ONCE);
    inject(&mut bench, PacketType::Puback, Mishap::Delay(SECOND));
    bench.send(1, &publish_at(qos1(1), "a"));
    bench.send(1, &publish_at(qos1(2), "b"));
    bench.send(1, &Packet::Pingreq);
    bench.expect(1, &[Packet::Pingresp]);
    assert_eq!(
        bench.broker.poll_timeout(),
        Some((bench.now + SECOND, TimerReason::Fault))
    );
    bench.advance(0.9);
    bench.expect_nothing(1);
    bench.advance(0.1);
    bench.expect(1, &[puback(1, OK), puback(2, OK)]);
    bench.send(1, &publish_at(qos1(3), "c"));
    bench.expect(1, &[puback(3, OK)]);
    assert_eq!(bench.received(2).payloads(), ["a", "b", "c"]);
    // Behind the last of them.
    inject(&mut bench, PacketType::Puback, Mishap::Delay(SECOND));
    inject(&mut bench, PacketType::Puback, Mishap::Delay(3 * SECOND));
    for value in [4, 5, 6] {
        bench.send(1, &publish_at(qos1(value), "d"));
    }
    bench.advance(2.0);
    bench.expect(1, &[puback(4, OK)]);
    bench.advance(2.0);
    bench.expect(1, &[puback(5, OK), puback(6, OK)]);
}

#[test]
fn nothing_overtakes_what_is_late_of_its_type() {
    let mut bench = pair(AT_LEAST_ONCE);
    for mishap in [
        Mishap::Delay(SECOND),
        Mishap::Repeat(Duration::ZERO),
        Mishap::CutAfter,
    ] {
        inject(&mut bench, PacketType::Puback, mishap);
    }
    bench.send(1, &publish_at(qos1(1), "a"));
    bench.send(1, &publish_at(qos1(2), "b"));
    bench.expect_nothing(1);
    bench.send(1, &publish_at(qos1(3), "c"));
    bench.expect_nothing(1);
    bench.expect_closed(1);
}

#[test]
fn a_repetition_comes_behind_the_topic_alias_that_it_uses() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.lose(2);
    let properties = [Property::TopicAliasMaximum(1)];
    let connect = Connect {
        properties: list(&properties),
        ..Connect::new("subscriber")
    };
    bench.resume(2, &connect);
    bench.subscribe(2, "#", AT_LEAST_ONCE);
    let delay = Mishap::Delay(2 * SECOND);
    inject(&mut bench, PacketType::Publish, Mishap::Repeat(SECOND));
    bench.publish_1(1, "long/topic", "a", OK);
    bench.received(2);
    // The alias changes with it.
    inject(&mut bench, PacketType::Publish, delay);
    bench.publish_1(1, "other/topic", "b", OK);
    bench.advance(1.5);
    bench.expect_nothing(2);
    bench.advance(1.0);
    let frames = bench.received(2);
    assert_eq!(frames.payloads(), ["b", "a"]);
    let topics = frames.publishes().into_iter();
    let topics: Vec<_> = topics.map(|publish| publish.topic.is_some()).collect();
    assert_eq!(topics, [true, true]);
}

#[test]
fn behind_a_late_connack_everything_waits() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.lose(2);
    bench.publish_1(1, "t", "a", OK);
    inject(&mut bench, PacketType::Connack, Mishap::Delay(SECOND));
    assert!(
        bench
            .try_connect(3, &returning("subscriber"))
            .packets()
            .is_empty()
    );
    bench.publish_1(1, "t", "b", OK);
    bench.expect_nothing(3);
    bench.advance(1.0);
    let frames = bench.received(3);
    let packets = frames.packets();
    assert!(matches!(packets[0], Packet::Connack(connack) if connack.session_present));
    assert_eq!(
        packets[1..],
        [publish_at(qos1(1), "a"), publish_at(qos1(2), "b")]
    );
}

#[test]
fn what_is_late_is_unsent() {
    let mut bench = Bench::with(|config| config.maximum_unsent_bytes = 1_000);
    bench.connect(1, "publisher");
    bench.connect(2, "subscriber");
    bench.subscribe(2, "t", AT_MOST_ONCE);
    let payload = "x".repeat(100);
    for _ in 0..2 {
        let late = Fault::new(On::Sent(PacketType::Publish), Mishap::Delay(SECOND));
        bench.broker.inject(late.always());
        for _ in 0..100 {
            bench.publish(1, "t", &payload);
        }
        bench.expect_nothing(2);
        bench.broker.clear_faults();
        bench.advance(1.0);
        // The others were lost, as with a client that does not read.
        assert_eq!(bench.received(2).payloads().len(), 10);
    }
}

#[test]
fn nothing_is_announced_before_it_is_due() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.received(1);
    while bench.broker.poll_action().is_some() {}
    inject(&mut bench, PacketType::Pingresp, Mishap::Delay(SECOND));
    bench.send(1, &Packet::Pingreq);
    assert_eq!(bench.broker.poll_action(), None);
    bench.send(1, &publish_at(qos1(1), "x"));
    assert_eq!(bench.broker.poll_action(), Some(Action::Write(2)));
    assert_eq!(bench.broker.poll_action(), Some(Action::Write(1)));
    bench.expect(1, &[puback(1, OK)]);
    bench.advance(1.0);
    assert_eq!(bench.broker.poll_action(), Some(Action::Write(1)));
    bench.expect(1, &[Packet::Pingresp]);
}

#[test]
fn what_is_too_large_is_not_late() {
    let mut bench = pair(AT_LEAST_ONCE);
    let properties = [Property::MaximumPacketSize(50)];
    let connect = Connect {
        properties: list(&properties),
        ..Connect::new("subscriber")
    };
    bench.resume(3, &connect);
    bench.subscribe(3, "t", AT_LEAST_ONCE);
    inject(&mut bench, PacketType::Publish, Mishap::Delay(SECOND));
    bench.publish_1(1, "t", &"x".repeat(100), OK);
    bench.publish_1(1, "t", "small", OK);
    assert_eq!(bench.received(3).payloads(), ["small"]);
}

#[test]
fn what_is_late_is_lost_with_the_connection() {
    let mut bench = pair(AT_LEAST_ONCE);
    let delay = Mishap::Delay(SECOND);
    bench
        .broker
        .inject(Fault::new(On::Sent(PacketType::Publish), delay).times(2));
    bench.publish_1(1, "t", "a", OK);
    bench.lose(2);
    let next = bench.broker.poll_timeout().map(|(_, reason)| reason);
    assert_ne!(next, Some(TimerReason::Fault));
    let (_, frames) = bench.resume(2, &returning("subscriber"));
    assert!(frames.packets().is_empty());
    bench.advance(1.0);
    bench.expect(2, &[publish_at(again(qos1(1)), "a")]);
}

#[test]
fn large_payloads_come_late_and_whole() {
    let mut bench = pair(AT_LEAST_ONCE);
    inject(&mut bench, PacketType::Publish, Mishap::Delay(SECOND));
    let large = "x".repeat(100_000);
    bench.publish_1(1, "t", &large, OK);
    bench.publish_1(1, "t", "small", OK);
    bench.send(2, &Packet::Pingreq);
    bench.expect(2, &[Packet::Pingresp]);
    // They go behind what has not been written when they are due.
    bench.send(2, &Packet::Pingreq);
    bench.advance(1.0);
    let frames = bench.received(2);
    let packets = frames.packets();
    assert_eq!(packets[0], Packet::Pingresp);
    assert!(packets[1] == publish_at(qos1(1), &large));
    assert_eq!(packets[2..], [publish_at(qos1(2), "small")]);
}

#[test]
fn a_publish_is_repeated_while_it_is_not_answered() {
    for (delivery, answer) in [(qos1(1), puback(1, OK)), (qos2(1), pubrec(1, OK))] {
        let mut bench = pair(delivery.qos());
        let repeat = Mishap::Repeat(SECOND);
        let fault = Fault::new(On::Sent(PacketType::Publish), repeat).always();
        bench.broker.inject(fault.client("subscriber"));
        // There is nothing to repeat at QoS 0.
        bench.publish(1, "t", "zero");
        bench.expect(2, &[message("t", "zero")]);
        bench.publish_2(1, "t", "x");
        bench.expect(2, &[publish_at(delivery, "x")]);
        bench.advance(1.0);
        bench.expect(2, &[publish_at(again(delivery), "x")]);
        bench.advance(5.0);
        bench.expect_nothing(2);

        bench.send(2, &answer);
        bench.received(2);
        bench.publish_2(1, "t", "y");
        bench.received(2);
        bench.send(
            2,
            &match answer {
                Packet::Puback(_) => puback(2, OK),
                _ => pubrec(2, OK),
            },
        );
        bench.received(2);
        bench.advance(5.0);
        bench.expect_nothing(2);
    }
}

#[test]
fn pubrel_and_acknowledgements_are_repeated() {
    let mut bench = pair(EXACTLY_ONCE);
    let now = Mishap::Repeat(Duration::ZERO);
    for kind in [PacketType::Pubrel, PacketType::Pubrec, PacketType::Pubcomp] {
        inject(&mut bench, kind, now.clone());
    }
    bench.send(1, &publish_at(qos2(5), "x"));
    bench.expect(1, &[pubrec(5, OK), pubrec(5, OK)]);
    bench.send(1, &pubrel(5));
    bench.expect(1, &[pubcomp(5, OK), pubcomp(5, OK)]);
    bench.received(2);
    bench.send(2, &pubrec(1, OK));
    bench.expect(2, &[pubrel(1), pubrel(1)]);

    inject(&mut bench, PacketType::Pubrel, Mishap::Repeat(SECOND));
    bench.publish_2(1, "t", "y");
    bench.received(2);
    bench.send(2, &pubrec(2, OK));
    bench.expect(2, &[pubrel(2)]);
    bench.send(2, &pubcomp(2, OK));
    bench.advance(2.0);
    bench.expect_nothing(2);
}
