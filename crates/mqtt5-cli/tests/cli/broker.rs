//! `mqtt5 broker`

use std::net::SocketAddr;

use crate::common::{PATIENCE, Running, command, mqtt5, parse};
use mqtt5_testkit::{TempDir, mosquitto_pub, mosquitto_sub};

struct Started {
    _running: Running,
    url: String,
    addr: SocketAddr,
}

fn start(arguments: &[&str]) -> Started {
    let all = [&["broker", "--listen", "127.0.0.1:0"], arguments].concat();
    let running = Running::start(&mut command(&all));
    let told = parse(&running.line());
    assert_eq!(told["event"], "listening");
    let url = told["url"].as_str().expect("text").to_owned();
    let addr = url
        .trim_start_matches("mqtt://")
        .parse()
        .expect("an address");
    Started {
        _running: running,
        url,
        addr,
    }
}

#[test]
fn other_clients_exchange_messages() {
    let broker = start(&[]);
    for qos in ["0", "1", "2"] {
        let mut subscriber = mosquitto_sub(broker.addr, &["-t", "a/#", "-q", "2"]);
        mosquitto_pub(broker.addr, &["-t", "a/b", "-m", "x", "-q", qos]).assert_success();
        let received = subscriber.receive(PATIENCE).expect("it arrives");
        assert_eq!(
            (received.payload, received.qos.to_string().as_str()),
            (b"x".to_vec(), qos)
        );
        assert!(subscriber.stop());
    }
}

#[test]
fn limits_are_announced() {
    let broker = start(&[
        "--maximum-qos",
        "1",
        "--no-retain",
        "--maximum-packet-size",
        "300",
        "--no-wildcards",
        "--no-shared-subscriptions",
    ]);
    let url = &broker.url;
    let large = "x".repeat(400);
    for arguments in [
        &["pub", url, "a", "x", "--qos", "2"][..],
        &["pub", url, "a", "x", "--retain"],
        &["pub", url, "a", &large],
        &["sub", url, "a/#"],
        &["sub", url, "$share/g/a"],
    ] {
        let outcome = mqtt5(arguments);
        assert_eq!(outcome.code, Some(6), "{arguments:?}: {outcome:?}");
    }
    mqtt5(&["pub", url, "a", "x", "--qos", "1"]).assert_success();
}

#[test]
fn only_known_users_are_let_in() {
    let directory = TempDir::new();
    let file = directory.path().join("users");
    std::fs::write(&file, "# people\n\nanna:a:b\nben:c\n").expect("the directory is writable");
    let broker = start(&["--users", file.to_str().expect("it is text")]);
    mqtt5(&["pub", &broker.url.replace("//", "//anna:a%3Ab@"), "a"]).assert_success();
    assert_eq!(
        mqtt5(&["pub", &broker.url.replace("//", "//ben:a@"), "a"]).code,
        Some(5)
    );
    assert_eq!(mqtt5(&["pub", &broker.url, "a"]).code, Some(5));

    std::fs::write(&file, "anna").expect("the directory is writable");
    let outcome = mqtt5(&[
        "broker",
        "--listen",
        "127.0.0.1:0",
        "--users",
        file.to_str().expect("it is text"),
    ]);
    assert_eq!(outcome.code, Some(2));
    assert!(!outcome.stderr.contains("anna"), "{outcome:?}");
}

#[test]
fn an_address_that_others_reach_is_warned_of() {
    let broker = Running::start(&mut command(&["broker", "--listen", "0.0.0.0:0"]));
    assert!(
        broker
            .error_line()
            .contains("everybody who reaches this address can connect")
    );
    assert!(
        parse(&broker.line())["url"]
            .as_str()
            .is_some_and(|url| url.starts_with("mqtt://127.0.0.1:"))
    );
}
