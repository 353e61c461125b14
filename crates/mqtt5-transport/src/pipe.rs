//! The byte machines between a socket and MQTT, as one.

mod websocket;
mod wire;

use crate::{Settings, StackError};
use mqtt5_client::Endpoint;
use std::io::IoSlice;

use websocket::WebSocketLayer;
use wire::Wire;

/// What lies between an open socket and MQTT, when that is anything: see [`Stack::open`](crate::Stack::open).
///
/// It opens by itself: as long as it is not [open](Self::is_open), write what is [`pending`](Self::pending), read from the
/// socket, and [`receive`](Self::receive) that. Then the bytes of MQTT go through [`read`](Self::read) and
/// [`write`](Self::write). An error is final; what is pending then may still be written, and tells the server why.
#[derive(Debug)]
pub struct Pipe {
    layer: WebSocketLayer,
    failure: Option<StackError>,
}

impl Pipe {
    pub(crate) fn new(endpoint: &Endpoint, settings: &Settings) -> Result<Self, StackError> {
        Ok(Self {
            layer: WebSocketLayer::new(Wire::default(), endpoint, &settings.websocket)?,
            failure: None,
        })
    }

    /// Whether the handshakes are over.
    pub fn is_open(&self) -> bool {
        self.layer.is_open()
    }

    /// Takes what was read from the socket; nothing is its end. [`read`](Self::read) everything before it gets more.
    ///
    /// # Errors
    ///
    /// What ended a handshake.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), StackError> {
        self.layer.wire_mut().receive(bytes);
        self.step(WebSocketLayer::shake_hands)
    }

    /// Reads bytes of MQTT into the beginning of `space`, which is not empty; 0 when there are none before more is received.
    ///
    /// # Errors
    ///
    /// Why nothing more will come.
    pub fn read(&mut self, space: &mut [u8]) -> Result<usize, StackError> {
        self.step(|layer| layer.read(space))
    }

    /// Takes the first bytes of MQTT, at most 64 KiB, and tells how many; they are pending then, in one WebSocket frame.
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
        self.step(|layer| layer.write(bytes)).map(|()| count)
    }

    /// Says goodbye; nothing can be written any more.
    pub fn close(&mut self) {
        self.layer.close();
    }

    /// What is to be written to the socket.
    pub fn pending(&self) -> &[u8] {
        self.layer.wire().pending()
    }

    /// So many of the pending bytes were written to the socket.
    pub fn sent(&mut self, count: usize) {
        self.layer.wire_mut().sent(count);
    }

    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut WebSocketLayer) -> Result<T, StackError>,
    ) -> Result<T, StackError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let mut outcome = step(&mut self.layer);
        if outcome.is_ok() && self.pending().len() > MOST_PENDING {
            outcome = Err(StackError::Flooded);
        }
        self.failure = outcome.as_ref().err().copied();
        outcome
    }
}

/// How much of MQTT is in the pipe at a time.
const LONGEST_WRITE: usize = 64 << 10;
/// More than a write of ours can be: the rest is what the server asked for.
const MOST_PENDING: usize = 256 << 10;
