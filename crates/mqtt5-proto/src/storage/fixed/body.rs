//! What is kept of a publish in fixed capacity.

use core::str;

use heapless::Vec;

use crate::client::Outbound;
use crate::packet::{Delivery, Publish};
use crate::storage::sealed::Sealed;
use crate::storage::{Body, set_message_expiry};
use crate::{Properties, TopicName};

/// Topic, properties and payload of a publish in at most `N` bytes.
#[derive(Debug)]
pub(crate) struct FixedBody<const N: usize> {
    block: Vec<u8, N>,
    topic_len: usize,
    properties_end: usize,
    properties_present: u64,
    retain: bool,
}

impl<const N: usize> Sealed for FixedBody<N> {}

impl<const N: usize> Body for FixedBody<N> {
    const CAPACITY: usize = N;

    fn retain(publish: &Outbound<'_>) -> Option<Self> {
        let mut block = Vec::new();
        let topic = publish.topic.as_str().as_bytes();
        block.extend_from_slice(topic).ok()?;
        let properties_end = topic.len().checked_add(publish.properties.content_len())?;
        block.resize(properties_end, 0).ok()?;
        publish
            .properties
            .write_content(block.get_mut(topic.len()..)?);
        block.extend_from_slice(publish.payload.as_slice()).ok()?;
        Some(Self {
            block,
            topic_len: topic.len(),
            properties_end,
            properties_present: publish.properties.present(),
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
            payload,
        }
    }

    fn occupied(&self) -> usize {
        self.block.len()
    }
}
