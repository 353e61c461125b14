//! Received bytes, in fixed capacity.

use heapless::Vec;

use crate::packet::{Publish, PublishLayout};
use crate::storage::sealed::Sealed;
use crate::storage::{Arrived, Receive};
use crate::{Decoding, FixedHeader};

/// A receive buffer of `N` bytes.
#[derive(Debug)]
pub(crate) struct FixedReceive<const N: usize, const BODY: usize, const ALIASES: usize> {
    bytes: [u8; N],
    filled: usize,
    /// Where the current packet is.
    start: usize,
    end: usize,
    /// The topics of the Topic Aliases, 1 first; empty is not mapped.
    aliases: [Vec<u8, BODY>; ALIASES],
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Default
    for FixedReceive<N, BODY, ALIASES>
{
    fn default() -> Self {
        Self {
            bytes: [0; N],
            filled: 0,
            start: 0,
            end: 0,
            aliases: [const { Vec::new() }; ALIASES],
        }
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Sealed
    for FixedReceive<N, BODY, ALIASES>
{
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> FixedReceive<N, BODY, ALIASES> {
    fn alias_topic(&self, alias: u16) -> Option<&[u8]> {
        let index = usize::from(alias).checked_sub(1)?;
        let topic = self.aliases.get(index)?;
        (!topic.is_empty()).then_some(topic)
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Receive
    for FixedReceive<N, BODY, ALIASES>
{
    type Message<'a> = Publish<'a>;

    fn capacity(&self) -> usize {
        N
    }

    fn space(&mut self) -> &mut [u8] {
        if self.end > 0 {
            self.bytes.copy_within(self.end..self.filled, 0);
            self.filled = self.filled.saturating_sub(self.end);
            self.start = 0;
            self.end = 0;
        }
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    fn filled(&mut self, count: usize) -> usize {
        let count = count.min(N.saturating_sub(self.filled));
        self.filled = self.filled.saturating_add(count);
        count
    }

    fn next_frame(&mut self, decoding: &Decoding, limit: usize) -> Arrived {
        let rest = self.bytes.get(self.end..self.filled).unwrap_or_default();
        match FixedHeader::parse(rest, decoding) {
            Err(error) => Arrived::Malformed(error),
            Ok(Some(header)) if header.total_len() > limit.min(N) => {
                Arrived::TooLarge(header.total_len())
            }
            Ok(Some(header)) if header.total_len() <= rest.len() => {
                self.start = self.end;
                self.end = self.end.saturating_add(header.total_len());
                Arrived::Frame(header)
            }
            Ok(header) => Arrived::Partial(
                (!rest.is_empty()).then(|| header.map_or(0, |header| header.total_len())),
            ),
        }
    }

    fn frame(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn alias_capacity(&self) -> usize {
        ALIASES
    }

    fn learn_alias(&mut self, layout: &PublishLayout) -> bool {
        let frame = self.bytes.get(self.start..self.end).unwrap_or_default();
        let topic = Vec::from_slice(layout.topic(frame));
        let index = usize::from(layout.topic_alias).checked_sub(1);
        match (topic, index.and_then(|index| self.aliases.get_mut(index))) {
            (Ok(topic), Some(known)) => {
                *known = topic;
                true
            }
            _ => false,
        }
    }

    fn knows_alias(&self, alias: u16) -> bool {
        self.alias_topic(alias).is_some()
    }

    fn message(&self, layout: &PublishLayout) -> Publish<'_> {
        let alias = (layout.topic_len == 0).then(|| self.alias_topic(layout.topic_alias));
        layout.publish(self.frame(), alias.flatten())
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.aliases.iter_mut().for_each(Vec::clear);
        self.start = 0;
        self.end = 0;
    }
}
