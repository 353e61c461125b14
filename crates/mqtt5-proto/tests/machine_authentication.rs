//! Enhanced authentication (sections 3.15 and 4.12).

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    Authenticate, DisconnectCause, Property, QoS, ReasonCode, Refused, State, TimerReason,
};

use machine::authentication::{
    METHOD, again, answer, auth, challenge, challenged, connack, connected, open, open_again,
    properties, tell,
};
use machine::packets::{disconnect, encode, puback, publish};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, millis, secs};

use Authenticate::{Abort, Accept, Continue};
use Property::{AuthenticationData, AuthenticationMethod};
use QoS::{AtLeastOnce, AtMostOnce};

every_storage!(
    a_whole_exchange,
    an_exchange_without_data,
    the_server_refuses,
    nothing_is_handled_before_the_verdict,
    steps_out_of_turn_are_refused,
    connect_timeout_covers_the_exchange,
    a_lost_connection_ends_the_exchange,
    a_method_that_is_too_long,
    again_without_data,
    again_with_data,
    messages_flow_meanwhile,
    again_one_at_a_time,
    again_and_lost,
    again_and_refused,
    again_without_a_method,
    a_long_verdict_is_no_silence,
    rounds_are_counted_for_each_authentication,
);

// At CONNECT.

fn a_whole_exchange<F: Face>() {
    let mut bed = open::<F>();
    for round in ["one", "two"] {
        challenge(&mut bed, round);
        assert_eq!(bed.client.state(), State::Connecting);
        answer(&mut bed, &format!("answer to {round}"));
    }
    let list = [
        AuthenticationMethod(METHOD),
        AuthenticationData(b"final"),
        Property::ReceiveMaximum(7),
    ];
    let told = tell(&mut bed, &connack(0, &list));
    let text = format!("{:?}", properties(&list));
    assert_eq!(told, [Told::Challenge(ReasonCode::SUCCESS, text.clone())]);
    assert_eq!(bed.client.state(), State::Connecting);
    assert_eq!(bed.client.negotiated(), None);
    assert_eq!(bed.publish(AtMostOnce, "x"), Err(Refused::NotConnected));
    bed.expect_sent(&[]);
    bed.client.authenticate(bed.now, Accept).unwrap();
    let connected = Told::Connected {
        session_present: false,
        properties: text,
    };
    assert_eq!(bed.events(), [connected]);
    assert_eq!(bed.client.state(), State::Connected);
    assert_eq!(bed.client.negotiated().unwrap().receive_maximum, 7);
    bed.expect_sent(&[]);
    bed.publish(AtMostOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtMostOnce, 0, "x")]);
}

fn an_exchange_without_data<F: Face>() {
    let mut bed = open::<F>();
    challenge(&mut bed, "");
    answer(&mut bed, "mine");
    bed.accept(&[AuthenticationMethod(METHOD)]);
    connected::<F>().close();
}

fn rounds_are_counted_for_each_authentication<F: Face>() {
    let mut bed = open::<F>();
    for connection in 0..3 {
        for _ in 0..10 {
            challenge(&mut bed, "more");
            answer(&mut bed, "mine");
        }
        bed.accept(&[AuthenticationMethod(METHOD)]);
        let op = again(&mut bed);
        for _ in 0..10 {
            challenge(&mut bed, "more");
            answer(&mut bed, "mine");
        }
        let told = tell(&mut bed, &auth(0, METHOD, ""));
        assert_eq!(told, [Told::Completed(op, End::Authenticated)]);
        bed.close();
        if connection < 2 {
            open_again(&mut bed);
        }
    }
}

fn the_server_refuses<F: Face>() {
    for (code, rounds) in [(0x87, 0), (0x8C, 0), (0x87, 1)] {
        let mut bed = open::<F>();
        for _ in 0..rounds {
            challenge(&mut bed, "one");
            answer(&mut bed, "wrong");
        }
        bed.feed_bytes(&connack(code, &[]));
        let cause = DisconnectCause::Refused(ReasonCode::from(code));
        bed.expect_end(None, cause);
    }
}

fn nothing_is_handled_before_the_verdict<F: Face>() {
    let mut bed = open::<F>();
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    let message = encode(&publish(AtLeastOnce, 1, "early"));
    let told = tell(&mut bed, &[connack(0, &list), message].concat());
    assert_eq!(told, [challenged(0, "final")]);
    assert!(!bed.client.wants_read());
    assert_eq!(bed.events(), []);
    bed.client.authenticate(bed.now, Accept).unwrap();
    let told = bed.events();
    assert!(
        matches!(told[..], [Told::Connected { .. }, Told::Message { .. }]),
        "{told:?}"
    );
    assert!(bed.client.wants_read());
}

fn steps_out_of_turn_are_refused<F: Face>() {
    let steps = [Continue(b"x"), Accept, Abort];
    let mut bed = Bed::<F>::new();
    for step in steps {
        let refused = bed.client.authenticate(bed.now, step);
        assert_eq!(refused, Err(Refused::NotConnected));
    }
    for mut bed in [open::<F>(), connected::<F>(), Bed::<F>::connected()] {
        for step in steps {
            let refused = bed.client.authenticate(bed.now, step);
            assert_eq!(refused, Err(Refused::AuthenticationOutOfTurn));
        }
        bed.expect_sent(&[]);
    }
    let mut bed = open::<F>();
    challenge(&mut bed, "one");
    let refused = bed.client.authenticate(bed.now, Accept);
    assert_eq!(refused, Err(Refused::AuthenticationOutOfTurn));
    answer(&mut bed, "mine");
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    tell(&mut bed, &connack(0, &list));
    let refused = bed.client.authenticate(bed.now, Continue(b"x"));
    assert_eq!(refused, Err(Refused::AuthenticationOutOfTurn));
    bed.client.authenticate(bed.now, Accept).unwrap();
    let refused = bed.client.authenticate(bed.now, Accept);
    assert_eq!(refused, Err(Refused::AuthenticationOutOfTurn));
    assert_eq!(bed.events().len(), 1);
}

fn connect_timeout_covers_the_exchange<F: Face>() {
    for rounds in 0..3 {
        let mut bed = open::<F>();
        for _ in 0..rounds {
            bed.wait(secs(2));
            challenge(&mut bed, "one");
            assert_eq!(bed.timer(), Some((10_000, TimerReason::Connect)));
            answer(&mut bed, "mine");
        }
        if rounds == 2 {
            let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
            tell(&mut bed, &connack(0, &list));
        }
        assert_eq!(bed.timer(), Some((10_000, TimerReason::Connect)));
        bed.sleep_until(9_999);
        assert_eq!(bed.client.state(), State::Connecting);
        bed.wait(millis(1));
        bed.client.handle_timeout(bed.now);
        bed.expect_end(None, DisconnectCause::ConnectTimeout);
    }
}

fn a_lost_connection_ends_the_exchange<F: Face>() {
    let mut bed = open::<F>();
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    tell(&mut bed, &connack(0, &list));
    bed.client.authenticate(bed.now, Accept).unwrap();
    // Approved, but the transport was faster.
    assert_eq!(bed.close().len(), 1);
    open_again(&mut bed);
    let refused = bed.client.authenticate(bed.now, Accept);
    assert_eq!(refused, Err(Refused::AuthenticationOutOfTurn));
    bed.accept(&[AuthenticationMethod(METHOD)]);
}

fn a_method_that_is_too_long<F: Face>() {
    for length in [64, 65] {
        let method = "m".repeat(length);
        let list = [LIMITS[0], LIMITS[1], AuthenticationMethod(&method)];
        let connect = Connect {
            properties: properties(&list),
            ..Connect::new("me")
        };
        let mut bed = Bed::<F>::new();
        let result = bed.client.connect(bed.now, &connect);
        let expected = if length > 64 {
            Err(Refused::AuthenticationMethodTooLong)
        } else {
            Ok(())
        };
        assert_eq!(result, expected);
        assert_eq!(bed.client.unsent() > 0, result.is_ok());
    }
}

// Again, on an established connection.

fn again_without_data<F: Face>() {
    let mut bed = connected::<F>();
    let op = again(&mut bed);
    challenge(&mut bed, "one");
    answer(&mut bed, "mine");
    let told = tell(&mut bed, &auth(0, METHOD, ""));
    assert_eq!(told, [Told::Completed(op, End::Authenticated)]);
    let op = again(&mut bed);
    let told = tell(&mut bed, &auth(0, METHOD, ""));
    assert_eq!(told, [Told::Completed(op, End::Authenticated)]);
    assert_eq!(bed.client.state(), State::Connected);
    assert_eq!(bed.close().len(), 1);
}

fn again_with_data<F: Face>() {
    let mut bed = connected::<F>();
    let op = again(&mut bed);
    let message = encode(&publish(AtLeastOnce, 1, "later"));
    let success = auth(0, METHOD, "final");
    let told = tell(&mut bed, &[success, message].concat());
    assert_eq!(told, [challenged(0, "final")]);
    assert_eq!(bed.events(), []);
    bed.client.authenticate(bed.now, Accept).unwrap();
    let told = bed.events();
    assert_eq!(told[0], Told::Completed(op, End::Authenticated));
    assert!(matches!(told[1..], [Told::Message { .. }]), "{told:?}");
    bed.expect_sent(&[]);
}

fn messages_flow_meanwhile<F: Face>() {
    let mut bed = connected::<F>();
    let op = again(&mut bed);
    for data in ["one", "two"] {
        let sent = bed.publish(AtLeastOnce, "x").unwrap();
        let id = if data == "one" { 1 } else { 2 };
        bed.expect_sent(&[publish(AtLeastOnce, id, "x")]);
        challenge(&mut bed, data);
        let told = bed.tell(&puback(id));
        assert_eq!(told, [Told::Completed(sent, End::delivered())]);
        let token = bed.token(&publish(AtLeastOnce, 9, "y"));
        bed.ack(token);
        bed.expect_sent(&[puback(9)]);
        answer(&mut bed, "mine");
    }
    let told = tell(&mut bed, &auth(0, METHOD, ""));
    assert_eq!(told, [Told::Completed(op, End::Authenticated)]);
}

fn again_one_at_a_time<F: Face>() {
    let mut bed = connected::<F>();
    again(&mut bed);
    let refused = Err(Refused::AuthenticationOutOfTurn);
    assert_eq!(bed.client.reauthenticate(bed.now, None), refused);
    challenge(&mut bed, "one");
    assert_eq!(bed.client.reauthenticate(bed.now, None), refused);
    answer(&mut bed, "mine");
    tell(&mut bed, &auth(0, METHOD, "final"));
    assert_eq!(bed.client.reauthenticate(bed.now, None), refused);
    bed.client.authenticate(bed.now, Accept).unwrap();
    bed.events();
    bed.expect_sent(&[]);
    again(&mut bed);
}

fn again_and_lost<F: Face>() {
    for steps in 0..4 {
        let mut bed = connected::<F>();
        let op = again(&mut bed);
        match steps {
            0 => {}
            1 => challenge(&mut bed, "one"),
            _ => {
                tell(&mut bed, &auth(0, METHOD, "final"));
            }
        }
        if steps == 3 {
            bed.client.authenticate(bed.now, Accept).unwrap();
        }
        let told = bed.close();
        assert_eq!(told[1..], [Told::Completed(op, End::ConnectionLost)]);
        open_again(&mut bed);
        bed.accept(&[AuthenticationMethod(METHOD)]);
        assert_ne!(again(&mut bed), op);
    }
}

fn again_and_refused<F: Face>() {
    let mut bed = connected::<F>();
    let op = again(&mut bed);
    assert_eq!(bed.tell(&disconnect(0x87)), []);
    assert!(bed.client.wants_close());
    let ends = bed.expect_closed(DisconnectCause::ByServer {
        reason: ReasonCode::NOT_AUTHORIZED,
        defined: true,
    });
    assert_eq!(ends, [Told::Completed(op, End::ConnectionLost)]);
}

fn again_without_a_method<F: Face>() {
    let mut bed = Bed::<F>::new();
    let not_connected = Err(Refused::NotConnected);
    assert_eq!(bed.client.reauthenticate(bed.now, None), not_connected);
    let mut bed = Bed::<F>::connected();
    let refused = bed.client.reauthenticate(bed.now, Some(b"x"));
    assert_eq!(refused, Err(Refused::NoAuthentication));
    bed.expect_sent(&[]);
    let mut bed = open::<F>();
    assert_eq!(bed.client.reauthenticate(bed.now, None), not_connected);
}

/// While the application looks at the server's data nothing is read, so that its silence says nothing.
fn a_long_verdict_is_no_silence<F: Face>() {
    for turns in 1..=30 {
        let mut bed = connected::<F>();
        let op = again(&mut bed);
        tell(&mut bed, &auth(0, METHOD, "final"));
        for _ in 0..turns {
            bed.elapse(secs(10));
            bed.sent_bytes();
        }
        bed.client.authenticate(bed.now, Accept).unwrap();
        assert_eq!(bed.events(), [Told::Completed(op, End::Authenticated)]);
        bed.client.handle_timeout(bed.now);
        assert_eq!(bed.client.state(), State::Connected, "{turns}");
    }
}

/// Data that is not printed.
#[test]
fn steps_print_no_data() {
    assert_eq!(format!("{:?}", Continue(b"secret")), "Continue(6 bytes)");
}
