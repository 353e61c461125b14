//! Reaching a server, and not reaching it.

use super::executor::{Task, now};
use super::{Link, Peer, connack, dial_error, online, options, scripted};
use crate::{
    Async, ConnectionErrorKind as Kind, DialErrorKind, Event, KeepAlive, OnDrop, Resume, State,
    Will,
};
use core::time::Duration;
use mqtt5_broker::{Broker, Config, Login};
use mqtt5_proto::packet::{Connack, Disconnect};
use mqtt5_proto::{DisconnectCause, Packet, Properties, Property, QoS, ReasonCode, Violation};

/// T84, T154: who waits for the connection, and who listens, gets what CONNACK said.
#[test]
fn connecting_resolves_at_connack_and_tells_what_holds() {
    let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
    let mut events = client.events();
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending());
    assert_eq!(
        (link.sent_types().as_slice(), client.state()),
        (&["CONNECT"][..], State::Handshaking)
    );
    assert!(connected.is_pending());
    let properties = [
        Property::ReceiveMaximum(7),
        Property::ServerKeepAlive(9),
        Property::UserProperty("a", "b"),
    ];
    link.send(connack(Properties::new(&properties).expect("valid")));
    let info = connected.woken().expect("connected");
    assert_eq!(
        (info.receive_maximum(), info.keep_alive(), info.client_id()),
        (7, 9, "me")
    );
    assert_eq!(info.user_properties().collect::<Vec<_>>(), [("a", "b")]);
    assert_eq!(client.connection(), Some(info.clone()));
    assert_eq!(events.try_recv(), Some(Event::Connected(info)));
    assert_eq!(events.try_recv(), None);
}

/// T138, T140: every field of CONNECT, a delayed will included.
#[test]
fn connect_says_what_the_options_say() {
    let will = Will::new("w", "bye")
        .qos(QoS::AtLeastOnce)
        .retain(true)
        .delay(Duration::from_millis(1_500))
        .content_type("text/plain");
    let options = crate::Options::new("mqtt://u:p%21@server")
        .client_id("me")
        .keep_alive(KeepAlive::seconds(17).expect("not zero"))
        .will(will)
        .user_property("k", "1")
        .user_property("k", "2")
        .request_problem_information(false);
    let (_client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    link.sent(|packet| {
        let Packet::Connect(connect) = packet else {
            panic!("{packet:?}")
        };
        assert!(connect.clean_start);
        assert_eq!((connect.keep_alive, connect.client_id), (17, "me"));
        assert_eq!(
            (connect.username, connect.password),
            (Some("u"), Some(&b"p!"[..]))
        );
        assert_eq!(connect.properties.session_expiry_interval(), Some(300));
        assert_eq!(connect.properties.receive_maximum(), Some(256));
        assert_eq!(connect.properties.maximum_packet_size(), Some(1 << 20));
        assert_eq!(
            connect.properties.request_problem_information(),
            Some(false)
        );
        assert_eq!(
            connect.properties.user_properties().collect::<Vec<_>>(),
            [("k", "1"), ("k", "2")]
        );
        let will = connect.will.expect("a will");
        assert_eq!(
            (will.topic.as_str(), will.payload, will.qos, will.retain),
            ("w", &b"bye"[..], QoS::AtLeastOnce, true)
        );
        assert_eq!(
            (
                will.properties.will_delay_interval(),
                will.properties.content_type()
            ),
            (Some(2), Some("text/plain"))
        );
    });
}

#[test]
fn a_session_that_is_assumed_is_resumed() {
    let (client, mut link) = Link::new::<Async>(
        options().resume(Resume::AssumeSession),
        Peer::Script(Vec::new()),
    );
    link.sent(|packet| assert!(matches!(packet, Packet::Connect(connect) if !connect.clean_start)));
    link.send(Packet::Connack(Connack {
        session_present: true,
        reason: ReasonCode::SUCCESS,
        properties: Properties::EMPTY,
    }));
    assert!(client.connection().expect("connected").session_present());
}

#[test]
fn a_refusal_is_told_with_all_the_server_said() {
    let mut config = Config::default();
    config.access = Box::new(|_: &Login<'_>| Err(ReasonCode::NOT_AUTHORIZED));
    let (client, mut link) =
        Link::new::<Async>(options(), Peer::Broker(Box::new(Broker::new(config))));
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending());
    link.run();
    let error = connected.woken().expect_err("refused");
    assert_eq!(
        (error.kind(), error.reason_code()),
        (Kind::Refused, Some(ReasonCode::NOT_AUTHORIZED))
    );
    assert!(!error.is_retryable());
    assert!(link.finished && client.state() == State::Stopped);
    assert_eq!(now(client.closed()), Err(error));
}

#[test]
fn a_dial_that_fails_ends_the_client() {
    let (client, mut link) = Link::new::<Async>(options(), Peer::Unreachable);
    let mut events = client.events();
    link.run();
    link.driver
        .handle_dial_failed(crate::driver::Attempt::NONE.next(), dial_error());
    link.run();
    let error = now(client.connected()).expect_err("not reached");
    assert_eq!(
        error.dial_error().map(crate::DialError::kind),
        Some(DialErrorKind::ConnectionRefused)
    );
    assert!(error.is_retryable() && link.finished && !link.cancelled);
    assert_eq!(events.try_recv(), Some(Event::ConnectFailed(error)));
    assert_eq!(events.try_recv(), Some(Event::Stopped));
    assert_eq!(now(events.recv()), None);
    assert!(
        !link
            .driver
            .handle_dialed(crate::driver::Attempt::NONE.next()),
        "too late"
    );
}

#[test]
fn one_time_covers_the_dial_and_connack() {
    let (client, mut link) = Link::new::<Async>(options(), Peer::Unreachable);
    link.pass(Duration::from_millis(9_999));
    assert_eq!(client.state(), State::Dialing);
    link.pass(Duration::from_millis(1));
    assert!(link.cancelled && link.finished);
    assert_eq!(
        now(client.connected()).map_err(|error| error.kind()),
        Err(Kind::TimedOut)
    );

    let (client, mut link) = Link::new::<Async>(options(), Peer::Unreachable);
    link.pass(Duration::from_secs(6));
    link.peer = Peer::Script(Vec::new());
    assert!(
        link.driver
            .handle_dialed(crate::driver::Attempt::NONE.next())
    );
    link.attempt = Some(crate::driver::Attempt::NONE.next());
    link.pass(Duration::from_millis(3_999));
    assert_eq!(
        (client.state(), link.sent_types().as_slice()),
        (State::Handshaking, &["CONNECT"][..])
    );
    link.pass(Duration::from_millis(1));
    assert!(link.finished && link.attempt.is_none());
    assert_eq!(
        now(client.connected()).map_err(|error| error.kind()),
        Err(Kind::TimedOut)
    );
}

/// T125, T147: its reason and properties.
#[test]
fn a_disconnect_by_the_server_is_told_with_its_words() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut events = client.events();
    let words = [Property::ReasonString("bye\x1b[31m")];
    let properties = Properties::new(&words).expect("valid");
    link.send(Packet::Disconnect(Disconnect {
        reason: ReasonCode::SERVER_SHUTTING_DOWN,
        properties,
    }));
    let error = now(client.closed()).expect_err("not asked for");
    assert_eq!(
        (error.kind(), error.reason_code()),
        (Kind::ByServer, Some(ReasonCode::SERVER_SHUTTING_DOWN))
    );
    assert_eq!(error.reason_string(), Some("bye\x1b[31m"));
    assert_eq!(
        error.to_string(),
        r"the server ended the connection: 0x8b Server shutting down: bye\u{1b}[31m"
    );
    assert_eq!(events.try_recv(), Some(Event::Disconnected(error)));
    assert!(link.finished && client.connection().is_none());
}

/// [MQTT-3.1.4-3]: to try again at once would throw the other out in turn.
#[test]
fn a_session_that_was_taken_over_is_not_to_be_tried_again() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    link.send(Packet::Disconnect(Disconnect::new(
        ReasonCode::SESSION_TAKEN_OVER,
    )));
    let error = now(client.closed()).expect_err("taken over");
    assert_eq!(
        (error.kind(), error.reason_code()),
        (Kind::ByServer, Some(ReasonCode::from(0x8E)))
    );
    assert!(!error.is_retryable() && link.finished);
}

/// [MQTT-3.14.0-1]: the server broke the protocol, but what it said counts all the same.
#[test]
fn a_disconnect_before_connack_breaks_the_protocol_and_is_quoted() {
    let list = [Property::ReasonString("go")];
    let properties = Properties::new(&list).expect("valid");
    for (reason, for_now) in [
        (ReasonCode::SERVER_BUSY, true),
        (ReasonCode::NOT_AUTHORIZED, false),
    ] {
        let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
        let mut events = client.events();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(Packet::Disconnect(Disconnect { reason, properties }));
        let error = now(client.connected()).expect_err("not accepted");
        assert_eq!(
            (error.kind(), error.reason_code(), error.reason_string()),
            (Kind::Protocol, Some(reason), Some("go"))
        );
        let violation = Violation::DisconnectBeforeConnack(reason);
        assert_eq!(error.cause(), Some(&DisconnectCause::Violation(violation)));
        assert_eq!(error.is_retryable(), for_now);
        assert_eq!(events.try_recv(), Some(Event::ConnectFailed(error)));
        assert!(link.finished && link.sent_types().is_empty());
    }
}

/// D21: table 3.1 of MQTT 3.1.1.
#[test]
fn a_server_of_an_older_version_is_understood() {
    for (code, reason, for_now) in [
        (1, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, false),
        (2, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, false),
        (3, ReasonCode::SERVER_UNAVAILABLE, true),
        (4, ReasonCode::BAD_USER_NAME_OR_PASSWORD, false),
        (5, ReasonCode::NOT_AUTHORIZED, false),
    ] {
        let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
        link.run();
        link.inbound.extend([0x20, 2, 0, code]);
        link.run();
        let error = now(client.connected()).expect_err("refused");
        assert_eq!(
            (error.kind(), error.reason_code(), error.is_retryable()),
            (Kind::Refused, Some(reason), for_now)
        );
        let cause = DisconnectCause::RefusedByOlderVersion(code);
        assert_eq!(error.cause(), Some(&cause));
    }
}

/// Section 4.11: which server, and whether this one is to be asked again one day.
#[test]
fn a_redirect_names_the_other_server() {
    let list = [Property::ServerReference("other.example:1883")];
    let properties = Properties::new(&list).expect("valid");
    for (reason, for_now) in [
        (ReasonCode::USE_ANOTHER_SERVER, true),
        (ReasonCode::SERVER_MOVED, false),
    ] {
        for at_connack in [true, false] {
            let (client, mut link) = if at_connack {
                Link::new::<Async>(options(), Peer::Script(Vec::new()))
            } else {
                scripted(options(), Properties::EMPTY)
            };
            link.run();
            link.send(if at_connack {
                Packet::Connack(Connack {
                    session_present: false,
                    reason,
                    properties,
                })
            } else {
                Packet::Disconnect(Disconnect { reason, properties })
            });
            let error = now(client.closed()).expect_err("sent away");
            assert_eq!(error.reason_code(), Some(reason));
            let reference = error.properties().server_reference();
            assert_eq!(reference, Some("other.example:1883"));
            assert_eq!(error.is_retryable(), for_now);
            assert!(link.finished && client.state() == State::Stopped);
        }
    }
}

#[test]
fn a_lost_transport_ends_the_client() {
    let (client, mut link) = online(options());
    let mut closed = Task::new(client.closed());
    assert!(closed.is_pending());
    link.cut();
    assert_eq!(
        closed.woken().map_err(|error| error.kind()),
        Err(Kind::TransportClosed)
    );
    assert_eq!(client.statistics().disconnects, 1);
}

/// T124: what CONNECT cannot say.
#[test]
fn options_tell_what_cannot_work() {
    use crate::{Bound, Options, OptionsError as E};
    let long = "x".repeat(65_536);
    let zero = Bound {
        messages: 0,
        bytes: 1,
    };
    #[rustfmt::skip]
    let table = [
        (options().client_id(long.clone()), E::InvalidString("client identifier")),
        (options().username("a\0b"), E::InvalidString("user name")),
        (options().password(long.clone()), E::InvalidString("password")),
        (options().will(Will::new("t", vec![0; 65_536])), E::WillPayload),
        (options().will(Will::new("#", "x")), E::WillTopic(mqtt5_proto::TopicError::Wildcard)),
        (options().will(Will::new("t", "x").content_type("\0")), E::WillProperty(mqtt5_proto::EncodeError::NulCharacter)),
        (options().will(Will::new("t", "\u{FEFF}é").payload_is_text(true).content_type("\0")), E::WillProperty(mqtt5_proto::EncodeError::NulCharacter)),
        (options().will(Will::new("t", vec![0xFF]).payload_is_text(true)), E::WillProperty(mqtt5_proto::EncodeError::PayloadNotText)),
        (options().user_property("\0", ""), E::UserProperty(mqtt5_proto::EncodeError::NulCharacter)),
        (Options::new("mqtt://h").resume(Resume::AssumeSession), E::SessionWithoutClientId),
        (options().offline_queue(zero), E::Zero("offline_queue")),
        (options().subscription_queue(zero), E::Zero("subscription_queue")),
        (options().connect_timeout(Duration::ZERO), E::Zero("connect_timeout")),
        (options().inbound_bytes(0), E::Zero("inbound_bytes")),
    ];
    for (options, error) in table {
        assert_eq!(options.validate(), Err(error));
    }
    let manual = crate::AckMode::Manual {
        on_drop: OnDrop::Hold,
    };
    assert_eq!(
        options().ack_mode(manual).clean_start(true).validate(),
        Ok(())
    );
}

/// T88: a keep alive of nothing must be asked for by its name.
#[test]
fn no_keep_alive_has_a_name_of_its_own() {
    assert_eq!(KeepAlive::seconds(0), None);
    assert!(KeepAlive::try_from(Duration::ZERO).is_err());
    assert!(KeepAlive::try_from(Duration::from_millis(1_500)).is_err());
    let minute = KeepAlive::seconds(60);
    assert_eq!(KeepAlive::try_from(Duration::from_secs(60)).ok(), minute);
    let options = options().keep_alive(KeepAlive::Off);
    let (_client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    link.sent(|packet| {
        assert!(matches!(packet, Packet::Connect(connect) if connect.keep_alive == 0));
    });
}
