//! The end of a run: the faults are over, and everything must come right.

use core::time::Duration;

use mqtt5_client::QoS;

use super::World;
use crate::application;
use crate::hub::ProcessId;
use crate::options::{Acknowledging, Dropping};
use crate::plan::{BrokerFault, Draft, How};
use crate::transcript::Invariant;
use crate::workload::PROBES;

impl World<'_> {
    pub(super) fn heal(&mut self) {
        self.hub
            .transcript
            .say("", || "=== the faults are over".to_owned());
        self.hub.healing.set(true);
        self.outside.heal();
        self.resume_what_is_held();
        let soon = self.now() + Duration::from_secs(1);
        for slot in &mut self.slots {
            slot.starts_at = slot.starts_at.min(soon);
        }
        if self.must(DRAIN, Invariant::Drain, Self::undrained)
            && self.probe()
            && self.must(LAST_TIMER, Invariant::End, Self::kept)
        {
            self.end();
        }
    }

    /// A waker that is kept though its task has ended.
    fn kept(&self) -> Option<(Invariant, String)> {
        let lives = |sleeper| self.processes().any(|process| process.is_of(sleeper));
        let of = self.hub.keeps_waker(lives)?;
        let text = format!("somebody keeps a waker of a task of {of} that has ended");
        Some((Invariant::End, text))
    }

    /// Lets time pass until nothing is missing; otherwise fails and says what is.
    fn must(
        &mut self,
        time: Duration,
        invariant: Invariant,
        missing: fn(&Self) -> Option<(Invariant, String)>,
    ) -> bool {
        let end = self.now() + time;
        if self.pass_until(end, |world| missing(world).is_none()) {
            return true;
        }
        let (which, text) = missing(self).unwrap_or_else(|| (invariant, "too late".to_owned()));
        self.hub
            .transcript
            .fail(which, format!("{text}, {time:?} later"));
        false
    }

    /// Messages that were dropped unanswered come again with the next connection, and not before.
    fn resume_what_is_held(&mut self) {
        let now = self.now();
        let holds = |acknowledging: Acknowledging| {
            matches!(
                acknowledging,
                Acknowledging::Manual {
                    on_drop: Dropping::Holds,
                    ..
                }
            )
        };
        let ledger = self.hub.ledger.borrow();
        let held: Vec<ProcessId> = ledger
            .subscriptions
            .iter()
            .filter(|s| holds(s.acknowledging))
            .map(|s| s.process)
            .collect();
        drop(ledger);
        for process in held {
            self.outside
                .broker
                .fault(now, process.client, BrokerFault::Cut);
        }
    }

    /// What is not yet as it shall be.
    fn undrained(&self) -> Option<(Invariant, String)> {
        let drain = |text: String| Some((Invariant::Drain, text));
        for (client, slot) in self.slots.iter().enumerate() {
            let Some(process) = slot
                .process
                .as_ref()
                .filter(|process| process.ending.is_none())
            else {
                return drain(format!("c{client} does not run"));
            };
            if !process.is_online() {
                return drain(format!(
                    "{} is {:?}",
                    process.id,
                    process.client().map(mqtt5_client::Client::state)
                ));
            }
            let number = process.adapter.connection();
            if number.is_some_and(|number| self.outside.network.has_lost(number)) {
                return drain(format!(
                    "{} does not know that its connection is over",
                    process.id
                ));
            }
            if process.adapter.is_writing()
                || number.is_some_and(|number| self.outside.referees.has_requests(number))
            {
                return drain(format!("{} waits for an answer", process.id));
            }
            if process.is_leaving() {
                return drain(format!("{} has a subscription to leave", process.id));
            }
            let statistics = process.statistics();
            if statistics.unacknowledged_publishes
                + statistics.waiting_publishes
                + statistics.held_messages
                > 0
            {
                return drain(format!("{} has {statistics:?}", process.id));
            }
        }
        let ledger = self.hub.ledger.borrow();
        if let Some(what) = ledger.open_operations().next() {
            return drain(format!("{what} has not ended"));
        }
        if let Some(text) = ledger.missing_at_broker() {
            return Some((Invariant::Resubscribe, text));
        }
        for process in self.processes() {
            if let Some(filter) = ledger.unwanted_at_broker(process.id) {
                let text = format!(
                    "the broker has {filter}, which {} does not want",
                    process.id
                );
                return Some((Invariant::Unsubscribe, text));
            }
        }
        if let Some(missing) = ledger.unreceived(&self.plan.options) {
            return Some((
                Invariant::AtLeastOnce,
                format!(
                    "s{} has not received m{}",
                    missing.subscription, missing.message
                ),
            ));
        }
        match self.outside.broker.waiting() {
            0 if self.outside.broker.is_writing() => drain("the broker writes".to_owned()),
            0 => None,
            waiting => drain(format!("{waiting} messages wait at the broker")),
        }
    }

    /// Everybody publishes once more with each QoS, and one message is sent to every filter that somebody wants. QoS 0 goes first: what wakes
    /// the others must not wake it.
    fn probe(&mut self) -> bool {
        let prober = self.plan.options.clients.len();
        let first = self.hub.ledger.borrow().messages.len();
        self.publish_all(QoS::AtMostOnce);
        if !self.has_arrived(first, AT_ONCE) {
            return false;
        }
        for (filter, topic) in PROBES {
            if self.hub.ledger.borrow().is_wanted(filter) {
                self.publish_as(prober, probe(topic, QoS::AtLeastOnce));
            }
        }
        self.publish_all(QoS::AtLeastOnce);
        self.publish_all(QoS::ExactlyOnce);
        self.ask_all();
        self.has_arrived(first, PROBE)
    }

    /// Every client publishes with this QoS, as far as the broker lets it, on topics that somebody wants, if there are any.
    fn publish_all(&mut self, qos: QoS) {
        if qos > self.plan.options.broker.maximum_qos {
            return;
        }
        let ledger = self.hub.ledger.borrow();
        let wanted = PROBES.iter().filter(|(filter, _)| ledger.is_wanted(filter));
        let mut topics: Vec<_> = wanted.map(|(_, topic)| *topic).collect();
        drop(ledger);
        if topics.is_empty() {
            topics.push(PROBES[0].1);
        }
        for client in 0..self.plan.options.clients.len() {
            let topic = topics[client % topics.len()];
            self.publish_as(client, probe(topic, qos));
        }
    }

    /// Waits until the messages from `first` on are where they belong.
    fn has_arrived(&mut self, first: usize, time: Duration) -> bool {
        let missing = |world: &Self| {
            let unprobed = world.hub.ledger.borrow().unprobed(first);
            let unprobed = unprobed.map(|text| (Invariant::Probe, text));
            unprobed.or_else(|| world.undrained())
        };
        let end = self.now() + time;
        if self.pass_until(end, |world| missing(world).is_none()) {
            return true;
        }
        let (which, text) =
            missing(self).unwrap_or_else(|| (Invariant::Probe, "too late".to_owned()));
        self.hub
            .transcript
            .fail(which, format!("{text}, {time:?} later"));
        false
    }

    /// Everybody disconnects.
    fn end(&mut self) {
        for slot in &mut self.slots {
            let Some(process) = &mut slot.process else {
                continue;
            };
            if let Some(place) = process.place.clone() {
                process.spawn(application::disconnect(place, false));
            }
        }
        let ended = |world: &Self| {
            world
                .processes()
                .all(|process| process.adapter.finished && !process.has_tasks())
        };
        let end = self.now() + END;
        if !self.pass_until(end, ended) {
            let left = self
                .processes()
                .find(|process| !process.adapter.finished || process.has_tasks());
            let text = left.map_or_else(
                || "too late".to_owned(),
                |process| format!("{} was asked to end and has not", process.id),
            );
            return self.hub.transcript.fail(Invariant::End, text);
        }
        self.leave_nothing();
    }

    /// Everything goes away; then nothing is left of any process there was.
    fn leave_nothing(&mut self) {
        for slot in &mut self.slots {
            if let Some(process) = slot.process.take() {
                process.crash(&mut self.outside);
            }
        }
        self.outside.network.connections.clear();
        self.hub.timers.clear();
        if let Some(of) = self.hub.keeps_waker(|_| false) {
            let text = format!("something of {of} is left, and keeps a waker");
            self.hub.transcript.fail(Invariant::End, text);
        }
    }
}

fn probe(topic: &'static str, qos: QoS) -> Draft {
    Draft {
        topic,
        qos,
        retain: false,
        size: 0,
        expiry: None,
        timeout: None,
        how: How::Start,
        count: 1,
    }
}

/// How long everything may take to come right: the longest backoff, and what waits behind it.
const DRAIN: Duration = Duration::from_secs(600);
/// How long a message may take that needs no answer, with the last that a consumer does before it hurries.
const AT_ONCE: Duration = Duration::from_secs(7);
/// Longer than a task sleeps that may have ended since.
const LAST_TIMER: Duration = Duration::from_secs(10);
/// How long one message may take when nothing is wrong.
const PROBE: Duration = Duration::from_secs(60);
/// How long a client may take to stop, and its application to notice.
const END: Duration = Duration::from_secs(8);
