//! The rules for SUBSCRIBE and UNSUBSCRIBE, and what the broker then has.

use mqtt5_proto::packet::{Subscribe, SubscribeAcknowledgement, Unsubscribe};
use mqtt5_proto::{QoS, Role};

use super::seat::{Judged, Scene, Seat, rule};
use crate::transcript::Invariant;

impl Seat {
    /// What a client at this seat asked for under an identifier, and was not answered.
    pub(crate) fn requests_of_own(&self, id: u16) -> Option<&Vec<String>> {
        self.requests.get(&id).filter(|_| self.role == Role::Client)
    }

    /// What a client at this seat may have to ask for again, if the connection ends now.
    pub(crate) fn unanswered_filters(&self) -> impl Iterator<Item = &str> {
        let unanswered = self.requests.values().flatten().chain(&self.unseen);
        unanswered.map(String::as_str)
    }

    pub(crate) fn sends_subscribe(
        &mut self,
        scene: &mut Scene<'_>,
        subscribe: &Subscribe<'_>,
    ) -> Judged {
        let id = subscribe.packet_id.value();
        self.check_request(scene, id)?;
        let names: Vec<String> = subscribe
            .filters
            .iter()
            .map(|filter| filter.filter.as_str().to_owned())
            .collect();
        for name in &names {
            let allowed = scene.ledger.subscribes(scene.process, name);
            rule(Invariant::Resubscribe, allowed, || {
                format!("SUBSCRIBE {id} asks for {name} once more, and for no reason")
            })?;
        }
        self.requests.insert(id, names);
        self.has_asked = true;
        Ok(())
    }

    pub(crate) fn sends_unsubscribe(
        &mut self,
        scene: &mut Scene<'_>,
        unsubscribe: &Unsubscribe<'_>,
    ) -> Judged {
        let id = unsubscribe.packet_id.value();
        self.check_request(scene, id)?;
        self.requests.insert(id, Vec::new());
        Ok(())
    }

    fn check_request(&self, scene: &Scene<'_>, id: u16) -> Judged {
        let free = !scene.memory.outbound.contains_key(&id) && !self.requests.contains_key(&id);
        rule(Invariant::Identifiers, free, || {
            format!("a request has the identifier {id}, which is in use")
        })
    }

    /// The broker has granted some of what was asked for.
    pub(crate) fn sends_suback(
        &mut self,
        scene: &mut Scene<'_>,
        answer: &SubscribeAcknowledgement<'_>,
    ) {
        let names = self
            .requests
            .remove(&answer.packet_id.value())
            .unwrap_or_default();
        for (name, reason) in names.iter().zip(answer.reasons.iter()) {
            let client = scene.process.client;
            match QoS::try_from(reason.value()) {
                Ok(granted) => scene.ledger.broker_subscribed(client, name, granted),
                Err(_) => scene.ledger.broker_refused(client, name),
            }
        }
    }

    pub(crate) fn reads_subscribe(&mut self, scene: &mut Scene<'_>, subscribe: &Subscribe<'_>) {
        let mut names = Vec::new();
        for filter in subscribe.filters.iter() {
            let (name, qos) = (filter.filter.as_str(), filter.qos);
            scene.ledger.broker_asked(scene.process, name, qos);
            names.push(name.to_owned());
        }
        self.requests.insert(subscribe.packet_id.value(), names);
    }

    pub(crate) fn reads_unsubscribe(
        &mut self,
        scene: &mut Scene<'_>,
        unsubscribe: &Unsubscribe<'_>,
    ) {
        for filter in unsubscribe.filters.iter() {
            scene
                .ledger
                .broker_unsubscribed(scene.process.client, filter.as_str());
        }
        self.requests
            .insert(unsubscribe.packet_id.value(), Vec::new());
    }

    pub(crate) fn sends_unsuback(&mut self, answer: &SubscribeAcknowledgement<'_>) {
        self.requests.remove(&answer.packet_id.value());
    }
}
