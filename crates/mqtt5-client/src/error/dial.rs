//! Why a transport could not be opened.

use core::fmt;
use std::io;

/// Why a transport could not be opened. It holds no `io::Error`, so that it can be cloned and compared.
///
/// ```
/// use std::io;
/// use mqtt5_client::{DialError, DialErrorKind};
///
/// let error = DialError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
/// assert_eq!(error.kind(), DialErrorKind::ConnectionRefused);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DialError {
    kind: DialErrorKind,
    detail: Option<&'static str>,
    io: Option<io::ErrorKind>,
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialErrorKind {
    /// The host name has no address, or could not be looked up.
    NameResolution,
    /// The server's machine answered that nothing listens on the port.
    ConnectionRefused,
    /// There is no route to the server.
    Unreachable,
    /// The server's machine did not answer in time.
    TimedOut,
    /// This build cannot speak the transport of the URL.
    Unsupported,
    /// The TLS handshake failed.
    Tls,
    /// The proxy refused or failed.
    Proxy,
    /// The WebSocket handshake failed.
    WebSocket,
    /// Another failure of the operating system.
    Other,
}

impl DialError {
    /// An error of this kind, without more.
    pub const fn new(kind: DialErrorKind) -> Self {
        Self {
            kind,
            detail: None,
            io: None,
        }
    }

    /// Adds what a person should know, in a few words.
    #[must_use]
    pub const fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The step that failed.
    pub const fn kind(&self) -> DialErrorKind {
        self.kind
    }

    /// What a person should know, in a few words.
    pub const fn detail(&self) -> Option<&'static str> {
        self.detail
    }

    /// What the operating system reported.
    pub const fn io_kind(&self) -> Option<io::ErrorKind> {
        self.io
    }
}

impl From<io::ErrorKind> for DialError {
    fn from(io: io::ErrorKind) -> Self {
        let kind = match io {
            io::ErrorKind::ConnectionRefused => DialErrorKind::ConnectionRefused,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => DialErrorKind::Unreachable,
            io::ErrorKind::TimedOut => DialErrorKind::TimedOut,
            _ => DialErrorKind::Other,
        };
        Self {
            io: Some(io),
            ..Self::new(kind)
        }
    }
}

impl From<&io::Error> for DialError {
    fn from(error: &io::Error) -> Self {
        error.kind().into()
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        error.kind().into()
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DialErrorKind::NameResolution => "the host name cannot be resolved",
            DialErrorKind::ConnectionRefused => "nothing listens on this port",
            DialErrorKind::Unreachable => "there is no route to the server",
            DialErrorKind::TimedOut => "the server did not answer in time",
            DialErrorKind::Unsupported => "not supported by this build",
            DialErrorKind::Tls => "the TLS handshake failed",
            DialErrorKind::Proxy => "the proxy failed",
            DialErrorKind::WebSocket => "the WebSocket handshake failed",
            DialErrorKind::Other => "the transport failed",
        })?;
        match (self.detail, self.io) {
            (Some(detail), _) => write!(f, ": {detail}"),
            (None, Some(io)) => write!(f, ": {io}"),
            (None, None) => Ok(()),
        }
    }
}

impl core::error::Error for DialError {}
