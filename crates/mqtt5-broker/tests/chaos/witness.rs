//! What a client sees of a broker, and what it must never see.

use std::collections::BTreeMap;

use mqtt5_proto::packet::{Delivery, Packet, Publish};
use mqtt5_proto::{Decoding, PacketType, QoS, ReasonCode, Role};

use crate::common::{puback, pubcomp, pubrec, split};

/// How far an exchange of which PUBLISH was seen has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Publish(QoS),
    /// PUBREC was sent.
    Received,
    Pubrel,
    /// PUBREL of an exchange of an earlier connection.
    Carried,
}

/// Looks at everything that arrives on one connection.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) client_id: &'static str,
    pub(crate) receive_maximum: usize,
    pub(crate) maximum_packet_size: usize,
    pub(crate) alias_maximum: usize,
    /// It has broken rules itself, or the broker breaks some on purpose: what is in flight is not known.
    pub(crate) is_lenient: bool,
    pub(crate) is_connected: bool,
    pub(crate) is_over: bool,
    exchanges: BTreeMap<u16, Seen>,
    aliases: BTreeMap<u16, String>,
}

impl Witness {
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        for frame in split(bytes) {
            assert!(frame.len() <= self.maximum_packet_size);
            assert!(!self.is_over, "after the last packet");
            let packet = Packet::decode(&frame, &Decoding::new(Role::Server)).expect("a packet");
            let is_connack = packet.packet_type() == PacketType::Connack;
            assert_eq!(is_connack, !self.is_connected, "{packet:?}");
            self.is_connected = true;
            match packet {
                Packet::Connack(connack) => self.is_over = connack.reason.is_error(),
                Packet::Disconnect(_) => self.is_over = true,
                Packet::Publish(publish) => self.see_publish(&publish),
                Packet::Pubrel(ack) => {
                    let id = ack.packet_id.value();
                    let is_known = self.exchanges.contains_key(&id);
                    let seen = [Seen::Carried, Seen::Pubrel][usize::from(is_known)];
                    self.exchanges.insert(id, seen);
                }
                _ => {}
            }
        }
    }

    fn see_publish(&mut self, publish: &Publish<'_>) {
        let alias = publish.properties.topic_alias();
        let topic = publish.topic.map(|topic| topic.as_str().to_owned());
        let topic = match alias {
            None => topic,
            Some(alias) => {
                assert!((1..=self.alias_maximum).contains(&usize::from(alias)));
                let known = self.aliases.get(&alias).cloned();
                let topic = topic.or(known).expect("a topic");
                self.aliases.insert(alias, topic.clone());
                Some(topic)
            }
        };
        if let Some(named) = named_topic(publish.payload) {
            assert_eq!(topic.as_deref(), Some(named));
        }
        assert_ne!(publish.properties.message_expiry_interval(), Some(0));
        let (Delivery::AtLeastOnce { id, .. } | Delivery::ExactlyOnce { id, .. }) =
            publish.delivery
        else {
            return;
        };
        let seen = Seen::Publish(publish.delivery.qos());
        let before = self.exchanges.insert(id.value(), seen);
        if !self.is_lenient {
            assert_eq!(before, None, "identifier {id:?} is in use");
            let all = self.exchanges.values();
            let count = all.filter(|seen| **seen != Seen::Carried).count();
            assert!(count <= self.receive_maximum, "{count} messages");
        }
    }

    /// Whether it may go on.
    pub(crate) const fn is_served(&self) -> bool {
        self.is_connected && !self.is_over
    }

    /// The answer to one of the packets that it has seen.
    pub(crate) fn answer(&mut self, at: usize, reason: ReasonCode) -> Option<Packet<'static>> {
        let count = self.exchanges.len().max(1);
        let (&id, &seen) = self.exchanges.iter().nth(at % count)?;
        match seen {
            Seen::Publish(QoS::ExactlyOnce) if !reason.is_error() => {
                self.exchanges.insert(id, Seen::Received);
                Some(pubrec(id, reason))
            }
            Seen::Publish(qos) => {
                self.exchanges.remove(&id);
                Some(match qos {
                    QoS::ExactlyOnce => pubrec(id, reason),
                    _ => puback(id, reason),
                })
            }
            Seen::Received => None,
            Seen::Pubrel | Seen::Carried => {
                self.exchanges.remove(&id);
                Some(pubcomp(id, ReasonCode::SUCCESS))
            }
        }
    }
}

/// The topic that a payload names, unless it was made otherwise.
fn named_topic(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    text.strip_prefix('=')?.split_once('|').map(|parts| parts.0)
}
