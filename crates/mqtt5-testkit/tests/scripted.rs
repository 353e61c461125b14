//! Scripts against sockets of our own, and against a real client.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mqtt5_testkit::{Script, ScriptedPeer, mosquitto_pub};

const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

fn connect(peer: &ScriptedPeer) -> TcpStream {
    let socket = TcpStream::connect(peer.addr()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

#[test]
fn plays_its_steps_and_gives_what_it_received() {
    let script = Script::new()
        .expect(*b"one")
        .send(*b"two")
        .skip(2)
        .next_connection()
        .send(*b"three")
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let mut first = connect(&peer);
    first.write_all(b"on").unwrap();
    first.write_all(b"exx").unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "two");

    let mut second = connect(&peer);
    let mut answer = [0; 5];
    second.read_exact(&mut answer).unwrap();
    second.write_all(b"end").unwrap();
    drop(second);
    assert_eq!(peer.join().unwrap(), b"onexxend");
}

#[test]
fn a_packet_is_read_whole() {
    let peer = ScriptedPeer::start(Script::new().skip_packet().expect(*b"next"));
    let mut packet = vec![0x30, 0xc8, 0x01];
    packet.extend([7; 200]);
    connect(&peer)
        .write_all(&[&packet[..], b"next"].concat())
        .unwrap();
    assert_eq!(peer.join().unwrap().len(), 207);
}

#[test]
fn other_bytes_are_shown_with_the_expected_ones() {
    let peer = ScriptedPeer::start(Script::new().skip(1).expect([1, 2, 3]));
    let mut socket = connect(&peer);
    socket.write_all(&[0, 1, 9, 3]).unwrap();
    let error = peer.join().unwrap_err();
    assert_eq!((error.step, error.cause), (1, None));
    let text = error.to_string();
    assert!(
        text.contains("expected: 01 02 03") && text.contains("equal up to byte 1"),
        "{text}"
    );
    // The connection is over, so nobody waits for an answer.
    let _ = socket.read(&mut [0]);
}

#[test]
fn a_side_that_closes_early_is_told() {
    let peer = ScriptedPeer::start(Script::new().expect(*b"one"));
    connect(&peer).write_all(b"on").unwrap();
    let error = peer.join().unwrap_err();
    assert_eq!(error.cause, Some(ErrorKind::UnexpectedEof));
    assert_eq!(error.received, b"on");
    assert!(error.to_string().contains("closed"), "{error}");
}

#[test]
fn dropping_ends_it_wherever_it_is() {
    drop(ScriptedPeer::start(Script::new()));

    let peer = ScriptedPeer::start(Script::new().send(*b"x").expect(*b"never"));
    let mut socket = connect(&peer);
    socket.read_exact(&mut [0]).unwrap();
    drop(peer);
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_real_client_talks_to_a_script() {
    let script = Script::new()
        .skip_packet()
        .send(CONNACK)
        .skip_packet()
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let _ = mosquitto_pub(peer.addr(), &["-t", "a/b", "-m", "payload"]).assert_success();
    let received = peer.join().unwrap();
    assert_eq!(received[0], 0x10);
    assert!(received.windows(7).any(|bytes| bytes == b"payload"));
    assert_eq!(received.last_chunk(), Some(&[0xe0, 0x00]), "{received:x?}");
}
