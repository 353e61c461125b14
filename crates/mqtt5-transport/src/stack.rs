//! What lies between a socket and MQTT.

use crate::settings::{Settings, TcpSettings};
use mqtt5_client::{DialError, DialErrorKind, Endpoint, Scheme};

/// Everything between a socket and the bytes of MQTT, for one endpoint.
///
/// In this version that is nothing: what is read from the socket is MQTT, and what MQTT sends is written to the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    host: Box<str>,
    port: u16,
    tcp: TcpSettings,
}

impl Stack {
    /// Builds the stack for the transport that the endpoint names.
    ///
    /// # Errors
    ///
    /// As [`check_supported`].
    pub fn new(endpoint: &Endpoint, settings: &Settings) -> Result<Self, DialError> {
        check_supported(endpoint)?;
        Ok(Self {
            host: endpoint.host().into(),
            port: endpoint.port(),
            tcp: settings.tcp.clone(),
        })
    }

    /// The name or address to resolve and connect to, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to set on the socket.
    pub fn tcp(&self) -> &TcpSettings {
        &self.tcp
    }
}

/// Tells whether this build speaks the transport of an endpoint.
///
/// # Errors
///
/// [`DialErrorKind::Unsupported`] when it does not; the detail says what is missing.
pub fn check_supported(endpoint: &Endpoint) -> Result<(), DialError> {
    let missing = match endpoint.scheme() {
        Scheme::Mqtt => return Ok(()),
        Scheme::Mqtts => "this build has no TLS; use mqtt://",
        Scheme::Ws => "this build has no WebSocket; use mqtt://",
        Scheme::Wss => "this build has neither WebSocket nor TLS; use mqtt://",
        _ => "this build does not know the transport; use mqtt://",
    };
    Err(DialError::new(DialErrorKind::Unsupported).with_detail(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_tcp_can_be_dialled_and_the_others_say_why() {
        let stack = |url: &str| {
            let endpoint = url.parse::<Endpoint>().expect("valid");
            Stack::new(&endpoint, &Settings::default())
        };
        let tcp = stack("tcp://h:7").expect("supported");
        assert_eq!((tcp.host(), tcp.port(), tcp.tcp().nodelay), ("h", 7, true));
        for (url, words) in [
            ("mqtts://h", "TLS"),
            ("ssl://h", "TLS"),
            ("ws://h", "WebSocket"),
            ("wss://h", "neither"),
        ] {
            let error = stack(url).expect_err("not supported");
            assert_eq!(error.kind(), DialErrorKind::Unsupported);
            assert!(error.to_string().starts_with("not supported by this build"));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
