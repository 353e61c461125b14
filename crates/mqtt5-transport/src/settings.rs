//! How transports are set up, as plain data that adapters apply.

use mqtt5_client::{Endpoint, Options, Password};

/// Settings of all transports; the defaults are good for most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The TCP connection below everything else.
    pub tcp: TcpSettings,
    /// What `ws://` endpoints need.
    pub websocket: WebSocketSettings,
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

/// Settings of MQTT over WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketSettings {
    /// Headers that are sent in the handshake besides its own, such as `Authorization`; `Debug` does not show their values.
    pub headers: Vec<(String, Password)>,
    /// The largest WebSocket message in bytes that the server may send; so much is kept until it is complete. Default: 16 MiB.
    pub max_message_size: usize,
}

impl Default for WebSocketSettings {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            max_message_size: 16 << 20,
        }
    }
}

/// What a client is made from: its options, and the settings of its transport.
///
/// Whatever gives [`Options`] gives this with default settings; a pair gives both.
///
/// ```
/// use mqtt5_transport::{Settings, Setup};
///
/// let mut settings = Settings::default();
/// settings.websocket.headers.push(("Authorization".into(), "Bearer x".into()));
/// let setup = Setup::from(("ws://localhost/mqtt", settings.clone()));
/// assert_eq!(setup.settings, settings);
/// assert_eq!(Setup::from("mqtt://localhost").settings, Settings::default());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// Everything but the transport.
    pub options: Options,
    /// The transport.
    pub settings: Settings,
}

impl<T: Into<Options>> From<(T, Settings)> for Setup {
    fn from((options, settings): (T, Settings)) -> Self {
        Self {
            options: options.into(),
            settings,
        }
    }
}

macro_rules! with_default_settings {
    ($($options:ty),+) => {$(
        impl From<$options> for Setup {
            fn from(options: $options) -> Self {
                (options, Settings::default()).into()
            }
        }
    )+};
}

with_default_settings!(Options, Endpoint, &str, String);
