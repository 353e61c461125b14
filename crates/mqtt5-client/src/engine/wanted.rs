//! A filter of the desired set, and what the server knows of it.

use crate::filter::Filter;
use crate::slab::Key;
use mqtt5_proto::{Message, QoS, ReasonCode, RetainHandling};

/// A filter that at least one subscription wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: Box<str>,
    /// The strongest Quality of Service that was asked for.
    pub(super) qos: QoS,
    no_local: bool,
    pub(super) retain_as_published: bool,
    /// The Quality of Service that was last sent, as far as it is not known to be void.
    pub(super) sent: QoS,
    /// The Subscription Identifiers that it was subscribed under, the last one last, and whose SUBSCRIBE each was.
    pub(super) identifiers: Vec<(u32, Key)>,
    /// What the server last granted.
    pub(super) granted: Option<ReasonCode>,
    /// SUBSCRIBEs on their way that name it.
    pub(super) asked: usize,
    /// A SUBSCRIBE for it has left in this session.
    pub(super) at_server: bool,
    pub(super) locals: Vec<Key>,
    /// The Subscription Identifier that the server last granted it under.
    granted_under: Option<u32>,
    /// Whom the server has granted it, and under which identifier first.
    since: Vec<(Key, Option<u32>)>,
}

impl Wanted {
    pub(super) fn new(filter: &Filter) -> Self {
        Self {
            name: filter.name.as_str().into(),
            qos: filter.qos,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
            sent: QoS::AtMostOnce,
            identifiers: Vec::new(),
            granted: None,
            asked: 0,
            at_server: false,
            locals: Vec::new(),
            granted_under: None,
            since: Vec::new(),
        }
    }

    /// Whether `filter` differs in what can only be asked for once.
    pub(super) fn conflicts_with(&self, filter: &Filter) -> bool {
        (self.no_local, self.retain_as_published) != (filter.no_local, filter.retain_as_published)
    }

    /// Whether the server already has it at least as strong as `filter` wants it, and owes it no retained messages.
    pub(super) fn satisfies(&self, filter: &Filter) -> bool {
        let granted = self.granted.is_some() && self.asked == 0 && self.sent >= filter.qos;
        granted && filter.retain_handling != RetainHandling::SendAtSubscribe
    }

    /// A SUBSCRIBE that names it was answered. A refusal leaves the server with what it granted before, whatever it was asked for since.
    pub(super) fn answered(&mut self, reason: ReasonCode) {
        self.asked = self.asked.saturating_sub(1);
        if !reason.is_error() {
            self.granted = Some(reason);
            self.sent = self.sent.max(self.granted_qos());
            return;
        }
        self.sent = self.granted_qos();
        self.at_server = self.granted.is_some() || self.asked > 0;
    }

    fn granted_qos(&self) -> QoS {
        let granted = self.granted.map(ReasonCode::value);
        let granted = granted.and_then(|granted| QoS::try_from(granted).ok());
        granted.unwrap_or(QoS::AtMostOnce)
    }

    /// What the server knew of it is void.
    pub(super) fn forget_session(&mut self) {
        self.sent = QoS::AtMostOnce;
        self.granted = None;
        self.at_server = false;
        self.identifiers.clear();
        self.granted_under = None;
        self.since.clear();
    }

    /// A subscription does not want it any more.
    pub(super) fn leave(&mut self, local: Key) {
        self.locals.retain(|known| *known != local);
        self.since.retain(|(known, _)| *known != local);
    }

    /// A subscription has it, by a SUBSCRIBE under this identifier or because somebody else had asked.
    pub(super) fn granted_to(&mut self, local: Key, identifier: Option<u32>) {
        self.granted_under = identifier.or(self.granted_under);
        let is_known = self.since.iter().any(|(known, _)| *known == local);
        if !is_known && self.locals.contains(&local) {
            self.since.push((local, self.granted_under));
        }
    }

    /// The Subscription Identifier that it was last subscribed under.
    pub(super) fn identifier(&self) -> Option<u32> {
        self.identifiers.last().map(|(identifier, _)| *identifier)
    }

    /// Notes the identifier of a SUBSCRIBE and whom its retained copies are for.
    pub(super) fn subscribed_under(&mut self, identifier: u32, local: Key) {
        if self.identifier() == Some(identifier) {
            return;
        }
        let earlier = self.place_of(identifier);
        let entry = earlier.map(|at| self.identifiers.remove(at));
        // What the server has queued, or sends again, carries those that were in force when it was published, whoever asked under them;
        // but not the oldest of very many.
        let excess = (self.identifiers.len() + 1).saturating_sub(IDENTIFIERS);
        self.identifiers.drain(..excess);
        self.identifiers.push(entry.unwrap_or((identifier, local)));
    }

    pub(super) fn is_named_by(&self, message: &Message) -> bool {
        self.places(message).next().is_some()
    }

    /// Whether the identifiers by which a message names it are those of others now, and none is its own.
    pub(super) fn is_named_in_vain_by(
        &self,
        message: &Message,
        is_others: impl Fn(u32) -> bool,
    ) -> bool {
        let mut named = self.places(message).map(|place| self.identifiers[place].0);
        named.all(|identifier| self.identifier() != Some(identifier) && is_others(identifier))
    }

    /// Whose SUBSCRIBEs the identifiers of a message stand for.
    pub(super) fn named_by<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = Key> + 'a {
        self.places(message).map(|place| self.identifiers[place].1)
    }

    /// Whether a subscription may have had it under an identifier of a message.
    pub(super) fn has_had(&self, local: Key, message: &Message) -> bool {
        let since = self.since.iter().find(|(known, _)| *known == local);
        let since = since.and_then(|(_, identifier)| self.place_of((*identifier)?));
        since.is_none_or(|since| self.places(message).any(|place| place >= since))
    }

    fn place_of(&self, identifier: u32) -> Option<usize> {
        let is_it = |(known, _): &(u32, Key)| *known == identifier;
        self.identifiers.iter().position(is_it)
    }

    /// Where the identifiers stand that a message carries.
    fn places<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = usize> + 'a {
        let carried = message.properties().subscription_identifiers();
        carried.filter_map(|identifier| self.place_of(identifier))
    }
}

/// How many identifiers of a filter are remembered.
const IDENTIFIERS: usize = 64;
