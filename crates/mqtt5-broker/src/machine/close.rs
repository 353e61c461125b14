//! How connections and sessions end, and what then happens to wills.

use std::time::Duration;

use mqtt5_proto::packet::{Connack, Disconnect, Packet};
use mqtt5_proto::{Property, PropertyBuffer, QoS, ReasonCode, TopicFilter};

use super::deliver::Target;
use super::{Action, Broker};
use crate::aliases::TopicAliases;
use crate::connection::Phase;
use crate::message::{Delivery, Fanout};
use crate::timers::{ConnectionSlot, Timer};
use crate::trie::SessionSlot;

impl Broker {
    pub(super) fn handle_disconnect(
        &mut self,
        slot: ConnectionSlot,
        session: SessionSlot,
        disconnect: &Disconnect<'_>,
    ) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        if let Some(expiry) = disconnect.properties.session_expiry_interval() {
            let asked = self.connections.get(slot).map(|c| c.limits.session_expiry);
            if asked == Some(0) && expiry != 0 {
                // It is no valid DISCONNECT then (3.14.2.2.2).
                let text = "Session Expiry Interval that was 0 in CONNECT";
                return self.fail(slot, ReasonCode::PROTOCOL_ERROR, text);
            }
            entry.expiry = expiry.min(self.config.maximum_session_expiry);
        }
        // Only 0x00 discards the will [MQTT-3.14.4-3]; 0x04 and every error publish it.
        if disconnect.reason == ReasonCode::NORMAL_DISCONNECTION {
            entry.will = None;
        }
        self.close(slot);
    }

    /// Ends a connection for a reason that the client is told: in CONNACK before it is accepted, in DISCONNECT after
    /// [MQTT-3.14.0-1]. An empty text is not sent.
    pub(super) fn fail(&mut self, slot: ConnectionSlot, reason: ReasonCode, text: &str) {
        self.fail_with(slot, reason, None, text);
    }

    /// Ends a connection as [`fail`](Self::fail) does, naming another server.
    pub(super) fn fail_with(
        &mut self,
        slot: ConnectionSlot,
        reason: ReasonCode,
        server_reference: Option<&str>,
        text: &str,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let (phase, is_ungreeted) = (connection.phase, connection.is_ungreeted);
        let packet = |properties| match phase {
            Phase::Closing => None,
            Phase::Live(_) if !is_ungreeted => {
                Some(Packet::Disconnect(Disconnect { reason, properties }))
            }
            _ => Some(Packet::Connack(Connack {
                session_present: false,
                reason,
                properties,
            })),
        };
        let mut explanation = PropertyBuffer::new();
        if let Some(reference) = server_reference {
            let _ = explanation.push(Property::ServerReference(reference));
        }
        let reference = explanation.clone();
        if connection.limits.wants_problem_information && !text.is_empty() {
            let _ = explanation.push(Property::ReasonString(text));
        }
        // What does not fit is left out, the Reason String first [MQTT-3.14.2-3].
        for properties in [&explanation, &reference, &PropertyBuffer::new()] {
            match packet(properties.as_properties()) {
                Some(packet) if self.outputs.write(self.now, connection, &packet) => break,
                _ => {}
            }
        }
        self.close(slot);
    }

    /// Closes a connection after what is left has been written.
    pub(super) fn close(&mut self, slot: ConnectionSlot) {
        self.finish(slot, Action::Close);
    }

    /// Closes a connection at once.
    pub(super) fn abort(&mut self, slot: ConnectionSlot) {
        self.finish(slot, Action::Abort);
    }

    fn finish(&mut self, slot: ConnectionSlot, action: fn(u64) -> Action) {
        self.detach(slot);
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if connection.phase == Phase::Closing {
            return;
        }
        connection.phase = Phase::Closing;
        connection.partial = Vec::new();
        connection.aliases = Vec::new();
        connection.topic_aliases = TopicAliases::default();
        connection.authentication = None;
        if let Some(faults) = &mut self.outputs.faults {
            faults.forget(connection.number);
        }
        self.outputs.relieve(connection);
        self.outputs.actions.push_back(action(connection.number));
        self.set_deadline(slot, self.now + LINGER);
    }

    /// Takes a connection from its session, which may end or publish its will.
    pub(super) fn detach(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Phase::Live(session) = connection.phase else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.detach();
        let expiry = entry.expiry;
        if expiry == 0 {
            return self.end_session(session);
        }
        if expiry != NEVER {
            let at = self.now + Duration::from_secs(expiry.into());
            entry.ends_at = Some(at);
            self.timers.set(at, Timer::Session(session));
        }
        match entry.will.as_ref().map(|will| will.delay) {
            None => {}
            Some(0) => self.publish_will(session),
            Some(delay) => {
                let at = self.now + Duration::from_secs(delay.into());
                entry.will_at = Some(at);
                self.timers.set(at, Timer::Will(session));
            }
        }
    }

    /// Publishes the will of a session and removes it [MQTT-3.1.2-10].
    pub(super) fn publish_will(&mut self, session: SessionSlot) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        self.timers
            .clear(entry.will_at.take(), Timer::Will(session));
        let Some(will) = entry.will.take() else {
            return;
        };
        self.route(Some(session), Fanout::new(self.now, will.publication()));
    }

    /// Ends a session with everything that belongs to it; the will is published now at the latest [MQTT-3.1.2-8].
    pub(super) fn end_session(&mut self, session: SessionSlot) {
        self.publish_will(session);
        let Some(mut entry) = self.sessions.remove(session) else {
            return;
        };
        self.clients.remove(&entry.client_id);
        self.timers
            .clear(entry.ends_at.take(), Timer::Session(session));
        for filter in &entry.subscriptions {
            if let Ok(filter) = TopicFilter::new(filter) {
                self.subscriptions.remove(filter, session);
            }
        }
        let mut unfinished = Vec::new();
        while let Some((_, exchange)) = entry.sender.pop_front() {
            // A QoS 2 message that was begun goes to nobody else [MQTT-4.8.2-5].
            if exchange.body.qos == QoS::AtLeastOnce {
                unfinished.push(exchange.body);
            }
        }
        unfinished.extend(entry.queue);
        unfinished
            .into_iter()
            .for_each(|delivery| self.pass_on(delivery));
    }

    /// Gives a message that came through a Shared Subscription to another member (4.8.2).
    fn pass_on(&mut self, delivery: Delivery) {
        let Some(share) = &delivery.share else { return };
        let Ok(filter) = TopicFilter::new(share) else {
            return;
        };
        let Some(group) = self.subscriptions.group(filter) else {
            return;
        };
        let sessions = &self.sessions;
        let is_ready = |slot| sessions.get(slot).is_some_and(|s| s.connection.is_some());
        let Some((session, subscription)) = group.take_turn(is_ready) else {
            return;
        };
        let retain = delivery.message.retain && subscription.retain_as_published;
        let target = Target::shared(&subscription, retain, share);
        let mut fanout = Fanout::stored(delivery.message, retain);
        self.deliver(session, target, &mut fanout, true);
    }

    pub(super) fn handle_connection_timeout(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.deadline = None;
        match (connection.phase, connection.patience) {
            (Phase::Waiting | Phase::Authenticating, _) => self.close(slot),
            (Phase::Closing, _) => {
                self.outputs
                    .actions
                    .push_back(Action::Abort(connection.number));
            }
            (Phase::Live(_), None) => {}
            (Phase::Live(_), Some(patience)) => {
                let at = connection.last_received + patience;
                if at <= self.now {
                    // As if the network had failed [MQTT-3.1.2-22].
                    self.fail(slot, ReasonCode::KEEP_ALIVE_TIMEOUT, "");
                } else {
                    self.set_deadline(slot, at);
                }
            }
        }
    }
}

/// The Session Expiry Interval of a session that does not expire (3.1.2.11.2).
const NEVER: u32 = u32::MAX;

/// How long a closed connection may take to go away.
const LINGER: Duration = Duration::from_secs(1);
