//! A client machine and a broker machine with a link between them, in virtual time.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use mqtt5_broker::{Action, Broker, Config as BrokerConfig};
use mqtt5_proto::packet::{Connect, SubscribeFilter};
use mqtt5_proto::{Instant, Op, Outbound, Properties, Property, QoS, TopicFilter, TopicName};

use super::face::{Embedded, Told};

/// Guards against two machines that talk for ever.
const MOST_STEPS: usize = 100_000;

pub(crate) struct Pair<C> {
    pub(crate) client: C,
    pub(crate) broker: Broker,
    now: Instant,
    connection: u64,
    pub(crate) open: bool,
    /// How many bytes the link carries at a time.
    chunk: usize,
    told: Vec<Told>,
}

impl<C: Embedded> Pair<C> {
    pub(crate) fn new(config: BrokerConfig, chunk: usize) -> Self {
        Self {
            client: C::new(),
            broker: Broker::new(config),
            now: Instant::ZERO,
            connection: 0,
            open: false,
            chunk,
            told: Vec::new(),
        }
    }

    pub(crate) fn connect(&mut self) {
        self.connect_with(true, 0);
    }

    /// Goes on with the session, which lasts for an hour after each connection.
    pub(crate) fn resume(&mut self) {
        self.connect_with(false, 3_600);
    }

    fn connect_with(&mut self, clean_start: bool, session_expiry: u32) {
        self.connection += 1;
        self.open = true;
        self.broker.handle_open(self.now, self.connection);
        let limits = [
            Property::ReceiveMaximum(4),
            Property::MaximumPacketSize(1024),
            Property::SessionExpiryInterval(session_expiry),
        ];
        let connect = Connect {
            clean_start,
            properties: Properties::new(&limits).unwrap(),
            ..Connect::new("pair")
        };
        self.client.connect(self.now, &connect);
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> Op {
        let filter = SubscribeFilter::new(TopicFilter::new(filter).unwrap(), qos);
        self.client.subscribe(self.now, filter)
    }

    pub(crate) fn publish(&mut self, topic: &str, qos: QoS, payload: &[u8]) -> Op {
        let message = Outbound::new(TopicName::new(topic).unwrap(), qos, payload);
        self.client.publish(self.now, &message)
    }

    pub(crate) fn disconnect(&mut self) {
        self.client.disconnect(self.now);
    }

    /// Cuts the link; what was under way is lost.
    pub(crate) fn cut(&mut self) {
        self.close();
    }

    fn close(&mut self) {
        if self.open {
            self.open = false;
            self.client.handle_closed(self.now);
            self.broker.handle_closed(self.now, self.connection);
        }
    }

    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    fn poll(&mut self) {
        while let Some((told, token)) = self.client.poll(self.now) {
            self.told.push(told);
            if let Some(token) = token {
                self.client.ack(self.now, token);
            }
        }
    }

    /// Lets both sides talk until neither has more to say.
    pub(crate) fn drive(&mut self) {
        for _ in 0..MOST_STEPS {
            self.poll();
            let sent = self.client_to_broker();
            let received = self.broker_to_client();
            self.poll();
            if self.client.wants_close() {
                self.close();
                self.poll();
            }
            if !sent && !received {
                return;
            }
        }
        panic!("the two sides never stop talking");
    }

    fn client_to_broker(&mut self) -> bool {
        let bytes = self.client.outgoing();
        let count = bytes.len().min(self.chunk);
        if count == 0 || !self.open {
            return false;
        }
        self.broker
            .handle_received(self.now, self.connection, &bytes[..count]);
        self.client.handle_transmitted(self.now, count);
        true
    }

    fn broker_to_client(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.broker.poll_action() {
            moved = true;
            let bytes = self.broker.outgoing(self.now, self.connection);
            for part in bytes.chunks(self.chunk) {
                let mut part = part;
                while !part.is_empty() && self.open {
                    let space = self.client.receive_space();
                    let count = part.len().min(space.len());
                    assert!(count > 0, "no space though a packet is incomplete");
                    space[..count].copy_from_slice(&part[..count]);
                    self.client.handle_received(self.now, count);
                    self.poll();
                    part = &part[count..];
                }
            }
            if matches!(action, Action::Close(_) | Action::Abort(_)) {
                self.close();
            }
        }
        moved
    }

    /// Lets time pass, from deadline to deadline.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.drive();
            let next = [
                self.client.poll_timeout(),
                self.broker.poll_timeout().map(|(at, _)| at),
            ];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.broker.handle_timeout(self.now);
        }
    }

    /// Neither side holds anything of an exchange.
    pub(crate) fn assert_idle(&self) {
        assert_eq!(self.client.open(), [0; 5]);
        let statistics = self.broker.statistics();
        assert_eq!(statistics.waiting, 0, "{statistics:?}");
    }

    /// There is no connection any more on either side.
    pub(crate) fn assert_nothing_left(&self) {
        self.assert_idle();
        assert_eq!(self.client.poll_timeout(), None);
        assert_eq!(self.broker.statistics().connections, 0);
    }
}
