//! The proxy between sockets of our own, and before a real broker.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use mqtt5_testkit::{Direction, Mosquitto, Proxy, mosquitto_pub, mosquitto_sub, wait_until};

const SOON: Duration = Duration::from_secs(10);
const BRIEFLY: Duration = Duration::from_millis(100);

/// A proxy, and the two ends of a connection through it.
struct Pair {
    listener: TcpListener,
    proxy: Proxy,
}

impl Pair {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap());
        Self { listener, proxy }
    }

    /// The client's end and the broker's.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.addr()).unwrap();
        let (broker, _) = self.listener.accept().unwrap();
        for socket in [&client, &broker] {
            socket.set_read_timeout(Some(SOON)).unwrap();
        }
        (client, broker)
    }
}

fn read(socket: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// What can be read until the connection ends, in whatever way.
fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_silent(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(BRIEFLY)).unwrap();
    let outcome = socket.read(&mut [0]);
    socket.set_read_timeout(Some(SOON)).unwrap();
    outcome.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn forwards_counts_and_passes_the_end_on() {
    let pair = Pair::new();
    let (mut client, mut broker) = pair.connect();
    client.write_all(b"hello").unwrap();
    assert_eq!(read(&mut broker, 5), b"hello");
    broker.write_all(b"you").unwrap();
    assert_eq!(read(&mut client, 3), b"you");
    assert!(wait_until(SOON, || pair.proxy.bytes(Direction::ToBroker) == 5));
    assert!(wait_until(SOON, || pair.proxy.bytes(Direction::ToClient) == 3));

    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut broker), b"");
    broker.write_all(b"late").unwrap();
    drop(broker);
    assert_eq!(read_to_end(&mut client), b"late");
    assert!(wait_until(SOON, || pair.proxy.open_connections() == 0));
    assert_eq!(pair.proxy.connections(), 1);
}

#[test]
fn cuts_both_sides_and_only_what_is_there() {
    let pair = Pair::new();
    let (mut client, mut broker) = pair.connect();
    assert!(wait_until(SOON, || pair.proxy.open_connections() == 1));
    pair.proxy.cut();
    assert_eq!(read_to_end(&mut client), b"");
    assert_eq!(read_to_end(&mut broker), b"");

    let (mut client, mut broker) = pair.connect();
    client.write_all(b"again").unwrap();
    assert_eq!(read(&mut broker, 5), b"again");
    assert_eq!(pair.proxy.connections(), 2);
}

#[test]
fn cuts_once_after_exactly_so_many_bytes() {
    for bytes in [0, 1, 4, 7] {
        let pair = Pair::new();
        pair.proxy.cut_after(Direction::ToBroker, bytes);
        let (mut client, mut broker) = pair.connect();
        for byte in b"12345678" {
            // After the cut it fails, sooner or later.
            let _ = client.write_all(&[*byte]);
        }
        assert_eq!(read_to_end(&mut broker), &b"12345678"[..bytes as usize]);
        assert_eq!(read_to_end(&mut client), b"");

        let (mut client, mut broker) = pair.connect();
        client.write_all(b"12345678").unwrap();
        assert_eq!(read(&mut broker, 8), b"12345678");
    }
}

#[test]
fn cuts_without_waiting_for_a_byte_more() {
    let pair = Pair::new();
    pair.proxy.cut_after(Direction::ToClient, 3);
    let (mut client, mut broker) = pair.connect();
    client.write_all(b"the other way is free").unwrap();
    broker.write_all(b"123").unwrap();
    assert_eq!(read_to_end(&mut client), b"123");
}

#[test]
fn a_stall_keeps_everything_and_gives_it_later() {
    let pair = Pair::new();
    let (mut client, mut broker) = pair.connect();
    pair.proxy.stall(Direction::ToBroker, true);
    client.write_all(b"late").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(is_silent(&mut broker));
    broker.write_all(b"other way").unwrap();
    assert_eq!(read(&mut client, 9), b"other way");

    pair.proxy.stall(Direction::ToBroker, false);
    assert_eq!(read_to_end(&mut broker), b"late");
}

#[test]
fn a_stalled_connection_can_be_cut() {
    let pair = Pair::new();
    pair.proxy.stall(Direction::ToBroker, true);
    let (mut client, mut broker) = pair.connect();
    client.write_all(b"never").unwrap();
    assert!(is_silent(&mut broker));
    pair.proxy.cut();
    assert_eq!(read_to_end(&mut broker), b"");
    assert!(wait_until(SOON, || pair.proxy.open_connections() == 0));
}

#[test]
fn dribbles_byte_by_byte() {
    let pair = Pair::new();
    pair.proxy.dribble(true);
    let (mut client, mut broker) = pair.connect();
    client.write_all(&[7; 200]).unwrap();
    let mut reads = 0;
    let mut received = 0;
    while received < 200 {
        received += broker.read(&mut [0; 200]).unwrap();
        reads += 1;
    }
    assert!(reads > 20, "{reads} reads");
}

#[test]
fn refuses_only_new_connections() {
    let pair = Pair::new();
    let (mut client, mut broker) = pair.connect();
    pair.proxy.refuse(true);
    let mut refused = TcpStream::connect(pair.proxy.addr()).unwrap();
    assert_eq!(read_to_end(&mut refused), b"");
    client.write_all(b"x").unwrap();
    assert_eq!(read(&mut broker, 1), b"x");

    pair.proxy.refuse(false);
    let (mut client, mut broker) = pair.connect();
    client.write_all(b"y").unwrap();
    assert_eq!(read(&mut broker, 1), b"y");
    assert_eq!(pair.proxy.connections(), 3);
}

#[test]
fn a_broker_that_is_gone_ends_the_connection() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = Proxy::start(gone);
    let mut client = TcpStream::connect(proxy.addr()).unwrap();
    assert_eq!(read_to_end(&mut client), b"");
}

#[test]
fn dropping_ends_connections_that_block() {
    let Pair { listener, proxy } = Pair::new();
    let mut client = TcpStream::connect(proxy.addr()).unwrap();
    let (mut broker, _) = listener.accept().unwrap();
    // More than the sockets take, and nobody reads it.
    client.set_write_timeout(Some(BRIEFLY)).unwrap();
    client.write_all(&vec![0; 64 << 20]).unwrap_err();
    proxy.stall(Direction::ToClient, true);
    broker.write_all(b"x").unwrap();

    drop(proxy);
    read_to_end(&mut broker);
}

#[test]
fn real_clients_pass() {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.addr());
    let mut subscriber = mosquitto_sub(proxy.addr(), &["-i", "sub", "-t", "#", "-q", "1"]);
    let _ = mosquitto_pub(proxy.addr(), &["-t", "a", "-m", "x", "-q", "1"]).assert_success();
    assert_eq!(subscriber.receive(SOON).unwrap().payload, b"x");
    assert!(proxy.bytes(Direction::ToBroker) > 0 && proxy.bytes(Direction::ToClient) > 0);
    assert_eq!(proxy.connections(), 2);

    proxy.cut();
    assert!(
        broker
            .wait_for_log(SOON, "Client sub closed its connection")
            .is_some()
    );
}
