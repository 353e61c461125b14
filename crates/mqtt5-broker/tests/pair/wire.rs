//! What passes the link, judged from outside, whatever the two sides believe: identifiers, DUP, Receive Maximum, and the
//! order of acknowledgements.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt5_proto::packet::{Packet, Publish};
use mqtt5_proto::{Decoding, FixedHeader, PacketId, QoS, ReasonCode, Role};

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    ToBroker,
    ToClient,
}

impl Way {
    const fn back(self) -> Self {
        match self {
            Self::ToBroker => Self::ToClient,
            Self::ToClient => Self::ToBroker,
        }
    }

    const fn sender(self) -> Role {
        match self {
            Self::ToBroker => Role::Client,
            Self::ToClient => Role::Server,
        }
    }
}

pub(crate) struct Wire {
    /// The beginning of a packet that was given to the link, or has arrived, in pieces.
    given: [Vec<u8>; 2],
    arrived: [Vec<u8>; 2],
    /// The identifiers of each side.
    ledgers: [Ledger; 2],
    /// How many PUBLISHes had a Topic Alias for a topic.
    pub(crate) by_alias: [usize; 2],
    /// How many AUTHs there were.
    pub(crate) auths: [usize; 2],
    /// The broker has accepted the current connection; the client has said goodbye on it.
    accepted: bool,
    left: bool,
    /// What the last CONNACK said that arrived.
    session_present: bool,
    /// Earlier connections that were accepted and ended without a goodbye.
    pub(crate) wills: usize,
}

/// The exchanges that one side has begun, from its own point of view.
struct Ledger {
    receive_maximum: usize,
    open: BTreeMap<PacketId, Use>,
    /// PUBLISHes of the current connection that are not finished.
    here: BTreeSet<PacketId>,
    /// How many PUBRECs have arrived, and the number of the one to which the last PUBREL of the current connection
    /// belongs.
    releases: usize,
    latest: Option<usize>,
    /// What has arrived at the other side on the current connection and is not acknowledged, at each QoS.
    unanswered: [VecDeque<PacketId>; 3],
}

#[derive(Debug, PartialEq)]
enum Use {
    Request,
    Publish {
        payload: Vec<u8>,
        qos: QoS,
    },
    /// With the number of its PUBREC.
    Released(usize),
}

impl Wire {
    /// With the Receive Maximum of each receiver.
    pub(crate) fn new(receive_maximum: [u16; 2]) -> Self {
        Self {
            given: Default::default(),
            arrived: Default::default(),
            ledgers: receive_maximum.map(|receive_maximum| Ledger {
                receive_maximum: receive_maximum.into(),
                open: BTreeMap::new(),
                here: BTreeSet::new(),
                releases: 0,
                latest: None,
                unanswered: Default::default(),
            }),
            by_alias: [0; 2],
            auths: [0; 2],
            accepted: false,
            left: false,
            session_present: false,
            wills: 0,
        }
    }

    /// A new connection begins.
    pub(crate) fn open(&mut self) {
        self.wills += usize::from(self.accepted && !self.left);
        self.accepted = false;
        self.left = false;
        self.given = Default::default();
        self.arrived = Default::default();
        for ledger in &mut self.ledgers {
            ledger.latest = None;
            ledger.unanswered = Default::default();
        }
        let client = &mut self.ledgers[Way::ToBroker as usize];
        client.here.clear();
        client.open.retain(|_, used| *used != Use::Request);
    }

    /// The link was given these bytes, or shown them: their sender cannot know better.
    pub(crate) fn give(&mut self, way: Way, bytes: &[u8]) {
        let stream = std::mem::take(&mut self.given[way as usize]);
        self.given[way as usize] = each_packet(way, stream, bytes, |packet| self.sent(way, packet));
    }

    /// These bytes have arrived at the other side, which handles them.
    pub(crate) fn arrive(&mut self, way: Way, bytes: &[u8]) {
        let stream = std::mem::take(&mut self.arrived[way as usize]);
        self.arrived[way as usize] =
            each_packet(way, stream, bytes, |packet| self.received(way, packet));
    }

    /// How many of these bytes, which arrive next, belong to the packet that has begun to arrive; `None` when it goes on
    /// behind them.
    pub(crate) fn rest_of_packet(&self, way: Way, bytes: &[u8]) -> Option<usize> {
        let begun = &self.arrived[way as usize];
        let stream = [begun, bytes].concat();
        Some(packet_len(way, &stream)? - begun.len())
    }

    /// The client has accepted the connection, as the last CONNACK has.
    pub(crate) fn connected(&mut self) {
        self.ledgers[Way::ToBroker as usize].accepted(self.session_present);
    }

    fn sent(&mut self, way: Way, packet: &Packet<'_>) {
        let ledger = &mut self.ledgers[way as usize];
        match packet {
            Packet::Publish(publish) => {
                self.by_alias[way as usize] += usize::from(publish.topic.is_none());
                ledger.publish(publish);
            }
            Packet::Subscribe(subscribe) => ledger.request(subscribe.packet_id),
            Packet::Unsubscribe(unsubscribe) => ledger.request(unsubscribe.packet_id),
            Packet::Pubrel(ack) if ack.reason == ReasonCode::SUCCESS => {
                ledger.release(ack.packet_id);
            }
            Packet::Puback(ack) => self.answered(way, ack.packet_id, QoS::AtLeastOnce),
            Packet::Pubrec(ack) => self.answered(way, ack.packet_id, QoS::ExactlyOnce),
            Packet::Connack(connack) => {
                self.accepted = true;
                ledger.here.clear();
                ledger.accepted(connack.session_present);
            }
            Packet::Auth(_) => self.auths[way as usize] += 1,
            _ => {}
        }
    }

    fn received(&mut self, way: Way, packet: &Packet<'_>) {
        if let Packet::Publish(publish) = packet {
            let ledger = &mut self.ledgers[way as usize];
            if let Some(id) = publish.delivery.packet_id() {
                ledger.unanswered[publish.delivery.qos() as usize].push_back(id);
            }
        }
        let ledger = &mut self.ledgers[way.back() as usize];
        match packet {
            Packet::Puback(ack) | Packet::Pubcomp(ack) => ledger.finish(ack.packet_id),
            Packet::Pubrec(ack) if ack.reason.is_error() => ledger.finish(ack.packet_id),
            Packet::Pubrec(ack) => ledger.received(ack.packet_id),
            Packet::Suback(answer) | Packet::Unsuback(answer) => ledger.finish(answer.packet_id),
            Packet::Connack(connack) => self.session_present = connack.session_present,
            Packet::Disconnect(disconnect) => {
                self.left |= disconnect.reason == ReasonCode::NORMAL_DISCONNECTION;
            }
            _ => {}
        }
    }

    /// PUBACK or PUBREC: in the order of arrival [MQTT-4.6.0-2], [MQTT-4.6.0-3].
    fn answered(&mut self, way: Way, id: PacketId, qos: QoS) {
        let oldest = self.ledgers[way.back() as usize].unanswered[qos as usize].pop_front();
        assert_eq!(oldest, Some(id), "acknowledged out of order at {qos:?}");
    }

    /// No identifier is left in use.
    pub(crate) fn check(&self) {
        for ledger in &self.ledgers {
            assert!(ledger.open.is_empty(), "still in use: {:?}", ledger.open);
        }
    }
}

/// The length of the packet that these bytes begin with, when it is complete.
fn packet_len(way: Way, bytes: &[u8]) -> Option<usize> {
    let header = FixedHeader::parse(bytes, &Decoding::new(way.sender()));
    let length = header.expect("a valid header")?.total_len();
    (length <= bytes.len()).then_some(length)
}

/// Handles each packet that is complete with these bytes; gives the beginning of the next one.
fn each_packet(
    way: Way,
    mut stream: Vec<u8>,
    bytes: &[u8],
    mut handle: impl FnMut(&Packet<'_>),
) -> Vec<u8> {
    stream.extend_from_slice(bytes);
    let mut start = 0;
    while let Some(length) = packet_len(way, &stream[start..]) {
        let frame = &stream[start..start + length];
        let decoding = Decoding::new(way.sender());
        handle(&Packet::decode(frame, &decoding).expect("a valid packet"));
        start += length;
    }
    stream.split_off(start)
}

impl Ledger {
    fn publish(&mut self, publish: &Publish<'_>) {
        let Some(id) = publish.delivery.packet_id() else {
            return;
        };
        let used = Use::Publish {
            payload: publish.payload.into(),
            qos: publish.delivery.qos(),
        };
        if publish.delivery.dup() {
            assert_eq!(self.open.get(&id), Some(&used), "sent again with {id:?}");
        } else {
            let old = self.open.insert(id, used);
            assert_eq!(old, None, "{id:?} in two exchanges");
        }
        let is_first = self.here.insert(id);
        assert!(is_first, "{id:?} sent twice on one connection");
        assert!(self.here.len() <= self.receive_maximum, "Receive Maximum");
    }

    fn request(&mut self, id: PacketId) {
        let old = self.open.insert(id, Use::Request);
        assert_eq!(old, None, "{id:?} in two exchanges");
    }

    /// PUBREC has arrived.
    fn received(&mut self, id: PacketId) {
        self.releases += 1;
        if let Some(used @ Use::Publish { .. }) = self.open.get_mut(&id) {
            *used = Use::Released(self.releases);
        }
    }

    /// PUBREL is sent: in the order of PUBRECs [MQTT-4.6.0-4].
    fn release(&mut self, id: PacketId) {
        let Some(Use::Released(number)) = self.open.get(&id) else {
            panic!("PUBREL {id:?} without PUBREC");
        };
        assert!(self.latest < Some(*number), "PUBREL {id:?} out of order");
        self.latest = Some(*number);
    }

    fn finish(&mut self, id: PacketId) {
        self.open.remove(&id);
        self.here.remove(&id);
    }

    /// CONNACK tells whether the session goes on.
    fn accepted(&mut self, session_present: bool) {
        if !session_present {
            self.open.clear();
        }
    }
}
