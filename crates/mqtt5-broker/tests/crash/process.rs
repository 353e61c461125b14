//! Both faces of the client machine as a process that can be killed, and its events as far as the test cares.

use mqtt5_proto::packet::{Connect, Publish, SubscribeFilter};
use mqtt5_proto::{
    AckToken, Client, Config, DisconnectCause, Event, Instant, Message, Op, Outbound, Outcome,
    PacketId, Persisted, Properties, QoS, Record, RecordToken, Refused, fixed,
};

/// Room for 16 publishes and 8 received messages, and for all their records.
pub(crate) type Fixed = fixed::Client<1024, 1024, 128, 16, 8, 0, 84>;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// The server has it.
    Delivered,
    /// SUBSCRIBE was answered.
    Answered,
    /// QoS 0 was encoded.
    Accepted,
    /// Nobody knows.
    Lost,
    NotStored,
}

#[derive(Debug)]
pub(crate) enum Told {
    Connected,
    Message {
        number: usize,
        qos: QoS,
        id: Option<PacketId>,
        token: Option<AckToken>,
    },
    Ended(Op, End),
    /// The connection is over; whether the store was why.
    Disconnected(bool),
}

pub(crate) trait Process {
    fn with(config: Config) -> Self;
    fn connect(&mut self, now: Instant, connect: &Connect<'_>) -> Result<(), Refused>;
    fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Result<Op, Refused>;
    fn subscribe(&mut self, now: Instant, filter: SubscribeFilter<'_>) -> Result<Op, Refused>;
    fn withdraw(&mut self, op: Op) -> bool;
    fn ack(&mut self, now: Instant, token: AckToken);
    fn outgoing(&mut self) -> &[u8];
    fn handle_transmitted(&mut self, now: Instant, count: usize);
    fn receive_space(&mut self) -> &mut [u8];
    fn handle_received(&mut self, now: Instant, count: usize);
    fn handle_closed(&mut self, now: Instant);
    fn wants_close(&self) -> bool;
    fn has_session(&self) -> bool;
    fn poll(&mut self, now: Instant) -> Option<Told>;
    /// The next record to write, encoded.
    fn poll_persist(&mut self) -> Option<(RecordToken, Vec<u8>)>;
    fn handle_persisted(&mut self, now: Instant, persisted: Persisted);
    fn restore(&mut self, now: Instant, records: &[u8]);
    /// How many records say all of the session.
    fn records(&self) -> usize;
    /// Everything that is open: pending, in flight, requests, held, unsent.
    fn open(&self) -> [usize; 5];
}

macro_rules! process {
    ($face:ty, $message:ty) => {
        impl Process for $face {
            fn with(config: Config) -> Self {
                Self::new(config)
            }
            fn connect(&mut self, now: Instant, connect: &Connect<'_>) -> Result<(), Refused> {
                self.connect(now, connect)
            }
            fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Result<Op, Refused> {
                self.publish(now, message)
            }
            fn subscribe(
                &mut self,
                now: Instant,
                filter: SubscribeFilter<'_>,
            ) -> Result<Op, Refused> {
                self.subscribe(now, &[filter], Properties::EMPTY)
            }
            fn withdraw(&mut self, op: Op) -> bool {
                self.withdraw(op)
            }
            fn ack(&mut self, now: Instant, token: AckToken) {
                self.ack(now, token);
            }
            fn outgoing(&mut self) -> &[u8] {
                self.outgoing()
            }
            fn handle_transmitted(&mut self, now: Instant, count: usize) {
                self.handle_transmitted(now, count);
            }
            fn receive_space(&mut self) -> &mut [u8] {
                self.receive_space()
            }
            fn handle_received(&mut self, now: Instant, count: usize) {
                self.handle_received(now, count);
            }
            fn handle_closed(&mut self, now: Instant) {
                self.handle_closed(now);
            }
            fn wants_close(&self) -> bool {
                self.wants_close()
            }
            fn has_session(&self) -> bool {
                self.has_session()
            }
            fn poll(&mut self, now: Instant) -> Option<Told> {
                self.poll_event(now)
                    .map(|event| tell(event, |message: $message| parts(&message)))
            }
            fn poll_persist(&mut self) -> Option<(RecordToken, Vec<u8>)> {
                let (token, record) = self.poll_persist()?;
                let mut bytes = vec![0; record.encoded_len().unwrap()];
                record.encode(&mut bytes).unwrap();
                Some((token, bytes))
            }
            fn handle_persisted(&mut self, now: Instant, persisted: Persisted) {
                self.handle_persisted(now, persisted);
            }
            fn restore(&mut self, now: Instant, records: &[u8]) {
                self.restore(now, parse(records)).unwrap();
            }
            fn records(&self) -> usize {
                self.records().count()
            }
            fn open(&self) -> [usize; 5] {
                [
                    self.pending(),
                    self.in_flight(),
                    self.requests(),
                    self.held(),
                    self.unsent(),
                ]
            }
        }
    };
}

process!(Client, Message);
process!(Fixed, Publish<'_>);

/// The records that were written one after the other.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, length) = Record::decode(bytes).unwrap();
        records.push(record);
        bytes = &bytes[length..];
    }
    records
}

/// What a message is, on either storage.
trait Content {
    fn payload(&self) -> &[u8];
    fn delivery(&self) -> mqtt5_proto::packet::Delivery;
}

impl Content for Message {
    fn payload(&self) -> &[u8] {
        self.payload()
    }
    fn delivery(&self) -> mqtt5_proto::packet::Delivery {
        self.delivery()
    }
}

impl Content for Publish<'_> {
    fn payload(&self) -> &[u8] {
        self.payload
    }
    fn delivery(&self) -> mqtt5_proto::packet::Delivery {
        self.delivery
    }
}

fn parts(message: &impl Content) -> (usize, QoS, Option<PacketId>) {
    let delivery = message.delivery();
    let number = message.payload()[0].into();
    (number, delivery.qos(), delivery.packet_id())
}

fn tell<M>(event: Event<'_, M>, parts: impl FnOnce(M) -> (usize, QoS, Option<PacketId>)) -> Told {
    match event {
        Event::Connected(_) => Told::Connected,
        Event::Message { message, token } => {
            let (number, qos, id) = parts(message);
            Told::Message {
                number,
                qos,
                id,
                token,
            }
        }
        Event::Disconnected { cause, .. } => Told::Disconnected(cause == DisconnectCause::Store),
        Event::Completed { op, outcome } => {
            let end = match outcome {
                Outcome::Delivered { .. } => End::Delivered,
                Outcome::Subscribed(_) => End::Answered,
                Outcome::Accepted => End::Accepted,
                Outcome::NotStored => End::NotStored,
                Outcome::Unknown | Outcome::NotSent | Outcome::ConnectionLost => End::Lost,
                other => panic!("{other:?}"),
            };
            Told::Ended(op, end)
        }
        _ => panic!("unknown event"),
    }
}
