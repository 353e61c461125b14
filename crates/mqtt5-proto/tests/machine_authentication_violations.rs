//! What a server may not send in an enhanced authentication (sections 3.15 and 4.12).

mod machine;

use mqtt5_proto::{DisconnectCause, Packet, Property, QoS, Violation};

use machine::authentication::{
    AGAIN, CONTINUE, METHOD, answer, auth, challenge, connack, connected, open, open_again,
    violates,
};
use machine::packets::{disconnect, encode, puback, publish};
use machine::{Bed, Face, every_storage};

use Property::{AuthenticationData, AuthenticationMethod};
use QoS::AtMostOnce;
use Violation::UnexpectedAuthentication;

every_storage!(
    connack_with_another_method,
    connack_while_a_challenge_is_open,
    connack_with_a_method_that_was_not_asked_for,
    data_without_a_method,
    auth_with_another_method,
    auth_out_of_turn,
    auth_without_enhanced_authentication,
    success_before_connack,
    codes_that_a_server_may_not_send,
    auth_that_is_none,
    other_packets_meanwhile,
    a_fresh_connect_after_a_violation,
);

fn connack_with_another_method<F: Face>() {
    for list in [
        &[][..],
        &[AuthenticationMethod("SCRAM-SHA-2")],
        &[AuthenticationMethod("")],
        &[AuthenticationMethod("SCRAM-SHA-1 ")],
        &[AuthenticationMethod("scram-sha-1")],
        &[AuthenticationMethod("other"), AuthenticationData(b"x")],
    ] {
        violates(open::<F>(), &connack(0, list));
    }
}

fn connack_while_a_challenge_is_open<F: Face>() {
    let list = [AuthenticationMethod(METHOD), AuthenticationData(b"final")];
    for count in 1..=2 {
        let mut bed = open::<F>();
        challenge(&mut bed, "one");
        violates(bed, &connack(0, &list[..count]));
    }
}

fn connack_with_a_method_that_was_not_asked_for<F: Face>() {
    for list in [
        &[AuthenticationMethod(METHOD)][..],
        &[AuthenticationMethod(METHOD), AuthenticationData(b"x")],
    ] {
        let mut bed = Bed::<F>::new();
        bed.open();
        violates(bed, &connack(0, list));
    }
}

fn data_without_a_method<F: Face>() {
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

fn auth_with_another_method<F: Face>() {
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

fn auth_out_of_turn<F: Face>() {
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

fn auth_without_enhanced_authentication<F: Face>() {
    for reason in [0, CONTINUE] {
        for bytes in [auth(reason, METHOD, "x"), vec![0xF0, 2, reason, 0]] {
            violates(Bed::<F>::connected(), &bytes);
            let mut bed = Bed::<F>::new();
            bed.open();
            violates(bed, &bytes);
        }
    }
}

fn success_before_connack<F: Face>() {
    for data in ["", "x"] {
        violates(open::<F>(), &auth(0, METHOD, data));
        let mut bed = open::<F>();
        challenge(&mut bed, "one");
        answer(&mut bed, "mine");
        violates(bed, &auth(0, METHOD, data));
    }
}

fn codes_that_a_server_may_not_send<F: Face>() {
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

/// [MQTT-3.15.1-1] and sections 3.15.2.1 and 3.15.2.2.
fn auth_that_is_none<F: Face>() {
    for (bytes, code) in [
        (&b"\xF0\x00"[..], 0x82),
        (b"\xF0\x01\x18", 0x81),
        (b"\xF0\x06\x18\x05\x15\0\x01m", 0x81),
        (b"\xF0\x07\x18\x04\x15\0\x01mx", 0x81),
        (b"\xF0\x0A\x18\x08\x15\0\x01m\x15\0\x01m", 0x82),
        (b"\xF0\x0E\x18\x0C\x15\0\x01m\x16\0\x01x\x16\0\x01x", 0x82),
        (b"\xF0\x06\x18\x04\x15\0\x01\xFF", 0x81),
    ] {
        let mut bed = open::<F>();
        bed.feed_bytes(bytes);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.sent_bytes(), encode(&disconnect(code)), "{bytes:02X?}");
    }
    for flags in 1..=15 {
        let mut bytes = auth(CONTINUE, METHOD, "x");
        bytes[0] |= flags;
        for mut bed in [open::<F>(), connected::<F>(), Bed::<F>::connected()] {
            bed.feed_bytes(&bytes);
            assert_eq!(bed.events(), []);
            assert_eq!(bed.sent_bytes(), encode(&disconnect(0x81)), "{flags}");
        }
    }
}

/// Only AUTH and CONNACK belong to the exchange.
fn other_packets_meanwhile<F: Face>() {
    for challenged in [false, true] {
        for packet in [publish(AtMostOnce, 0, "x"), puback(1), Packet::Pingresp] {
            let mut bed = open::<F>();
            if challenged {
                challenge(&mut bed, "one");
            }
            bed.feed(&packet);
            let violation = Violation::UnexpectedPacket(packet.packet_type());
            bed.expect_end(Some(0x82), DisconnectCause::Violation(violation));
        }
    }
}

/// A violation ends one connection; the next begins with a CONNECT of its own.
fn a_fresh_connect_after_a_violation<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.feed_bytes(&auth(CONTINUE, METHOD, "x"));
    let cause = DisconnectCause::Violation(UnexpectedAuthentication);
    bed.expect_end(Some(0x82), cause);
    open_again(&mut bed);
    challenge(&mut bed, "one");
    answer(&mut bed, "mine");
    bed.accept(&[AuthenticationMethod(METHOD)]);
    bed.close();
    bed.open();
    bed.accept(&[]);
}
