//! Enhanced authentication that the server gets wrong, or that nobody began (HB-56, section 4.12).

mod machine;

use mqtt5_proto::{Authenticate, DisconnectCause, Property, Violation};

use machine::authentication::{
    AGAIN, CONTINUE, METHOD, again, answer, auth, challenge, connack, connected, open, open_again,
    tell,
};
use machine::packets::{disconnect, encode};
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
    hb_56_many_rounds_but_not_too_many,
    hb_56_again_with_too_many_rounds,
    hb_56_the_application_aborts,
    hb_56_again_and_aborted,
);

/// The server sends what it must not.
#[track_caller]
fn violates<F: Face>(mut bed: Bed<F>, bytes: &[u8]) {
    bed.feed_bytes(bytes);
    let cause = DisconnectCause::Violation(UnexpectedAuthentication);
    bed.expect_end(Some(0x82), cause);
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

fn hb_56_data_without_a_method<F: Face>() {
    let connack = [0x20, 7, 0, 0, 4, 0x16, 0, 1, b'x'];
    let auth = [0xF0, 6, 0x18, 4, 0x16, 0, 1, b'x'];
    for asked in [false, true] {
        for bytes in [&connack[..], &auth] {
            let mut bed = Bed::<F>::new();
            if asked {
                open_again(&mut bed);
            } else {
                bed.open();
            }
            bed.feed_bytes(bytes);
            assert_eq!(bed.events(), []);
            assert_eq!(bed.sent_bytes()[..3], [0xE0, 1, 0x82]);
        }
    }
}

fn hb_56_auth_with_another_method<F: Face>() {
    let none = [0xF0, 2, CONTINUE, 0];
    for bytes in [auth(CONTINUE, "other", "x"), none.to_vec()] {
        violates(open::<F>(), &bytes);
        let mut bed = connected::<F>();
        bed.client.reauthenticate(bed.now, None).unwrap();
        assert_eq!(bed.sent_bytes(), auth(AGAIN, METHOD, ""));
        bed.feed_bytes(&bytes);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.sent_bytes(), encode(&disconnect(0x82)));
    }
}

fn hb_56_auth_out_of_turn<F: Face>() {
    // A second challenge before the answer to the first one.
    let mut bed = open::<F>();
    challenge(&mut bed, "one");
    violates(bed, &auth(CONTINUE, METHOD, "two"));
    // Nobody has begun.
    for reason in [0, CONTINUE] {
        for data in ["", "x"] {
            violates(connected::<F>(), &auth(reason, METHOD, data));
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

fn hb_56_codes_that_a_server_may_not_send<F: Face>() {
    for code in [AGAIN, 0x01, 0x80, 0x87, 0xFF] {
        let mut bytes = auth(CONTINUE, METHOD, "x");
        bytes[2] = code;
        for mut bed in [open::<F>(), connected::<F>()] {
            bed.feed_bytes(&bytes);
            assert_eq!(bed.events(), []);
            assert_eq!(bed.sent_bytes(), encode(&disconnect(0x82)), "{code:#04x}");
        }
    }
}

fn hb_56_many_rounds_but_not_too_many<F: Face>() {
    let mut bed = open::<F>();
    for _ in 0..10 {
        challenge(&mut bed, "more");
        answer(&mut bed, "mine");
    }
    bed.feed_bytes(&auth(CONTINUE, METHOD, "more"));
    let cause = DisconnectCause::Violation(Violation::TooManyRounds);
    bed.expect_end(Some(0x97), cause);
}

fn hb_56_again_with_too_many_rounds<F: Face>() {
    let mut bed = connected::<F>();
    again(&mut bed);
    for _ in 0..10 {
        challenge(&mut bed, "more");
        answer(&mut bed, "mine");
    }
    assert_eq!(tell(&mut bed, &auth(CONTINUE, METHOD, "more")), []);
    bed.expect_sent(&[disconnect(0x97)]);
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
