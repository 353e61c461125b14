//! Subscriptions by topic filter: one tree for all sessions, walked once for each message.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt5_proto::{QoS, TopicFilter, TopicName, topic};

/// The number of a session in the broker's table.
pub(crate) type SessionSlot = u32;

/// What a session asked for and was granted for one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The granted maximum QoS.
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<u32>,
}

/// Sees what matches a topic.
pub(crate) trait Visitor {
    /// A subscription of one session.
    fn individual(&mut self, session: SessionSlot, subscription: &Subscription);
    /// A Shared Subscription; exactly one of its members is to get the message.
    fn shared(&mut self, group: &mut Group);
}

/// The members of one Shared Subscription, in the order in which they take turns.
#[derive(Debug)]
pub(crate) struct Group {
    /// The full filter: `$share/name/filter`.
    pub(crate) filter: Arc<str>,
    members: Vec<(SessionSlot, Subscription)>,
    next: usize,
}

impl Group {
    fn new(filter: TopicFilter<'_>) -> Self {
        Self {
            filter: filter.as_str().into(),
            members: Vec::new(),
            next: 0,
        }
    }

    /// Gives the turn to the next member that `is_ready`, or to the next member when none is.
    pub(crate) fn take_turn(
        &mut self,
        mut is_ready: impl FnMut(SessionSlot) -> bool,
    ) -> Option<(SessionSlot, Subscription)> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        let first = self.next % count;
        let turn = (0..count)
            .map(|step| (first + step) % count)
            .find(|&at| is_ready(self.members[at].0))
            .unwrap_or(first);
        self.next = turn + 1;
        Some(self.members[turn])
    }

    /// Adds or changes a member; gives back what it replaced.
    fn insert(&mut self, session: SessionSlot, subscription: Subscription) -> Option<Subscription> {
        match self.members.iter_mut().find(|member| member.0 == session) {
            Some(member) => Some(std::mem::replace(&mut member.1, subscription)),
            None => {
                self.members.push((session, subscription));
                None
            }
        }
    }

    fn remove(&mut self, session: SessionSlot) -> Option<Subscription> {
        let at = self.members.iter().position(|member| member.0 == session)?;
        if at < self.next {
            self.next -= 1;
        }
        Some(self.members.remove(at).1)
    }
}

/// Every subscription, by the levels of its filter.
///
/// A message costs one step for each node that its topic reaches, whatever the number of subscriptions that it does not
/// match. Neither matching nor changing recurses, so that a filter of 32,768 levels is only long.
#[derive(Debug)]
pub(crate) struct SubscriptionTrie {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// Nodes still to visit, and where the rest of the topic begins; kept between messages.
    pending: Vec<(u32, Option<usize>)>,
    subscriptions: usize,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, u32>,
    /// The child `+`, kept apart since every message looks for it.
    single_level: Option<u32>,
    /// The child `#`.
    multi_level: Option<u32>,
    individual: BTreeMap<SessionSlot, Subscription>,
    shared: BTreeMap<Box<str>, Group>,
}

impl SubscriptionTrie {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            pending: Vec::new(),
            subscriptions: 0,
        }
    }

    /// The number of subscriptions of all sessions.
    pub(crate) const fn len(&self) -> usize {
        self.subscriptions
    }

    /// Adds a subscription; gives back what it replaced [MQTT-3.8.4-3].
    pub(crate) fn insert(
        &mut self,
        filter: TopicFilter<'_>,
        session: SessionSlot,
        subscription: Subscription,
    ) -> Option<Subscription> {
        let mut at = ROOT;
        for level in topic::levels(filter.without_share()) {
            at = match self.child(at, level) {
                Some(child) => child,
                None => self.add_child(at, level),
            };
        }
        let node = &mut self.nodes[at as usize];
        let replaced = match filter.share_name() {
            None => node.individual.insert(session, subscription),
            Some(name) => node
                .shared
                .entry(name.into())
                .or_insert_with(|| Group::new(filter))
                .insert(session, subscription),
        };
        self.subscriptions += usize::from(replaced.is_none());
        replaced
    }

    /// Removes a subscription: filters are compared character by character [MQTT-3.10.4-1].
    pub(crate) fn remove(
        &mut self,
        filter: TopicFilter<'_>,
        session: SessionSlot,
    ) -> Option<Subscription> {
        let mut path = vec![ROOT];
        for level in topic::levels(filter.without_share()) {
            path.push(self.child(*path.last()?, level)?);
        }
        let node = &mut self.nodes[*path.last()? as usize];
        let removed = match filter.share_name() {
            None => node.individual.remove(&session)?,
            Some(name) => {
                let group = node.shared.get_mut(name)?;
                let removed = group.remove(session)?;
                if group.members.is_empty() {
                    node.shared.remove(name);
                }
                removed
            }
        };
        self.subscriptions -= 1;
        self.prune(filter, &path);
        Some(removed)
    }

    /// The group of a Shared Subscription that still has members.
    pub(crate) fn group(&mut self, filter: TopicFilter<'_>) -> Option<&mut Group> {
        let mut at = ROOT;
        for level in topic::levels(filter.without_share()) {
            at = self.child(at, level)?;
        }
        self.nodes[at as usize].shared.get_mut(filter.share_name()?)
    }

    /// Shows `visitor` every subscription that matches a topic.
    ///
    /// Nodes are visited in an order that depends on the filters alone; within one, sessions come in the order of their
    /// slots. A leading wildcard does not match a topic that begins with `$` [MQTT-4.7.2-1]; nothing is normalized
    /// [MQTT-4.7.3-4].
    pub(crate) fn visit(&mut self, topic: TopicName<'_>, visitor: &mut impl Visitor) {
        let text = topic.as_str();
        let is_internal = text.starts_with('$');
        let mut pending = std::mem::take(&mut self.pending);
        pending.push((ROOT, Some(0)));
        while let Some((at, rest)) = pending.pop() {
            let with_wildcards = at != ROOT || !is_internal;
            let node = &self.nodes[at as usize];
            let (single, multi) = if with_wildcards {
                (node.single_level, node.multi_level)
            } else {
                (None, None)
            };
            match rest {
                None => self.show(at, visitor),
                Some(start) => {
                    let length = text[start..].find('/');
                    let (level, after) = match length {
                        Some(length) => (&text[start..start + length], Some(start + length + 1)),
                        None => (&text[start..], None),
                    };
                    if let Some(child) = single {
                        pending.push((child, after));
                    }
                    if let Some(&child) = node.children.get(level) {
                        pending.push((child, after));
                    }
                }
            }
            if let Some(child) = multi {
                self.show(child, visitor);
            }
        }
        self.pending = pending;
    }

    fn show(&mut self, at: u32, visitor: &mut impl Visitor) {
        let node = &mut self.nodes[at as usize];
        for (&session, subscription) in &node.individual {
            visitor.individual(session, subscription);
        }
        for group in node.shared.values_mut() {
            visitor.shared(group);
        }
    }

    fn child(&self, at: u32, level: &str) -> Option<u32> {
        let node = &self.nodes[at as usize];
        match level {
            "+" => node.single_level,
            "#" => node.multi_level,
            level => node.children.get(level).copied(),
        }
    }

    fn add_child(&mut self, at: u32, level: &str) -> u32 {
        let child = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            u32::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 nodes")
        });
        let node = &mut self.nodes[at as usize];
        match level {
            "+" => node.single_level = Some(child),
            "#" => node.multi_level = Some(child),
            level => {
                node.children.insert(level.into(), child);
            }
        }
        child
    }

    /// Frees the nodes at the end of `path` that nothing needs.
    fn prune(&mut self, filter: TopicFilter<'_>, path: &[u32]) {
        let mut levels = filter.without_share().rsplit('/');
        for pair in path.windows(2).rev() {
            let (parent, child) = (pair[0], pair[1]);
            let Some(level) = levels.next() else { return };
            if !self.nodes[child as usize].is_empty() {
                return;
            }
            self.nodes[child as usize] = Node::default();
            self.free.push(child);
            let node = &mut self.nodes[parent as usize];
            match level {
                "+" => node.single_level = None,
                "#" => node.multi_level = None,
                level => {
                    node.children.remove(level);
                }
            }
        }
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.single_level.is_none()
            && self.multi_level.is_none()
            && self.individual.is_empty()
            && self.shared.is_empty()
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    const GRANTED: Subscription = Subscription {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        identifier: None,
    };

    #[test]
    fn agrees_with_the_filter_itself() {
        let alphabet = ["", "a", "bb", "$c", "+", "#"];
        let words = words(&alphabet, 3);
        let filters: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|w| TopicFilter::new(w).is_ok())
            .collect();
        let mut trie = SubscriptionTrie::new();
        for (slot, text) in filters.iter().enumerate() {
            trie.insert(filter(text), slot as SessionSlot, GRANTED);
        }
        let mut hits = 0;
        for word in &words {
            let Ok(topic) = TopicName::new(word) else {
                continue;
            };
            let expected: Vec<&str> = filters
                .iter()
                .copied()
                .filter(|text| filter(text).matches(topic))
                .collect();
            let mut found: Vec<&str> = matching(&mut trie, word)
                .into_iter()
                .map(|slot| filters[slot as usize])
                .collect();
            found.sort_by_key(|text| filters.iter().position(|other| other == text));
            assert_eq!(found, expected, "{word}");
            hits += found.len();
        }
        assert!(hits > 500, "{hits}");
    }

    #[test]
    fn forgets_what_is_removed() {
        let words = words(&["", "a", "bb", "+", "#"], 3);
        let mut trie = SubscriptionTrie::new();
        for _ in 0..2 {
            for word in words.iter().filter(|w| TopicFilter::new(w).is_ok()) {
                assert_eq!(trie.insert(filter(word), 1, GRANTED), None);
                assert_eq!(trie.insert(filter(word), 1, GRANTED), Some(GRANTED));
                assert_eq!(trie.insert(filter(word), 2, GRANTED), None);
                let share = format!("$share/g/{word}");
                assert_eq!(trie.insert(filter(&share), 1, GRANTED), None);
            }
            for word in words.iter().filter(|w| TopicFilter::new(w).is_ok()) {
                assert_eq!(trie.remove(filter(word), 1), Some(GRANTED));
                assert_eq!(trie.remove(filter(word), 1), None);
                assert_eq!(trie.remove(filter(word), 2), Some(GRANTED));
                let share = format!("$share/g/{word}");
                assert_eq!(trie.remove(filter(&format!("$share/h/{word}")), 1), None);
                assert_eq!(trie.remove(filter(&share), 1), Some(GRANTED));
            }
            assert_eq!(trie.len(), 0);
            assert!(trie.nodes.iter().all(Node::is_empty));
            assert_eq!(trie.free.len() + 1, trie.nodes.len());
        }
    }

    #[test]
    fn members_take_turns() {
        let mut trie = SubscriptionTrie::new();
        for session in 1..=3 {
            trie.insert(filter("$share/g/a/+"), session, GRANTED);
        }
        let mut turns = || matching(&mut trie, "a/b")[0];
        assert_eq!([turns(), turns(), turns(), turns()], [1, 2, 3, 1]);
        let group = trie.group(filter("$share/g/a/+")).unwrap();
        assert_eq!(group.take_turn(|session| session == 1).unwrap().0, 1);
        assert_eq!(group.take_turn(|_| false).unwrap().0, 2);
        group.remove(1);
        assert_eq!(group.take_turn(|_| true).unwrap().0, 3);
        assert_eq!(group.take_turn(|_| true).unwrap().0, 2);
        assert!(trie.group(filter("$share/h/a/+")).is_none());
    }

    #[test]
    fn a_filter_may_have_very_many_levels() {
        let deep = "/".repeat(65_535);
        let mut trie = SubscriptionTrie::new();
        trie.insert(filter(&deep), 1, GRANTED);
        trie.insert(filter("#"), 2, GRANTED);
        assert_eq!(matching(&mut trie, &deep), [2, 1]);
        trie.remove(filter(&deep), 1);
        trie.remove(filter("#"), 2);
        assert_eq!(trie.free.len() + 1, trie.nodes.len());
    }

    fn words(alphabet: &[&str], depth: usize) -> Vec<String> {
        let mut words: Vec<String> = alphabet.iter().map(|&level| level.to_owned()).collect();
        let mut last = words.clone();
        for _ in 1..depth {
            last = last
                .iter()
                .flat_map(|word| alphabet.iter().map(move |level| format!("{word}/{level}")))
                .collect();
            words.extend(last.iter().cloned());
        }
        words
    }

    fn filter(text: &str) -> TopicFilter<'_> {
        TopicFilter::new(text).unwrap()
    }

    fn matching(trie: &mut SubscriptionTrie, topic: &str) -> Vec<SessionSlot> {
        struct Found(Vec<SessionSlot>);
        impl Visitor for Found {
            fn individual(&mut self, session: SessionSlot, _: &Subscription) {
                self.0.push(session);
            }
            fn shared(&mut self, group: &mut Group) {
                self.0
                    .extend(group.take_turn(|_| true).map(|(session, _)| session));
            }
        }
        let mut found = Found(Vec::new());
        trie.visit(TopicName::new(topic).unwrap(), &mut found);
        found.0
    }
}
