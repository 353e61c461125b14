//! Enhanced authentication: before CONNACK, and again on a connection that was accepted (4.12).

mod common;

use common::*;
use mqtt5_broker::{Access, AuthenticationStep, Login, Verdict};
use mqtt5_proto::packet::{Connack, Connect, Packet};
use mqtt5_proto::{Properties, Property, ReasonCode};

const CONTINUE: ReasonCode = ReasonCode::CONTINUE_AUTHENTICATION;
const AGAIN: ReasonCode = ReasonCode::REAUTHENTICATE;
const METHOD: Property<'static> = Property::AuthenticationMethod("echo");

/// Each step must answer the challenge before it.
struct Echo;

impl Access for Echo {
    fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
        Err(ReasonCode::NOT_AUTHORIZED)
    }

    fn authenticate(&mut self, step: &AuthenticationStep<'_>) -> Verdict {
        assert_eq!(step.connection, 1);
        assert_eq!(step.login.client_id, "a");
        if step.method != "echo" {
            return Verdict::Refuse(ReasonCode::BAD_AUTHENTICATION_METHOD);
        }
        let name = step.login.username.unwrap_or("nobody");
        match (step.is_again, step.round, step.data) {
            (false, 0, _) => Verdict::Continue(format!("how are you, {name}?").into()),
            (false, 1, Some(b"well")) => Verdict::Continue(Vec::new()),
            (false, 2, None) => Verdict::Success(b"come in".to_vec()),
            (true, 0, Some(b"still me")) => Verdict::Success(Vec::new()),
            (true, 0, _) => Verdict::Continue(b"really?".to_vec()),
            (true, 1, Some(b"yes")) => Verdict::Success(b"stay".to_vec()),
            // Not for CONNACK, nor for DISCONNECT.
            (_, _, Some(b"odd")) => Verdict::Refuse(ReasonCode::SUCCESS),
            _ => Verdict::Refuse(ReasonCode::NOT_AUTHORIZED),
        }
    }
}

fn bench() -> Bench {
    Bench::with(|config| config.access = Box::new(Echo))
}

fn connect<'a>(properties: &'a [Property<'a>]) -> Connect<'a> {
    Connect {
        username: Some("anna"),
        password: Some(b"secret"),
        properties: list(properties),
        ..Connect::new("a")
    }
}

fn with_data(data: &'static str) -> [Property<'static>; 2] {
    [METHOD, Property::AuthenticationData(data.as_bytes())]
}

/// A client whose CONNECT was answered with a challenge.
fn challenged() -> Bench {
    let mut bench = bench();
    let frames = bench.try_connect(1, &connect(&[METHOD]));
    let question = with_data("how are you, anna?");
    assert_eq!(frames.one(), auth(CONTINUE, &question));
    bench
}

/// A client that was accepted.
fn accepted() -> Bench {
    let mut bench = challenged();
    bench.send(1, &auth(CONTINUE, &with_data("well")));
    bench.expect(1, &[auth(CONTINUE, &[METHOD])]); // [MQTT-4.12.0-2]
    assert_eq!(bench.broker.statistics().sessions, 0);
    bench.send(1, &auth(CONTINUE, &[METHOD]));
    let frames = bench.received(1);
    let Packet::Connack(connack) = frames.one() else {
        panic!("{:?}", frames.one())
    };
    assert_eq!(connack.reason, ReasonCode::SUCCESS);
    // [MQTT-4.12.0-5]
    assert_eq!(connack.properties.authentication_method(), Some("echo"));
    assert_eq!(
        connack.properties.authentication_data(),
        Some(&b"come in"[..])
    );
    bench
}

#[track_caller]
fn expect_connack(bench: &mut Bench, reason: ReasonCode) {
    match bench.received(1).packets().last() {
        Some(Packet::Connack(connack)) => assert_eq!(connack.reason, reason),
        other => panic!("no CONNACK: {other:?}"),
    }
    bench.expect_closed(1);
    let statistics = bench.broker.statistics();
    assert_eq!((statistics.connections, statistics.sessions), (0, 0));
}

/// T134: AUTH before CONNACK.
#[test]
fn several_rounds_before_connack() {
    let mut bench = accepted();
    bench.subscribe(1, "t", AT_MOST_ONCE);
    bench.publish(1, "t", "x");
    bench.expect(1, &[message("t", "x")]);
}

#[test]
fn the_hook_refuses_with_the_code_it_likes() {
    for (method, reason) in [
        ("ECHO", ReasonCode::BAD_AUTHENTICATION_METHOD),
        ("", ReasonCode::BAD_AUTHENTICATION_METHOD),
    ] {
        let mut bench = bench();
        bench.open(1);
        let properties = [Property::AuthenticationMethod(method)];
        bench.send(1, &Packet::Connect(connect(&properties)));
        expect_connack(&mut bench, reason); // [MQTT-4.12.0-1]
    }
    for (answer, reason) in [
        ("badly", ReasonCode::NOT_AUTHORIZED),
        ("odd", ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR),
    ] {
        let mut bench = challenged();
        bench.send(1, &auth(CONTINUE, &with_data(answer)));
        expect_connack(&mut bench, reason); // [MQTT-4.12.0-4]
    }
}

/// T134: errors of the exchange.
#[test]
fn what_may_not_come_before_connack() {
    for packet in [
        Packet::Pingreq,
        message("t", "x"),
        Packet::Connect(Connect::new("a")),
        auth(AGAIN, &[METHOD]),
        auth(CONTINUE, &[Property::AuthenticationMethod("other")]),
        auth(CONTINUE, &[]),
    ] {
        let mut bench = challenged();
        bench.send(1, &packet);
        expect_connack(&mut bench, ReasonCode::PROTOCOL_ERROR); // [MQTT-3.1.2-30]
    }
}

#[test]
fn disconnect_and_silence_end_it_without_a_word() {
    let mut bench = challenged();
    bench.send(1, &disconnect(ReasonCode::NORMAL_DISCONNECTION));
    bench.expect_nothing(1);
    bench.expect_closed(1);

    let mut bench = challenged();
    bench.advance(9.0);
    bench.send(1, &auth(CONTINUE, &with_data("well")));
    bench.received(1);
    bench.advance(2.0); // An answer wins no time: all is due within the connect timeout.
    bench.expect_nothing(1);
    bench.expect_closed(1);
    assert_eq!(bench.broker.statistics().connections, 0);
}

#[test]
fn an_earlier_connection_stays_until_the_new_one_is_known() {
    let mut bench = Bench::with(|config| {
        struct Slow;
        impl Access for Slow {
            fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
                Ok(())
            }
            fn authenticate(&mut self, step: &AuthenticationStep<'_>) -> Verdict {
                match step.round {
                    0 => Verdict::Continue(Vec::new()),
                    _ => Verdict::Success(Vec::new()),
                }
            }
        }
        config.access = Box::new(Slow);
    });
    bench.connect(7, "a");
    bench.try_connect(1, &connect(&[METHOD]));
    bench.send(7, &Packet::Pingreq);
    bench.expect(7, &[Packet::Pingresp]);
    bench.send(1, &auth(CONTINUE, &[METHOD]));
    bench.expect_disconnect(7, ReasonCode::SESSION_TAKEN_OVER);
    assert!(matches!(bench.received(1).one(), Packet::Connack(_)));
}

/// T31, T134: re-authentication.
#[test]
fn again_while_messages_flow() {
    let mut bench = accepted();
    bench.subscribe(1, "t", AT_MOST_ONCE);
    bench.send(1, &auth(AGAIN, &[METHOD]));
    bench.expect(1, &[auth(CONTINUE, &with_data("really?"))]);
    bench.publish(1, "t", "x"); // (4.12.1)
    bench.expect(1, &[message("t", "x")]);
    bench.send(1, &auth(CONTINUE, &with_data("yes")));
    bench.expect(1, &[auth(ReasonCode::SUCCESS, &with_data("stay"))]);

    bench.send(1, &auth(AGAIN, &with_data("still me")));
    bench.expect(1, &[auth(ReasonCode::SUCCESS, &[METHOD])]);
}

/// T134: re-authentication that fails.
#[test]
fn again_and_refused() {
    let mut bench = accepted();
    bench.send(1, &auth(AGAIN, &[METHOD]));
    bench.received(1);
    bench.send(1, &auth(CONTINUE, &with_data("no")));
    bench.expect_disconnect(1, ReasonCode::NOT_AUTHORIZED); // [MQTT-4.12.1-2]
}

#[test]
fn what_may_not_come_after_connack() {
    let other = [Property::AuthenticationMethod("other")];
    for (first, second) in [
        (None, auth(CONTINUE, &[METHOD])),           // nothing was asked
        (None, auth(AGAIN, &other)),                 // [MQTT-4.12.1-1]
        (None, auth(AGAIN, &[])),                    // no method
        (Some(()), auth(AGAIN, &[METHOD])),          // under way already
        (Some(()), auth(CONTINUE, &other)),          // [MQTT-4.12.0-5]
        (None, Packet::Connect(connect(&[METHOD]))), // [MQTT-3.1.0-2]
    ] {
        let mut bench = accepted();
        if first.is_some() {
            bench.send(1, &auth(AGAIN, &[METHOD]));
            bench.received(1);
        }
        bench.send(1, &second);
        bench.expect_disconnect(1, ReasonCode::PROTOCOL_ERROR);
    }
}

#[test]
fn auth_without_a_method_in_connect() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.send(1, &auth(AGAIN, &[METHOD]));
    bench.expect_disconnect(1, ReasonCode::PROTOCOL_ERROR); // [MQTT-4.12.0-7]
}

#[test]
fn a_challenge_too_large_for_the_client_ends_it() {
    let mut bench = bench();
    bench.open(1);
    let properties = [METHOD, Property::MaximumPacketSize(20)];
    bench.send(1, &Packet::Connect(connect(&properties)));
    let refusal = Connack {
        session_present: false,
        reason: ReasonCode::PACKET_TOO_LARGE,
        properties: Properties::EMPTY,
    };
    bench.expect(1, &[Packet::Connack(refusal)]);
    bench.expect_closed(1);
}

#[test]
fn secrets_are_not_printed() {
    struct Print;
    impl Access for Print {
        fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
            Ok(())
        }
        fn authenticate(&mut self, step: &AuthenticationStep<'_>) -> Verdict {
            let verdict = Verdict::Success(b"hidden".to_vec());
            let text = format!("{step:?} {verdict:?}");
            assert!(text.contains("echo") && text.contains("6 bytes"), "{text}");
            assert!(!text.contains("secret") && !text.contains("104"), "{text}");
            verdict
        }
    }
    let mut bench = Bench::with(|config| config.access = Box::new(Print));
    let properties = with_data("hidden");
    bench.try_connect(1, &connect(&properties));
    let text = format!("{:?}", bench.broker);
    assert!(!text.contains("secret"), "{text}");
}
