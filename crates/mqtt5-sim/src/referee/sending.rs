//! The rules for a side that sends messages (4.3, 4.4, 4.6, 4.9).

use mqtt5_proto::packet::{Acknowledgement, Delivery, Publish};
use mqtt5_proto::{QoS, ReasonCode, Role};

use super::memory::Outbound;
use super::seat::{Judged, Scene, Seat, rule};
use super::trouble::take_due;
use crate::ledger::number_of;
use crate::transcript::Invariant;

impl Seat {
    pub(crate) fn sends_publish(&mut self, scene: &mut Scene<'_>, publish: &Publish<'_>) -> Judged {
        self.check_limits(publish)?;
        let number = number_of(publish.payload);
        if let (Role::Client, Some(number)) = (self.role, number) {
            scene.ledger.leaves(number);
        }
        let (id, dup) = match publish.delivery {
            Delivery::AtMostOnce => return Ok(()),
            Delivery::AtLeastOnce { id, dup } | Delivery::ExactlyOnce { id, dup } => {
                (id.value(), dup)
            }
        };
        let qos = publish.delivery.qos() as u8;
        if dup && self.is_repeated_on_purpose(scene, id, number) {
            return Ok(());
        }
        if dup {
            self.check_repetition(scene, id, number, qos)?;
        } else {
            self.check_new(scene, id, number)?;
            scene.memory.doubtful.remove(&id);
        }
        let place = scene
            .memory
            .outbound
            .get(&id)
            .map_or(scene.memory.begun, |known| known.place);
        scene.memory.begun += 1;
        let outbound = Outbound {
            number,
            qos,
            released: false,
            connection: self.connection,
            place,
        };
        scene.memory.outbound.insert(id, outbound);
        self.window.insert(id);
        self.published.insert(id, number);
        // [MQTT-3.3.4-7], [MQTT-3.3.4-9]
        let allowed = self.peer.map_or(0, |peer| peer.receive_maximum);
        rule(
            Invariant::ReceiveMaximum,
            self.window.len() <= allowed,
            || {
                format!(
                    "{} messages are unfinished, Receive Maximum is {allowed}",
                    self.window.len()
                )
            },
        )
    }

    /// The broker was told to send it twice on this connection; while that waited for the transport, it may have been answered.
    fn is_repeated_on_purpose(&self, scene: &Scene<'_>, id: u16, number: Option<usize>) -> bool {
        let is_of_here = self.published.get(&id) == Some(&number);
        self.role == Role::Server && scene.troubled && is_of_here
    }

    fn check_limits(&mut self, publish: &Publish<'_>) -> Judged {
        let Some(peer) = self.peer else {
            return rule(Invariant::Wire, false, || {
                "PUBLISH before CONNACK".to_owned()
            });
        };
        let qos = publish.delivery.qos();
        rule(Invariant::Wire, qos as u8 <= peer.maximum_qos, || {
            format!("{qos:?} is not supported")
        })?;
        let alias = publish.properties.topic_alias();
        rule(
            Invariant::Wire,
            alias.is_none_or(|alias| (1..=peer.topic_alias_maximum).contains(&alias)),
            || {
                format!(
                    "Topic Alias {alias:?}, at most {}",
                    peer.topic_alias_maximum
                )
            },
        )?;
        match (publish.topic, alias) {
            (Some(_), Some(alias)) => drop(self.aliases.insert(alias)),
            (None, alias) => {
                let known = alias.is_some_and(|alias| self.aliases.contains(&alias));
                rule(Invariant::Wire, known, || {
                    format!("no topic, and Topic Alias {alias:?} was not set")
                })?;
            }
            (Some(_), None) => {}
        }
        Ok(())
    }

    /// The first time [MQTT-3.3.1-2], [MQTT-2.2.1-3].
    fn check_new(&self, scene: &Scene<'_>, id: u16, number: Option<usize>) -> Judged {
        let known = scene.memory.outbound.get(&id);
        rule(Invariant::Identifiers, known.is_none(), || {
            format!("PUBLISH {id} without DUP, while that identifier is used by {known:?}")
        })?;
        rule(
            Invariant::Identifiers,
            self.requests_of_own(id).is_none(),
            || format!("PUBLISH {id}, while that identifier belongs to a request"),
        )?;
        // A broker may send a message once for each subscription.
        let is_twin = |(_, other): &(&u16, &Outbound)| number.is_some() && other.number == number;
        let twin = scene.memory.outbound.iter().find(is_twin);
        let is_single = self.role == Role::Server || twin.is_none();
        rule(Invariant::Identifiers, is_single, || {
            format!("PUBLISH {id} is new, but that message is under way as {twin:?}")
        })?;
        // [MQTT-4.3.3-10]: the server could take it for one of an earlier process.
        let clear = scene.memory.clear.as_ref();
        rule(
            Invariant::Identifiers,
            clear.is_none_or(|clear| clear.contains(&id)),
            || format!("PUBLISH {id} in an assumed session, without PUBCOMP for it"),
        )?;
        // [MQTT-4.4.0-1], [MQTT-4.6.0-1]: what was begun before comes first.
        let waiting = scene
            .memory
            .outbound
            .iter()
            .find(|(_, o)| !o.released && o.connection != self.connection);
        rule(Invariant::Order, waiting.is_none(), || {
            format!("PUBLISH {id} is new, but {waiting:?} was not sent again")
        })
    }

    /// Once more [MQTT-3.3.1-1], and only after a reconnect [MQTT-4.4.0-1].
    fn check_repetition(
        &self,
        scene: &mut Scene<'_>,
        id: u16,
        number: Option<usize>,
        qos: u8,
    ) -> Judged {
        let is_open =
            |known: &Outbound| known.number == number && known.qos == qos && !known.released;
        let Some(known) = scene.memory.believe(id, is_open) else {
            // The broker counts as sent what it has encoded, though its connection was gone by then.
            let may_be = self.role == Role::Server;
            return rule(Invariant::Identifiers, may_be, || {
                format!("PUBLISH {id} with DUP was never sent before")
            });
        };
        rule(Invariant::Identifiers, is_open(&known), || {
            format!("PUBLISH {id} with DUP repeats {known:?} as {number:?}")
        })?;
        rule(
            Invariant::Identifiers,
            known.connection != self.connection,
            || format!("PUBLISH {id} is sent twice on one connection"),
        )?;
        let earlier = scene
            .memory
            .outbound
            .values()
            .find(|o| !o.released && o.connection != self.connection && o.place < known.place);
        rule(Invariant::Order, earlier.is_none(), || {
            format!("PUBLISH {id} is sent again before {earlier:?}")
        })
    }

    pub(crate) fn sends_pubrel(
        &mut self,
        scene: &mut Scene<'_>,
        answer: &Acknowledgement<'_>,
    ) -> Judged {
        let id = answer.packet_id.value();
        scene.memory.believe(id, |known| known.released);
        let connection = self.connection;
        let earlier = scene.memory.outbound.get(&id).and_then(|known| {
            let before =
                |o: &&Outbound| o.released && o.connection != connection && o.place < known.place;
            scene.memory.outbound.values().find(before).copied()
        });
        let resumes = scene
            .memory
            .outbound
            .get(&id)
            .is_some_and(|known| known.connection != connection);
        let may_be_lost = self.may_be_lost(scene);
        let in_order = !resumes || earlier.is_none() || may_be_lost;
        rule(Invariant::Order, in_order, || {
            format!("PUBREL {id} is sent again before {earlier:?}")
        })?;
        let Some(known) = scene
            .memory
            .outbound
            .get_mut(&id)
            .filter(|known| known.released)
        else {
            // PUBREC or PUBREL was repeated on purpose, and PUBCOMP is here before the PUBREL that answers the one or repeats the other.
            let ended_here = self.may_be_lost(scene) && self.published.contains_key(&id);
            let is_due = self.due.pubrel.contains(&id);
            self.due.pubrel.retain(|due| *due != id);
            let is_unknown = !scene.memory.outbound.contains_key(&id);
            let may_clear = scene.memory.clear.is_some() && is_unknown;
            let is_right = match answer.reason {
                ReasonCode::PACKET_IDENTIFIER_NOT_FOUND => is_unknown && is_due,
                _ => scene.troubled && is_due || ended_here || may_clear && self.cleared.insert(id),
            };
            return rule(Invariant::Identifiers, is_right, || {
                format!(
                    "PUBREL {id} with {} without PUBREC, or with one: {is_due}",
                    answer.reason
                )
            });
        };
        rule(Invariant::Identifiers, !answer.reason.is_error(), || {
            format!(
                "PUBREL {id} with {}, and its message is known",
                answer.reason
            )
        })?;
        let again = known.connection != self.connection && !self.due.pubrel.contains(&id);
        known.connection = self.connection;
        if again {
            return Ok(());
        }
        // [MQTT-4.6.0-4]
        let front = take_due(&mut self.due.pubrel, id, may_be_lost);
        rule(Invariant::AcknowledgementOrder, front == Some(id), || {
            format!("PUBREL {id}, but {front:?} is due")
        })
    }

    /// PUBACK or PUBCOMP: the exchange is over.
    pub(crate) fn reads_final(
        &mut self,
        scene: &mut Scene<'_>,
        answer: &Acknowledgement<'_>,
        qos: u8,
    ) {
        let id = answer.packet_id.value();
        if let Some(clear) = scene.memory.clear.as_mut().filter(|_| qos == 2) {
            clear.insert(id);
        }
        let over = scene
            .memory
            .outbound
            .get(&id)
            .is_some_and(|known| known.qos == qos && (qos == 1 || known.released));
        if over {
            self.ends(scene, id, qos == 1 && answer.reason.is_error());
        }
    }

    fn ends(&mut self, scene: &mut Scene<'_>, id: u16, is_error: bool) {
        self.window.remove(&id);
        let over = scene.memory.outbound.remove(&id);
        if let (Role::Client, Some(over)) = (self.role, over) {
            scene.ledger.publisher_read(over.number, is_error);
        }
    }

    pub(crate) fn reads_pubrec(&mut self, scene: &mut Scene<'_>, answer: &Acknowledgement<'_>) {
        let id = answer.packet_id.value();
        if answer.reason.is_error() {
            return self.ends(scene, id, true);
        }
        if let Some(known) = scene
            .memory
            .outbound
            .get_mut(&id)
            .filter(|known| known.qos == QoS::ExactlyOnce as u8)
        {
            if !known.released {
                known.place = scene.memory.begun;
                scene.memory.begun += 1;
            }
            known.released = true;
            if self.role == Role::Client {
                scene.ledger.publisher_released(known.number);
            }
        }
        self.due.pubrel.push_back(id);
    }
}
