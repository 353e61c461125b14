//! Bytes on their way to a client.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Bytes for one connection: packets, with large payloads as segments that all receivers share.
///
/// It knows its connection, so that [`Broker::handle_sent`](crate::Broker::handle_sent) needs nothing else. Reading it
/// as a [`Buf`] consumes it; [`Buf::chunks_vectored`] is for vectored writes.
#[derive(Default)]
pub struct Outgoing {
    pub(crate) connection: u64,
    /// Everything that is not shared.
    bytes: Vec<u8>,
    /// How much of `bytes` has been read.
    read: usize,
    /// Shared segments, each with the place in `bytes` before which it goes.
    shared: VecDeque<(usize, Bytes)>,
    shared_len: usize,
    /// What has been read altogether.
    consumed: usize,
}

impl Outgoing {
    pub(crate) fn new(connection: u64) -> Self {
        Self {
            connection,
            ..Self::default()
        }
    }

    /// The number of the connection.
    pub const fn connection(&self) -> u64 {
        self.connection
    }

    /// Whether nothing is left to write.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The bytes that have been read so far.
    pub const fn consumed(&self) -> usize {
        self.consumed
    }

    /// Where packets are appended.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether it has no memory yet.
    pub(crate) const fn is_unallocated(&self) -> bool {
        self.bytes.capacity() == 0
    }

    /// Appends a segment that others hold too.
    pub(crate) fn push_shared(&mut self, segment: Bytes) {
        self.shared_len += segment.len();
        self.shared.push_back((self.bytes.len(), segment));
    }

    /// Appends what another one has, of which nothing was read.
    pub(crate) fn append(&mut self, other: Self) {
        for (at, segment) in other.shared {
            self.shared_len += segment.len();
            self.shared.push_back((self.bytes.len() + at, segment));
        }
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// Gives back the memory, empty.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.clear();
        bytes
    }
}

impl fmt::Debug for Outgoing {
    /// Prints how many bytes there are, not what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("connection", &self.connection)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.read + self.shared_len
    }

    fn chunk(&self) -> &[u8] {
        match self.shared.front() {
            Some((at, segment)) if *at == self.read => segment,
            Some((at, _)) => &self.bytes[self.read..*at],
            None => &self.bytes[self.read..],
        }
    }

    /// # Panics
    ///
    /// When `count` is more than [`remaining`](Buf::remaining), as [`Buf`] asks for.
    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining(), "advanced beyond the end");
        self.consumed += count;
        let mut left = count;
        while left > 0 {
            let step = left.min(self.chunk().len());
            left -= step;
            match self.shared.front_mut() {
                Some((at, segment)) if *at == self.read => {
                    segment.advance(step);
                    self.shared_len -= step;
                    if segment.is_empty() {
                        self.shared.pop_front();
                    }
                }
                _ => self.read += step,
            }
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut start = self.read;
        let ends = self.shared.iter().map(|(at, segment)| (*at, &segment[..]));
        for (at, segment) in ends.chain([(self.bytes.len(), &[][..])]) {
            for part in [&self.bytes[start..at], segment] {
                if !part.is_empty() {
                    let Some(slice) = slices.get_mut(filled) else {
                        return filled;
                    };
                    *slice = IoSlice::new(part);
                    filled += 1;
                }
            }
            start = at;
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Outgoing {
        let mut outgoing = Outgoing::new(7);
        outgoing.push_shared(Bytes::from_static(b"ab"));
        outgoing.bytes_mut().extend_from_slice(b"cde");
        outgoing.push_shared(Bytes::from_static(b"fg"));
        outgoing.push_shared(Bytes::from_static(b"h"));
        outgoing.bytes_mut().extend_from_slice(b"ij");
        outgoing
    }

    #[test]
    fn any_way_of_reading_gives_the_same_bytes() {
        for step in 1..=10 {
            let mut outgoing = sample();
            let mut read = Vec::new();
            while !outgoing.is_empty() {
                let mut slices = [IoSlice::new(&[]); 3];
                let count = outgoing.chunks_vectored(&mut slices);
                let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                assert_eq!(&all[..1], &outgoing.chunk()[..1]);
                let step = step.min(all.len());
                read.extend_from_slice(&all[..step]);
                outgoing.advance(step);
            }
            assert_eq!(read, b"abcdefghij");
            assert_eq!(outgoing.consumed(), 10);
        }
    }
}
