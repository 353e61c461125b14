//! What a message carries, borrowed or shared.

use bytes::Bytes;
use core::fmt;

/// The payload of a publish: borrowed bytes are copied once when the message is accepted, shared ones only when they are small.
///
/// There is a `From` for everything that holds bytes, so that callers rarely name this type.
///
/// ```
/// use mqtt5_client::Payload;
///
/// assert_eq!(Payload::from("22.5").as_bytes(), b"22.5");
/// assert_eq!(Payload::from(vec![1, 2, 3]).as_bytes(), &[1, 2, 3]);
/// ```
#[derive(Clone)]
pub enum Payload<'a> {
    /// Bytes of the caller.
    Borrowed(&'a [u8]),
    /// Reference-counted bytes.
    Shared(Bytes),
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// Shared bytes: a copy of borrowed ones.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Gives the length only.
impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.as_bytes().len())
    }
}

/// Borrowed sources, each with the expression that gives its bytes.
macro_rules! borrowed {
    ($($type:ty => $bytes:ident;)+) => {
        $(impl<'a> From<&'a $type> for Payload<'a> {
            fn from(source: &'a $type) -> Self {
                Self::Borrowed(source.$bytes())
            }
        })+
    };
}

borrowed! {
    [u8] => as_ref;
    str => as_bytes;
    String => as_bytes;
    Vec<u8> => as_slice;
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(source: &'a [u8; N]) -> Self {
        Self::Borrowed(source)
    }
}

/// Owned sources, which become shared without a copy.
macro_rules! shared {
    ($($type:ty)+) => {
        $(impl From<$type> for Payload<'_> {
            fn from(source: $type) -> Self {
                Self::Shared(Bytes::from(source))
            }
        })+
    };
}

shared! { Vec<u8> String Box<[u8]> Bytes }

impl From<&Bytes> for Payload<'_> {
    fn from(source: &Bytes) -> Self {
        Self::Shared(source.clone())
    }
}
