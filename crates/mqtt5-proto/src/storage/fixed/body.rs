//! What is kept of a publish in fixed capacity.

use heapless::Vec;

use crate::client::Outbound;
use crate::packet::{Delivery, Publish};
use crate::storage::sealed::Sealed;
use crate::storage::{BlockLayout, Body};

/// Topic, properties and payload of a publish in at most `N` bytes.
#[derive(Debug)]
pub(crate) struct FixedBody<const N: usize> {
    block: Vec<u8, N>,
    layout: BlockLayout,
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
            layout: BlockLayout {
                topic_len: topic.len(),
                properties_end,
                properties_present: publish.properties.present(),
                retain: publish.retain,
            },
        })
    }

    fn set_message_expiry(&mut self, seconds: u32) {
        self.layout.set_message_expiry(&mut self.block, seconds);
    }

    fn publish(&self, delivery: Delivery) -> Publish<'_> {
        self.layout.publish(&self.block, delivery)
    }

    fn occupied(&self) -> usize {
        self.block.len()
    }
}
