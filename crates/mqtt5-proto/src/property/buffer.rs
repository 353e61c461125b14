//! Owned properties that grow.

use alloc::vec::Vec;
use core::fmt;

use super::view::is_single;
use super::{Properties, Property};
use crate::EncodeError;

/// Owned properties, already encoded: what outlives the values that it was built from.
///
/// ```
/// use mqtt5_proto::{Property, PropertyBuffer};
///
/// let mut buffer = PropertyBuffer::new();
/// buffer.push(Property::ContentType("text/plain"))?;
/// buffer.push(Property::UserProperty("site", "a"))?;
/// buffer.push(Property::ContentType("application/json"))?; // replaces: it may occur once
/// assert_eq!(buffer.as_properties().content_type(), Some("application/json"));
/// assert_eq!(buffer.as_properties().iter().count(), 2);
/// # Ok::<(), mqtt5_proto::EncodeError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PropertyBuffer {
    bytes: Vec<u8>,
    present: u64,
}

impl PropertyBuffer {
    /// No properties; allocates nothing until the first one is added.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            present: 0,
        }
    }

    /// Adds a property at the end; one that may occur once replaces an earlier value.
    ///
    /// # Errors
    ///
    /// A value that may not be sent, a field of more than 65,535 bytes, U+0000 in a string. Nothing is added then.
    pub fn push(&mut self, property: Property<'_>) -> Result<&mut Self, EncodeError> {
        property.check_sent()?;
        let identifier = property.identifier();
        if is_single(self.present, identifier) {
            let mut kept = Self::new();
            for old in self.as_properties().iter() {
                if old.identifier() != identifier {
                    kept.append(old);
                }
            }
            *self = kept;
        }
        self.append(property);
        Ok(self)
    }

    /// Copies those properties that a server forwards of a message, in their order and unaltered [MQTT-3.3.2-18]: also a
    /// value that no sender may send, such as a Response Topic with a wildcard.
    pub fn forwarded(
        properties: Properties<'_>,
        is_forwarded: impl Fn(&Property<'_>) -> bool,
    ) -> Self {
        let mut buffer = Self::new();
        for property in properties.iter().filter(is_forwarded) {
            buffer.append(property);
        }
        buffer
    }

    fn append(&mut self, property: Property<'_>) {
        self.present |= Properties::unchecked(&[property]).append_to(&mut self.bytes);
    }

    /// The properties as a view.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties::from_validated(&self.bytes, self.present)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The length in bytes when encoded.
    pub fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    /// Removes all, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.present = 0;
    }
}

impl From<Properties<'_>> for PropertyBuffer {
    fn from(properties: Properties<'_>) -> Self {
        let mut buffer = Self::new();
        buffer.present = properties.append_to(&mut buffer.bytes);
        buffer
    }
}

impl fmt::Debug for PropertyBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_properties().fmt(f)
    }
}
