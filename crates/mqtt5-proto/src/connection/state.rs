//! The states of a connection and all transitions between them.
//!
//! ```text
//! Disconnected ──connect──▶ Connecting ──CONNACK 0x00──▶ Connected
//!       ▲                        │                           │
//!       │                        └─────────┬─────────────────┘
//!       │                                  │ DISCONNECT either way, refusal, error, timeout
//!       └─────────transport closed──── Closing
//! ```
//!
//! The transport may close in every state. Nothing outside this file decides on a next state.

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is none.
    Disconnected,
    /// CONNECT is encoded, CONNACK has not arrived.
    Connecting,
    /// CONNACK has accepted it.
    Connected,
    /// It is about to end: what is encoded is written, then the transport is to be closed.
    Closing,
}

/// What changes the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// CONNECT is encoded.
    Connect,
    /// CONNACK accepts.
    Accept,
    /// Either side ends it.
    Finish,
    /// The transport is gone.
    TransportClosed,
}

impl State {
    /// The transition table; what it does not list changes nothing.
    pub(crate) const fn after(self, trigger: Trigger) -> Self {
        match (self, trigger) {
            (Self::Disconnected, Trigger::Connect) => Self::Connecting,
            (Self::Connecting, Trigger::Accept) => Self::Connected,
            (Self::Connecting | Self::Connected, Trigger::Finish) => Self::Closing,
            (_, Trigger::TransportClosed) => Self::Disconnected,
            (state, _) => state,
        }
    }

    /// Whether packets of the server are handled.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Connecting | Self::Connected)
    }
}
