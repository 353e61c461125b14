//! What a client holds while 200,000 messages of 1 KiB arrive that are not taken. One test in this file, since the whole process counts.

use core::num::NonZeroU16;
use core::task::{Context, Poll, Waker};
use mqtt5_client::driver::{Action, Driver, Host};
use mqtt5_client::{
    Async, Bound, Client, Incoming, Instant, Options, Outgoing, Overflow, QoS, ReasonCode,
    Reconnect, Subscription,
};
use mqtt5_proto::packet::{
    Acknowledgement, Connack, Delivery, List, Publish, SubscribeAcknowledgement,
};
use mqtt5_proto::{
    Decoding, FixedHeader, Packet, PacketId, Properties, ProtocolVersion, Role, TopicName,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::collections::VecDeque;
use std::pin::pin;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MESSAGES: usize = 200_000;
const PAYLOAD: [u8; 1_024] = [b'x'; 1_024];
/// The largest receive chunk.
const CHUNK: usize = 256 * 1_024;
/// The bound of each queue in bytes; that in messages is out of reach.
const QUEUE: usize = 1 << 20;
/// The bound of what is held unacknowledged.
const HELD: usize = 2 << 20;
/// What a client has besides its messages: buffers, tables, sessions.
const BASE: usize = 4 * CHUNK;

/// Bytes that are allocated and not freed.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Time that stands still.
struct Still;

impl Host for Still {
    fn now(&self) -> Instant {
        Instant::ZERO
    }
}

/// A server that sends as fast as it is let, opposite a driver without sockets.
struct Server {
    driver: Driver,
    incoming: Incoming,
    outgoing: Outgoing,
    reading: bool,
    written: Vec<u8>,
    packet: Vec<u8>,
    /// Identifiers of messages above QoS 0 that it may use.
    free: VecDeque<u16>,
}

impl Server {
    fn new(options: Options) -> (Client, Self) {
        let (client, driver) = Driver::new::<Async>(options, Still).expect("valid options");
        let mut server = Self {
            driver,
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            reading: false,
            written: Vec::new(),
            packet: Vec::new(),
            free: VecDeque::new(),
        };
        server.turn();
        server.written.clear();
        server.send(&Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: Properties::EMPTY,
        }));
        server.turn();
        assert!(client.is_connected());
        (client, server)
    }

    fn subscribe(
        &mut self,
        client: &Client,
        packet_id: u16,
        filter: &str,
        qos: QoS,
    ) -> Subscription {
        let mut context = Context::from_waker(Waker::noop());
        let mut future = pin!(client.subscribe(filter).qos(qos).into_future());
        assert!(future.as_mut().poll(&mut context).is_pending());
        self.turn();
        self.written.clear();
        self.send(&Packet::Suback(SubscribeAcknowledgement {
            packet_id: id(packet_id),
            properties: Properties::EMPTY,
            reasons: List::from(&[ReasonCode::GRANTED_QOS_2][..]),
        }));
        self.turn();
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => result.expect("granted"),
            Poll::Pending => panic!("it was answered"),
        }
    }

    /// Both sides of the driver, until neither has anything to do.
    fn turn(&mut self) {
        let waker = Waker::noop();
        loop {
            self.reading = self.driver.turn_read(&mut self.incoming, waker);
            let turn = self.driver.turn_write(&mut self.outgoing, 0, waker);
            let mut written = 0;
            if !self.outgoing.is_empty() {
                let bytes = self.outgoing.first();
                written = bytes.len();
                self.written.extend_from_slice(bytes);
            }
            match turn.action {
                Some(Action::Dial { attempt, .. }) => assert!(self.driver.handle_dialed(attempt)),
                Some(action) => panic!("{action:?}"),
                None if written == 0 => return,
                None => {}
            }
            let turn = self.driver.turn_write(&mut self.outgoing, written, waker);
            assert!(turn.action.is_none());
        }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = core::mem::take(&mut self.packet);
        bytes.clear();
        packet
            .encode_to_vec(ProtocolVersion::V5, &mut bytes)
            .expect("valid");
        self.write(&bytes);
        self.packet = bytes;
    }

    /// Writes into the client's buffer; turns whenever that is full. All is written, even if the client has stopped reading.
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.incoming.space();
            let count = space.len().min(bytes.len());
            let is_full = count == space.len();
            space[..count].copy_from_slice(&bytes[..count]);
            self.incoming.filled(count);
            bytes = &bytes[count..];
            if is_full {
                self.turn();
            }
        }
    }

    /// Sends a message if that may be done; tells whether it was.
    fn publish(&mut self, topic: &str, qos: QoS) -> bool {
        let dup = false;
        let delivery = if qos == QoS::AtMostOnce {
            Delivery::AtMostOnce
        } else {
            let Some(next) = self.free.pop_front() else {
                return false;
            };
            let id = id(next);
            match qos {
                QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
                _ => Delivery::AtLeastOnce { id, dup },
            }
        };
        self.send(&Packet::Publish(Publish {
            delivery,
            retain: false,
            topic: Some(TopicName::new(topic).expect("valid")),
            properties: Properties::EMPTY,
            payload: &PAYLOAD,
        }));
        true
    }

    /// What the client has acknowledged may be used again.
    fn listen(&mut self) {
        self.turn();
        let written = core::mem::take(&mut self.written);
        let decoding = Decoding::new(Role::Client);
        let mut rest = &written[..];
        while let Ok(Some(header)) = FixedHeader::parse(rest, &decoding) {
            let (frame, behind) = rest.split_at(header.total_len());
            rest = behind;
            match Packet::decode(frame, &decoding).expect("well formed") {
                Packet::Puback(ack) | Packet::Pubcomp(ack) => {
                    self.free.push_back(ack.packet_id.value());
                }
                Packet::Pubrec(ack) => self.send(&Packet::Pubrel(Acknowledgement::new(
                    ack.packet_id,
                    ReasonCode::SUCCESS,
                ))),
                packet => panic!("{packet:?}"),
            }
        }
        self.written = written;
        self.written.clear();
        self.turn();
    }
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("not zero")
}

fn options(overflow: Overflow, window: u16) -> Options {
    Options::new("mqtt://server")
        .client_id("me")
        .reconnect(Reconnect::never())
        .overflow(overflow)
        .subscription_queue(Bound {
            messages: MESSAGES,
            bytes: QUEUE,
        })
        .inbound_bytes(HELD)
        .receive_maximum(NonZeroU16::new(window).expect("not zero"))
}

/// What a scenario is about.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    qos: QoS,
    overflow: Overflow,
    window: u16,
    /// Subscriptions that all get each message.
    sharing: usize,
    /// Of every hundred messages the first subscription takes so many; the others take none.
    taken: usize,
}

/// A queue may keep memory alive of the size of its bound, or twice what it holds, and the chunk that arrives. What was fetched from it
/// may do so once more. Each message has its entry.
fn queue_bound(qos: QoS, window: u16, is_fetched: bool) -> usize {
    let held = match qos {
        QoS::AtMostOnce => QUEUE,
        _ => HELD.min(usize::from(window) * 2 * PAYLOAD.len()),
    };
    let entries = held / PAYLOAD.len() * 256;
    (1 + usize::from(is_fetched)) * (QUEUE.max(2 * held) + CHUNK + entries)
}

/// Sends all messages and tells how much memory there was at most, beyond what there was before.
fn most_memory(scenario: Scenario) -> usize {
    let before = live();
    let (client, mut server) = Server::new(options(scenario.overflow, scenario.window));
    let mut subscriptions: Vec<_> = (1..)
        .take(scenario.sharing)
        .map(|number| {
            let filter = ["#", "a/#", "+/b", "a/+"][usize::from(number) - 1];
            server.subscribe(&client, number, filter, scenario.qos)
        })
        .collect();
    server.free = (1..=scenario.window).collect();
    let mut most = 0;
    for number in 0..MESSAGES {
        if server.reading && !server.publish("a/b", scenario.qos) {
            server.listen();
        }
        if number % 100 == 0 {
            for subscription in &mut subscriptions[..1] {
                for _ in 0..scenario.taken {
                    drop(subscription.try_recv().expect("not ended"));
                }
            }
            server.listen();
            most = most.max(live() - before);
        }
    }
    assert!(client.is_connected());
    most
}

/// One subscription takes everything; another one, which nobody looks at, gets one message of a hundred, each in another chunk or nearly.
fn most_memory_of_a_collector(qos: QoS) -> usize {
    let before = live();
    let (client, mut server) = Server::new(options(Overflow::DropNewest, 65_535));
    let mut fast = server.subscribe(&client, 1, "fast", qos);
    let slow = server.subscribe(&client, 2, "slow", qos);
    server.free = (1..=65_535).collect();
    let mut most = 0;
    for number in 0..MESSAGES {
        let topic = if number % 100 == 99 { "slow" } else { "fast" };
        if server.reading && !server.publish(topic, qos) {
            server.listen();
        }
        while let Ok(Some(message)) = fast.try_recv() {
            drop(message);
        }
        if number % 100 == 0 {
            server.listen();
            most = most.max(live() - before);
        }
    }
    drop(slow);
    most
}

/// An application that keeps one message of a hundred as a copy.
fn most_memory_of_copies() -> (usize, usize) {
    let before = live();
    let (client, mut server) = Server::new(options(Overflow::DropNewest, 1));
    let mut subscription = server.subscribe(&client, 1, "#", QoS::AtMostOnce);
    let (mut kept, mut taken) = (Vec::new(), 0);
    for _ in 0..MESSAGES / 50 {
        for _ in 0..50 {
            assert!(server.publish("a/b", QoS::AtMostOnce));
        }
        server.turn();
        while let Ok(Some(message)) = subscription.try_recv() {
            taken += 1;
            if taken % 100 == 0 {
                kept.push(message.detach());
            }
        }
    }
    (live() - before, kept.len())
}

#[test]
fn a_blocked_consumer_keeps_memory_within_its_bound() {
    let zero = |overflow, sharing, taken| Scenario {
        qos: QoS::AtMostOnce,
        overflow,
        window: 256,
        sharing,
        taken,
    };
    let above = |qos, window, sharing, taken| Scenario {
        qos,
        window,
        ..zero(Overflow::DropNewest, sharing, taken)
    };
    let scenarios = [
        zero(Overflow::DropNewest, 1, 0),
        zero(Overflow::DropNewest, 4, 1),
        zero(Overflow::DropOldest, 4, 1),
        zero(Overflow::Pause, 1, 1),
        above(QoS::AtLeastOnce, 256, 1, 0),
        above(QoS::AtLeastOnce, 65_535, 4, 1),
        above(QoS::ExactlyOnce, 65_535, 4, 0),
    ];
    for scenario in scenarios {
        let most = most_memory(scenario);
        let queue = queue_bound(scenario.qos, scenario.window, scenario.taken > 0);
        let bound = BASE + scenario.sharing * queue;
        println!("{scenario:?}: {most} of {bound}");
        assert!(most <= bound, "{scenario:?}: {most}, not {bound}");
    }
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let most = most_memory_of_a_collector(qos);
        let bound = BASE + queue_bound(qos, 65_535, false) + queue_bound(qos, 65_535, true);
        println!("one of a hundred, {qos:?}: {most} of {bound}");
        assert!(most <= bound, "{qos:?}: {most}, not {bound}");
    }
    let (most, kept) = most_memory_of_copies();
    let bound = BASE + kept * 2 * PAYLOAD.len();
    println!("{kept} copies: {most} of {bound}");
    assert!(kept > 1_000 && most <= bound, "{kept}: {most}, not {bound}");
}
