//! Making a connection, and why there may be none.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use mqtt5_blocking::{
    ConnectionErrorKind, DialErrorKind, KeepAlive, Offline, Options, PublishErrorKind, QoS,
    ReasonCode, State, connect, start,
};
use mqtt5_broker::{Broker, Config, Users};
use mqtt5_testkit::{Mosquitto, Script, ScriptedPeer};

/// A port of the loopback interface on which nothing listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

fn dial_error(url: &str) -> DialErrorKind {
    let error = connect(url).expect_err("there is no server");
    assert_eq!(error.kind(), ConnectionErrorKind::Dial, "{error}");
    error.dial_error().expect("it failed to dial").kind()
}

#[test]
fn the_embedded_broker_and_mosquitto_accept() {
    let broker = mqtt5_broker::spawn().unwrap();
    let mosquitto = Mosquitto::start();
    for url in [
        broker.url(),
        mosquitto.url(),
        format!("mqtt://localhost:{}", mosquitto.port()),
    ] {
        let client = connect(
            Options::new(url)
                .client_id("here")
                .keep_alive(KeepAlive::Off),
        )
        .unwrap();
        assert!(client.is_connected());
        assert_eq!(client.connected().unwrap().client_id(), "here");
        client.disconnect().wait().unwrap();
        assert_eq!(client.state(), State::Stopped);
        assert_eq!(client.closed(), Ok(()));
    }
}

#[test]
fn nobody_listens() {
    let port = closed_port();
    assert_eq!(
        dial_error(&format!("mqtt://127.0.0.1:{port}")),
        DialErrorKind::ConnectionRefused
    );
    assert_eq!(
        dial_error(&format!("mqtt://localhost:{port}")),
        DialErrorKind::ConnectionRefused
    );
}

#[test]
fn a_name_without_an_address() {
    assert_eq!(
        dial_error("mqtt://name.invalid"),
        DialErrorKind::NameResolution
    );
}

#[test]
fn a_transport_that_is_not_built_in() {
    // Nobody listens there, which one that is built in finds out.
    for url in ["mqtts://localhost:1", "ws://localhost:1"] {
        let refused = dial_error(url) == DialErrorKind::Unsupported;
        assert_eq!(refused, !mqtt5_testkit::is_built_in(url), "{url}");
    }
}

#[test]
fn a_wrong_url() {
    for url in [
        "localhost",
        "http://localhost",
        "mqtt://",
        "mqtt://host:70000",
    ] {
        let errors = [
            connect(url).expect_err("no URL of a server"),
            start(url).expect_err("no URL of a server").into(),
        ];
        assert!(
            errors
                .iter()
                .all(|error| error.kind() == ConnectionErrorKind::InvalidOptions),
            "{url}: {errors:?}"
        );
    }
}

#[test]
fn the_server_refuses() {
    let mut config = Config::default();
    config.access = Box::new(Users::new([("anna", "secret")]));
    let broker = Broker::new(config).spawn_thread().unwrap();

    let error = connect(
        Options::new(broker.url())
            .username("anna")
            .password("guess"),
    )
    .expect_err("the password is wrong");
    assert_eq!(error.kind(), ConnectionErrorKind::Refused);
    assert_eq!(
        error.reason_code(),
        Some(ReasonCode::BAD_USER_NAME_OR_PASSWORD)
    );
    assert!(
        connect(
            Options::new(broker.url())
                .username("anna")
                .password("secret")
        )
        .is_ok()
    );
}

#[test]
fn a_server_that_says_nothing() {
    let peer = ScriptedPeer::start(Script::new().until_closed());
    let error = connect(Options::new(peer.url()).connect_timeout(Duration::from_millis(100)))
        .expect_err("it never answers");
    assert_eq!(error.kind(), ConnectionErrorKind::TimedOut);
    peer.join().unwrap();
}

#[test]
fn a_server_that_closes_at_once() {
    let peer = ScriptedPeer::start(Script::new().skip_packet());
    let error = connect(peer.url()).expect_err("it closes");
    assert_eq!(error.kind(), ConnectionErrorKind::TransportClosed);
    peer.join().unwrap();
}

/// An address that takes no more connections: the system drops the first packet of each, and nobody answers.
#[test]
fn a_server_that_does_not_accept_in_time() {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _queued: Vec<_> = (0..4)
        .map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            // It is under way, and stays so.
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();

    let options =
        Options::new(format!("mqtt://{address}")).connect_timeout(Duration::from_millis(200));
    let error = connect(options).expect_err("nobody answers");
    assert_eq!(error.kind(), ConnectionErrorKind::TimedOut);
}

#[test]
fn what_is_published_before_the_connection_waits_for_it() {
    let broker = mqtt5_broker::spawn().unwrap();
    let reader = connect(broker.url()).unwrap();
    let mut messages = reader.subscribe("#").qos(QoS::AtLeastOnce).wait().unwrap();

    let client = start(Options::new(broker.url()).offline_qos0(Offline::Wait)).unwrap();
    client.publish("a", "0").wait().unwrap();
    client
        .publish("a", "1")
        .qos(QoS::AtLeastOnce)
        .wait()
        .unwrap();
    let payloads: Vec<_> = messages
        .by_ref()
        .take(2)
        .map(|message| message.payload().to_vec())
        .collect();
    assert_eq!(payloads, [b"0", b"1"]);
}

#[test]
fn what_waits_for_a_connection_ends_when_there_is_none() {
    let client = start(format!("mqtt://127.0.0.1:{}", closed_port())).unwrap();
    let error = client
        .publish("a", "1")
        .qos(QoS::AtLeastOnce)
        .wait()
        .expect_err("nobody listens");
    assert!(
        matches!(
            error.kind(),
            PublishErrorKind::Closed | PublishErrorKind::NotSent
        ),
        "{error:?}"
    );
    assert_eq!(
        client.closed().expect_err("nobody listens").kind(),
        ConnectionErrorKind::Dial
    );
    let error = client
        .publish("a", "1")
        .qos(QoS::AtLeastOnce)
        .wait()
        .expect_err("it has stopped");
    assert_eq!(error.kind(), PublishErrorKind::Closed);
}
