//! The process before the first one, of which nothing is left but what the broker holds.

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{Client, Config, Outbound, Properties, Property, QoS, TopicName};

use super::process::Process;
use super::world::{WINDOW, World};

/// Its connection.
const EARLIER: u64 = u64::MAX;

impl<C: Process> World<C> {
    /// As many messages as there may be, of a topic for which nobody asks.
    pub(super) fn leave_unreleased(&mut self) {
        let list = [Property::SessionExpiryInterval(1_000)];
        let connect = Connect {
            properties: Properties::new(&list).unwrap(),
            ..Connect::new("pair")
        };
        let mut earlier = Client::new(Config::default());
        self.broker.handle_open(self.now, EARLIER);
        earlier.connect(self.now, &connect).unwrap();
        let bytes = earlier.outgoing().to_vec();
        self.broker.handle_received(self.now, EARLIER, &bytes);
        earlier.handle_transmitted(self.now, bytes.len());
        while self.broker.poll_action().is_some() {}
        let connack = self.broker.outgoing(self.now, EARLIER);
        earlier.receive_space()[..connack.len()].copy_from_slice(&connack);
        earlier.handle_received(self.now, connack.len());
        while earlier.poll_event(self.now).is_some() {}
        for _ in 0..WINDOW {
            let topic = TopicName::new("earlier").unwrap();
            let message = Outbound::new(topic, QoS::ExactlyOnce, "");
            earlier.publish(self.now, &message).unwrap();
        }
        self.broker
            .handle_received(self.now, EARLIER, earlier.outgoing());
        while self.broker.poll_action().is_some() {}
        self.broker.handle_closed(self.now, EARLIER);
    }
}
