//! Commands of the application.

use super::machine::{Machine, Statistics};
use super::types::delivery;
use super::{AckToken, DisconnectReason, Op, Outbound, Refused, RejectReason};
use crate::connection::{Announced, Negotiated, State, Trigger};
use crate::packet::{Connect, Disconnect, Subscribe, SubscribeFilter, Unsubscribe};
use crate::session::{Pending, Request, RequestKind};
use crate::storage::{Body, Receive, Storage, Table, Transmit};
use crate::{
    DisconnectCause, Instant, Packet, PacketId, Properties, ProtocolVersion, QoS, ReasonCode,
    TopicFilter,
};

const VERSION: ProtocolVersion = ProtocolVersion::V5;

impl<S: Storage> Machine<S> {
    pub(crate) fn connect(&mut self, now: Instant, connect: &Connect<'_>) -> Result<(), Refused> {
        let now = self.tick(now);
        if self.connection.state != State::Disconnected {
            return Err(Refused::AlreadyConnected);
        }
        if self.cause_is_pending() {
            return Err(Refused::EventsPending);
        }
        refuse_properties(&connect.properties, &[AUTHENTICATION_METHOD])?;
        if connect.properties.topic_alias_maximum().unwrap_or(0) > 0 {
            return Err(Refused::PropertyNotSupported(TOPIC_ALIAS_MAXIMUM));
        }
        let announced = Announced::new(connect);
        let fits = usize::from(announced.receive_maximum) <= self.session.receiver.capacity()
            && announced.maximum_packet_size as usize <= self.connection.receive.capacity();
        if !fits {
            return Err(Refused::CapacityNotAnnounced);
        }
        let packet = Packet::Connect(*connect);
        self.check_length(packet.encoded_len(VERSION)?, usize::MAX)?;
        self.connection.open(now, announced);
        self.send(now, &packet);
        self.connection.state = self.connection.state.after(Trigger::Connect);
        Ok(())
    }

    pub(crate) fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Result<Op, Refused> {
        let now = self.tick(now);
        let qos = message.qos;
        let length = self.check_publish(message)?;
        if self.session.pending() == 0 && self.may_encode(qos, length) {
            if qos == QoS::AtMostOnce {
                self.note_encoding(now);
                let delivery = delivery(qos, PacketId::FIRST);
                self.connection
                    .transmit
                    .push_outbound(message, delivery, VERSION)?;
                Statistics::add(&mut self.statistics.packets_sent, 1);
                return Ok(self.session.next_op());
            }
            if let Some(id) = self.session.allocate_id() {
                let body = retain::<S>(message, length)?;
                self.note_encoding(now);
                self.connection
                    .transmit
                    .push_outbound(message, delivery(qos, id), VERSION)?;
                let op = self.session.next_op();
                self.begin(id, op, qos, body);
                return Ok(op);
            }
        }
        self.enqueue(message, length)
    }

    fn enqueue(&mut self, message: &Outbound<'_>, length: usize) -> Result<Op, Refused> {
        let bytes = self.session.pending_bytes().saturating_add(length);
        let alone = self.session.pending() == 0;
        if self.session.pending() >= self.config.maximum_pending
            || (bytes > self.config.maximum_pending_bytes && !alone)
        {
            return Err(Refused::Full);
        }
        let body = retain::<S>(message, length)?;
        let op = self.session.next_op();
        let pending = Pending {
            op,
            qos: message.qos,
            length,
            body,
        };
        self.session
            .push_pending(pending)
            .map_err(|()| Refused::Full)?;
        Ok(op)
    }

    /// Checks a message against what the server has announced; gives its length as a packet.
    fn check_publish(&self, message: &Outbound<'_>) -> Result<usize, Refused> {
        let negotiated = self.negotiated().ok_or(Refused::NotConnected)?;
        refuse_properties(&message.properties, &[TOPIC_ALIAS, SUBSCRIPTION_IDENTIFIER])?;
        if message.qos > negotiated.maximum_qos {
            return Err(Refused::QoSNotSupported(negotiated.maximum_qos));
        }
        if message.retain && !negotiated.retain_available {
            return Err(Refused::RetainNotSupported);
        }
        let publish = message.publish(delivery(message.qos, PacketId::FIRST));
        let length = Packet::Publish(publish).encoded_len(VERSION)?;
        self.check_length(length, negotiated.maximum_packet_size as usize)?;
        Ok(length)
    }

    fn check_length(&self, length: usize, maximum: usize) -> Result<(), Refused> {
        let maximum = maximum.min(self.connection.transmit.capacity());
        if length > maximum {
            return Err(Refused::TooLarge { length, maximum });
        }
        Ok(())
    }

    /// Whether a PUBLISH may be encoded now: bytes, and for QoS 1 and 2 Receive Maximum [MQTT-3.3.4-7] and our own
    /// limits.
    fn may_encode(&self, qos: QoS, length: usize) -> bool {
        if self.connection.state != State::Connected
            || !self.connection.transmit.may_publish(length)
        {
            return false;
        }
        if qos == QoS::AtMostOnce {
            return true;
        }
        let server = self
            .negotiated()
            .map_or(0, |n: &Negotiated| n.receive_maximum);
        let in_flight = self.session.sender.in_flight();
        let retained = self.session.retained_bytes.saturating_add(length);
        in_flight < usize::from(server.min(self.config.maximum_in_flight))
            && self.session.sender.has_room()
            && (retained <= self.config.maximum_retained_bytes || in_flight == 0)
    }

    fn note_encoding(&mut self, now: Instant) {
        let unsent = self.connection.transmit.unsent();
        self.connection.liveness.encoding(now, unsent);
    }

    /// Takes note of an exchange whose PUBLISH is encoded.
    fn begin(&mut self, id: PacketId, op: Op, qos: QoS, body: S::Body) {
        let retained = &mut self.session.retained_bytes;
        *retained = retained.saturating_add(body.occupied());
        // `may_encode` has seen room, and `allocate_id` that the identifier is free.
        let _ = self.session.sender.begin(id, op.number(), qos, body);
        Statistics::add(&mut self.statistics.packets_sent, 1);
    }

    /// Encodes what waits and may leave now; gives a QoS 0 publish, which ends with that.
    pub(super) fn encode_pending(&mut self, now: Instant) -> Option<Op> {
        loop {
            let next = self.session.next_pending()?;
            let (qos, length) = (next.qos, next.length);
            if !self.may_encode(qos, length) {
                return None;
            }
            let id = match qos {
                QoS::AtMostOnce => PacketId::FIRST,
                _ => self.session.allocate_id()?,
            };
            let pending = self.session.pop_pending()?;
            self.note_encoding(now);
            // It was measured when it was accepted, on this connection.
            let _ = self
                .connection
                .transmit
                .push_body(&pending.body, delivery(qos, id), VERSION);
            if qos == QoS::AtMostOnce {
                Statistics::add(&mut self.statistics.packets_sent, 1);
                return Some(pending.op);
            }
            self.begin(id, pending.op, qos, pending.body);
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        now: Instant,
        filters: &[SubscribeFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Op, Refused> {
        let negotiated = self.negotiated().ok_or(Refused::NotConnected)?;
        if !negotiated.subscription_identifier_available
            && properties.contains(SUBSCRIPTION_IDENTIFIER)
        {
            return Err(Refused::SubscriptionIdentifiersNotSupported);
        }
        for filter in filters {
            let filter = filter.filter;
            if filter.is_shared() && !negotiated.shared_subscription_available {
                return Err(Refused::SharedSubscriptionsNotSupported);
            }
            if filter.has_wildcard() && !negotiated.wildcard_subscription_available {
                return Err(Refused::WildcardSubscriptionsNotSupported);
            }
        }
        self.request(now, RequestKind::Subscribe, filters.len(), |packet_id| {
            Packet::Subscribe(Subscribe {
                packet_id,
                properties,
                filters: filters.into(),
            })
        })
    }

    pub(crate) fn unsubscribe(
        &mut self,
        now: Instant,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Op, Refused> {
        self.request(now, RequestKind::Unsubscribe, filters.len(), |packet_id| {
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties,
                filters: filters.into(),
            })
        })
    }

    fn request<'a>(
        &mut self,
        now: Instant,
        kind: RequestKind,
        filters: usize,
        packet: impl Fn(PacketId) -> Packet<'a>,
    ) -> Result<Op, Refused> {
        let now = self.tick(now);
        let negotiated = self.negotiated().ok_or(Refused::NotConnected)?;
        let length = packet(PacketId::FIRST).encoded_len(VERSION)?;
        self.check_length(length, negotiated.maximum_packet_size as usize)?;
        if !self.has_request_room(length) {
            return Err(Refused::Full);
        }
        let id = self
            .session
            .allocate_id()
            .ok_or(Refused::PacketIdsExhausted)?;
        let op = self.session.next_op();
        self.send(now, &packet(id));
        let unsent = &mut self.connection.requests;
        *unsent = unsent.saturating_add(length);
        let request = Request { op, kind, filters };
        // There is room, and the identifier is free.
        let _ = self.session.requests.insert(id, request);
        Ok(op)
    }

    /// Requests never wait unencoded, but they are bounded in number and bytes like what does.
    fn has_request_room(&self, length: usize) -> bool {
        let connection = &self.connection;
        let transmit = &connection.transmit;
        let requests = &self.session.requests;
        let bytes = connection.requests.saturating_add(length);
        length <= transmit.capacity().saturating_sub(transmit.unsent())
            && requests.len() < requests.capacity()
            && (bytes <= self.config.maximum_pending_bytes || connection.requests == 0)
    }

    pub(crate) fn acknowledge(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
        let now = self.tick(now);
        let AckToken { id, qos, arrival } = token;
        if self.session.receiver.acknowledge(id, qos, arrival, reason) {
            self.send_answers(now);
        }
    }

    pub(crate) fn reject(&mut self, now: Instant, token: AckToken, reason: RejectReason) {
        self.acknowledge(now, token, reason.into());
    }

    pub(crate) fn disconnect(
        &mut self,
        now: Instant,
        reason: DisconnectReason,
        properties: Properties<'_>,
    ) -> Result<(), Refused> {
        let now = self.tick(now);
        if !self.connection.state.is_open() {
            return Err(Refused::NotConnected);
        }
        refuse_properties(&properties, &[SERVER_REFERENCE])?;
        let kept = properties.session_expiry_interval().unwrap_or(0) > 0;
        if kept && self.connection.announced.session_expiry_interval == 0 {
            return Err(Refused::InvalidSessionExpiry);
        }
        let packet = Packet::Disconnect(Disconnect {
            reason: reason.into(),
            properties,
        });
        let length = packet.encoded_len(VERSION)?;
        let limit = self
            .negotiated()
            .map_or(usize::MAX, |n| n.maximum_packet_size as usize);
        self.check_length(length, limit)?;
        if length > self.connection.transmit.room() {
            return Err(Refused::Full);
        }
        self.send(now, &packet);
        self.connection.finish(DisconnectCause::Requested);
        Ok(())
    }
}

const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const AUTHENTICATION_METHOD: u8 = 0x15;
const SERVER_REFERENCE: u8 = 0x1C;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;

fn refuse_properties(properties: &Properties<'_>, identifiers: &[u8]) -> Result<(), Refused> {
    match identifiers.iter().find(|id| properties.contains(**id)) {
        Some(identifier) => Err(Refused::PropertyNotSupported(*identifier)),
        None => Ok(()),
    }
}

/// Keeps what is needed to send a message later or again.
fn retain<S: Storage>(message: &Outbound<'_>, length: usize) -> Result<S::Body, Refused> {
    let maximum = S::Body::CAPACITY;
    S::Body::retain(message).ok_or(Refused::TooLarge { length, maximum })
}
