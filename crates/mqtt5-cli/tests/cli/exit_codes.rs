//! What goes wrong: one clear line on standard error, and the exit code of its kind.

use std::net::TcpListener;

use crate::common::{Broker, PATIENCE, Running, command, mqtt5, parse};
use mqtt5_broker::{Config, Users};
use mqtt5_testkit::{Mosquitto, Script, ScriptedPeer, TempDir, mosquitto_pub};
use serde_json::json;

const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

/// The line of an error as text, and as an object.
#[track_caller]
fn error(arguments: &[&str], code: i32, expected: &str) {
    let text = mqtt5(&[arguments, &["--output", "text"]].concat());
    assert_eq!(text.code, Some(code), "{text:?}");
    assert_eq!(text.error_line(), format!("error: {expected}"));
    assert!(text.stdout.is_empty(), "{text:?}");
}

/// The object of an error.
#[track_caller]
fn error_json(arguments: &[&str], code: i32) -> serde_json::Value {
    let outcome = mqtt5(arguments);
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
    let error = parse(outcome.error_line());
    assert_eq!(error["exit_code"], code);
    error
}

#[test]
fn wrong_arguments_are_2() {
    const URL: &str = "mqtt://127.0.0.1:1";
    let table: [(&[&str], &str); 24] = [
        (
            &["pub", "localhost:1883", "a"],
            "`localhost:1883` is no URL of a server (write it as mqtt://host or mqtt://host:port, or set MQTT_URL)",
        ),
        (
            &["pub"],
            "no server was named (give its URL first, as mqtt://host, or set MQTT_URL)",
        ),
        (
            &["pub", "http://h", "a"],
            "the URL of the server is wrong: unknown scheme `http`; use mqtt, tcp, mqtts, tls, ssl, ws or wss",
        ),
        (
            &["sub", "mqtt://h:0", "a"],
            "the URL of the server is wrong: `0` is no port; use a number from 1 to 65535, or leave it out",
        ),
        (
            &["pub", URL],
            "no topic was given (mqtt5 pub URL TOPIC [PAYLOAD])",
        ),
        (
            &["pub", URL, "a/+"],
            "cannot publish to `a/+`: a topic name must not contain the wildcards + and #; they belong in subscriptions",
        ),
        (
            &["pub", URL, ""],
            "cannot publish to ``: a topic must have at least one character",
        ),
        (
            &["pub", URL, "a", "x", "--stdin"],
            "two payloads were given (leave out the argument, or --file, --stdin or --stdin-lines)",
        ),
        (
            &["sub", URL],
            "no topic filter was given (mqtt5 sub URL FILTER...)",
        ),
        (
            &["sub", URL, "a", "b/#/c"],
            "cannot subscribe to `b/#/c`: # must be the whole last level of a topic filter",
        ),
        (
            &["sub", URL, "a\u{1b}[2J+"],
            "cannot subscribe to `a\\u{1b}[2J+`: + must be a whole level of a topic filter",
        ),
        (
            &["sub", URL, "a", "--clean-start=false"],
            "cannot connect so: a session can be resumed only under a client identifier; set one",
        ),
        (
            &["sub", URL, "a", "--will-topic", "w/#"],
            "invalid value 'w/#' for '--will-topic <TOPIC>': a topic name must not contain the wildcards + and #; they belong in subscriptions",
        ),
        (
            &[
                "sub",
                URL,
                "a",
                "--will-topic",
                "w",
                "--will-response-topic",
                "#",
            ],
            "invalid value '#' for '--will-response-topic <TOPIC>': a topic name must not contain the wildcards + and #; they belong in subscriptions",
        ),
        (
            &["pub", URL, "a", "--response-topic", "a/+"],
            "invalid value 'a/+' for '--response-topic <TOPIC>': a topic name must not contain the wildcards + and #; they belong in subscriptions",
        ),
        (
            &["pub", URL, "a", "--expiry", "99999999999999"],
            "invalid value '99999999999999' for '--expiry <SECONDS>': write whole seconds, at most 4294967295",
        ),
        (
            &["pub", URL, "a", "--expiry", "1.5"],
            "invalid value '1.5' for '--expiry <SECONDS>': write whole seconds, at most 4294967295",
        ),
        (
            &["pub", URL, "a", "--will-topic", "w", "--will-expiry", "0.5"],
            "invalid value '0.5' for '--will-expiry <SECONDS>': write whole seconds, at most 4294967295",
        ),
        (
            &[
                "pub",
                URL,
                "a",
                "--will-topic",
                "w",
                "--will-delay",
                "4294967296",
            ],
            "invalid value '4294967296' for '--will-delay <SECONDS>': write whole seconds, at most 4294967295",
        ),
        (
            &["pub", URL, "a", "--session-expiry", "1.5"],
            "invalid value '1.5' for '--session-expiry <SECONDS>': write whole seconds, at most 4294967295, or never",
        ),
        (
            &["pub", URL, "a", "--will-qos", "1"],
            "the following required arguments were not provided: --will-topic <TOPIC>",
        ),
        (
            &["pub", URL, "a", "--payload-format", "x"],
            "invalid value 'x' for '--payload-format <FORMAT>' [possible values: text, bytes]",
        ),
        (
            &["pub", URL, "a", "--retian"],
            "unexpected argument '--retian' found (a similar argument exists: '--retain')",
        ),
        (
            &["pub", URL, "a", "--password-env", "MQTT5_NOT_SET"],
            "cannot take the password from the variable MQTT5_NOT_SET: environment variable not found",
        ),
    ];
    for (arguments, expected) in table {
        error(arguments, 2, expected);
    }
    for arguments in [
        &["pub", URL, "a", "--qos", "3"][..],
        &["sub", URL, "a", "--count", "0"],
        &["fly"],
        &["pub", URL, "a", "b", "c"],
    ] {
        let json = error_json(arguments, 2);
        let text = json["error"].as_str().expect("text");
        assert!(!text.is_empty() && !text.starts_with("error"), "{json}");
    }
}

/// Nobody listens there, which one that is built in finds out.
#[test]
fn a_transport_that_is_not_built_in_is_2() {
    const URL: &str = "mqtts://127.0.0.1:1";
    if mqtt5_testkit::is_built_in(URL) {
        assert_eq!(mqtt5(&["pub", URL, "a"]).code, Some(3));
    } else {
        let expected = "cannot connect to mqtts://127.0.0.1:1: not supported by this build: this build has no TLS; use mqtt:// or ws://";
        error(&["pub", URL, "a"], 2, expected);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["help", "pub"], &["sub", "-h"], &["-V"]] {
        let outcome = mqtt5(arguments).assert_success();
        assert!(outcome.stderr.is_empty() && outcome.stdout.contains("mqtt5"));
    }
    let nothing = mqtt5(&[]);
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.stderr.contains("Usage: mqtt5"), "{nothing:?}");
}

#[test]
fn files_that_cannot_be_read_are_1() {
    error(
        &["pub", "mqtt://127.0.0.1:1", "a", "--file", "/no/such/file"],
        1,
        "cannot read /no/such/file: No such file or directory (os error 2)",
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    error(
        &["broker", "--listen", &address],
        1,
        &format!(
            "cannot listen on {address}: Address already in use (os error 98) (choose another address with --listen; port 0 is any free one)"
        ),
    );
}

#[test]
fn a_server_that_is_not_there_is_3() {
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let url = format!("mqtt://{}", free.local_addr().expect("it is bound"));
    drop(free);
    for arguments in [
        &["pub", &url, "a", "x"][..],
        &["sub", &url, "a"],
        &["demo", "--broker", &url],
    ] {
        error(
            arguments,
            3,
            &format!(
                "cannot connect to {url}: the server cannot be reached: nothing listens on this port: connection refused (check host and port, or start a broker there: mqtt5 broker)"
            ),
        );
    }
    let json = error_json(&["pub", "mqtt://no-such-host.invalid", "a"], 3);
    assert_eq!(json["hint"], "check the host in the URL");
}

#[test]
fn a_connection_that_is_lost_is_3() {
    let server = mqtt5_broker::spawn().expect("it starts");
    let client = ["--client-id", "c", "--no-reconnect"];
    let subscriber = Running::subscribed(&[&[&server.url(), "a"], &client[..]].concat());
    assert!(server.cut("c"));
    let outcome = subscriber.wait();
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let error = parse(outcome.error_line());
    assert_eq!(
        error["error"],
        "the connection ended: the transport was closed"
    );
}

#[test]
fn a_refused_connection_is_5() {
    // CONNACK 0x87 with a Reason String that tries to clear the screen, and a User Property.
    let mut connack = vec![0x20, 0, 0, 0x87, 20];
    connack.extend(b"\x1f\x00\x08no\x1b[2J\ny\x26\x00\x01k\x00\x01v");
    connack[1] = u8::try_from(connack.len() - 2).expect("it is short");
    connack[4] = u8::try_from(connack.len() - 5).expect("it is short");
    let refusing = || {
        ScriptedPeer::start(
            Script::new()
                .skip_packet()
                .send(connack.clone())
                .until_closed(),
        )
    };

    let peer = refusing();
    let json = error_json(&["sub", &peer.url(), "a"], 5);
    assert_eq!(
        (&json["reason_code"], &json["reason"]),
        (&json!(0x87), &json!("Not authorized"))
    );
    assert_eq!(json["reason_string"], "no\u{1b}[2J\ny");
    assert_eq!(json["user_properties"], json!([["k", "v"]]));

    let peer = refusing();
    error(
        &["pub", &peer.url(), "a", "x"],
        5,
        &format!(
            "cannot connect to {}: the server refused the connection: 0x87 Not authorized: no\\u{{1b}}[2J\\ny (check --username and --password-env or --password-file)",
            peer.url()
        ),
    );

    let peer = refusing();
    assert_eq!(
        mqtt5(&["pub", &peer.url(), "a", "--exit-reason-code"]).code,
        Some(0x87)
    );
}

#[test]
fn a_server_of_another_version_is_5() {
    let peer = ScriptedPeer::start(
        Script::new()
            .skip_packet()
            .send([0x20, 2, 0, 1])
            .until_closed(),
    );
    let json = error_json(&["pub", &peer.url(), "a"], 5);
    assert_eq!(
        json["hint"],
        "the server speaks another version of MQTT; this client needs MQTT 5"
    );
}

#[test]
fn passwords_come_from_the_environment_a_file_or_the_url() {
    let mut config = Config::default();
    config.access = Box::new(Users::new([("anna", "sec ret")]));
    let server = mqtt5_broker::Broker::new(config)
        .spawn_thread()
        .expect("it starts");
    let url = server.url();
    let login = |arguments: &[&str]| {
        let mut command = command(&["pub", "--username", "anna", "--qos", "1"]);
        Running::start(
            command
                .args(arguments)
                .env("SECRET", "sec ret")
                .env("WRONG", "x"),
        )
        .wait()
    };
    let directory = TempDir::new();
    let file = directory.path().join("password");
    std::fs::write(&file, "sec ret\n").expect("the directory is writable");
    let file = file.to_str().expect("it is text");
    login(&[&url, "a", "--password-env", "SECRET"]).assert_success();
    login(&[&url, "a", "--password-file", file]).assert_success();
    mqtt5(&["pub", &url.replace("//", "//anna:sec%20ret@"), "a"]).assert_success();
    for refused in [&[&url, "a"][..], &[&url, "a", "--password-env", "WRONG"]] {
        let outcome = login(refused);
        assert_eq!(outcome.code, Some(5));
        assert_eq!(parse(outcome.error_line())["reason_code"], 0x86);
    }
    let outcome = mqtt5(&["pub", &url.replace("//", "//anna:wrong-secret@"), "a"]);
    assert!(
        outcome.code == Some(5) && !outcome.stderr.contains("wrong-secret"),
        "{outcome:?}"
    );
}

#[test]
fn a_server_that_ends_the_connection_is_5() {
    for broker in Broker::each() {
        let url = broker.url();
        let twin = [&url, "a", "--client-id", "twin"];
        // Mosquitto closes without a word, and then the two would fight.
        let alone = match broker {
            Broker::Embedded(_) => &[][..],
            Broker::Mosquitto(_) => &["--no-reconnect"],
        };
        let first = Running::subscribed(&[&twin, alone].concat());
        let second = Running::subscribed(&twin);
        let outcome = first.wait();
        let error = parse(outcome.error_line());
        match outcome.code {
            Some(5) => assert_eq!(error["hint"], "another client uses the same --client-id"),
            code => assert!(
                code == Some(3) && matches!(broker, Broker::Mosquitto(_)),
                "{error}"
            ),
        }
        drop(second);
    }
}

#[test]
fn a_server_that_accepts_and_then_ends_the_connection_was_reached() {
    // CONNACK with an Assigned Client Identifier, and DISCONNECT, Server shutting down.
    let answer = [0x20, 7, 0, 0, 4, 0x12, 0, 1, b'c', 0xe0, 1, 0x8b];
    let run = |command: &str| {
        let peer = ScriptedPeer::start(Script::new().skip_packet().send(answer).until_closed());
        let arguments = [command, &peer.url(), "a", "-q", "1"];
        let once = match command {
            "sub" => &["--no-reconnect"][..],
            _ => &[],
        };
        let json = error_json(&[&arguments, once].concat(), 5);
        let text = json["error"].as_str().expect("text").to_owned();
        (text, peer.url())
    };
    let end = "the server ended the connection: 0x8b Server shutting down";
    let (text, url) = run("sub");
    assert_eq!(text, format!("the connection to {url} was lost: {end}"));
    // The message may have been accepted before the end was seen.
    let (text, url) = run("pub");
    let lost = format!("the connection to {url} was lost: {end}");
    let is_told = text == lost || (text.starts_with("cannot publish") && text.ends_with(end));
    assert!(is_told, "{text}");
}

#[test]
fn a_rejected_message_is_6() {
    // PUBACK, Not authorized, with a Reason String.
    let puback = [
        0x40, 0x0b, 0, 1, 0x87, 7, 0x1f, 0, 4, b'n', b'o', b'\x1b', b'!',
    ];
    let script = Script::new()
        .skip_packet()
        .send(CONNACK)
        .skip_packet()
        .send(puback)
        .until_closed();
    let peer = ScriptedPeer::start(script.clone());
    let arguments = [
        "pub",
        &peer.url(),
        "a",
        "x",
        "--qos",
        "1",
        "--client-id",
        "c",
    ];
    let json = error_json(&arguments, 6);
    assert_eq!(
        (&json["reason_code"], &json["reason_string"]),
        (&json!(0x87), &json!("no\u{1b}!"))
    );
    // DISCONNECT, Normal disconnection, is the last packet.
    let received = peer.join().expect("the script is played");
    assert!(received.ends_with(&[0xe0, 0]), "{received:?}");

    let peer = ScriptedPeer::start(script);
    let arguments = [
        "pub",
        &peer.url(),
        "a",
        "x",
        "--qos",
        "1",
        "--client-id",
        "c",
    ];
    error(
        &arguments,
        6,
        "cannot publish to `a`: the server rejected the message: 0x87 Not authorized: no\\u{1b}!",
    );
}

#[test]
fn limits_of_the_server_are_6() {
    let broker = Mosquitto::tight();
    let url = broker.url();
    error(
        &["pub", &url, "a", "x", "--qos", "2"],
        6,
        "cannot publish to `a`: the server does not support this QoS (use a lower --qos)",
    );
    error(
        &["pub", &url, "a", "x", "--retain"],
        6,
        "cannot publish to `a`: the server does not support retained messages (leave --retain out)",
    );
    let long = "x".repeat(500);
    error(
        &["pub", &url, "a", &long, "--qos", "1"],
        6,
        "cannot publish to `a`: the message is too large (send a smaller message)",
    );
}

#[test]
fn a_rejected_subscription_is_6() {
    let suback = [0x90, 5, 0, 1, 0, 1, 0x87];
    let script = Script::new()
        .skip_packet()
        .send(CONNACK)
        .skip_packet()
        .send(suback)
        .skip_packet()
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let json = error_json(
        &["sub", &peer.url(), "open", "closed/#", "--client-id", "c"],
        6,
    );
    assert_eq!(
        json["error"],
        "cannot subscribe to `closed/#` (0x87 Not authorized): the server rejected the subscription: 0x87 Not authorized"
    );
}

#[test]
fn a_broken_protocol_is_7() {
    // PINGRESP before CONNACK, something that is no MQTT at all, a second CONNACK.
    let second = [CONNACK, CONNACK].concat();
    for answer in [&[0xd0, 0][..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &second] {
        let peer = ScriptedPeer::start(Script::new().skip_packet().send(answer).until_closed());
        let url = peer.url();
        let arguments = ["sub", &url, "a", "--client-id", "c", "--no-reconnect"];
        let json = error_json(&arguments, 7);
        let text = json["error"].as_str().expect("text");
        assert!(
            text.contains(": the server broke the protocol: ") && !text.contains("violation"),
            "{json}"
        );
    }
}

#[test]
fn a_disconnect_before_connack_is_7_and_the_hint_is_the_server_s() {
    let answer = [0xe0, 1, 0x87];
    let peer = ScriptedPeer::start(Script::new().skip_packet().send(answer).until_closed());
    error(
        &["sub", &peer.url(), "a", "--client-id", "c"],
        7,
        &format!(
            "cannot connect to {}: the server broke the protocol: 0x87 Not authorized: DISCONNECT before CONNACK (check --username and --password-env or --password-file)",
            peer.url()
        ),
    );
}

#[test]
fn a_server_that_does_not_answer_is_8() {
    let peer = ScriptedPeer::start(Script::new().skip_packet().until_closed());
    error(
        &["pub", &peer.url(), "a", "--connect-timeout", "0.2"],
        8,
        &format!(
            "cannot connect to {}: the connection was not made in time (does an MQTT broker listen there? --connect-timeout gives it more time)",
            peer.url()
        ),
    );
    let peer = ScriptedPeer::start(
        Script::new()
            .skip_packet()
            .send(CONNACK)
            .skip_packet()
            .until_closed(),
    );
    error(
        &[
            "pub",
            &peer.url(),
            "a",
            "-q",
            "1",
            "--timeout",
            "0.2",
            "--client-id",
            "c",
        ],
        8,
        "cannot publish to `a`: the publish did not complete in time (--timeout gives it more time)",
    );
}

#[test]
fn one_bad_line_ends_it_and_is_named() {
    let acknowledgements = [&CONNACK[..]].concat();
    let script = Script::new()
        .skip_packet()
        .send(acknowledgements)
        .skip_packet()
        .skip_packet()
        .send([0x40, 2, 0, 1, 0x40, 4, 0, 2, 0x99, 0])
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let outcome = crate::common::mqtt5_with_input(
        &["pub", &peer.url(), "a", "-l", "-q", "1", "--client-id", "c"],
        b"one\ntwo\n",
    );
    assert_eq!(outcome.code, Some(6));
    assert_eq!(outcome.json().len(), 1);
    let error = parse(outcome.error_line());
    assert_eq!(
        error["error"],
        "cannot publish line 2 to `a`: the server rejected the message: 0x99 Payload format invalid"
    );
}

#[test]
fn a_connection_refused_by_mosquitto_is_told() {
    let broker = mqtt5_testkit::MosquittoSettings::normal()
        .option("allow_anonymous", "false")
        .start();
    let json = error_json(&["pub", &broker.url(), "a"], 5);
    assert_eq!(
        json["hint"],
        "check --username and --password-env or --password-file"
    );
    assert!(mosquitto_pub(broker.addr(), &["-t", "a", "-m", "x"]).code != Some(0));
    assert!(broker.wait_for_log(PATIENCE, "not authorised").is_some());
}
