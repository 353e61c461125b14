//! Received bytes on the growable tier: read into one buffer, frozen when a whole packet is there, messages cut out
//! of it without a copy.

use alloc::vec::Vec;
use core::fmt;

use bytes::{Bytes, BytesMut};

use crate::message::Message;
use crate::packet::PublishLayout;
use crate::storage::sealed::Sealed;
use crate::storage::{Arrived, Receive};
use crate::{Decoding, FixedHeader};

/// The first buffer of a connection, in bytes; an idle one never needs another.
const SMALLEST: usize = 2 * 1024;
/// The largest buffer that is not demanded by a single larger packet.
const LARGEST: usize = 256 * 1024;

/// The receive buffer, half a packet included: the driver takes it out of the machine, reads into it without holding a
/// lock, and gives it back.
///
/// Belongs to one connection: bytes of an earlier one are dropped.
pub struct Incoming {
    pub(crate) connection: u32,
    /// All of it is initialised; the first `filled` bytes are received.
    buffer: BytesMut,
    filled: usize,
    /// The memory that `buffer` is a part of is larger than the smallest buffer.
    large: bool,
    /// How large the next buffer is.
    size: usize,
    /// How long the packet at the beginning is, as far as is known.
    needed: usize,
    /// How many bytes were received since the machine last saw them.
    fresh: usize,
}

impl fmt::Debug for Incoming {
    /// Prints how many bytes it holds, not the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("connection", &self.connection)
            .field("filled", &self.filled)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            connection: 0,
            buffer: BytesMut::new(),
            filled: 0,
            large: false,
            size: SMALLEST,
            needed: 0,
            fresh: 0,
        }
    }
}

impl Incoming {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the next bytes are to be read into; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        let free = self.buffer.len().saturating_sub(self.filled);
        let enough = match self.needed.saturating_sub(self.filled) {
            0 => SMALLEST / 2,
            missing => missing.min(SMALLEST / 2),
        };
        if free < enough {
            self.grow();
        }
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// The first `count` bytes of [`space`](Self::space) are received.
    pub fn filled(&mut self, count: usize) {
        let free = self.buffer.len().saturating_sub(self.filled);
        if count > 0 && count >= free {
            self.size = self.size.saturating_mul(2).min(LARGEST);
        }
        let count = count.min(free);
        self.filled = self.filled.saturating_add(count);
        self.fresh = self.fresh.saturating_add(count);
    }

    /// How many bytes were received since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> usize {
        core::mem::take(&mut self.fresh)
    }

    /// Whether it holds no received byte.
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Makes room as bytes arrive, never at once for what a length field promises.
    fn grow(&mut self) {
        let missing = self.needed.saturating_sub(self.filled);
        let most = self.filled.max(self.size);
        self.buffer.truncate(self.filled);
        self.buffer.reserve(missing.min(most).max(self.size));
        let capacity = self.buffer.capacity();
        self.large = capacity > 2 * SMALLEST;
        self.buffer.resize(capacity, 0);
    }

    fn received(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            let (head, rest) = bytes.split_at_checked(count).unwrap_or_default();
            if let Some(target) = space.get_mut(..count) {
                target.copy_from_slice(head);
            }
            self.filled = self.filled.saturating_add(count);
            bytes = rest;
        }
    }

    /// Forgets what was received, and gives the memory back: it belongs to this connection from now on.
    pub(crate) fn reset(&mut self, connection: u32) {
        *self = Self {
            connection,
            ..Self::default()
        };
    }

    /// Forgets what was received.
    fn clear(&mut self) {
        self.filled = 0;
        self.needed = 0;
        self.fresh = 0;
    }

    /// Gives a large buffer back if nothing is in it.
    fn release(&mut self) {
        self.size = SMALLEST;
        if self.filled == 0 && self.large {
            self.buffer = BytesMut::new();
            self.large = false;
        }
    }
}

/// The parsing side: at most one frozen chunk, and what was received after it.
#[derive(Debug, Default)]
pub(crate) struct HeapReceive {
    chunk: Bytes,
    /// Where the current packet is in `chunk`.
    start: usize,
    end: usize,
    incoming: Incoming,
    /// The topics of the Topic Aliases, 1 first; empty is not mapped.
    aliases: Vec<Bytes>,
    /// The driver has the buffer.
    lent: bool,
    /// The buffer that the driver has begins with a part of a packet, of this length as far as is known.
    lent_part: Option<usize>,
    /// Memory is to be given back as soon as nothing is left to handle.
    release: bool,
}

impl HeapReceive {
    /// Moves the buffer out.
    pub(crate) fn take(&mut self, incoming: &mut Incoming) {
        if incoming.is_empty() {
            core::mem::swap(&mut self.incoming, incoming);
            self.lent_part = (!incoming.is_empty()).then_some(incoming.needed);
        }
        self.lent = true;
    }

    /// Moves the buffer back; if something is here already, what comes back follows it.
    pub(crate) fn give(&mut self, incoming: &mut Incoming) {
        self.lent = false;
        self.lent_part = None;
        if self.incoming.is_empty() {
            core::mem::swap(&mut self.incoming, incoming);
        } else {
            self.incoming.append(incoming.received());
        }
        incoming.clear();
    }

    fn alias_topic(&self, alias: u16) -> Option<&Bytes> {
        let index = usize::from(alias).checked_sub(1)?;
        self.aliases.get(index).filter(|topic| !topic.is_empty())
    }

    /// Moves what is left of the chunk, the beginning of a packet, in front of what comes next.
    fn keep_rest(&mut self) {
        let rest = self.chunk.get(self.end..).unwrap_or_default();
        if !rest.is_empty() {
            if self.incoming.is_empty() {
                self.incoming.append(rest);
            } else {
                let mut joined = Incoming {
                    connection: self.incoming.connection,
                    size: self.incoming.size,
                    ..Incoming::default()
                };
                joined.append(rest);
                joined.append(self.incoming.received());
                self.incoming = joined;
            }
        }
        self.drop_chunk();
    }

    fn drop_chunk(&mut self) {
        self.chunk = Bytes::new();
        self.start = 0;
        self.end = 0;
    }

    /// All is handled but the part of a packet: how long that is, if there is one.
    fn rest(&mut self, length: usize) -> Option<usize> {
        self.incoming.needed = length;
        if self.release && !self.lent {
            self.release = false;
            self.incoming.release();
        }
        let begun = !self.incoming.is_empty();
        begun.then_some(length).or(self.lent_part)
    }
}

/// Looks for a whole packet at the beginning of `bytes`.
fn look(bytes: &[u8], decoding: &Decoding, limit: usize) -> Result<Option<FixedHeader>, Arrived> {
    match FixedHeader::parse(bytes, decoding) {
        Err(error) => Err(Arrived::Malformed(error)),
        Ok(Some(header)) if header.total_len() > limit => {
            Err(Arrived::TooLarge(header.total_len()))
        }
        Ok(header) => Ok(header),
    }
}

impl Sealed for HeapReceive {}

impl Receive for HeapReceive {
    type Message<'a> = Message;

    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn space(&mut self) -> &mut [u8] {
        self.incoming.space()
    }

    fn filled(&mut self, count: usize) -> usize {
        self.incoming.filled(count);
        self.incoming.take_fresh()
    }

    fn next_frame(&mut self, decoding: &Decoding, limit: usize) -> Arrived {
        loop {
            let rest = self.chunk.get(self.end..).unwrap_or_default();
            let frozen = !rest.is_empty();
            let bytes = if frozen {
                rest
            } else {
                // Without it the buffer can be used again once its messages are gone.
                self.drop_chunk();
                self.incoming.received()
            };
            let header = match look(bytes, decoding, limit) {
                Ok(header) => header,
                Err(arrived) => return arrived,
            };
            let length = header.map_or(0, |header| header.total_len());
            match header {
                Some(header) if length <= bytes.len() => {
                    if !frozen {
                        let filled = core::mem::take(&mut self.incoming.filled);
                        self.incoming.needed = 0;
                        self.chunk = self.incoming.buffer.split_to(filled).freeze();
                        self.end = 0;
                    }
                    self.start = self.end;
                    self.end = self.end.saturating_add(length);
                    return Arrived::Frame(header);
                }
                _ if frozen => self.keep_rest(),
                _ => return Arrived::Partial(self.rest(length)),
            }
        }
    }

    fn frame(&self) -> &[u8] {
        self.chunk.get(self.start..self.end).unwrap_or_default()
    }

    fn alias_capacity(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn learn_alias(&mut self, layout: &PublishLayout) -> bool {
        let Some(index) = usize::from(layout.topic_alias).checked_sub(1) else {
            return false;
        };
        let frame = self.chunk.get(self.start..self.end).unwrap_or_default();
        let topic = layout.topic(frame);
        if self.aliases.len() <= index {
            self.aliases.resize(index.saturating_add(1), Bytes::new());
        }
        match self.aliases.get_mut(index) {
            // A copy, so that a short topic does not keep its chunk.
            Some(known) if known != topic => *known = Bytes::copy_from_slice(topic),
            _ => {}
        }
        true
    }

    fn knows_alias(&self, alias: u16) -> bool {
        self.alias_topic(alias).is_some()
    }

    fn message(&self, layout: &PublishLayout) -> Message {
        let alias = (layout.topic_len == 0).then(|| self.alias_topic(layout.topic_alias));
        Message::new(
            self.chunk.slice(self.start..self.end),
            *layout,
            alias.flatten().cloned(),
        )
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn release(&mut self) {
        self.release = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn the_rest_of_a_large_buffer_is_given_back() {
        let decoding = Decoding::new(Role::Server);
        let mut receive = HeapReceive::default();
        receive.incoming.size = LARGEST;
        let count = receive.space().len() - SMALLEST * 3 / 4;
        for pingresp in receive.space()[..count].chunks_exact_mut(2) {
            pingresp.copy_from_slice(&[0xD0, 0]);
        }
        receive.filled(count);
        receive.release();
        while matches!(receive.next_frame(&decoding, 2), Arrived::Frame(_)) {}
        assert!(!receive.incoming.buffer.try_reclaim(LARGEST / 2));
    }
}
