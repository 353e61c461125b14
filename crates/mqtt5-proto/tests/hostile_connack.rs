//! Answers to CONNECT that no server may give, and reason codes that mean nothing (HB-19, HB-24, HB-26, HB-27).

mod golden;
mod machine;

use mqtt5_proto::{
    DecodeErrorKind as Kind, DisconnectCause, PacketType, Properties, QoS, Refused, Role, State,
    TimerReason,
};

use golden::blocks::{around, frame};
use golden::table::may_send;
use machine::hostile::ends;
use machine::packets::{connack, encode, puback};
use machine::{Bed, Face, Told, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    hb_19_receive_maximum_0,
    hb_19_maximum_packet_size_0,
    hb_19_every_publish_fails_by_itself,
    hb_24_reserved_flags,
    hb_26_every_undefined_code,
    hb_26_every_defined_code,
    hb_26_codes_in_lists,
    hb_27_connack_after_an_hour,
);

const CONNACK: mqtt5_proto::Place = mqtt5_proto::Place::Packet(PacketType::Connack);

fn connecting<F: Face>() -> Bed<F> {
    let mut bed = Bed::new();
    bed.open();
    bed
}

/// 3.2.2.3.3; alone and beside others.
fn hb_19_receive_maximum_0<F: Face>() {
    for block in [&[0x21, 0, 0][..], &[0x13, 0, 9, 0x21, 0, 0, 0x25, 1]] {
        let kind = Kind::InvalidPropertyValue(0x21);
        ends(connecting::<F>(), &frame(CONNACK, block), 0x82, kind);
    }
}

/// 3.2.2.3.6.
fn hb_19_maximum_packet_size_0<F: Face>() {
    for block in [
        &[0x27, 0, 0, 0, 0][..],
        &[0x21, 0, 9, 0x27, 0, 0, 0, 0, 0x25, 1],
    ] {
        let kind = Kind::InvalidPropertyValue(0x27);
        ends(connecting::<F>(), &frame(CONNACK, block), 0x82, kind);
    }
}

/// Every QoS, as often as one likes; nothing waits, no timer runs for it, and the smallest limit under which something
/// fits lets it through.
fn hb_19_every_publish_fails_by_itself<F: Face>() {
    let fits = encode(&machine::packets::publish(AtMostOnce, 0, "x")).len();
    for limit in [1, 2, fits - 1, fits] {
        let maximum = u32::try_from(limit).unwrap();
        let mut bed = Bed::<F>::accepted(&[mqtt5_proto::Property::MaximumPacketSize(maximum)]);
        let timer = bed.timer();
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce].repeat(50) {
            let refused = bed.publish(qos, "x");
            if limit == fits && qos == AtMostOnce {
                assert!(refused.is_ok());
                assert_eq!(bed.sent_bytes().len(), fits);
                continue;
            }
            let length = fits + if qos == AtMostOnce { 0 } else { 2 };
            let maximum = limit;
            assert_eq!(refused, Err(Refused::TooLarge { length, maximum }));
        }
        assert_eq!(bed.events(), []);
        assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 0));
        assert_eq!(bed.timer(), timer);
        bed.expect_sent(&[]);
        assert_eq!(bed.client.state(), State::Connected);
    }
}

/// [MQTT-3.2.2-1], whatever the code, whether Session Present is set or not.
fn hb_24_reserved_flags<F: Face>() {
    for flags in 2..=u8::MAX {
        for reason in [0, 0x87] {
            let packet = [0x20, 3, flags, reason, 0];
            ends(connecting::<F>(), &packet, 0x81, Kind::ReservedBit);
        }
    }
}

/// The packets of a server that have a reason code, but for DISCONNECT, whose code is quoted whatever it is: the packet
/// type, and where the code stands in the content of [`around`].
const WITH_REASON: [(PacketType, usize); 6] = [
    (PacketType::Connack, 1),
    (PacketType::Puback, 2),
    (PacketType::Pubrec, 2),
    (PacketType::Pubrel, 2),
    (PacketType::Pubcomp, 2),
    (PacketType::Auth, 0),
];

/// The packet with this code and an empty property block.
fn with_reason(packet: PacketType, at: usize, code: u8) -> Vec<u8> {
    let (first, before, after) = around(mqtt5_proto::Place::Packet(packet));
    let mut content = [before, &[0], after].concat();
    content[at] = code;
    golden::frame(first, &content)
}

fn bed_for<F: Face>(packet: PacketType) -> Bed<F> {
    match packet {
        PacketType::Connack => connecting(),
        _ => Bed::connected(),
    }
}

/// Tables 3-1 and 3-4 to 3-11: 0x82 for every number that is not there, and for those of a client alone.
fn hb_26_every_undefined_code<F: Face>() {
    let mut count = 0;
    for (packet, at) in WITH_REASON {
        for code in 0..=u8::MAX {
            if may_send(packet, Role::Server, code) {
                continue;
            }
            count += 1;
            let bytes = with_reason(packet, at, code);
            let kind = Kind::UndefinedReasonCode(code);
            ends(bed_for::<F>(packet), &bytes, 0x82, kind);
        }
    }
    assert!(count > 1_400, "{count}");
}

/// None of the others is a violation by itself.
fn hb_26_every_defined_code<F: Face>() {
    for (packet, at) in WITH_REASON {
        for code in (0..=u8::MAX).filter(|code| may_send(packet, Role::Server, *code)) {
            let mut bed = bed_for::<F>(packet);
            bed.feed_bytes(&with_reason(packet, at, code));
            bed.events();
            let told = bed.close();
            let kind = Kind::UndefinedReasonCode(code);
            let undefined = DisconnectCause::Violation(kind.into());
            assert_ne!(told[0], Told::Disconnected(undefined, "[]".into()));
        }
    }
}

/// SUBACK and UNSUBACK: in every position.
fn hb_26_codes_in_lists<F: Face>() {
    for (first, packet) in [(0x90, PacketType::Suback), (0xB0, PacketType::Unsuback)] {
        for code in 0..=u8::MAX {
            for at in 0..3 {
                let mut content = [0, 1, 0, 0, 0, 0];
                content[3 + at] = code;
                let bytes = golden::frame(first, &content);
                let mut bed = Bed::<F>::connected();
                let filters = ["a", "b", "c"];
                let request = match packet {
                    PacketType::Suback => bed.subscribe(&filters),
                    _ => bed.unsubscribe(&filters),
                };
                if may_send(packet, Role::Server, code) {
                    bed.feed_bytes(&bytes);
                    assert_eq!(bed.events()[0].op(), request.ok(), "{code:#04x}");
                } else {
                    let kind = Kind::UndefinedReasonCode(code);
                    ends(bed, &bytes, 0x82, kind);
                }
            }
        }
    }
}

/// Whether it was waited for or not: the answer to a connection that was given up is not read.
fn hb_27_connack_after_an_hour<F: Face>() {
    let mut bed = connecting::<F>();
    assert_eq!(bed.timer(), Some((10_000, TimerReason::Connect)));
    bed.elapse(secs(3_600));
    assert!(bed.client.wants_close() && !bed.client.wants_read());
    let answer = encode(&connack(0, Properties::EMPTY));
    bed.client.receive(bed.now, &answer);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.client.state(), State::Closing);
    bed.expect_end(None, DisconnectCause::ConnectTimeout);
    // The next connection has all of its time.
    bed.open();
    assert_eq!(bed.timer(), Some((3_610_000, TimerReason::Connect)));
    bed.wait(secs(9));
    bed.accept(&[]);
    let op = bed.publish(AtLeastOnce, "x").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.tell(&puback(1))[0].op(), Some(op));
}
