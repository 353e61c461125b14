//! Bytes to send on the growable tier: small packets in one buffer, large payloads shared between them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::body::Retained;
use crate::client::{Outbound, Payload};
use crate::packet::{Delivery, Publish};
use crate::storage::sealed::Sealed;
use crate::storage::{Alias, Body, Transmit};
use crate::{EncodeError, Packet, ProtocolVersion};
use alloc::boxed::Box;

/// A payload of at least so many bytes is sent from where it is, not copied.
pub(super) const SHARE_FROM: usize = 4 * 1024;

/// No PUBLISH is encoded while at least so many bytes wait.
const HIGH_WATER: usize = 64 * 1024;

/// A buffer of more than this is given back when it is empty.
const KEEP: usize = 2 * HIGH_WATER;

/// What was sent is removed from a buffer that does not become empty when it is at least so many bytes.
const COMPACT_FROM: usize = 4 * 1024;

/// A sequence of bytes, of which large parts are shared with their owner.
#[derive(Default)]
pub(crate) struct Segments {
    bytes: Vec<u8>,
    /// How many of `bytes` were sent.
    sent: usize,
    /// Payloads, each with the position in `bytes` that it stands before.
    shared: VecDeque<(usize, Bytes)>,
    len: usize,
}

impl fmt::Debug for Segments {
    /// Prints how many bytes there are, not the bytes: a password may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Segments {
    /// The first contiguous bytes.
    fn first(&self) -> &[u8] {
        let end = match self.shared.front() {
            Some((at, payload)) if *at <= self.sent => return payload,
            Some((at, _)) => *at,
            None => self.bytes.len(),
        };
        self.bytes.get(self.sent..end).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) -> usize {
        let count = count.min(self.len);
        self.len = self.len.saturating_sub(count);
        let mut rest = count;
        while rest > 0 {
            let step = rest.min(self.first().len());
            match self.shared.front_mut() {
                Some((at, payload)) if *at <= self.sent => {
                    let _ = payload.split_to(step);
                    if payload.is_empty() {
                        self.shared.pop_front();
                    }
                }
                _ => self.sent = self.sent.saturating_add(step),
            }
            rest = rest.saturating_sub(step);
        }
        if self.len == 0 {
            self.clear();
        } else if self.sent >= COMPACT_FROM.max(self.bytes.len() / 2) {
            self.compact();
        }
        count
    }

    /// Moves what is not sent to the front.
    fn compact(&mut self) {
        self.bytes.drain(..self.sent);
        for (at, _) in &mut self.shared {
            *at = at.saturating_sub(self.sent);
        }
        self.sent = 0;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        self.shared.clear();
        self.sent = 0;
        self.len = 0;
    }

    /// Up to `slices.len()` contiguous parts, in order.
    #[cfg(feature = "std")]
    fn slices<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut sent = self.sent;
        let mut shared = self.shared.iter().peekable();
        let mut count = 0;
        for slice in slices {
            let part = match shared.peek() {
                Some((at, payload)) if *at <= sent => {
                    shared.next();
                    payload
                }
                next => {
                    let end = next.map_or(self.bytes.len(), |(at, _)| *at);
                    let part = self.bytes.get(sent..end).unwrap_or_default();
                    sent = end;
                    part
                }
            };
            if part.is_empty() {
                break;
            }
            *slice = std::io::IoSlice::new(part);
            count = usize::saturating_add(count, 1);
        }
        count
    }
}

/// Bytes that the driver has taken and is writing, without holding a lock on the machine.
///
/// Belongs to one connection: what is left of an earlier one is dropped at the next
/// [`take_outgoing`](crate::Client::take_outgoing).
#[derive(Debug, Default)]
pub struct Outgoing {
    pub(crate) connection: u32,
    segments: Segments,
}

impl Outgoing {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes are left to write.
    pub const fn len(&self) -> usize {
        self.segments.len
    }

    /// Whether nothing is left to write.
    pub const fn is_empty(&self) -> bool {
        self.segments.len == 0
    }

    /// The first contiguous bytes; empty only if nothing is left.
    pub fn first(&self) -> &[u8] {
        self.segments.first()
    }

    /// Fills `slices` with the next parts to write, in order, and gives how many it filled: for a vectored write.
    #[cfg(feature = "std")]
    pub fn slices<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.segments.slices(slices)
    }
}

#[derive(Debug, Default)]
pub(crate) struct HeapTransmit {
    queued: Segments,
    /// Bytes that the driver has taken and not yet reported as sent.
    taken: usize,
    /// Bytes at the front of `queued` that the driver has seen.
    seen: usize,
    encoded: u64,
    /// Bytes that were encoded and will never be seen.
    dropped: u64,
    /// The topics that have an alias, 1 first, each with when it was last used.
    aliases: Vec<(Box<str>, u64)>,
    alias_uses: u64,
}

impl HeapTransmit {
    /// Moves everything queued into `outgoing` if that is empty.
    pub(crate) fn take(&mut self, outgoing: &mut Outgoing) {
        if outgoing.is_empty() && self.queued.len > 0 {
            core::mem::swap(&mut self.queued, &mut outgoing.segments);
            self.taken = outgoing.len();
            self.seen = 0;
        }
    }

    /// So many bytes of `outgoing` were written, at most all; gives how many.
    pub(crate) fn sent(&mut self, outgoing: &mut Outgoing, count: usize) -> usize {
        let count = outgoing.segments.advance(count);
        self.taken = outgoing.len();
        count
    }

    /// Drops what `outgoing` holds of another connection.
    pub(crate) fn reset(outgoing: &mut Outgoing, connection: u32) {
        outgoing.segments.clear();
        outgoing.connection = connection;
    }

    fn note_encoded(&mut self, length: usize) {
        self.queued.len = self.queued.len.saturating_add(length);
        self.encoded = self.encoded.saturating_add(length as u64);
    }

    /// Encodes a PUBLISH whose payload is sent from where it is.
    fn push_shared(
        &mut self,
        publish: Publish<'_>,
        payload: &Bytes,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let bytes = &mut self.queued.bytes;
        let length = publish.encode_head(version, bytes)?;
        self.queued.shared.push_back((bytes.len(), payload.clone()));
        self.note_encoded(length);
        Ok(length)
    }
}

impl Sealed for HeapTransmit {}

impl Transmit for HeapTransmit {
    type Body = Retained;

    fn unsent(&self) -> usize {
        self.queued.len.saturating_add(self.taken)
    }

    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn room(&self) -> usize {
        usize::MAX
    }

    fn may_publish(&self, _: usize) -> bool {
        self.unsent() < HIGH_WATER
    }

    fn push(
        &mut self,
        packet: &Packet<'_>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let length = packet.encode_to_vec(version, &mut self.queued.bytes)?;
        self.note_encoded(length);
        Ok(length)
    }

    fn push_outbound(
        &mut self,
        outbound: &Outbound<'_>,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let publish = Alias::apply(alias, outbound.publish(delivery));
        match &outbound.payload {
            Payload::Shared(payload) if payload.len() >= SHARE_FROM => {
                self.push_shared(publish, payload, version)
            }
            _ => self.push(&Packet::Publish(publish), version),
        }
    }

    fn push_body(
        &mut self,
        body: &Retained,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let publish = Alias::apply(alias, body.publish(delivery));
        match body.shared() {
            Some(payload) => self.push_shared(publish, payload, version),
            None => self.push(&Packet::Publish(publish), version),
        }
    }

    fn alias(&mut self, topic: &str, maximum: u16) -> Option<Alias> {
        self.alias_uses = self.alias_uses.saturating_add(1);
        let uses = self.alias_uses;
        let known = self.aliases.iter().position(|(known, _)| **known == *topic);
        let index = match known {
            Some(index) => index,
            None if self.aliases.len() < usize::from(maximum) => {
                self.aliases.push((topic.into(), uses));
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
        let entry = self.aliases.get_mut(index)?;
        if known.is_none() {
            entry.0 = topic.into();
        }
        entry.1 = uses;
        Some(Alias {
            number: u16::try_from(index.saturating_add(1)).ok()?,
            known: known.is_some(),
        })
    }

    fn encoded(&self) -> u64 {
        self.encoded
    }

    fn taken(&self) -> u64 {
        let unseen = self.queued.len.saturating_sub(self.seen);
        self.encoded
            .saturating_sub(self.dropped)
            .saturating_sub(unseen as u64)
    }

    fn first(&mut self) -> &[u8] {
        let first = self.queued.first();
        self.seen = self.seen.max(first.len());
        first
    }

    fn advance(&mut self, count: usize) -> usize {
        let count = self.queued.advance(count);
        self.seen = self.seen.saturating_sub(count);
        count
    }

    fn clear(&mut self) {
        let unseen = self.queued.len.saturating_sub(self.seen);
        self.dropped = self.dropped.saturating_add(unseen as u64);
        self.queued.clear();
        self.taken = 0;
        self.seen = 0;
    }

    fn reset(&mut self) {
        self.clear();
        self.encoded = 0;
        self.dropped = 0;
        self.aliases = Vec::new();
    }

    fn release(&mut self) {
        if self.queued.len == 0 {
            self.queued = Segments::default();
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use std::io::IoSlice;
    use std::vec;

    fn segments() -> (Segments, Vec<u8>) {
        let shared = VecDeque::from([
            (0, Bytes::from_static(b"ab")),
            (2, Bytes::from_static(b"efg")),
            (2, Bytes::from_static(b"h")),
            (4, Bytes::from_static(b"k")),
        ]);
        let segments = Segments {
            bytes: vec![b'c', b'd', b'i', b'j'],
            sent: 0,
            shared,
            len: 11,
        };
        (segments, b"abcdefghijk".to_vec())
    }

    #[test]
    fn what_was_sent_is_not_kept_although_something_always_waits() {
        let (mut segments, mut expected) = (Segments::default(), Vec::new());
        let mut out = Vec::new();
        for n in 0..5_000_u32 {
            let head = [n as u8; 100];
            segments.bytes.extend_from_slice(&head);
            expected.extend_from_slice(&head);
            segments.len += head.len();
            if n % 3 == 0 {
                let at = segments.bytes.len();
                segments
                    .shared
                    .push_back((at, Bytes::from_static(b"shared")));
                expected.extend_from_slice(b"shared");
                segments.len += 6;
            }
            while segments.len > 1 {
                let part = segments.first();
                let count = part.len().min(segments.len - 1);
                out.extend_from_slice(&part[..count]);
                segments.advance(count);
            }
            assert!(segments.bytes.len() <= 2 * COMPACT_FROM);
        }
        out.extend_from_slice(segments.first());
        assert_eq!(out, expected);
    }

    #[test]
    fn any_sequence_of_partial_writes_sends_the_same_bytes() {
        for step in 1..=11 {
            let (mut segments, expected) = segments();
            let mut out = Vec::new();
            while segments.len > 0 {
                let mut slices = [IoSlice::new(&[]); 3];
                let count = segments.slices(&mut slices);
                let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                assert!(all.starts_with(segments.first()));
                let n = step.min(all.len());
                out.extend_from_slice(&all[..n]);
                segments.advance(n);
            }
            assert_eq!(out, expected, "step {step}");
        }
    }
}
