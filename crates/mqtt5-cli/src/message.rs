//! A received message, written down.

use std::str;

use mqtt5_client::{Property, QoS};
use serde_json::Value;

use crate::escape::{escape, payload};
use crate::json::Object;
use crate::timestamp::Timestamp;

/// A message and when it was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) properties: mqtt5_client::Properties<'a>,
    pub(crate) at: Timestamp,
}

impl<'a> Received<'a> {
    pub(crate) fn new(message: &'a mqtt5_client::Message, at: Timestamp) -> Self {
        Self {
            topic: message.topic(),
            payload: message.payload(),
            qos: message.qos(),
            retain: message.retain(),
            dup: message.delivery().dup(),
            properties: message.properties(),
            at,
        }
    }

    /// For programs: everything.
    pub(crate) fn json(&self) -> Object {
        let object = Object::new()
            .with("topic", self.topic)
            .with("qos", self.qos as u8)
            .with("retain", self.retain)
            .with("dup", self.dup);
        let object =
            with_bytes(object, "payload", self.payload).with("received_at", self.at.to_string());
        let properties = &self.properties;
        let mut object = object
            .with_some(
                "payload_format_indicator",
                properties.payload_format_indicator(),
            )
            .with_some(
                "message_expiry_interval",
                properties.message_expiry_interval(),
            )
            .with_some("content_type", properties.content_type())
            .with_some("response_topic", properties.response_topic());
        if let Some(data) = properties.correlation_data() {
            object = with_bytes(object, "correlation_data", data);
        }
        let identifiers: Vec<Value> = self.subscription_identifiers().map(Value::from).collect();
        object
            .with_some(
                "subscription_identifiers",
                (!identifiers.is_empty()).then_some(identifiers),
            )
            .with_pairs("user_properties", properties.user_properties())
    }

    /// For people: a line, and a second one for what is not as usual.
    pub(crate) fn text(&self) -> String {
        let Self { topic, at, .. } = self;
        let line = format!(
            "{}  {}  {}",
            at.time(),
            escape(topic),
            payload(self.payload)
        );
        let details = self.details();
        if details.is_empty() {
            return line;
        }
        format!("{line}\n          {}", details.join(", "))
    }

    fn details(&self) -> Vec<String> {
        let mut details = Vec::new();
        if self.qos != QoS::AtMostOnce {
            details.push(format!("QoS {}", self.qos as u8));
        }
        for (flag, name) in [(self.retain, "retained"), (self.dup, "sent again")] {
            if flag {
                details.push(name.to_owned());
            }
        }
        let mut properties: Vec<Property<'_>> = self.properties.iter().collect();
        // Servers send them in any order; User Properties keep theirs.
        properties.sort_by_key(Property::identifier);
        details.extend(properties.into_iter().filter_map(detail));
        details
    }

    fn subscription_identifiers(&self) -> impl Iterator<Item = u32> {
        self.properties
            .iter()
            .filter_map(|property| match property {
                Property::SubscriptionIdentifier(identifier) => Some(identifier),
                _ => None,
            })
    }
}

/// A property for people; those that say nothing about the message are left out.
fn detail(property: Property<'_>) -> Option<String> {
    Some(match property {
        Property::PayloadFormatIndicator(1) => "text".to_owned(),
        Property::PayloadFormatIndicator(0) => "bytes".to_owned(),
        Property::PayloadFormatIndicator(other) => format!("payload format {other}"),
        Property::MessageExpiryInterval(seconds) => format!("expires in {seconds} s"),
        Property::ContentType(content_type) => format!("content type {}", escape(content_type)),
        Property::ResponseTopic(topic) => format!("response topic {}", escape(topic)),
        Property::CorrelationData(data) => format!("correlation data {}", payload(data)),
        Property::UserProperty(name, value) => format!("{}={}", escape(name), escape(value)),
        _ => return None,
    })
}

/// Bytes as text when they are text; otherwise in base64, and the name says so.
fn with_bytes(object: Object, name: &str, bytes: &[u8]) -> Object {
    use base64::Engine as _;
    match str::from_utf8(bytes) {
        Ok(text) => object.with(name, text),
        Err(_) => {
            let code = base64::engine::general_purpose::STANDARD.encode(bytes);
            object.with(&format!("{name}_base64"), code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt5_client::Properties;
    use std::time::Duration;

    const AT: Timestamp = Timestamp::since_1970(Duration::from_secs(3_661));

    fn received<'a>(payload: &'a [u8], properties: &'a [Property<'a>]) -> Received<'a> {
        Received {
            topic: "a/\u{1b}]0;x\u{7}",
            payload,
            qos: QoS::ExactlyOnce,
            retain: true,
            dup: false,
            properties: Properties::new(properties).unwrap(),
            at: AT,
        }
    }

    const ALL: &[Property<'static>] = &[
        Property::PayloadFormatIndicator(1),
        Property::MessageExpiryInterval(30),
        Property::ContentType("text/\u{9b}31mplain"),
        Property::ResponseTopic("r\nr"),
        Property::CorrelationData(b"\x1b[A"),
        Property::SubscriptionIdentifier(7),
        Property::SubscriptionIdentifier(8),
        Property::UserProperty("k\u{202e}", "v\r"),
        Property::UserProperty("k", "w"),
    ];

    #[test]
    fn no_control_character_reaches_a_terminal() {
        for payload in [&b"x\x1b[2J\r\ny"[..], b"\xff\x1b"] {
            let text = received(payload, ALL).text();
            let (line, details) = text.split_once('\n').unwrap();
            assert!(
                !line.contains(char::is_control) && !details.contains(char::is_control),
                "{text:?}"
            );
        }
        let text = received(b"22.5", ALL).text();
        assert_eq!(
            text,
            "01:01:01  a/\\u{1b}]0;x\\u{7}  22.5\n          QoS 2, retained, text, expires in 30 s, \
             content type text/\\u{9b}31mplain, response topic r\\nr, correlation data \\u{1b}[A, k\\u{202e}=v\\r, k=w"
        );
    }

    #[test]
    fn a_plain_message_is_one_line() {
        let plain = Received {
            qos: QoS::AtMostOnce,
            retain: false,
            ..received(b"22.5", &[])
        };
        assert_eq!(plain.text().lines().count(), 1);
    }

    #[test]
    fn json_has_everything() {
        let json = received("22.5 °C".as_bytes(), ALL).json().to_string();
        let json: Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "topic": "a/\u{1b}]0;x\u{7}", "qos": 2, "retain": true, "dup": false, "payload": "22.5 °C",
            "received_at": "1970-01-01T01:01:01.000000Z", "payload_format_indicator": 1,
            "message_expiry_interval": 30, "content_type": "text/\u{9b}31mplain", "response_topic": "r\nr",
            "correlation_data": "\u{1b}[A", "subscription_identifiers": [7, 8],
            "user_properties": [["k\u{202e}", "v\r"], ["k", "w"]],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let json = received(&[0xff, 0], &[Property::CorrelationData(&[0xfe])])
            .json()
            .to_string();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["payload_base64"], "/wA=");
        assert_eq!(json["correlation_data_base64"], "/g==");
        assert!(json.get("payload").is_none() && json.get("correlation_data").is_none());
    }
}
