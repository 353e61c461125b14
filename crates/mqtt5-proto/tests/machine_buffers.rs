//! The buffers that a driver holds, and how much memory the growable machine keeps (HB-03, HB-06, T5).
#![cfg(feature = "std")]

mod machine;

use std::io::IoSlice;

use mqtt5_proto::packet::{Connect, Publish};
use mqtt5_proto::{
    Client, Config, Event, Incoming, Instant, Outbound, Outgoing, Packet, Payload, Properties, QoS,
    State, TopicName,
};

use machine::packets::{connack, delivery, disconnect, encode, publish};
use machine::{Bed, Borrowing, Face, Lending};

use QoS::{AtLeastOnce, AtMostOnce};

const NOW: Instant = Instant::ZERO;

fn connected() -> Client {
    let mut client = Client::new(Config::default());
    connect(&mut client);
    client
}

/// Connects through the borrowing forms.
fn connect(client: &mut Client) {
    client.connect(NOW, &Connect::new("me")).unwrap();
    let count = client.outgoing().len();
    client.handle_transmitted(NOW, count);
    let bytes = encode(&connack(0, Properties::EMPTY));
    client.receive_space()[..bytes.len()].copy_from_slice(&bytes);
    client.handle_received(NOW, bytes.len());
    assert!(matches!(client.poll_event(NOW), Some(Event::Connected(_))));
    assert!(client.poll_event(NOW).is_none());
}

fn close(client: &mut Client) {
    client.handle_closed(NOW);
    while client.poll_event(NOW).is_some() {}
}

fn publish_one(client: &mut Client, payload: &str) {
    let topic = TopicName::new("t").unwrap();
    let message = Outbound::new(topic, AtMostOnce, payload);
    client.publish(NOW, &message).unwrap();
}

fn read(incoming: &mut Incoming, bytes: &[u8]) {
    incoming.space()[..bytes.len()].copy_from_slice(bytes);
    incoming.filled(bytes.len());
}

/// A buffer of an earlier connection is emptied by `take_incoming` and ignored by `handle_incoming`.
#[test]
fn incoming_of_an_earlier_connection() {
    let mut client = connected();
    let mut incoming = Incoming::new();
    let packet = encode(&publish(AtMostOnce, 0, "old"));
    for give in [true, false] {
        client.take_incoming(&mut incoming);
        read(&mut incoming, &packet);
        close(&mut client);
        connect(&mut client);
        if give {
            client.handle_incoming(NOW, &mut incoming);
        } else {
            client.take_incoming(&mut incoming);
        }
        assert!(incoming.is_empty());
        assert!(client.poll_event(NOW).is_none());
    }
    // One that was never taken belongs to no connection.
    let mut incoming = Incoming::new();
    read(&mut incoming, &packet);
    client.handle_incoming(NOW, &mut incoming);
    assert!(client.poll_event(NOW).is_none());
    client.take_incoming(&mut incoming);
    read(&mut incoming, &packet);
    client.handle_incoming(NOW, &mut incoming);
    assert!(matches!(
        client.poll_event(NOW),
        Some(Event::Message { .. })
    ));
}

/// The same for bytes to write, also between two connections.
#[test]
fn outgoing_of_an_earlier_connection() {
    let mut client = connected();
    let mut outgoing = Outgoing::new();
    for reconnect in [true, false] {
        publish_one(&mut client, "old");
        client.take_outgoing(&mut outgoing);
        assert_eq!(outgoing.len(), client.unsent());
        client.handle_sent(NOW, &mut outgoing, 3);
        close(&mut client);
        if reconnect {
            connect(&mut client);
        }
        let sent = client.statistics().bytes_sent;
        client.handle_sent(NOW, &mut outgoing, 2);
        assert!(outgoing.is_empty());
        assert_eq!(client.statistics().bytes_sent, sent);
        client.take_outgoing(&mut outgoing);
        assert!(outgoing.is_empty());
        assert_eq!(client.unsent(), 0);
    }
}

/// D29: what the driver holds when the server ends the connection must not be written any more.
#[test]
fn outgoing_is_void_after_a_received_disconnect() {
    let mut client = connected();
    let mut outgoing = Outgoing::new();
    publish_one(&mut client, "x");
    client.take_outgoing(&mut outgoing);
    let bytes = encode(&disconnect(0x8B));
    client.receive_space()[..2].copy_from_slice(&bytes[..2]);
    client.receive_space()[2..3].copy_from_slice(&bytes[2..]);
    client.handle_received(NOW, 3);
    assert!(client.poll_event(NOW).is_none());
    assert!(client.wants_close());
    client.take_outgoing(&mut outgoing);
    assert!(outgoing.is_empty() && client.wants_close());
    client.handle_sent(NOW, &mut outgoing, 5);
    assert!(client.wants_close());
}

/// More than there is: nothing is counted that was not there.
#[test]
fn counts_beyond_the_buffers_are_clamped() {
    let mut client = connected();
    publish_one(&mut client, "x");
    let (unsent, before) = (client.unsent(), *client.statistics());
    client.handle_transmitted(NOW, usize::MAX);
    assert_eq!(client.unsent(), 0);
    let sent = client.statistics().bytes_sent - before.bytes_sent;
    assert_eq!(sent, unsent as u64);
    publish_one(&mut client, "x");
    let mut outgoing = Outgoing::new();
    client.take_outgoing(&mut outgoing);
    client.handle_sent(NOW, &mut outgoing, usize::MAX);
    let sent = client.statistics().bytes_sent - before.bytes_sent;
    assert_eq!(sent, 2 * unsent as u64);
    let space = client.receive_space().len();
    client.handle_received(NOW, usize::MAX);
    let received = client.statistics().bytes_received - before.bytes_received;
    assert_eq!(received, space as u64);
}

/// Both forms may be mixed in the middle of a packet.
#[test]
fn borrowing_and_lending_go_together() {
    let mut client = connected();
    let packets: Vec<u8> = (0..3)
        .flat_map(|_| encode(&publish(AtMostOnce, 0, "x")))
        .collect();
    let mut incoming = Incoming::new();
    let mut messages = 0;
    for (n, byte) in packets.iter().enumerate() {
        if n % 2 == 0 {
            client.receive_space()[0] = *byte;
            client.handle_received(NOW, 1);
        } else {
            client.take_incoming(&mut incoming);
            read(&mut incoming, &[*byte]);
            client.handle_incoming(NOW, &mut incoming);
        }
        messages += usize::from(client.poll_event(NOW).is_some());
    }
    assert_eq!(messages, 3);
    assert_eq!(client.statistics().bytes_received, 5 + packets.len() as u64);
}

/// Vectored writes cover the same bytes as single ones, in order.
#[test]
fn slices_are_the_bytes() {
    let mut client = connected();
    let large = bytes::Bytes::from(vec![7; 10_000]);
    let topic = TopicName::new("t").unwrap();
    let mut expected = Vec::new();
    for n in 0..6 {
        let mut message = Outbound::new(topic, AtMostOnce, "small");
        if n % 2 == 1 {
            message.payload = Payload::Shared(large.clone());
        }
        client.publish(NOW, &message).unwrap();
        expected.extend(encode(&Packet::Publish(Publish {
            delivery: delivery(AtMostOnce, 0, false),
            retain: false,
            topic: Some(topic),
            properties: Properties::EMPTY,
            payload: message.payload.as_slice(),
        })));
    }
    let mut outgoing = Outgoing::new();
    client.take_outgoing(&mut outgoing);
    let mut written = Vec::new();
    while !outgoing.is_empty() {
        let mut slices = [IoSlice::new(&[]); 4];
        let count = outgoing.slices(&mut slices);
        assert!(count > 0);
        let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        let part = &all[..all.len().min(777)];
        written.extend_from_slice(part);
        client.handle_sent(NOW, &mut outgoing, part.len());
    }
    assert_eq!(written, expected);
    assert_eq!(client.unsent(), 0);
}

/// A transport that never catches up keeps no byte that was sent: the bytes stay those of the queue.
#[test]
fn a_queue_that_never_empties_does_not_grow() {
    fn run<F: Face>() {
        let mut bed = Bed::<F>::connected();
        let mut sent = 0;
        let mut expected = 0_u64;
        let mut stream = Vec::new();
        for n in 0..20_000_u32 {
            let payload = n.to_string();
            bed.publish(AtMostOnce, &payload).unwrap();
            expected += encode(&publish(AtMostOnce, 0, &payload)).len() as u64;
            let leave = bed.client.unsent() - 1;
            let bytes = bed.client.transmit(bed.now, leave);
            sent += bytes.len();
            stream.extend(bytes);
            assert_eq!(bed.client.unsent(), 1);
        }
        assert_eq!(sent as u64 + 1, expected);
        stream.extend(bed.sent_bytes());
        let last = encode(&publish(AtMostOnce, 0, "19999"));
        assert!(stream.ends_with(&last));
    }
    run::<Borrowing>();
    run::<Lending>();
}

/// HB-03: space grows as bytes arrive, not as a length field promises.
#[test]
fn hb_03_a_promise_of_length_allocates_nothing() {
    let mut client = connected();
    let header = [0x30, 0xFF, 0xFF, 0xFF, 0x7F];
    client.receive_space()[..5].copy_from_slice(&header);
    client.handle_received(NOW, 5);
    assert!(client.poll_event(NOW).is_none());
    let mut received = 5;
    for _ in 0..200 {
        let space = client.receive_space().len();
        let most = 2 * received.max(128 * 1_024);
        assert!(space > 0 && space <= most, "{space} after {received}");
        let count = space.min(1_460);
        client.handle_received(NOW, count);
        received += count;
        assert!(client.poll_event(NOW).is_none());
    }
    let mut client = connected();
    client.receive_space()[..5].copy_from_slice(&header);
    client.handle_received(NOW, 5);
    assert!(client.poll_event(NOW).is_none());
    assert!(client.receive_space().len() <= 4_096);
}

/// A large packet in small reads is one message, and it takes time in proportion to its length.
#[test]
fn a_large_packet_in_small_reads() {
    let payload = "x".repeat(8 << 20);
    let packet = encode(&publish(AtLeastOnce, 1, &payload));
    for piece in [1_460, 64 * 1_024] {
        let mut client = connected();
        let mut incoming = Incoming::new();
        for (n, part) in packet.chunks(piece).enumerate() {
            client.take_incoming(&mut incoming);
            let mut rest = part;
            while !rest.is_empty() {
                let space = incoming.space();
                let count = space.len().min(rest.len());
                space[..count].copy_from_slice(&rest[..count]);
                incoming.filled(count);
                rest = &rest[count..];
            }
            client.handle_incoming(NOW, &mut incoming);
            let event = client.poll_event(NOW);
            let last = (n + 1) * piece >= packet.len();
            assert_eq!(event.is_some(), last);
            if let Some(Event::Message { message, .. }) = event {
                assert_eq!(message.payload(), payload.as_bytes());
            }
        }
    }
}

/// A connection that was busy and is idle has a small receive buffer again, in whoever's hands it is.
#[test]
fn an_idle_connection_is_small() {
    let busy = encode(&publish(AtMostOnce, 0, &"x".repeat(1_000))).repeat(1_000);
    let ping = |bed: &mut Bed<Lending>| {
        bed.elapse(machine::secs(55));
        bed.expect_sent(&[Packet::Pingreq]);
        assert_eq!(bed.tell(&Packet::Pingresp), []);
    };
    let mut bed = Bed::<Lending>::connected();
    bed.feed_bytes(&busy);
    assert_eq!(bed.events().len(), 1_000);
    bed.feed_bytes(&busy[..busy.len() / 2]);
    assert_eq!(bed.events().len(), 500);
    assert!(bed.client.incoming.space().len() > 4_096);
    ping(&mut bed);
    assert!(bed.client.incoming.space().len() <= 4_096);

    let mut bed = Bed::<Borrowing>::connected();
    bed.feed_bytes(&busy);
    assert_eq!(bed.events().len(), 1_000);
    bed.elapse(machine::secs(55));
    assert_eq!(bed.events(), []);
    assert!(bed.client.receive_space().len() <= 4_096);
    assert_eq!(bed.client.state(), State::Connected);
}

/// A message keeps its bytes whatever becomes of the buffer, the connection and the machine.
#[test]
fn messages_outlive_everything() {
    let mut client = connected();
    let mut kept = Vec::new();
    for n in 0..5_000 {
        let bytes = encode(&publish(AtMostOnce, 0, &n.to_string())).clone();
        client.receive_space()[..bytes.len()].copy_from_slice(&bytes);
        client.handle_received(NOW, bytes.len());
        match client.poll_event(NOW) {
            Some(Event::Message { message, .. }) => {
                if n % 7 == 0 {
                    kept.push((n, message));
                }
            }
            other => panic!("{other:?}"),
        }
        assert!(client.poll_event(NOW).is_none());
    }
    close(&mut client);
    drop(client);
    for (n, message) in kept {
        assert_eq!(message.payload_str(), Some(&*n.to_string()));
        assert_eq!(message.topic(), "t");
        assert_eq!(message.detach().payload(), message.payload());
        assert_eq!(message.payload_bytes(), message.payload());
    }
}
