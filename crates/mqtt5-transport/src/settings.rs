//! How transports are set up, as plain data that adapters apply.

/// Settings of all transports; the defaults are good for most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The TCP connection below everything else.
    pub tcp: TcpSettings,
}

/// Settings of a TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpSettings {
    /// Sends small packets at once (`TCP_NODELAY`). Default: true, since the client batches by itself.
    pub nodelay: bool,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self { nodelay: true }
    }
}
