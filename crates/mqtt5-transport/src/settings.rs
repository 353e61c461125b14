//! How transports are set up, as plain data that adapters apply.

use core::time::Duration;
use std::net::IpAddr;

/// Settings of all transports; the defaults are good for most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The TCP connection below everything else.
    pub tcp: TcpSettings,
}

/// Settings of a TCP socket.
///
/// An adapter applies each as far as the platform has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpSettings {
    /// Sends small packets at once (`TCP_NODELAY`). Default: true, since the client batches by itself.
    pub nodelay: bool,
    /// Lets the operating system probe an idle connection (`SO_KEEPALIVE`). Default: none, since MQTT has a Keep Alive
    /// of its own.
    pub keepalive: Option<TcpKeepalive>,
    /// How long sent data may stay unacknowledged before the connection is given up (`TCP_USER_TIMEOUT`). Default: the
    /// system's.
    pub user_timeout: Option<Duration>,
    /// The local address to connect from. Default: the system's choice.
    pub local_address: Option<IpAddr>,
    /// The size of the socket's send buffer in bytes (`SO_SNDBUF`). Default: the system's.
    pub send_buffer: Option<usize>,
    /// The size of the socket's receive buffer in bytes (`SO_RCVBUF`). Default: the system's.
    pub receive_buffer: Option<usize>,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            user_timeout: None,
            local_address: None,
            send_buffer: None,
            receive_buffer: None,
        }
    }
}

/// When the operating system probes an idle TCP connection; what is `None` is the system's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpKeepalive {
    /// How long the connection must be idle before the first probe.
    pub time: Option<Duration>,
    /// The time between two probes.
    pub interval: Option<Duration>,
    /// How many unanswered probes end the connection.
    pub retries: Option<u32>,
}
