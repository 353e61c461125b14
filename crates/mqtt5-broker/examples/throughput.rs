//! How fast the broker is on this machine: one publisher, one subscriber, 256-byte messages, at each QoS.
//!
//! Run it with `cargo run --release -p mqtt5-broker --example throughput`. The clients are minimal and share the
//! machine with the broker, so that the numbers are those of all three together.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use mqtt5_broker::Server;
use mqtt5_proto::packet::{
    Acknowledgement, Connect, Delivery, List, Packet, Publish, Subscribe, SubscribeFilter,
};
use mqtt5_proto::{
    Decoding, FixedHeader, PacketId, Properties, ProtocolVersion, QoS, ReasonCode, Role,
    TopicFilter, TopicName,
};

const MESSAGES: usize = 100_000;
const PAYLOAD: [u8; 256] = [b'x'; 256];
/// How many publishes may be unacknowledged.
const WINDOW: usize = 100;

fn main() -> io::Result<()> {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let broker = mqtt5_broker::spawn()?;
        let (elapsed, received) = run(&broker, qos)?;
        let rate = received as f64 / elapsed.as_secs_f64();
        println!(
            "QoS {}: {received} of {MESSAGES} messages in {elapsed:?}, {rate:.0}/s",
            qos as u8
        );
        println!("       {:?}", broker.statistics());
    }
    Ok(())
}

fn run(broker: &Server, qos: QoS) -> io::Result<(Duration, usize)> {
    let mut subscriber = Client::connect(broker, "subscriber")?;
    subscriber.subscribe(qos)?;
    let start = now();
    let reader = thread::spawn(move || subscriber.receive_all());
    let mut publisher = Client::connect(broker, "publisher")?;
    publisher.publish_all(qos)?;
    let (received, end) = reader.join().expect("the subscriber does not panic")?;
    Ok((end - start, received))
}

#[expect(clippy::disallowed_methods, reason = "this measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// A client that does no more than it must.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Client {
    fn connect(broker: &Server, client_id: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(broker.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut client = Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
        };
        client.push(&Packet::Connect(Connect::new(client_id)));
        client.exchange(|_, _| {})?;
        Ok(client)
    }

    fn subscribe(&mut self, qos: QoS) -> io::Result<()> {
        let items = [SubscribeFilter::new(
            TopicFilter::new("t").expect("a filter"),
            qos,
        )];
        self.push(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::new(1).expect("not 0"),
            properties: Properties::EMPTY,
            filters: List::from(&items[..]),
        }));
        self.exchange(|_, _| {})
    }

    fn publish_all(&mut self, qos: QoS) -> io::Result<()> {
        let mut sent = 0;
        let mut finished = 0;
        while finished < MESSAGES {
            while sent < MESSAGES && (qos == QoS::AtMostOnce || sent - finished < WINDOW) {
                self.push(&publish(qos, sent));
                sent += 1;
                if self.output.len() >= 64 << 10 {
                    break;
                }
            }
            if qos == QoS::AtMostOnce {
                self.flush()?;
                finished = sent;
            } else {
                self.exchange(|packet, output| match packet {
                    Packet::Puback(_) | Packet::Pubcomp(_) => finished += 1,
                    Packet::Pubrec(ack) => {
                        let pubrel = Acknowledgement::new(ack.packet_id, ReasonCode::SUCCESS);
                        push(output, &Packet::Pubrel(pubrel));
                    }
                    _ => {}
                })?;
            }
        }
        self.flush()
    }

    /// Receives until all messages have come, or none comes any more.
    fn receive_all(mut self) -> io::Result<(usize, Instant)> {
        let mut received = 0;
        let mut last = now();
        while received < MESSAGES {
            let before = received;
            let outcome = self.exchange(|packet, output| {
                let ok = ReasonCode::SUCCESS;
                match packet {
                    Packet::Publish(publish) => {
                        received += 1;
                        match publish.delivery {
                            Delivery::AtMostOnce => {}
                            Delivery::AtLeastOnce { id, .. } => {
                                push(output, &Packet::Puback(Acknowledgement::new(id, ok)));
                            }
                            Delivery::ExactlyOnce { id, .. } => {
                                push(output, &Packet::Pubrec(Acknowledgement::new(id, ok)));
                            }
                        }
                    }
                    Packet::Pubrel(ack) => {
                        push(
                            output,
                            &Packet::Pubcomp(Acknowledgement::new(ack.packet_id, ok)),
                        );
                    }
                    _ => {}
                }
            });
            match outcome {
                Ok(()) if received > before => last = now(),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.flush()?;
        Ok((received, last))
    }

    fn push(&mut self, packet: &Packet<'_>) {
        push(&mut self.output, packet);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Writes what there is, reads once, and shows every whole packet.
    fn exchange(&mut self, mut handle: impl FnMut(Packet<'_>, &mut Vec<u8>)) -> io::Result<()> {
        self.flush()?;
        let start = self.input.len();
        self.input.resize(start + (64 << 10), 0);
        let count = self.stream.read(&mut self.input[start..]);
        self.input.truncate(start + *count.as_ref().unwrap_or(&0));
        if count? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let decoding = Decoding::new(Role::Server);
        let mut read = 0;
        while let Ok(Some(header)) = FixedHeader::parse(&self.input[read..], &decoding) {
            let Some(frame) = self.input.get(read..read + header.total_len()) else {
                break;
            };
            let packet = Packet::decode(frame, &decoding).map_err(io::Error::other)?;
            handle(packet, &mut self.output);
            read += frame.len();
        }
        self.input.drain(..read);
        Ok(())
    }
}

fn publish(qos: QoS, number: usize) -> Packet<'static> {
    let id = PacketId::new((number % 60_000) as u16 + 1).expect("not 0");
    Packet::Publish(Publish {
        delivery: match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup: false },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup: false },
        },
        retain: false,
        topic: Some(TopicName::new("t").expect("a topic")),
        properties: Properties::EMPTY,
        payload: &PAYLOAD,
    })
}

fn push(output: &mut Vec<u8>, packet: &Packet<'_>) {
    packet
        .encode_to_vec(ProtocolVersion::V5, output)
        .expect("a valid packet");
}
