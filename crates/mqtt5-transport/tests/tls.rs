//! MQTT over TLS: the pipe, opposite a server in memory.

#[path = "tls/server.rs"]
mod server;

use mqtt5_client::{DialError, DialErrorKind};
use mqtt5_transport::{Settings, StackError};
use rustls::{HandshakeKind, ServerConnection};
use server::{
    Authority, connected, exchange, opening, read_all, received, say, self_signed, server,
    server_config, write,
};
use std::path::Path;
use std::process::Command;

#[test]
fn mqtt_goes_through_encrypted() {
    let (mut pipe, mut server) = connected();
    assert_eq!(write(&mut pipe, b"\x10\x0csecret"), Ok(8));
    let is_plain = pipe.pending().windows(6).any(|bytes| bytes == b"secret");
    assert!(!is_plain);
    exchange(&mut pipe, &mut server, usize::MAX).unwrap();
    assert_eq!(received(&mut server), b"\x10\x0csecret");

    let large = vec![7; 50_000];
    say(&mut server, &large);
    let mut answer = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut answer).unwrap();
    }
    let mut all = Vec::new();
    for part in answer.chunks(1_400) {
        pipe.receive(part).unwrap();
        all.extend(read_all(&mut pipe).unwrap());
    }
    assert!(all == large);
}

#[test]
fn the_handshake_may_be_cut_anywhere() {
    for (url, name) in [
        ("mqtts://localhost", "localhost"),
        ("mqtts://127.0.0.1", "127.0.0.1"),
        ("mqtts://[::1]:1", "::1"),
    ] {
        let authority = Authority::new();
        let mut server = server(&authority.issue(name), None);
        let mut pipe = opening(url, &authority.trusted()).unwrap();
        exchange(&mut pipe, &mut server, 1).unwrap();
        assert!(pipe.is_open());
    }
}

#[test]
fn a_certificate_that_proves_nothing_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (identity, error) in [
        (authority.issue("other.example"), StackError::OtherName),
        (authority.issue("127.0.0.1"), StackError::OtherName),
        (
            authority.issue_until("localhost", 2001),
            StackError::Expired,
        ),
        (other.issue("localhost"), StackError::UnknownIssuer),
        (self_signed("localhost"), StackError::UnknownIssuer),
    ] {
        let mut server = server(&identity, None);
        let mut pipe = opening("mqtts://localhost", &authority.trusted()).unwrap();
        let refused = exchange(&mut pipe, &mut server, usize::MAX);
        assert_eq!(refused, Err(error));
        assert!(!pipe.is_open());
        assert!(!pipe.pending().is_empty(), "the server is told");
        assert_eq!(
            write(&mut pipe, b"\x10\0"),
            Err(error),
            "nothing is sent to it"
        );
        assert_eq!(DialError::from(error).kind(), DialErrorKind::Tls);
    }
    // The system does not trust it either: there is no way around the verification.
    let mut server = server(&authority.issue("localhost"), None);
    let refused = opening("mqtts://localhost", &Settings::default())
        .and_then(|mut pipe| exchange(&mut pipe, &mut server, usize::MAX));
    let errors = [StackError::UnknownIssuer, StackError::NoAuthorities];
    assert!(errors.contains(&refused.unwrap_err()));
}

#[test]
fn a_server_without_tls_is_told() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\x20\x09\0\0\x06\x22\0\x0a\x21\0\x14",
    ] {
        let mut pipe = opening("mqtts://localhost", &Authority::new().trusted()).unwrap();
        assert_eq!(pipe.receive(bytes), Err(StackError::NoTls));
    }
    let mut pipe = opening("mqtts://localhost", &Authority::new().trusted()).unwrap();
    assert_eq!(pipe.receive(b""), Err(StackError::Truncated));
}

#[test]
fn settings_that_cannot_be_used_are_told_each_time() {
    let authority = Authority::new();
    let mut identity = authority.issue("client");
    let mut unfit = identity.clone();
    unfit.private_key = authority.issue("client").private_key;
    identity.certificates.clear();
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = authority.trusted();
        change(&mut settings);
        settings
    };
    let begin = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (settings, error) in [
        (
            with(&|all| all.tls.authorities = Some(Vec::new())),
            StackError::InvalidAuthorities,
        ),
        (
            with(&|all| all.tls.authorities = Some(b"no PEM".into())),
            StackError::InvalidAuthorities,
        ),
        (
            with(&|all| all.tls.authorities = Some(begin.into())),
            StackError::InvalidAuthorities,
        ),
        (
            with(&|all| all.tls.identity = Some(identity.clone())),
            StackError::InvalidIdentity,
        ),
        (
            with(&|all| all.tls.identity = Some(unfit.clone())),
            StackError::InvalidIdentity,
        ),
    ] {
        for _ in 0..2 {
            let refused = opening("mqtts://localhost", &settings);
            assert_eq!(refused.unwrap_err(), error);
        }
    }
}

#[test]
fn a_client_proves_who_it_is() {
    let authority = Authority::new();
    let identity = authority.issue("client");
    let shown = format!("{:?}", Some(&identity));
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");

    let mut settings = authority.trusted();
    settings.tls.identity = Some(identity);
    let mut with = server(&authority.issue("localhost"), Some(&authority));
    let mut pipe = opening("mqtts://localhost", &settings).unwrap();
    exchange(&mut pipe, &mut with, usize::MAX).unwrap();
    write(&mut pipe, b"\x10").unwrap();
    exchange(&mut pipe, &mut with, usize::MAX).unwrap();
    assert_eq!(received(&mut with), b"\x10");

    let mut without = server(&authority.issue("localhost"), Some(&authority));
    let mut pipe = opening("mqtts://localhost", &authority.trusted()).unwrap();
    let refused = exchange(&mut pipe, &mut without, usize::MAX).and_then(|()| read_all(&mut pipe));
    assert_eq!(refused, Err(StackError::Alert));
}

#[test]
fn an_end_without_a_close_is_told() {
    let (mut pipe, mut server) = connected();
    say(&mut server, b"last");
    exchange(&mut pipe, &mut server, usize::MAX).unwrap();
    pipe.receive(b"").unwrap();
    let mut space = [0; 16];
    assert_eq!(pipe.read(&mut space), Ok(4));
    assert_eq!(pipe.read(&mut space), Err(StackError::Truncated));

    let (mut pipe, mut server) = connected();
    say(&mut server, b"last");
    server.send_close_notify();
    exchange(&mut pipe, &mut server, usize::MAX).unwrap();
    assert_eq!(pipe.read(&mut space), Ok(4));
    assert_eq!(pipe.read(&mut space), Err(StackError::Closed));
}

#[test]
fn goodbye_is_a_close_notify() {
    let (mut pipe, mut server) = connected();
    write(&mut pipe, b"\xe0\0").unwrap();
    pipe.close();
    exchange(&mut pipe, &mut server, usize::MAX).unwrap();
    let state = server.process_new_packets().unwrap();
    assert!(state.peer_has_closed());
    assert_eq!(received(&mut server), b"\xe0\0");
}

#[test]
fn damaged_bytes_end_the_connection() {
    let (mut pipe, mut server) = connected();
    say(&mut server, b"message");
    let mut answer = Vec::new();
    server.write_tls(&mut answer).unwrap();
    let last = answer.len() - 1;
    answer[last] ^= 1;
    pipe.receive(&answer).unwrap();
    assert_eq!(read_all(&mut pipe), Err(StackError::InvalidTls));
}

/// As long as the same authorities and the same identity are in force.
#[test]
fn sessions_are_resumed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let config = server_config(&authority.issue("localhost"), None);
    let kind = |settings: &Settings| {
        let mut server = ServerConnection::new(config.clone()).unwrap();
        let mut pipe = opening("mqtts://localhost", settings).unwrap();
        exchange(&mut pipe, &mut server, usize::MAX).unwrap();
        // The tickets come after the handshake.
        assert_eq!(read_all(&mut pipe).unwrap(), b"");
        server.handshake_kind().unwrap()
    };
    let mut settings = authority.trusted();
    assert_eq!(kind(&settings), HandshakeKind::Full);
    assert_eq!(kind(&settings), HandshakeKind::Resumed);
    assert_eq!(kind(&settings.clone()), HandshakeKind::Resumed);
    assert_eq!(kind(&authority.trusted()), HandshakeKind::Full);
    settings.tls.identity = Some(authority.issue("client"));
    assert_eq!(kind(&settings), HandshakeKind::Full);
    assert_eq!(kind(&settings), HandshakeKind::Resumed);
    let both = [authority.pem(), other.pem()].concat();
    settings.tls.authorities = Some(both);
    assert_eq!(kind(&settings), HandshakeKind::Full);
    // Who is not trusted any more is not by way of an old session.
    settings.tls.authorities = Some(other.pem());
    let mut server = ServerConnection::new(config.clone()).unwrap();
    let mut pipe = opening("mqtts://localhost", &settings).unwrap();
    let refused = exchange(&mut pipe, &mut server, usize::MAX);
    assert_eq!(refused, Err(StackError::UnknownIssuer));
}

/// The variable is read by this very test, run once more.
#[test]
fn secrets_are_logged_on_request_only() {
    const NAME: &str = "SSLKEYLOGFILE";
    let Some(path) = std::env::var_os(NAME) else {
        let path = std::env::temp_dir().join(format!("mqtt5-keys-{}", std::process::id()));
        let again = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "secrets_are_logged_on_request_only"])
            .env(NAME, &path)
            .status();
        let keys = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(again.unwrap().success());
        return assert!(keys.contains("CLIENT_TRAFFIC_SECRET_0 "), "{keys}");
    };
    let authority = Authority::new();
    let mut settings = authority.trusted();
    for key_log in [false, true] {
        settings.tls.key_log = key_log;
        let mut server = server(&authority.issue("localhost"), None);
        let mut pipe = opening("mqtts://localhost", &settings).unwrap();
        exchange(&mut pipe, &mut server, usize::MAX).unwrap();
        assert_eq!(Path::new(&path).exists(), key_log);
    }
}
