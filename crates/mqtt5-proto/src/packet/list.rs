//! The list in the payload of a packet, as it was received or as it will be sent.

use core::fmt;

use super::subscribe::SubscribeFilter;
use crate::wire::Reader;
use crate::{ReasonCode, TopicFilter};

/// A list of filters or reason codes: a view over validated bytes, or over a slice.
///
/// ```
/// use mqtt5_proto::ReasonCode;
/// use mqtt5_proto::packet::List;
///
/// let reasons = List::from(&[ReasonCode::GRANTED_QOS_1, ReasonCode::NOT_AUTHORIZED][..]);
/// assert_eq!(reasons.len(), 2);
/// assert!(reasons.iter().any(ReasonCode::is_error));
/// ```
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    source: Source<'a, T>,
}

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Slice(&'a [T]),
    Encoded(Reader<'a>),
}

/// What a [`List`] can hold.
pub trait ListItem<'a>: Copy + fmt::Debug + PartialEq + sealed::Sealed {
    #[doc(hidden)]
    fn next(reader: &mut Cursor<'a>) -> Option<Self>;
}

mod sealed {
    use crate::wire::Reader;

    pub trait Sealed {}

    /// Hides the reader of this crate from the trait's public face.
    #[derive(Clone, Copy, Debug)]
    pub struct Cursor<'a>(pub(super) Reader<'a>);

    impl Sealed for crate::ReasonCode {}
    impl Sealed for crate::TopicFilter<'_> {}
    impl Sealed for super::SubscribeFilter<'_> {}
}

use sealed::Cursor;

impl<'a> ListItem<'a> for ReasonCode {
    fn next(reader: &mut Cursor<'a>) -> Option<Self> {
        reader.0.u8().ok().map(Self::from)
    }
}

impl<'a> ListItem<'a> for TopicFilter<'a> {
    fn next(reader: &mut Cursor<'a>) -> Option<Self> {
        reader.0.topic_filter().ok()
    }
}

impl<'a> ListItem<'a> for SubscribeFilter<'a> {
    fn next(reader: &mut Cursor<'a>) -> Option<Self> {
        SubscribeFilter::read(&mut reader.0).ok()
    }
}

impl<'a, T> List<'a, T> {
    /// The view over bytes that the decoder validated.
    pub(super) const fn encoded(bytes: &'a [u8], base: usize) -> Self {
        Self {
            source: Source::Encoded(Reader::new(bytes, base)),
        }
    }
}

impl<'a, T: ListItem<'a>> List<'a, T> {
    /// The items in their order.
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter {
            source: self.source,
        }
    }

    /// How many there are; counts them when they were received.
    pub fn len(&self) -> usize {
        match self.source {
            Source::Slice(slice) => slice.len(),
            Source::Encoded(_) => self.iter().count(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(slice: &'a [T]) -> Self {
        Self {
            source: Source::Slice(slice),
        }
    }
}

impl<'a, T: ListItem<'a>> PartialEq for List<'a, T> {
    /// The same items in the same order, in whatever form.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: ListItem<'a>> Eq for List<'a, T> {}

impl<'a, T: ListItem<'a>> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: ListItem<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

/// The items of a [`List`], in their order.
#[derive(Clone)]
pub struct ListIter<'a, T> {
    source: Source<'a, T>,
}

impl<T> fmt::Debug for ListIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListIter").finish_non_exhaustive()
    }
}

impl<'a, T: ListItem<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.source {
            Source::Slice(slice) => {
                let (first, rest) = slice.split_first()?;
                *slice = rest;
                Some(*first)
            }
            Source::Encoded(reader) => {
                let mut cursor = Cursor(*reader);
                let item = T::next(&mut cursor);
                *reader = cursor.0;
                item
            }
        }
    }
}
