//! A broker for one test, without a runtime and with nothing to install.
//!
//! Run it with `cargo run -p mqtt5-broker --example in_a_test`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let broker = mqtt5_broker::spawn()?;
    let answer = connect(broker.address())?;
    drop(broker);

    assert_eq!(answer[0], 0x20); // CONNACK
    assert_eq!(answer[3], 0x00); // Success
    println!("connected, and everything is gone again");
    Ok(())
}

/// Stands for the MQTT 5 client under test: give it `broker.url()`.
fn connect(address: std::net::SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x02me")?;
    let mut answer = vec![0; 4];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
