//! `mqtt5 demo`, and that it can fail.

use serde_json::Value;

use crate::common::{Broker, Outcome, PATIENCE, mqtt5};
use crate::liar::{self, Lie, PUBACK, PUBCOMP, PUBLISH, kind};

const ADAPTERS: [&str; 3] = ["tokio", "async-std", "blocking"];

#[test]
fn every_guarantee_holds_on_every_adapter_and_broker() {
    for adapter in ADAPTERS {
        let mosquitto = Broker::mosquitto();
        let url = mosquitto.url();
        for broker in [&[][..], &["--broker", &url]] {
            let arguments = [
                &["demo", "--json", "--adapter", adapter, "-n", "2000"],
                broker,
            ]
            .concat();
            let outcome = mqtt5(&arguments).assert_success();
            let told = &outcome.json()[0];
            assert_eq!(
                (&told["ok"], &told["adapter"]),
                (&Value::from(true), &Value::from(adapter))
            );
            let results = told["results"].as_array().expect("a list");
            assert_eq!(results.len(), 3);
            for (qos, result) in results.iter().enumerate() {
                assert_eq!(result["qos"], qos);
                assert_eq!(result["sent"], 2_000);
                assert_eq!(result["broken"], serde_json::json!([]));
                if qos > 0 {
                    assert_eq!(
                        (&result["delivered"], &result["lost"]),
                        (&Value::from(2_000), &Value::from(0))
                    );
                }
                let latency = |name: &str| {
                    result["latency_microseconds"][name]
                        .as_f64()
                        .expect("a number")
                };
                assert!(
                    0.0 < latency("p50")
                        && latency("p50") <= latency("p99")
                        && latency("p99") <= latency("max")
                );
            }
        }
    }
}

#[test]
fn a_table_is_printed() {
    let outcome = mqtt5(&["demo", "-n", "100", "--size", "32"]).assert_success();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(
        lines[0].starts_with("adapter tokio, broker mqtt://127.0.0.1:")
            && lines[0].ends_with(" (embedded), 100 messages of 32 bytes at each QoS"),
        "{outcome:?}"
    );
    let titles: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(
        titles,
        [
            "QoS",
            "sent",
            "delivered",
            "lost",
            "duplicated",
            "messages/s",
            "p50",
            "p99",
            "max"
        ]
    );
    for qos in 0..3 {
        let cells: Vec<&str> = lines[3 + qos].split_whitespace().take(5).collect();
        assert_eq!(cells, [qos.to_string().as_str(), "100", "100", "0", "0"]);
    }
    assert!(lines[7].starts_with("Every guarantee held"), "{outcome:?}");
    assert!(outcome.stderr.is_empty(), "{outcome:?}");
}

#[test]
fn large_messages_fit() {
    mqtt5(&["demo", "-n", "40", "--size", "1000000", "--window", "20"]).assert_success();
}

#[test]
fn a_broker_with_a_lower_qos_is_checked_up_to_it() {
    let mosquitto = mqtt5_testkit::Mosquitto::tight();
    let outcome = mqtt5(&["demo", "-n", "100", "--broker", &mosquitto.url()]).assert_success();
    assert!(
        outcome.stdout.contains("Every guarantee held, up to QoS 1"),
        "{outcome:?}"
    );
}

/// Runs the demonstration through a link that lies.
fn with(lie: Lie, adapter: &str) -> Outcome {
    let broker = Broker::embedded();
    let url = liar::start(broker.addr(), lie);
    mqtt5(&[
        "demo",
        "--json",
        "-n",
        "500",
        "--idle-timeout",
        "0.8",
        "--adapter",
        adapter,
        "--broker",
        &url,
    ])
}

/// The QoS whose guarantees were broken, and the words for it.
#[track_caller]
fn assert_broken(outcome: &Outcome, expected: &str) {
    assert_eq!(outcome.code, Some(9), "{outcome:?}");
    assert_eq!(outcome.json()[0]["ok"], false);
    let error = crate::common::parse(outcome.error_line());
    assert_eq!(
        error["error"],
        format!("a guarantee was broken: {expected}")
    );
}

fn qos(publish: &[u8]) -> u8 {
    publish[0] >> 1 & 3
}

fn is_publish(packet: &[u8], level: u8) -> bool {
    kind(packet) == PUBLISH && qos(packet) == level
}

#[test]
fn a_lost_qos_0_message_is_reported_and_no_failure() {
    for adapter in ADAPTERS {
        let outcome = with(
            |packet, n| {
                if is_publish(&packet, 0) && n % 100 == 7 {
                    vec![]
                } else {
                    vec![packet]
                }
            },
            adapter,
        );
        let outcome = outcome.assert_success();
        assert_eq!(outcome.json()[0]["results"][0]["lost"], 5, "{adapter}");
    }
}

#[test]
fn a_lost_qos_1_message_is_found() {
    for adapter in ADAPTERS {
        let outcome = with(
            |packet, n| {
                if is_publish(&packet, 1) && n % 500 == 77 {
                    vec![]
                } else {
                    vec![packet]
                }
            },
            adapter,
        );
        assert_broken(&outcome, "QoS 1: 1 lost");
    }
}

#[test]
fn a_duplicate_of_a_qos_0_message_is_found() {
    for adapter in ADAPTERS {
        let outcome = with(
            |packet, n| {
                if n == 9 {
                    vec![packet.clone(), packet]
                } else {
                    vec![packet]
                }
            },
            adapter,
        );
        assert_broken(&outcome, "QoS 0: 1 duplicated");
    }
}

#[test]
fn a_duplicate_of_a_qos_2_message_is_not_delivered() {
    let outcome = with(
        |packet, _| {
            if is_publish(&packet, 2) {
                let mut again = packet.clone();
                again[0] |= 8;
                vec![packet, again]
            } else {
                vec![packet]
            }
        },
        "tokio",
    );
    outcome.assert_success();
}

#[test]
fn changed_content_is_found_at_every_qos() {
    let lies: [(Lie, &str); 3] = [
        (
            |packet, n| vec![flip(packet, 0, n)],
            "QoS 0: 1 not as they were sent",
        ),
        (
            |packet, n| vec![flip(packet, 1, n)],
            "QoS 1: 1 lost, 1 not as they were sent",
        ),
        (
            |packet, n| vec![flip(packet, 2, n)],
            "QoS 2: 1 lost, 1 not as they were sent",
        ),
    ];
    for (lie, expected) in lies {
        assert_broken(&with(lie, "tokio"), expected);
    }
}

/// Changes one bit of one payload of this QoS.
fn flip(mut packet: Vec<u8>, level: u8, publishes: u64) -> Vec<u8> {
    if is_publish(&packet, level) && publishes % 500 == 3 {
        let last = packet.len() - 1;
        packet[last] ^= 1;
    }
    packet
}

#[test]
fn missing_acknowledgements_are_found() {
    let lies: [(Lie, &str); 2] = [
        (
            |packet, _| {
                if kind(&packet) == PUBACK {
                    vec![]
                } else {
                    vec![packet]
                }
            },
            "QoS 1: ",
        ),
        (
            |packet, _| {
                if kind(&packet) == PUBCOMP {
                    vec![]
                } else {
                    vec![packet]
                }
            },
            "QoS 2: ",
        ),
    ];
    for adapter in ADAPTERS {
        for (lie, level) in lies {
            let outcome = with(lie, adapter);
            assert_eq!(outcome.code, Some(9), "{outcome:?}");
            let line = outcome.error_line();
            assert!(
                line.contains(level) && line.contains("not acknowledged"),
                "{adapter}: {line}"
            );
        }
    }
}

#[test]
fn a_lower_qos_is_found() {
    let outcome = with(
        |mut packet, n| {
            if is_publish(&packet, 1) && n == 700 {
                // QoS 0 has no packet identifier after the topic.
                let header = 3;
                let topic = usize::from(packet[header]) << 8 | usize::from(packet[header + 1]);
                packet.drain(header + 2 + topic..header + 4 + topic);
                packet[0] &= !6;
                let length = packet.len() - header;
                packet[1] = (length & 0x7f) as u8 | 0x80;
                packet[2] = (length >> 7) as u8;
            }
            vec![packet]
        },
        "tokio",
    );
    assert_broken(&outcome, "QoS 1: 1 lost, 1 not as they were sent");
}

#[test]
fn a_link_that_loses_all_of_qos_0_does_not_hang() {
    for adapter in ["tokio", "blocking"] {
        let broker = Broker::embedded();
        let drop_all: Lie = |packet, _| {
            if is_publish(&packet, 0) {
                vec![]
            } else {
                vec![packet]
            }
        };
        let url = liar::start(broker.addr(), drop_all);
        let arguments = [
            "demo",
            "--json",
            "-n",
            "2500",
            "--idle-timeout",
            "0.4",
            "--adapter",
            adapter,
            "--broker",
            &url,
        ];
        let outcome = mqtt5(&arguments).assert_success();
        let result = &outcome.json()[0]["results"][0];
        assert_eq!(
            (&result["sent"], &result["lost"]),
            (&Value::from(2_500), &Value::from(2_500))
        );
    }
}

#[test]
fn nothing_is_left_at_the_broker() {
    let server = mqtt5_broker::spawn().expect("it starts");
    for adapter in ADAPTERS {
        mqtt5(&[
            "demo",
            "-n",
            "100",
            "--adapter",
            adapter,
            "--broker",
            &server.url(),
        ])
        .assert_success();
        assert!(mqtt5_testkit::wait_until(PATIENCE, || server
            .statistics()
            .connections
            == 0));
        let left = server.statistics();
        assert_eq!(
            (left.sessions, left.retained, left.waiting),
            (0, 0, 0),
            "{adapter}"
        );
    }
}
