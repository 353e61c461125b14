//! From one publisher to every receiver.

use std::sync::Arc;

use mqtt5_proto::packet::Delivery as Envelope;
use mqtt5_proto::{Instant, QoS, ReasonCode};

use super::Broker;
use crate::connection::Connection;
use crate::message::{Delivery, Fanout, Identifiers};
use crate::outputs::{Address, Outputs, envelope};
use crate::session::{Bounds, Session};
use crate::slab::Slab;
use crate::timers::{ConnectionSlot, Timer};
use crate::trie::{Group, SessionSlot, Subscription, Visitor};

/// One subscription that a message matches.
#[derive(Debug)]
pub(super) struct Match {
    session: SessionSlot,
    target: Target,
}

impl Match {
    /// Whether both make one copy: a Shared Subscription always makes a copy of its own (4.8.2).
    fn belongs_to(&self, other: &Self) -> bool {
        self.session == other.session && self.target.share.is_none() && other.target.share.is_none()
    }
}

/// How one receiver gets a message.
#[derive(Clone, Debug)]
pub(super) struct Target {
    qos: QoS,
    retain: bool,
    identifiers: Identifiers,
    share: Option<Arc<str>>,
}

impl Target {
    /// Through a subscription of the session's own.
    pub(super) fn individual(subscription: &Subscription, retain: bool) -> Self {
        let mut identifiers = Identifiers::None;
        identifiers.push(subscription.identifier);
        Self {
            qos: subscription.qos,
            retain,
            identifiers,
            share: None,
        }
    }

    /// Through a Shared Subscription.
    pub(super) fn shared(subscription: &Subscription, retain: bool, filter: &Arc<str>) -> Self {
        let share = Some(Arc::clone(filter));
        Self {
            share,
            ..Self::individual(subscription, retain)
        }
    }

    /// One copy for all subscriptions of a session: the maximum QoS [MQTT-3.3.4-2], all identifiers [MQTT-3.3.4-4].
    fn merge(&mut self, other: &Self) {
        self.qos = self.qos.max(other.qos);
        self.retain |= other.retain;
        for &identifier in other.identifiers.as_slice() {
            self.identifiers.push(Some(identifier));
        }
    }
}

/// Collects what a message matches.
struct Collector<'a> {
    sessions: &'a Slab<Session>,
    /// The publisher, whose own subscriptions may be without local messages.
    origin: Option<SessionSlot>,
    retain: bool,
    matches: &'a mut Vec<Match>,
}

impl Collector<'_> {
    /// The RETAIN flag of the copy [MQTT-3.3.1-12], [MQTT-3.3.1-13].
    fn retain(&self, subscription: &Subscription) -> bool {
        self.retain && subscription.retain_as_published
    }
}

impl Visitor for Collector<'_> {
    fn individual(&mut self, session: SessionSlot, subscription: &Subscription) {
        // [MQTT-3.8.3-3]
        if !(subscription.no_local && self.origin == Some(session)) {
            let target = Target::individual(subscription, self.retain(subscription));
            self.matches.push(Match { session, target });
        }
    }

    fn shared(&mut self, group: &mut Group) {
        let sessions = self.sessions;
        let is_ready = |slot| {
            sessions
                .get(slot)
                .is_some_and(|s: &Session| s.connection.is_some())
        };
        if let Some((session, subscription)) = group.take_turn(is_ready) {
            let target = Target::shared(&subscription, self.retain(&subscription), &group.filter);
            self.matches.push(Match { session, target });
        }
    }
}

impl Broker {
    /// Retains a message if it asks for it and gives it to everybody who subscribed; the answer to its publisher.
    pub(super) fn route(
        &mut self,
        origin: Option<SessionSlot>,
        mut fanout: Fanout<'_>,
    ) -> ReasonCode {
        if fanout.retain && !self.retain(&mut fanout) && fanout.qos > QoS::AtMostOnce {
            return ReasonCode::QUOTA_EXCEEDED;
        }
        let mut matches = std::mem::take(&mut self.matches);
        let mut collector = Collector {
            sessions: &self.sessions,
            origin,
            retain: fanout.retain,
            matches: &mut matches,
        };
        self.subscriptions.visit(fanout.topic(), &mut collector);
        if matches.len() > 1 {
            matches.sort_unstable_by_key(|found| (found.session, found.target.share.is_some()));
        }
        let mut reason = ReasonCode::NO_MATCHING_SUBSCRIBERS;
        let mut all = matches.drain(..).peekable();
        while let Some(mut found) = all.next() {
            while let Some(next) = all.next_if(|next| next.belongs_to(&found)) {
                found.target.merge(&next.target);
            }
            let is_taken = self.deliver(found.session, found.target, &mut fanout, false);
            if is_taken {
                reason = ReasonCode::SUCCESS;
            } else if reason == ReasonCode::NO_MATCHING_SUBSCRIBERS {
                reason = ReasonCode::QUOTA_EXCEEDED;
            }
        }
        drop(all);
        self.matches = matches;
        reason
    }

    /// Replaces or removes the retained message of a topic [MQTT-3.3.1-5]; false when there is no room.
    fn retain(&mut self, fanout: &mut Fanout<'_>) -> bool {
        if fanout.content().payload.is_empty() {
            // [MQTT-3.3.1-6], [MQTT-3.3.1-7]
            self.drop_retained(fanout.content().topic.as_str());
            return true;
        }
        let message = fanout.store();
        let old = self
            .retained
            .get(&message.topic)
            .map_or(0, |old| old.size());
        let is_new = old == 0;
        let bytes = self.retained.bytes() - old + message.size();
        if self.retained.len() + usize::from(is_new) > self.config.maximum_retained
            || bytes > self.config.maximum_retained_bytes
        {
            return false;
        }
        self.drop_retained(&message.topic);
        let expires = message.expires;
        let key = self.retained.insert(message);
        if let Some(at) = expires {
            self.timers.set(at, Timer::Retained(key));
        }
        true
    }

    fn drop_retained(&mut self, topic: &str) {
        if let Some((key, message)) = self.retained.remove(topic) {
            self.timers.clear(message.expires, Timer::Retained(key));
        }
    }

    /// Gives a message to one receiver: at once if it may be sent, otherwise to its queue. False when there is no room.
    ///
    /// A QoS 0 message waits only if it `may_wait`; otherwise it is lost when the client is away or too slow.
    pub(super) fn deliver(
        &mut self,
        session: SessionSlot,
        target: Target,
        fanout: &mut Fanout<'_>,
        may_wait: bool,
    ) -> bool {
        let Some(entry) = self.sessions.get_mut(session) else {
            return false;
        };
        let connection = entry
            .connection
            .and_then(|slot| self.connections.get_mut(slot));
        // [MQTT-3.8.4-8]
        let qos = target.qos.min(fanout.qos);
        if qos == QoS::AtMostOnce {
            let Some(connection) = connection else {
                return true;
            };
            // What waits may be an earlier message of the same topic [MQTT-4.6.0-6].
            let may_go = entry.queued_at_most_once == 0;
            if may_go && connection.unsent() < self.config.maximum_unsent_bytes {
                self.send_at_most_once(session, &target, fanout);
                return true;
            }
            if may_go && !may_wait {
                self.outputs.statistics.messages_dropped += 1;
                return true;
            }
        }
        let delivery = Delivery {
            message: fanout.store(),
            qos,
            retain: target.retain,
            identifiers: target.identifiers,
            share: target.share,
        };
        let bounds = Bounds {
            messages: self.config.maximum_queued,
            bytes: self.config.maximum_queued_bytes,
        };
        let is_taken = entry.enqueue(delivery, bounds);
        if is_taken {
            self.pump(session);
        } else {
            self.outputs.statistics.messages_dropped += 1;
        }
        is_taken
    }

    fn send_at_most_once(
        &mut self,
        session: SessionSlot,
        target: &Target,
        fanout: &mut Fanout<'_>,
    ) {
        let slot = self
            .sessions
            .get(session)
            .and_then(|entry| entry.connection);
        let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) else {
            return;
        };
        let content = fanout.content();
        if content.expires.is_some_and(|expires| expires <= self.now) {
            self.outputs.statistics.messages_expired += 1;
            return;
        }
        let address = Address {
            envelope: Envelope::AtMostOnce,
            retain: target.retain,
            identifiers: target.identifiers.as_slice(),
        };
        self.outputs.publish(self.now, connection, content, address);
    }

    /// Sends again what earlier connections left unfinished, in the original order [MQTT-4.4.0-1].
    pub(super) fn resume(&mut self, session: SessionSlot) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let Some(connection) = entry
            .connection
            .and_then(|slot| self.connections.get_mut(slot))
        else {
            return;
        };
        entry.sender.resume();
        while let Some(id) = entry.sender.next_release() {
            let pubrel = super::acknowledge::pubrel(id, ReasonCode::SUCCESS);
            self.outputs.write(self.now, connection, &pubrel);
            entry.sender.note_released(id);
        }
        self.pump(session);
    }

    /// Sends what may be sent now: repetitions first, then what is queued.
    pub(super) fn pump(&mut self, session: SessionSlot) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let Some(slot) = entry.connection else { return };
        while self.send_next(session, slot) {}
    }

    fn send_next(&mut self, session: SessionSlot, slot: ConnectionSlot) -> bool {
        let Some(entry) = self.sessions.get_mut(session) else {
            return false;
        };
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        let is_full = connection.unsent() >= HIGH_WATER.min(self.config.maximum_unsent_bytes);
        if is_full || connection.is_mute {
            return false;
        }
        if entry.sender.next_publish().is_some() {
            send_again(self.now, &mut self.outputs, entry, connection)
        } else {
            send_queued(self.now, &mut self.outputs, entry, connection)
        }
    }
}

/// Whether one more message may be on its way [MQTT-4.9.0-2]. What was sent on this connection counts
/// [MQTT-3.3.4-9].
fn has_quota(session: &Session, connection: &Connection) -> bool {
    session.sender.sent_here() < connection.limits.receive_maximum
}

/// Sends the oldest message that an earlier connection left unacknowledged; false when it has to wait.
fn send_again(
    now: Instant,
    outputs: &mut Outputs,
    session: &mut Session,
    connection: &mut Connection,
) -> bool {
    if !has_quota(session, connection) {
        return false;
    }
    let Some((id, exchange)) = session.sender.next_publish() else {
        return false;
    };
    let delivery = &exchange.body;
    let address = Address {
        envelope: envelope(delivery.qos, id, true),
        retain: delivery.retain,
        identifiers: delivery.identifiers.as_slice(),
    };
    if outputs.publish(now, connection, delivery.message.content(), address) {
        session.sender.note_start(id, 0);
    } else {
        // The client accepts less than before: as good as sent [MQTT-3.1.2-25].
        session.give_up(id);
    }
    true
}

/// Sends the first message of the queue; false when there is none or it has to wait.
fn send_queued(
    now: Instant,
    outputs: &mut Outputs,
    session: &mut Session,
    connection: &mut Connection,
) -> bool {
    let Some(next) = session.queue.front() else {
        return false;
    };
    if next.qos > QoS::AtMostOnce && !has_quota(session, connection) {
        return false;
    }
    let id = if next.qos == QoS::AtMostOnce {
        None
    } else {
        session.sender.allocate(0, |_| false)
    };
    if next.qos > QoS::AtMostOnce && id.is_none() {
        return false;
    }
    let Some(delivery) = session.queue.pop_front() else {
        return false;
    };
    session.queued_at_most_once -= usize::from(delivery.qos == QoS::AtMostOnce);
    let size = delivery.message.size();
    if delivery.message.is_expired(now) {
        // [MQTT-3.3.2-5]
        session.waiting_bytes -= size;
        outputs.statistics.messages_expired += 1;
        return true;
    }
    let address = Address {
        envelope: id.map_or(Envelope::AtMostOnce, |id| envelope(delivery.qos, id, false)),
        retain: delivery.retain,
        identifiers: delivery.identifiers.as_slice(),
    };
    let is_written = outputs.publish(now, connection, delivery.message.content(), address);
    let is_begun = match id {
        Some(id) if is_written => session.sender.begin(id, 0, delivery.qos, delivery).is_ok(),
        _ => false,
    };
    match id {
        Some(id) if is_begun => session.sender.note_start(id, 0),
        _ => session.waiting_bytes -= size,
    }
    true
}

/// How many bytes may be unsent before messages stay in the queue.
const HIGH_WATER: usize = 256 << 10;
