//! How transports are set up, as plain data that adapters apply.

use core::time::Duration;
use mqtt5_client::{Endpoint, Options, Password};

/// Settings of all transports; the defaults are good for most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The TCP connection below everything else.
    pub tcp: TcpSettings,
    /// What `ws://` endpoints need.
    pub websocket: WebSocketSettings,
    /// What `mqtts://` endpoints need.
    pub tls: TlsSettings,
}

/// Settings of a TCP socket, set when it is connected.
///
/// How long connecting may take is [`Options::connect_timeout`]'s alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpSettings {
    /// Sends small packets at once (`TCP_NODELAY`). Default: true, since the client batches by itself.
    pub nodelay: bool,
    /// How long the connection may be silent before the system probes it (`SO_KEEPALIVE`), in whole seconds from 1 to 32,767: less
    /// counts as the one, more as the other. Default: never, since MQTT has a Keep Alive of its own.
    pub keepalive: Option<Duration>,
    /// How long what was sent may stay unacknowledged by the other machine before the system ends the connection
    /// (`TCP_USER_TIMEOUT`), in whole milliseconds from 1 to 2,147,483,647: less counts as the one, more as the other; where there is
    /// such an option: Linux, Android and Fuchsia. Default: what the system does.
    pub user_timeout: Option<Duration>,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            user_timeout: None,
        }
    }
}

/// Settings of TLS. The server's certificate is always verified, for the host of the endpoint: nothing turns that off.
///
/// A server that allows it gets a session of an earlier connection resumed, which saves the proofs of both sides; only with the same
/// authorities and identity as then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The certificates, in PEM, of those who may issue the server's. Default: those that the system trusts.
    pub authorities: Option<Vec<u8>>,
    /// Who the client is, for servers that ask in TLS; not for those that only a redirect has named. Default: nobody.
    pub identity: Option<Identity>,
    /// Writes the secrets of each connection to the file that the environment variable `SSLKEYLOGFILE` names, so that tools such as
    /// Wireshark can read what was sent. Whoever has the file can read it, too. Default: false.
    pub key_log: bool,
    /// The sessions that can be resumed; copies of the settings share them.
    #[cfg(feature = "tls")]
    pub(crate) sessions: crate::pipe::TlsSessions,
}

/// A certificate of the client and the key to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The client's certificate, then those of its issuers, in PEM.
    pub certificates: Vec<u8>,
    /// The private key of the first of them, in PEM; `Debug` does not show it.
    pub private_key: Password,
}

/// Settings of MQTT over WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketSettings {
    /// Headers that are sent in the handshake besides its own, such as `Authorization`; `Debug` does not show their values. Servers that
    /// only a redirect has named do not get them.
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
