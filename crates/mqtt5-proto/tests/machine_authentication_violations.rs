//! What a server may not send in an enhanced authentication (sections 3.15 and 4.12).

mod machine;

use mqtt5_proto::{DisconnectCause, Packet, Property, QoS, Violation};

use machine::authentication::{
    CONTINUE, METHOD, answer, auth, challenge, connected, open, open_again,
};
use machine::packets::{disconnect, encode, puback, publish};
use machine::{Bed, Face, every_storage};

use Property::AuthenticationMethod;
use QoS::AtMostOnce;
use Violation::UnexpectedAuthentication;

every_storage!(
    auth_that_is_none,
    other_packets_meanwhile,
    a_fresh_connect_after_a_violation,
);

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
