//! Enhanced authentication that the server gets wrong, or that nobody began (HB-56, section 4.12).

mod machine;

use mqtt5_proto::{Authenticate, DecodeErrorKind as Kind, DisconnectCause, Property, Violation};

use machine::authentication::{
    CONTINUE, METHOD, again, answer, auth, challenge, connack, connected, open, tell,
};
use machine::hostile::ends;
use machine::packets::disconnect;
use machine::{Bed, End, Face, Told, every_storage};

use Authenticate::Abort;
use Property::{AuthenticationData, AuthenticationMethod};
use Violation::UnexpectedAuthentication;

every_storage!(
    hb_56_connack_with_another_method,
    hb_56_connack_while_a_challenge_is_open,
    hb_56_connack_with_a_method_that_was_not_asked_for,
    hb_56_data_without_a_method,
    hb_56_auth_with_another_method,
    hb_56_auth_out_of_turn,
    hb_56_auth_without_enhanced_authentication,
    hb_56_success_before_connack,
    hb_56_codes_that_a_server_may_not_send,
    hb_56_more_rounds_than_ten,
    hb_56_the_application_aborts,
    hb_56_again_and_aborted,
);

/// The server sends what it must not.
#[track_caller]
fn violates<F: Face>(bed: Bed<F>, bytes: &[u8]) {
    ends(bed, bytes, 0x82, UnexpectedAuthentication);
}

fn hb_56_connack_with_another_method<F: Face>() {
    for list in [
        &[][..],
        &[AuthenticationMethod("SCRAM-SHA-2")],
        &[AuthenticationMethod("")],
        &[AuthenticationMethod("SCRAM-SHA-1 ")],
        &[AuthenticationMethod("other"), AuthenticationData(b"x")],
    ] {
        violates(open::<F>(), &connack(0, list));
    }
}

fn hb_56_connack_while_a_challenge_is_open<F: Face>() {
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    for count in 1..=2 {
        let mut bed = open::<F>();
        challenge(&mut bed, "one");
        violates(bed, &connack(0, &list[..count]));
    }
}

fn hb_56_connack_with_a_method_that_was_not_asked_for<F: Face>() {
    for list in [
        &[AuthenticationMethod(METHOD)][..],
        &[AuthenticationMethod(METHOD), AuthenticationData(b"x")],
    ] {
        let mut bed = Bed::<F>::new();
        bed.open();
        violates(bed, &connack(0, list));
    }
}

/// 3.2.2.3.18, 3.15.2.2.3: whether authentication was asked for or not.
fn hb_56_data_without_a_method<F: Face>() {
    let connack = [0x20, 7, 0, 0, 4, 0x16, 0, 1, b'x'];
    let auth = [0xF0, 6, 0x18, 4, 0x16, 0, 1, b'x'];
    let kind = Kind::AuthenticationDataWithoutMethod;
    for bytes in [&connack[..], &auth] {
        ends(open::<F>(), bytes, 0x82, kind);
        let mut bed = Bed::<F>::new();
        bed.open();
        ends(bed, bytes, 0x82, kind);
    }
    ends(again_open::<F>(), &auth, 0x82, kind);
}

/// [MQTT-4.12.0-5]: no method, another one, one that begins like it; at CONNECT, after a challenge, and again.
fn hb_56_auth_with_another_method<F: Face>() {
    for reason in [0, CONTINUE] {
        for bytes in [
            auth(reason, "other", "x"),
            auth(reason, "SCRAM-SHA-1-PLUS", ""),
            auth(reason, "SCRAM-SHA", ""),
            auth(reason, "scram-sha-1", "x"),
            auth(reason, "", ""),
            vec![0xF0, 2, reason, 0],
        ] {
            violates(open::<F>(), &bytes);
            let mut bed = open::<F>();
            challenge(&mut bed, "one");
            answer(&mut bed, "mine");
            violates(bed, &bytes);
            violates(again_open::<F>(), &bytes);
        }
    }
    // Without content it is a success without a method.
    violates(again_open::<F>(), &[0xF0, 0]);
}

/// The connection is being authenticated again.
fn again_open<F: Face>() -> Bed<F> {
    let mut bed = connected::<F>();
    again(&mut bed);
    bed
}

fn hb_56_auth_out_of_turn<F: Face>() {
    // A second challenge before the answer to the first one.
    let mut bed = open::<F>();
    challenge(&mut bed, "one");
    violates(bed, &auth(CONTINUE, METHOD, "two"));
    let mut bed = again_open::<F>();
    challenge(&mut bed, "one");
    violates(bed, &auth(CONTINUE, METHOD, "two"));
    // Success before the answer.
    let mut bed = again_open::<F>();
    challenge(&mut bed, "one");
    violates(bed, &auth(0, METHOD, ""));
    for reason in [0, CONTINUE] {
        for data in ["", "x"] {
            // Nobody has begun, or it is over.
            violates(connected::<F>(), &auth(reason, METHOD, data));
            let mut bed = again_open::<F>();
            assert_eq!(tell(&mut bed, &auth(0, METHOD, "")).len(), 1);
            violates(bed, &auth(reason, METHOD, data));
        }
    }
}

fn hb_56_auth_without_enhanced_authentication<F: Face>() {
    for reason in [0, CONTINUE] {
        for bytes in [auth(reason, METHOD, "x"), vec![0xF0, 2, reason, 0]] {
            violates(Bed::<F>::connected(), &bytes);
            let mut bed = Bed::<F>::new();
            bed.open();
            violates(bed, &bytes);
        }
    }
}

fn hb_56_success_before_connack<F: Face>() {
    for data in ["", "x"] {
        violates(open::<F>(), &auth(0, METHOD, data));
        let mut bed = open::<F>();
        challenge(&mut bed, "one");
        answer(&mut bed, "mine");
        violates(bed, &auth(0, METHOD, data));
    }
}

/// D17: only a client asks for it again. And every number that table 3-11 does not have.
fn hb_56_codes_that_a_server_may_not_send<F: Face>() {
    for code in (0..=u8::MAX).filter(|code| ![0, CONTINUE].contains(code)) {
        let mut bytes = auth(CONTINUE, METHOD, "x");
        bytes[2] = code;
        let kind = Kind::UndefinedReasonCode(code);
        for bed in [open::<F>(), connected(), again_open(), Bed::connected()] {
            ends(bed, &bytes, 0x82, kind);
        }
    }
}

/// At CONNECT and again. T134.
fn hb_56_more_rounds_than_ten<F: Face>() {
    for mut bed in [open::<F>(), again_open()] {
        for _ in 0..10 {
            challenge(&mut bed, "more");
            answer(&mut bed, "mine");
        }
        let eleventh = auth(CONTINUE, METHOD, "more");
        ends(bed, &eleventh, 0x97, Violation::TooManyRounds);
    }
}

fn hb_56_the_application_aborts<F: Face>() {
    for last in [false, true] {
        let mut bed = open::<F>();
        if last {
            let list = [AuthenticationMethod(METHOD), AuthenticationData(b"bad")];
            assert_eq!(tell(&mut bed, &connack(0, &list)).len(), 1);
        } else {
            challenge(&mut bed, "bad");
        }
        bed.client.authenticate(bed.now, Abort).unwrap();
        bed.expect_end(Some(0x80), DisconnectCause::AuthenticationAborted);
    }
}

fn hb_56_again_and_aborted<F: Face>() {
    let mut bed = connected::<F>();
    let op = again(&mut bed);
    tell(&mut bed, &auth(0, METHOD, "bad"));
    bed.client.authenticate(bed.now, Abort).unwrap();
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[disconnect(0x80)]);
    assert!(bed.client.wants_close());
    let ends = bed.expect_closed(DisconnectCause::AuthenticationAborted);
    assert_eq!(ends, [Told::Completed(op, End::ConnectionLost)]);
}
