//! Topic filters in a trie: one pass over the levels of a topic finds every filter that matches it.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use crate::planted::planted;

/// The filters of all subscriptions, found by topic [MQTT-4.7].
///
/// Values are the registry's keys. A match neither recurses nor allocates once the trie has seen its deepest
/// filter: the positions still to be looked at live in a stack that is kept.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    nodes: Vec<Node<V>>,
    free: Vec<u32>,
    stack: Vec<Position>,
}

#[derive(Debug)]
struct Node<V> {
    children: HashMap<Box<str>, u32, BuildHasherDefault<LevelHasher>>,
    /// The child for `+`.
    any: Option<u32>,
    /// Filters that end here.
    exact: Vec<V>,
    /// Filters that end here with `#`; they match this level and all below.
    below: Vec<V>,
}

/// A node together with the rest of the topic; `None` when all levels are used up.
#[derive(Clone, Copy, Debug)]
struct Position {
    node: u32,
    /// Where in the topic the next level starts.
    offset: Option<usize>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            stack: Vec::new(),
        }
    }
}

impl<V: Copy + PartialEq> Trie<V> {
    /// Adds `value` under a valid filter, given without its share name.
    pub(crate) fn insert(&mut self, filter: &str, value: V) {
        let mut node = ROOT;
        for level in filter.split('/') {
            if level == "#" {
                self.nodes[node as usize].below.push(value);
                return;
            }
            node = self.child_or_new(node, level);
        }
        self.nodes[node as usize].exact.push(value);
    }

    /// Removes what `insert` added, and the branches that nothing needs any more.
    pub(crate) fn remove(&mut self, filter: &str, value: V) {
        let mut path = vec![(ROOT, "")];
        for level in filter.split('/').filter(|level| *level != "#") {
            let (node, _) = path[path.len() - 1];
            let Some(child) = self.nodes[node as usize].child(level) else {
                return;
            };
            path.push((child, level));
        }
        let (last, _) = path[path.len() - 1];
        let node = &mut self.nodes[last as usize];
        let values = if filter.ends_with('#') {
            &mut node.below
        } else {
            &mut node.exact
        };
        values.retain(|known| *known != value);
        self.prune(&path);
    }

    /// Calls `found` with the value of each filter that matches `topic`, each once, in no particular order.
    pub(crate) fn matches(&mut self, topic: &str, mut found: impl FnMut(V)) {
        self.stack.clear();
        self.stack.push(Position {
            node: ROOT,
            offset: Some(0),
        });
        while let Some(Position { node, offset }) = self.stack.pop() {
            let current = &self.nodes[node as usize];
            // A filter that starts with a wildcard does not match a topic that starts with `$` [MQTT-4.7.2-1].
            let wildcards = node != ROOT || !topic.starts_with('$');
            let parent = offset.is_none() && planted!(MissParentLevel);
            if wildcards && !parent {
                current.below.iter().copied().for_each(&mut found);
            }
            let Some(offset) = offset else {
                current.exact.iter().copied().for_each(&mut found);
                continue;
            };
            if current.any.is_none() && current.children.is_empty() {
                continue;
            }
            let rest = &topic[offset..];
            // Levels are short: looking at each byte is faster than setting up a search.
            let (level, next) = match rest.bytes().position(|byte| byte == b'/') {
                Some(end) => (&rest[..end], Some(offset + end + 1)),
                None => (rest, None),
            };
            if let Some(any) = current.any.filter(|_| wildcards) {
                self.stack.push(Position {
                    node: any,
                    offset: next,
                });
            }
            if let Some(&child) = current.children.get(level) {
                self.stack.push(Position {
                    node: child,
                    offset: next,
                });
            }
        }
    }

    fn child_or_new(&mut self, node: u32, level: &str) -> u32 {
        if let Some(child) = self.nodes[node as usize].child(level) {
            return child;
        }
        let child = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            u32::try_from(self.nodes.len() - 1).expect("fewer nodes than bytes in memory")
        });
        let parent = &mut self.nodes[node as usize];
        if level == "+" {
            parent.any = Some(child);
        } else {
            parent.children.insert(level.into(), child);
        }
        child
    }

    fn prune(&mut self, path: &[(u32, &str)]) {
        for pair in path.windows(2).rev() {
            let [(parent, _), (child, level)] = *pair else {
                continue;
            };
            if !self.nodes[child as usize].is_empty() {
                return;
            }
            let parent = &mut self.nodes[parent as usize];
            if level == "+" {
                parent.any = None;
            } else {
                parent.children.remove(level);
            }
            self.nodes[child as usize] = Node::default();
            self.free.push(child);
        }
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self {
            children: HashMap::default(),
            any: None,
            exact: Vec::new(),
            below: Vec::new(),
        }
    }
}

impl<V> Node<V> {
    fn child(&self, level: &str) -> Option<u32> {
        if level == "+" {
            self.any
        } else {
            self.children.get(level).copied()
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any.is_none()
            && self.exact.is_empty()
            && self.below.is_empty()
    }
}

/// A fast hash for levels. Only our own filters are ever inserted, so a peer cannot fill a bucket.
#[derive(Clone, Copy, Debug, Default)]
struct LevelHasher(u64);

impl LevelHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for LevelHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let tail = chunks
            .remainder()
            .iter()
            .fold(0, |word, &byte| word << 8 | u64::from(byte));
        self.mix(tail);
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The table takes its bucket from the low bits and its tag from the high ones.
        self.0 ^ self.0 >> 32
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt5_proto::{TopicFilter, TopicName};
    use proptest::prelude::*;

    fn found(trie: &mut Trie<usize>, topic: &str) -> Vec<usize> {
        let mut found = Vec::new();
        trie.matches(topic, |value| found.push(value));
        found.sort_unstable();
        found
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", "a", "b", "$c", "longer level", "+"])
    }

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(level(), 1..5), any::<bool>()).prop_map(|(levels, below)| {
            let filter = levels.join("/");
            if below { format!("{filter}/#") } else { filter }
        })
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..6).prop_map(|levels| levels.join("/").replace('+', "x"))
    }

    proptest! {
        /// T153, T158: whatever was added and taken away.
        #[test]
        fn agrees_with_a_naive_matcher_while_filters_come_and_go(
            filters in prop::collection::vec(filter(), 1..30),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
            topics in prop::collection::vec(topic(), 1..20),
        ) {
            let mut trie = Trie::default();
            let mut known: Vec<Option<&str>> = filters.iter().map(|filter| TopicFilter::new(filter).ok().map(TopicFilter::as_str)).collect();
            for (value, filter) in known.iter().enumerate() {
                filter.iter().for_each(|filter| trie.insert(filter, value));
            }
            for index in removed {
                let value = index.index(known.len());
                if let Some(filter) = known[value].take() {
                    trie.remove(filter, value);
                }
            }
            for topic in topics.iter().filter_map(|topic| TopicName::new(topic).ok()) {
                let matches = |filter: &&str| TopicFilter::new(filter).is_ok_and(|filter| filter.matches(topic));
                let expected: Vec<_> = known.iter().enumerate().filter(|(_, filter)| filter.as_ref().is_some_and(matches)).map(|(value, _)| value).collect();
                prop_assert_eq!(found(&mut trie, topic.as_str()), expected, "{}", topic);
            }
            for (value, filter) in known.iter().enumerate() {
                filter.iter().for_each(|filter| trie.remove(filter, value));
            }
            prop_assert!(trie.nodes[ROOT as usize].is_empty());
            prop_assert_eq!(trie.free.len() + 1, trie.nodes.len(), "nothing is left behind");
        }
    }

    #[test]
    fn depth_costs_neither_stack_nor_time() {
        let mut trie = Trie::default();
        let deep = vec!["+"; 30_000].join("/");
        trie.insert(&deep, 1);
        trie.insert("#", 2);
        let topic = "/".repeat(29_999);
        assert_eq!(found(&mut trie, &topic), [1, 2]);
        trie.remove(&deep, 1);
        assert_eq!(found(&mut trie, &topic), [2]);
    }

    #[test]
    fn one_filter_can_have_several_values() {
        let mut trie = Trie::default();
        for (filter, value) in [("a/b", 1), ("a/b", 2), ("a/+", 3), ("a/#", 4), ("+/b", 5)] {
            trie.insert(filter, value);
        }
        assert_eq!(found(&mut trie, "a/b"), [1, 2, 3, 4, 5]);
        trie.remove("a/b", 1);
        trie.remove("a/unknown", 2);
        assert_eq!(found(&mut trie, "a/b"), [2, 3, 4, 5]);
        assert_eq!(found(&mut trie, "a"), [4]);
    }
}
