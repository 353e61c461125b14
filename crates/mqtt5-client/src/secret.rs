//! Values that must never be printed.

use bytes::Bytes;
use core::fmt;

/// The password of an account: bytes that no formatter prints.
///
/// `Debug` gives `Password(***)`; there is no `Display`. A password may be any bytes [MQTT-3.1.3.6].
///
/// ```
/// let password = mqtt5_client::Password::from("hunter2");
/// assert_eq!(format!("{password:?}"), "Password(***)");
/// assert_eq!(password.expose(), b"hunter2");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Password(Bytes);

impl Password {
    /// The bytes themselves, for the one place that sends them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<Vec<u8>> for Password {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::from(bytes))
    }
}

impl From<Bytes> for Password {
    fn from(bytes: Bytes) -> Self {
        // A copy: whose bytes they were must not matter where the password goes away.
        Self(Bytes::copy_from_slice(&bytes))
    }
}
