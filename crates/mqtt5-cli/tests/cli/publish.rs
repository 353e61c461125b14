//! `mqtt5 pub`, and what `mosquitto_sub` receives from it.

use crate::common::{Broker, PATIENCE, command, mqtt5, mqtt5_with_input};
use mqtt5_testkit::{Received, TempDir, mosquitto_pub, mosquitto_sub};

/// Every property of PUBLISH that a client may send, except an alias, which no receiver sees.
const PROPERTIES: &[&str] = &[
    "--payload-format",
    "text",
    "--expiry",
    "3600",
    "--content-type",
    "text/plain",
    "--response-topic",
    "answers/me",
    "--correlation-data",
    "hex:4142",
    "--user-property",
    "k=2",
    "--user-property",
    "k=1",
    "--user-property",
    "a=b=c",
];

#[test]
fn every_property_arrives_at_every_qos() {
    for broker in Broker::each() {
        for qos in 0..=2_u8 {
            let mut subscriber = mosquitto_sub(broker.addr(), &["-t", "sensors/#", "-q", "2"]);
            let (url, level) = (broker.url(), qos.to_string());
            let mut arguments = vec!["pub", &url, "sensors/a", "22.5 °C", "--qos", &level];
            arguments.extend(PROPERTIES);
            let outcome = mqtt5(&arguments).assert_success();
            let told = &outcome.json()[0];
            assert_eq!(told["acknowledged"], qos > 0, "{told}");
            assert_eq!(
                told["reason_code"],
                if qos > 0 {
                    0.into()
                } else {
                    serde_json::Value::Null
                }
            );

            let received = subscriber.receive(PATIENCE).expect("it arrives");
            let expected = Received {
                topic: "sensors/a".into(),
                qos,
                payload: "22.5 °C".into(),
                content_type: Some("text/plain".into()),
                response_topic: Some("answers/me".into()),
                message_expiry_interval: received.message_expiry_interval,
                payload_format_indicator: Some(1),
                user_properties: Some("k:2 k:1 a:b=c".into()),
                correlation_data: Some("AB".into()),
                ..Received::default()
            };
            assert_eq!(received, expected, "{broker:?}");
            let expiry = received.message_expiry_interval.expect("it has an expiry");
            assert!((3_598..=3_600).contains(&expiry), "{expiry}");
        }
    }
}

#[test]
fn payloads_come_from_arguments_files_and_pipes() {
    let broker = Broker::embedded();
    let url = broker.url();
    let directory = TempDir::new();
    let file = directory.path().join("payload");
    std::fs::write(&file, [0xff, 0, b'\n']).expect("the directory is writable");
    let file = file.to_str().expect("it is text");
    let mut subscriber = mosquitto_sub(broker.addr(), &["-t", "t", "-q", "1"]);
    /// Arguments, standard input, the payloads that arrive.
    type Row<'a> = (&'a [&'a str], &'a [u8], &'a [&'a [u8]]);
    let table: [Row<'_>; 8] = [
        (&["x"], b"", &[b"x"]),
        (&[], b"", &[b""]),
        (&["-5.5"], b"", &[b"-5.5"]),
        (&["--", "--x"], b"", &[b"--x"]),
        (&["--file", file], b"", &[&[0xff, 0, b'\n']]),
        (&["--stdin"], b"two\nlines\n", &[b"two\nlines\n"]),
        (
            &["--stdin-lines"],
            b"one\r\n\ntwo\xff\nlast",
            &[b"one", b"", b"two\xff", b"last"],
        ),
        (&["--stdin-lines"], b"", &[]),
    ];
    for (arguments, input, expected) in table {
        let mut all = vec!["pub", "--qos", "1", &url, "t"];
        all.extend(arguments);
        let outcome = mqtt5_with_input(&all, input).assert_success();
        assert_eq!(outcome.json().len(), expected.len(), "{arguments:?}");
        for payload in expected {
            assert_eq!(
                subscriber.receive(PATIENCE).expect("it arrives").payload,
                *payload,
                "{arguments:?}"
            );
        }
    }
    assert_eq!(subscriber.lines().len(), 10);
}

#[test]
fn many_lines_arrive_in_order() {
    for broker in Broker::each() {
        for qos in ["0", "1", "2"] {
            let input: String = (0..900).map(|line| format!("{line}\n")).collect();
            let mut subscriber = mosquitto_sub(broker.addr(), &["-t", "t", "-q", "2"]);
            let url = broker.url();
            let arguments = ["pub", "-q", qos, &url, "t", "-l"];
            let outcome = mqtt5_with_input(&arguments, input.as_bytes()).assert_success();
            let numbers = outcome.json();
            let numbers = numbers.iter().filter_map(|told| told["line"].as_u64());
            assert!(numbers.eq(1..=900), "{broker:?}");
            // Mosquitto may lose QoS 0, and does not always finish QoS 2 with its own subscriber.
            let complete = match broker {
                Broker::Embedded(_) => true,
                Broker::Mosquitto(_) => qos == "1",
            };
            for line in (0..900).filter(|_| complete) {
                let received = subscriber.receive(PATIENCE).expect("it arrives");
                assert_eq!(received.payload, line.to_string().as_bytes());
            }
        }
    }
}

#[test]
fn retained_messages_are_kept_and_removed() {
    for broker in Broker::each() {
        let url = broker.url();
        mqtt5(&[
            "pub", &url, "kept", "value", "--retain", "--qos", "1", "--quiet",
        ])
        .assert_success();
        let received = mosquitto_sub(broker.addr(), &["-t", "kept"])
            .receive(PATIENCE)
            .expect("it was kept");
        assert!(received.retain && received.payload == b"value");
        mqtt5(&["pub", &url, "kept", "--retain", "--qos", "1"]).assert_success();
        let mut later = mosquitto_sub(broker.addr(), &["-t", "kept"]);
        mosquitto_pub(broker.addr(), &["-t", "kept", "-m", "live"]).assert_success();
        assert!(
            !later.receive(PATIENCE).expect("a message").retain,
            "nothing was kept"
        );
    }
}

#[test]
fn the_outcome_is_told() {
    for broker in Broker::each() {
        let url = broker.url();
        let outcome =
            mqtt5(&["pub", &url, "nobody/there", "x", "--qos", "1", "--retain"]).assert_success();
        let expected = serde_json::json!({
            "topic": "nobody/there", "qos": 1, "retain": true, "size": 1, "acknowledged": true, "reason_code": 16,
            "reason": "No matching subscribers",
        });
        assert_eq!(outcome.json(), [expected]);
        assert!(outcome.stderr.is_empty(), "{outcome:?}");
        let text =
            mqtt5(&["pub", &url, "a", "x", "--qos", "1", "--output", "text"]).assert_success();
        assert_eq!(
            text.stdout,
            "published to a: 0x10 No matching subscribers\n"
        );
        let text = mqtt5(&["pub", &url, "a", "x", "--output", "text"]).assert_success();
        assert_eq!(text.stdout, "sent to a at QoS 0, which has no answer\n");
        let quiet = mqtt5(&["pub", &url, "a", "x", "-q", "1", "--quiet"]).assert_success();
        assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
    }
}

#[test]
fn the_url_can_come_from_the_environment() {
    let broker = Broker::embedded();
    let mut subscriber = mosquitto_sub(broker.addr(), &["-t", "#"]);
    let outcome = command(&["pub", "a/b", "x"])
        .env("MQTT_URL", broker.url())
        .output()
        .expect("it runs");
    assert!(outcome.status.success());
    assert_eq!(
        subscriber.receive(PATIENCE).expect("it arrives").topic,
        "a/b"
    );
}

#[test]
fn a_will_with_its_properties_is_published_when_the_client_dies() {
    for broker in Broker::each() {
        let mut subscriber = mosquitto_sub(broker.addr(), &["-t", "will/#", "-q", "2"]);
        let url = broker.url();
        let client = crate::common::Running::subscribed(&[
            &url,
            "x",
            "--client-id",
            "w",
            "--will-topic",
            "will/a",
            "--will-payload",
            "base64:Z29uZQ==",
            "--will-qos",
            "2",
            "--will-retain",
            "--will-content-type",
            "t/x",
            "--will-response-topic",
            "r",
            "--will-correlation-data",
            "c",
            "--will-expiry",
            "60",
            "--will-payload-format",
            "text",
            "--will-user-property",
            "k=v",
        ]);
        client.signal("KILL");
        let received = subscriber.receive(PATIENCE).expect("the will is published");
        let expected = Received {
            topic: "will/a".into(),
            qos: 2,
            payload: b"gone".into(),
            content_type: Some("t/x".into()),
            response_topic: Some("r".into()),
            message_expiry_interval: received.message_expiry_interval,
            payload_format_indicator: Some(1),
            user_properties: Some("k:v".into()),
            correlation_data: Some("c".into()),
            ..Received::default()
        };
        assert_eq!(received, expected);
        let mut later = mosquitto_sub(broker.addr(), &["-t", "will/a"]);
        let kept = later.receive(PATIENCE).expect("it is retained");
        assert!(kept.retain);
    }
}
