//! `mqtt5 sub`, and what it receives from `mosquitto_pub`.

use std::process::{Command, Stdio};

use crate::common::{Broker, PATIENCE, Running, command, json_lines, mqtt5, parse};
use mqtt5_testkit::{Proxy, Script, ScriptedPeer, mosquitto_pub, wait_until};
use serde_json::{Value, json};

/// Takes what cannot be known in advance out of a line, after a look at it.
fn without_times(mut line: Value) -> Value {
    let object = line.as_object_mut().expect("an object");
    let at = object.remove("received_at").expect("every line has it");
    let at = at.as_str().expect("text");
    assert!(
        at.len() == 27 && at.starts_with("20") && at.ends_with('Z') && at.as_bytes()[10] == b'T',
        "{at}"
    );
    if let Some(expiry) = object.remove("message_expiry_interval") {
        assert!(
            (3_595..=3_600).contains(&expiry.as_u64().expect("a number")),
            "{expiry}"
        );
    }
    line
}

#[test]
fn every_property_arrives_at_every_qos() {
    for broker in Broker::each() {
        for qos in 0..=2_u8 {
            let url = broker.url();
            let subscriber =
                Running::subscribed(&[&url, "sensors/#", "--qos", "2", "--count", "1"]);
            let level = qos.to_string();
            mosquitto_pub(
                broker.addr(),
                &[
                    "-t",
                    "sensors/a",
                    "-m",
                    "22.5 °C",
                    "-q",
                    &level,
                    "-D",
                    "publish",
                    "payload-format-indicator",
                    "1",
                    "-D",
                    "publish",
                    "message-expiry-interval",
                    "3600",
                    "-D",
                    "publish",
                    "content-type",
                    "text/plain",
                    "-D",
                    "publish",
                    "response-topic",
                    "answers/me",
                    "-D",
                    "publish",
                    "correlation-data",
                    "AB",
                    "-D",
                    "publish",
                    "user-property",
                    "k",
                    "2",
                    "-D",
                    "publish",
                    "user-property",
                    "k",
                    "1",
                ],
            )
            .assert_success();
            let mut line = without_times(parse(&subscriber.line()));
            // Our subscriptions have an identifier of the client's choice where the server knows them.
            let identifiers = line
                .as_object_mut()
                .expect("an object")
                .remove("subscription_identifiers");
            assert!(
                identifiers.is_none_or(|list| list.as_array().is_some_and(|list| list.len() == 1))
            );
            let expected = json!({
                "topic": "sensors/a", "qos": qos, "retain": false, "dup": false, "payload": "22.5 °C",
                "payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "answers/me",
                "correlation_data": "AB", "user_properties": [["k", "2"], ["k", "1"]],
            });
            assert_eq!(line, expected, "{broker:?}");
            let outcome = subscriber.wait().assert_success();
            assert!(
                outcome.stdout.is_empty() && outcome.stderr.is_empty(),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let broker = Broker::embedded();
    let subscriber = Running::subscribed(&[&broker.url(), "t", "-c", "1"]);
    crate::common::mqtt5_with_input(
        &[
            "pub",
            &broker.url(),
            "t",
            "--stdin",
            "--correlation-data",
            "hex:fe",
        ],
        &[0xff, 0],
    )
    .assert_success();
    let line = parse(&subscriber.line());
    assert_eq!(
        (&line["payload_base64"], &line["correlation_data_base64"]),
        (&json!("/wA="), &json!("/g=="))
    );
}

#[test]
fn several_filters_are_one_subscription() {
    for broker in Broker::each() {
        let subscriber = Running::subscribed(&[&broker.url(), "a/+", "b/#", "-q", "1", "-c", "2"]);
        for topic in ["b/x/y", "c", "a/1"] {
            mosquitto_pub(broker.addr(), &["-t", topic, "-m", "x", "-q", "1"]).assert_success();
        }
        let topics =
            [subscriber.line(), subscriber.line()].map(|line| parse(&line)["topic"].clone());
        assert_eq!(topics, ["b/x/y", "a/1"]);
        subscriber.wait().assert_success();
    }
}

#[test]
fn retained_messages_come_as_asked_for() {
    for broker in Broker::each() {
        let url = broker.url();
        mosquitto_pub(broker.addr(), &["-t", "kept", "-m", "old", "-r", "-q", "1"])
            .assert_success();
        let all = mqtt5(&["sub", &url, "kept", "-c", "1"]).assert_success();
        assert_eq!(
            (&all.json()[0]["payload"], &all.json()[0]["retain"]),
            (&json!("old"), &json!(true))
        );

        let flags = [
            &url,
            "kept",
            "--retain-handling",
            "do-not-send",
            "--retain-as-published",
            "-c",
            "1",
        ];
        let none = Running::subscribed(&flags);
        mosquitto_pub(broker.addr(), &["-t", "kept", "-m", "new", "-r", "-q", "1"])
            .assert_success();
        let line = parse(&none.line());
        assert_eq!(
            (&line["payload"], &line["retain"]),
            (&json!("new"), &json!(true)),
            "{broker:?}"
        );
    }
}

#[test]
fn raw_output_is_the_payload() {
    let broker = Broker::embedded();
    for (flags, expected) in [
        (&["--raw"][..], &b"\x00\xff\x1b\n\n"[..]),
        (&["--raw", "-N"], b"\x00\xff\x1b\n"),
    ] {
        let url = broker.url();
        let mut arguments = vec!["sub", "--verbose", &url, "t", "-c", "1"];
        arguments.extend(flags);
        let mut child = command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stderr = child.stderr.take().expect("it is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut line)
            .expect("it tells");
        crate::common::mqtt5_with_input(&["pub", &url, "t", "--stdin"], b"\x00\xff\x1b\n")
            .assert_success();
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        assert_eq!(output.stdout, expected);
    }
}

#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    for broker in Broker::each() {
        let mut subscriber = Command::new("sh");
        let binary = env!("CARGO_BIN_EXE_mqtt5");
        let script = format!(
            "{{ '{binary}' sub --verbose {} t -q 1; echo code $? >&2; }} | head -n 1",
            broker.url()
        );
        let subscriber = Running::start(subscriber.args(["-c", &script]));
        assert!(subscriber.error_line().contains("subscribed"));
        let publish =
            || mosquitto_pub(broker.addr(), &["-t", "t", "-m", "x", "-q", "1"]).assert_success();
        publish();
        assert_eq!(parse(&subscriber.line())["payload"], "x");
        let mut told = None;
        // `head` ends some time after it wrote its line.
        wait_until(PATIENCE, || {
            publish();
            told = subscriber.try_error_line();
            told.is_some()
        });
        assert_eq!(told.as_deref(), Some("code 0"));
    }
}

#[test]
fn the_time_is_bounded() {
    for broker in Broker::each() {
        let outcome = mqtt5(&["sub", &broker.url(), "nothing", "--timeout", "0.2"]);
        assert_eq!(outcome.code, Some(8));
        assert!(
            outcome.stdout.is_empty() && outcome.stderr.is_empty(),
            "{outcome:?}"
        );
    }
}

#[test]
fn what_was_not_printed_is_delivered_again() {
    for broker in Broker::each() {
        let url = broker.url();
        let client = [
            &url,
            "jobs",
            "-q",
            "2",
            "--client-id",
            "w1",
            "--session-expiry",
            "600",
        ];
        let first = Running::subscribed(&[&client[..], &["-c", "1"]].concat());
        for payload in ["1", "2", "3", "4", "5"] {
            mosquitto_pub(broker.addr(), &["-t", "jobs", "-m", payload, "-q", "2"])
                .assert_success();
        }
        let mut received = vec![parse(&first.line())["payload"].clone()];
        first.wait().assert_success();
        for count in ["1", "3"] {
            let resumed = [&["sub"], &client[..], &["-c", count, "--clean-start=false"]].concat();
            let outcome = mqtt5(&resumed).assert_success();
            received.extend(outcome.json().iter().map(|line| line["payload"].clone()));
        }
        assert_eq!(received, ["1", "2", "3", "4", "5"], "{broker:?}");
    }
}

/// What is published while it is away arrives when it is back, and it says so.
#[test]
fn a_lost_connection_is_made_again() {
    for broker in Broker::each() {
        let proxy = Proxy::start(broker.addr());
        let url = proxy.url();
        let session = ["-q", "2", "--session-expiry", "600"];
        let subscriber = Running::subscribed(&[&[&url, "a", "-c", "2"], &session[..]].concat());
        let publish = |payload| {
            let arguments = ["-t", "a", "-m", payload, "-q", "2"];
            mosquitto_pub(broker.addr(), &arguments).assert_success();
        };
        publish("before");
        assert_eq!(parse(&subscriber.line())["payload"], "before");
        proxy.refuse(true);
        proxy.cut();
        let waiting = parse(&subscriber.error_line());
        assert_eq!(waiting["event"], "waiting");
        assert_eq!(waiting["error"], "the transport was closed");
        assert_eq!(waiting["attempt"], 2);
        publish("meanwhile");
        proxy.refuse(false);
        assert_eq!(parse(&subscriber.line())["payload"], "meanwhile");
        let outcome = subscriber.wait().assert_success();
        let told = json_lines(&outcome.stderr);
        let connected = json!({"event": "connected", "session_present": true});
        assert_eq!(told.last(), Some(&connected), "{told:?}");
    }
}

/// The server has forgotten everything, and does not allow any more what it allowed before.
#[test]
fn a_subscription_that_is_refused_later_is_lost() {
    let connack = [0x20, 3, 0, 0, 0];
    let script = Script::new()
        .skip_packet()
        .send(connack)
        .skip_packet()
        .send([0x90, 4, 0, 1, 0, 0])
        .next_connection()
        .skip_packet()
        .send(connack)
        .skip_packet()
        .send([0x90, 4, 0, 2, 0, 0x87])
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let outcome = mqtt5(&["sub", &peer.url(), "a", "--client-id", "c"]);
    assert_eq!(outcome.code, Some(6), "{outcome:?}");
    let told = json_lines(&outcome.stderr);
    let lost = told.iter().find(|line| line["event"] == "unsubscribed");
    assert_eq!(lost.expect("it is told")["filters"], json!(["a"]));
    let last = told.last().expect("an error");
    assert_eq!(last["error"], "the subscription is lost");
}

#[test]
fn the_first_connection_is_tried_again_on_request() {
    let broker = Broker::embedded();
    let proxy = Proxy::start(broker.addr());
    proxy.refuse(true);
    let url = proxy.url();
    let arguments = ["sub", &url, "a", "--retry", "--verbose", "-c", "1"];
    let subscriber = Running::start(&mut command(&arguments));
    let waiting = parse(&subscriber.error_line());
    assert_eq!(
        (&waiting["event"], &waiting["attempt"]),
        (&json!("waiting"), &json!(2))
    );
    proxy.refuse(false);
    while parse(&subscriber.error_line())["event"] != "subscribed" {}
    mosquitto_pub(broker.addr(), &["-t", "a", "-m", "x"]).assert_success();
    assert_eq!(parse(&subscriber.line())["payload"], "x");
    subscriber.wait().assert_success();
}

#[test]
fn options_of_a_subscription_reach_the_server() {
    // The options behind the filter: QoS, No Local, Retain As Published, Retain Handling.
    let table: [(&[&str], u8); 5] = [
        (&[], 0),
        (&["-q", "2"], 2),
        (&["--no-local"], 4),
        (&["--retain-as-published"], 8),
        (&["--retain-handling", "send-if-new"], 0x10),
    ];
    for (flags, options) in table {
        let script = Script::new()
            .skip_packet()
            .send([0x20, 3, 0, 0, 0])
            .skip_packet();
        let peer = ScriptedPeer::start(script);
        let url = peer.url();
        mqtt5(
            &[
                &["sub", &url, "zz/top", "--client-id", "c", "-u", "k=v"],
                &["--no-reconnect"][..],
                flags,
            ]
            .concat(),
        );
        let received = peer.join().expect("the script is played");
        assert!(received.ends_with(&[b"\x00\x06zz/top", &[options][..]].concat()));
        let property = b"\x26\x00\x01k\x00\x01v";
        assert!(
            received
                .windows(property.len())
                .any(|bytes| bytes == property)
        );
    }
}

#[test]
fn what_a_resumed_session_delivers_at_once_is_printed() {
    let connack = [0x20, 3, 1, 0, 0];
    let publish = b"\x32\x0a\x00\x04jobs\x00\x07\x00x";
    for _ in 0..10 {
        let script = Script::new()
            .skip_packet()
            .send([&connack[..], publish].concat())
            .skip_packet()
            // Who takes over a session it knows nothing of asks under an identifier of the upper half.
            .send([0x90, 4, 0x80, 0, 0, 1])
            .until_closed();
        let peer = ScriptedPeer::start(script);
        let url = peer.url();
        let client = [
            "--client-id",
            "w",
            "--session-expiry",
            "9",
            "--clean-start=false",
        ];
        let outcome = mqtt5(&[&["sub", &url, "jobs", "-q", "1", "-c", "1"], &client[..]].concat());
        assert_eq!(outcome.assert_success().json()[0]["payload"], "x");
        let received = peer.join().expect("the script is played");
        let acknowledged = received
            .windows(4)
            .filter(|bytes| *bytes == [0x40, 2, 0, 7]);
        assert_eq!(acknowledged.count(), 1);
    }
}
