//! Sessions, seen through a real broker (3.1.2.4, 3.2.2.1.1, 4.1).

mod interop;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use interop::{PATIENCE, Peer, Stopwatch, filter, lasting, properties, texts, topic};
use mqtt5_proto::packet::{Connect, Delivery, Publish};
use mqtt5_proto::{
    Config, DisconnectReason, Packet, PacketId, Properties, Property, ProtocolVersion, QoS,
    ReasonCode,
};
use mqtt5_testkit::Mosquitto;

const QOS: QoS = QoS::AtLeastOnce;

#[test]
fn resumes_with_queued_messages() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    let mut sleeper = Peer::lasting(broker.addr(), "sleeper");
    sleeper.subscribe(&[filter("t/+", QoS::ExactlyOnce)]);
    for is_polite in [true, false] {
        if is_polite {
            sleeper.disconnect(DisconnectReason::Normal, Properties::EMPTY);
        } else {
            sleeper.cut();
        }
        for (qos, payload) in [(QOS, "1"), (QoS::ExactlyOnce, "2"), (QOS, "3")] {
            publisher.say("t/x", qos, payload);
        }

        assert!(sleeper.connect(&lasting("sleeper")).session_present);
        let received = sleeper.settled();
        assert_eq!(texts(&received), ["1", "2", "3"]);
        let qos: Vec<QoS> = received.iter().map(|message| message.qos()).collect();
        assert_eq!(qos, [QOS, QoS::ExactlyOnce, QOS]);
        // The subscription is there too, without a SUBSCRIBE.
        publisher.say("t/y", QoS::AtMostOnce, "live");
        assert_eq!(sleeper.receive().text(), "live");
    }
}

#[test]
fn unknown_client_gets_a_new_session() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    let mut other = Peer::lasting(broker.addr(), "other");
    other.subscribe(&[filter("t", QOS)]);

    let mut unknown = Peer::new(broker.addr());
    let accepted = unknown.connect(&lasting("unknown"));
    assert!(!accepted.session_present);
    publisher.say("t", QOS, "for others");
    unknown.assert_nothing();
    assert_eq!(other.receive().text(), "for others");

    // It is a session that is kept.
    unknown.subscribe(&[filter("t", QOS)]);
    unknown.cut();
    publisher.say("t", QOS, "for both");
    assert!(unknown.connect(&lasting("unknown")).session_present);
    assert_eq!(unknown.receive().text(), "for both");
}

#[test]
fn session_present_tells_whether_state_is_there() {
    let broker = Mosquitto::start();
    let mut peer = Peer::new(broker.addr());
    let clean = Connect {
        clean_start: true,
        ..lasting("peer")
    };
    let ends_with_its_connection = Connect {
        clean_start: false,
        ..Connect::new("peer")
    };
    for (connect, expected) in [
        (lasting("peer"), false),
        (lasting("peer"), true),
        (lasting("peer"), true),
        (clean, false),
        (ends_with_its_connection, true),
        (ends_with_its_connection, false),
        (lasting("peer"), false),
    ] {
        let accepted = peer.connect(&connect);
        assert_eq!(accepted.session_present, expected, "{connect:?}");
        assert_eq!(accepted.reason, ReasonCode::SUCCESS);
        peer.cut();
    }
}

#[test]
fn session_is_gone_after_its_expiry() {
    let broker = Mosquitto::start();
    let mut publisher = Peer::connected(broker.addr(), "publisher");
    let expiry = [Property::SessionExpiryInterval(1)];
    let short = Connect {
        properties: properties(&expiry),
        ..lasting("short")
    };
    let mut short_lived = Peer::new(broker.addr());
    short_lived.connect(&short);
    let mut long_lived = Peer::lasting(broker.addr(), "long");
    for peer in [&mut short_lived, &mut long_lived] {
        peer.subscribe(&[filter("t", QOS)]);
        peer.cut();
    }
    let stopwatch = Stopwatch::start();
    publisher.say("t", QOS, "queued");
    // One second of the interval, one in which Mosquitto looks, and some for a machine that is busy.
    stopwatch.wait_for(Duration::from_secs(4));

    assert!(long_lived.connect(&lasting("long")).session_present);
    assert_eq!(texts(&long_lived.settled()), ["queued"]);
    assert!(!short_lived.connect(&short).session_present);
    publisher.say("t", QOS, "later");
    short_lived.assert_nothing();
    assert_eq!(long_lived.receive().text(), "later");
}

#[test]
fn an_assumed_session_swallows_no_message() {
    swallows_no_message(Mosquitto::start().addr());
}

#[test]
fn an_assumed_session_swallows_no_message_embedded() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    swallows_no_message(broker.address());
}

/// The server holds a message of an earlier process, and this process begins with its identifier; that message, too, is
/// finished then. Mosquitto knows another message by its content, so that is the same.
fn swallows_no_message(address: SocketAddr) {
    for qos in [QoS::ExactlyOnce, QOS] {
        let mut listener = Peer::connected(address, "listener");
        listener.subscribe(&[filter("t", QoS::ExactlyOnce)]);
        leave_unreleased(address, "process", "same");

        let mut config = Config::default();
        config.assume_session = true;
        let mut process = Peer::with(address, config);
        assert!(process.connect(&lasting("process")).session_present);
        for payload in ["same", "other"] {
            process.say("t", qos, payload);
        }
        assert_eq!(texts(&listener.settled()), ["same", "same", "other"]);
        process.disconnect(DisconnectReason::Normal, Properties::EMPTY);
    }
}

/// A process that ends after PUBREC, before its PUBREL.
fn leave_unreleased(address: SocketAddr, client_id: &str, payload: &str) {
    let id = PacketId::new(1).expect("an identifier");
    let mut socket = TcpStream::connect(address).expect("the broker listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket option");
    for packet in [
        Packet::Connect(lasting(client_id)),
        Packet::Publish(Publish {
            delivery: Delivery::ExactlyOnce { id, dup: false },
            retain: false,
            topic: Some(topic("t")),
            properties: Properties::EMPTY,
            payload: payload.as_bytes(),
        }),
    ] {
        let version = ProtocolVersion::V5;
        let mut bytes = vec![0; packet.encoded_len(version).expect("a packet")];
        packet.encode(version, &mut bytes).expect("a packet");
        socket.write_all(&bytes).expect("the broker reads");
    }
    let pubrec = [0x50, 2, 0, 1];
    let mut received = Vec::new();
    while !received.ends_with(&pubrec) {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("PUBREC");
        received.push(byte[0]);
    }
}
