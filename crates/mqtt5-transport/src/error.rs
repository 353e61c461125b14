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
            _ => DialErrorKind::WebSocket,
        }
    }

    /// What a person should know, in a few words.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Closed => "the server closed the connection",
            Self::Truncated => "the server closed the connection without a word",
            Self::Flooded => "the server asks for answers that it does not take",
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
