//! Commands of the application.

use core::time::Duration;

use super::machine::Machine;
use super::types::delivery;
use super::{AckToken, DisconnectReason, Op, Outbound, Refused, RejectReason, Statistics};
use crate::connection::{Announced, Authentication, Negotiated, Stage, State, Trigger};
use crate::packet::{Connect, Disconnect, Subscribe, SubscribeFilter, Unsubscribe};
use crate::planted::planted;
use crate::session::{Kept, Pending, Request, RequestKind};
use crate::storage::{Body, Receive, Storage, Table, Transmit};
use crate::{
    DisconnectCause, EncodeError, Instant, Packet, PacketId, Properties, ProtocolVersion, QoS,
    ReasonCode, TopicFilter,
};

pub(super) const VERSION: ProtocolVersion = ProtocolVersion::V5;

impl<S: Storage> Machine<S> {
    pub(crate) fn connect(&mut self, now: Instant, connect: &Connect<'_>) -> Result<(), Refused> {
        let now = self.tick(now);
        if self.connection.state != State::Disconnected {
            return Err(Refused::AlreadyConnected);
        }
        if self.stopped {
            return Err(Refused::Stopped);
        }
        if self.cause_is_pending() {
            return Err(Refused::EventsPending);
        }
        if !self.session.has_record_room(0) {
            return Err(Refused::Full);
        }
        let authentication = Authentication::new(connect.properties.authentication_method())
            .ok_or(Refused::AuthenticationMethodTooLong)?;
        let announced = Announced::new(connect);
        let fits = usize::from(announced.receive_maximum) <= self.session.receiver.capacity()
            && announced.maximum_packet_size as usize <= self.connection.receive.capacity()
            && usize::from(announced.topic_alias_maximum)
                <= self.connection.receive.alias_capacity();
        if !fits {
            return Err(Refused::CapacityNotAnnounced);
        }
        if let Some(will) = &connect.will {
            check_payload_format(&will.properties, will.payload)?;
        }
        let packet = Packet::Connect(*connect);
        self.check_length(packet.encoded_len(VERSION)?, usize::MAX)?;
        self.connection.open(now, announced, authentication);
        self.connection.session_before = self.session.exists;
        self.connection.gate = 0;
        if connect.clean_start && self.session.exists {
            // The server ends its session when it accepts this, whether its answer arrives or not [MQTT-3.1.2-4].
            self.connection.gate = self.session.doubt();
        }
        self.send(now, &packet);
        self.connection.state = self.connection.state.after(Trigger::Connect);
        Ok(())
    }

    pub(crate) fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Result<Op, Refused> {
        let now = self.tick(now);
        let qos = message.qos;
        let length = self.check_publish(message)?;
        if self.session.recording && qos != QoS::AtMostOnce {
            return self.enqueue_recorded(now, message, length);
        }
        let overtakes = planted!(OvertakeWithQos0) && qos == QoS::AtMostOnce;
        if (!self.session.has_pending() || overtakes) && self.may_encode(qos, length) {
            if qos == QoS::AtMostOnce {
                self.note_encoding(now);
                let delivery = delivery(qos, PacketId::FIRST);
                let alias = self.alias(message.topic.as_str(), message.alias, length);
                self.connection
                    .transmit
                    .push_outbound(message, delivery, alias, VERSION)?;
                Statistics::add(&mut self.statistics.packets_sent, 1);
                return Ok(self.session.next_op());
            }
            let id = if self.session.has_room() {
                self.session.allocate_publish_id()
            } else {
                None
            };
            if let Some(id) = id {
                let mut kept = keep::<S>(now, message, length)?;
                let start = self.connection.transmit.encoded();
                self.note_encoding(now);
                let alias = self.alias(message.topic.as_str(), message.alias, length);
                self.connection.transmit.push_outbound(
                    message,
                    delivery(qos, id),
                    alias,
                    VERSION,
                )?;
                Statistics::add(&mut self.statistics.packets_sent, 1);
                let op = self.session.next_op();
                kept.end = self.queued_position();
                self.session.begin(id, op, kept, start);
                return Ok(op);
            }
        }
        self.enqueue(now, message, length)
    }

    fn enqueue(
        &mut self,
        now: Instant,
        message: &Outbound<'_>,
        length: usize,
    ) -> Result<Op, Refused> {
        self.check_room(length)?;
        let message = keep::<S>(now, message, length)?;
        let op = self.session.next_op();
        self.session
            .push_pending(Pending { op, message })
            .map_err(|()| Refused::Full)?;
        self.clear_ids(now);
        Ok(op)
    }

    /// Whether one more publish may wait.
    fn check_room(&self, length: usize) -> Result<(), Refused> {
        let session = &self.session;
        let bytes = session.pending_bytes().saturating_add(length);
        let alone = session.pending() == 0;
        let full = session.pending() >= self.config.maximum_pending
            || (bytes > self.config.maximum_pending_bytes && !alone)
            || !session.has_room()
            || !session.has_record_room(1);
        if full { Err(Refused::Full) } else { Ok(()) }
    }

    /// Takes over a QoS 1 or 2 publish that leaves once it is recorded.
    fn enqueue_recorded(
        &mut self,
        now: Instant,
        message: &Outbound<'_>,
        length: usize,
    ) -> Result<Op, Refused> {
        self.check_room(length)?;
        let message = keep::<S>(now, message, length)?;
        let id = self
            .session
            .allocate_publish_id()
            .ok_or(Refused::PacketIdsExhausted)?;
        let op = self.session.next_op();
        self.session.enqueue(id, op, message);
        self.clear_ids(now);
        Ok(op)
    }

    /// Checks a message against what the server has announced, if it has; gives its length as a packet.
    fn check_publish(&self, message: &Outbound<'_>) -> Result<usize, Refused> {
        let negotiated = self.negotiated();
        if negotiated.is_none() && !self.is_early(message.qos) {
            return Err(Refused::NotConnected);
        }
        refuse_properties(&message.properties, &NEVER_KEPT)?;
        check_payload_format(&message.properties, message.payload.as_slice())?;
        let mut maximum = usize::MAX;
        if let Some(negotiated) = negotiated {
            check_capabilities(message.qos, message.retain, negotiated)?;
            maximum = negotiated.maximum_packet_size as usize;
        }
        let publish = message.publish(delivery(message.qos, PacketId::FIRST));
        let length = Packet::Publish(publish).encoded_len(VERSION)?;
        self.check_length(length, maximum)?;
        Ok(length)
    }

    /// Whether a publish of this QoS need not wait for CONNACK now.
    pub(super) fn is_early(&self, qos: QoS) -> bool {
        qos == QoS::AtMostOnce
            && self.config.publish_before_connack
            && self.connection.state == State::Connecting
            && self.connection.authentication.stage == Stage::Off
    }

    fn check_length(&self, length: usize, maximum: usize) -> Result<(), Refused> {
        let maximum = maximum.min(self.connection.transmit.capacity());
        if length > maximum {
            return Err(Refused::TooLarge { length, maximum });
        }
        Ok(())
    }

    pub(crate) fn abandon(&mut self) -> Result<(), Refused> {
        if self.connection.state != State::Disconnected {
            return Err(Refused::AlreadyConnected);
        }
        if self.stopped {
            return Err(Refused::Stopped);
        }
        self.session.abandon();
        Ok(())
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
            .allocate_request_id()
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

    pub(crate) fn forget(&mut self, token: AckToken) -> bool {
        let AckToken { id, arrival, .. } = token;
        let receiver = &mut self.session.receiver;
        if receiver.forget(id, arrival) {
            return true;
        }
        if self.connection.state == State::Closing {
            // Nothing is acknowledged on it any more.
            receiver.handle_closed();
        }
        receiver.forget(id, arrival)
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
        let limit = self
            .negotiated()
            .map_or(usize::MAX, |n| n.maximum_packet_size as usize);
        let (packet, length) = packet.shed(VERSION, limit)?;
        self.check_length(length, limit)?;
        if length > self.connection.transmit.room() {
            return Err(Refused::Full);
        }
        if let Some(seconds) = properties.session_expiry_interval() {
            if self.connection.state == State::Connected {
                self.session.record_session(seconds);
            }
        }
        self.send(now, &packet);
        self.connection.finish(DisconnectCause::Requested);
        Ok(())
    }
}

const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const SERVER_REFERENCE: u8 = 0x1C;
const TOPIC_ALIAS: u8 = 0x23;

/// What a PUBLISH gets when it is encoded, or never has.
pub(crate) const NEVER_KEPT: [u8; 2] = [TOPIC_ALIAS, SUBSCRIPTION_IDENTIFIER];

pub(crate) fn refuse_properties(
    properties: &Properties<'_>,
    identifiers: &[u8],
) -> Result<(), Refused> {
    match identifiers.iter().find(|id| properties.contains(**id)) {
        Some(identifier) => Err(Refused::PropertyNotSupported(*identifier)),
        None => Ok(()),
    }
}

/// A payload that is said to be text must be text (3.3.2.3.2).
fn check_payload_format(properties: &Properties<'_>, payload: &[u8]) -> Result<(), EncodeError> {
    let is_text = properties.payload_format_indicator() == Some(1);
    if is_text && core::str::from_utf8(payload).is_err() {
        return Err(EncodeError::PayloadNotText);
    }
    Ok(())
}

/// Keeps what is needed to send a message later or again.
fn keep<S: Storage>(
    now: Instant,
    message: &Outbound<'_>,
    length: usize,
) -> Result<Kept<S::Body>, Refused> {
    let maximum = S::Body::CAPACITY;
    let body = S::Body::retain(message).ok_or(Refused::TooLarge { length, maximum })?;
    let expiry = message.properties.message_expiry_interval();
    Ok(Kept {
        qos: message.qos,
        length,
        expires: expiry.map(|s| now.saturating_add(Duration::from_secs(u64::from(s)))),
        alias: message.alias,
        record: 0,
        released: false,
        due: false,
        end: u64::MAX,
        was_sent: false,
        body,
    })
}

/// What the server has said that it does not support [MQTT-3.2.2-11], [MQTT-3.2.2-14].
pub(super) fn check_capabilities(
    qos: QoS,
    retain: bool,
    negotiated: &Negotiated,
) -> Result<(), Refused> {
    if qos > negotiated.maximum_qos {
        return Err(Refused::QoSNotSupported(negotiated.maximum_qos));
    }
    if retain && !negotiated.retain_available {
        return Err(Refused::RetainNotSupported);
    }
    Ok(())
}
