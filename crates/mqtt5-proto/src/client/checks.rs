//! What a packet that parses may contain all the same: problem information, discouraged text.

use crate::packet::Publish;
use crate::{Packet, Properties, Property, TopicName};

/// Whether the packet explains itself although only PUBLISH, CONNACK and DISCONNECT may do so when the client has not
/// asked for problem information [MQTT-3.1.2-29].
pub(super) fn is_explained(packet: &Packet<'_>) -> bool {
    const REASON_STRING: u8 = 0x1F;
    const USER_PROPERTY: u8 = 0x26;
    let free = matches!(
        packet,
        Packet::Publish(_) | Packet::Connack(_) | Packet::Disconnect(_)
    );
    let properties = packet.properties();
    !free && (properties.contains(REASON_STRING) || properties.contains(USER_PROPERTY))
}

/// Whether a message holds nothing that a publisher must not send and servers forward all the same.
pub(super) fn is_allowed(publish: &Publish<'_>) -> bool {
    let properties = &publish.properties;
    let format = properties.payload_format_indicator().unwrap_or_default();
    let payload = format == 0 || (format == 1 && core::str::from_utf8(publish.payload).is_ok());
    let response = properties
        .response_topic()
        .is_none_or(|topic| TopicName::new(topic).is_ok());
    payload
        && response
        && publish.topic.is_none_or(|topic| is_text(topic.as_str()))
        && are_texts(properties)
}

/// Whether every string holds nothing but text.
pub(super) fn are_texts(properties: &Properties<'_>) -> bool {
    properties.iter().all(|property| match property {
        Property::ContentType(text)
        | Property::ResponseTopic(text)
        | Property::AssignedClientIdentifier(text)
        | Property::AuthenticationMethod(text)
        | Property::ResponseInformation(text)
        | Property::ServerReference(text)
        | Property::ReasonString(text) => is_text(text),
        Property::UserProperty(name, value) => is_text(name) && is_text(value),
        _ => true,
    })
}

/// Whether a string holds no code point that it should not include, control characters and non-characters (1.5.4).
fn is_text(text: &str) -> bool {
    !text.chars().any(|character| {
        let code = u32::from(character);
        code & 0xFFFE == 0xFFFE || matches!(code, 0x01..=0x1F | 0x7F..=0x9F | 0xFDD0..=0xFDEF)
    })
}
