//! What lies between a socket and MQTT.

use crate::settings::{Settings, TcpSettings};
use crate::{Pipe, StackError};
use std::io;

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
    /// Builds the stack for the transport that the endpoint names; [`Action::Dial`](mqtt5_client::driver::Action::Dial) says whether
    /// the server `is_trusted`. One that is not gets nothing of the settings that says who we are: no headers, no certificate.
    ///
    /// # Errors
    ///
    /// [`DialErrorKind::Unsupported`] when this build does not speak it; the detail says what is missing.
    pub fn new(
        endpoint: &Endpoint,
        settings: &Settings,
        is_trusted: bool,
    ) -> Result<Self, DialError> {
        let missing = match endpoint.scheme() {
            Scheme::Mqtt => None,
            Scheme::Mqtts => NO_TLS,
            Scheme::Ws => NO_WEBSOCKET,
            Scheme::Wss => NO_TLS.or(NO_WEBSOCKET),
            _ => Some("this build does not know the transport; use mqtt://"),
        };
        if let Some(missing) = missing {
            return Err(DialError::new(DialErrorKind::Unsupported).with_detail(missing));
        }
        let mut settings = settings.clone();
        if !is_trusted {
            settings.websocket.headers.clear();
            settings.tls.identity = None;
        }
        Ok(Self {
            endpoint: endpoint.clone(),
            settings,
        })
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
    #[cfg(any(feature = "tls", feature = "websocket"))]
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
    #[cfg(not(any(feature = "tls", feature = "websocket")))]
    pub fn open(&self) -> Result<Option<Pipe>, StackError> {
        Ok(None)
    }
}

/// Why a socket failed while a pipe was opening: servers that do not understand what they are sent reset the connection.
pub(crate) fn opening_failed(failed: io::Result<usize>) -> DialError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match failed.map_err(|error| error.kind()) {
        Ok(_) | Err(BrokenPipe | ConnectionAborted | ConnectionReset) => {
            StackError::Truncated.into()
        }
        Err(other) => other.into(),
    }
}

const NO_TLS: Option<&str> = if cfg!(feature = "tls") {
    None
} else {
    Some("this build has no TLS; use mqtt:// or ws://")
};
const NO_WEBSOCKET: Option<&str> = if cfg!(feature = "websocket") {
    None
} else {
    Some("this build has no WebSocket; use mqtt:// or mqtts://")
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_we_are_is_not_for_a_server_that_is_not_trusted() {
        let mut settings = Settings::default();
        settings.tcp.nodelay = false;
        settings.tls.authorities = Some(b"those who issue".to_vec());
        let others = settings.clone();
        let token = ("Authorization".into(), "Bearer x".into());
        settings.websocket.headers.push(token);
        settings.tls.identity = Some(crate::Identity {
            certificates: b"me".to_vec(),
            private_key: "secret".into(),
        });
        let endpoint = "mqtt://h".parse::<Endpoint>().expect("valid");
        for (is_trusted, expected) in [(true, &settings), (false, &others)] {
            let stack = Stack::new(&endpoint, &settings, is_trusted).expect("supported");
            assert_eq!(&stack.settings, expected);
        }
    }

    #[test]
    fn what_this_build_does_not_speak_says_what_is_missing() {
        let stack = |url: &str| {
            let endpoint = url.parse::<Endpoint>().expect("valid");
            Stack::new(&endpoint, &Settings::default(), true)
        };
        let tcp = stack("tcp://h:7").expect("supported");
        assert_eq!((tcp.host(), tcp.port(), tcp.tcp().nodelay), ("h", 7, true));
        let (tls, websocket) = (cfg!(feature = "tls"), cfg!(feature = "websocket"));
        for (url, words, is_spoken) in [
            ("mqtts://h", "TLS", tls),
            ("ssl://h", "TLS", tls),
            ("ws://h", "WebSocket", websocket),
            ("wss://h", "this build has no", tls && websocket),
        ] {
            if is_spoken {
                stack(url).expect("supported");
                continue;
            }
            let error = stack(url).expect_err("not supported");
            assert_eq!(error.kind(), DialErrorKind::Unsupported);
            assert!(error.to_string().starts_with("not supported by this build"));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
