//! A client of the tests against real brokers: the machine on a socket that blocks.
//!
//! Every wait has a deadline that also a busy machine keeps. What must not come is shown with [`Peer::settled`], which
//! waits for a message that was sent later, not for time to pass.
#![allow(dead_code, reason = "each test file uses its part")]

mod received;
mod stopwatch;
mod values;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use mqtt5_proto::packet::{Connect, SubscribeFilter};
use mqtt5_proto::{
    Client, Config, Decoding, DisconnectCause, DisconnectReason, Event, FixedHeader, Instant, Op,
    Outbound, Outcome, Packet, Properties, Property, PropertyBuffer, QoS, ReasonCode, RejectReason,
    Role, State, TopicFilter,
};

pub(crate) use received::*;
pub(crate) use stopwatch::*;
pub(crate) use values::*;

/// How long anything may take that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long one read waits before the machine is told the time.
const STEP: Duration = Duration::from_millis(50);

/// A client and its connection.
pub(crate) struct Peer {
    address: SocketAddr,
    machine: Client,
    socket: Option<TcpStream>,
    clock: Stopwatch,
    /// Messages are acknowledged by the test, not as they arrive.
    is_holding: bool,
    messages: VecDeque<Received>,
    answers: Vec<(Op, Answer)>,
    accepted: Option<Accepted>,
    cause: Option<DisconnectCause>,
    /// Everything that was written since the last CONNECT.
    written: Vec<u8>,
    barriers: usize,
}

/// What CONNACK said.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) session_present: bool,
    pub(crate) reason: ReasonCode,
    pub(crate) properties: PropertyBuffer,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Published(ReasonCode),
    Reasons(Vec<ReasonCode>),
    Failed(String),
}

impl Peer {
    /// A client without a connection.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::with(address, Config::default())
    }

    /// The same, with a machine of these settings.
    pub(crate) fn with(address: SocketAddr, config: Config) -> Self {
        Self {
            address,
            machine: Client::new(config),
            socket: None,
            clock: Stopwatch::start(),
            is_holding: false,
            messages: VecDeque::new(),
            answers: Vec::new(),
            accepted: None,
            cause: None,
            written: Vec::new(),
            barriers: 0,
        }
    }

    /// A client with a new session that ends with its connection.
    #[track_caller]
    pub(crate) fn connected(address: SocketAddr, client_id: &str) -> Self {
        let mut peer = Self::new(address);
        peer.connect(&Connect::new(client_id));
        peer
    }

    /// A client with a session that outlives its connection, see [`lasting`].
    #[track_caller]
    pub(crate) fn lasting(address: SocketAddr, client_id: &str) -> Self {
        let mut peer = Self::new(address);
        peer.connect(&lasting(client_id));
        peer
    }

    /// Connects, and waits for CONNACK.
    #[track_caller]
    pub(crate) fn connect(&mut self, connect: &Connect<'_>) -> Accepted {
        assert!(self.socket.is_none(), "there is a connection already");
        let socket = TcpStream::connect(self.address).expect("the broker listens");
        socket.set_nodelay(true).expect("a socket option");
        socket
            .set_read_timeout(Some(STEP))
            .expect("a socket option");
        socket
            .set_write_timeout(Some(PATIENCE))
            .expect("a socket option");
        self.socket = Some(socket);
        (self.accepted, self.cause) = (None, None);
        self.written.clear();
        let now = self.now();
        self.machine
            .connect(now, connect)
            .expect("a CONNECT that can be sent");
        self.wait("CONNACK", |peer| peer.accepted.clone())
    }

    /// Messages stay unacknowledged from now on, or no longer.
    pub(crate) fn hold(&mut self, is_holding: bool) {
        self.is_holding = is_holding;
    }

    /// Subscribes with one packet; the reason codes of the SUBACK.
    #[track_caller]
    pub(crate) fn subscribe_with(
        &mut self,
        filters: &[SubscribeFilter<'_>],
        properties: Properties<'_>,
    ) -> Vec<ReasonCode> {
        let now = self.now();
        let op = self.machine.subscribe(now, filters, properties);
        self.reasons(op.expect("a SUBSCRIBE that can be sent"))
    }

    /// The same without properties; every filter must be granted as it is asked for.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filters: &[SubscribeFilter<'_>]) {
        let asked: Vec<u8> = filters.iter().map(|filter| filter.qos as u8).collect();
        let granted = self.subscribe_with(filters, Properties::EMPTY);
        let granted: Vec<u8> = granted.iter().map(|reason| reason.value()).collect();
        assert_eq!(granted, asked);
    }

    /// Subscribes to one filter with this Subscription Identifier.
    #[track_caller]
    pub(crate) fn subscribe_identified(&mut self, filter: SubscribeFilter<'_>, identifier: u32) {
        let list = [Property::SubscriptionIdentifier(identifier)];
        let granted = self.subscribe_with(&[filter], properties(&list));
        assert_eq!(granted, [ReasonCode::from(filter.qos as u8)]);
    }

    /// Unsubscribes with one packet; the reason codes of the UNSUBACK.
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> Vec<ReasonCode> {
        let filters: Vec<TopicFilter<'_>> = filters.iter().map(|text| topic_filter(text)).collect();
        let now = self.now();
        let op = self.machine.unsubscribe(now, &filters, Properties::EMPTY);
        self.reasons(op.expect("an UNSUBSCRIBE that can be sent"))
    }

    /// Hands a message to the machine.
    #[track_caller]
    pub(crate) fn start(&mut self, message: &Outbound<'_>) -> Op {
        let now = self.now();
        self.machine
            .publish(now, message)
            .expect("a PUBLISH that can be sent")
    }

    /// Publishes and waits until the broker has dealt with the message.
    #[track_caller]
    pub(crate) fn publish(&mut self, message: &Outbound<'_>) {
        let op = self.start(message);
        if message.qos == QoS::AtMostOnce {
            // Nothing answers it. The broker handles packets in their order, and answers this one.
            let later = self.start(&outbound("later", QoS::AtLeastOnce, ""));
            self.finish(later);
        } else {
            self.finish(op);
        }
    }

    /// The same for a message without properties.
    #[track_caller]
    pub(crate) fn say(&mut self, topic: &str, qos: QoS, payload: &str) {
        self.publish(&outbound(topic, qos, payload));
    }

    /// The same for a retained message; an empty payload removes it.
    #[track_caller]
    pub(crate) fn say_retained(&mut self, topic: &str, payload: &str) {
        self.publish(&Outbound {
            retain: true,
            ..outbound(topic, QoS::AtLeastOnce, payload)
        });
    }

    /// Waits until a QoS 1 or 2 message is delivered.
    #[track_caller]
    pub(crate) fn finish(&mut self, op: Op) {
        let answer = self.answer(op);
        let is_delivered = matches!(&answer, Answer::Published(reason) if !reason.is_error());
        assert!(is_delivered, "{answer:?}");
    }

    #[track_caller]
    fn reasons(&mut self, op: Op) -> Vec<ReasonCode> {
        match self.answer(op) {
            Answer::Reasons(reasons) => reasons,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn answer(&mut self, op: Op) -> Answer {
        self.wait("answer", |peer| {
            let at = peer.answers.iter().position(|(other, _)| *other == op)?;
            Some(peer.answers.swap_remove(at).1)
        })
    }

    /// Waits for the next message.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Received {
        self.wait("message", |peer| peer.messages.pop_front())
    }

    /// Every message that the broker had for this client by now.
    ///
    /// The client sends itself a message and waits for it. What others published before, and the broker has acknowledged,
    /// comes before it.
    #[track_caller]
    pub(crate) fn settled(&mut self) -> Vec<Received> {
        self.barriers += 1;
        let topic = format!("barrier/{}/{}", self.address_of_us(), self.barriers);
        // What waits for an acknowledgement shall not be overtaken, and shall not hold this one up when none comes.
        let qos = if self.is_holding {
            QoS::AtMostOnce
        } else {
            QoS::AtLeastOnce
        };
        self.subscribe(&[filter(&topic, qos)]);
        self.say(&topic, QoS::AtLeastOnce, "");
        let at = self.wait("barrier", |peer| {
            peer.messages
                .iter()
                .position(|message| message.topic() == topic)
        });
        assert_eq!(self.unsubscribe(&[&topic]), [ReasonCode::SUCCESS]);
        let mut before = self.messages.split_off(at);
        before.pop_front();
        std::mem::swap(&mut before, &mut self.messages);
        before.into()
    }

    /// The same, when nothing may have come.
    #[track_caller]
    pub(crate) fn assert_nothing(&mut self) {
        let messages = self.settled();
        assert!(messages.is_empty(), "{messages:?}");
    }

    /// Acknowledges a message that was held.
    pub(crate) fn ack(&mut self, received: &Received) {
        let now = self.now();
        self.machine.ack(now, received.token.expect("QoS 1 or 2"));
        self.write();
    }

    /// Refuses a message that was held.
    pub(crate) fn reject(&mut self, received: &Received, reason: RejectReason) {
        let now = self.now();
        let token = received.token.expect("QoS 1 or 2");
        self.machine.reject(now, token, reason);
        self.write();
    }

    /// Forgets a message that was held when the connection ended, so that it is handed over when it comes again.
    pub(crate) fn forget(&mut self, received: &Received) {
        let token = received.token.expect("QoS 1 or 2");
        assert!(self.machine.forget(token));
    }

    /// Our end of the connection, which no other client has.
    fn address_of_us(&self) -> SocketAddr {
        let socket = self.socket.as_ref().expect("connected");
        socket.local_addr().expect("it is connected")
    }

    /// Waits until every received message is finished.
    #[track_caller]
    pub(crate) fn wait_until_finished(&mut self) {
        self.wait("end of an exchange", |peer| {
            (peer.machine.held() == 0).then_some(())
        });
    }

    /// The Topic Alias Maximum of the broker.
    pub(crate) fn topic_alias_maximum(&self) -> u16 {
        let negotiated = self.machine.negotiated().expect("connected");
        negotiated.topic_alias_maximum
    }

    /// Drops the connection without a DISCONNECT, and waits until the broker has noticed.
    pub(crate) fn cut(&mut self) {
        self.hang_up();
    }

    /// Sends DISCONNECT, and waits until the broker has closed.
    #[track_caller]
    pub(crate) fn disconnect(&mut self, reason: DisconnectReason, properties: Properties<'_>) {
        let now = self.now();
        self.machine
            .disconnect(now, reason, properties)
            .expect("a DISCONNECT that can be sent");
        self.write();
        assert!(self.machine.wants_close());
        self.hang_up();
    }

    /// Sends nothing more and waits until the broker closes.
    pub(crate) fn be_silent(&mut self) {
        let socket = self.socket.take().expect("connected");
        read_to_end(socket);
        self.closed();
    }

    /// Topic Name and Topic Alias of every PUBLISH that was written on this connection.
    pub(crate) fn written_topics(&self) -> Vec<(Option<String>, Option<u16>)> {
        let decoding = Decoding::new(Role::Client);
        let mut rest = self.written.as_slice();
        let mut topics = Vec::new();
        while let Ok(Some(header)) = FixedHeader::parse(rest, &decoding) {
            let (frame, after) = rest.split_at(header.total_len());
            if let Ok(Packet::Publish(publish)) = Packet::decode(frame, &decoding) {
                let name = publish.topic.map(|topic| topic.as_str().to_owned());
                topics.push((name, publish.properties.topic_alias()));
            }
            rest = after;
        }
        topics
    }

    fn hang_up(&mut self) {
        let socket = self.socket.take().expect("connected");
        socket.shutdown(Shutdown::Write).expect("it is open");
        read_to_end(socket);
        self.closed();
    }

    fn closed(&mut self) {
        let now = self.now();
        self.machine.handle_closed(now);
        self.take_events();
        assert_eq!(self.machine.state(), State::Disconnected);
    }

    /// Moves bytes and time until `look` finds what it looks for.
    #[track_caller]
    fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let stopwatch = Stopwatch::start();
        loop {
            self.take_events();
            self.write();
            if let Some(found) = look(self) {
                return found;
            }
            assert!(self.socket.is_some(), "no {what}: {:?}", self.cause);
            assert!(stopwatch.elapsed() < PATIENCE, "no {what} in time");
            self.read();
        }
    }

    fn read(&mut self) {
        let now = self.now();
        let mut is_closed = self.machine.wants_close();
        if let Some(socket) = self.socket.as_mut().filter(|_| !is_closed) {
            match socket.read(self.machine.receive_space()) {
                Ok(0) => is_closed = true,
                Ok(count) => self.machine.handle_received(now, count),
                Err(error) => is_closed = !is_timeout(error.kind()),
            }
        }
        self.machine.handle_timeout(now);
        if is_closed {
            self.socket = None;
            self.closed();
        }
    }

    fn write(&mut self) {
        let now = self.now();
        let Some(socket) = self.socket.as_mut() else {
            return;
        };
        loop {
            let bytes = self.machine.outgoing();
            // A broker that has closed is found when its last packet is read.
            if bytes.is_empty() || socket.write_all(bytes).is_err() {
                return;
            }
            self.written.extend_from_slice(bytes);
            let count = bytes.len();
            self.machine.handle_transmitted(now, count);
        }
    }

    fn take_events(&mut self) {
        let now = self.now();
        let mut tokens = Vec::new();
        while let Some(event) = self.machine.poll_event(now) {
            match event {
                Event::Connected(connack) => {
                    self.accepted = Some(Accepted {
                        session_present: connack.session_present,
                        reason: connack.reason,
                        properties: PropertyBuffer::from(connack.properties),
                    });
                }
                Event::Message { message, token } => {
                    tokens.extend(token.filter(|_| !self.is_holding));
                    self.messages.push_back(Received { message, token });
                }
                Event::Completed { op, outcome } => self.answers.push((op, answer(outcome))),
                Event::Disconnected { cause, .. } => self.cause = Some(cause),
                other => panic!("{other:?}"),
            }
        }
        for token in tokens {
            self.machine.ack(now, token);
        }
    }

    fn now(&self) -> Instant {
        let micros = self.clock.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).expect("tests are short"))
    }
}

fn answer(outcome: Outcome<'_>) -> Answer {
    match outcome {
        Outcome::Delivered { reason, .. } => Answer::Published(reason),
        Outcome::Rejected(acknowledgement) => Answer::Published(acknowledgement.reason),
        Outcome::Subscribed(answer) | Outcome::Unsubscribed(answer) => {
            Answer::Reasons(answer.reasons.iter().collect())
        }
        other => Answer::Failed(format!("{other:?}")),
    }
}

fn read_to_end(mut socket: TcpStream) {
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket option");
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the broker does not close: {error}"),
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
