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
        let number = number_of(publish.payload);
        let mut is_new = true;
        if let (Role::Client, Some(number), Some(_)) =
            (self.role, number, publish.delivery.packet_id())
        {
            scene
                .ledger
                .arrives(scene.process, number, publish.delivery.dup());
        }
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce { id, .. } => {
                let id = id.value();
                if !self.due.puback.contains(&id) {
                    self.due.puback.push_back(id);
                }
                self.arrivals.insert((1, id), number);
            }
            Delivery::ExactlyOnce { id, .. } => {
                let id = id.value();
                is_new = !scene.memory.inbound.contains_key(&id);
                let entry = scene.memory.inbound.entry(id).or_insert(Inbound {
                    number,
                    answered: false,
                });
                if let (Role::Server, Some(number), Some(before)) =
                    (self.role, number, entry.number)
                {
                    scene.ledger.broker_repeated(number, before);
                }
                if entry.answered {
                    self.due.repeated.insert(id);
                } else if !self.due.pubrec.contains(&id) {
                    self.due.pubrec.push_back(id);
                }
                self.arrivals.insert((2, id), number);
            }
        }
        if let (Role::Server, true, Some(number)) = (self.role, is_new, number) {
            scene.ledger.broker_took(number);
        }
    }

    /// [MQTT-4.6.0-2]
    pub(crate) fn sends_puback(
        &mut self,
        scene: &mut Scene<'_>,
        answer: &Acknowledgement<'_>,
    ) -> Judged {
        let id = answer.packet_id.value();
        let front = take_due(&mut self.due.puback, id, scene.troubled);
        rule(Invariant::AcknowledgementOrder, front == Some(id), || {
            format!("PUBACK {id}, but {front:?} is due")
        })?;
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
            let front = take_due(&mut self.due.pubrec, id, scene.troubled);
            rule(Invariant::AcknowledgementOrder, front == Some(id), || {
                format!("PUBREC {id}, but {front:?} is due")
            })?;
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
        let front = take_due(&mut self.due.pubcomp, id, scene.troubled);
        scene.memory.inbound.remove(&id);
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
