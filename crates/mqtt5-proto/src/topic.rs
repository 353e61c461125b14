//! Topic Names and Topic Filters (section 4.7), Shared Subscriptions (4.8.2).

use core::fmt;

/// Why a string is no Topic Name or Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// It has no character [MQTT-4.7.3-1].
    #[error("a topic must have at least one character")]
    Empty,
    /// It has more than 65,535 bytes [MQTT-4.7.3-3].
    #[error("a topic may have at most 65,535 bytes")]
    TooLong,
    /// It contains U+0000 [MQTT-4.7.3-2].
    #[error("a topic must not contain U+0000")]
    NulCharacter,
    /// `+` or `#` in a Topic Name [MQTT-4.7.0-1].
    #[error("a topic name must not contain the wildcards + and #; they belong in subscriptions")]
    Wildcard,
    /// `#` that is not the whole last level [MQTT-4.7.1-1].
    #[error("# must be the whole last level of a topic filter")]
    MultiLevelWildcard,
    /// `+` that is not a whole level [MQTT-4.7.1-2].
    #[error("+ must be a whole level of a topic filter")]
    SingleLevelWildcard,
    /// `$share/` without a name, with a wildcard in it, or without a filter after it [MQTT-4.8.2-1], [MQTT-4.8.2-2].
    #[error("a shared subscription has the form $share/name/filter")]
    SharedSubscription,
}

/// A Topic Name: at least one character, at most 65,535 bytes, no wildcard, no U+0000.
///
/// ```
/// use mqtt5_proto::{TopicError, TopicName};
///
/// assert_eq!(TopicName::new("sensors/a")?.as_str(), "sensors/a");
/// assert_eq!(TopicName::new("sensors/+"), Err(TopicError::Wildcard));
/// # Ok::<(), TopicError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks a string.
    ///
    /// # Errors
    ///
    /// The rule of section 4.7 that it breaks.
    pub fn new(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        for &byte in text.as_bytes() {
            match byte {
                0 => return Err(TopicError::NulCharacter),
                b'+' | b'#' => return Err(TopicError::Wildcard),
                _ => {}
            }
        }
        Ok(Self(text))
    }

    /// The name that was checked before.
    pub(crate) const fn from_validated(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> TryFrom<&'a str> for TopicName<'a> {
    type Error = TopicError;

    fn try_from(text: &'a str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

/// A Topic Filter, possibly of a Shared Subscription (`$share/name/filter`).
///
/// ```
/// use mqtt5_proto::{TopicFilter, TopicName};
///
/// let filter = TopicFilter::new("$share/workers/jobs/+/state")?;
/// assert_eq!(filter.share_name(), Some("workers"));
/// assert!(filter.matches(TopicName::new("jobs/7/state")?));
/// # Ok::<(), mqtt5_proto::TopicError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks a string.
    ///
    /// # Errors
    ///
    /// The rule of section 4.7 or 4.8.2 that it breaks.
    pub fn new(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        let filter = match text.strip_prefix("$share/") {
            None => text,
            Some(shared) => match shared.split_once('/') {
                Some((name, filter)) if !name.is_empty() && !filter.is_empty() => {
                    if name.contains(['+', '#']) {
                        return Err(TopicError::SharedSubscription);
                    }
                    filter
                }
                _ => return Err(TopicError::SharedSubscription),
            },
        };
        if text == "$share" {
            return Err(TopicError::SharedSubscription);
        }
        if text.as_bytes().contains(&0) {
            return Err(TopicError::NulCharacter);
        }
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level.len() > 1 || levels.peek().is_some()) {
                return Err(TopicError::MultiLevelWildcard);
            }
            if level.contains('+') && level.len() > 1 {
                return Err(TopicError::SingleLevelWildcard);
            }
        }
        Ok(Self(text))
    }

    /// The text, with the prefix of a Shared Subscription.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The ShareName, if this is a Shared Subscription.
    pub fn share_name(self) -> Option<&'a str> {
        let (name, _) = self.0.strip_prefix("$share/")?.split_once('/')?;
        Some(name)
    }

    /// Whether this is a Shared Subscription.
    pub fn is_shared(self) -> bool {
        self.share_name().is_some()
    }

    /// The filter that topics are matched against: the text without `$share/name/`.
    pub fn without_share(self) -> &'a str {
        self.0
            .strip_prefix("$share/")
            .and_then(|shared| shared.split_once('/'))
            .map_or(self.0, |(_, filter)| filter)
    }

    /// Whether it contains `+` or `#` as a level.
    pub fn has_wildcard(self) -> bool {
        self.without_share().contains(['+', '#'])
    }

    /// Whether a message on `topic` goes to this subscription.
    ///
    /// A leading wildcard does not match a topic that begins with `$` [MQTT-4.7.2-1]; `a/#` matches `a`.
    pub fn matches(self, topic: TopicName<'_>) -> bool {
        let filter = self.without_share();
        if topic.0.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        let mut topic = topic.0.split('/');
        for level in filter.split('/') {
            match (level, topic.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (level, Some(name)) if level == name => {}
                _ => return false,
            }
        }
        topic.next().is_none()
    }
}

impl fmt::Debug for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> TryFrom<&'a str> for TopicFilter<'a> {
    type Error = TopicError;

    fn try_from(text: &'a str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

/// The levels of a Topic Name or Topic Filter, between the separators `/`; empty levels count [MQTT-4.7.1-1].
pub fn levels(topic: &str) -> impl Iterator<Item = &str> {
    topic.split('/')
}

fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        1..=0xFFFF => Ok(()),
        _ => Err(TopicError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn matches(filter: &str, topic: &str) -> bool {
        TopicFilter::new(filter)
            .unwrap()
            .matches(TopicName::new(topic).unwrap())
    }

    #[test]
    fn examples_of_the_specification() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/wimbledon",
                true,
            ),
            ("sport/#", "sport", true),
            ("#", "a", true),
            ("#", "$SYS/a", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("a//b", "a//b", true),
            ("a//b", "a/b", false),
            ("ACCOUNTS", "Accounts", false),
            ("$share/g/a/+", "a/b", true),
            ("$share/g/#", "$SYS/a", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn rejects_what_section_4_7_forbids() {
        let long = "a".repeat(65_536);
        for (filter, error) in [
            ("", TopicError::Empty),
            (long.as_str(), TopicError::TooLong),
            ("a\0", TopicError::NulCharacter),
            ("sport/tennis#", TopicError::MultiLevelWildcard),
            ("sport/tennis/#/ranking", TopicError::MultiLevelWildcard),
            ("sport+", TopicError::SingleLevelWildcard),
            ("$share", TopicError::SharedSubscription),
            ("$share/", TopicError::SharedSubscription),
            ("$share/ab", TopicError::SharedSubscription),
            ("$share//a", TopicError::SharedSubscription),
            ("$share/ab/", TopicError::SharedSubscription),
            ("$share/a+b/c", TopicError::SharedSubscription),
        ] {
            assert_eq!(TopicFilter::new(filter), Err(error), "{filter}");
        }
        for (name, error) in [
            ("", TopicError::Empty),
            ("a/+", TopicError::Wildcard),
            ("#", TopicError::Wildcard),
            ("\0", TopicError::NulCharacter),
        ] {
            assert_eq!(TopicName::new(name), Err(error));
        }
        assert!(TopicName::new(&"/".repeat(65_535)).is_ok());
        assert!(TopicFilter::new("$shared/a").is_ok());
    }

    #[test]
    fn agrees_with_a_naive_matcher() {
        let alphabet = ["", "a", "$b", "+", "#"];
        let mut words = std::vec![String::new()];
        for depth in 0..3 {
            for i in 0..words.len() {
                for level in alphabet {
                    let word = if depth == 0 {
                        String::from(level)
                    } else {
                        std::format!("{}/{level}", words[i])
                    };
                    words.push(word);
                }
            }
        }
        words.sort();
        words.dedup();
        let mut hits = 0;
        for filter in words.iter().filter_map(|w| TopicFilter::new(w).ok()) {
            for topic in words.iter().filter_map(|w| TopicName::new(w).ok()) {
                let filter_levels: std::vec::Vec<_> = levels(filter.as_str()).collect();
                let topic_levels: std::vec::Vec<_> = levels(topic.as_str()).collect();
                let dollar =
                    topic.as_str().starts_with('$') && matches!(filter_levels[0], "+" | "#");
                let expected = !dollar && naive(&filter_levels, &topic_levels);
                assert_eq!(filter.matches(topic), expected, "{filter} {topic}");
                hits += usize::from(expected);
            }
        }
        assert!(hits > 100);
    }

    fn naive(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            ([], []) => true,
            ([f, fs @ ..], [t, ts @ ..]) => (*f == "+" || f == t) && naive(fs, ts),
            _ => false,
        }
    }
}
