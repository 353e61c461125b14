//! Enhanced authentication of a live connection, again (section 4.12.1).

mod machine;

use mqtt5_proto::{
    Authenticate, DisconnectCause, EncodeError, Property, QoS, ReasonCode, Refused, State,
    TimerReason, Violation,
};

use machine::authentication::{
    AGAIN, CONTINUE, METHOD, again, answer, auth, challenge, challenged, connected, open,
    open_again, tell,
};
use machine::packets::{disconnect, encode, puback, publish};
use machine::{Bed, End, Face, Small, Told, every_storage, secs};

use Authenticate::{Accept, Continue};
use Property::AuthenticationMethod;
use QoS::{AtLeastOnce, AtMostOnce};

every_storage!(
    again_without_data,
    again_with_data,
    messages_flow_meanwhile,
    again_one_at_a_time,
    again_and_lost,
    again_and_refused,
    again_without_a_method,
    a_long_verdict_is_no_silence,
    data_that_is_too_large,
    auth_has_room,
    success_while_a_challenge_is_open,
    a_challenge_behind_the_verdict,
);

/// T134, T140: re-authentication.
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

/// T134: data of the server waits for a verdict.
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

/// T134: errors of the caller.
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

/// T134: the server refuses.
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

/// T117, T134: what was not agreed on in CONNECT cannot be done again.
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

/// What does not fit is refused, and may be tried again with less.
fn data_that_is_too_large<F: Face>() {
    let mut bed = open::<F>();
    let limit = Property::MaximumPacketSize(40);
    bed.accept(&[AuthenticationMethod(METHOD), limit]);
    let large = [b'x'; 20];
    let too_large = Refused::TooLarge {
        length: 41,
        maximum: 40,
    };
    let refused = bed.client.reauthenticate(bed.now, Some(&large));
    assert_eq!(refused, Err(too_large));
    bed.expect_sent(&[]);
    again(&mut bed);
    challenge(&mut bed, "one");
    let huge = [0; 65_536];
    for (data, expected) in [
        (&large[..], too_large),
        (&huge[..], EncodeError::FieldTooLong.into()),
    ] {
        let refused = bed.client.authenticate(bed.now, Continue(data));
        assert_eq!(refused, Err(expected));
        bed.expect_sent(&[]);
    }
    answer(&mut bed, core::str::from_utf8(&large[..19]).unwrap());
}

/// Publishes that wait for the transport do not keep AUTH from being sent.
fn auth_has_room<F: Face>() {
    let mut bed = connected::<F>();
    let payload = "x".repeat(100);
    let waiting = loop {
        let op = bed.publish(AtMostOnce, &payload).unwrap();
        if bed.client.is_pending(op) {
            break op;
        }
    };
    bed.client.reauthenticate(bed.now, Some(b"first")).unwrap();
    assert!(bed.client.is_pending(waiting));
    let sent = bed.sent_bytes();
    assert!(sent.ends_with(&auth(AGAIN, METHOD, "first")));
    assert_eq!(bed.events(), [Told::Completed(waiting, End::Accepted)]);
}

/// What is not read as long as an answer might have no room behind AUTH has a whole new limit afterwards.
#[test]
fn auth_that_stops_reading_stops_the_time_of_a_packet() {
    let mut bed = connected::<Small>();
    assert_eq!(tell(&mut bed, &[0x30]), []);
    while bed.client.pending() == 0 {
        bed.publish(AtMostOnce, "0123456789").unwrap();
    }
    bed.client.reauthenticate(bed.now, Some(b"first")).unwrap();
    assert!(!bed.client.wants_read());
    bed.sleep_until(20_000);
    bed.client.transmit(bed.now, 1);
    assert!(!bed.client.wants_read());
    bed.sleep_until(45_000);
    bed.sent_bytes();
    assert!(bed.client.wants_read());
    assert_eq!(bed.timer(), Some((75_000, TimerReason::PartialPacket)));
}

/// Success cannot come before the answer to an open challenge.
fn success_while_a_challenge_is_open<F: Face>() {
    for data in ["", "final"] {
        let mut bed = connected::<F>();
        let op = again(&mut bed);
        challenge(&mut bed, "one");
        assert_eq!(tell(&mut bed, &auth(0, METHOD, data)), []);
        bed.expect_sent(&[disconnect(0x82)]);
        let cause = DisconnectCause::Violation(Violation::UnexpectedAuthentication);
        let ends = bed.expect_closed(cause);
        assert_eq!(ends, [Told::Completed(op, End::ConnectionLost)]);
    }
}

/// What follows the server's success is judged only after its data was.
fn a_challenge_behind_the_verdict<F: Face>() {
    let mut bed = connected::<F>();
    let op = again(&mut bed);
    let bytes = [auth(0, METHOD, "final"), auth(CONTINUE, METHOD, "more")];
    assert_eq!(tell(&mut bed, &bytes.concat()), [challenged(0, "final")]);
    bed.expect_sent(&[]);
    bed.client.authenticate(bed.now, Accept).unwrap();
    assert_eq!(bed.events(), [Told::Completed(op, End::Authenticated)]);
    bed.expect_sent(&[disconnect(0x82)]);
}
