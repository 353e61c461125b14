//! Ctrl-C and SIGTERM: the server is told.

use std::process::Stdio;

use crate::common::{Broker, PATIENCE, Running, command};
use mqtt5_testkit::{Mosquitto, mosquitto_sub};

const SIGNALS: [(&str, i32); 2] = [("INT", 130), ("TERM", 143)];

/// Mosquitto tells a client that said goodbye from one whose connection broke.
#[track_caller]
fn assert_clean(mosquitto: &Mosquitto, client: &str) {
    let line = mosquitto.wait_for_log(PATIENCE, &format!("Received DISCONNECT from {client}"));
    assert!(line.is_some(), "no goodbye:\n{}", mosquitto.log());
    let line = mosquitto.wait_for_log(PATIENCE, &format!("Client {client} disconnected."));
    assert!(line.is_some(), "not clean:\n{}", mosquitto.log());
}

#[test]
fn a_subscriber_disconnects() {
    let mosquitto = Mosquitto::start();
    for (signal, code) in SIGNALS {
        let client = format!("sub-{signal}");
        let flags = [
            &mosquitto.url(),
            "a",
            "--client-id",
            &client,
            "--will-topic",
            "will",
            "--will-payload",
            "x",
        ];
        let subscriber = Running::subscribed(&flags);
        subscriber.signal(signal);
        let outcome = subscriber.wait();
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        assert!(
            outcome.stdout.is_empty() && outcome.stderr.is_empty(),
            "{outcome:?}"
        );
        assert_clean(&mosquitto, &client);
    }
}

#[test]
fn a_publisher_that_reads_a_pipe_disconnects() {
    let mosquitto = Mosquitto::start();
    for (signal, code) in SIGNALS {
        let client = format!("pub-{signal}");
        let mut subscriber = mosquitto_sub(mosquitto.addr(), &["-t", "a", "-q", "2"]);
        let url = mosquitto.url();
        let mut command = command(&["pub", &url, "a", "-l", "-q", "2", "--client-id", &client]);
        let mut publisher = Running::start(command.stdin(Stdio::piped()));
        let mut input = publisher.child.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut input, b"one\n").expect("it reads");
        publisher.line();
        publisher.signal(signal);
        assert_eq!(publisher.wait().code, Some(code));
        assert_clean(&mosquitto, &client);
        assert_eq!(
            subscriber.receive(PATIENCE).expect("it arrived").payload,
            b"one"
        );
    }
}

#[test]
fn a_demonstration_disconnects_both_clients() {
    for adapter in ["tokio", "async-std", "blocking"] {
        let mosquitto = Mosquitto::start();
        let url = mosquitto.url();
        let demo = Running::start(&mut command(&[
            "demo",
            "--broker",
            &url,
            "--adapter",
            adapter,
            "--messages",
            "10000000",
        ]));
        mosquitto
            .wait_for_log(PATIENCE, "Received SUBSCRIBE")
            .expect("it begins");
        demo.signal("INT");
        assert_eq!(demo.wait().code, Some(130), "{adapter}");
        let goodbyes = || mosquitto.log().matches("Received DISCONNECT from").count();
        assert!(
            mqtt5_testkit::wait_until(PATIENCE, || goodbyes() == 2),
            "{adapter}: {}",
            goodbyes()
        );
    }
}

#[test]
fn the_broker_ends_and_tells_its_clients() {
    for signal in ["INT", "TERM"] {
        let broker = Running::start(&mut command(&["broker", "--listen", "127.0.0.1:0"]));
        let told = crate::common::parse(&broker.line());
        let url = told["url"].as_str().expect("it tells its URL").to_owned();
        let subscriber = Running::subscribed(&[&url, "a", "--no-reconnect"]);
        broker.signal(signal);
        let outcome = broker.wait().assert_success();
        assert_eq!(outcome.json()[0]["event"], "ended");
        let outcome = subscriber.wait();
        assert_eq!(outcome.code, Some(5));
        assert_eq!(
            crate::common::parse(outcome.error_line())["reason_code"],
            0x8b
        );
    }
}

/// Whether a process has taken SIGINT, which is number 2, into its own hands.
fn catches_interrupt(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 1 << 1 != 0)
}

#[test]
fn a_second_signal_ends_at_once() {
    // The peer accepts everything and answers nothing, so that the goodbye has something to wait for.
    let script = mqtt5_testkit::Script::new()
        .skip_packet()
        .send([0x20, 3, 0, 0, 0])
        .skip_packet()
        .until_closed();
    let peer = mqtt5_testkit::ScriptedPeer::start(script);
    let mut command = command(&["pub", &peer.url(), "a", "x", "-q", "1", "--client-id", "c"]);
    let mut publisher = Running::start(&mut command);
    assert!(mqtt5_testkit::wait_until(PATIENCE, || catches_interrupt(
        publisher.child.id()
    )));
    publisher.signal("INT");
    publisher.signal("INT");
    let mut ended = None;
    let soon = std::time::Duration::from_secs(4);
    mqtt5_testkit::wait_until(soon, || {
        // Signals that come together are one.
        publisher.signal("INT");
        ended = publisher.child.try_wait().expect("it is our child");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(130));
}

#[test]
fn both_brokers_take_a_goodbye_after_success() {
    let mosquitto = Mosquitto::start();
    crate::common::mqtt5(&["pub", &mosquitto.url(), "a", "x", "--client-id", "one-shot"])
        .assert_success();
    assert_clean(&mosquitto, "one-shot");
    let broker = Broker::embedded();
    crate::common::mqtt5(&["pub", &broker.url(), "a", "x"]).assert_success();
    let Broker::Embedded(server) = &broker else {
        unreachable!("it is one")
    };
    assert!(mqtt5_testkit::wait_until(PATIENCE, || server
        .statistics()
        .connections
        == 0));
    assert_eq!(server.statistics().sessions, 0);
}
