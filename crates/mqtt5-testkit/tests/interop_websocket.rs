//! Every adapter over the WebSocket of a real broker (section 6).

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use mqtt5_blocking::{ConnectionErrorKind, DialError, DialErrorKind as Dial, Options};
use mqtt5_testkit::{Mosquitto, MosquittoSettings};

/// To the broker: more than a frame of ours and a buffer of a socket hold.
const LARGE: usize = 900_000;
/// From the broker, which sends it in several frames, 4 KiB at a time and about ten times a second.
const MEDIUM: usize = 20_000;
const SMALL: u32 = 50;

fn broker() -> (Mosquitto, String) {
    let broker = MosquittoSettings::normal()
        .second_listener("protocol websockets")
        .start();
    let url = format!("ws://{}/mqtt", broker.second_addr());
    (broker, url)
}

/// The same for every adapter whose operations are futures.
macro_rules! exchange {
    ($adapter:ident, $url:expr) => {{
        use $adapter::{QoS, connect};
        let client = connect($url).await.unwrap();
        let mut messages = client.subscribe("a/#").qos(QoS::ExactlyOnce).await.unwrap();
        for number in 0..SMALL {
            let publish = client.publish("a/small", number.to_string());
            drop(publish.qos(QoS::AtLeastOnce).start().await.unwrap());
        }
        for (topic, length) in [("b/large", LARGE), ("a/medium", MEDIUM)] {
            let publish = client.publish(topic, vec![b'x'; length]);
            publish.qos(QoS::ExactlyOnce).await.unwrap();
        }
        for number in 0..SMALL {
            let message = messages.recv().await.unwrap();
            assert_eq!(message.payload(), number.to_string().as_bytes());
        }
        assert!(messages.recv().await.unwrap().payload() == vec![b'x'; MEDIUM]);
        client.disconnect().await.unwrap();
    }};
}

#[tokio::test]
async fn tokio_publishes_and_subscribes() {
    let (broker, url) = broker();
    exchange!(mqtt5_tokio, url);
    assert_left_politely(&broker);
}

#[test]
fn async_io_publishes_and_subscribes() {
    let (broker, url) = broker();
    smol::block_on(async { exchange!(mqtt5_async_std, url) });
    assert_left_politely(&broker);
}

#[test]
fn blocking_publishes_and_subscribes() {
    use mqtt5_blocking::{QoS, connect};
    let (broker, url) = broker();
    let client = connect(url).unwrap();
    let subscribe = client.subscribe("a/#").qos(QoS::ExactlyOnce);
    let mut messages = subscribe.wait().unwrap();
    for number in 0..SMALL {
        let publish = client.publish("a/small", number.to_string());
        drop(publish.qos(QoS::AtLeastOnce).start().unwrap());
    }
    for (topic, length) in [("b/large", LARGE), ("a/medium", MEDIUM)] {
        let publish = client.publish(topic, vec![b'x'; length]);
        publish.qos(QoS::ExactlyOnce).wait().unwrap();
    }
    for number in 0..SMALL {
        let message = messages.next().unwrap();
        assert_eq!(message.payload(), number.to_string().as_bytes());
    }
    assert!(messages.next().unwrap().payload() == vec![b'x'; MEDIUM]);
    client.disconnect().wait().unwrap();
    assert_left_politely(&broker);
}

fn assert_left_politely(broker: &Mosquitto) {
    let left = broker.wait_for_log(Duration::from_secs(10), "Received DISCONNECT");
    assert!(left.is_some(), "{}", broker.log());
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = |adapter: &str| {
        let url = format!("ws://{}/{adapter}", server.local_addr().unwrap());
        Options::new(url).connect_timeout(Duration::from_millis(500))
    };
    let errors = [
        mqtt5_blocking::connect(options("blocking")).unwrap_err(),
        smol::block_on(mqtt5_async_std::connect(options("async-io"))).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ConnectionErrorKind::TimedOut, "{error}");
        // Whoever dialed has left, and the end of what it sent says so.
        let (mut socket, _) = server.accept().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut request = String::new();
        socket.read_to_string(&mut request).unwrap();
        assert!(request.starts_with("GET /"), "{request}");
    }
}

#[test]
fn what_is_no_websocket_is_told() {
    let (broker, url) = broker();
    let mqtt = format!("ws://{}", broker.addr());
    let elsewhere = url.replace("/mqtt", "/\u{e4}");
    for (url, kind) in [(mqtt, Dial::Other), (elsewhere, Dial::WebSocket)] {
        let errors = [
            mqtt5_blocking::connect(url.as_str()).unwrap_err(),
            smol::block_on(mqtt5_async_std::connect(url.as_str())).unwrap_err(),
        ];
        for error in errors {
            let dial = error.dial_error().map(DialError::kind);
            assert_eq!(dial, Some(kind), "{error}");
        }
    }
}
