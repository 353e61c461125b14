//! Retained messages, by topic.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use mqtt5_proto::{Instant, TopicFilter};

use crate::message::Stored;

/// The last retained message of each topic, in the order of the topics.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: BTreeMap<Arc<str>, Arc<Stored>>,
    bytes: usize,
}

impl Retained {
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, topic: &str) -> Option<&Arc<Stored>> {
        self.messages.get(topic)
    }

    /// Stores a message in place of the earlier one of its topic; gives its key.
    pub(crate) fn insert(&mut self, message: Arc<Stored>) -> Arc<str> {
        self.remove(&message.topic);
        let key: Arc<str> = Arc::from(&*message.topic);
        self.bytes += message.size();
        self.messages.insert(Arc::clone(&key), message);
        key
    }

    pub(crate) fn remove(&mut self, topic: &str) -> Option<(Arc<str>, Arc<Stored>)> {
        let (key, message) = self.messages.remove_entry(topic)?;
        self.bytes -= message.size();
        Some((key, message))
    }

    /// The messages that a new subscription gets, in the order of their topics.
    ///
    /// Looks only at topics that begin like the filter up to its first wildcard.
    pub(crate) fn matching(
        &self,
        filter: TopicFilter<'_>,
        now: Instant,
    ) -> impl Iterator<Item = &Arc<Stored>> {
        let text = filter.as_str();
        let literal = text.find(['+', '#']).map_or(text, |at| &text[..at]);
        // "a/#" matches "a" too.
        let start = literal.strip_suffix('/').unwrap_or(literal);
        self.messages
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(move |(topic, _)| topic.starts_with(start))
            .map(|(_, message)| message)
            .filter(move |message| !message.is_expired(now))
            .filter(move |message| filter.matches(message.content().topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Fanout, Publication};
    use mqtt5_proto::{Properties, QoS, TopicName};

    fn stored(topic: &str) -> Arc<Stored> {
        let publication = Publication {
            topic: TopicName::new(topic).unwrap(),
            qos: QoS::AtMostOnce,
            retain: true,
            properties: Properties::EMPTY,
            payload: b"x",
        };
        Fanout::new(Instant::ZERO, publication).store()
    }

    #[test]
    fn agrees_with_the_filter_itself() {
        let topics = [
            "a", "a/b", "a/bc", "a/b/c", "ab", "b", "/", "/a", "$x", "$x/a", "a/", "a-",
        ];
        let mut retained = Retained::default();
        for topic in topics {
            retained.insert(stored(topic));
        }
        for text in [
            "#", "+", "a", "a/#", "a/+", "a/b", "a/b/#", "+/b", "+/+", "$x/#", "/#", "a/b/+", "c/#",
        ] {
            let filter = TopicFilter::new(text).unwrap();
            let mut expected: Vec<&str> = topics
                .into_iter()
                .filter(|topic| filter.matches(TopicName::new(topic).unwrap()))
                .collect();
            expected.sort_unstable();
            let found: Vec<&str> = retained
                .matching(filter, Instant::ZERO)
                .map(|m| &*m.topic)
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn counts_its_bytes() {
        let mut retained = Retained::default();
        retained.insert(stored("a"));
        let one = retained.bytes();
        retained.insert(stored("a"));
        assert_eq!((retained.len(), retained.bytes()), (1, one));
        assert!(retained.remove("a").is_some());
        assert!(retained.remove("a").is_none());
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
    }
}
