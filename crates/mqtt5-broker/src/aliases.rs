//! Topic Aliases towards a client (3.3.2.3.4).

/// The topics that a client knows by number, on one connection: chosen when a packet is encoded, never stored.
#[derive(Debug, Default)]
pub(crate) struct TopicAliases {
    maximum: usize,
    /// The topic of Topic Alias 1 first, each with when it was last used.
    topics: Vec<(Box<str>, u64)>,
    uses: u64,
}

/// The Topic Alias for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) number: u16,
    /// It stands for the Topic Name; otherwise both are sent.
    pub(crate) is_known: bool,
}

impl TopicAliases {
    pub(crate) const fn new(maximum: u16) -> Self {
        Self {
            maximum: maximum as usize,
            topics: Vec::new(),
            uses: 0,
        }
    }

    /// The Topic Alias to send with this topic; `None` when none is allowed, or none is shorter.
    pub(crate) fn choose(&self, topic: &str) -> Option<Alias> {
        if self.maximum == 0 || topic.len() <= ALIAS_LEN {
            return None;
        }
        let known = self.topics.iter().position(|(known, _)| **known == *topic);
        let new = || match self.topics.len() {
            length if length < self.maximum => Some(length),
            _ => (0..self.topics.len()).min_by_key(|&at| self.topics[at].1),
        };
        Some(Alias {
            number: u16::try_from(known.or_else(new)? + 1).ok()?,
            is_known: known.is_some(),
        })
    }

    /// A packet with this alias was encoded: the client will know it.
    pub(crate) fn note(&mut self, alias: Alias, topic: &str) {
        self.uses += 1;
        let at = usize::from(alias.number) - 1;
        match self.topics.get_mut(at) {
            Some(entry) if alias.is_known => entry.1 = self.uses,
            Some(entry) => *entry = (topic.into(), self.uses),
            None => self.topics.push((topic.into(), self.uses)),
        }
    }
}

/// The length of the Topic Alias property in bytes.
const ALIAS_LEN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn send(aliases: &mut TopicAliases, topic: &str) -> Option<(u16, bool)> {
        let alias = aliases.choose(topic)?;
        aliases.note(alias, topic);
        Some((alias.number, alias.is_known))
    }

    #[test]
    fn the_topic_not_used_for_longest_gives_way() {
        let mut aliases = TopicAliases::new(2);
        for (topic, expected) in [
            ("topic a", (1, false)),
            ("topic b", (2, false)),
            ("topic a", (1, true)),
            ("topic c", (2, false)),
            ("topic a", (1, true)),
            ("topic b", (2, false)),
        ] {
            assert_eq!(send(&mut aliases, topic), Some(expected), "{topic}");
        }
    }

    #[test]
    fn none_when_it_saves_nothing_or_none_is_allowed() {
        assert_eq!(send(&mut TopicAliases::new(2), "abc"), None);
        assert_eq!(send(&mut TopicAliases::new(2), "abcd"), Some((1, false)));
        assert_eq!(send(&mut TopicAliases::new(0), "abcd"), None);
    }
}
