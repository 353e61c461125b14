//! What a message costs the allocator.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use mqtt5_client::{Options, OptionsError, Overflow};
use mqtt5_transport::Setup;

use super::{Client, Harness, yield_now};

type Start = fn(Setup) -> Result<Client, OptionsError>;

/// Publishes and receives ten thousand messages of QoS 0, opposite a server that is a thread and allocates nothing.
///
/// `allocations` counts those of the whole process so far, reallocations included: a buffer that grows is no better than
/// a new one. So this must be the only test of its process. `runtime` is what the runtime may allocate for its own wake-ups
/// while so many messages leave or arrive.
///
/// # Panics
///
/// When publishing costs an allocation, or receiving more than one for each 64 KiB that arrive.
pub fn messages_cost_no_allocation(harness: Harness, allocations: fn() -> usize, runtime: u64) {
    (harness.block_on)(Box::pin(publish(harness.start, allocations, runtime)));
    (harness.block_on)(Box::pin(receive(harness.start, allocations, runtime)));
}

async fn publish(start: Start, allocations: fn() -> usize, runtime: u64) {
    let (options, server) = serve(|mut socket| {
        let mut buffer = [0; 64 * 1024];
        while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let client = start(options.into()).expect("the options are valid");
    client.connected().await.expect("the server accepts");
    let publish = async |count: u64| {
        for _ in 0..count {
            let published = client.publish(TOPIC, &PAYLOAD).await;
            published.expect("the connection lives");
        }
        client.flush().await.expect("the connection lives");
    };
    publish(WARM_UP).await;
    // A buffer may still grow in the first round. What a message costs, it costs in each.
    let mut least = usize::MAX;
    for _ in 0..3 {
        let before = allocations();
        publish(MEASURED).await;
        least = least.min(allocations() - before);
    }
    client.disconnect().await.expect("all is sent");
    server.join().expect("the server does not fail");
    println!("{MEASURED} published: {least} allocations");
    assert!(least as u64 <= runtime, "{least}, not {runtime}");
}

async fn receive(start: Start, allocations: fn() -> usize, runtime: u64) {
    let (options, server) = serve(|mut socket| {
        // SUBSCRIBE, with identifier 1.
        skip_packet(&mut socket);
        write(&mut socket, b"\x90\x04\0\x01\0\0");
        let batch = batch();
        for _ in 0..(WARM_UP + MEASURED) / BATCH {
            write(&mut socket, &batch);
            // The consumer says that it has all of them.
            skip_packet(&mut socket);
        }
        // DISCONNECT.
        skip_packet(&mut socket);
    });
    let client = start(options.into()).expect("the options are valid");
    let subscribe = client.subscribe("#").overflow(Overflow::Pause);
    let mut inbox = subscribe.await.expect("the server grants it");
    let mut batches = 0;
    let mut consume = async |count: u64, waits: bool| {
        for _ in 0..count / BATCH {
            batches += 1;
            while waits && client.statistics().messages_received < batches * BATCH {
                yield_now().await;
            }
            for _ in 0..BATCH {
                let message = inbox.recv().await.expect("the connection lives");
                let parts = (message.topic(), message.payload());
                assert_eq!(parts, (TOPIC, &PAYLOAD[..]));
            }
            let published = client.publish("more", "").await;
            published.expect("the connection lives");
        }
        client.flush().await.expect("the connection lives");
    };
    // Both queues, that of the connection and that of the subscription, grow to the size of a batch.
    consume(WARM_UP, true).await;
    let before = allocations();
    consume(MEASURED, false).await;
    let allocated = allocations() - before;
    client.disconnect().await.expect("all is sent");
    server.join().expect("the server does not fail");

    let bytes = batch().len() as u64 * (MEASURED / BATCH);
    println!("{MEASURED} received in {bytes} bytes: {allocated} allocations");
    let most = bytes / (64 * 1024) + runtime;
    assert!(allocated as u64 <= most, "{allocated}, not {most}");
}

/// Accepts one connection, and hands it over when the client is connected.
fn serve(play: impl FnOnce(TcpStream) + Send + 'static) -> (Options, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("the client connects");
        skip_packet(&mut socket);
        write(&mut socket, b"\x20\x03\0\0\0");
        play(socket);
    });
    let options = Options::new(format!("mqtt://{address}")).client_id("c");
    (options, server)
}

/// Reads a packet of less than 128 bytes.
fn skip_packet(socket: &mut TcpStream) {
    let mut packet = [0; 129];
    let mut read = |into: &mut [u8]| socket.read_exact(into).expect("the client sends");
    read(&mut packet[..2]);
    let length = usize::from(packet[1]);
    read(&mut packet[..length]);
}

fn write(socket: &mut TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).expect("the client receives");
}

/// PUBLISH packets of QoS 0.
fn batch() -> Vec<u8> {
    let length = 2 + TOPIC.len() + 1 + PAYLOAD.len();
    let mut packet = vec![0x30, 0x80 | (length & 0x7f) as u8, (length >> 7) as u8, 0];
    packet.push(TOPIC.len() as u8);
    packet.extend_from_slice(TOPIC.as_bytes());
    packet.push(0);
    packet.extend_from_slice(&PAYLOAD);
    packet.repeat(BATCH as usize)
}

const TOPIC: &str = "sensors/a/temperature";
const PAYLOAD: [u8; 256] = [b'x'; 256];
const WARM_UP: u64 = 1_000;
const MEASURED: u64 = 10_000;
const BATCH: u64 = 500;
