//! What carries the bytes towards the socket: they themselves, or TLS.

use std::io::{self, Read, Write};

#[cfg(feature = "tls")]
use super::tls::TlsLayer;
use super::wire::Wire;
use crate::StackError;

#[derive(Debug)]
pub(super) enum Lower {
    Plain(Wire),
    /// Boxed, because it is large.
    #[cfg(feature = "tls")]
    Tls(Box<TlsLayer>),
}

impl Lower {
    pub(super) fn wire(&self) -> &Wire {
        match self {
            Self::Plain(wire) => wire,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.wire(),
        }
    }

    pub(super) fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.wire_mut(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_open(),
        }
    }

    /// Does what of the handshake can be done now.
    pub(super) fn shake_hands(&mut self) -> Result<(), StackError> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => {
                while !tls.is_open() && tls.decrypt()? {}
                Ok(())
            }
        }
    }

    pub(super) fn close(&mut self) {
        match self {
            Self::Plain(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.close(),
        }
    }
}

impl Default for Lower {
    fn default() -> Self {
        Self::Plain(Wire::default())
    }
}

impl Read for Lower {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(space),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read(space),
        }
    }
}

impl Write for Lower {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a read or write of it failed.
pub(super) fn failure(error: &io::Error) -> StackError {
    let inner = error.get_ref();
    inner
        .and_then(|inner| inner.downcast_ref().copied())
        .unwrap_or(StackError::Truncated)
}
