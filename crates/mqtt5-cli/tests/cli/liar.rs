//! A link to a broker that lies: it tampers with what the broker sends.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Gives what to send instead of a packet from the broker; the number counts the PUBLISH packets of the connection.
pub(crate) type Lie = fn(packet: Vec<u8>, publishes: u64) -> Vec<Vec<u8>>;

/// The type of a packet.
pub(crate) fn kind(packet: &[u8]) -> u8 {
    packet[0] >> 4
}

pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const PUBCOMP: u8 = 7;

/// Starts a link to `broker` and gives its URL. It serves until the test process ends.
pub(crate) fn start(broker: SocketAddr, lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let url = format!("mqtt://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(broker).expect("the broker listens");
            let (client, server) = (Arc::new(client), Arc::new(server));
            let (from, to) = (Arc::clone(&client), Arc::clone(&server));
            thread::spawn(move || {
                // Either side may close whenever it likes.
                let _ = io::copy(&mut &*from, &mut &*to);
                let _ = to.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = tamper(&server, &client, lie);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    url
}

fn tamper(from: &TcpStream, mut to: &TcpStream, lie: Lie) -> io::Result<()> {
    let mut from = io::BufReader::new(from);
    let mut publishes = 0;
    loop {
        let packet = read_packet(&mut from)?;
        publishes += u64::from(kind(&packet) == PUBLISH);
        for packet in lie(packet, publishes) {
            to.write_all(&packet)?;
        }
    }
}

fn read_packet(from: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 2];
    from.read_exact(&mut packet)?;
    let mut length = usize::from(packet[1] & 0x7f);
    let mut shift = 7;
    while packet[packet.len() - 1] & 0x80 != 0 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
    }
    let header = packet.len();
    packet.resize(header + length, 0);
    from.read_exact(&mut packet[header..])?;
    Ok(packet)
}
