//! On a terminal: text for people, from which no control character of a peer escapes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::common::{Broker, PATIENCE, Running, mqtt5_with_input};
use mqtt5_testkit::{find_program, mosquitto_pub};

/// Runs the command under a pseudo-terminal.
fn on_terminal(arguments: &[&str]) -> Running {
    let script = find_program("script").expect("util-linux or bsdutils is installed");
    let quoted: Vec<String> = arguments
        .iter()
        .map(|argument| format!("'{argument}'"))
        .collect();
    let order = format!("'{}' {}", env!("CARGO_BIN_EXE_mqtt5"), quoted.join(" "));
    let mut command = Command::new(script);
    command
        .args(["-qec", &order, "/dev/null"])
        .env_remove("MQTT_URL")
        .stdin(Stdio::piped());
    Running::start(&mut command)
}

/// A line as a terminal gets it, without its line end.
fn shown(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    assert!(!line.contains(char::is_control), "{line:?}");
    line
}

const HOSTILE: &[u8] = b"\x1b[2J\x1b]0;owned\x07\r\nfake line\xc2\x9b31m";

#[test]
fn messages_are_text_without_control_characters() {
    for broker in Broker::each() {
        let subscriber = on_terminal(&["sub", &broker.url(), "t/#", "-q", "1", "-c", "1"]);
        assert_eq!(
            shown(&subscriber.line()),
            "subscribed to t/# (0x01 Granted QoS 1); Ctrl-C ends"
        );
        let arguments = [
            "pub",
            &broker.url(),
            "t/x",
            "--stdin",
            "-q",
            "1",
            "--content-type",
            "text/plain",
            "--correlation-data",
            "hex:1b5b41",
            "--expiry",
            "60",
        ];
        mqtt5_with_input(&arguments, HOSTILE).assert_success();
        let line = subscriber.line();
        let (time, message) = shown(&line).split_once("  ").expect("the time comes first");
        assert!(time.len() == 8 && time.as_bytes()[2] == b':', "{time}");
        assert_eq!(
            message,
            "t/x  \\u{1b}[2J\\u{1b}]0;owned\\u{7}\\r\\nfake line\\u{9b}31m"
        );
        assert_eq!(
            shown(&subscriber.line()).trim_start(),
            "QoS 1, expires in 60 s, content type text/plain, correlation data \\u{1b}[A"
        );
        assert_eq!(subscriber.wait().code, Some(0));
    }
}

#[test]
fn topics_and_properties_are_escaped_too() {
    // Mosquitto lets no control characters into text, the embedded broker forwards what the specification allows.
    let broker = Broker::embedded();
    let subscriber = on_terminal(&["sub", &broker.url(), "#", "-c", "1"]);
    subscriber.line();
    let arguments = [
        "pub",
        &broker.url(),
        "t\u{1b}[31m/\n",
        "x",
        "--user-property",
        "k\u{7}=\u{9b}v",
        "--response-topic",
        "r\r",
        "--content-type",
        "\u{202e}c",
    ];
    crate::common::mqtt5(&arguments).assert_success();
    assert!(shown(&subscriber.line()).ends_with("  t\\u{1b}[31m/\\n  x"));
    assert_eq!(
        shown(&subscriber.line()).trim_start(),
        "content type \\u{202e}c, response topic r\\r, k\\u{7}=\\u{9b}v"
    );
}

#[test]
fn raw_output_is_escaped_on_a_terminal() {
    let broker = Broker::embedded();
    let subscriber = on_terminal(&["sub", &broker.url(), "t", "--raw", "-c", "1"]);
    subscriber.line();
    mqtt5_with_input(&["pub", &broker.url(), "t", "--stdin"], HOSTILE).assert_success();
    assert_eq!(
        shown(&subscriber.line()),
        "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\r\\nfake line\\u{9b}31m"
    );
}

#[test]
fn outcomes_and_errors_are_text() {
    let broker = Broker::mosquitto();
    let publisher = on_terminal(&["pub", &broker.url(), "t", "x", "--qos", "1"]);
    assert_eq!(
        shown(&publisher.line()),
        "published to t: 0x10 No matching subscribers"
    );
    assert_eq!(publisher.wait().code, Some(0));
    let refused = on_terminal(&["pub", &broker.url(), "t/#"]);
    assert!(shown(&refused.line()).starts_with("error: cannot publish to `t/#`: "));
    assert_eq!(refused.wait().code, Some(2));
}

#[test]
fn wrong_arguments_are_explained() {
    let wrong = on_terminal(&["pub", "mqtt://h", "a", "b", "c"]);
    let lines: Vec<String> = (0..3).map(|_| wrong.line()).collect();
    assert!(lines[0].contains("unexpected argument"), "{lines:?}");
    assert!(lines[2].contains("Usage:"), "{lines:?}");
    assert_eq!(wrong.wait().code, Some(2));

    let wrong = on_terminal(&["pub", "mqtt://h", "a", "--qos", "3", "--json"]);
    let json = crate::common::parse(shown(&wrong.line()));
    assert_eq!(json["exit_code"], 2);
    assert_eq!(wrong.wait().code, Some(2));
}

#[test]
fn json_can_be_asked_for() {
    let broker = Broker::embedded();
    let subscriber = on_terminal(&["sub", &broker.url(), "t", "--json", "-c", "1"]);
    assert_eq!(
        crate::common::parse(shown(&subscriber.line()))["event"],
        "subscribed"
    );
    mosquitto_pub(broker.addr(), &["-t", "t", "-m", "x"]).assert_success();
    assert_eq!(
        crate::common::parse(shown(&subscriber.line()))["payload"],
        "x"
    );
}

#[test]
fn a_keyboard_interrupt_ends_it() {
    let mosquitto = Broker::mosquitto();
    let mut subscriber = on_terminal(&["sub", &mosquitto.url(), "t", "--client-id", "typed"]);
    subscriber.line();
    let Broker::Mosquitto(log) = &mosquitto else {
        unreachable!("it is one")
    };
    // What Ctrl-C types: the terminal makes a signal of it.
    let keyboard = subscriber.child.stdin.as_mut().expect("it is piped");
    keyboard.write_all(b"\x03").expect("it reads its keyboard");
    assert_eq!(subscriber.wait().code, Some(130));
    assert!(
        log.wait_for_log(PATIENCE, "Received DISCONNECT from typed")
            .is_some()
    );
}
