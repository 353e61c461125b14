//! The byte machines between a socket and MQTT, as one.

mod lower;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
mod websocket;
mod wire;

#[cfg(feature = "tls")]
pub(crate) use tls::TlsSessions;

use crate::{Settings, StackError};
use mqtt5_client::Endpoint;
use std::io::{self, IoSlice, Read as _, Write as _};

use lower::{Lower, failure};
#[cfg(feature = "websocket")]
use websocket::WebSocketLayer;

/// What lies between an open socket and MQTT, when that is anything: see [`Stack::open`](crate::Stack::open).
///
/// It opens by itself: as long as it is not [open](Self::is_open), write what is [`pending`](Self::pending), read from the
/// socket, and [`receive`](Self::receive) that. Then the bytes of MQTT go through [`read`](Self::read) and
/// [`write`](Self::write). An error is final; what is pending then may still be written, and tells the server why.
#[derive(Debug)]
pub struct Pipe {
    upper: Upper,
    failure: Option<StackError>,
}

/// What MQTT goes through first.
#[derive(Debug)]
enum Upper {
    Direct(Lower),
    /// Boxed, because it is large.
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocketLayer>),
}

impl Pipe {
    pub(crate) fn new(endpoint: &Endpoint, settings: &Settings) -> Result<Self, StackError> {
        let lower = match endpoint.scheme() {
            #[cfg(feature = "tls")]
            scheme if scheme.is_tls() => {
                Lower::Tls(Box::new(tls::TlsLayer::new(endpoint, &settings.tls)?))
            }
            _ => Lower::default(),
        };
        let upper = match endpoint.scheme() {
            #[cfg(feature = "websocket")]
            scheme if scheme.is_websocket() => Upper::WebSocket(Box::new(WebSocketLayer::new(
                lower,
                endpoint,
                &settings.websocket,
            )?)),
            _ => Upper::Direct(lower),
        };
        Ok(Self {
            upper,
            failure: None,
        })
    }

    /// Whether the handshakes are over.
    pub fn is_open(&self) -> bool {
        self.upper.is_open()
    }

    /// Takes what was read from the socket; nothing is its end. [`read`](Self::read) everything before it gets more.
    ///
    /// # Errors
    ///
    /// What ended a handshake.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), StackError> {
        self.upper.lower_mut().wire_mut().receive(bytes);
        self.step(Upper::shake_hands)
    }

    /// Reads bytes of MQTT into the beginning of `space`, which is not empty; 0 when there are none before more is received.
    ///
    /// # Errors
    ///
    /// Why nothing more will come.
    pub fn read(&mut self, space: &mut [u8]) -> Result<usize, StackError> {
        self.step(|upper| upper.read(space))
    }

    /// Takes the first bytes of MQTT, at most 64 KiB, and tells how many; they are pending then, over WebSocket in one frame.
    ///
    /// # Errors
    ///
    /// Why nothing can be sent.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, StackError> {
        let mut bytes = Vec::new();
        for slice in slices {
            let room = LONGEST_WRITE - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let count = bytes.len();
        self.step(|upper| upper.write(bytes)).map(|()| count)
    }

    /// Says goodbye; nothing can be written any more.
    pub fn close(&mut self) {
        self.upper.close();
    }

    /// What is to be written to the socket.
    pub fn pending(&self) -> &[u8] {
        self.upper.lower().wire().pending()
    }

    /// So many of the pending bytes were written to the socket.
    pub fn sent(&mut self, count: usize) {
        self.upper.lower_mut().wire_mut().sent(count);
    }

    /// How many of the `accepted` bytes of MQTT count as written when so many bytes were sent: about as many, so that a slow
    /// connection is seen to move, and all of them when nothing is pending, not before.
    pub(crate) fn written(&self, sent: usize, accepted: &mut usize) -> usize {
        let written = if self.pending().is_empty() {
            *accepted
        } else {
            sent.min(accepted.saturating_sub(1))
        };
        *accepted -= written;
        written
    }

    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Upper) -> Result<T, StackError>,
    ) -> Result<T, StackError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let mut outcome = step(&mut self.upper);
        if outcome.is_ok() && self.pending().len() > MOST_PENDING {
            outcome = Err(StackError::Flooded);
        }
        self.failure = outcome.as_ref().err().copied();
        outcome
    }
}

impl Upper {
    fn lower(&self) -> &Lower {
        match self {
            Self::Direct(lower) => lower,
            #[cfg(feature = "websocket")]
            Self::WebSocket(layer) => layer.lower(),
        }
    }

    fn lower_mut(&mut self) -> &mut Lower {
        match self {
            Self::Direct(lower) => lower,
            #[cfg(feature = "websocket")]
            Self::WebSocket(layer) => layer.lower_mut(),
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Direct(lower) => lower.is_open(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(layer) => layer.is_open(),
        }
    }

    fn shake_hands(&mut self) -> Result<(), StackError> {
        self.lower_mut().shake_hands()?;
        match self {
            Self::Direct(_) => Ok(()),
            #[cfg(feature = "websocket")]
            Self::WebSocket(layer) => layer.shake_hands(),
        }
    }

    fn read(&mut self, space: &mut [u8]) -> Result<usize, StackError> {
        match self {
            Self::Direct(lower) => match lower.read(space) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                read => read.map_err(|error| failure(&error)),
            },
            #[cfg(feature = "websocket")]
            Self::WebSocket(layer) => layer.read(space),
        }
    }

    #[cfg_attr(
        not(feature = "websocket"),
        expect(clippy::needless_pass_by_value, reason = "WebSocket keeps it")
    )]
    fn write(&mut self, bytes: Vec<u8>) -> Result<(), StackError> {
        match self {
            Self::Direct(lower) => lower.write_all(&bytes).map_err(|error| failure(&error)),
            #[cfg(feature = "websocket")]
            Self::WebSocket(layer) => layer.write(bytes),
        }
    }

    fn close(&mut self) {
        match self {
            Self::Direct(_) => {}
            #[cfg(feature = "websocket")]
            Self::WebSocket(layer) => layer.close(),
        }
        self.lower_mut().close();
    }
}

/// How much of MQTT is in the pipe at a time.
const LONGEST_WRITE: usize = 64 << 10;
/// More than a write of ours can be: the rest is what the server asked for.
const MOST_PENDING: usize = 256 << 10;
