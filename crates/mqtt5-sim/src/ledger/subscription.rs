//! A subscription from when it was granted, and what it received.

use std::collections::{BTreeMap, BTreeSet};

use mqtt5_client::{QoS, TopicFilter, TopicName};

use super::{Ledger, message::number_of};
use crate::hub::ProcessId;
use crate::options::Acknowledging;
use crate::transcript::Invariant;

/// What is known of a subscription.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionNote {
    pub(crate) process: ProcessId,
    pub(crate) filters: Vec<FilterNote>,
    pub(crate) acknowledging: Acknowledging,
    /// When the application got it.
    pub(crate) opened: u64,
    /// It has ended or was dropped, or is about to.
    pub(crate) over: bool,
    /// What it received: by message, how often with each QoS, and whether the application has answered.
    pub(crate) receipts: BTreeMap<usize, Receipt>,
    /// Filters from which somebody has unsubscribed, and was told that it is done.
    gone: BTreeSet<&'static str>,
    /// What it has lost since its queue was full, as it was told.
    pub(crate) dropped: BTreeSet<usize>,
    /// The last message received first of each publisher, topic, QoS and QoS of arrival: its moment of acceptance.
    last: BTreeMap<(ProcessId, &'static str, u8, u8), (u64, usize)>,
}

/// One filter of a subscription.
#[derive(Clone, Debug)]
pub(crate) struct FilterNote {
    pub(crate) name: &'static str,
    pub(crate) granted: QoS,
    /// Somebody has unsubscribed from it.
    pub(crate) left: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receipt {
    times: [usize; 3],
    pub(crate) answered: bool,
}

/// How many calls for a filter have given no subscription yet, and how often it may still be asked for on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reasons {
    calls: usize,
    left: usize,
}

impl FilterNote {
    pub(crate) fn matches(&self, topic: &str) -> bool {
        let filter = TopicFilter::new(self.name).expect("a filter of the table");
        let topic = TopicName::new(topic).expect("a topic of the table");
        filter.matches(topic)
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.name.starts_with("$share")
    }
}

impl SubscriptionNote {
    /// Whether it has received a message, or told that it was lost.
    pub(super) fn has(&self, message: usize) -> bool {
        self.receipts.contains_key(&message) || self.dropped.contains(&message)
    }

    /// Whether it must get a message of this topic that the broker took then, with these filters.
    ///
    /// What the broker took before it had one of its filters it may have sent for another filter of the same client alone.
    fn wants(&self, topic: &str, taken: u64, at_broker: &BTreeMap<String, u64>) -> bool {
        let is_there = |filter: &FilterNote| {
            at_broker
                .get(filter.name)
                .is_some_and(|since| *since < taken)
        };
        !self.over
            && self.opened < taken
            && self
                .filters
                .iter()
                .any(|filter| !filter.left && filter.matches(topic) && is_there(filter))
    }
}

impl Ledger {
    /// A call that began at `began` has succeeded; gives the number of the subscription.
    pub(crate) fn subscribed(
        &mut self,
        process: ProcessId,
        began: u64,
        mut filters: Vec<FilterNote>,
        acknowledging: Acknowledging,
    ) -> usize {
        let opened = self.moment();
        for filter in &mut filters {
            filter.left = self
                .unsubscribed
                .iter()
                .any(|(of, name, at)| *of == process && *name == filter.name && *at > began);
        }
        self.subscriptions.push(SubscriptionNote {
            process,
            filters,
            acknowledging,
            opened,
            over: false,
            receipts: BTreeMap::new(),
            gone: BTreeSet::new(),
            dropped: BTreeSet::new(),
            last: BTreeMap::new(),
        });
        self.subscriptions.len() - 1
    }

    /// A reason to send a SUBSCRIBE for a filter: the application asks for it.
    pub(crate) fn calls_subscribe(&mut self, process: ProcessId, filter: &str) {
        let reasons = self
            .reasons
            .entry((process, filter.to_owned()))
            .or_default();
        reasons.calls += 1;
        reasons.left += 1;
    }

    /// A call for these filters has ended, with a subscription or without one.
    pub(crate) fn subscribe_over<'a>(
        &mut self,
        process: ProcessId,
        filters: impl Iterator<Item = &'a str>,
    ) {
        for filter in filters {
            let reasons = self.reasons.get_mut(&(process, filter.to_owned()));
            reasons
                .into_iter()
                .for_each(|reasons| reasons.calls = reasons.calls.saturating_sub(1));
        }
    }

    /// How many want a filter: calls that have not ended, and subscriptions that live. What a requester wants it wants for good.
    pub(super) fn wishes(&self, process: ProcessId, filter: &str) -> usize {
        let reasons = self.reasons.get(&(process, filter.to_owned()));
        let own = self
            .subscriptions
            .iter()
            .filter(|s| s.process == process && !s.over && !s.gone.contains(filter));
        let own = own.flat_map(|s| &s.filters);
        reasons.map_or(0, |reasons| reasons.calls) + own.filter(|own| own.name == filter).count()
    }

    /// Another reason: the answer was lost with the connection.
    pub(crate) fn may_subscribe(&mut self, process: ProcessId, filter: &str) {
        self.reasons
            .entry((process, filter.to_owned()))
            .or_default()
            .left += 1;
    }

    /// A connection begins: there are no more reasons than there are wishes, and one for each when `anew`, since the session is gone.
    pub(crate) fn may_resubscribe(&mut self, process: ProcessId, anew: bool) {
        let own = self.reasons.keys().filter(|(of, _)| *of == process);
        let wishes: Vec<_> = own
            .map(|key| (key.clone(), self.wishes(process, &key.1)))
            .collect();
        for (key, wishes) in wishes {
            let reasons = self.reasons.entry(key).or_default();
            reasons.left = if anew {
                wishes
            } else {
                reasons.left.min(wishes)
            };
        }
    }

    /// The application drops a message unanswered, which comes again with the next connection, to everybody.
    pub(crate) fn held_back(&mut self, process: ProcessId, number: usize) {
        self.messages[number].held_back.push(process);
    }

    /// A SUBSCRIBE names a filter; `false` when there was no reason for it.
    pub(crate) fn subscribes(&mut self, process: ProcessId, filter: &str) -> bool {
        let reasons = self
            .reasons
            .entry((process, filter.to_owned()))
            .or_default();
        let allowed = reasons.left > 0;
        reasons.left -= usize::from(allowed);
        allowed
    }

    pub(crate) fn subscription_over(&mut self, subscription: usize) {
        self.subscriptions[subscription].over = true;
    }

    /// The application unsubscribes from a filter, whoever holds it; gives when.
    pub(crate) fn unsubscribing(&mut self, process: ProcessId, name: &'static str) -> u64 {
        let moment = self.moment();
        self.unsubscribed.push((process, name, moment));
        let own = self
            .subscriptions
            .iter_mut()
            .filter(|s| s.process == process);
        for filter in own
            .flat_map(|s| &mut s.filters)
            .filter(|filter| filter.name == name)
        {
            filter.left = true;
        }
        moment
    }

    /// What began then is done. It may have waited for room, and been overtaken by a subscribe meanwhile.
    pub(crate) fn unsubscribe_over(&mut self, process: ProcessId, name: &'static str, began: u64) {
        self.unsubscribing(process, name);
        let before = |s: &&mut SubscriptionNote| s.process == process && s.opened < began;
        for subscription in self.subscriptions.iter_mut().filter(before) {
            subscription.gone.insert(name);
        }
    }

    /// A subscription handed a message to the application; gives its number.
    pub(crate) fn received(
        &mut self,
        subscription: usize,
        message: &mqtt5_client::Message,
    ) -> Option<usize> {
        let (topic, qos) = (message.topic(), message.qos());
        let number = number_of(message.payload());
        let note = number.and_then(|number| self.messages.get(number));
        let (Some(number), Some(note)) = (number, note) else {
            self.transcript.fail(
                Invariant::Content,
                format!("a message that nobody published arrived on {topic}"),
            );
            return None;
        };
        let transcript = &self.transcript;
        let process = self.subscriptions[subscription].process;
        let session = self.session(process.client);
        let seen = self.seen(process, &note.payload);
        let to = &mut self.subscriptions[subscription];
        transcript.say(to.process, || {
            format!("s{subscription} receives m{number} with {qos:?}")
        });
        let intact =
            seen.as_deref() == Some(message.payload()) && note.topic == topic && qos <= note.qos;
        let wanted = to.filters.iter().any(|filter| filter.matches(topic));
        transcript.check(Invariant::Content, intact && wanted, || {
            format!("s{subscription} received m{number} on {topic} with {qos:?}, published on {} with {:?}", note.topic, note.qos)
        });
        // What answers a SUBSCRIBE is none of the copies that each message makes. With Retain As Published it looks like one.
        let as_published = self.as_published.contains(&process);
        let is_flagged = match message.retain() {
            true => note.retain,
            false => !as_published || !note.retain,
        };
        transcript.check(Invariant::Content, is_flagged, || {
            format!(
                "s{subscription} received m{number} with RETAIN {}",
                message.retain()
            )
        });
        if message.retain() {
            if as_published {
                to.receipts.entry(number).or_default();
            }
            return Some(number);
        }
        let receipt = to.receipts.entry(number).or_default();
        receipt.times[qos as usize] += 1;
        receipt.answered |= matches!(to.acknowledging, Acknowledging::OnTake);
        // Each time that the broker took it makes one copy; QoS 1 may repeat each copy.
        let copies = receipt.times[0] + receipt.times[2];
        let again = note
            .held_back
            .iter()
            .filter(|by| **by == to.process)
            .count();
        let comes_again = again > 0;
        transcript.check(Invariant::AtMostOnce, copies <= note.taken.len() + again, || {
            format!("s{subscription} received m{number} {copies} times with QoS 0 or 2, the broker took it {} times, and it was dropped unanswered {again} times", note.taken.len())
        });
        let is_dropped = to.dropped.contains(&number);
        transcript.check(
            Invariant::AtMostOnce,
            !is_dropped || note.taken.len() > 1 || comes_again || copies == 0,
            || format!("s{subscription} received m{number}, which it has told to be dropped"),
        );
        let first = receipt.times.iter().sum::<usize>() == 1;
        // What one of a group did not answer for goes to another, late.
        let matching = || to.filters.iter().filter(|filter| filter.matches(topic));
        let shared = matching().any(FilterNote::is_shared);
        // What came first may be gone: with its session, with its connection if it had QoS 0, with its time, or as what another message was
        // taken for. What comes again comes late.
        let is_lost = note.expires
            || note.taken.first().is_some_and(|taken| *taken < session)
            || matching().any(|filter| filter.granted == QoS::AtMostOnce);
        let is_late = is_lost && note.taken.len() > 1
            || is_dropped
            || self.mistaken.contains(&(to.process, number));
        let no_filters = BTreeMap::new();
        let at_broker = self.at_broker.get(&process.client).unwrap_or(&no_filters);
        let from_the_start = !is_late
            && !comes_again
            && !shared
            && note
                .taken
                .first()
                .is_some_and(|taken| to.wants(topic, *taken, at_broker));
        if let (true, Some(accepted)) = (first && from_the_start, note.accepted) {
            let key = (note.publisher, note.topic, note.qos as u8, qos as u8);
            let last = to.last.insert(key, (accepted, number));
            transcript.check(
                Invariant::Order,
                last.is_none_or(|(last, _)| last < accepted),
                || {
                    format!(
                        "s{subscription} received m{number} after m{}, which was accepted later",
                        last.map_or(0, |(_, m)| m)
                    )
                },
            );
        }
        Some(number)
    }

    /// A subscription has told that it lost a message: one that no acknowledgement waits for, or for which there was no room before SUBACK.
    pub(crate) fn dropped(&mut self, subscription: usize, message: &mqtt5_client::Message) {
        let to = &mut self.subscriptions[subscription];
        let number = number_of(message.payload());
        if !message.retain() || self.as_published.contains(&to.process) {
            to.dropped.extend(number);
        }
        let text = || format!("s{subscription} has lost m{}", number.unwrap_or_default());
        self.transcript.say(to.process, text);
        let note = number.and_then(|number| self.messages.get(number));
        let is_early =
            note.is_some_and(|note| note.taken.first().is_some_and(|taken| *taken < to.opened));
        let is_unheld =
            message.qos() == QoS::AtMostOnce || to.acknowledging == Acknowledging::OnArrival;
        let may_be = is_unheld || is_early;
        self.transcript.check(Invariant::AtLeastOnce, may_be, || {
            format!("{}, which it must acknowledge", text())
        });
    }

    /// The application is about to acknowledge or reject a message.
    pub(crate) fn answered(&mut self, subscription: usize, number: usize) {
        let note = &mut self.subscriptions[subscription];
        let process = note.process;
        self.transcript
            .say(process, || format!("s{subscription} answers m{number}"));
        // Unless it is a retained message that answers a SUBSCRIBE.
        if let Some(receipt) = note.receipts.get_mut(&number) {
            receipt.answered = true;
        }
    }

    /// The client acknowledges a message: everybody who was subscribed when the broker took it must have answered.
    pub(crate) fn acknowledging(&self, process: ProcessId, number: usize) {
        let Some(note) = self.messages.get(number) else {
            return;
        };
        let Some(taken) = note.taken.first() else {
            return;
        };
        let Some(at_broker) = self.at_broker.get(&process.client) else {
            return;
        };
        let open = self.subscriptions.iter().enumerate().find(|(_, s)| {
            s.process == process
                && s.acknowledging != Acknowledging::OnArrival
                && self.seen(process, &note.payload).is_some()
                && s.wants(note.topic, *taken, at_broker)
                && !s
                    .receipts
                    .get(&number)
                    .is_some_and(|receipt| receipt.answered)
        });
        if let Some((subscription, _)) = open {
            self.transcript.fail(
                Invariant::EarlyAcknowledgement,
                format!("{process} acknowledges m{number}, which s{subscription} has not answered"),
            );
        }
    }
}
