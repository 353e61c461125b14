//! What is kept of a publish on the growable tier.

use alloc::vec::Vec;
use bytes::Bytes;

use super::transmit::SHARE_FROM;
use crate::client::{Outbound, Payload};
use crate::packet::{Delivery, Publish};
use crate::storage::sealed::Sealed;
use crate::storage::{BlockLayout, Body};

/// Topic, properties and a small payload in one block; a large payload that the caller shares stays shared.
#[derive(Debug)]
pub(crate) struct Retained {
    block: Vec<u8>,
    layout: BlockLayout,
    shared: Option<Bytes>,
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
            layout: BlockLayout {
                topic_len: topic.len(),
                properties_end,
                properties_present,
                retain: publish.retain,
            },
            shared,
        })
    }

    fn set_message_expiry(&mut self, seconds: u32) {
        self.layout.set_message_expiry(&mut self.block, seconds);
    }

    fn publish(&self, delivery: Delivery) -> Publish<'_> {
        let publish = self.layout.publish(&self.block, delivery);
        Publish {
            payload: self.shared.as_deref().unwrap_or(publish.payload),
            ..publish
        }
    }

    fn occupied(&self) -> usize {
        self.block
            .len()
            .saturating_add(self.shared.as_ref().map_or(0, Bytes::len))
    }
}
