//! Getting a connection, or a reason why there is none.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use mqtt5_client::{
    ConnectionErrorKind, DialErrorKind, Options, OptionsError, QoS, ReasonCode, State,
};
use mqtt5_transport::Settings;

use super::sockets::{ESTABLISHED, sockets};
use super::{SOON, Server, Setting, eventually, off_thread, receive};
use crate::{Script, ScriptedPeer, is_built_in};

/// What the server said is told.
pub async fn the_server_accepts(setting: Setting) {
    let client = setting.start(setting.options().client_id("behaviour"));
    let connection = client.connected().await.unwrap();
    assert_eq!(connection.client_id(), "behaviour");
    assert!(!connection.session_present());
    assert_eq!(connection.assigned_client_id(), None);
    assert_eq!(client.state(), State::Online);
    assert!(client.is_connected());
    assert_eq!(client.connection(), Some(connection));
    assert_eq!(client.statistics().connects, 1);
}

/// Without a client identifier the server gives one.
pub async fn the_server_assigns_a_client_id(setting: Setting) {
    let (one, other) = (setting.connect().await, setting.connect().await);
    let (one, other) = (one.connection().unwrap(), other.connection().unwrap());
    assert!(
        one.assigned_client_id()
            .is_some_and(|assigned| assigned == one.client_id())
    );
    assert_ne!(one.client_id(), other.client_id());
}

/// A refusal comes with its reason, and is final.
pub async fn the_server_refuses(setting: Setting) {
    let server = Server::refusing(setting.kind());
    let client = setting.start(Options::new(server.url()));
    let error = client.connected().await.unwrap_err();
    assert_eq!(error.kind(), ConnectionErrorKind::Refused);
    assert!(
        error.reason_code().is_some_and(ReasonCode::is_error),
        "{error}"
    );
    assert_eq!(client.closed().await.unwrap_err(), error);
    assert_eq!(client.state(), State::Stopped);
    off_thread(|| drop(server)).await;
}

/// A port where nobody listens.
pub async fn nobody_listens(setting: Setting) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = setting.start(Options::new(format!("mqtt://{address}")));
    let error = client.connected().await.unwrap_err();
    assert_eq!(error.kind(), ConnectionErrorKind::Dial);
    let dial = error.dial_error().unwrap();
    assert_eq!(dial.kind(), DialErrorKind::ConnectionRefused);
}

/// What cannot be a server is refused before anything is started.
pub async fn a_wrong_url_is_told_at_once(setting: Setting) {
    for url in ["localhost", "http://localhost", "mqtt://", "mqtt://a:b:c"] {
        let error = setting.try_start(Options::new(url)).unwrap_err();
        assert!(matches!(error, OptionsError::Endpoint(_)), "{url}: {error}");
    }
}

/// The server listens on one address of several.
pub async fn a_host_name_is_resolved(setting: Setting) {
    let port = setting.server.address().port();
    let client = setting
        .connect_with(Options::new(format!("mqtt://localhost:{port}")))
        .await;
    assert_eq!(client.connection().unwrap().endpoint().host(), "localhost");
}

/// No name can have a label of 64 bytes, which the system knows without asking anybody.
pub async fn a_host_name_that_does_not_exist(setting: Setting) {
    let url = format!("mqtt://{}.invalid", "x".repeat(64));
    let client = setting.start(Options::new(url).connect_timeout(SOON));
    let error = client.connected().await.unwrap_err();
    assert_eq!(error.kind(), ConnectionErrorKind::Dial);
    let dial = error.dial_error().unwrap();
    assert_eq!(dial.kind(), DialErrorKind::NameResolution);
}

/// Never plain instead.
pub async fn a_transport_that_is_not_built_in(setting: Setting) {
    let address = setting.server.address();
    for scheme in ["mqtts", "ws", "wss"] {
        let url = format!("{scheme}://{address}");
        let client = setting.start(Options::new(url.as_str()));
        let error = client.connected().await.unwrap_err();
        let dial = error.dial_error().unwrap();
        // One that is built in meets a server that does not speak it.
        let refused = dial.kind() == DialErrorKind::Unsupported;
        assert_eq!(refused, !is_built_in(&url), "{scheme}: {dial}");
    }
}

/// The time of an attempt is bounded, and its socket is closed when it is over.
pub async fn a_server_that_does_not_answer(setting: Setting) {
    let peer = ScriptedPeer::start(Script::new().skip_packet().until_closed());
    let options = Options::new(peer.url()).connect_timeout(Duration::from_millis(200));
    let client = setting.start(options);
    let error = client.connected().await.unwrap_err();
    assert_eq!(error.kind(), ConnectionErrorKind::TimedOut);
    off_thread(|| peer.join()).await.unwrap();
}

/// Nobody waits any more: nothing is left behind.
pub async fn an_attempt_that_is_given_up_closes_its_socket(setting: Setting) {
    let peer = ScriptedPeer::start(Script::new().skip_packet().until_closed());
    let client = setting.start(Options::new(peer.url()));
    let clone = client.clone();
    eventually("the socket is open", move || {
        clone.state() == State::Handshaking
    })
    .await;
    drop(client);
    off_thread(|| peer.join()).await.unwrap();
}

/// A connection that is to be probed when it is silent is the only one with a timer when it is.
pub async fn the_settings_reach_the_socket(setting: Setting) {
    let mut settings = Settings::default();
    settings.tcp.keepalive = Some(Duration::from_secs(7));
    let _client = setting.connect_with((setting.options(), settings)).await;
    let server = setting.server.address();
    eventually("the system is about to probe", move || {
        let told = sockets(server, ESTABLISHED);
        told.iter().any(|socket| socket.contains(" 02:"))
    })
    .await;
}

/// Operations can be begun at once.
pub async fn operations_wait_for_the_connection(setting: Setting) {
    let client = setting.start(setting.options());
    let mut inbox = client.subscribe("a").qos(QoS::AtLeastOnce).await.unwrap();
    let delivery = client.publish("a", "1").qos(QoS::AtLeastOnce);
    let delivery = delivery.start().await.unwrap();
    assert_eq!(receive(&mut inbox).await.payload(), b"1");
    assert!(delivery.await.unwrap().is_acknowledged());
}
