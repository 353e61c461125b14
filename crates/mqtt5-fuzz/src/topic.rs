//! Topic Names and Topic Filters against a reading of sections 4.7 and 4.8.2 that is as plain as can be.

use mqtt5_proto::{TopicError, TopicFilter, TopicName, topic};

/// The bytes up to the first line feed are a filter, those after it a topic; either may be neither.
pub fn topic(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n');
    let (first, second) = data.split_at(at.unwrap_or(data.len()));
    let (Ok(filter), Ok(name)) = (
        str::from_utf8(first),
        str::from_utf8(second.get(1..).unwrap_or_default()),
    ) else {
        return;
    };
    for text in [filter, name] {
        check_name(text);
        check_filter(text);
        assert_eq!(topic::levels(text).collect::<Vec<_>>(), levels(text));
    }
    for (filter, name) in [(filter, name), (name, filter), (name, name)] {
        let (Ok(filter), Ok(name)) = (TopicFilter::new(filter), TopicName::new(name)) else {
            continue;
        };
        let expected = matches(&levels(filter.without_share()), name.as_str());
        assert_eq!(filter.matches(name), expected, "{filter} {name}");
        if !filter.has_wildcard() {
            assert_eq!(expected, filter.without_share() == name.as_str());
        }
    }
}

fn check_name(text: &str) {
    let valid = can_be_a_topic(text) && !text.contains(['+', '#']);
    let name = TopicName::new(text);
    assert_eq!(name.is_ok(), valid, "{name:?}");
    match name {
        Ok(name) => assert_eq!(name.as_str(), text),
        Err(error) => check_error(error),
    }
}

fn check_filter(text: &str) {
    let all = levels(text);
    let (share, inner) = match all[..] {
        ["$share", name, ref inner @ ..] => (Some(name), inner),
        ref all => (None, all),
    };
    let sharing = match share {
        None => all != ["$share"],
        Some(name) => {
            !name.is_empty() && !name.contains(['+', '#']) && !inner.is_empty() && inner != [""]
        }
    };
    let last = inner.len().saturating_sub(1);
    let wildcards = inner.iter().enumerate().all(|(n, level)| {
        let alone = level.chars().count() == 1;
        (!level.contains('#') || alone && n == last) && (!level.contains('+') || alone)
    });
    let valid = can_be_a_topic(text) && sharing && wildcards;
    let filter = TopicFilter::new(text);
    assert_eq!(filter.is_ok(), valid, "{text:?}: {filter:?}");
    match filter {
        Ok(filter) => {
            assert_eq!(filter.as_str(), text);
            assert_eq!(filter.share_name(), share);
            assert_eq!(filter.is_shared(), share.is_some());
            assert_eq!(levels(filter.without_share()), inner);
            let wild = inner.iter().any(|level| ["+", "#"].contains(level));
            assert_eq!(filter.has_wildcard(), wild);
        }
        Err(error) => check_error(error),
    }
}

fn check_error(error: TopicError) {
    assert!(!error.to_string().is_empty());
}

/// [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-4.7.3-3].
fn can_be_a_topic(text: &str) -> bool {
    !text.is_empty() && text.len() <= 65_535 && !text.contains('\0')
}

/// Without `str::split`, which the code under test uses.
fn levels(text: &str) -> Vec<&str> {
    let mut levels = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices() {
        if character == '/' {
            levels.push(&text[start..at]);
            start = at + 1;
        }
    }
    levels.push(&text[start..]);
    levels
}

/// Section 4.7, level by level from the end, where `#` may stand.
fn matches(filter: &[&str], name: &str) -> bool {
    let hidden = name.starts_with('$') && matches!(filter.first(), Some(&"+" | &"#"));
    let name = levels(name);
    let fits = match filter.split_last() {
        // "sport/#" also matches the parent level (4.7.1.2).
        Some((&"#", parents)) => name.len() >= parents.len() && all_match(parents, &name),
        _ => name.len() == filter.len() && all_match(filter, &name),
    };
    fits && !hidden
}

fn all_match(filter: &[&str], name: &[&str]) -> bool {
    let mut pairs = filter.iter().zip(name);
    pairs.all(|(level, name)| *level == "+" || level == name)
}
