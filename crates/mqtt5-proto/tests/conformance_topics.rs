//! Topic Names and Topic Filters (4.7, 4.8.2): what they may be, and what matches what.

use mqtt5_proto::{TopicError, TopicFilter, TopicName};

/// [MQTT-4.7.3-3]: bytes, not characters.
#[test]
fn lengths() {
    for (text, fits) in [
        ("a".repeat(65_535), true),
        ("a".repeat(65_536), false),
        ("é".repeat(32_767), true),
        ("é".repeat(32_768), false),
    ] {
        let name = TopicName::new(&text).map(TopicName::as_str);
        let filter = TopicFilter::new(&text).map(TopicFilter::as_str);
        let expected = if fits {
            Ok(&*text)
        } else {
            Err(TopicError::TooLong)
        };
        assert_eq!(name, expected);
        assert_eq!(filter, expected);
    }
}

/// [MQTT-4.7.0-1], [MQTT-3.3.2-2], [MQTT-4.7.3-1], [MQTT-4.7.3-2].
#[test]
fn names() {
    for (text, error) in [
        ("", TopicError::Empty),
        ("+", TopicError::Wildcard),
        ("#", TopicError::Wildcard),
        ("a+", TopicError::Wildcard),
        ("a/#/b", TopicError::Wildcard),
        ("\0", TopicError::NulCharacter),
        ("a/\0/b", TopicError::NulCharacter),
    ] {
        assert_eq!(TopicName::new(text), Err(error), "{text:?}");
    }
    for text in [
        "/",
        "//",
        " ",
        "a b",
        "$SYS/x",
        "$share/g/t",
        "\u{FEFF}",
        "\u{FFFF}",
    ] {
        assert_eq!(TopicName::new(text).map(TopicName::as_str), Ok(text));
    }
}

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.7.3-2]: the examples of 4.7.1, and each wildcard beside, before and
/// behind another character. T153, T158.
#[test]
fn wildcards() {
    for text in [
        "#",
        "sport/tennis/#",
        "+",
        "+/tennis/#",
        "sport/+/player1",
        "/+",
        "+/+",
        "+/#",
        "/#",
        "a/+/+/b",
    ] {
        assert!(TopicFilter::new(text).is_ok(), "{text}");
    }
    for text in [
        "#/", "#/a", "a#", "#a", "##", "a/#/b", "a/b#", "a/#b", "a/##", "+#",
    ] {
        assert!(TopicFilter::new(text).is_err(), "{text}");
    }
    for text in ["a+", "+a", "++", "a/b+", "a/+b/c", "sport+", "+/a+"] {
        assert_eq!(
            TopicFilter::new(text),
            Err(TopicError::SingleLevelWildcard),
            "{text}"
        );
    }
    assert_eq!(TopicFilter::new(""), Err(TopicError::Empty));
    assert_eq!(TopicFilter::new("a/\0"), Err(TopicError::NulCharacter));
}

/// [MQTT-4.8.2-1], [MQTT-4.8.2-2].
#[test]
fn shared_subscriptions() {
    for (text, share_name, inner) in [
        ("$share/g/a", "g", "a"),
        ("$share/g//", "g", "/"),
        ("$share/g/#", "g", "#"),
        ("$share/g g/a/+", "g g", "a/+"),
        ("$share/$share/$share/a", "$share", "$share/a"),
    ] {
        let filter = TopicFilter::new(text).unwrap();
        assert_eq!(filter.share_name(), Some(share_name));
        assert_eq!(filter.without_share(), inner);
    }
    for text in [
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/#/a",
        "$share/g+/a",
        "$share/#g/a",
    ] {
        assert_eq!(
            TopicFilter::new(text),
            Err(TopicError::SharedSubscription),
            "{text}"
        );
    }
    assert!(TopicFilter::new("$share/g/a#").is_err());
    for text in ["$Share/g/a", "share/g/a", "$shared/g/a"] {
        assert_eq!(TopicFilter::new(text).unwrap().share_name(), None, "{text}");
    }
}

/// [MQTT-4.7.2-1]. T138.
#[test]
fn wildcards_do_not_match_a_dollar() {
    for (filter, topic, expected) in [
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("+", "$SYS", false),
        ("+/#", "$SYS/x", false),
        ("$share/g/#", "$SYS/x", false),
        ("$share/g/+/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/+", "$SYS/x", true),
        ("$SYS/x", "$SYS/x", true),
        ("a/#", "a/$SYS", true),
        ("a/+", "a/$SYS", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
    }
}

/// [MQTT-4.7.3-4]: what looks alike is not the same.
#[test]
fn nothing_is_normalized() {
    for (one, other) in [
        ("caf\u{E9}", "cafe\u{301}"),
        ("A", "a"),
        ("a", "\u{FEFF}a"),
        ("a", " a"),
        ("a/b", "a//b"),
        ("a/b", "/a/b"),
        ("a/b", "a/b/"),
        ("\u{212B}", "\u{C5}"),
        ("\u{FB01}", "fi"),
        ("a/./b", "a/b"),
        ("%61", "a"),
        ("\u{FFFD}", "\u{FFFF}"),
    ] {
        for (filter, topic) in [(one, other), (other, one)] {
            assert!(!matches(filter, topic), "{filter:?} {topic:?}");
            assert!(matches(filter, filter), "{filter:?}");
        }
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    TopicFilter::new(filter)
        .unwrap()
        .matches(TopicName::new(topic).unwrap())
}
