//! Who published what, how it ended, and who received it: the promises that hold from one application to another.

mod ending;
mod message;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mqtt5_client::QoS;

use crate::hub::ProcessId;
use crate::intercepting::{Changed, sees};
use crate::referee::Limits;
use crate::transcript::Transcript;

pub(crate) use message::{Ending, Note, number_of};
use subscription::Reasons;
pub(crate) use subscription::{FilterNote, SubscriptionNote};

/// The book of a world. Points in time are counted, so that two of the same instant have an order.
#[derive(Debug)]
pub(crate) struct Ledger {
    transcript: Rc<Transcript>,
    moment: u64,
    pub(crate) messages: Vec<Note>,
    pub(crate) subscriptions: Vec<SubscriptionNote>,
    /// Operations that were begun and have not ended, in words.
    operations: BTreeMap<u64, (ProcessId, String)>,
    /// Of the messages of a process that have left the one that did so last for the first time: when it was accepted, and its number.
    last_sent: BTreeMap<ProcessId, (u64, usize)>,
    /// How often a process has lost its session.
    losses: BTreeMap<ProcessId, usize>,
    /// What the broker holds for each client: filters, each with when it was subscribed in this session.
    pub(crate) at_broker: BTreeMap<usize, BTreeMap<String, u64>>,
    /// Of these, those that it holds with more than QoS 0, each with when it began to.
    pub(crate) kept_by_broker: BTreeMap<usize, BTreeMap<String, u64>>,
    /// What it was asked for, answered or not, and by whom last.
    pub(crate) asked_of_broker: BTreeMap<usize, BTreeMap<String, ProcessId>>,
    /// Filters that were unsubscribed whoever held them, and when.
    unsubscribed: Vec<(ProcessId, &'static str, u64)>,
    /// Why a process may ask for a filter.
    reasons: BTreeMap<(ProcessId, String), Reasons>,
    /// When the broker last began or ended a session for each client.
    sessions: BTreeMap<usize, u64>,
    /// What arrived at a process and had to be taken for another message, of a session that was lost unseen.
    mistaken: BTreeSet<(ProcessId, usize)>,
    /// How many DISCONNECTs a process has read.
    dismissals: BTreeMap<ProcessId, usize>,
    /// What the broker has announced to a process.
    announced: BTreeMap<ProcessId, Limits>,
    /// Processes that were told to subscribe again at every connection.
    pub(crate) eager: BTreeSet<ProcessId>,
    /// Processes with interceptors.
    pub(crate) intercepting: BTreeSet<ProcessId>,
    /// Processes whose subscriptions have Retain As Published.
    pub(crate) as_published: BTreeSet<ProcessId>,
    /// Processes that publish QoS 2 messages again when the session is lost.
    pub(crate) republishers: BTreeSet<ProcessId>,
}

impl Ledger {
    pub(crate) fn new(transcript: Rc<Transcript>) -> Self {
        Self {
            transcript,
            moment: 0,
            messages: Vec::new(),
            subscriptions: Vec::new(),
            operations: BTreeMap::new(),
            last_sent: BTreeMap::new(),
            losses: BTreeMap::new(),
            at_broker: BTreeMap::new(),
            kept_by_broker: BTreeMap::new(),
            asked_of_broker: BTreeMap::new(),
            unsubscribed: Vec::new(),
            reasons: BTreeMap::new(),
            sessions: BTreeMap::new(),
            mistaken: BTreeSet::new(),
            dismissals: BTreeMap::new(),
            announced: BTreeMap::new(),
            eager: BTreeSet::new(),
            intercepting: BTreeSet::new(),
            as_published: BTreeSet::new(),
            republishers: BTreeSet::new(),
        }
    }

    pub(crate) fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// An operation was begun; it must end while its process lives.
    pub(crate) fn begin(&mut self, process: ProcessId, what: String) -> u64 {
        let number = self.moment();
        self.operations.insert(number, (process, what));
        number
    }

    pub(crate) fn end(&mut self, operation: u64) {
        self.operations.remove(&operation);
    }

    /// The operations that are open, in words.
    pub(crate) fn open_operations(&self) -> impl Iterator<Item = String> + '_ {
        self.operations
            .values()
            .map(|(process, what)| format!("{process} {what}"))
    }

    /// Whether something of this process may not have ended, whoever waits for it: for who has subscribed, the client itself may ask the broker.
    pub(crate) fn is_busy(&self, process: ProcessId) -> bool {
        let has_begun = |note: &Note| note.publisher == process && note.is_open();
        let has_subscribed = self.reasons.keys().any(|(of, _)| *of == process);
        has_subscribed
            || self.operations.values().any(|(of, _)| *of == process)
            || self.messages.iter().any(has_begun)
    }

    /// Whether a subscribe of this process has not ended.
    pub(crate) fn is_subscribing(&self, process: ProcessId) -> bool {
        self.operations
            .values()
            .any(|(of, what)| *of == process && what.starts_with("subscribe"))
    }

    /// The process is gone; nobody waits for anything of its.
    pub(crate) fn process_over(&mut self, process: ProcessId) {
        self.operations.retain(|_, (of, _)| *of != process);
        for subscription in self
            .subscriptions
            .iter_mut()
            .filter(|s| s.process == process)
        {
            subscription.over = true;
        }
    }

    /// What the application of a process gets of a payload; `None` when an interceptor keeps the message from it.
    pub(crate) fn seen<'a>(&self, process: ProcessId, payload: &'a [u8]) -> Changed<'a> {
        match self.intercepting.contains(&process) {
            true => sees(payload),
            false => Some(payload.into()),
        }
    }

    /// A message arrived at a process under the identifier of another, which is held since before the session was lost unseen.
    pub(crate) fn mistakes(&mut self, process: ProcessId, number: usize) {
        self.mistaken.insert((process, number));
    }

    pub(crate) fn always_resubscribes(&self, process: ProcessId) -> bool {
        self.eager.contains(&process)
    }

    /// The process was told that the server has no session, and it had one.
    pub(crate) fn session_lost(&mut self, process: ProcessId) {
        *self.losses.entry(process).or_default() += 1;
    }

    pub(crate) fn losses(&self, process: ProcessId) -> usize {
        self.losses.get(&process).copied().unwrap_or_default()
    }

    /// The process has read a DISCONNECT.
    pub(crate) fn dismissed(&mut self, process: ProcessId) {
        *self.dismissals.entry(process).or_default() += 1;
    }

    pub(crate) fn dismissals(&self, process: ProcessId) -> usize {
        self.dismissals.get(&process).copied().unwrap_or_default()
    }

    /// The process was told what the broker accepts, which is the same at every connection.
    pub(crate) fn announces(&mut self, process: ProcessId, limits: Limits) {
        self.announced.insert(process, limits);
    }

    pub(crate) fn announced(&self, process: ProcessId) -> Option<Limits> {
        self.announced.get(&process).copied()
    }

    /// The broker has begun a session, or ended one.
    pub(crate) fn session_begun(&mut self, client: usize) {
        let moment = self.moment();
        self.at_broker.remove(&client);
        self.kept_by_broker.remove(&client);
        self.asked_of_broker.remove(&client);
        self.sessions.insert(client, moment);
    }

    /// The session that the broker has for a client: when it was begun.
    pub(crate) fn session(&self, client: usize) -> u64 {
        self.sessions.get(&client).copied().unwrap_or_default()
    }

    /// The broker has read a SUBSCRIBE: it has the filter, though the answer may come late or never.
    pub(crate) fn broker_asked(&mut self, process: ProcessId, filter: &str, qos: QoS) {
        let filters = self.asked_of_broker.entry(process.client).or_default();
        filters.insert(filter.to_owned(), process);
        let kept = self.kept_by_broker.get_mut(&process.client);
        if let Some(kept) = kept.filter(|_| qos == QoS::AtMostOnce) {
            kept.remove(filter);
        }
    }

    /// The broker has subscribed a client.
    pub(crate) fn broker_subscribed(&mut self, client: usize, filter: &str, granted: QoS) {
        let moment = self.moment();
        let kept = self.kept_by_broker.entry(client).or_default();
        if granted == QoS::AtMostOnce {
            kept.remove(filter);
        } else {
            kept.entry(filter.to_owned()).or_insert(moment);
        }
        self.at_broker
            .entry(client)
            .or_default()
            .entry(filter.to_owned())
            .or_insert(moment);
    }

    /// The broker has refused a filter, and has of it what it had before.
    pub(crate) fn broker_refused(&mut self, client: usize, filter: &str) {
        let has = self.at_broker.get(&client);
        if !has.is_some_and(|filters| filters.contains_key(filter)) {
            let asked = self.asked_of_broker.get_mut(&client);
            asked.and_then(|filters| filters.remove(filter));
        }
    }

    pub(crate) fn broker_unsubscribed(&mut self, client: usize, filter: &str) {
        for held in [&mut self.at_broker, &mut self.kept_by_broker] {
            if let Some(filters) = held.get_mut(&client) {
                filters.remove(filter);
            }
        }
        if let Some(filters) = self.asked_of_broker.get_mut(&client) {
            filters.remove(filter);
        }
    }
}
