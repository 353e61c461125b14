//! What must be so in the end.

use mqtt5_client::QoS;

use super::{Ledger, SubscriptionNote};
use crate::hub::ProcessId;
use crate::options::WorldOptions;

/// A message that has not arrived where it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreceived {
    pub(crate) message: usize,
    pub(crate) subscription: usize,
}

impl Ledger {
    /// What the broker took after a subscription was made in the session that still lives, and what has not arrived there.
    ///
    /// Left out is what may be missing: QoS 0, what expires, what is larger than the receiver accepts, what one of a group gets, and what
    /// the subscription has told to be lost.
    pub(crate) fn unreceived(&self, options: &WorldOptions) -> Option<Unreceived> {
        for (subscription, to) in self.subscriptions.iter().enumerate() {
            if to.over {
                continue;
            }
            let Some(client) = options.clients.get(to.process.client) else {
                continue;
            };
            // Who had the filter with QoS 1 or 2 may have left since: then it is subscribed again with less.
            let Some(kept) = self.kept_by_broker.get(&to.process.client) else {
                continue;
            };
            for filter in to
                .filters
                .iter()
                .filter(|filter| !filter.left && !filter.is_shared())
            {
                let Some(since) = kept.get(filter.name) else {
                    continue;
                };
                let since = (*since).max(to.opened);
                for (message, note) in self.messages.iter().enumerate() {
                    let fits = note.payload.len() + OVERHEAD <= client.maximum_packet_size as usize;
                    let owed = note.qos.min(filter.granted) > QoS::AtMostOnce
                        && !note.refused
                        && !self.mistaken.contains(&(to.process, message))
                        && !note.expires
                        && fits
                        && note.taken.last().is_some_and(|taken| *taken > since)
                        && self.seen(to.process, &note.payload).is_some()
                        && filter.matches(note.topic);
                    if owed && !to.has(message) {
                        return Some(Unreceived {
                            message,
                            subscription,
                        });
                    }
                }
            }
        }
        None
    }

    /// Whether a living subscription has this filter.
    pub(crate) fn is_wanted(&self, filter: &str) -> bool {
        let alive = self.subscriptions.iter().filter(|s| !s.over);
        alive
            .flat_map(|s| &s.filters)
            .any(|own| own.name == filter && !own.left)
    }

    /// What became of a message from `first` on that the broker has not, or that has not come where it should have.
    pub(crate) fn unprobed(&self, first: usize) -> Option<String> {
        let probes = || (first..self.messages.len()).map(|number| (number, &self.messages[number]));
        if let Some((number, _)) = probes().find(|(_, note)| note.taken.is_empty()) {
            return Some(format!("the broker has not got m{number}"));
        }
        for (number, to) in self
            .subscriptions
            .iter()
            .enumerate()
            .filter(|(_, s)| !s.over)
        {
            for filter in to.filters.iter().filter(|filter| !filter.left) {
                if filter.is_shared() && self.has_absent_member(filter.name) {
                    continue;
                }
                let has = |s: &SubscriptionNote, probe| {
                    s.has(probe) || self.mistaken.contains(&(s.process, probe))
                };
                let arrived = |probe: usize| match filter.is_shared() {
                    true => self.subscriptions.iter().any(|s| has(s, probe)),
                    false => has(to, probe),
                };
                let missing =
                    probes().find(|(probe, note)| filter.matches(note.topic) && !arrived(*probe));
                if let Some((probe, note)) = missing {
                    return Some(format!(
                        "s{number} wants {}, and m{probe} on {} has not come",
                        filter.name, note.topic
                    ));
                }
            }
        }
        None
    }

    /// Whether a session has a filter that nobody in its client wants: the one who kept it is gone.
    fn has_absent_member(&self, filter: &str) -> bool {
        let members = self
            .asked_of_broker
            .iter()
            .filter(|(_, filters)| filters.contains_key(filter));
        members.into_iter().any(|(client, _)| {
            let own = self
                .subscriptions
                .iter()
                .filter(|s| !s.over && s.process.client == *client);
            !own.flat_map(|s| &s.filters)
                .any(|own| own.name == filter && !own.left)
        })
    }

    /// A subscription that is wanted and that the broker does not have.
    pub(crate) fn missing_at_broker(&self) -> Option<String> {
        let alive = self
            .subscriptions
            .iter()
            .enumerate()
            .filter(|(_, s)| !s.over);
        for (number, subscription) in alive {
            let at_broker = self.at_broker.get(&subscription.process.client);
            for filter in subscription.filters.iter().filter(|filter| !filter.left) {
                if !at_broker.is_some_and(|filters| filters.contains_key(filter.name)) {
                    return Some(format!(
                        "s{number} of {} wants {}, which the broker has not",
                        subscription.process, filter.name
                    ));
                }
            }
        }
        None
    }

    /// A filter that this process has asked the broker for and that nobody in it wants. An UNSUBSCRIBE to which the server has answered with
    /// DISCONNECT three times is given up.
    pub(crate) fn unwanted_at_broker(&self, process: ProcessId) -> Option<&str> {
        let asked = self.asked_of_broker.get(&process.client)?;
        let gave_up = self.dismissals(process) >= 3;
        asked
            .iter()
            .filter(|_| !gave_up)
            .find(|(filter, by)| **by == process && self.wishes(process, filter) == 0)
            .map(|(filter, _)| filter.as_str())
    }
}

/// What a packet has beyond its payload, at most.
const OVERHEAD: usize = 100;
