//! Both faces of the machine, and both ways to move bytes, behind one trait.

use mqtt5_proto::packet::{Connect, SubscribeFilter};
use mqtt5_proto::{
    AckToken, Authenticate, Config, DisconnectReason, Instant, Negotiated, Op, Outbound, PacketId,
    Persisted, Progress, Properties, Record, RecordToken, Refused, RejectReason, SessionLoss,
    State, Statistics, TimerReason, TopicFilter, fixed,
};
#[cfg(feature = "alloc")]
use mqtt5_proto::{Client, Incoming, Outgoing};

use super::told::{Told, own};

pub(crate) trait Face {
    /// Whether its capacity is fixed.
    const FIXED: bool;

    /// Nothing outlives its connections.
    fn new(config: Config) -> Self;
    /// Sessions outlive their connections.
    fn keeping(config: Config) -> Self;
    /// Hands in as many of these bytes as there is space for, and gives how many.
    fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize;
    /// Takes up to so many bytes to send, as if that many were written.
    fn transmit(&mut self, now: Instant, maximum: usize) -> Vec<u8>;
    fn poll_event(&mut self, now: Instant) -> Option<Told>;
    /// The driver ends, and with it the buffers that it has.
    fn drop_buffers(&mut self) {}

    fn connect(&mut self, now: Instant, connect: &Connect<'_>) -> Result<(), Refused>;
    fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Result<Op, Refused>;
    fn subscribe(
        &mut self,
        now: Instant,
        filters: &[SubscribeFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Op, Refused>;
    fn unsubscribe(
        &mut self,
        now: Instant,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Op, Refused>;
    fn ack(&mut self, now: Instant, token: AckToken);
    fn reject(&mut self, now: Instant, token: AckToken, reason: RejectReason);
    fn withdraw(&mut self, op: Op) -> bool;
    fn authenticate(&mut self, now: Instant, step: Authenticate<'_>) -> Result<(), Refused>;
    fn reauthenticate(&mut self, now: Instant, data: Option<&[u8]>) -> Result<Op, Refused>;
    fn abandon(&mut self) -> Result<(), Refused>;
    fn forget(&mut self, token: AckToken) -> bool;
    fn has_session(&self) -> bool;
    /// The next record to write, encoded.
    fn poll_persist(&mut self) -> Option<(RecordToken, Vec<u8>)>;
    fn handle_persisted(&mut self, now: Instant, persisted: Persisted);
    /// The whole session, encoded.
    fn records(&self) -> Vec<u8>;
    fn restore(&mut self, now: Instant, records: &[u8]) -> Result<(), Refused>;
    fn disconnect(
        &mut self,
        now: Instant,
        reason: DisconnectReason,
        properties: Properties<'_>,
    ) -> Result<(), Refused>;
    fn set_reading(&mut self, now: Instant, reading: bool);
    fn receive_space(&mut self) -> &mut [u8];
    fn handle_received(&mut self, now: Instant, count: usize);
    fn outgoing(&mut self) -> &[u8];
    fn handle_transmitted(&mut self, now: Instant, count: usize);
    fn handle_closed(&mut self, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<(Instant, TimerReason)>;
    fn wants_read(&self) -> bool;
    fn wants_close(&self) -> bool;
    fn negotiated(&self) -> Option<Negotiated>;
    fn state(&self) -> State;
    fn unsent(&self) -> usize;
    fn pending(&self) -> usize;
    fn is_pending(&self, op: Op) -> bool;
    fn progress(&self, op: Op) -> Option<Progress>;
    fn sent_position(&self) -> u64;
    fn queued_position(&self) -> u64;
    fn offending_publish(&self) -> Option<(PacketId, &[u8])>;
    fn in_flight(&self) -> usize;
    fn requests(&self) -> usize;
    fn held(&self) -> usize;
    fn statistics(&self) -> Statistics;
}

/// What all faces have, forwarded.
macro_rules! forward {
    () => {
        fn connect(&mut self, now: Instant, connect: &Connect<'_>) -> Result<(), Refused> {
            self.client.connect(now, connect)
        }
        fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Result<Op, Refused> {
            self.client.publish(now, message)
        }
        fn subscribe(
            &mut self,
            now: Instant,
            filters: &[SubscribeFilter<'_>],
            properties: Properties<'_>,
        ) -> Result<Op, Refused> {
            self.client.subscribe(now, filters, properties)
        }
        fn unsubscribe(
            &mut self,
            now: Instant,
            filters: &[TopicFilter<'_>],
            properties: Properties<'_>,
        ) -> Result<Op, Refused> {
            self.client.unsubscribe(now, filters, properties)
        }
        fn ack(&mut self, now: Instant, token: AckToken) {
            self.client.ack(now, token);
        }
        fn reject(&mut self, now: Instant, token: AckToken, reason: RejectReason) {
            self.client.reject(now, token, reason);
        }
        fn withdraw(&mut self, op: Op) -> bool {
            self.client.withdraw(op)
        }
        fn abandon(&mut self) -> Result<(), Refused> {
            self.client.abandon()
        }
        fn forget(&mut self, token: AckToken) -> bool {
            self.client.forget(token)
        }
        fn has_session(&self) -> bool {
            self.client.has_session()
        }
        fn poll_persist(&mut self) -> Option<(RecordToken, Vec<u8>)> {
            let (token, record) = self.client.poll_persist()?;
            Some((token, bytes(&record)))
        }
        fn handle_persisted(&mut self, now: Instant, persisted: Persisted) {
            self.client.handle_persisted(now, persisted);
        }
        fn records(&self) -> Vec<u8> {
            self.client
                .records()
                .flat_map(|record| bytes(&record))
                .collect()
        }
        fn restore(&mut self, now: Instant, records: &[u8]) -> Result<(), Refused> {
            self.client.restore(now, parse(records))
        }
        fn authenticate(&mut self, now: Instant, step: Authenticate<'_>) -> Result<(), Refused> {
            self.client.authenticate(now, step)
        }
        fn reauthenticate(&mut self, now: Instant, data: Option<&[u8]>) -> Result<Op, Refused> {
            self.client.reauthenticate(now, data)
        }
        fn disconnect(
            &mut self,
            now: Instant,
            reason: DisconnectReason,
            properties: Properties<'_>,
        ) -> Result<(), Refused> {
            self.client.disconnect(now, reason, properties)
        }
        fn set_reading(&mut self, now: Instant, reading: bool) {
            self.client.set_reading(now, reading);
        }
        fn receive_space(&mut self) -> &mut [u8] {
            self.client.receive_space()
        }
        fn handle_received(&mut self, now: Instant, count: usize) {
            self.client.handle_received(now, count);
        }
        fn outgoing(&mut self) -> &[u8] {
            self.client.outgoing()
        }
        fn handle_transmitted(&mut self, now: Instant, count: usize) {
            self.client.handle_transmitted(now, count);
        }
        fn handle_closed(&mut self, now: Instant) {
            let was_open = self.client.state() != State::Disconnected;
            self.client.handle_closed(now);
            if was_open && !self.keeps {
                let abandoned = self.client.abandon();
                assert!(matches!(abandoned, Ok(()) | Err(Refused::Stopped)));
            }
        }
        fn handle_timeout(&mut self, now: Instant) {
            self.client.handle_timeout(now);
        }
        fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
            self.client.poll_timeout()
        }
        fn wants_read(&self) -> bool {
            self.client.wants_read()
        }
        fn wants_close(&self) -> bool {
            self.client.wants_close()
        }
        fn negotiated(&self) -> Option<Negotiated> {
            self.client.negotiated().copied()
        }
        fn state(&self) -> State {
            self.client.state()
        }
        fn unsent(&self) -> usize {
            self.client.unsent()
        }
        fn pending(&self) -> usize {
            self.client.pending()
        }
        fn is_pending(&self, op: Op) -> bool {
            self.client.is_pending(op)
        }
        fn progress(&self, op: Op) -> Option<Progress> {
            self.client.progress(op)
        }
        fn sent_position(&self) -> u64 {
            self.client.sent_position()
        }
        fn queued_position(&self) -> u64 {
            self.client.queued_position()
        }
        fn offending_publish(&self) -> Option<(PacketId, &[u8])> {
            self.client.offending_publish()
        }
        fn in_flight(&self) -> usize {
            self.client.in_flight()
        }
        fn requests(&self) -> usize {
            self.client.requests()
        }
        fn held(&self) -> usize {
            self.client.held()
        }
        fn statistics(&self) -> Statistics {
            *self.client.statistics()
        }
    };
}

/// Bytes through the borrowing forms.
macro_rules! borrow {
    () => {
        fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
            let space = self.client.receive_space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.client.handle_received(now, count);
            count
        }

        fn transmit(&mut self, now: Instant, maximum: usize) -> Vec<u8> {
            let mut sent = Vec::new();
            while sent.len() < maximum {
                let part = self.client.outgoing();
                let count = part.len().min(maximum - sent.len());
                if count == 0 {
                    break;
                }
                sent.extend_from_slice(&part[..count]);
                self.client.handle_transmitted(now, count);
            }
            sent
        }

        fn poll_event(&mut self, now: Instant) -> Option<Told> {
            self.client.poll_event(now).map(own)
        }
    };
}

/// Room for all records that its other capacities can need: `6 * 8 + 2 * 8 + 8`.
type FixedClient = fixed::Client<16_384, 2_048, 512, 8, 8, 8, 72>;

/// The machine of fixed capacity.
pub(crate) struct Small {
    pub(crate) client: Box<FixedClient>,
    keeps: bool,
}

impl Face for Small {
    const FIXED: bool = true;

    fn new(config: Config) -> Self {
        Self {
            keeps: false,
            ..Self::keeping(one_connection(config))
        }
    }

    fn keeping(config: Config) -> Self {
        plant();
        Self {
            client: Box::new(FixedClient::new(config)),
            keeps: true,
        }
    }

    borrow!();
    forward!();
}

/// The growable machine, bytes through the borrowing forms.
#[cfg(feature = "alloc")]
pub(crate) struct Borrowing {
    pub(crate) client: Client,
    keeps: bool,
}

#[cfg(feature = "alloc")]
impl Face for Borrowing {
    const FIXED: bool = false;

    fn new(config: Config) -> Self {
        Self {
            keeps: false,
            ..Self::keeping(one_connection(config))
        }
    }

    fn keeping(config: Config) -> Self {
        plant();
        Self {
            client: Client::new(config),
            keeps: true,
        }
    }

    borrow!();
    forward!();
}

/// The growable machine, with both buffers in the hands of a driver: the receive buffer whenever reading is wanted, and
/// what it took to write until that is written.
#[cfg(feature = "alloc")]
pub(crate) struct Lending {
    pub(crate) client: Client,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    keeps: bool,
}

#[cfg(feature = "alloc")]
impl Face for Lending {
    const FIXED: bool = false;

    fn new(config: Config) -> Self {
        Self {
            keeps: false,
            ..Self::keeping(one_connection(config))
        }
    }

    fn keeping(config: Config) -> Self {
        plant();
        Self {
            client: Client::new(config),
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            keeps: true,
        }
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.client.take_incoming(&mut self.incoming);
        let space = self.incoming.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.incoming.filled(count);
        self.client.handle_incoming(now, &mut self.incoming);
        count
    }

    fn transmit(&mut self, now: Instant, maximum: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            self.client.take_outgoing(&mut self.outgoing);
            let part = self.outgoing.first();
            let count = part.len().min(maximum - sent.len());
            if count == 0 {
                return sent;
            }
            sent.extend_from_slice(&part[..count]);
            self.client.handle_sent(now, &mut self.outgoing, count);
        }
    }

    fn poll_event(&mut self, now: Instant) -> Option<Told> {
        let event = self.client.poll_event(now).map(own);
        if event.is_none() && self.client.wants_read() {
            self.client.take_incoming(&mut self.incoming);
        }
        event
    }

    fn drop_buffers(&mut self) {
        self.incoming = Incoming::new();
        self.outgoing = Outgoing::new();
    }

    forward!();
}

/// A record as it is written.
pub(crate) fn bytes(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = vec![0; record.encoded_len().unwrap()];
    assert_eq!(record.encode(&mut bytes), Ok(bytes.len()));
    bytes
}

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

/// These scripts look at one connection at a time: nothing outlives it. What does has tests of its own.
fn one_connection(mut config: Config) -> Config {
    config.session_loss = SessionLoss {
        republish_qos1: false,
        republish_qos2: false,
    };
    config
}

/// Plants the fault that the environment names, where faults can be planted.
fn plant() {
    #[cfg(mqtt5_planted)]
    if let Ok(name) = std::env::var("MQTT5_PLANTED") {
        use mqtt5_proto::planted::{Fault, plant};
        plant(Some(Fault::named(&name).expect("the name of a fault")));
    }
}
