//! Real brokers, and real clients against them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use mqtt5_testkit::{Mosquitto, MosquittoSettings, Received, mosquitto_pub, mosquitto_sub};

const SOON: Duration = Duration::from_secs(10);
const BRIEFLY: Duration = Duration::from_millis(100);

#[test]
fn a_message_arrives_with_its_properties() {
    let broker = Mosquitto::start();
    let mut subscriber = mosquitto_sub(
        broker.addr(),
        &[
            "-t",
            "a/#",
            "-q",
            "2",
            "-D",
            "subscribe",
            "subscription-identifier",
            "7",
        ],
    );

    let mut arguments = vec!["-t", "a/b", "-m", "22.5 °C", "-q", "2"];
    for property in [
        &["content-type", "text/plain"][..],
        &["response-topic", "re/ply"],
        &["correlation-data", "\t-\t"],
        &["message-expiry-interval", "60"],
        &["payload-format-indicator", "1"],
        &["user-property", "k", "v w"],
        &["user-property", "k", "é"],
    ] {
        arguments.extend(["-D", "publish"].iter().chain(property));
    }
    let output = mosquitto_pub(broker.addr(), &arguments).assert_success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));

    let expected = Received {
        topic: "a/b".into(),
        qos: 2,
        retain: false,
        payload: "22.5 °C".into(),
        content_type: Some("text/plain".into()),
        response_topic: Some("re/ply".into()),
        correlation_data: Some("\t-\t".into()),
        message_expiry_interval: Some(60),
        payload_format_indicator: Some(1),
        subscription_identifier: Some(7),
        user_properties: Some("k:v w k:é".into()),
    };
    assert_eq!(subscriber.receive(SOON), Some(expected));
    assert_eq!(subscriber.receive(BRIEFLY), None);
    assert_eq!(subscriber.lines().len(), 1);
    assert!(subscriber.debug().contains("received SUBACK"));
    assert!(subscriber.stop());
    assert!(broker.wait_for_log(SOON, "Received DISCONNECT").is_some());
}

#[test]
fn a_client_that_fails_says_why() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let output = mosquitto_pub(closed, &["-t", "a", "-m", "x"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("Connection refused"), "{output:?}");
}

#[test]
fn two_brokers_do_not_meet() {
    let (first, second) = (Mosquitto::start(), Mosquitto::start());
    assert_ne!(first.port(), second.port());
    assert_eq!(first.url(), format!("mqtt://127.0.0.1:{}", first.port()));

    let mut subscriber = mosquitto_sub(second.addr(), &["-t", "#"]);
    let _ = mosquitto_pub(first.addr(), &["-t", "a", "-m", "x"]).assert_success();
    assert_eq!(subscriber.receive(BRIEFLY), None);
}

#[test]
fn the_tight_instance_announces_its_limits() {
    let broker = Mosquitto::tight();
    let mut socket = TcpStream::connect(broker.addr()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
        .write_all(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")
        .unwrap();
    let mut header = [0; 2];
    socket.read_exact(&mut header).unwrap();
    let mut connack = vec![0; header[1].into()];
    socket.read_exact(&mut connack).unwrap();

    assert_eq!((header[0], connack[1]), (0x20, 0), "{connack:x?}");
    let properties: [&[u8]; 6] = [
        b"\x24\x01",
        b"\x25\x00",
        b"\x21\x00\x03",
        b"\x27\x00\x00\x01\x90",
        b"\x13\x00\x14",
        b"\x22\x00\x02",
    ];
    for property in properties {
        let announced = connack
            .windows(property.len())
            .any(|bytes| bytes == property);
        assert!(announced, "{property:x?} is not in {connack:x?}");
    }
}

#[test]
fn a_restart_keeps_the_port_and_only_on_request_the_memory() {
    for persistent in [false, true] {
        let mut settings = MosquittoSettings::normal();
        if persistent {
            settings = settings.persistent();
        }
        let mut broker = settings.start();
        let (port, id) = (broker.port(), broker.id().unwrap());
        let _ = mosquitto_pub(broker.addr(), &["-t", "kept", "-m", "x", "-r"]).assert_success();

        broker.restart();
        assert_eq!(broker.port(), port);
        assert_ne!(broker.id(), Some(id));
        let mut subscriber = mosquitto_sub(broker.addr(), &["-t", "kept"]);
        assert_eq!(
            subscriber
                .receive(if persistent { SOON } else { BRIEFLY })
                .is_some(),
            persistent
        );
        assert_eq!(broker.log().matches("running").count(), 2);
    }
}

#[test]
fn a_stopped_broker_refuses_and_starts_again() {
    let mut broker = Mosquitto::start();
    broker.stop();
    assert_eq!(broker.id(), None);
    assert!(broker.log().contains("terminating"), "{}", broker.log());
    assert_ne!(
        mosquitto_pub(broker.addr(), &["-t", "a", "-n"]).code,
        Some(0)
    );

    broker.restart();
    broker.kill();
    broker.restart();
    let _ = mosquitto_pub(broker.addr(), &["-t", "a", "-n"]).assert_success();
}

#[test]
fn nothing_is_left_behind() {
    let broker = Mosquitto::start();
    let process = format!("/proc/{}", broker.id().unwrap());
    let command = std::fs::read(format!("{process}/cmdline")).unwrap();
    let command = String::from_utf8(command).unwrap();
    let config = Path::new(
        command
            .split('\0')
            .find(|word| word.ends_with(".conf"))
            .unwrap(),
    )
    .to_owned();
    assert!(config.is_file());

    drop(broker);
    assert!(!Path::new(&process).exists());
    assert!(!config.parent().unwrap().exists());
}

#[test]
#[should_panic(expected = "Mosquitto did not start")]
fn a_wrong_option_is_told() {
    MosquittoSettings::normal()
        .option("no_such_option", "1")
        .start();
}
