//! A block of properties, as it was received or as it will be sent.

use core::fmt;
use core::str;

use super::{Place, Property};
use crate::wire::{Reader, Writer, varint_len};
use crate::{DecodeError, DecodeErrorKind as Kind, EncodeError};

const USER_PROPERTY: u8 = 0x26;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const TOPIC_ALIAS: u8 = 0x23;

/// Bytes of a Topic Alias on the wire, identifier included.
pub(crate) const TOPIC_ALIAS_LEN: usize = 3;

/// A bit of `present` that no identifier has: the received bytes hold a Variable Byte Integer longer than needed, and
/// so must not be sent as they are [MQTT-1.5.5-1].
const NOT_MINIMAL: u64 = 1 << 63;
/// The same for bytes or a list of which some properties are left out.
const PARTIAL: u64 = 1 << 62;
/// Whatever is no identifier.
const FLAGS: u64 = NOT_MINIMAL | PARTIAL;

/// The properties of a packet: a view over validated bytes, or over a list.
///
/// Reading costs no allocation and validates nothing again. User Properties keep their order and may repeat.
///
/// ```
/// use mqtt5_proto::{Properties, Property};
///
/// let list = [
///     Property::ContentType("text/plain"),
///     Property::UserProperty("site", "a"),
///     Property::UserProperty("site", "b"),
/// ];
/// let properties = Properties::new(&list)?;
/// assert_eq!(properties.content_type(), Some("text/plain"));
/// assert_eq!(properties.user_properties().count(), 2);
/// # Ok::<(), mqtt5_proto::EncodeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Properties<'a> {
    source: Source<'a>,
    /// One bit for each identifier that occurs, and [`FLAGS`].
    present: u64,
    /// A Topic Alias after all others, which the machine adds; 0 is none.
    topic_alias: u16,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    List(&'a [Property<'a>]),
    /// `text` is the same bytes when they are UTF-8 as a whole, which they are unless a binary or numeric value says
    /// otherwise.
    Encoded {
        bytes: &'a [u8],
        text: Option<&'a str>,
    },
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self {
        source: Source::List(&[]),
        present: 0,
        topic_alias: 0,
    };

    /// Properties to send, in this order.
    ///
    /// Which of them a packet may carry is checked when it is encoded.
    ///
    /// # Errors
    ///
    /// A value that may not be sent, a field of more than 65,535 bytes, U+0000 in a string, or a property twice that
    /// may occur once.
    pub fn new(list: &'a [Property<'a>]) -> Result<Self, EncodeError> {
        let mut present = 0;
        for property in list {
            property.check_sent()?;
            let identifier = property.identifier();
            if has(present, identifier) && !may_repeat(identifier) {
                return Err(EncodeError::DuplicateProperty(identifier));
            }
            present |= bit(identifier);
        }
        Ok(Self {
            source: Source::List(list),
            present,
            topic_alias: 0,
        })
    }

    /// Reads a property block with its length (2.2.2).
    pub(crate) fn decode(
        reader: &mut Reader<'a>,
        place: Place,
        lenient: bool,
    ) -> Result<Self, DecodeError> {
        let before = reader.offset();
        let length = reader.varint(lenient)? as usize;
        let base = reader.offset();
        let minimal = base.saturating_sub(before) == varint_len(length);
        let bytes = reader.bytes(length)?;
        if bytes.is_empty() && minimal {
            return Ok(Self::EMPTY);
        }
        let text = str::from_utf8(bytes).ok();
        let mut block = Reader::with_text(bytes, text, base);
        let mut present = if minimal { 0 } else { NOT_MINIMAL };
        let mut minimal_len = 0_usize;
        while !block.is_empty() {
            let identifier = read_identifier(&mut block, place, lenient)?;
            if has(present, identifier) && !may_repeat_in(place, identifier) {
                return Err(block.error(Kind::DuplicateProperty(identifier)));
            }
            present |= bit(identifier);
            let property =
                Property::read(identifier, &mut block, lenient).map_err(|mut error| {
                    if matches!(error.kind, Kind::InvalidPropertyValue(_)) {
                        error.kind = Kind::InvalidPropertyValue(identifier);
                    }
                    error
                })?;
            property
                .check_received()
                .map_err(|kind| block.error(kind))?;
            if lenient {
                minimal_len = minimal_len.saturating_add(property.len());
            }
        }
        if lenient && minimal_len != length {
            present |= NOT_MINIMAL;
        }
        Ok(Self {
            source: Source::Encoded { bytes, text },
            present,
            topic_alias: 0,
        })
    }

    /// The view over bytes that were validated before.
    pub(crate) fn from_validated(bytes: &'a [u8], present: u64) -> Self {
        if bytes.is_empty() {
            return Self::EMPTY;
        }
        Self {
            source: Source::Encoded {
                bytes,
                text: str::from_utf8(bytes).ok(),
            },
            present,
            topic_alias: 0,
        }
    }

    /// One bit for each identifier that occurs, and [`FLAGS`].
    pub(crate) const fn present(&self) -> u64 {
        self.present
    }

    /// The length of the received bytes, without their length field.
    pub(crate) const fn received_len(&self) -> usize {
        match self.source {
            Source::Encoded { bytes, .. } => bytes.len(),
            Source::List(_) => 0,
        }
    }

    /// The same with a Topic Alias at the end.
    pub(crate) const fn with_topic_alias(self, topic_alias: u16) -> Self {
        Self {
            present: self.present | bit(TOPIC_ALIAS),
            topic_alias,
            ..self
        }
    }

    /// The same without those that have one of these identifiers.
    pub(crate) fn without(self, identifiers: &[u8]) -> Self {
        let left_out = identifiers.iter().fold(0, |bits, id| bits | bit(*id));
        match self.present & !left_out {
            present if present & !FLAGS == 0 => Self::EMPTY,
            present if present == self.present => self,
            present => Self {
                present: present | PARTIAL,
                ..self
            },
        }
    }

    /// Whether every Variable Byte Integer of the received bytes, that of their length included, was as short as it can
    /// be [MQTT-1.5.5-1].
    pub(crate) const fn is_minimal(&self) -> bool {
        self.present & NOT_MINIMAL == 0
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.present & !FLAGS == 0
    }

    /// All properties in their order.
    pub const fn iter(&self) -> PropertyIter<'a> {
        PropertyIter {
            cursor: match self.source {
                Source::List(list) => Cursor::List(list),
                Source::Encoded { bytes, text } => {
                    Cursor::Encoded(Reader::with_text(bytes, text, 0))
                }
            },
            present: self.present,
            topic_alias: self.topic_alias,
        }
    }

    /// The names and values of the User Properties, in their order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.all(USER_PROPERTY)
            .filter_map(|property| match property {
                Property::UserProperty(name, value) => Some((name, value)),
                _ => None,
            })
    }

    /// The Subscription Identifiers, in their order.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.all(SUBSCRIPTION_IDENTIFIER)
            .filter_map(|property| match property {
                Property::SubscriptionIdentifier(identifier) => Some(identifier),
                _ => None,
            })
    }

    /// Whether the property with this identifier occurs.
    pub(crate) const fn contains(&self, identifier: u8) -> bool {
        has(self.present, identifier)
    }

    pub(super) fn find(&self, identifier: u8) -> Option<Property<'a>> {
        self.all(identifier)
            .find(|property| property.identifier() == identifier)
    }

    /// Where in the encoded block the first property with this identifier ends.
    pub(crate) fn end_of(&self, identifier: u8) -> Option<usize> {
        let mut properties = self.all(identifier);
        properties.find(|property| property.identifier() == identifier)?;
        match properties.cursor {
            Cursor::Encoded(reader) => Some(reader.offset()),
            Cursor::List(_) => None,
        }
    }

    /// Every property if this identifier occurs, otherwise nothing: absence costs no walk over the block.
    fn all(&self, identifier: u8) -> PropertyIter<'a> {
        if self.contains(identifier) {
            self.iter()
        } else {
            Self::EMPTY.iter()
        }
    }

    /// The length of the block on the wire, its length field included, if `place` may carry it.
    pub(crate) fn encoded_len(&self, place: Place) -> Result<usize, EncodeError> {
        let length = self.content_len();
        if length > crate::MAXIMUM_REMAINING_LENGTH {
            return Err(EncodeError::PacketTooLarge);
        }
        self.check_place(place)?;
        Ok(varint_len(length).saturating_add(length))
    }

    fn check_place(&self, place: Place) -> Result<(), EncodeError> {
        let mut rest = self.present & !FLAGS;
        while rest != 0 {
            let identifier = rest.trailing_zeros() as u8;
            rest &= rest.wrapping_sub(1);
            if Property::places(identifier) & place.bit() == 0 {
                return Err(match place {
                    Place::Packet(packet) => EncodeError::PropertyNotAllowed(packet),
                    Place::Will => EncodeError::WillPropertyNotAllowed,
                });
            }
        }
        let identifier = SUBSCRIPTION_IDENTIFIER;
        if !may_repeat_in(place, identifier) && self.subscription_identifiers().nth(1).is_some() {
            return Err(EncodeError::DuplicateProperty(identifier));
        }
        Ok(())
    }

    /// The length of the properties on the wire, without their length field.
    pub(crate) fn content_len(&self) -> usize {
        let encoded = match self.source {
            Source::Encoded { bytes, .. } if self.present & FLAGS == 0 => bytes,
            _ => {
                return self
                    .iter()
                    .map(|property| property.len())
                    .fold(0, usize::saturating_add);
            }
        };
        let alias = if self.topic_alias == 0 {
            0
        } else {
            TOPIC_ALIAS_LEN
        };
        encoded.len().saturating_add(alias)
    }

    /// Writes the block with its length, which [`encoded_len`](Self::encoded_len) has checked.
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        writer.varint(self.content_len() as u32);
        self.encode_content(writer);
    }

    /// Writes the properties without their length into a slice of [`content_len`](Self::content_len) bytes.
    pub(crate) fn write_content(&self, target: &mut [u8]) {
        self.encode_content(&mut Writer::new(target));
    }

    fn encode_content(&self, writer: &mut Writer<'_>) {
        match self.source {
            Source::Encoded { bytes, .. } if self.present & FLAGS == 0 => {
                writer.bytes(bytes);
                if self.topic_alias != 0 {
                    Property::TopicAlias(self.topic_alias).write(writer);
                }
            }
            _ => self.iter().for_each(|property| property.write(writer)),
        }
    }
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Properties<'_> {
    /// The same properties in the same order, in whatever form.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties<'_> {}

impl fmt::Debug for Properties<'_> {
    /// Prints every property except Authentication Data, of which it prints the length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

/// The properties of a block, in their order.
#[derive(Clone)]
pub struct PropertyIter<'a> {
    cursor: Cursor<'a>,
    /// Which of them are given, as bits.
    present: u64,
    topic_alias: u16,
}

impl fmt::Debug for PropertyIter<'_> {
    /// Prints no property: one of them may be Authentication Data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropertyIter").finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Cursor<'a> {
    List(&'a [Property<'a>]),
    Encoded(Reader<'a>),
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        let topic_alias = |alias: &mut u16| match core::mem::take(alias) {
            0 => None,
            alias => Some(Property::TopicAlias(alias)),
        };
        let present = self.present;
        self.cursor
            .by_ref()
            .find(|property| has(present, property.identifier()))
            .or_else(|| topic_alias(&mut self.topic_alias))
    }
}

impl<'a> Iterator for Cursor<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        match self {
            Self::List(list) => {
                let (first, rest) = list.split_first()?;
                *list = rest;
                Some(*first)
            }
            Self::Encoded(reader) => {
                let identifier = u8::try_from(reader.varint(true).ok()?).ok()?;
                Property::read(identifier, reader, true).ok()
            }
        }
    }
}

/// A property identifier: a Variable Byte Integer of which all known values fit one byte (2.2.2.2).
fn read_identifier(block: &mut Reader<'_>, place: Place, lenient: bool) -> Result<u8, DecodeError> {
    let number = block.varint(lenient)?;
    match u8::try_from(number).map(|id| (id, Property::places(id))) {
        Err(_) | Ok((_, 0)) => Err(block.error(Kind::UnknownProperty(number))),
        Ok((id, places)) if places & place.bit() == 0 => {
            Err(block.error(Kind::MisplacedProperty(id)))
        }
        Ok((id, _)) => Ok(id),
    }
}

const fn bit(identifier: u8) -> u64 {
    1 << (identifier & 63)
}

const fn has(present: u64, identifier: u8) -> bool {
    present & bit(identifier) != 0
}

const fn may_repeat(identifier: u8) -> bool {
    matches!(identifier, USER_PROPERTY | SUBSCRIPTION_IDENTIFIER)
}

/// Subscription Identifiers repeat in PUBLISH only (3.8.2.1.2, 3.3.2.3.8).
fn may_repeat_in(place: Place, identifier: u8) -> bool {
    let once = place == Place::Packet(crate::PacketType::Subscribe);
    may_repeat(identifier) && !(once && identifier == SUBSCRIPTION_IDENTIFIER)
}

#[cfg(feature = "alloc")]
impl<'a> Properties<'a> {
    /// A list whose values were checked before.
    pub(super) fn unchecked(list: &'a [Property<'a>]) -> Self {
        Self {
            source: Source::List(list),
            present: list
                .iter()
                .fold(0, |present, property| present | bit(property.identifier())),
            topic_alias: 0,
        }
    }

    /// Appends the encoded properties, without their length, and gives the identifiers that occur.
    pub(crate) fn append_to(&self, out: &mut alloc::vec::Vec<u8>) -> u64 {
        let start = out.len();
        let length = self.content_len();
        out.resize(start.saturating_add(length), 0);
        if let Some(tail) = out.get_mut(start..) {
            self.write_content(tail);
        }
        self.present & !FLAGS
    }
}

#[cfg(feature = "alloc")]
pub(super) const fn is_single(present: u64, identifier: u8) -> bool {
    has(present, identifier) && !may_repeat(identifier)
}
