//! Debian's `mosquitto_pub` and `mosquitto_sub` against the listener.
//!
//! Without them these tests fail and say what to install.

use std::time::Duration;

use mqtt5_broker::{Broker, Config, Server, Users, spawn};
use mqtt5_testkit::{Received, Subscriber, mosquitto_pub, mosquitto_sub, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

fn publish(broker: &Server, arguments: &[&str]) {
    mosquitto_pub(broker.address(), arguments).assert_success();
}

fn subscribe(broker: &Server, arguments: &[&str]) -> Subscriber {
    mosquitto_sub(broker.address(), arguments)
}

#[track_caller]
fn receive(subscriber: &mut Subscriber) -> Received {
    match subscriber.receive(PATIENCE) {
        Some(received) => received,
        None => panic!("no message: {}", subscriber.debug()),
    }
}

#[test]
fn every_qos_to_every_qos() {
    let broker = spawn().expect("a broker");
    for granted in 0..=2 {
        let mut subscriber = subscribe(&broker, &["-t", "t/#", "-q", &granted.to_string()]);
        for published in 0..=2 {
            let payload = format!("{published} to {granted}");
            publish(
                &broker,
                &["-t", "t/x", "-m", &payload, "-q", &published.to_string()],
            );
            let received = receive(&mut subscriber);
            assert_eq!(received.topic, "t/x");
            assert_eq!(received.payload, payload.as_bytes());
            assert_eq!(received.qos, published.min(granted));
            assert!(!received.retain);
        }
        assert!(subscriber.stop());
    }
    assert!(wait_until(PATIENCE, || broker.statistics().connections == 0));
    assert_eq!(broker.statistics().waiting, 0);
}

#[test]
fn every_property_of_a_message() {
    let broker = spawn().expect("a broker");
    let identified = [
        "-t",
        "t",
        "-q",
        "2",
        "-D",
        "subscribe",
        "subscription-identifier",
        "77",
    ];
    let mut subscriber = subscribe(&broker, &identified);
    for qos in ["0", "1", "2"] {
        let mut arguments = vec!["-t", "t", "-m", "x", "-q", qos];
        for property in [
            &["payload-format-indicator", "1"][..],
            &["message-expiry-interval", "3600"],
            &["content-type", "text/plain"],
            &["response-topic", "reply/here"],
            &["correlation-data", "c-1"],
            &["topic-alias", "5"],
            &["user-property", "b", "1"],
            &["user-property", "a", "2"],
            &["user-property", "b", "1"],
        ] {
            arguments.extend(["-D", "publish"]);
            arguments.extend(property);
        }
        publish(&broker, &arguments);
        let received = receive(&mut subscriber);
        assert_eq!(received.qos.to_string(), qos);
        assert_eq!(received.payload, b"x");
        assert_eq!(received.payload_format_indicator, Some(1));
        assert_eq!(received.message_expiry_interval, Some(3_600));
        assert_eq!(received.content_type.as_deref(), Some("text/plain"));
        assert_eq!(received.response_topic.as_deref(), Some("reply/here"));
        assert_eq!(received.correlation_data.as_deref(), Some("c-1"));
        assert_eq!(received.user_properties.as_deref(), Some("b:1 a:2 b:1"));
        assert_eq!(received.subscription_identifier, Some(77));
    }
}

#[test]
fn retained_messages() {
    let broker = spawn().expect("a broker");
    publish(&broker, &["-t", "r/1", "-m", "kept", "-r", "-q", "1"]);
    let mut subscriber = subscribe(&broker, &["-t", "r/+", "-q", "1"]);
    let received = receive(&mut subscriber);
    assert!(received.retain);
    assert_eq!(
        (received.payload.as_slice(), received.qos),
        (&b"kept"[..], 1)
    );
    publish(&broker, &["-t", "r/1", "-n", "-r"]);
    assert_eq!(receive(&mut subscriber).payload, b"");
    assert_eq!(broker.statistics().retained, 0);
}

#[test]
fn a_will_after_a_kill() {
    let broker = spawn().expect("a broker");
    let mut watcher = subscribe(&broker, &["-t", "gone", "-q", "2"]);
    let mortal = subscribe(
        &broker,
        &[
            "-t",
            "x",
            "--will-topic",
            "gone",
            "--will-payload",
            "bye",
            "--will-qos",
            "2",
        ],
    );
    drop(mortal);
    let received = receive(&mut watcher);
    assert_eq!(
        (received.payload.as_slice(), received.qos),
        (&b"bye"[..], 2)
    );
}

#[test]
fn a_session_that_waits() {
    let broker = spawn().expect("a broker");
    // -c also asks for a session that does not expire.
    let session = ["-t", "t", "-q", "2", "-i", "sleeper", "-c"];
    assert!(subscribe(&broker, &session).stop());
    assert!(wait_until(PATIENCE, || broker.statistics().connections == 0));
    for qos in ["0", "1", "2"] {
        publish(&broker, &["-t", "t", "-m", qos, "-q", qos]);
    }
    let mut back = subscribe(&broker, &session);
    for expected in ["1", "2"] {
        assert_eq!(receive(&mut back).payload, expected.as_bytes());
    }
}

#[test]
fn shared_subscriptions() {
    let broker = spawn().expect("a broker");
    let mut first = subscribe(&broker, &["-t", "$share/g/t", "-q", "1"]);
    let mut second = subscribe(&broker, &["-t", "$share/g/t", "-q", "1"]);
    for payload in ["a", "b", "c", "d"] {
        publish(&broker, &["-t", "t", "-m", payload, "-q", "1"]);
    }
    assert_eq!(receive(&mut first).payload, b"a");
    assert_eq!(receive(&mut second).payload, b"b");
    assert_eq!(receive(&mut first).payload, b"c");
    assert_eq!(receive(&mut second).payload, b"d");
}

#[test]
fn a_refused_password() {
    let mut config = Config::default();
    config.access = Box::new(Users::new([("anna", "secret")]));
    let broker = Broker::new(config).spawn_thread().expect("a broker");
    publish(
        &broker,
        &[
            "-t", "t", "-m", "x", "-u", "anna", "-P", "secret", "-q", "1",
        ],
    );
    let refused = mosquitto_pub(
        broker.address(),
        &["-t", "t", "-m", "x", "-u", "anna", "-P", "wrong"],
    );
    assert_ne!(refused.code, Some(0));
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(
        said.to_lowercase().contains("bad user name or password"),
        "{said}"
    );
}

#[test]
fn limits_that_it_is_told() {
    let mut config = Config::default();
    config.receive_maximum = 1;
    config.maximum_packet_size = 300;
    let broker = Broker::new(config).spawn_thread().expect("a broker");
    let mut subscriber = subscribe(&broker, &["-t", "t", "-q", "2"]);
    for n in 0..20 {
        publish(&broker, &["-t", "t", "-m", &n.to_string(), "-q", "2"]);
        assert_eq!(receive(&mut subscriber).payload, n.to_string().as_bytes());
    }
    // mosquitto_pub keeps to the announced Maximum Packet Size by itself.
    let too_large = "x".repeat(400);
    let _ = mosquitto_pub(broker.address(), &["-t", "t", "-m", &too_large, "-q", "1"]);
    publish(&broker, &["-t", "t", "-m", "small", "-q", "1"]);
    assert_eq!(receive(&mut subscriber).payload, b"small");
}

#[test]
fn many_messages_in_one_go() {
    let broker = spawn().expect("a broker");
    for qos in ["0", "1", "2"] {
        let mut subscriber = subscribe(&broker, &["-t", "t", "-q", qos, "-C", "1000"]);
        publish(
            &broker,
            &["-t", "t", "-m", "x", "-q", qos, "--repeat", "1000"],
        );
        assert!(subscriber.wait_for_end(PATIENCE), "{}", subscriber.debug());
        assert!(wait_until(PATIENCE, || subscriber.lines().len() == 1_000));
    }
}
