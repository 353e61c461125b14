//! Text from the peer, made harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes what moves the cursor, changes colours, begins a new line or reorders text: control characters, line and
/// paragraph separators, and the characters that set the direction of text.
///
/// Backslashes stay as they are, so that JSON and paths stay readable.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if is_harmful(c) => {
                // Writing into a string cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// A payload for people: escaped text, or its first bytes in hexadecimal when it is no text.
pub(crate) fn payload(payload: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(payload) {
        return escape(text);
    }
    let mut shown = format!("<{} bytes:", payload.len());
    shown.push_str(&hex(&payload[..payload.len().min(SHOWN_BYTES)]));
    shown.push_str(if payload.len() > SHOWN_BYTES {
        " …>"
    } else {
        ">"
    });
    Cow::Owned(shown)
}

/// Bytes in hexadecimal, a space before each.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        let _ = write!(text, " {byte:02x}");
    }
    text
}

fn is_harmful(c: char) -> bool {
    // Controls (C0, DEL and C1); separators; marks, embeddings, overrides and isolates of direction; byte order mark.
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c == '\u{feff}'
}

const SHOWN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_is_not_copied() {
        let text = "22.5 °C, \"C:\\temp\", 温度 🙂";
        assert!(matches!(escape(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn every_control_character_is_escaped() {
        let controls = (0..=0x1f).chain(0x7f..=0x9f).filter_map(char::from_u32);
        for c in controls {
            let escaped = escape(&format!("a{c}b")).into_owned();
            assert!(!escaped.contains(char::is_control), "{escaped:?}");
            assert!(
                escaped.starts_with("a\\") && escaped.ends_with('b'),
                "{escaped}"
            );
        }
    }

    #[test]
    fn escapes_say_what_they_stand_for() {
        let table = [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("x\u{2028}y\u{0}", "x\\u{2028}y\\u{0}"),
        ];
        for (text, expected) in table {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn a_payload_that_is_no_text_is_shown_in_hexadecimal() {
        assert_eq!(payload(b"ok\x07"), "ok\\u{7}");
        assert_eq!(payload(&[0xff, 0x1b]), "<2 bytes: ff 1b>");
        let long = payload(&[0xff; 40]).into_owned();
        assert!(
            long.starts_with("<40 bytes: ff") && long.ends_with("ff …>"),
            "{long}"
        );
        assert_eq!(long.matches("ff").count(), SHOWN_BYTES);
    }
}
