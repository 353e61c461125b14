//! Tests of the engine through its handles and its driver, in virtual time and without I/O.
//!
//! The other side is the in-process broker as a machine, or a script of packets.

mod asking;
mod awaiting;
mod connect;
mod consumers;
mod copies;
mod declared;
mod dropped;
mod executor;
mod failing;
mod feeder;
mod given_up;
mod handlers;
mod holding;
mod intercepting;
mod listening;
mod lost_subscribes;
mod many;
mod milestones;
mod observing;
mod offline;
mod pitfalls;
mod preparing;
mod publish;
mod queue;
mod reconnect;
mod redirects;
mod requesters;
mod requests;
mod resubscribe;
mod retained;
mod returning;
mod scenarios;
mod servers;
mod session_loss;
mod sessions_model;
mod shutdown;
mod slow;
mod stalls;
mod subscribe;
mod subscriptions_model;
#[cfg(feature = "tracing")]
mod told;
mod transmit;
mod unanswered_subscribes;
mod unsubscribing;
mod waking;

use crate::driver::{Action, Attempt, Driver, Host};
use crate::{Async, Bound, Client, DialError, Mode, Options, Reconnect};
use core::task::Waker;
use core::time::Duration;
use executor::Flag;
use mqtt5_broker::{Action as BrokerAction, Broker, Config};
use mqtt5_proto::packet::{Acknowledgement, Connack, Delivery, Disconnect, Publish};
use mqtt5_proto::{
    Decoding, FixedHeader, Incoming, Instant, Outgoing, Packet, PacketId, Properties,
    ProtocolVersion, QoS, ReasonCode, Role, TopicName,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Time that stands still until the test moves it.
#[derive(Clone, Debug, Default)]
struct Clock(Arc<AtomicU64>);

impl Host for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// The other side.
enum Peer {
    Broker(Box<Broker>),
    /// Packets that the client sent, and that the test has not looked at.
    Script(Vec<u8>),
    /// Dials are not answered.
    Unreachable,
    /// Dials fail.
    Refusing,
}

/// A driver with a transport that is a function call.
struct Link {
    driver: Driver,
    clock: Clock,
    peer: Peer,
    attempt: Option<Attempt>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Bytes towards the client that wait until it reads.
    inbound: Vec<u8>,
    reading: bool,
    /// The peer reads nothing while more than so many of its bytes wait for the client.
    stubborn: usize,
    deadline: Option<Instant>,
    cancelled: bool,
    finished: bool,
    /// The servers that were dialed since the last look.
    dialed: Vec<String>,
    /// Whether the last of them may be told who we are.
    is_trusted: bool,
    waker: Waker,
    wakes: Arc<Flag>,
}

impl Link {
    fn new<M: Mode>(options: Options, peer: Peer) -> (Client<M>, Self) {
        let clock = Clock::default();
        let (client, driver) = Driver::new::<M>(options, clock.clone()).expect("valid options");
        let (wakes, waker) = Flag::new();
        let link = Self {
            driver,
            clock,
            peer,
            attempt: None,
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            inbound: Vec::new(),
            reading: false,
            stubborn: usize::MAX,
            deadline: None,
            cancelled: false,
            finished: false,
            dialed: Vec::new(),
            is_trusted: false,
            waker,
            wakes,
        };
        (client, link)
    }

    /// Lets everything happen that needs no time.
    fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the driver never comes to rest");
    }

    /// Lets time pass, with everything that is due in between.
    fn pass(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        loop {
            self.run();
            let next = self
                .deadline
                .into_iter()
                .chain(self.broker_deadline())
                .min()
                .filter(|next| *next <= end);
            let next = next.map_or(end, |next| {
                next.max(self.clock.now() + Duration::from_micros(1))
            });
            self.clock.0.store(next.as_micros(), Ordering::Relaxed);
            if let Peer::Broker(broker) = &mut self.peer {
                broker.handle_timeout(next);
            }
            if next >= end {
                return self.run();
            }
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The transport breaks.
    fn cut(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.inbound.clear();
            if let Peer::Broker(broker) = &mut self.peer {
                broker.handle_closed(self.clock.now(), attempt.number());
            }
            self.driver.handle_closed(attempt);
        }
        self.run();
    }

    /// Lets time pass until the client dials again, at most a minute.
    fn reconnect(&mut self) {
        for _ in 0..600 {
            self.pass(Duration::from_millis(100));
            if self.attempt.is_some() {
                return;
            }
        }
        panic!("no attempt in a minute");
    }

    /// The script's connection breaks, the client comes back, and the script has its session or not.
    fn resume(&mut self, session_present: bool) {
        self.cut();
        if let Peer::Script(sent) = &mut self.peer {
            sent.clear();
        }
        self.reconnect();
        assert_eq!(self.sent_types(), ["CONNECT"]);
        self.send(accepted(session_present));
    }

    /// The script sends a packet.
    fn send(&mut self, packet: Packet<'_>) {
        packet
            .encode_to_vec(ProtocolVersion::V5, &mut self.inbound)
            .expect("a packet that can be encoded");
        self.run();
    }

    /// The next packet that the client sent to the script, shown by `show`.
    fn sent<T>(&mut self, show: impl FnOnce(Packet<'_>) -> T) -> T {
        self.run();
        let Peer::Script(bytes) = &mut self.peer else {
            panic!("no script")
        };
        let decoding = Decoding::new(Role::Client);
        let header = FixedHeader::parse(bytes, &decoding)
            .expect("well formed")
            .expect("a packet");
        let frame: Vec<u8> = bytes.drain(..header.total_len()).collect();
        show(Packet::decode(&frame, &decoding).expect("well formed"))
    }

    /// The types of all packets that the client sent since the last look, as their names.
    fn sent_types(&mut self) -> Vec<&'static str> {
        self.run();
        let mut types = Vec::new();
        while matches!(&self.peer, Peer::Script(bytes) if !bytes.is_empty()) {
            types.push(self.sent(|packet| packet.packet_type().name()));
        }
        types
    }

    fn broker(&mut self) -> &mut Broker {
        match &mut self.peer {
            Peer::Broker(broker) => broker,
            _ => panic!("no broker"),
        }
    }

    fn broker_deadline(&self) -> Option<Instant> {
        match &self.peer {
            Peer::Broker(broker) => broker.poll_timeout().map(|(deadline, _)| deadline),
            _ => None,
        }
    }

    fn step(&mut self) -> bool {
        if self.reading && !self.inbound.is_empty() {
            let space = self.incoming.space();
            let count = space.len().min(self.inbound.len());
            space[..count].copy_from_slice(&self.inbound[..count]);
            self.incoming.filled(count);
            self.inbound.drain(..count);
        }
        self.reading = self.driver.turn_read(&mut self.incoming, &self.waker);
        let turn = self.driver.turn_write(&mut self.outgoing, 0, &self.waker);
        self.deadline = turn.deadline;
        let acted = turn.action.map(|action| self.act(&action)).is_some();
        let written = self.write();
        let heard = self.broker_actions();
        acted
            || written
            || heard
            || (self.reading && !self.inbound.is_empty())
            || self.deadline.is_some_and(|at| at <= self.now())
    }

    fn act(&mut self, action: &Action) {
        if let Action::Dial {
            endpoint,
            is_trusted,
            ..
        } = action
        {
            self.dialed.push(endpoint.to_string());
            self.is_trusted = *is_trusted;
        }
        match *action {
            Action::Dial { attempt, .. } => match &mut self.peer {
                Peer::Unreachable => {}
                Peer::Refusing => self.driver.handle_dial_failed(attempt, dial_error()),
                peer => {
                    // A transport that nobody wants any more is closed.
                    if !self.driver.handle_dialed(attempt) {
                        return;
                    }
                    if let Peer::Broker(broker) = peer {
                        broker.handle_open(self.clock.now(), attempt.number());
                    }
                    self.attempt = Some(attempt);
                }
            },
            Action::CancelDial(_) => self.cancelled = true,
            Action::Hangup(attempt) => {
                assert_eq!(self.attempt, Some(attempt));
                self.cut();
            }
            Action::Finish => self.finished = true,
        }
    }

    fn write(&mut self) -> bool {
        let bytes = self.outgoing.first().to_vec();
        if bytes.is_empty() || self.inbound.len() > self.stubborn {
            return false;
        }
        let now = self.clock.now();
        match (&mut self.peer, self.attempt) {
            (Peer::Broker(broker), Some(attempt)) => {
                broker.handle_received(now, attempt.number(), &bytes);
            }
            (Peer::Script(sent), Some(_)) => sent.extend_from_slice(&bytes),
            _ => {}
        }
        let turn = self
            .driver
            .turn_write(&mut self.outgoing, bytes.len(), &self.waker);
        turn.action.into_iter().for_each(|action| self.act(&action));
        true
    }

    fn broker_actions(&mut self) -> bool {
        let now = self.clock.now();
        let mut acted = false;
        while let Peer::Broker(broker) = &mut self.peer {
            let Some(action) = broker.poll_action() else {
                break;
            };
            acted = true;
            let is_ours = |attempt: Attempt| attempt.number() == action.connection();
            if !self.attempt.is_some_and(is_ours) {
                // Another client, which reads everything and says no more than the test does.
                drop(broker.outgoing(now, action.connection()));
                continue;
            }
            match action {
                BrokerAction::Write(connection) => {
                    self.inbound.extend(broker.outgoing(now, connection));
                }
                BrokerAction::Close(connection) => {
                    self.inbound.extend(broker.outgoing(now, connection));
                    broker.handle_closed(now, connection);
                    self.deliver_rest();
                }
                _ => {}
            }
        }
        acted
    }

    /// Turns of the reading side alone.
    fn read(&mut self) {
        while self.reading && !self.inbound.is_empty() {
            let space = self.incoming.space();
            let count = space.len().min(self.inbound.len());
            space[..count].copy_from_slice(&self.inbound[..count]);
            self.incoming.filled(count);
            self.inbound.drain(..count);
            self.reading = self.driver.turn_read(&mut self.incoming, &self.waker);
        }
    }

    /// What was sent before the transport closed still arrives.
    fn deliver_rest(&mut self) {
        self.read();
        if let Some(attempt) = self.attempt.take() {
            self.driver.handle_closed(attempt);
        }
    }
}

/// A client that is connected to a broker.
fn online(options: Options) -> (Client, Link) {
    let (client, mut link) = Link::new::<Async>(
        options,
        Peer::Broker(Box::new(Broker::new(Config::default()))),
    );
    link.run();
    assert!(client.is_connected());
    (client, link)
}

/// A client that is connected to a script that has answered CONNECT with this CONNACK.
fn scripted(options: Options, properties: Properties<'_>) -> (Client, Link) {
    let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(connack(properties));
    assert!(client.is_connected());
    (client, link)
}

/// A client that stops with its connection.
fn options() -> Options {
    reconnecting().reconnect(Reconnect::never())
}

fn reconnecting() -> Options {
    Options::new("mqtt://server").client_id("me")
}

fn connack(properties: Properties<'_>) -> Packet<'_> {
    Packet::Connack(Connack {
        session_present: false,
        reason: ReasonCode::SUCCESS,
        properties,
    })
}

/// Room for so many messages, of any usual size.
fn room_for(messages: usize) -> Bound {
    Bound {
        messages,
        bytes: 1 << 20,
    }
}

/// The server accepts the connection, and has the session or not.
fn accepted(session_present: bool) -> Packet<'static> {
    Packet::Connack(Connack {
        session_present,
        reason: ReasonCode::SUCCESS,
        properties: Properties::EMPTY,
    })
}

/// The server ends the connection.
fn disconnect(reason: ReasonCode) -> Packet<'static> {
    Packet::Disconnect(Disconnect {
        reason,
        properties: Properties::EMPTY,
    })
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("not zero")
}

fn publish<'a>(topic: &'a str, qos: QoS, packet_id: u16, payload: &'a [u8]) -> Packet<'a> {
    let delivery = match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce {
            id: id(packet_id),
            dup: false,
        },
        QoS::ExactlyOnce => Delivery::ExactlyOnce {
            id: id(packet_id),
            dup: false,
        },
    };
    let topic = TopicName::new(topic).expect("valid");
    Packet::Publish(Publish {
        delivery,
        retain: false,
        topic: Some(topic),
        properties: Properties::EMPTY,
        payload,
    })
}

fn acknowledgement(packet_id: u16, reason: ReasonCode) -> Acknowledgement<'static> {
    Acknowledgement::new(id(packet_id), reason)
}

fn dial_error() -> DialError {
    std::io::ErrorKind::ConnectionRefused.into()
}
