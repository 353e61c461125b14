//! What received packets do to the state.

use super::checks::{are_texts, is_allowed, is_explained};
use super::machine::Machine;
use super::{AckToken, Op, Statistics};
use crate::connection::{Authentication, AuthenticationStep, Negotiated, Stage, State, Trigger};
use crate::packet::{
    Acknowledgement, Connack, Disconnect, Publish, PublishLayout, SubscribeAcknowledgement,
};
use crate::planted::planted;
use crate::qos::{Arrival, SenderStep};
use crate::session::{ClientKey, Loss, RequestKind};
use crate::storage::{Arrived, Receive, Storage, Table, Transmit};
use crate::wire::Reader;
use crate::{
    ContentPolicy, DisconnectCause, FixedHeader, Instant, Packet, PacketId, PacketType, QoS,
    ReasonCode, Role, Violation,
};

/// No CONNACK is longer than this, whatever we announced.
const MAXIMUM_CONNACK: usize = 64 * 1024;

/// What is to be told, without a borrow of what it is told from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Connected,
    Message {
        layout: PublishLayout,
        token: Option<AckToken>,
    },
    /// The current packet answers this operation; for QoS 2 with the reason of the PUBREC.
    Answered(Op, ReasonCode),
    Accepted(Op),
    /// The current packet is a step of the server in an authentication.
    Challenge,
    Authenticated(Op),
    Lost(Op, Loss),
    Disconnected,
}

pub(super) type Handled = Result<Option<Step>, Violation>;

impl<S: Storage> Machine<S> {
    /// Handles the next received packet: `None` when there is none or reading is paused, `Some(None)` when it was
    /// handled and there is nothing to tell.
    pub(super) fn handle_frame(&mut self, now: Instant) -> Option<Option<Step>> {
        if !self.connection.state.is_open() || !self.connection.may_handle() {
            return None;
        }
        let limit = self.packet_limit();
        let decoding = self.decoding();
        let handled = match self.connection.receive.next_frame(&decoding, limit) {
            Arrived::Partial(expected) => {
                self.connection.liveness.partial(now, expected);
                return None;
            }
            Arrived::Malformed(error) => Err(error.kind.into()),
            Arrived::TooLarge(length) => Err(self.too_large(length)),
            Arrived::Frame(header) => {
                Statistics::add(&mut self.statistics.packets_received, 1);
                self.connection.liveness.completed();
                match header.packet_type {
                    PacketType::Publish => {
                        let handled = self.handle_publish(now, &header);
                        self.connection.offended = handled.is_err();
                        handled
                    }
                    _ => self.handle_control(now, &header),
                }
            }
        };
        Some(handled.unwrap_or_else(|violation| {
            self.violated(now, violation);
            None
        }))
    }

    /// The longest packet that is accepted now, in bytes.
    fn packet_limit(&self) -> usize {
        let announced = self.connection.announced.maximum_packet_size as usize;
        match self.connection.state {
            State::Connecting => announced.min(MAXIMUM_CONNACK),
            _ => announced,
        }
    }

    fn too_large(&self, length: usize) -> Violation {
        if length > self.connection.announced.maximum_packet_size as usize {
            Violation::PacketTooLarge
        } else {
            Violation::ConnackTooLarge
        }
    }

    fn handle_control(&mut self, now: Instant, header: &FixedHeader) -> Handled {
        let decoding = self.decoding();
        let connection = &self.connection;
        let packet = Packet::decode_body(header, connection.receive.frame(), &decoding)
            .map_err(|error| error.kind)?;
        self.statistics
            .count_deviations(header, &packet.properties());
        if !connection.announced.request_problem_information && is_explained(&packet) {
            if !self.config.lenient {
                return Err(Violation::UnexpectedProblemInformation);
            }
            Statistics::add(&mut self.statistics.unexpected_problem_information, 1);
        }
        let allowed =
            self.config.content == ContentPolicy::Deliver || are_texts(&packet.properties());
        match (connection.state, packet) {
            (State::Connecting, Packet::Connack(connack)) => {
                let facts = ConnackFacts::new(&connack, &connection.authentication, allowed);
                let negotiated = Negotiated::new(&connection.announced, &connack);
                self.handle_connack(facts, negotiated)
            }
            (State::Connected, Packet::Disconnect(_)) if planted!(AnswerDisconnect) => {
                Err(Violation::UnexpectedPacket(PacketType::Disconnect))
            }
            (state, Packet::Disconnect(disconnect)) => {
                let cause = by_server(&disconnect, state, allowed);
                self.connection.abort(cause);
                Ok(None)
            }
            _ if !allowed => Err(Violation::Content),
            (_, Packet::Auth(auth)) => {
                let authentication = &connection.authentication;
                let matching = authentication.is_method(auth.properties.authentication_method());
                let with_data = auth.properties.authentication_data().is_some();
                self.handle_auth(auth.reason, matching, with_data)
            }
            (State::Connected, packet) => {
                let answer = ControlPacket::new(&packet);
                self.handle_answer(now, answer)
            }
            (_, packet) => Err(Violation::UnexpectedPacket(packet.packet_type())),
        }
    }

    fn handle_connack(&mut self, connack: ConnackFacts, negotiated: Negotiated) -> Handled {
        if let Some(cause) = connack.refusal() {
            // A server that refuses has not looked at Clean Start yet (3.1.4).
            self.session.settle_doubt(self.connection.session_before);
            self.connection.abort(cause);
            return Ok(None);
        }
        if !connack.allowed {
            return Err(Violation::Content);
        }
        let announced = &mut self.connection.announced;
        if !connack.method_matches {
            return Err(Violation::UnexpectedAuthentication);
        }
        if announced.empty_client_id {
            announced.client = connack
                .assigned_client
                .ok_or(Violation::MissingClientIdentifier)?;
        }
        if connack.assigned_client.is_some() && !announced.empty_client_id {
            Statistics::add(&mut self.statistics.assigned_identifiers_ignored, 1);
        }
        let known = self.session.exists_for(announced.client)
            || (self.config.assume_session && !self.session.exists);
        if negotiated.session_present && (announced.clean_start || !known) {
            return Err(Violation::UnexpectedSessionPresent);
        }
        self.connection.negotiated = Some(negotiated);
        let authentication = &mut self.connection.authentication;
        if authentication.stage == Stage::Off {
            return Ok(Some(self.accept()));
        }
        let step = if connack.authentication_data {
            AuthenticationStep::AcceptWithData
        } else {
            AuthenticationStep::Accept
        };
        if !authentication.step(step) {
            return Err(Violation::UnexpectedAuthentication);
        }
        Ok(Some(match step {
            AuthenticationStep::AcceptWithData => Step::Challenge,
            _ => self.accept(),
        }))
    }

    /// The connection is accepted by both sides.
    pub(super) fn accept(&mut self) -> Step {
        if let Some(negotiated) = &self.connection.negotiated {
            if negotiated.session_present || planted!(KeepSessionState) {
                self.session.sender.resume();
                let may_hold =
                    negotiated.session_present && negotiated.maximum_qos == QoS::ExactlyOnce;
                if may_hold && !self.session.is_known() && !planted!(AssumeClear) {
                    self.session.assume();
                }
            } else {
                self.session.lose(self.config.session_loss);
            }
            let record = self
                .session
                .record_session(negotiated.session_expiry_interval);
            if !negotiated.session_present {
                // A restart that knew of the old session only would take messages of the new one for repetitions.
                self.connection.gate = record;
            }
            self.session.belongs_to(self.connection.announced.client);
            self.session.handle_limits();
        }
        self.connection.accepted = true;
        self.connection.state = self.connection.state.after(Trigger::Accept);
        Step::Connected
    }

    fn handle_publish(&mut self, now: Instant, header: &FixedHeader) -> Handled {
        if self.connection.state != State::Connected {
            return Err(Violation::UnexpectedPacket(PacketType::Publish));
        }
        let frame = self.connection.receive.frame();
        let body = frame.get(header.header_len..).unwrap_or_default();
        let mut reader = Reader::new(body, header.header_len);
        let (publish, layout) =
            Publish::read(&mut reader, header, &self.decoding()).map_err(|error| error.kind)?;
        let (delivery, named) = (publish.delivery, publish.topic.is_some());
        self.statistics
            .count_deviations(header, &publish.properties);
        if self.config.content == ContentPolicy::Strict && !is_allowed(&publish) {
            return Err(Violation::Content);
        }
        self.handle_alias(&layout, named)?;
        let Some(id) = delivery.packet_id() else {
            return Ok(Some(Step::Message {
                layout,
                token: None,
            }));
        };
        self.handle_arrival(now, id, layout)
    }

    pub(crate) fn offending_publish(&self) -> Option<(PacketId, &[u8])> {
        let frame = self.connection.receive.frame();
        let offended = self.connection.offended.then_some(frame)?;
        let header = FixedHeader::parse(offended, &self.decoding()).ok()??;
        Publish::identity(offended.get(header.header_len..)?, &header)
    }

    /// Keeps the inbound Topic Aliases (3.3.4).
    fn handle_alias(&mut self, layout: &PublishLayout, named: bool) -> Result<(), Violation> {
        if layout.topic_alias == 0 {
            return Ok(());
        }
        if layout.topic_alias > self.connection.announced.topic_alias_maximum {
            return Err(Violation::TopicAliasInvalid);
        }
        let receive = &mut self.connection.receive;
        if named && !receive.learn_alias(layout) {
            return Err(Violation::TopicAliasInvalid);
        }
        if !receive.knows_alias(layout.topic_alias) {
            return Err(Violation::UnknownTopicAlias);
        }
        Ok(())
    }

    fn handle_arrival(&mut self, now: Instant, id: PacketId, layout: PublishLayout) -> Handled {
        let (qos, dup) = (layout.delivery.qos(), layout.delivery.dup());
        let dup = dup || planted!(SwallowReusedId);
        let announced = usize::from(self.connection.announced.receive_maximum);
        let margin = usize::from(self.config.inbound_margin);
        let maximum = announced.saturating_add(margin);
        match self.session.receive(id, qos, dup, maximum) {
            Arrival::New(arrival) => {
                if self.session.receiver.held() > announced {
                    Statistics::add(&mut self.statistics.receive_maximum_overshoot, 1);
                }
                let token = Some(AckToken { id, qos, arrival });
                Ok(Some(Step::Message { layout, token }))
            }
            Arrival::Repeated => {
                Statistics::add(&mut self.statistics.repeated_publishes, 1);
                Ok(None)
            }
            Arrival::AnswerAgain => {
                Statistics::add(&mut self.statistics.repeated_publishes, 1);
                if self.session.receiver.may_answer_again(id) {
                    let pubrec = Acknowledgement::new(id, ReasonCode::SUCCESS);
                    self.answer(now, &Packet::Pubrec(pubrec));
                }
                Ok(None)
            }
            Arrival::TooMany => Err(Violation::ReceiveMaximumExceeded),
            Arrival::IdInUse => Err(Violation::PacketIdInUse),
        }
    }

    fn handle_answer(&mut self, now: Instant, packet: ControlPacket) -> Handled {
        match packet {
            ControlPacket::Acknowledgement(PacketType::Pubrel, id, _) => {
                let reason = if self.session.recording {
                    self.record_finish(id)
                } else {
                    Some(self.session.receiver.release(id))
                };
                if let Some(reason) = reason {
                    let pubcomp = Acknowledgement::new(id, reason);
                    self.answer(now, &Packet::Pubcomp(pubcomp));
                }
                Ok(None)
            }
            ControlPacket::Acknowledgement(packet, id, reason) => {
                self.handle_acknowledgement(now, packet, id, reason)
            }
            ControlPacket::Request(kind, packet, id, count) => {
                self.handle_request_answer(kind, packet, id, count)
            }
            ControlPacket::Pingresp => Ok(None),
            ControlPacket::Other(packet) => Err(Violation::UnexpectedPacket(packet)),
        }
    }

    fn handle_acknowledgement(
        &mut self,
        now: Instant,
        packet: PacketType,
        id: PacketId,
        reason: ReasonCode,
    ) -> Handled {
        if self.session.requests.get(id).is_some() {
            return Err(Violation::WrongAcknowledgement(packet));
        }
        if self.session.note_cleared(packet, id, reason.is_error()) {
            return Ok(None);
        }
        let id = match self.session.sender.front() {
            Some(oldest) if planted!(AnswerOldest) && packet == PacketType::Puback => oldest,
            _ => id,
        };
        let taken = self.connection.transmit.taken();
        let step = match self.session.sender.get(id) {
            // The server cannot know of it.
            Some(exchange) if exchange.is_queued() => SenderStep::unknown(packet, id, reason),
            Some(exchange) if exchange.is_untaken(taken) => {
                Statistics::add(&mut self.statistics.acknowledgements_ignored, 1);
                return Ok(None);
            }
            _ => self.session.sender.acknowledge(packet, id, reason),
        };
        match step {
            SenderStep::Ended(exchange) => {
                self.session.release(id, &exchange);
                let leaks = planted!(QuotaLeak) && packet == PacketType::Pubrec;
                if let Some(negotiated) = self.connection.negotiated.as_mut().filter(|_| leaks) {
                    negotiated.receive_maximum = negotiated.receive_maximum.saturating_sub(1);
                }
                Ok(Some(Step::Answered(Op(exchange.tag), exchange.received)))
            }
            SenderStep::SendPubrel(id, reason) => {
                if reason.is_error() || self.session.record_release(id) {
                    let reason = if planted!(DenyPubrec) {
                        ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
                    } else {
                        reason
                    };
                    self.answer(now, &Packet::Pubrel(Acknowledgement::new(id, reason)));
                }
                if planted!(CompleteAtPubrec) {
                    let exchange = self.session.sender.get(id);
                    return Ok(exchange.map(|exchange| Step::Answered(Op(exchange.tag), reason)));
                }
                Ok(None)
            }
            SenderStep::Ignored => {
                if packet != PacketType::Puback {
                    self.session.note_finished(id);
                }
                Statistics::add(&mut self.statistics.acknowledgements_ignored, 1);
                Ok(None)
            }
            SenderStep::ProtocolError => Err(Violation::WrongAcknowledgement(packet)),
        }
    }

    fn handle_request_answer(
        &mut self,
        kind: RequestKind,
        packet: PacketType,
        id: PacketId,
        count: usize,
    ) -> Handled {
        let wrong = Violation::WrongAcknowledgement(packet);
        match self.session.requests.get(id) {
            Some(request) if request.kind != kind => Err(wrong),
            Some(request) if request.filters != count => Err(Violation::WrongReasonCount),
            Some(request) => {
                let op = request.op;
                self.session.requests.remove(id);
                Ok(Some(Step::Answered(op, ReasonCode::SUCCESS)))
            }
            None if self.session.sender.get(id).is_some() => Err(wrong),
            None => {
                Statistics::add(&mut self.statistics.acknowledgements_ignored, 1);
                Ok(None)
            }
        }
    }
}

/// What the machine needs of a CONNACK besides what is negotiated.
#[derive(Clone, Copy)]
struct ConnackFacts {
    reason: ReasonCode,
    /// The content policy has nothing against it.
    allowed: bool,
    assigned_client: Option<ClientKey>,
    method_matches: bool,
    authentication_data: bool,
}

impl ConnackFacts {
    fn new(connack: &Connack<'_>, authentication: &Authentication, allowed: bool) -> Self {
        let properties = &connack.properties;
        Self {
            reason: connack.reason,
            allowed,
            assigned_client: properties.assigned_client_identifier().map(ClientKey::new),
            method_matches: authentication.is_method(properties.authentication_method()),
            authentication_data: properties.authentication_data().is_some(),
        }
    }

    /// How it ends the connection, if it does.
    const fn refusal(&self) -> Option<DisconnectCause> {
        Some(match self.reason.value() {
            0 => return None,
            code @ 1..=5 => DisconnectCause::RefusedByOlderVersion(code),
            _ if self.allowed => DisconnectCause::Refused(self.reason),
            _ => DisconnectCause::Violation(Violation::ContentFromServer(self.reason)),
        })
    }
}

/// What the machine needs of every other packet.
#[derive(Clone, Copy)]
enum ControlPacket {
    Acknowledgement(PacketType, PacketId, ReasonCode),
    Request(RequestKind, PacketType, PacketId, usize),
    Pingresp,
    Other(PacketType),
}

impl ControlPacket {
    fn new(packet: &Packet<'_>) -> Self {
        let packet_type = packet.packet_type();
        let request = |kind, answer: &SubscribeAcknowledgement<'_>| {
            Self::Request(kind, packet_type, answer.packet_id, answer.reasons.len())
        };
        match packet {
            Packet::Puback(ack)
            | Packet::Pubrec(ack)
            | Packet::Pubrel(ack)
            | Packet::Pubcomp(ack) => Self::Acknowledgement(packet_type, ack.packet_id, ack.reason),
            Packet::Suback(answer) => request(RequestKind::Subscribe, answer),
            Packet::Unsuback(answer) => request(RequestKind::Unsubscribe, answer),
            Packet::Pingresp => Self::Pingresp,
            _ => Self::Other(packet_type),
        }
    }
}

fn by_server(disconnect: &Disconnect<'_>, state: State, allowed: bool) -> DisconnectCause {
    let reason = disconnect.reason;
    if !allowed {
        return DisconnectCause::Violation(Violation::ContentFromServer(reason));
    }
    if state == State::Connecting {
        return DisconnectCause::Violation(Violation::DisconnectBeforeConnack(reason));
    }
    if disconnect.properties.session_expiry_interval().is_some() {
        return DisconnectCause::Violation(Violation::SessionExpiryFromServer(reason));
    }
    let defined = reason.is_defined_for(PacketType::Disconnect, Role::Server);
    DisconnectCause::ByServer { reason, defined }
}
