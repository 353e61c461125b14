//! What lies between a socket and MQTT.

use crate::settings::{Settings, TcpSettings};
use crate::{Pipe, StackError};
use mqtt5_client::{DialError, DialErrorKind, Endpoint, Scheme};

/// Everything between a socket and the bytes of MQTT, for one endpoint.
///
/// Most is in the [`Pipe`] that [`open`](Self::open) makes for each socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    endpoint: Endpoint,
    settings: Settings,
}

impl Stack {
    /// Builds the stack for the transport that the endpoint names.
    ///
    /// # Errors
    ///
    /// [`DialErrorKind::Unsupported`] when this build does not speak it; the detail says what is missing.
    pub fn new(endpoint: &Endpoint, settings: &Settings) -> Result<Self, DialError> {
        let missing = match endpoint.scheme() {
            Scheme::Mqtt => None,
            Scheme::Mqtts => Some("this build has no TLS; use mqtt://"),
            Scheme::Ws => NO_WEBSOCKET,
            Scheme::Wss => Some("this build has no TLS; use ws:// or mqtt://"),
            _ => Some("this build does not know the transport; use mqtt://"),
        };
        match missing {
            Some(missing) => Err(DialError::new(DialErrorKind::Unsupported).with_detail(missing)),
            None => Ok(Self {
                endpoint: endpoint.clone(),
                settings: settings.clone(),
            }),
        }
    }

    /// The name or address to resolve and connect to, without brackets.
    pub fn host(&self) -> &str {
        self.endpoint.host()
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.endpoint.port()
    }

    /// What to set on the socket.
    pub fn tcp(&self) -> &TcpSettings {
        &self.settings.tcp
    }

    /// What the bytes of an open socket go through; `None` when they are MQTT as they are.
    ///
    /// # Errors
    ///
    /// What is wrong with the endpoint or the settings.
    #[cfg(feature = "websocket")]
    pub fn open(&self) -> Result<Option<Pipe>, StackError> {
        if self.endpoint.scheme() == Scheme::Mqtt {
            return Ok(None);
        }
        Pipe::new(&self.endpoint, &self.settings).map(Some)
    }

    /// What the bytes of an open socket go through: nothing in this build, since they are MQTT as they are.
    ///
    /// # Errors
    ///
    /// None in this build.
    #[cfg(not(feature = "websocket"))]
    pub fn open(&self) -> Result<Option<Pipe>, StackError> {
        Ok(None)
    }
}

const NO_WEBSOCKET: Option<&str> = if cfg!(feature = "websocket") {
    None
} else {
    Some("this build has no WebSocket; use mqtt://")
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_build_does_not_speak_says_what_is_missing() {
        let stack = |url: &str| {
            let endpoint = url.parse::<Endpoint>().expect("valid");
            Stack::new(&endpoint, &Settings::default())
        };
        let tcp = stack("tcp://h:7").expect("supported");
        assert_eq!((tcp.host(), tcp.port(), tcp.tcp().nodelay), ("h", 7, true));
        for (url, words) in [
            ("mqtts://h", "TLS"),
            ("ssl://h", "TLS"),
            #[cfg(not(feature = "websocket"))]
            ("ws://h", "WebSocket"),
            ("wss://h", "TLS"),
        ] {
            let error = stack(url).expect_err("not supported");
            assert_eq!(error.kind(), DialErrorKind::Unsupported);
            assert!(error.to_string().starts_with("not supported by this build"));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
