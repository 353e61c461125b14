//! Subscriptions as desired state: which filters are wanted, by whom, and who gets a message.
//!
//! A filter is subscribed once at the server, however many subscriptions of this client want it.

use super::dropped::Dropped;
use super::inbound::Chunks;
use super::requests::SubscribeRequest;
use super::wanted::Wanted;
use crate::filter::Filter;
use crate::options::{AckMode, Bound, Overflow};
use crate::planted::planted;
use crate::properties::PropertyList;
use crate::slab::{Key, Slab};
use crate::trie::Trie;
use core::hash::BuildHasher;
use core::task::Waker;
use mqtt5_proto::{Instant, Message};
use std::collections::{HashMap, VecDeque};

/// A message in the queue of a subscription.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: Message,
    /// The acknowledgement that waits for this subscription, if any does.
    pub(crate) hold: Option<Key>,
    pub(crate) arrived: Instant,
}

/// A subscription of the application.
#[derive(Debug)]
pub(crate) struct Local {
    pub(super) queue: VecDeque<Entry>,
    /// Messages that no acknowledgement waits for, those lent to the application included: they count until it has taken the last of them.
    pub(super) load: Load,
    pub(super) lent: Load,
    pub(super) chunks: Chunks,
    /// It is full, and reading stands still because of it.
    pausing: bool,
    pub(super) waker: Option<Waker>,
    pub(super) filters: Vec<Key>,
    /// How it was asked for: the number of the call, its filters and their properties.
    number: u64,
    asked: Vec<Filter>,
    properties: PropertyList,
    pub(super) behaviour: Behaviour,
    /// The application waits for its first SUBACK: until then nobody can take what it has.
    pub(super) awaited: bool,
    pub(super) ended: bool,
    pub(crate) dropped: Dropped,
    stamp: u64,
}

/// How a subscription was asked for, as far as that still holds.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) filters: Vec<(Key, Filter)>,
    pub(super) properties: PropertyList,
}

/// How a subscription treats its messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) bound: Bound,
    pub(crate) overflow: Overflow,
    pub(crate) ack_mode: AckMode,
    /// How many dropped messages are kept to be looked at.
    pub(crate) observed_drops: usize,
}

/// Messages and bytes in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Load {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Whether `bytes` more would pass the bound.
    pub(crate) fn is_full_for(&self, bytes: usize, bound: Bound) -> bool {
        self.messages >= bound.messages || self.bytes.saturating_add(bytes) > bound.bytes
    }
}

/// A filter that nobody wants any more.
#[derive(Debug)]
pub(super) struct Abandoned {
    pub(super) name: Box<str>,
    /// Whether the server has it or was asked for it.
    pub(super) at_server: bool,
}

/// A Subscription Identifier of a filter that nobody wants any more.
#[derive(Debug)]
struct Retired {
    identifier: u32,
    /// Whose SUBSCRIBE it was.
    of: Key,
    /// The hash of the name of its filter.
    filter: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    trie: Trie<Key>,
    names: HashMap<Box<str>, Key>,
    wanted: Slab<Wanted>,
    locals: Slab<Local>,
    /// The Subscription Identifiers of filters that nobody wants any more and that the server may still use in this session.
    retired: VecDeque<Retired>,
    /// How many queues with [`Overflow::Pause`] are full.
    full_queues: usize,
    arrivals: u64,
    matched: Vec<Key>,
    targets: Vec<Key>,
}

impl Registry {
    /// Opens a subscription in the turn of this number; `Err` when a filter is held with other No Local or Retain As Published.
    pub(super) fn open(&mut self, request: &SubscribeRequest, number: u64) -> Result<Key, ()> {
        let filters = &request.filters;
        if filters.iter().any(|filter| self.is_in_conflict(filter)) {
            return Err(());
        }
        let local = self.locals.insert(Local {
            number,
            asked: filters.clone(),
            properties: request.properties.clone(),
            ..Local::new(request.behaviour)
        });
        for filter in filters {
            let key = self.join(local, filter);
            if let Some(local) = self
                .locals
                .get_mut(local)
                .filter(|local| !local.filters.contains(&key))
            {
                local.filters.push(key);
            }
        }
        Ok(local)
    }

    /// Opens a subscription without filters: it gets what it is [given](Self::fall_back_to).
    pub(super) fn open_unmatched(&mut self, behaviour: Behaviour) -> Key {
        self.locals.insert(Local::new(behaviour))
    }

    /// How a subscription was asked for, as far as it has not left its filters; `None` when it has none.
    pub(super) fn asked(&self, local: Key) -> Option<Asked> {
        let local = self.locals.get(local)?;
        let key_of = |filter: &Filter| {
            let key = self.key_of(&filter.name);
            key.filter(|key| local.filters.contains(key) || planted!(ResubscribeLeft))
        };
        let filters: Vec<_> = local
            .asked
            .iter()
            .filter_map(|filter| Some((key_of(filter)?, filter.clone())))
            .collect();
        (!filters.is_empty()).then(|| Asked {
            number: local.number,
            filters,
            properties: local.properties.clone(),
        })
    }

    /// All subscriptions.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.locals.iter().map(|(key, _)| key)
    }

    /// The server has lost the session, and with it every subscription (4.1).
    pub(super) fn forget_session(&mut self) {
        self.retired.clear();
        for (_, wanted) in self.wanted.iter_mut() {
            wanted.forget_session();
        }
    }

    /// What the server has granted shall be asked for once more.
    pub(super) fn forget_grants(&mut self) {
        for (_, wanted) in self.wanted.iter_mut() {
            wanted.granted = None;
        }
    }

    /// Takes a subscription out of one filter; tells when that was the last one.
    pub(super) fn leave(
        &mut self,
        local: Key,
        filter: Key,
        wakes: &mut Vec<Waker>,
    ) -> Option<Abandoned> {
        self.take_filter(local, filter, wakes);
        let wanted = self.wanted.get_mut(filter)?;
        wanted.leave(local);
        if wanted.locals.is_empty() {
            return self.forget(filter);
        }
        // The strongest is that of those who are left.
        let left = wanted.locals.iter().filter_map(|key| self.locals.get(*key));
        let asked = left.flat_map(|local| &local.asked);
        let strongest = asked.filter(|asked| *asked.name == *wanted.name);
        wanted.qos = strongest.map(|asked| asked.qos).max().unwrap_or(wanted.qos);
        None
    }

    /// Takes everybody out of the filter of this name.
    pub(super) fn leave_all(&mut self, name: &str, wakes: &mut Vec<Waker>) -> Option<Abandoned> {
        let filter = *self.names.get(name)?;
        for key in core::mem::take(&mut self.wanted.get_mut(filter)?.locals) {
            self.take_filter(key, filter, wakes);
        }
        self.forget(filter)
    }

    /// A subscription without filters has ended. Nothing more will come for it, so that reading need not wait until its queue has room.
    fn take_filter(&mut self, key: Key, filter: Key, wakes: &mut Vec<Waker>) {
        let Some(local) = self.locals.get_mut(key) else {
            return;
        };
        local.filters.retain(|known| *known != filter);
        if local.filters.is_empty() {
            local.ended = true;
            wakes.extend(local.waker.take());
            self.set_pausing(key, false);
        }
    }

    /// Removes a subscription; its filters must have been left before.
    pub(super) fn remove(&mut self, local: Key) -> Option<Local> {
        self.set_pausing(local, false);
        self.locals.remove(local)
    }

    /// Notes whether reading stands still until the queue of a subscription has room.
    pub(super) fn set_pausing(&mut self, local: Key, is_pausing: bool) {
        if let Some(local) = self.locals.get_mut(local) {
            let was_pausing = core::mem::replace(&mut local.pausing, is_pausing);
            self.full_queues += usize::from(is_pausing);
            self.full_queues -= usize::from(was_pausing);
        }
    }

    /// Whether reading stands still until a queue has room.
    pub(super) fn is_pausing(&self) -> bool {
        self.full_queues > 0
    }

    /// Ends every subscription: what is queued can still be taken.
    pub(super) fn end_all(&mut self, wakes: &mut Vec<Waker>) {
        for (_, local) in self.locals.iter_mut() {
            local.ended = true;
            wakes.extend(local.waker.take());
        }
    }

    /// Finds the subscriptions that get a message, each once; see [`targets`](Self::targets).
    ///
    /// Local matching decides. Subscription Identifiers only choose between copies: when the message carries one that a matching
    /// filter was subscribed under, filters under others wait for their own copy [MQTT-3.3.4-4].
    /// A copy that was sent only for filters that nobody wants any more is nobody's. One under an identifier that a filter had before, and
    /// that another one has now, is for that one, and for those who were there before: to them it may be the only copy.
    ///
    /// A retained message, on a filter without Retain As Published, answers a SUBSCRIBE [MQTT-3.3.1-8] and goes to whom that was for;
    /// where no identifier tells, to everybody: a duplicate is better than a loss.
    pub(super) fn route(&mut self, message: &Message) {
        self.arrivals += 1;
        self.matched.clear();
        self.targets.clear();
        let matched = &mut self.matched;
        self.trie
            .matches(message.topic(), |filter| matched.push(filter));
        let by_identifier = !message.properties().is_empty()
            && matched.iter().any(|key| {
                self.wanted
                    .get(*key)
                    .is_some_and(|wanted| wanted.is_named_by(message))
            });
        if !by_identifier && is_only_of(message, &self.retired) {
            return;
        }
        for wanted in matched.iter().filter_map(|key| self.wanted.get(*key)) {
            if by_identifier && !wanted.is_named_by(message) {
                continue;
            }
            let answers_one = by_identifier && message.retain() && !wanted.retain_as_published;
            let is_others = |identifier| {
                let mut matched = matched.iter().filter_map(|key| self.wanted.get(*key));
                matched.any(|other| other.identifier() == Some(identifier))
            };
            let in_vain = by_identifier && wanted.is_named_in_vain_by(message, is_others);
            for key in &wanted.locals {
                if answers_one && !wanted.named_by(message).any(|local| local == *key) {
                    continue;
                }
                if in_vain && !wanted.has_had(*key, message) {
                    continue;
                }
                let Some(local) = self.locals.get_mut(*key) else {
                    continue;
                };
                if core::mem::replace(&mut local.stamp, self.arrivals) != self.arrivals {
                    self.targets.push(*key);
                }
            }
        }
    }

    /// The subscriptions that the last [`route`](Self::route) found.
    pub(super) fn targets(&self) -> &[Key] {
        &self.targets
    }

    /// Makes a subscription the only one that gets the message.
    pub(super) fn fall_back_to(&mut self, local: Key) {
        self.targets.push(local);
    }

    pub(crate) fn local(&self, key: Key) -> Option<&Local> {
        self.locals.get(key)
    }

    pub(crate) fn local_mut(&mut self, key: Key) -> Option<&mut Local> {
        self.locals.get_mut(key)
    }

    pub(super) fn locals_mut(&mut self) -> impl Iterator<Item = (Key, &mut Local)> {
        self.locals.iter_mut()
    }

    pub(super) fn wanted(&self, filter: Key) -> Option<&Wanted> {
        self.wanted.get(filter)
    }

    pub(super) fn wanted_mut(&mut self, filter: Key) -> Option<&mut Wanted> {
        self.wanted.get_mut(filter)
    }

    pub(super) fn key_of(&self, name: &str) -> Option<Key> {
        self.names.get(name).copied()
    }

    /// How many filters are wanted, and how many subscriptions there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.wanted.len(), self.locals.len())
    }

    fn is_in_conflict(&self, filter: &Filter) -> bool {
        let wanted = self
            .names
            .get(&*filter.name)
            .and_then(|key| self.wanted.get(*key));
        wanted.is_some_and(|wanted| wanted.conflicts_with(filter))
    }

    fn join(&mut self, local: Key, filter: &Filter) -> Key {
        let key = match self.names.get(&*filter.name) {
            Some(key) => *key,
            None => self.want(filter),
        };
        if let Some(wanted) = self.wanted.get_mut(key) {
            wanted.qos = wanted.qos.max(filter.qos);
            if !wanted.locals.contains(&local) {
                wanted.locals.push(local);
            }
        }
        key
    }

    fn want(&mut self, filter: &Filter) -> Key {
        let name: Box<str> = filter.name.as_str().into();
        let mut wanted = Wanted::new(filter);
        wanted.identifiers = self.reclaim(&name);
        let key = self.wanted.insert(wanted);
        self.trie.insert(without_share(&name), key);
        self.names.insert(name, key);
        key
    }

    /// The identifiers of a filter that is wanted again: what the session has queued under them is a copy for that filter, whoever wanted
    /// it then.
    fn reclaim(&mut self, name: &str) -> Vec<(u32, Key)> {
        if self.retired.is_empty() {
            return Vec::new();
        }
        let filter = self.names.hasher().hash_one(name);
        let mut identifiers = Vec::new();
        self.retired.retain(|retired| {
            let is_its = retired.filter == filter;
            if is_its {
                identifiers.push((retired.identifier, retired.of));
            }
            !is_its
        });
        identifiers
    }

    fn forget(&mut self, filter: Key) -> Option<Abandoned> {
        let wanted = self.wanted.remove(filter)?;
        self.trie.remove(without_share(&wanted.name), filter);
        self.names.remove(&wanted.name);
        let filter = self.names.hasher().hash_one(&*wanted.name);
        let retired = wanted.identifiers.iter();
        self.retired
            .extend(retired.map(|&(identifier, of)| Retired {
                identifier,
                of,
                filter,
            }));
        let excess = self.retired.len().saturating_sub(RETIRED);
        self.retired.drain(..excess);
        Some(Abandoned {
            name: wanted.name,
            at_server: wanted.at_server,
        })
    }
}

/// Whether a message carries Subscription Identifiers, and none but these.
fn is_only_of(message: &Message, retired: &VecDeque<Retired>) -> bool {
    let mut carried = message.properties().subscription_identifiers().peekable();
    let is_retired = |carried| retired.iter().any(|known| known.identifier == carried);
    !retired.is_empty() && carried.peek().is_some() && carried.all(is_retired)
}

/// How many identifiers of filters that are gone are remembered.
const RETIRED: usize = 1024;

/// The part of a filter that topics are matched against [MQTT-4.8.2-1].
fn without_share(filter: &str) -> &str {
    filter
        .strip_prefix("$share/")
        .and_then(|shared| shared.split_once('/'))
        .map_or(filter, |(_, filter)| filter)
}

impl Local {
    fn new(behaviour: Behaviour) -> Self {
        Self {
            queue: VecDeque::new(),
            load: Load::default(),
            lent: Load::default(),
            chunks: Chunks::default(),
            pausing: false,
            waker: None,
            filters: Vec::new(),
            number: 0,
            asked: Vec::new(),
            properties: PropertyList::default(),
            behaviour,
            awaited: false,
            ended: false,
            dropped: Dropped::new(behaviour.observed_drops),
            stamp: 0,
        }
    }

    /// Leaves a waker with the queue; the one it replaces takes its place, to be dropped after unlocking.
    pub(crate) fn swap_waker(&mut self, waker: &mut Option<Waker>) {
        core::mem::swap(&mut self.waker, waker);
    }

    /// Whether this very waker is with the queue.
    pub(crate) fn is_watched_by(&self, waker: &Waker) -> bool {
        self.waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
    }
}
