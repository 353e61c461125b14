//! Every adapter over the WebSocket of a real broker (section 6).

#[macro_use]
mod transport;

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use mqtt5_blocking::{ConnectionErrorKind, DialError, Options};
use mqtt5_testkit::{Mosquitto, MosquittoSettings};
use mqtt5_transport::StackError;
use transport::{assert_left_politely, exchange_blocking};

fn broker() -> (Mosquitto, String) {
    let broker = MosquittoSettings::normal()
        .second_listener("protocol websockets")
        .start();
    let url = format!("ws://{}/mqtt", broker.second_addr());
    (broker, url)
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
    let (broker, url) = broker();
    exchange_blocking(url);
    assert_left_politely(&broker);
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
    let (broker, _) = broker();
    let url = format!("ws://{}", broker.addr());
    let errors = [
        mqtt5_blocking::connect(url.as_str()).unwrap_err(),
        smol::block_on(mqtt5_async_std::connect(url.as_str())).unwrap_err(),
    ];
    for error in errors {
        let error = error.dial_error().expect("no transport was opened");
        let known = DialError::from(StackError::Truncated);
        assert_eq!(error, &known);
    }
}
