//! What arrived.

use std::ops::Deref;

use mqtt5_proto::{AckToken, Message};

/// A message and the right to acknowledge it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(super) message: Message,
    pub(super) token: Option<AckToken>,
}

impl Deref for Received {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Received {
    /// The payload as text.
    pub(crate) fn text(&self) -> &str {
        self.payload_str().expect("the tests send text here")
    }

    /// The Subscription Identifiers, in ascending order.
    pub(crate) fn subscription_identifiers(&self) -> Vec<u32> {
        let mut identifiers: Vec<u32> = self.properties().subscription_identifiers().collect();
        identifiers.sort_unstable();
        identifiers
    }
}

/// The payloads of messages.
pub(crate) fn texts(messages: &[Received]) -> Vec<&str> {
    messages.iter().map(Received::text).collect()
}
