//! A second client of the broker: it connects, publishes, and does not listen.

use super::{Link, id};
use mqtt5_proto::packet::{Acknowledgement, Connect, Delivery, Publish};
use mqtt5_proto::{Packet, Properties, ProtocolVersion, QoS, ReasonCode, TopicName};

/// The number of its connection, which no client under test ever gets to.
const CONNECTION: u64 = u64::MAX;

pub(super) struct Feeder {
    next: u16,
}

impl Feeder {
    pub(super) fn new(link: &mut Link) -> Self {
        let now = link.now();
        link.broker().handle_open(now, CONNECTION);
        let feeder = Self { next: 0 };
        feeder.send(
            link,
            &Packet::Connect(Connect {
                clean_start: true,
                keep_alive: 0,
                client_id: "feeder",
                will: None,
                username: None,
                password: None,
                properties: Properties::EMPTY,
            }),
        );
        feeder
    }

    /// Publishes; what that sets in motion happens when the link next runs.
    pub(super) fn publish(&mut self, link: &mut Link, topic: &str, qos: QoS, payload: &[u8]) {
        self.next = self.next % u16::MAX + 1;
        let (id, dup) = (id(self.next), false);
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
        };
        self.send(
            link,
            &Packet::Publish(Publish {
                delivery,
                retain: false,
                topic: Some(TopicName::new(topic).expect("valid")),
                properties: Properties::EMPTY,
                payload,
            }),
        );
        if qos == QoS::ExactlyOnce {
            let success = Acknowledgement::new(id, ReasonCode::SUCCESS);
            self.send(link, &Packet::Pubrel(success));
        }
    }

    fn send(&self, link: &mut Link, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet
            .encode_to_vec(ProtocolVersion::V5, &mut bytes)
            .expect("valid");
        let (now, broker) = (link.now(), link.broker());
        broker.handle_received(now, CONNECTION, &bytes);
    }
}
