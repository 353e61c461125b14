//! Reads the data types of section 1.5 from a slice.

use core::str;

use crate::{DecodeError, DecodeErrorKind as Kind, PacketId, TopicError, TopicFilter, TopicName};

/// A cursor over the bytes of one packet, or of a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// The whole of what is read, when it is UTF-8 as a whole: strings are then cut out of it without validating
    /// them one by one.
    text: Option<&'a str>,
    /// How far `rest` is from the beginning of `text`.
    position: usize,
    /// Where in the packet position 0 is.
    base: usize,
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`, which begin at `base` of their packet.
    pub(crate) const fn new(bytes: &'a [u8], base: usize) -> Self {
        Self {
            rest: bytes,
            text: None,
            position: 0,
            base,
        }
    }

    /// The same, with strings cut out of `text`, which must be the same bytes.
    pub(crate) const fn with_text(bytes: &'a [u8], text: Option<&'a str>, base: usize) -> Self {
        Self {
            rest: bytes,
            text,
            position: 0,
            base,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Where in the packet the next byte is.
    pub(crate) const fn offset(&self) -> usize {
        self.base.saturating_add(self.position)
    }

    pub(crate) const fn error(&self, kind: Kind) -> DecodeError {
        DecodeError {
            kind,
            offset: self.offset(),
        }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.error(Kind::Truncated));
        };
        self.rest = rest;
        self.position = self.position.saturating_add(count);
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.error(Kind::Truncated));
        };
        self.rest = rest;
        self.position = self.position.saturating_add(N);
        Ok(*head)
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.position = self.position.saturating_add(rest.len());
        self.rest = &[];
        rest
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Everything up to the end, which stays to be read.
    pub(crate) const fn peek(&self) -> &'a [u8] {
        self.rest
    }

    /// A Variable Byte Integer (1.5.5); one that is longer than needed only if `lenient`.
    pub(crate) fn varint(&mut self, lenient: bool) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 && !lenient {
                    return Err(self.error(Kind::NonMinimalVariableByteInteger));
                }
                return Ok(value);
            }
        }
        Err(self.error(Kind::InvalidVariableByteInteger))
    }

    /// Binary Data (1.5.6).
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.bytes(usize::from(length))
    }

    /// A UTF-8 Encoded String (1.5.4).
    pub(crate) fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.u16()?);
        let start = self.position;
        let bytes = self.bytes(length)?;
        let text = match self.text {
            Some(text) => text.get(start..self.position),
            None => str::from_utf8(bytes).ok(),
        };
        let Some(text) = text else {
            return Err(self.error(Kind::InvalidUtf8));
        };
        if bytes.contains(&0) {
            return Err(self.error(Kind::NulCharacter));
        }
        Ok(text)
    }

    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let value = self.u16()?;
        PacketId::new(value).ok_or_else(|| self.error(Kind::PacketIdZero))
    }

    /// A Topic Name; `None` for one of zero length.
    pub(crate) fn topic_name(&mut self) -> Result<Option<TopicName<'a>>, DecodeError> {
        let length = usize::from(self.u16()?);
        let bytes = self.bytes(length)?;
        let Ok(text) = str::from_utf8(bytes) else {
            return Err(self.error(Kind::InvalidUtf8));
        };
        match TopicName::new(text) {
            Ok(name) => Ok(Some(name)),
            Err(TopicError::Empty) => Ok(None),
            Err(TopicError::NulCharacter) => Err(self.error(Kind::NulCharacter)),
            Err(_) => Err(self.error(Kind::InvalidTopicName)),
        }
    }

    pub(crate) fn topic_filter(&mut self) -> Result<TopicFilter<'a>, DecodeError> {
        let text = self.utf8()?;
        TopicFilter::new(text).map_err(|_| self.error(Kind::InvalidTopicFilter))
    }

    /// Succeeds when everything was read.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.error(Kind::TrailingBytes))
        }
    }
}
