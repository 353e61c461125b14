//! Enhanced authentication of a new connection (sections 3.15 and 4.12).

mod machine;

use mqtt5_proto::packet::{Auth, Connect};
use mqtt5_proto::{
    Authenticate, DisconnectCause, DisconnectReason, Packet, Properties, Property, QoS, ReasonCode,
    Refused, State, TimerReason, Violation,
};

use machine::authentication::{
    CONTINUE, METHOD, again, answer, auth, challenge, challenged, connack, connected, open,
    open_again, properties, tell,
};
use machine::packets::{self, disconnect, encode, puback, publish};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, millis, secs};

use Authenticate::{Abort, Accept, Continue};
use Property::{AuthenticationData, AuthenticationMethod};
use QoS::{AtLeastOnce, AtMostOnce};

every_storage!(
    a_whole_exchange,
    an_exchange_without_data,
    rounds_are_counted_for_each_authentication,
    the_server_refuses,
    nothing_is_handled_before_the_verdict,
    steps_out_of_turn_are_refused,
    connect_timeout_covers_the_exchange,
    a_lost_connection_ends_the_exchange,
    a_method_that_is_too_long,
    empty_data_is_data,
    explanations,
    in_pieces,
    disconnecting_instead_of_answering,
    disconnecting_behind_the_verdict,
    nothing_is_handled_after_an_abort,
    nothing_is_resent_before_the_verdict,
);

/// T134, T147: AUTH on connecting.
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
    let last = Told::Challenge(ReasonCode::SUCCESS, text.clone(), Some(b"final".to_vec()));
    assert_eq!(told, [last]);
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

/// T134: a success begins the count anew.
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

/// At any point, also while a challenge is open, and without a method [MQTT-4.12.0-4].
fn the_server_refuses<F: Face>() {
    for (code, rounds, challenged) in [
        (0x87, 0, false),
        (0x8C, 0, false),
        (0x87, 1, false),
        (0x87, 0, true),
        (0x97, 2, true),
    ] {
        let mut bed = open::<F>();
        for _ in 0..rounds {
            challenge(&mut bed, "one");
            answer(&mut bed, "wrong");
        }
        if challenged {
            challenge(&mut bed, "two");
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

/// T117: without harm.
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

/// T117: refused before anything is sent.
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

/// Data of no bytes is data: it comes with a challenge, and success with it waits for a verdict.
fn empty_data_is_data<F: Face>() {
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"")];
    let text = format!("{:?}", properties(&list));
    let told = |code| Told::Challenge(ReasonCode::from(code), text.clone(), Some(vec![]));
    let mut bed = open::<F>();
    bed.feed(&Packet::Auth(Auth {
        reason: ReasonCode::CONTINUE_AUTHENTICATION,
        properties: properties(&list),
    }));
    assert_eq!(bed.events(), [told(CONTINUE)]);
    bed.client.authenticate(bed.now, Continue(b"")).unwrap();
    let empty = [0xF0, 19, CONTINUE, 17, 0x15, 0, 11];
    assert_eq!(
        bed.sent_bytes(),
        [&empty[..], METHOD.as_bytes(), b"\x16\0\0"].concat()
    );
    assert_eq!(tell(&mut bed, &connack(0, &list)), [told(0)]);
    bed.client.authenticate(bed.now, Accept).unwrap();
    assert_eq!(bed.events().len(), 1);
}

/// What a server says beside method and data is told, unless it was asked to be silent [MQTT-3.1.2-29].
fn explanations<F: Face>() {
    let list = [
        AuthenticationMethod(METHOD),
        Property::ReasonString("once more"),
        Property::UserProperty("a", "b"),
    ];
    let auth = |count| Auth {
        reason: ReasonCode::CONTINUE_AUTHENTICATION,
        properties: properties(&list[..count]),
    };
    let mut bed = open::<F>();
    let told = bed.tell(&Packet::Auth(auth(3)));
    let text = format!("{:?}", auth(3).properties);
    let expected = Told::Challenge(ReasonCode::CONTINUE_AUTHENTICATION, text, None);
    assert_eq!(told, [expected]);
    for count in 1..=3 {
        let mut bed = Bed::<F>::new();
        let silent = Property::RequestProblemInformation(false);
        let asked = [LIMITS[0], LIMITS[1], silent, AuthenticationMethod(METHOD)];
        bed.open_with(&asked, 60);
        bed.feed(&Packet::Auth(auth(count)));
        if count == 1 {
            assert_eq!(bed.events(), [challenged(CONTINUE, "")]);
        } else {
            let violation = Violation::UnexpectedProblemInformation;
            bed.expect_end(Some(0x82), DisconnectCause::Violation(violation));
        }
    }
}

/// Whatever the pieces in which packets arrive, a step is told with its last byte.
fn in_pieces<F: Face>() {
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    let mut bed = open::<F>();
    for (bytes, expected) in [
        (auth(CONTINUE, METHOD, "one"), challenged(CONTINUE, "one")),
        (connack(0, &list), challenged(0, "final")),
    ] {
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            assert_eq!(tell(&mut bed, &[*byte]), []);
        }
        assert_eq!(tell(&mut bed, &[*last]), [expected]);
        if bytes[0] == 0xF0 {
            answer(&mut bed, "mine");
        }
    }
    bed.client.authenticate(bed.now, Accept).unwrap();
    assert_eq!(bed.events().len(), 1);
}

fn disconnecting_instead_of_answering<F: Face>() {
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    for checking in [false, true] {
        let mut bed = open::<F>();
        if checking {
            tell(&mut bed, &connack(0, &list));
        } else {
            challenge(&mut bed, "one");
        }
        let reason = DisconnectReason::Normal;
        let ended = bed.client.disconnect(bed.now, reason, Properties::EMPTY);
        assert_eq!(ended, Ok(()));
        let refused = bed.client.authenticate(bed.now, Abort);
        assert_eq!(refused, Err(Refused::NotConnected));
        bed.expect_end(Some(0), DisconnectCause::Requested);
    }
}

/// The machine was not asked for events in between: the approval does not open what is about to end.
fn disconnecting_behind_the_verdict<F: Face>() {
    let mut bed = open::<F>();
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    tell(&mut bed, &connack(0, &list));
    bed.client.authenticate(bed.now, Accept).unwrap();
    let normal = DisconnectReason::Normal;
    bed.client
        .disconnect(bed.now, normal, Properties::EMPTY)
        .unwrap();
    let events = bed.events();
    assert!(matches!(events[..], [Told::Connected { .. }]), "{events:?}");
    assert_eq!(bed.publish(AtMostOnce, "x"), Err(Refused::NotConnected));
    bed.expect_end(Some(0x00), DisconnectCause::Requested);
}

fn nothing_is_handled_after_an_abort<F: Face>() {
    let mut bed = open::<F>();
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"bad")];
    let later = auth(CONTINUE, METHOD, "one");
    let told = tell(&mut bed, &[connack(0, &list), later].concat());
    assert_eq!(told, [challenged(0, "bad")]);
    bed.client.authenticate(bed.now, Abort).unwrap();
    for step in [Continue(b"x"), Accept, Abort] {
        let refused = bed.client.authenticate(bed.now, step);
        assert_eq!(refused, Err(Refused::NotConnected));
    }
    bed.expect_end(Some(0x80), DisconnectCause::AuthenticationAborted);
}

/// A server whose data is not approved yet is shown nothing of the session, and refusing it does not harm the session.
fn nothing_is_resent_before_the_verdict<F: Face>() {
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(AtLeastOnce, "x").unwrap();
    bed.expect_sent(&[publish(AtLeastOnce, 1, "x")]);
    for verdict in [Abort, Accept] {
        assert_eq!(bed.lose(), []);
        let connect = Connect {
            clean_start: false,
            properties: properties(&[
                LIMITS[0],
                LIMITS[1],
                Property::SessionExpiryInterval(3_600),
                AuthenticationMethod(METHOD),
            ]),
            ..Connect::new("me")
        };
        bed.client.connect(bed.now, &connect).unwrap();
        bed.expect_sent(&[Packet::Connect(connect)]);
        bed.connack(true, &list);
        assert_eq!(bed.events(), [challenged(0, "final")]);
        bed.expect_sent(&[]);
        bed.client.authenticate(bed.now, verdict).unwrap();
        if matches!(verdict, Abort) {
            assert_eq!(bed.events(), []);
            bed.expect_sent(&[disconnect(0x80)]);
        }
    }
    assert!(matches!(bed.events()[..], [Told::Connected { .. }]));
    bed.expect_sent(&[packets::again(AtLeastOnce, 1, "x")]);
    let told = bed.tell(&puback(1));
    assert_eq!(told, [Told::Completed(op, End::delivered())]);
}

/// Data that is not printed.
#[test]
fn steps_print_no_data() {
    assert_eq!(format!("{:?}", Continue(b"secret")), "Continue(6 bytes)");
}
