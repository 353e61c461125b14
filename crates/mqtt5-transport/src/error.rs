//! Why a stack of byte machines cannot go on.

use core::fmt;
use mqtt5_client::{DialError, DialErrorKind};

/// Why what lies between a socket and MQTT cannot go on. The connection is over.
///
/// Before the stack is open it becomes a [`DialError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StackError {
    /// The server closed the connection as the transport's protocol has it.
    Closed,
    /// The connection ended without the close of the transport's protocol.
    Truncated,
    /// The server asked for so many answers, and took none of them, that no more are kept.
    Flooded,
    /// The host of the endpoint cannot be the name of a server in TLS.
    InvalidServerName,
    /// No TLS can be made from the settings.
    InvalidTlsSettings,
    /// The authorities of the settings are no certificates.
    InvalidAuthorities,
    /// Nobody is trusted: the system has no certificates.
    NoAuthorities,
    /// The certificates and the private key of the settings are none, or do not fit.
    InvalidIdentity,
    /// None of the authorities that are trusted issued the server's certificate.
    UnknownIssuer,
    /// The server's certificate is for another name.
    OtherName,
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is not valid for another reason.
    InvalidCertificate,
    /// What the server sent is no TLS.
    NoTls,
    /// The server ended TLS with an alert, such as for a missing client certificate.
    Alert,
    /// The server broke the TLS protocol, or has nothing in common with us.
    InvalidTls,
    /// The host, the path or a header of the settings cannot stand in an HTTP request.
    InvalidRequest,
    /// The server answered the WebSocket handshake with this HTTP status.
    Refused(u16),
    /// The server's answer to the WebSocket handshake is none.
    InvalidHandshake,
    /// The server's answer to the WebSocket handshake is longer than 16 KiB or has too many headers.
    LongHandshake,
    /// The server selected no subprotocol although `mqtt` was offered.
    NoSubprotocol,
    /// The server selected a subprotocol that was not offered `[MQTT-6.0.0-4]`.
    OtherSubprotocol,
    /// The server sent a WebSocket text frame `[MQTT-6.0.0-1]`.
    TextFrame,
    /// A WebSocket message is longer than the [settings](crate::WebSocketSettings) allow.
    LongMessage,
    /// The server broke the WebSocket protocol.
    InvalidFrame,
}

impl StackError {
    /// The step of a dial that it belongs to.
    pub const fn kind(self) -> DialErrorKind {
        match self {
            Self::Closed | Self::Truncated | Self::Flooded => DialErrorKind::Other,
            Self::InvalidServerName
            | Self::InvalidTlsSettings
            | Self::InvalidAuthorities
            | Self::NoAuthorities
            | Self::InvalidIdentity
            | Self::UnknownIssuer
            | Self::OtherName
            | Self::Expired
            | Self::InvalidCertificate
            | Self::NoTls
            | Self::Alert
            | Self::InvalidTls => DialErrorKind::Tls,
            _ => DialErrorKind::WebSocket,
        }
    }

    /// What a person should know, in a few words.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Closed => "the server closed the connection",
            Self::Truncated => "the server closed the connection without a word",
            Self::Flooded => "the server asks for answers that it does not take",
            Self::InvalidServerName => "the host of the URL is no name that a certificate can have",
            Self::InvalidTlsSettings => "the settings cannot be used",
            Self::InvalidAuthorities => "the authorities in the settings are no PEM certificates",
            Self::NoAuthorities => "this system trusts nobody; name authorities in the settings",
            Self::InvalidIdentity => "the client certificate or its key cannot be used",
            Self::UnknownIssuer => "nobody who is trusted issued the server's certificate",
            Self::OtherName => "the server's certificate is for another name",
            Self::Expired => "the server's certificate has expired",
            Self::InvalidCertificate => "the server's certificate is not valid",
            Self::NoTls => "the server does not speak TLS on this port",
            Self::Alert => "the server ended it; it may want a client certificate",
            Self::InvalidTls => "the server broke the protocol",
            Self::InvalidRequest => "the host, the path or a header is not valid in HTTP",
            Self::Refused(401 | 403) => "the server asks for credentials in HTTP",
            Self::Refused(404) => "the server does not know the path of the URL",
            Self::Refused(_) => "the server speaks HTTP, but not WebSocket",
            Self::InvalidHandshake => "the server's answer is no WebSocket handshake",
            Self::LongHandshake => "the server's answer is too long",
            Self::NoSubprotocol => "the server selected no subprotocol: it may not speak MQTT",
            Self::OtherSubprotocol => "the server selected another subprotocol than mqtt",
            Self::TextFrame => "the server sent a text frame",
            Self::LongMessage => "the server sent a message that is too long",
            Self::InvalidFrame => "the server broke the WebSocket protocol",
        }
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl core::error::Error for StackError {}

impl From<StackError> for DialError {
    fn from(error: StackError) -> Self {
        Self::new(error.kind()).with_detail(error.detail())
    }
}
