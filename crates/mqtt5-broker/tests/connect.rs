//! CONNECT and CONNACK (3.1, 3.2), keep alive, DISCONNECT.

mod common;

use common::*;
use mqtt5_broker::{Action, Login, Users};
use mqtt5_proto::packet::{Connack, Connect, Packet};
use mqtt5_proto::{Properties, Property, QoS, ReasonCode};

fn refusal(reason: ReasonCode) -> impl Fn(&Packet<'_>) -> bool {
    move |packet| matches!(packet, Packet::Connack(c) if c.reason == reason && !c.session_present)
}

#[track_caller]
fn expect_refusal(bench: &mut Bench, connect: &Connect<'_>, reason: ReasonCode) {
    let frames = bench.try_connect(7, connect);
    assert!(refusal(reason)(&frames.one()), "{:?}", frames.one());
    bench.expect_closed(7);
    assert_eq!(bench.broker.statistics().sessions, 0);
}

#[test]
fn success_announces_the_limits() {
    let mut bench = Bench::new();
    let frames = bench.try_connect(1, &Connect::new("a"));
    let announced = [
        Property::ReceiveMaximum(1_024),
        Property::MaximumPacketSize(16 << 20),
        Property::TopicAliasMaximum(16),
    ];
    let connack = Connack {
        session_present: false,
        reason: ReasonCode::SUCCESS,
        properties: list(&announced),
    };
    assert_eq!(frames.one(), Packet::Connack(connack));
}

#[test]
fn announces_what_it_is_told_to() {
    let mut bench = Bench::with(|config| {
        config.maximum_qos = QoS::AtMostOnce;
        config.retain_available = false;
        config.receive_maximum = 3;
        config.maximum_packet_size = 400;
        config.topic_alias_maximum = 0;
        config.server_keep_alive = Some(20);
        config.maximum_session_expiry = 60;
        config.wildcard_subscription_available = false;
        config.subscription_identifier_available = false;
        config.shared_subscription_available = false;
        config.response_information = Some("replies/".to_owned());
    });
    let wishes = [
        Property::SessionExpiryInterval(u32::MAX),
        Property::RequestResponseInformation(true),
    ];
    let connect = Connect {
        properties: list(&wishes),
        ..Connect::new("")
    };
    let frames = bench.try_connect(1, &connect);
    let Packet::Connack(connack) = frames.one() else {
        panic!("{:?}", frames.one())
    };
    let announced = [
        Property::SessionExpiryInterval(60),
        Property::ReceiveMaximum(3),
        Property::MaximumQoS(0),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(400),
        Property::AssignedClientIdentifier("auto-0-1"),
        Property::WildcardSubscriptionAvailable(false),
        Property::SubscriptionIdentifierAvailable(false),
        Property::SharedSubscriptionAvailable(false),
        Property::ServerKeepAlive(20),
        Property::ResponseInformation("replies/"),
    ];
    assert_eq!(connack.properties, list(&announced));
}

#[test]
fn response_information_only_on_request() {
    let mut bench = Bench::with(|config| config.response_information = Some("replies/".to_owned()));
    let frames = bench.try_connect(1, &Connect::new("a"));
    let Packet::Connack(connack) = frames.one() else {
        panic!()
    };
    assert_eq!(connack.properties.response_information(), None); // [MQTT-3.1.2-28]
}

#[test]
fn a_connack_too_large_for_the_client_goes_without_response_information() {
    let long = "x".repeat(300);
    let mut bench = Bench::with(|config| config.response_information = Some(long.clone()));
    let wishes = [
        Property::RequestResponseInformation(true),
        Property::MaximumPacketSize(100),
    ];
    let connect = Connect {
        properties: list(&wishes),
        ..Connect::new("a")
    };
    let frames = bench.try_connect(1, &connect);
    let Packet::Connack(connack) = frames.one() else {
        panic!()
    };
    assert_eq!(connack.properties.response_information(), None);
    let tiny = [Property::MaximumPacketSize(3)];
    bench.try_connect(
        2,
        &Connect {
            properties: list(&tiny),
            ..Connect::new("b")
        },
    );
    bench.expect_closed(2);
}

#[test]
fn assigned_identifiers_are_new_ones() {
    let mut bench = Bench::with(|config| config.seed = 0xAB);
    bench.connect(1, "auto-ab-1");
    for (connection, expected) in [(2, "auto-ab-2"), (3, "auto-ab-3")] {
        let frames = bench.try_connect(connection, &Connect::new(""));
        let Packet::Connack(connack) = frames.one() else {
            panic!()
        };
        assert_eq!(
            connack.properties.assigned_client_identifier(),
            Some(expected)
        );
    }
    let clients: Vec<&str> = bench.broker.connected_clients().collect();
    assert_eq!(clients, ["auto-ab-1", "auto-ab-2", "auto-ab-3"]);
}

/// T158: the version of CONNECT.
#[test]
fn other_protocol_versions_are_refused_with_0x84() {
    for level in [0, 3, 4, 6, 255] {
        let mut bench = Bench::new();
        bench.open(1);
        let bytes = [
            0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 60, 0, 2, b'm', b'e',
        ];
        bench.send_bytes(1, &bytes);
        let frames = bench.received(1);
        assert!(refusal(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION)(
            &frames.one()
        ));
        bench.expect_closed(1);
    }
}

/// T158: its flags and properties.
#[test]
fn malformed_connects_are_refused_with_their_code() {
    for (bytes, reason) in [
        (
            &b"\x10\x0D\x00\x04MQTT\x05\x03\x00\x3C\x00\x00\x00"[..],
            ReasonCode::MALFORMED_PACKET,
        ),
        (
            b"\x11\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00",
            ReasonCode::MALFORMED_PACKET,
        ),
        (
            b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3C\x03\x21\x00\x00\x00\x00",
            ReasonCode::PROTOCOL_ERROR,
        ),
        (b"\x10\xFF\xFF\xFF\x7F", ReasonCode::PACKET_TOO_LARGE),
    ] {
        let mut bench = Bench::new();
        bench.open(1);
        bench.send_bytes(1, bytes);
        let frames = bench.received(1);
        assert!(
            refusal(reason)(&frames.one()),
            "{reason}: {:?}",
            frames.one()
        );
        bench.expect_closed(1);
    }
}

#[test]
fn who_does_not_begin_with_connect_is_closed_without_a_word() {
    let pingreq = encode(&Packet::Pingreq);
    for bytes in [
        &pingreq[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00",
        b"\xE0\x00",
        b"\x20\x02\x00\x00",
    ] {
        let mut bench = Bench::new();
        bench.open(1);
        bench.send_bytes(1, bytes);
        bench.expect_nothing(1);
        bench.expect_closed(1);
        assert_eq!(bench.broker.poll_timeout(), None);
    }
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.send(1, &Packet::Connect(Connect::new("a")));
    bench.expect_disconnect(1, ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn connect_is_due_within_the_timeout() {
    let mut bench = Bench::new();
    bench.open(1);
    bench.send_bytes(1, &encode(&Packet::Connect(Connect::new("a")))[..8]);
    bench.advance(9.9);
    assert_eq!(bench.broker.poll_action(), None);
    bench.advance(0.2);
    bench.expect_nothing(1);
    bench.expect_closed(1);
    assert_eq!(bench.broker.poll_timeout(), None);
}

#[test]
fn authentication_methods_are_refused() {
    let mut bench = Bench::new();
    let properties = [Property::AuthenticationMethod("SCRAM-SHA-1")];
    let connect = Connect {
        properties: list(&properties),
        ..Connect::new("a")
    };
    expect_refusal(&mut bench, &connect, ReasonCode::BAD_AUTHENTICATION_METHOD);
}

#[test]
fn user_names_and_passwords() {
    let mut bench =
        Bench::with(|config| config.access = Box::new(Users::new([("anna", "secret")])));
    let anna = Connect {
        username: Some("anna"),
        ..Connect::new("a")
    };
    for wrong in [
        Connect::new("a"),
        anna,
        Connect {
            password: Some(b"Secret"),
            ..anna
        },
        Connect {
            username: Some("ben"),
            password: Some(b"secret"),
            ..anna
        },
    ] {
        expect_refusal(&mut bench, &wrong, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    }
    let (_, rest) = bench.resume(
        1,
        &Connect {
            password: Some(b"secret"),
            ..anna
        },
    );
    assert!(rest.packets().is_empty());
}

#[test]
fn a_closure_decides_with_the_code_it_likes() {
    for (code, sent) in [
        (ReasonCode::BANNED, ReasonCode::BANNED),
        (ReasonCode::SERVER_BUSY, ReasonCode::SERVER_BUSY),
        // Not for CONNACK [MQTT-3.2.2-8].
        (
            ReasonCode::SESSION_TAKEN_OVER,
            ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
        ),
        (
            ReasonCode::SUCCESS,
            ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
        ),
    ] {
        let mut bench = Bench::with(|config| {
            config.access = Box::new(move |login: &Login<'_>| match login.client_id {
                "a" => Err(code),
                _ => Ok(()),
            });
        });
        expect_refusal(&mut bench, &Connect::new("a"), sent);
        bench.connect(2, "b");
    }
}

#[test]
fn what_follows_a_refused_connect_is_not_processed() {
    let mut bench = Bench::with(|config| config.access = Box::new(Users::default()));
    let mut bytes = encode(&Packet::Connect(Connect::new("a")));
    bytes.extend(encode(&message("a", "x")));
    bench.open(1);
    bench.send_bytes(1, &bytes);
    assert!(refusal(ReasonCode::BAD_USER_NAME_OR_PASSWORD)(
        &bench.received(1).one()
    ));
    assert_eq!(bench.broker.statistics().messages_received, 0); // [MQTT-3.1.4-6]
    bench.send(1, &message("a", "x"));
    assert_eq!(bench.broker.statistics().messages_received, 0);
}

#[test]
fn packets_may_follow_connect_at_once() {
    let mut bench = Bench::new();
    let mut bytes = encode(&Packet::Connect(Connect::new("a")));
    bytes.extend(encode(&Packet::Pingreq));
    bench.open(1);
    bench.send_bytes(1, &bytes);
    assert!(matches!(
        bench.received(1).packets()[..],
        [Packet::Connack(_), Packet::Pingresp]
    ));
}

#[test]
fn any_chunking_gives_the_same_answers() {
    let mut bytes = encode(&Packet::Connect(Connect::new("a")));
    bytes.extend(encode(&Packet::Pingreq));
    let long = "x".repeat(300);
    bytes.extend(encode(&message("a", &long)));
    bytes.extend(encode(&Packet::Pingreq));
    for size in 1..bytes.len() {
        let mut bench = Bench::new();
        bench.open(1);
        for chunk in bytes.chunks(size) {
            bench.send_bytes(1, chunk);
        }
        let frames = bench.received(1);
        assert!(
            matches!(
                frames.packets()[..],
                [Packet::Connack(_), Packet::Pingresp, Packet::Pingresp]
            ),
            "{size}"
        );
        assert_eq!(bench.broker.statistics().messages_received, 1);
    }
}

/// T36: of the keep alive that the broker has dictated, if it has.
#[test]
fn silence_for_one_and_a_half_keep_alive_closes() {
    for (keep_alive, server_keep_alive, limit) in
        [(10, None, 15.0), (10, Some(4), 6.0), (0, Some(4), 6.0)]
    {
        let mut bench = Bench::with(|config| config.server_keep_alive = server_keep_alive);
        bench.resume(
            1,
            &Connect {
                keep_alive,
                ..Connect::new("a")
            },
        );
        bench.advance(limit - 1.0);
        bench.send(1, &Packet::Pingreq);
        bench.expect(1, &[Packet::Pingresp]);
        bench.advance(limit - 0.1);
        bench.expect_nothing(1);
        bench.advance(0.2);
        bench.expect_disconnect(1, ReasonCode::KEEP_ALIVE_TIMEOUT);
    }
}

#[test]
fn keep_alive_zero_is_for_ever() {
    for (keep_alive, server_keep_alive) in [(0, None), (10, Some(0))] {
        let mut bench = Bench::with(|config| config.server_keep_alive = server_keep_alive);
        bench.resume(
            1,
            &Connect {
                keep_alive,
                ..Connect::new("a")
            },
        );
        bench.advance(1e6);
        assert_eq!(bench.broker.statistics().connections, 1);
    }
}

#[test]
fn a_client_that_does_not_close_is_aborted() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.send(1, &disconnect(ReasonCode::NORMAL_DISCONNECTION));
    bench.expect_nothing(1);
    while let Some(action) = bench.broker.poll_action() {
        assert_ne!(action, Action::Abort(1));
    }
    bench.send(1, &Packet::Pingreq);
    bench.expect_nothing(1);
    bench.advance(1.1);
    assert_eq!(bench.broker.poll_action(), Some(Action::Abort(1)));
    bench.lose(1);
    assert_eq!(bench.broker.statistics().connections, 0);
    assert_eq!(bench.broker.poll_timeout(), None);
}

#[test]
fn the_number_of_a_lost_connection_may_be_used_again() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    bench.send(1, &Packet::Pingreq);
    bench.lose(1);
    // Nothing is left to write or to close: it would hit the wrong one.
    assert_eq!(bench.broker.poll_action(), None);
    bench.open(1);
    bench.send(1, &Packet::Connect(Connect::new("b")));
    assert_eq!(bench.broker.poll_action(), Some(Action::Write(1)));
    assert_eq!(bench.broker.poll_action(), None);
}

/// T125: the reason of DISCONNECT.
#[test]
fn commands_of_the_operator() {
    let mut bench = Bench::new();
    bench.connect(1, "a");
    assert!(
        !bench
            .broker
            .disconnect(bench.now, "b", ReasonCode::ADMINISTRATIVE_ACTION)
    );
    assert!(
        bench
            .broker
            .disconnect(bench.now, "a", ReasonCode::ADMINISTRATIVE_ACTION)
    );
    bench.expect_disconnect(1, ReasonCode::ADMINISTRATIVE_ACTION);
    bench.resume(2, &returning("a"));
    assert!(bench.broker.cut(bench.now, "a"));
    assert!(!bench.broker.cut(bench.now, "a"));
    bench.expect_nothing(2);
    bench.expect_closed(2);
    assert!(bench.broker.forget(bench.now, "a"));
    assert!(!bench.broker.forget(bench.now, "a"));
    let (session_present, _) = bench.resume(3, &returning("a"));
    assert!(!session_present);
    bench.broker.shut_down(bench.now);
    bench.expect_disconnect(3, ReasonCode::SERVER_SHUTTING_DOWN);
}

#[test]
fn problem_information_is_left_out_on_request() {
    for (wanted, is_there) in [(true, true), (false, false)] {
        let mut bench = Bench::new();
        let properties = [Property::RequestProblemInformation(wanted)];
        bench.resume(
            1,
            &Connect {
                properties: list(&properties),
                ..Connect::new("a")
            },
        );
        bench.send(1, &Packet::Connect(Connect::new("a")));
        let frames = bench.received(1);
        let Packet::Disconnect(disconnect) = frames.one() else {
            panic!()
        };
        assert_eq!(disconnect.properties.reason_string().is_some(), is_there);
        assert_eq!(disconnect.properties == Properties::EMPTY, !is_there);
    }
}
