//! A server with a small Maximum Packet Size: what explains a packet is left out [MQTT-3.14.2-3], [MQTT-3.14.2-4], and what
//! cannot be left out at all ends the connection [MQTT-3.2.2-15], HB-19.

mod machine;

use mqtt5_proto::packet::Disconnect;
use mqtt5_proto::{
    DisconnectCause, DisconnectReason, Packet, PacketType, Properties, Property, QoS, ReasonCode,
    Refused, RejectReason, State,
};

use machine::packets::{ack_with, again, disconnect, puback, pubcomp, publish, pubrec, pubrel};
use machine::{Bed, Face, Told, every_storage, secs};

use PacketType::{Pingreq, Puback, Pubcomp, Pubrec, Pubrel};
use Property::{MaximumPacketSize, ReasonString, SessionExpiryInterval, UserProperty};
use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    our_disconnect_leaves_out_what_does_not_fit,
    nothing_is_left_out_before_connack,
    a_disconnect_that_cannot_be_small_enough_is_refused,
    acknowledgements_that_just_fit,
    an_acknowledgement_that_does_not_fit_ends_the_connection,
    a_refusal_that_does_not_fit_ends_the_connection,
    a_pubrel_again_that_does_not_fit_ends_the_connection,
    a_pingreq_that_does_not_fit_ends_the_connection,
    an_acknowledgement_that_did_not_fit_is_remembered,
);

fn properties<'a>(list: &'a [Property<'a>]) -> Properties<'a> {
    Properties::new(list).unwrap()
}

fn leave<F: Face>(bed: &mut Bed<F>, list: &[Property<'_>]) -> Result<(), Refused> {
    let reason = DisconnectReason::WithWill;
    bed.client.disconnect(bed.now, reason, properties(list))
}

fn our_disconnect_leaves_out_what_does_not_fit<F: Face>() {
    let list = [
        SessionExpiryInterval(0),
        ReasonString("why"),
        UserProperty("a", "b"),
    ];
    for (maximum, kept) in [(22, 3), (21, 2), (15, 2), (14, 1), (9, 1)] {
        let mut bed = Bed::<F>::accepted(&[MaximumPacketSize(maximum)]);
        leave(&mut bed, &list).unwrap();
        bed.expect_sent(&[Packet::Disconnect(Disconnect {
            reason: ReasonCode::DISCONNECT_WITH_WILL,
            properties: properties(&list[..kept]),
        })]);
        bed.expect_closed(DisconnectCause::Requested);
    }
}

/// What the server accepts is not known yet.
fn nothing_is_left_out_before_connack<F: Face>() {
    let text = "x".repeat(500);
    let list = [ReasonString(&text)];
    let mut bed = Bed::<F>::new();
    bed.open();
    leave(&mut bed, &list).unwrap();
    bed.expect_sent(&[Packet::Disconnect(Disconnect {
        reason: ReasonCode::DISCONNECT_WITH_WILL,
        properties: properties(&list),
    })]);
}

fn a_disconnect_that_cannot_be_small_enough_is_refused<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[MaximumPacketSize(2)]);
    let (length, maximum) = (3, 2);
    assert_eq!(
        leave(&mut bed, &[ReasonString("why")]),
        Err(Refused::TooLarge { length, maximum })
    );
    assert_eq!(bed.client.state(), State::Connected);
    bed.expect_sent(&[]);
    let normal = DisconnectReason::Normal;
    bed.client
        .disconnect(bed.now, normal, Properties::EMPTY)
        .unwrap();
    bed.expect_sent(&[disconnect(0)]);
}

fn acknowledgements_that_just_fit<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[MaximumPacketSize(4)]);
    for (qos, answer) in [(AtLeastOnce, puback(1)), (ExactlyOnce, pubrec(1))] {
        let token = bed.token(&publish(qos, 1, "x"));
        bed.ack(token);
        bed.expect_sent(&[answer]);
    }
    assert_eq!(bed.tell(&pubrel(1)), []);
    bed.expect_sent(&[pubcomp(1)]);
    bed.elapse(secs(55));
    bed.expect_sent(&[Packet::Pingreq]);
}

/// The machine has ended the connection because this packet does not fit; the server is told if that does.
#[track_caller]
fn ends<F: Face>(bed: &mut Bed<F>, maximum: u32, packet: PacketType) {
    assert_eq!(bed.events(), []);
    let told = (maximum >= 3).then_some(0x83);
    bed.expect_end(told, DisconnectCause::PacketTooLarge(packet));
}

fn an_acknowledgement_that_does_not_fit_ends_the_connection<F: Face>() {
    for maximum in 1..4 {
        let limit = [MaximumPacketSize(maximum)];
        for (qos, packet) in [(AtLeastOnce, Puback), (ExactlyOnce, Pubrec)] {
            let mut bed = Bed::<F>::accepted(&limit);
            let tokens = [1, 2].map(|id| bed.token(&publish(qos, id, "x")));
            bed.ack(tokens[1]);
            assert_eq!(bed.client.state(), State::Connected);
            bed.ack(tokens[0]);
            ends(&mut bed, maximum, packet);
        }
        for (received, packet) in [(pubrel(9), Pubcomp), (pubrec(9), Pubrel)] {
            let mut bed = Bed::<F>::accepted(&limit);
            bed.feed(&received);
            ends(&mut bed, maximum, packet);
        }
    }
}

/// With a reason code it is a byte longer.
fn a_refusal_that_does_not_fit_ends_the_connection<F: Face>() {
    for maximum in [4, 5] {
        let mut bed = Bed::<F>::accepted(&[MaximumPacketSize(maximum)]);
        let token = bed.token(&publish(AtLeastOnce, 1, "x"));
        bed.client
            .reject(bed.now, token, RejectReason::NotAuthorized);
        if maximum == 5 {
            bed.expect_sent(&[ack_with(Puback, 1, 0x87, Properties::EMPTY)]);
        } else {
            ends(&mut bed, maximum, Puback);
        }
    }
}

/// Several of them end it once.
fn a_pubrel_again_that_does_not_fit_ends_the_connection<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for id in 1..=3 {
        bed.publish(ExactlyOnce, "x").unwrap();
        bed.sent_bytes();
        bed.tell(&pubrec(id));
        bed.sent_bytes();
    }
    bed.lose();
    assert_eq!(bed.resume(true, &[MaximumPacketSize(3)]), []);
    bed.expect_sent(&[disconnect(0x83)]);
    bed.client.handle_closed(bed.now);
    let cause = DisconnectCause::PacketTooLarge(Pubrel);
    assert_eq!(bed.events(), [Told::Disconnected(cause, "[]".into())]);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[pubrel(1), pubrel(2), pubrel(3)]);
}

/// [MQTT-3.1.2-20]: without one the server would end the connection, so the client does not wait for that.
fn a_pingreq_that_does_not_fit_ends_the_connection<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[MaximumPacketSize(1)]);
    bed.elapse(secs(54));
    assert_eq!(bed.client.state(), State::Connected);
    bed.elapse(secs(1));
    ends(&mut bed, 1, Pingreq);
}

/// E7: the application has given it.
fn an_acknowledgement_that_did_not_fit_is_remembered<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    assert_eq!(bed.resume(true, &[MaximumPacketSize(3)]), []);
    let token = bed.token(&publish(AtLeastOnce, 1, "x"));
    bed.ack(token);
    bed.expect_sent(&[disconnect(0x83)]);
    bed.lose();
    assert_eq!(bed.resume(true, &[]), []);
    assert_eq!(bed.tell(&again(AtLeastOnce, 1, "x")), []);
    bed.expect_sent(&[puback(1)]);
}
