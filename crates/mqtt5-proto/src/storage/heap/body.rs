//! What is kept of a publish on the growable tier.

use alloc::vec::Vec;
use core::str;

use bytes::Bytes;

use super::transmit::SHARE_FROM;
use crate::client::{Outbound, Payload};
use crate::packet::{Delivery, Publish};
use crate::storage::sealed::Sealed;
use crate::storage::{Body, set_message_expiry};
use crate::{Properties, TopicName};

/// Topic, properties and a small payload in one block; a large payload that the caller shares stays shared.
#[derive(Debug)]
pub(crate) struct Retained {
    block: Vec<u8>,
    topic_len: usize,
    properties_end: usize,
    properties_present: u64,
    shared: Option<Bytes>,
    retain: bool,
}

impl Retained {
    /// The payload when it is large and shared.
    pub(super) fn shared(&self) -> Option<&Bytes> {
        self.shared.as_ref()
    }
}

impl Sealed for Retained {}

impl Body for Retained {
    const CAPACITY: usize = usize::MAX;

    fn retain(publish: &Outbound<'_>) -> Option<Self> {
        let topic = publish.topic.as_str().as_bytes();
        let shared = match &publish.payload {
            Payload::Shared(payload) if payload.len() >= SHARE_FROM => Some(payload.clone()),
            _ => None,
        };
        let payload = if shared.is_some() {
            &[][..]
        } else {
            publish.payload.as_slice()
        };
        let properties_len = publish.properties.content_len();
        let length = [topic.len(), properties_len, payload.len()]
            .into_iter()
            .fold(0, usize::saturating_add);
        let mut block = Vec::with_capacity(length);
        block.extend_from_slice(topic);
        let properties_present = publish.properties.append_to(&mut block);
        let properties_end = block.len();
        block.extend_from_slice(payload);
        Some(Self {
            block,
            topic_len: topic.len(),
            properties_end,
            properties_present,
            shared,
            retain: publish.retain,
        })
    }

    fn set_message_expiry(&mut self, seconds: u32) {
        let range = self.topic_len..self.properties_end;
        set_message_expiry(self.block.get_mut(range), self.properties_present, seconds);
    }

    fn publish(&self, delivery: Delivery) -> Publish<'_> {
        let (head, payload) = self
            .block
            .split_at_checked(self.properties_end)
            .unwrap_or_default();
        let (topic, properties) = head.split_at_checked(self.topic_len).unwrap_or_default();
        Publish {
            delivery,
            retain: self.retain,
            topic: str::from_utf8(topic).ok().map(TopicName::from_validated),
            properties: Properties::from_validated(properties, self.properties_present),
            payload: self.shared.as_deref().unwrap_or(payload),
        }
    }

    fn occupied(&self) -> usize {
        self.block
            .len()
            .saturating_add(self.shared.as_ref().map_or(0, Bytes::len))
    }
}
