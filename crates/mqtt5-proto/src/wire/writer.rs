//! Writes the data types of section 1.5 into a slice.

use crate::EncodeError;

/// A cursor over a buffer that was measured beforehand: what does not fit is left out, and the length check of the
/// caller has failed already.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    rest: &'a mut [u8],
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(buffer: &'a mut [u8]) -> Self {
        Self { rest: buffer }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if let Some((head, rest)) =
            core::mem::take(&mut self.rest).split_at_mut_checked(bytes.len())
        {
            head.copy_from_slice(bytes);
            self.rest = rest;
        }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// What is left of the buffer.
    pub(crate) fn rest(self) -> &'a mut [u8] {
        self.rest
    }

    pub(crate) fn varint(&mut self, mut value: u32) {
        while value > 0x7F {
            self.u8((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// Binary Data; at most 65,535 bytes, which [`binary_len`] has checked.
    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        self.u16(bytes.len() as u16);
        self.bytes(bytes);
    }

    pub(crate) fn utf8(&mut self, text: &str) {
        self.binary(text.as_bytes());
    }

    /// How many bytes of the buffer are left.
    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }
}

/// The length of a Variable Byte Integer.
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// The length of Binary Data on the wire.
pub(crate) const fn binary_len(bytes: &[u8]) -> Result<usize, EncodeError> {
    if bytes.len() > 0xFFFF {
        Err(EncodeError::FieldTooLong)
    } else {
        Ok(bytes.len().saturating_add(2))
    }
}

/// The length of a UTF-8 Encoded String on the wire.
pub(crate) fn utf8_len(text: &str) -> Result<usize, EncodeError> {
    if text.as_bytes().contains(&0) {
        return Err(EncodeError::NulCharacter);
    }
    binary_len(text.as_bytes())
}
