//! The end of the machines that is towards the socket, in memory.

use std::io::{self, Read, Write};

/// What was received and not yet read, and what was written and not yet sent.
#[derive(Debug, Default)]
pub(super) struct Wire {
    incoming: Queue,
    outgoing: Queue,
    has_ended: bool,
}

impl Wire {
    /// Nothing is the end.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
        self.has_ended |= bytes.is_empty();
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.outgoing.bytes()
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.outgoing.advance(count);
    }
}

impl Read for Wire {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let bytes = self.incoming.bytes();
        if bytes.is_empty() && !self.has_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.incoming.advance(count);
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that leave in the order in which they came. It holds no memory while it is empty.
#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    start: usize,
}

impl Queue {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            *self = Self::default();
        }
    }
}
