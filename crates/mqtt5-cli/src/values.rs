//! Values on the command line, parsed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use mqtt5_client::{QoS, RetainHandling, TopicError, TopicName};

/// A name and a value, written `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Splits at the first `=`; the value may have more of them.
pub(crate) fn pair(text: &str) -> Result<Pair, String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok(Pair {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// Bytes, written as text or with the prefix `hex:` or `base64:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary(pub(crate) Vec<u8>);

/// Reads bytes; `text:` in front allows for text that begins with one of the prefixes.
pub(crate) fn binary(text: &str) -> Result<Binary, String> {
    let bytes = match text.split_once(':') {
        Some(("hex", digits)) => {
            hex(digits).ok_or("after hex: an even number of hexadecimal digits must follow")?
        }
        Some(("base64", code)) => STANDARD
            .decode(code)
            .map_err(|error| format!("no base64: {error}"))?,
        Some(("text", text)) => text.into(),
        _ => text.into(),
    };
    Ok(Binary(bytes))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let values: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let values = values.filter(|values| values.len() % 2 == 0)?;
    values
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok())
        .collect()
}

/// 0, 1 or 2.
pub(crate) fn qos(text: &str) -> Result<QoS, String> {
    let number = text.parse::<u8>().ok();
    let qos = number.and_then(|number| QoS::try_from(number).ok());
    qos.ok_or_else(|| "QoS is 0, 1 or 2".to_owned())
}

/// A topic, without wildcards.
pub(crate) fn topic(text: &str) -> Result<String, TopicError> {
    TopicName::new(text).map(|_| text.to_owned())
}

/// Whole seconds, as many as a property can hold.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("write whole seconds, at most {}", u32::MAX))
}

/// Seconds, with a fraction if need be.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Seconds, more than none.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|duration| match duration {
        Duration::ZERO => Err("it must be more than 0".to_owned()),
        duration => Ok(duration),
    })
}

/// Seconds, or `never` for the highest number, which stands for that.
pub(crate) fn session_expiry(text: &str) -> Result<u32, String> {
    if text == "never" {
        return Ok(u32::MAX);
    }
    seconds(text).map_err(|error| format!("{error}, or never"))
}

/// What a payload is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PayloadFormat {
    /// UTF-8 text (Payload Format Indicator 1)
    Text,
    /// Any bytes (Payload Format Indicator 0)
    Bytes,
}

/// Which retained messages a new subscription gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Retained {
    /// All that match
    Send,
    /// All that match, unless the session has the subscription already
    SendIfNew,
    /// None
    DoNotSend,
}

impl From<Retained> for RetainHandling {
    fn from(retained: Retained) -> Self {
        match retained {
            Retained::Send => Self::SendAtSubscribe,
            Retained::SendIfNew => Self::SendAtSubscribeIfNew,
            Retained::DoNotSend => Self::DoNotSend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_at_the_first_sign() {
        let table = [
            ("site=a", ("site", "a")),
            ("q=a=b", ("q", "a=b")),
            ("=", ("", "")),
        ];
        for (text, (name, value)) in table {
            let pair = pair(text).unwrap();
            assert_eq!((pair.name.as_str(), pair.value.as_str()), (name, value));
        }
        assert!(pair("site").is_err());
    }

    #[test]
    fn bytes_have_three_forms() {
        let table: [(&str, &[u8]); 8] = [
            ("plain", b"plain"),
            ("a:b", b"a:b"),
            ("text:hex:00", b"hex:00"),
            ("hex:00fFa0", &[0, 0xff, 0xa0]),
            ("hex:", b""),
            ("base64:AP8=", &[0, 0xff]),
            ("base64:", b""),
            ("", b""),
        ];
        for (text, expected) in table {
            assert_eq!(binary(text).unwrap().0, expected, "{text}");
        }
        for wrong in ["hex:0", "hex:0g", "hex:ä", "base64:AP8", "base64:*"] {
            assert!(binary(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(qos("2"), Ok(QoS::ExactlyOnce));
        assert!(qos("3").is_err() && qos("-1").is_err() && qos("one").is_err());
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1_500)));
        assert!(duration("-1").is_err() && duration("NaN").is_err() && duration("1e30").is_err());
        assert!(positive_duration("0").is_err());
        assert_eq!(session_expiry("never"), Ok(u32::MAX));
        assert_eq!(seconds("4294967295"), Ok(u32::MAX));
        for wrong in ["-1", "1.5", "4294967296", "99999999999999", "", "never"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
            assert!(
                wrong == "never" || session_expiry(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
