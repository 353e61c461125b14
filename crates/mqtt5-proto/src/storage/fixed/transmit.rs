//! Bytes to send, in fixed capacity.

use core::marker::PhantomData;

use heapless::Vec;

use super::FixedBody;
use crate::client::Outbound;
use crate::packet::Delivery;
use crate::storage::sealed::Sealed;
use crate::storage::{Alias, Body, Transmit};
use crate::{EncodeError, Packet, ProtocolVersion};

/// Bytes of the transmit buffer that no PUBLISH, SUBSCRIBE or UNSUBSCRIBE may take, so that acknowledgements, PINGREQ
/// and DISCONNECT always have room.
const RESERVE: usize = 32;

/// A transmit buffer of `N` bytes for publishes of at most `BODY` bytes.
#[derive(Debug)]
pub(crate) struct FixedTransmit<const N: usize, const BODY: usize, const ALIASES: usize> {
    bytes: Vec<u8, N>,
    sent: usize,
    /// How many of `bytes` the driver has seen.
    seen: usize,
    encoded: u64,
    /// Bytes that were encoded and will never be seen.
    dropped: u64,
    /// The topics that have an alias, 1 first, the least recently used one by its age.
    aliases: Vec<(Vec<u8, BODY>, u64), ALIASES>,
    alias_uses: u64,
    body: PhantomData<FixedBody<BODY>>,
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Default
    for FixedTransmit<N, BODY, ALIASES>
{
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            seen: 0,
            encoded: 0,
            dropped: 0,
            aliases: Vec::new(),
            alias_uses: 0,
            body: PhantomData,
        }
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> FixedTransmit<N, BODY, ALIASES> {
    /// Moves what is not yet sent to the front.
    fn compact(&mut self) {
        let rest = self.bytes.len().saturating_sub(self.sent);
        self.bytes.copy_within(self.sent.., 0);
        self.bytes.truncate(rest);
        self.seen = self.seen.saturating_sub(self.sent);
        self.sent = 0;
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Sealed
    for FixedTransmit<N, BODY, ALIASES>
{
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Transmit
    for FixedTransmit<N, BODY, ALIASES>
{
    type Body = FixedBody<BODY>;

    fn unsent(&self) -> usize {
        self.bytes.len().saturating_sub(self.sent)
    }

    fn capacity(&self) -> usize {
        N.saturating_sub(RESERVE)
    }

    fn room(&self) -> usize {
        N.saturating_sub(self.unsent())
    }

    fn may_publish(&self, length: usize) -> bool {
        length <= self.room().saturating_sub(RESERVE)
    }

    fn push(
        &mut self,
        packet: &Packet<'_>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let needed = packet.encoded_len(version)?;
        if self.sent > 0 {
            self.compact();
        }
        let start = self.bytes.len();
        if self.bytes.resize(start.saturating_add(needed), 0).is_err() {
            return Err(EncodeError::BufferTooSmall { needed });
        }
        self.encoded = self.encoded.saturating_add(needed as u64);
        packet.encode(version, self.bytes.get_mut(start..).unwrap_or_default())
    }

    fn push_outbound(
        &mut self,
        outbound: &Outbound<'_>,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let publish = Alias::apply(alias, outbound.publish(delivery));
        self.push(&Packet::Publish(publish), version)
    }

    fn push_body(
        &mut self,
        body: &FixedBody<BODY>,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let publish = Alias::apply(alias, body.publish(delivery));
        self.push(&Packet::Publish(publish), version)
    }

    fn alias(&mut self, topic: &str, maximum: u16) -> Option<Alias> {
        let topic = Vec::from_slice(topic.as_bytes()).ok()?;
        self.alias_uses = self.alias_uses.saturating_add(1);
        let uses = self.alias_uses;
        let known = self.aliases.iter().position(|(known, _)| *known == topic);
        let free = self.aliases.len() < usize::from(maximum).min(ALIASES);
        let index = match known {
            Some(index) => index,
            None if free => {
                self.aliases.push((topic.clone(), uses)).ok()?;
                self.aliases.len().saturating_sub(1)
            }
            None => {
                let oldest = self
                    .aliases
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, (_, used))| *used);
                oldest.map(|(index, _)| index)?
            }
        };
        *self.aliases.get_mut(index)? = (topic, uses);
        Some(Alias {
            number: u16::try_from(index.saturating_add(1)).ok()?,
            known: known.is_some(),
        })
    }

    fn encoded(&self) -> u64 {
        self.encoded
    }

    fn taken(&self) -> u64 {
        let unseen = self.bytes.len().saturating_sub(self.seen);
        self.encoded
            .saturating_sub(self.dropped)
            .saturating_sub(unseen as u64)
    }

    fn first(&mut self) -> &[u8] {
        self.seen = self.bytes.len();
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) -> usize {
        let count = count.min(self.unsent());
        self.sent = self.sent.saturating_add(count);
        count
    }

    fn clear(&mut self) {
        let unseen = self.bytes.len().saturating_sub(self.seen);
        self.dropped = self.dropped.saturating_add(unseen as u64);
        self.bytes.clear();
        self.sent = 0;
        self.seen = 0;
    }

    fn reset(&mut self) {
        self.clear();
        self.encoded = 0;
        self.dropped = 0;
        self.aliases.clear();
    }
}
