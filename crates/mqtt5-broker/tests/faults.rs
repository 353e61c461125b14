//! What goes wrong on purpose.

mod common;

use std::time::Duration;

use common::*;
use mqtt5_broker::{Action, Farewell, Fault, Mishap, On};
use mqtt5_proto::packet::{
    Connect, Delivery, Disconnect, List, Packet, Subscribe, SubscribeFilter, Unsubscribe,
};
use mqtt5_proto::{PacketType, Properties, Property, ReasonCode};

const UNKNOWN: ReasonCode = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
const CONNECT: On = On::Received(PacketType::Connect);

/// The connection ends; what arrived before that.
#[track_caller]
fn last_words(bench: &mut Bench, connection: u64) -> Frames {
    let frames = bench.received(connection);
    bench.expect_closed(connection);
    frames
}

#[test]
fn connects_are_refused_as_often_as_asked() {
    let mut bench = Bench::new();
    let moved = Farewell::from(ReasonCode::SERVER_MOVED)
        .server_reference("mqtt://elsewhere")
        .reason_string("gone");
    let refuse = Fault::new(CONNECT, Mishap::Refuse(moved));
    bench.broker.inject(refuse.client("a").times(2));
    bench.connect(1, "b");
    for connection in [2, 3] {
        let frames = bench.try_connect(connection, &Connect::new("a"));
        let Packet::Connack(connack) = frames.one() else {
            panic!("no CONNACK")
        };
        assert_eq!(connack.reason, ReasonCode::SERVER_MOVED);
        assert_eq!(
            connack.properties.server_reference(),
            Some("mqtt://elsewhere")
        );
        assert_eq!(connack.properties.reason_string(), Some("gone"));
        bench.expect_closed(connection);
    }
    assert!(bench.broker.faults().is_empty());
    assert_eq!(bench.broker.statistics().faults, 2);
    bench.connect(4, "a");
}

#[test]
fn a_refusal_keeps_to_what_the_client_accepts() {
    let mut bench = Bench::new();
    let words = "x".repeat(40);
    let moved = Farewell::from(ReasonCode::SERVER_MOVED)
        .server_reference("elsewhere")
        .reason_string(words);
    let refuse = Fault::new(CONNECT, Mishap::Refuse(moved));
    bench.broker.inject(refuse.always());
    for (limit, reference) in [(30, Some("elsewhere")), (10, None)] {
        let properties = [Property::MaximumPacketSize(limit)];
        let connect = Connect {
            properties: list(&properties),
            ..Connect::new("a")
        };
        let frames = bench.try_connect(1, &connect);
        let Packet::Connack(connack) = frames.one() else {
            panic!("no CONNACK")
        };
        assert_eq!(connack.properties.server_reference(), reference);
        assert_eq!(connack.properties.reason_string(), None);
        bench.expect_closed(1);
    }
    bench.broker.clear_faults();
    bench.connect(1, "a");
}

#[test]
fn a_client_is_sent_elsewhere() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    let farewell = Farewell::from(ReasonCode::USE_ANOTHER_SERVER).server_reference("there");
    assert!(bench.broker.disconnect(bench.now, "a", farewell));
    let expected = Packet::Disconnect(Disconnect {
        reason: ReasonCode::USE_ANOTHER_SERVER,
        properties: list(&[
            Property::ServerReference("there"),
            Property::ReasonString("disconnected by the operator"),
        ]),
    });
    bench.expect(1, &[expected]);
    bench.expect_closed(1);
}

#[test]
fn a_client_is_disconnected_at_what_it_sends() {
    let mut bench = pair(AT_LEAST_ONCE);
    let farewell = Farewell::from(ReasonCode::QUOTA_EXCEEDED);
    let on = On::Received(PacketType::Publish);
    let fault = Fault::new(on, Mishap::Refuse(farewell)).skip(1);
    bench.broker.inject(fault);
    bench.publish(1, "t", "a");
    bench.publish(1, "t", "b");
    bench.expect_disconnect(1, ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(bench.received(2).payloads(), ["a"]);
}

#[test]
fn a_client_is_disconnected_instead_of_an_answer() {
    let mut bench = pair(AT_LEAST_ONCE);
    let farewell = Farewell::from(ReasonCode::SERVER_BUSY);
    inject(&mut bench, PacketType::Pubrec, Mishap::Refuse(farewell));
    bench.send(1, &publish_at(qos2(1), "handled"));
    let frames = last_words(&mut bench, 1);
    assert_eq!(frames.packets(), [disconnect(ReasonCode::SERVER_BUSY)]);
    assert_eq!(bench.received(2).payloads(), ["handled"]);
}

#[test]
fn who_has_seen_no_connack_is_refused_in_one() {
    let mut bench = pair(AT_LEAST_ONCE);
    let refuse = Mishap::Refuse(ReasonCode::SERVER_BUSY.into());
    inject(&mut bench, PacketType::Connack, refuse.clone());
    for connection in [3, 4] {
        bench.open(connection);
        bench.send(connection, &Packet::Connect(returning("a")));
        if connection == 4 {
            // It was dropped, and then there is one at what the client sends.
            bench.expect_nothing(4);
            bench.send(connection, &Packet::Pingreq);
        }
        let frames = last_words(&mut bench, connection);
        assert!(matches!(frames.one(), Packet::Connack(c) if c.reason == ReasonCode::SERVER_BUSY));
        inject(&mut bench, PacketType::Connack, Mishap::Drop);
        let on = On::Received(PacketType::Pingreq);
        bench.broker.inject(Fault::new(on, refuse.clone()));
    }
}

#[test]
fn the_session_is_lost_at_the_next_connect() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench
        .broker
        .inject(Fault::new(CONNECT, Mishap::LoseSession).client("subscriber"));
    bench.lose(2);
    bench.publish_1(1, "t", "lost", OK);
    let (session_present, frames) = bench.resume(3, &returning("subscriber"));
    assert!(!session_present && frames.packets().is_empty());
    bench.publish_1(1, "t", "x", ReasonCode::NO_MATCHING_SUBSCRIBERS);
    bench.lose(3);
    let (session_present, _) = bench.resume(4, &returning("subscriber"));
    assert!(session_present);
}

#[test]
fn the_session_is_lost_with_a_takeover_and_in_the_middle() {
    let mut bench = pair(AT_LEAST_ONCE);
    let lose = Fault::new(CONNECT, Mishap::LoseSession);
    bench.broker.inject(lose);
    let (session_present, _) = bench.resume(3, &returning("subscriber"));
    assert!(!session_present);
    bench.expect_disconnect(2, ReasonCode::SESSION_TAKEN_OVER);
    inject(&mut bench, PacketType::Pingresp, Mishap::LoseSession);
    while bench.broker.poll_action().is_some() {}
    bench.send(3, &Packet::Pingreq);
    assert_eq!(bench.broker.poll_action(), Some(Action::Close(3)));
    bench.expect_nothing(3);
    bench.lose(3);
    let (session_present, _) = bench.resume(4, &returning("subscriber"));
    assert!(!session_present);
    // The one that is told to go has no session any more; who took it over must not share its fate half.
    inject(&mut bench, PacketType::Disconnect, Mishap::LoseSession);
    bench.try_connect(5, &returning("subscriber"));
    bench.lose(4);
    assert_eq!(bench.broker.connected_clients().count(), 1);
    assert_eq!(bench.broker.statistics().sessions, 1);
}

/// Whatever it was that made the broker say so.
#[test]
fn a_session_is_lost_instead_of_a_disconnect() {
    let endings: [fn(&mut Bench); 4] = [
        |bench| bench.send_bytes(2, &[0xFF; 8]),
        |bench| bench.advance(1_000.0),
        |bench| bench.broker.shut_down(bench.now),
        |bench| {
            let reason = ReasonCode::SERVER_BUSY;
            assert!(bench.broker.disconnect(bench.now, "subscriber", reason));
        },
    ];
    for ending in endings {
        let mut bench = pair(AT_LEAST_ONCE);
        let lose = Fault::new(On::Sent(PacketType::Disconnect), Mishap::LoseSession);
        bench.broker.inject(lose.client("subscriber"));
        ending(&mut bench);
        assert!(last_words(&mut bench, 2).packets().is_empty());
        let (session_present, _) = bench.resume(3, &returning("subscriber"));
        assert!(!session_present);
    }
}

/// Every packet with which the broker answers: the request, the packet that does not come, and what the client, which
/// never heard of it, does and gets after it has come back.
#[test]
fn a_dropped_answer_counts_as_sent() {
    let qos2_again = publish_at(again(qos2(7)), "m");
    for (request, dropped, repetition, answer) in [
        (
            publish_at(qos1(7), "m"),
            PacketType::Puback,
            publish_at(again(qos1(7)), "m"),
            puback(7, OK),
        ),
        (
            publish_at(qos2(7), "m"),
            PacketType::Pubrec,
            qos2_again,
            pubrec(7, OK),
        ),
        (
            pubrel(7),
            PacketType::Pubcomp,
            pubrel(7),
            pubcomp(7, UNKNOWN),
        ),
        (
            Packet::Pingreq,
            PacketType::Pingresp,
            Packet::Pingreq,
            Packet::Pingresp,
        ),
    ] {
        let mut bench = pair(AT_LEAST_ONCE);
        bench.resume(3, &returning("sender"));
        if dropped == PacketType::Pubcomp {
            bench.send(3, &publish_at(qos2(7), "m"));
            bench.expect(3, &[pubrec(7, OK)]);
        }
        inject(&mut bench, dropped, Mishap::Drop);
        bench.send(3, &request);
        bench.expect_nothing(3);
        bench.send(3, &Packet::Pingreq);
        bench.expect(3, &[Packet::Pingresp]);
        bench.lose(3);
        let (_, frames) = bench.resume(4, &returning("sender"));
        assert!(frames.packets().is_empty());
        bench.send(4, &repetition);
        bench.expect(4, &[answer]);
        let expected = match dropped {
            PacketType::Puback => 2,
            PacketType::Pingresp => 0,
            _ => 1,
        };
        assert_eq!(bench.received(2).payloads().len(), expected, "{dropped}");
    }
}

#[test]
fn a_dropped_pubrel_comes_after_the_next_connect() {
    let mut bench = pair(EXACTLY_ONCE);
    bench.publish_2(1, "t", "x");
    bench.expect(2, &[publish_at(qos2(1), "x")]);
    inject(&mut bench, PacketType::Pubrel, Mishap::Drop);
    bench.send(2, &pubrec(1, OK));
    bench.expect_nothing(2);
    bench.lose(2);
    let (_, frames) = bench.resume(3, &returning("subscriber"));
    assert_eq!(frames.packets(), [pubrel(1)]);
}

#[test]
fn dropped_subacks_and_unsubacks() {
    let mut bench = pair(AT_LEAST_ONCE);
    inject(&mut bench, PacketType::Unsuback, Mishap::Drop);
    inject(&mut bench, PacketType::Suback, Mishap::Drop);
    let filters = [filter("t")];
    bench.send(
        2,
        &Packet::Unsubscribe(Unsubscribe {
            packet_id: id(3),
            properties: Properties::EMPTY,
            filters: List::from(&filters[..]),
        }),
    );
    bench.publish_1(1, "t", "x", ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let items = [SubscribeFilter::new(filter("t"), AT_LEAST_ONCE)];
    bench.send(
        2,
        &Packet::Subscribe(Subscribe {
            packet_id: id(4),
            properties: Properties::EMPTY,
            filters: List::from(&items[..]),
        }),
    );
    bench.publish_1(1, "t", "y", OK);
    bench.expect(2, &[publish_at(qos1(1), "y")]);
}

#[test]
fn received_packets_are_dropped_and_cut_off() {
    let mut bench = pair(AT_LEAST_ONCE);
    let on = On::Received(PacketType::Publish);
    bench.broker.inject(Fault::new(on, Mishap::Drop));
    bench.broker.inject(Fault::new(on, Mishap::Cut));
    bench.publish(1, "t", "dropped");
    bench.expect_nothing(1);
    // What follows the packet in the same bytes is not seen either.
    let mut bytes = encode(&Packet::Pingreq);
    bytes.extend(encode(&message("t", "cut")));
    bytes.extend(encode(&Packet::Pingreq));
    bench.send_bytes(1, &bytes);
    assert_eq!(last_words(&mut bench, 1).packets(), [Packet::Pingresp]);
    bench.expect_nothing(2);

    bench.connect(1, "publisher");
    bench.broker.inject(Fault::new(on, Mishap::CutAfter));
    bench.send(1, &publish_at(qos1(1), "handled"));
    assert_eq!(last_words(&mut bench, 1).packets(), [puback(1, OK)]);
    assert_eq!(bench.received(2).payloads(), ["handled"]);
}

#[test]
fn the_connection_ends_before_or_after_a_packet() {
    for (mishap, seen) in [(Mishap::Cut, 1), (Mishap::CutAfter, 2)] {
        let mut bench = pair(AT_LEAST_ONCE);
        let fault = Fault::new(On::Sent(PacketType::Publish), mishap).skip(1);
        bench.broker.inject(fault);
        for payload in ["a", "b", "c"] {
            bench.publish_1(1, "t", payload, OK);
        }
        assert_eq!(
            last_words(&mut bench, 2).payloads(),
            ["a", "b", "c"][..seen]
        );
        let (session_present, frames) = bench.resume(3, &returning("subscriber"));
        assert!(session_present);
        assert_eq!(frames.payloads(), ["a", "b", "c"]);
        let dup = |at: usize| match frames.publishes()[at].delivery {
            Delivery::AtLeastOnce { dup, .. } => dup,
            other => panic!("{other:?}"),
        };
        assert_eq!([dup(0), dup(1), dup(2)], [true, true, false]);
    }
}

#[test]
fn nothing_follows_a_dropped_connack() {
    let mut bench = pair(AT_LEAST_ONCE);
    bench.lose(2);
    bench.publish_1(1, "t", "a", OK);
    inject(&mut bench, PacketType::Connack, Mishap::Drop);
    assert!(
        bench
            .try_connect(3, &returning("subscriber"))
            .packets()
            .is_empty()
    );
    bench.send(3, &Packet::Pingreq);
    bench.expect_nothing(3);
    let (session_present, frames) = bench.resume(4, &returning("subscriber"));
    assert!(session_present);
    assert_eq!(frames.packets(), [publish_at(qos1(1), "a")]);
}

/// Which of a hundred PINGREQs are answered when chance drops one in four.
fn answered(seed: u64) -> Vec<bool> {
    let mut bench = Bench::with(|config| config.seed = seed);
    bench.connect(1, "a");
    let drop = Fault::new(On::Sent(PacketType::Pingresp), Mishap::Drop);
    bench.broker.inject(drop.one_in(4).always());
    (0..100)
        .map(|_| {
            bench.send(1, &Packet::Pingreq);
            !bench.received(1).packets().is_empty()
        })
        .collect()
}

#[test]
fn chance_is_decided_by_the_seed() {
    assert_eq!(answered(1), answered(1));
    assert_ne!(answered(1), answered(2));
    let count = answered(1).into_iter().filter(|is| *is).count();
    assert!((60..90).contains(&count), "{count}");
}

#[test]
fn what_cannot_be_is_no_rule() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    let on = On::Received(PacketType::Pingreq);
    for mishap in [
        Mishap::Delay(Duration::ZERO),
        Mishap::Repeat(Duration::ZERO),
    ] {
        bench.broker.inject(Fault::new(on, mishap));
    }
    bench.send(1, &Packet::Pingreq);
    bench.expect(1, &[Packet::Pingresp]);
    assert_eq!(bench.broker.statistics().faults, 0);
    // One in none is each.
    let drop = Fault::new(on, Mishap::Drop).one_in(0);
    bench.broker.inject(drop.always());
    for _ in 0..3 {
        bench.send(1, &Packet::Pingreq);
        bench.expect_nothing(1);
    }
}

#[test]
fn the_first_rule_that_applies_strikes_alone() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    let on = On::Sent(PacketType::Pingresp);
    let never = Fault::new(on, Mishap::Cut).times(0);
    bench.broker.inject(never);
    bench
        .broker
        .inject(Fault::new(on, Mishap::Cut).client("other"));
    bench.broker.inject(Fault::new(on, Mishap::Drop));
    bench
        .broker
        .inject(Fault::new(on, Mishap::Repeat(Duration::ZERO)));
    for count in [0, 2, 1] {
        bench.send(1, &Packet::Pingreq);
        assert_eq!(bench.received(1).packets().len(), count);
    }
}
