//! The rules for a side that receives messages (4.3, 4.6).

use mqtt5_proto::Role;
use mqtt5_proto::packet::{Acknowledgement, Delivery, Publish};

use super::memory::Inbound;
use super::seat::{Judged, Scene, Seat, rule};
use super::trouble::take_due;
use crate::ledger::number_of;
use crate::transcript::Invariant;

impl Seat {
    pub(crate) fn reads_publish(&mut self, scene: &mut Scene<'_>, publish: &Publish<'_>) {
        // A retained message that answers a SUBSCRIBE is not the one that its publisher waits for.
        let is_live = self.role == Role::Server || !publish.retain;
        let number = number_of(publish.payload);
        let is_new = match publish.delivery {
            Delivery::AtMostOnce => true,
            Delivery::AtLeastOnce { id, dup } => {
                self.reads_at_least_once(scene, id.value(), number, dup);
                true
            }
            Delivery::ExactlyOnce { id, .. } => self.reads_exactly_once(scene, id.value(), number),
        };
        if let (Role::Server, true, Some(number)) = (self.role, is_new, number) {
            scene.ledger.broker_took(number);
        }
        if let (false, Some(id)) = (is_live, publish.delivery.packet_id()) {
            let qos = publish.delivery.qos() as u8;
            self.arrivals.insert((qos, id.value()), None);
        }
    }

    fn reads_at_least_once(
        &mut self,
        scene: &mut Scene<'_>,
        id: u16,
        number: Option<usize>,
        dup: bool,
    ) {
        if !self.due.puback.contains(&id) {
            self.due.puback.push_back(id);
        } else if scene.troubled {
            self.due.again.push((1, id));
        }
        let arrived = arrival(scene, number);
        // What an earlier session left under this identifier with the other QoS cannot be meant.
        let old = scene.memory.inbound.get(&id).copied();
        if old.is_some_and(|old| self.role == Role::Client && old.session != arrived.session) {
            scene.memory.inbound.remove(&id);
        }
        let memory = &scene.memory;
        let held =
            [memory.held.get(&id), memory.held_before.get(&id)].map(Option::<&Inbound>::copied);
        let mistaken = held
            .into_iter()
            .flatten()
            .find(|held| dup && self.mistakes(scene, *held, number));
        scene.memory.held.insert(id, mistaken.unwrap_or(arrived));
        self.arrivals
            .insert((1, id), number.filter(|_| mistaken.is_none()));
    }

    /// Whether it is new.
    fn reads_exactly_once(
        &mut self,
        scene: &mut Scene<'_>,
        id: u16,
        number: Option<usize>,
    ) -> bool {
        let arrived = arrival(scene, number);
        let held = scene.memory.held.get(&id);
        if held.is_some_and(|held| held.session != arrived.session) {
            scene.memory.held.remove(&id);
        }
        let known = scene.memory.inbound.get(&id).copied();
        let mistaken = known.is_some_and(|known| self.mistakes(scene, known, number));
        let entry = *scene.memory.inbound.entry(id).or_insert(arrived);
        if let (Role::Server, Some(number), Some(before)) = (self.role, number, entry.number) {
            scene.ledger.broker_repeated(number, before);
        }
        if entry.answered {
            let is_again = !self.due.repeated.insert(id) && scene.troubled;
            self.due.again.extend(is_again.then_some((2, id)));
        } else if !self.due.pubrec.contains(&id) {
            self.due.pubrec.push_back(id);
            let resumed = known.is_some() && !self.arrivals.contains_key(&(2, id));
            self.due.resumed.extend(resumed.then_some(id));
        } else if scene.troubled {
            self.due.again.push((2, id));
        }
        let refused = number.is_some_and(|number| scene.ledger.is_refused(number));
        if self.role == Role::Server && refused {
            // Whether the refusal leaves or not.
            scene.memory.inbound.remove(&id);
        }
        self.arrivals.insert((2, id), number.filter(|_| !mistaken));
        known.is_none()
    }

    /// Whether the client at this seat has to take a message for another that it holds under the same identifier.
    ///
    /// It has when its session was lost and it never heard of it. A repetition under an identifier is that of the message held under it:
    /// with QoS 1 DUP says so, with QoS 2 the identifier alone [MQTT-4.3.3-10]. What it answers then is the old message.
    fn mistakes(&self, scene: &mut Scene<'_>, held: Inbound, number: Option<usize>) -> bool {
        let session = scene.ledger.session(scene.process.client);
        let is_other = held.session != session && held.number != number;
        let mistaken = self.role == Role::Client && is_other;
        if let Some(number) = number.filter(|_| mistaken) {
            scene.ledger.mistakes(scene.process, number);
        }
        mistaken
    }

    /// To a server the exchange is over, even if PUBCOMP never leaves.
    pub(crate) fn reads_pubrel(&mut self, scene: &mut Scene<'_>, answer: &Acknowledgement<'_>) {
        let id = answer.packet_id.value();
        self.due.pubcomp.push_back(id);
        if self.role == Role::Server {
            scene.memory.inbound.remove(&id);
        }
    }

    /// [MQTT-4.6.0-2]
    pub(crate) fn sends_puback(
        &mut self,
        scene: &mut Scene<'_>,
        answer: &Acknowledgement<'_>,
    ) -> Judged {
        let id = answer.packet_id.value();
        let may_be_lost = self.may_be_lost(scene);
        let is_due = self.due.puback.front() == Some(&id);
        let front = match !is_due && self.due.takes_again(1, id) {
            true => Some(id),
            false => take_due(&mut self.due.puback, id, may_be_lost),
        };
        rule(Invariant::AcknowledgementOrder, front == Some(id), || {
            format!("PUBACK {id}, but {front:?} is due")
        })?;
        scene.memory.held.remove(&id);
        scene.memory.held_before.remove(&id);
        self.acknowledges(scene, 1, answer);
        Ok(())
    }

    /// [MQTT-4.6.0-3]
    pub(crate) fn sends_pubrec(
        &mut self,
        scene: &mut Scene<'_>,
        answer: &Acknowledgement<'_>,
    ) -> Judged {
        let id = answer.packet_id.value();
        if !self.due.repeated.remove(&id) {
            let front = self.due.pubrec.front().copied();
            let resumed = self.due.resumed.contains(&id);
            let in_order = front == Some(id)
                || resumed
                || self.may_be_lost(scene)
                || self.due.takes_again(2, id);
            rule(Invariant::AcknowledgementOrder, in_order, || {
                format!("PUBREC {id}, but {front:?} is due")
            })?;
            self.due.pubrec.retain(|due| *due != id);
            self.acknowledges(scene, 2, answer);
        }
        if answer.reason.is_error() {
            scene.memory.inbound.remove(&id);
        } else if let Some(entry) = scene.memory.inbound.get_mut(&id) {
            entry.answered = true;
        }
        Ok(())
    }

    /// In the order of the PUBRELs, though the specification does not ask for it.
    pub(crate) fn sends_pubcomp(
        &mut self,
        scene: &mut Scene<'_>,
        answer: &Acknowledgement<'_>,
    ) -> Judged {
        let id = answer.packet_id.value();
        let may_be_lost = self.may_be_lost(scene);
        let front = take_due(&mut self.due.pubcomp, id, may_be_lost);
        // To a server it ended with PUBREL: one that is repeated on purpose must not end another under the identifier.
        if self.role == Role::Client {
            scene.memory.inbound.remove(&id);
        }
        rule(Invariant::AcknowledgementOrder, front == Some(id), || {
            format!("PUBCOMP {id}, but {front:?} is due")
        })
    }

    fn acknowledges(&mut self, scene: &mut Scene<'_>, qos: u8, answer: &Acknowledgement<'_>) {
        let arrival = self.arrivals.get(&(qos, answer.packet_id.value()));
        let Some(Some(number)) = arrival.copied() else {
            return;
        };
        match self.role {
            Role::Client => scene.ledger.acknowledging(scene.process, number),
            Role::Server => scene
                .ledger
                .broker_answered(number, answer.reason.is_error()),
        }
    }
}

fn arrival(scene: &Scene<'_>, number: Option<usize>) -> Inbound {
    Inbound {
        number,
        answered: false,
        session: scene.ledger.session(scene.process.client),
    }
}
