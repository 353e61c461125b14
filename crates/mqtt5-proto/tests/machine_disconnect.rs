//! The end of a connection from either side (3.14, D29, D31, E11, E18).

mod golden;
mod machine;

use mqtt5_proto::packet::{Connect, Disconnect, Will};
use mqtt5_proto::{
    Config, DisconnectCause, DisconnectReason, EncodeError, Packet, PacketType, Properties,
    Property, QoS, ReasonCode, Refused, Role, State, TopicName, Violation,
};

use machine::packets::{disconnect, encode, publish, pubrec};
use machine::{Bed, End, Face, LIMITS, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    every_code_of_a_client,
    a_will_is_left_to_the_server,
    what_is_encoded_leaves_before_disconnect,
    properties_of_our_disconnect,
    nothing_is_sent_after_our_disconnect,
    hb_10_what_arrives_after_our_disconnect_is_ignored,
    disconnect_before_connack,
    a_session_that_was_not_asked_for_cannot_be_kept,
    our_disconnect_respects_maximum_packet_size,
    every_code_of_a_server,
    undefined_codes_are_quoted,
    hb_23_nothing_is_written_after_a_received_disconnect,
    half_a_write_ends_with_a_received_disconnect,
    hb_10_what_follows_a_disconnect_is_ignored,
    hb_23_a_session_expiry_of_the_server_is_a_protocol_error,
    disconnect_of_both_sides,
    messages_before_a_disconnect_are_told,
    the_transport_closes_without_a_word,
    every_operation_ends_once,
);

fn leave<F: Face>(bed: &mut Bed<F>, reason: DisconnectReason) -> Result<(), Refused> {
    bed.client.disconnect(bed.now, reason, Properties::EMPTY)
}

/// [MQTT-3.14.2-1], E18, D42.
fn every_code_of_a_client<F: Face>() {
    use DisconnectReason as Reason;
    for (reason, code) in [
        (Reason::Normal, 0x00),
        (Reason::WithWill, 0x04),
        (Reason::UnspecifiedError, 0x80),
        (Reason::MalformedPacket, 0x81),
        (Reason::ProtocolError, 0x82),
        (Reason::ImplementationSpecificError, 0x83),
        (Reason::TopicNameInvalid, 0x90),
        (Reason::ReceiveMaximumExceeded, 0x93),
        (Reason::TopicAliasInvalid, 0x94),
        (Reason::PacketTooLarge, 0x95),
        (Reason::MessageRateTooHigh, 0x96),
        (Reason::QuotaExceeded, 0x97),
        (Reason::AdministrativeAction, 0x98),
        (Reason::PayloadFormatInvalid, 0x99),
    ] {
        let mut bed = Bed::<F>::connected();
        leave(&mut bed, reason).unwrap();
        bed.expect_end(Some(code), DisconnectCause::Requested);
    }
    let mut bed = Bed::<F>::connected();
    leave(&mut bed, Reason::Normal).unwrap();
    assert_eq!(bed.sent_bytes(), [0xE0, 0]);
}

/// D42, S32: it is announced with everything that belongs to it, and 0x04 asks for it; the machine does nothing else about
/// it (3.14.4).
fn a_will_is_left_to_the_server<F: Face>() {
    let list = [
        Property::WillDelayInterval(5),
        Property::MessageExpiryInterval(60),
        Property::UserProperty("a", "b"),
    ];
    let connect = Connect {
        will: Some(Will {
            qos: ExactlyOnce,
            retain: true,
            properties: Properties::new(&list).unwrap(),
            ..Will::new(TopicName::new("gone").unwrap(), b"x")
        }),
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    let mut bed = Bed::<F>::new();
    bed.client.connect(bed.now, &connect).unwrap();
    bed.expect_sent(&[Packet::Connect(connect)]);
    bed.accept(&[]);
    leave(&mut bed, DisconnectReason::WithWill).unwrap();
    bed.expect_end(Some(0x04), DisconnectCause::Requested);
}

fn what_is_encoded_leaves_before_disconnect<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtMostOnce, "x").unwrap();
    leave(&mut bed, DisconnectReason::Normal).unwrap();
    assert!(!bed.client.wants_close());
    bed.expect_sent(&[publish(AtMostOnce, 0, "x"), disconnect(0)]);
    assert!(bed.client.wants_close());
}

fn properties_of_our_disconnect<F: Face>() {
    let list = [
        Property::ReasonString("bye"),
        Property::UserProperty("a", "b"),
    ];
    let mut bed = Bed::<F>::connected();
    let normal = DisconnectReason::Normal;
    let properties = Properties::new(&list).unwrap();
    bed.client.disconnect(bed.now, normal, properties).unwrap();
    let reason = ReasonCode::NORMAL_DISCONNECTION;
    bed.expect_sent(&[Packet::Disconnect(Disconnect { reason, properties })]);
    // Only a server refers to another server, and only PUBLISH has a Content Type.
    for (property, refused) in [
        (
            Property::ServerReference("x"),
            Refused::PropertyNotSupported(0x1C),
        ),
        (
            Property::ContentType("x"),
            Refused::Encode(EncodeError::PropertyNotAllowed(PacketType::Disconnect)),
        ),
    ] {
        let mut bed = Bed::<F>::connected();
        let list = [property];
        let properties = Properties::new(&list).unwrap();
        let result = bed.client.disconnect(bed.now, normal, properties);
        assert_eq!(result, Err(refused));
        assert_eq!(bed.client.state(), State::Connected);
    }
}

/// [MQTT-3.14.4-1]: no acknowledgement, no publish that waited, no second DISCONNECT.
fn nothing_is_sent_after_our_disconnect<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::ReceiveMaximum(1)]);
    let token = bed.token(&publish(AtLeastOnce, 1, "x"));
    let first = bed.publish(AtLeastOnce, "a").unwrap();
    let second = bed.publish(AtLeastOnce, "b").unwrap();
    bed.sent_bytes();
    leave(&mut bed, DisconnectReason::Normal).unwrap();
    bed.ack(token);
    assert_eq!(
        leave(&mut bed, DisconnectReason::WithWill),
        Err(Refused::NotConnected)
    );
    assert_eq!(bed.publish(AtMostOnce, "c"), Err(Refused::NotConnected));
    assert_eq!(bed.subscribe(&["a"]), Err(Refused::NotConnected));
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[disconnect(0)]);
    let ends = bed.expect_closed(DisconnectCause::Requested);
    assert_eq!(
        ends,
        [
            Told::Completed(first, End::Unknown),
            Told::Completed(second, End::NotSent)
        ]
    );
}

/// E11, HB-10.
fn hb_10_what_arrives_after_our_disconnect_is_ignored<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.feed(&publish(AtMostOnce, 0, "late"));
    leave(&mut bed, DisconnectReason::Normal).unwrap();
    assert!(!bed.client.wants_read());
    assert!(bed.client.receive_space().is_empty());
    let received = bed.client.statistics().bytes_received;
    bed.client.handle_received(bed.now, 100);
    assert_eq!(bed.client.statistics().bytes_received, received);
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "x"), disconnect(0)]);
    let ends = bed.expect_closed(DisconnectCause::Requested);
    assert!(matches!(ends[..], [Told::Completed(_, End::Unknown)]));
}

/// It may be sent as soon as CONNECT is (3.1.4).
fn disconnect_before_connack<F: Face>() {
    let mut bed = Bed::<F>::new();
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    leave(&mut bed, DisconnectReason::Normal).unwrap();
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[Packet::Connect(connect), disconnect(0)]);
    assert!(bed.client.wants_close());
    bed.expect_closed(DisconnectCause::Requested);
}

/// D29, 3.14.2.2.2: against the value in CONNECT, not that of CONNACK.
fn a_session_that_was_not_asked_for_cannot_be_kept<F: Face>() {
    let normal = DisconnectReason::Normal;
    for (ours, server, kept, refused) in [
        (None, None, 5, true),
        (Some(0), None, 5, true),
        (None, Some(9), 5, true),
        (None, None, 0, false),
        (Some(1), None, 5, false),
        (Some(1), Some(0), 5, false),
        (Some(1), None, 0, false),
    ] {
        let own = ours.map(Property::SessionExpiryInterval);
        let list: Vec<_> = LIMITS.into_iter().chain(own).collect();
        let mut bed = Bed::<F>::new();
        bed.open_with(&list, 60);
        bed.accept(server.map(Property::SessionExpiryInterval).as_slice());
        let list = [Property::SessionExpiryInterval(kept)];
        let properties = Properties::new(&list).unwrap();
        let result = bed.client.disconnect(bed.now, normal, properties);
        if refused {
            assert_eq!(result, Err(Refused::InvalidSessionExpiry));
            assert_eq!(bed.client.state(), State::Connected);
            bed.expect_sent(&[]);
        } else {
            assert_eq!(result, Ok(()));
            let reason = ReasonCode::NORMAL_DISCONNECTION;
            bed.expect_sent(&[Packet::Disconnect(Disconnect { reason, properties })]);
        }
    }
}

/// [MQTT-3.2.2-15]: a Session Expiry Interval cannot be left out.
fn our_disconnect_respects_maximum_packet_size<F: Face>() {
    let mut bed = Bed::<F>::accepted(&[Property::MaximumPacketSize(8)]);
    let list = [
        Property::SessionExpiryInterval(0),
        Property::ReasonString("why"),
    ];
    let properties = Properties::new(&list).unwrap();
    let normal = DisconnectReason::Normal;
    let result = bed.client.disconnect(bed.now, normal, properties);
    let (length, maximum) = (9, 8);
    assert_eq!(result, Err(Refused::TooLarge { length, maximum }));
    assert_eq!(bed.client.state(), State::Connected);
    leave(&mut bed, normal).unwrap();
}

/// S33, S34: with its properties, the other server of 0x9C and 0x9D among them; nothing is written.
fn every_code_of_a_server<F: Face>() {
    let list = [
        Property::ReasonString("go"),
        Property::ServerReference("other"),
        Property::UserProperty("a", "b"),
    ];
    let properties = Properties::new(&list).unwrap();
    let codes = (0..=u8::MAX)
        .filter(|code| golden::table::may_send(PacketType::Disconnect, Role::Server, *code));
    for reason in codes.map(ReasonCode::from) {
        let mut bed = Bed::<F>::connected();
        bed.feed(&Packet::Disconnect(Disconnect { reason, properties }));
        assert_eq!(bed.events(), []);
        assert!(bed.client.wants_close() && !bed.client.wants_read());
        bed.client.receive_space();
        bed.expect_sent(&[]);
        let cause = DisconnectCause::ByServer {
            reason,
            defined: true,
        };
        assert_eq!(
            bed.close(),
            [Told::Disconnected(cause, format!("{properties:?}"))]
        );
    }
}

/// D31: 0x04, a code of CONNACK only, and numbers that nobody knows.
fn undefined_codes_are_quoted<F: Face>() {
    for code in [0x04, 0x01, 0x84, 0x88, 0x8A, 0x92, 0x7F, 0xFF] {
        let mut bed = Bed::<F>::connected();
        bed.feed_bytes(&[0xE0, 1, code]);
        let (reason, defined) = (ReasonCode::from(code), false);
        bed.expect_end(None, DisconnectCause::ByServer { reason, defined });
    }
}

fn by_server(code: u8) -> DisconnectCause {
    DisconnectCause::ByServer {
        reason: ReasonCode::from(code),
        defined: true,
    }
}

/// D29: neither what was encoded before nor what is asked for after it.
fn hb_23_nothing_is_written_after_a_received_disconnect<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let token = bed.token(&publish(ExactlyOnce, 1, "x"));
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    bed.publish(AtMostOnce, "y").unwrap();
    assert_eq!(bed.tell(&pubrec(1)), []);
    assert!(bed.client.unsent() > 0);
    assert_eq!(bed.tell(&disconnect(0x8B)), []);
    bed.ack(token);
    assert_eq!(
        leave(&mut bed, DisconnectReason::Normal),
        Err(Refused::NotConnected)
    );
    assert_eq!(bed.client.unsent(), 0);
    assert!(bed.client.wants_close());
    bed.expect_sent(&[]);
    let ends = bed.expect_closed(by_server(0x8B));
    assert_eq!(ends.len(), 1);
}

/// D29: not even the rest of what the driver has begun to write.
fn half_a_write_ends_with_a_received_disconnect<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.publish(AtMostOnce, "0123456789").unwrap();
    assert_eq!(bed.client.transmit(bed.now, 5).len(), 5);
    assert_eq!(bed.tell(&disconnect(0x8B)), []);
    assert!(bed.client.wants_close());
    bed.expect_sent(&[]);
    assert!(bed.client.wants_close());
    bed.expect_closed(by_server(0x8B));
}

/// HB-10: also in the same read.
fn hb_10_what_follows_a_disconnect_is_ignored<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let mut bytes = encode(&disconnect(0x8B));
    bytes.extend(encode(&publish(AtMostOnce, 0, "late")));
    bytes.extend([0x00; 50]);
    bed.feed_bytes(&bytes);
    bed.expect_end(None, by_server(0x8B));
}

/// D29, HB-23, [MQTT-3.14.2-2]: together with the server's own code, and nothing is written.
fn hb_23_a_session_expiry_of_the_server_is_a_protocol_error<F: Face>() {
    let list = [
        Property::SessionExpiryInterval(0),
        Property::ReasonString("go"),
    ];
    let properties = Properties::new(&list).unwrap();
    let reason = ReasonCode::SERVER_BUSY;
    let mut bed = Bed::<F>::connected();
    bed.feed(&Packet::Disconnect(Disconnect { reason, properties }));
    assert_eq!(bed.events(), []);
    assert!(bed.client.wants_close());
    bed.expect_sent(&[]);
    let violation = Violation::SessionExpiryFromServer(reason);
    assert_eq!(violation.reason_code(), ReasonCode::PROTOCOL_ERROR);
    let cause = DisconnectCause::Violation(violation);
    assert_eq!(
        bed.close(),
        [Told::Disconnected(cause, format!("{properties:?}"))]
    );
}

/// The first cause counts.
fn disconnect_of_both_sides<F: Face>() {
    let mut bed = Bed::<F>::connected();
    bed.feed(&disconnect(0x8B));
    leave(&mut bed, DisconnectReason::Normal).unwrap();
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[disconnect(0)]);
    bed.expect_closed(DisconnectCause::Requested);
}

fn messages_before_a_disconnect_are_told<F: Face>() {
    let mut bed = Bed::<F>::connected();
    let mut bytes = encode(&publish(AtMostOnce, 0, "a"));
    bytes.extend(encode(&publish(AtMostOnce, 0, "b")));
    bytes.extend(encode(&disconnect(0x8B)));
    bed.feed_bytes(&bytes);
    let events = bed.events();
    let payloads: Vec<_> = events.iter().map(Told::payload).collect();
    assert_eq!(payloads, [b"a", b"b"]);
    bed.expect_closed(by_server(0x8B));
}

/// In every state; commands are refused until the next `connect`, and that until all is told.
fn the_transport_closes_without_a_word<F: Face>() {
    let mut bed = Bed::<F>::new();
    bed.open();
    bed.expect_closed(DisconnectCause::TransportClosed);
    bed.open();
    bed.accept(&[]);
    bed.publish(AtLeastOnce, "x").unwrap();
    bed.client.handle_closed(bed.now);
    assert_eq!(bed.publish(AtMostOnce, "x"), Err(Refused::NotConnected));
    assert_eq!(
        leave(&mut bed, DisconnectReason::Normal),
        Err(Refused::NotConnected)
    );
    assert_eq!(bed.client.unsent(), 0);
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    for _ in 0..2 {
        let refused = bed.client.connect(bed.now, &connect);
        assert_eq!(refused, Err(Refused::EventsPending));
        assert!(bed.client.poll_event(bed.now).is_some());
    }
    assert_eq!(bed.events(), []);
    bed.client.connect(bed.now, &connect).unwrap();
}

/// T3: each accepted operation ends exactly once, first the requests, then what was sent, then what was not.
fn every_operation_ends_once<F: Face>() {
    let mut config = Config::default();
    config.maximum_in_flight = 3;
    let mut bed = Bed::<F>::with(config);
    for (n, cause) in [DisconnectCause::TransportClosed, DisconnectCause::Requested]
        .into_iter()
        .enumerate()
    {
        let first = u16::try_from(n).unwrap() * 4 + 1;
        bed.open();
        bed.accept(&[]);
        let sent = [AtLeastOnce, ExactlyOnce, ExactlyOnce].map(|qos| bed.publish(qos, "x"));
        let waits = [AtLeastOnce, AtMostOnce].map(|qos| bed.publish(qos, "x"));
        let request = bed.subscribe(&["a"]).unwrap();
        bed.sent_bytes();
        assert_eq!(bed.tell(&pubrec(first + 1)), []);
        bed.sent_bytes();
        if cause == DisconnectCause::Requested {
            leave(&mut bed, DisconnectReason::Normal).unwrap();
        }
        let mut expected = vec![Told::Completed(request, End::ConnectionLost)];
        // The second is past its PUBREC, and so behind the others.
        let [first, second, third] = sent;
        let sent = [first, third, second];
        expected.extend(sent.map(|op| Told::Completed(op.unwrap(), End::Unknown)));
        expected.extend(waits.map(|op| Told::Completed(op.unwrap(), End::NotSent)));
        assert_eq!(bed.expect_closed(cause), expected);
    }
}
