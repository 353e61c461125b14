//! What is encoded when: resent, waiting, ruled out.

use super::command::{VERSION, check_capabilities};
use super::handle::Step;
use super::machine::Machine;
use super::types::{delivery, redelivery};
use super::{Op, Refused, Statistics, TopicAliases};
use crate::connection::{Negotiated, State};
use crate::packet::{Acknowledgement, Delivery};
use crate::planted::planted;
use crate::property::TOPIC_ALIAS_LEN;
use crate::session::{Kept, Loss, Pending};
use crate::storage::{Alias, Body, Storage, Transmit};
use crate::{Instant, Packet, PacketId, QoS, ReasonCode};

impl<S: Storage> Machine<S> {
    /// Whether a PUBLISH may be encoded now: bytes, and for QoS 1 and 2 Receive Maximum [MQTT-3.3.4-7] and our own
    /// limits.
    pub(super) fn may_encode(&mut self, qos: QoS, length: usize) -> bool {
        let early = self.connection.state != State::Connected;
        if (early && !self.is_early(qos)) || !self.connection.transmit.may_publish(length) {
            return false;
        }
        if qos == QoS::AtMostOnce && self.session.recording {
            // It may overtake what waits for a record.
            return true;
        }
        if self.session.sender.is_resuming() || (early && self.session.sender.in_flight() > 0) {
            return false;
        }
        qos == QoS::AtMostOnce || (self.session.has_room_in_flight() && self.may_begin(length))
    }

    /// Whether one more exchange may begin on this connection.
    fn may_begin(&self, length: usize) -> bool {
        let server = self
            .negotiated()
            .map_or(0, |n: &Negotiated| n.receive_maximum);
        let in_flight = self.session.in_flight();
        let retained = self.session.retained_bytes().saturating_add(length);
        let server = if planted!(IgnoreReceiveMaximum) {
            u16::MAX
        } else {
            server
        };
        in_flight < usize::from(server.min(self.config.maximum_in_flight))
            && (retained <= self.config.maximum_retained_bytes || in_flight == 0)
    }

    /// Whether a publish that waited for its record may be sent.
    fn may_begin_queued(&self, id: PacketId) -> bool {
        let exchange = self.session.sender.get(id);
        exchange.is_some_and(|exchange| {
            let message = &exchange.body;
            self.session.is_recorded(message)
                && self.session.is_clear(id)
                && self.may_begin(message.length)
        })
    }

    /// The Topic Alias for a message that is encoded at once.
    pub(super) fn alias(&mut self, topic: &str, asked: bool, length: usize) -> Option<Alias> {
        let negotiated = *self.negotiated()?;
        let maximum = alias_maximum(self.config.topic_aliases, &negotiated, asked, topic, length)?;
        self.connection.transmit.alias(topic, maximum)
    }

    pub(super) fn note_encoding(&mut self, now: Instant) {
        let unsent = self.connection.transmit.unsent();
        self.connection.liveness.encoding(now, unsent);
    }

    /// Sends PUBREL for the identifiers of an assumed session that publishes need: its PUBCOMP, also with 0x92 (3.7.2.1), says
    /// that the server holds nothing under them.
    pub(super) fn clear_ids(&mut self, now: Instant) {
        while self.connection.state == State::Connected && self.connection.has_answer_room() {
            let server = self.negotiated().map_or(0, |n| n.receive_maximum);
            let in_flight = server.min(self.config.maximum_in_flight);
            let Some(id) = self.session.next_to_clear(in_flight) else {
                return;
            };
            let pubrel = Acknowledgement::new(id, ReasonCode::SUCCESS);
            self.answer(now, &Packet::Pubrel(pubrel));
        }
    }

    /// Sends what an earlier connection left open, PUBRELs in the order of [MQTT-4.6.0-4], then PUBLISHes in that of
    /// [MQTT-4.6.0-1].
    pub(super) fn resend(&mut self, now: Instant) {
        let Some(negotiated) = self.negotiated().copied() else {
            return;
        };
        while let Some(id) = self.session.sender.next_release() {
            if self.connection.state != State::Connected || !self.connection.has_answer_room() {
                return;
            }
            self.session.sender.note_released(id);
            if !self.session.awaits_record(id) && !planted!(DropPubrel) {
                let pubrel = Acknowledgement::new(id, ReasonCode::SUCCESS);
                self.answer(now, &Packet::Pubrel(pubrel));
            }
        }
        loop {
            let sent_here = self.session.sender.sent_here();
            let Some((id, exchange)) = self.session.sender.next_publish() else {
                return;
            };
            let (op, queued) = (Op(exchange.tag), exchange.is_queued());
            if queued && self.session.has_pending_before(op) {
                return;
            }
            let may_begin = !queued || self.may_begin_queued(id);
            let Some(exchange) = self.session.sender.get_mut(id) else {
                return;
            };
            let start = self.connection.transmit.encoded();
            let message = &mut exchange.body;
            if !may_begin
                || sent_here >= usize::from(negotiated.receive_maximum)
                || !self.connection.transmit.may_publish(message.length)
            {
                return;
            }
            if !message.age(now) && queued {
                self.session.handle_expiry();
                return;
            }
            let delivery = if queued || planted!(ResendWithoutDup) {
                delivery(message.qos, id)
            } else {
                redelivery(message.qos, id)
            };
            let unsent = self.connection.transmit.unsent();
            self.connection.liveness.encoding(now, unsent);
            // It was measured when it was accepted.
            let transmit = &mut self.connection.transmit;
            let alias = alias::<S>(transmit, self.config.topic_aliases, &negotiated, message);
            let _ = transmit.push_body(&message.body, delivery, alias, VERSION);
            Statistics::add(&mut self.statistics.packets_sent, 1);
            Statistics::add(&mut self.statistics.publishes_resent, usize::from(!queued));
            let end = self.queued_position();
            self.session.note_publish(id, start, end);
        }
    }

    /// Gives a publish that a limit of this server rules out, whether it waits or is to be sent again, or that has expired
    /// while it waited.
    pub(super) fn poll_ruled_out(&mut self, now: Instant) -> Option<Step> {
        if !self.session.is_examining() {
            return None;
        }
        let negotiated = self.negotiated().copied();
        let check = |message: &Kept<S::Body>, waits: bool| {
            if let Some(negotiated) = &negotiated {
                check_limits::<S>(message, negotiated).map_err(Loss::LimitExceeded)?;
            }
            let expired = waits && message.expires.is_some_and(|at| at <= now);
            if expired { Err(Loss::Expired) } else { Ok(()) }
        };
        let ended = self
            .session
            .poll_exchange(check)
            .or_else(|| self.session.poll_pending(|message| check(message, true)));
        ended.map(|(op, loss)| Step::Lost(op, loss))
    }

    /// Encodes what waits and may leave now; gives a publish that ends with that.
    pub(super) fn encode_pending(&mut self, now: Instant) -> Option<Step> {
        loop {
            let next = self.session.next_pending()?;
            let (qos, length) = (next.message.qos, next.message.length);
            let negotiated = *self.negotiated()?;
            if !self.may_encode(qos, length) {
                return None;
            }
            let id = match qos {
                QoS::AtMostOnce => PacketId::FIRST,
                _ => self.session.allocate_publish_id()?,
            };
            let Pending { op, mut message } = self.session.pop_pending()?;
            if !message.age(now) {
                return Some(Step::Lost(op, Loss::Expired));
            }
            let start = self.connection.transmit.encoded();
            self.note_encoding(now);
            // It was measured when it was accepted.
            let transmit = &mut self.connection.transmit;
            let alias = alias::<S>(transmit, self.config.topic_aliases, &negotiated, &message);
            let delivery = if planted!(DupOnNew) {
                redelivery(qos, id)
            } else {
                delivery(qos, id)
            };
            let _ = transmit.push_body(&message.body, delivery, alias, VERSION);
            Statistics::add(&mut self.statistics.packets_sent, 1);
            if qos == QoS::AtMostOnce {
                return Some(Step::Accepted(op));
            }
            message.end = self.queued_position();
            self.session.begin(id, op, message, start);
        }
    }
}

/// Checks a message that was accepted earlier against what the server of this connection has announced.
fn check_limits<S: Storage>(
    message: &Kept<S::Body>,
    negotiated: &Negotiated,
) -> Result<(), Refused> {
    let publish = message.body.publish(delivery(message.qos, PacketId::FIRST));
    check_capabilities(message.qos, publish.retain, negotiated)?;
    let (length, maximum) = (message.length, negotiated.maximum_packet_size as usize);
    if length > maximum {
        return Err(Refused::TooLarge { length, maximum });
    }
    Ok(())
}

/// How many Topic Aliases may be used for this message; `None` when none is to be.
fn alias_maximum(
    mode: TopicAliases,
    negotiated: &Negotiated,
    asked: bool,
    topic: &str,
    length: usize,
) -> Option<u16> {
    let ours = match mode {
        TopicAliases::OnRequest(maximum) if asked => maximum,
        TopicAliases::Auto(maximum) if topic.len() > TOPIC_ALIAS_LEN => maximum,
        _ => 0,
    };
    let maximum = match planted!(IgnoreAliasMaximum) {
        true => ours,
        false => ours.min(negotiated.topic_alias_maximum),
    };
    // The alias itself, and what it may add to the length fields.
    let longest = length.saturating_add(TOPIC_ALIAS_LEN).saturating_add(2);
    (maximum > 0 && longest <= negotiated.maximum_packet_size as usize).then_some(maximum)
}

/// The Topic Alias for a message that was kept.
fn alias<S: Storage>(
    transmit: &mut S::Transmit,
    mode: TopicAliases,
    negotiated: &Negotiated,
    message: &Kept<S::Body>,
) -> Option<Alias> {
    let topic = message.body.publish(Delivery::AtMostOnce).topic?.as_str();
    let maximum = alias_maximum(mode, negotiated, message.alias, topic, message.length)?;
    transmit.alias(topic, maximum)
}
