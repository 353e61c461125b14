//! The whole loop around the machine of `mqtt5-proto`, on one thread and a blocking socket.
//!
//! `cargo run -p mqtt5-broker --example embed_loop`

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mqtt5_proto::packet::{Connect, SubscribeFilter};
use mqtt5_proto::{
    Client, Config, DisconnectReason, Event, Instant, Outbound, Properties, QoS, TopicFilter,
    TopicName,
};

fn main() -> Result<(), Box<dyn Error>> {
    let broker = mqtt5_broker::spawn()?;
    let start = clock();
    let now = || Instant::from_micros((clock() - start).as_micros() as u64);
    let mut socket = TcpStream::connect(broker.address())?;
    let mut client = Client::new(Config::default());
    client.connect(now(), &Connect::new("sensor-1"))?;
    loop {
        // 1. What happened, until there is nothing more.
        while let Some(event) = client.poll_event(now()) {
            match event {
                Event::Connected(_) => {
                    let filter = TopicFilter::new("sensors/+")?;
                    let filter = SubscribeFilter::new(filter, QoS::ExactlyOnce);
                    client.subscribe(now(), &[filter], Properties::EMPTY)?;
                    let topic = TopicName::new("sensors/a")?;
                    client.publish(now(), &Outbound::new(topic, QoS::ExactlyOnce, "22.5"))?;
                }
                Event::Message { message, token } => {
                    println!("{} {:?}", message.topic(), message.payload_str());
                    if let Some(token) = token {
                        client.ack(now(), token);
                    }
                }
                Event::Completed { outcome, .. } => println!("{outcome:?}"),
                Event::Disconnected { cause, .. } => {
                    println!("{cause}");
                    return Ok(());
                }
                _ => {}
            }
        }
        // 2. What is to be sent.
        while !client.outgoing().is_empty() {
            let count = socket.write(client.outgoing())?;
            client.handle_transmitted(now(), count);
        }
        // 3. The end, or the next input: bytes or time.
        if client.statistics().packets_received >= 6 && client.wants_read() {
            client.disconnect(now(), DisconnectReason::Normal, Properties::EMPTY)?;
        } else if client.wants_close() {
            client.handle_closed(now());
        } else {
            let wait = client
                .poll_timeout()
                .map(|(at, _)| at.saturating_duration_since(now()));
            socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
            match socket.read(client.receive_space()) {
                Ok(0) => client.handle_closed(now()),
                Ok(count) => client.handle_received(now(), count),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    client.handle_timeout(now());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The time since the program began; the machine itself reads no clock.
#[expect(clippy::disallowed_methods, reason = "the embedder's clock")]
fn clock() -> Duration {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
