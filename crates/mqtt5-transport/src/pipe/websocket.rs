//! MQTT in WebSocket frames (section 6).

use core::mem;
use std::io::{self, Read, Write};

use mqtt5_client::Endpoint;
use tungstenite::error::{CapacityError, Error, ProtocolError, SubProtocolError};
use tungstenite::handshake::client::{ClientHandshake, Request, generate_key};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Message, WebSocket};

use super::lower::{Lower, failure};
use crate::{StackError, WebSocketSettings};

/// The client's end of a WebSocket, from the handshake to the close.
#[derive(Debug)]
pub(super) struct WebSocketLayer {
    state: State,
    /// What is left of the last binary message.
    payload: Bytes,
}

#[derive(Debug)]
enum State {
    Opening(MidHandshake<ClientHandshake<Stream>>),
    Open(Box<WebSocket<Stream>>),
    /// The handshake failed, or is at work.
    Failed(Stream),
}

impl WebSocketLayer {
    /// Begins the handshake: the request is pending in what is below.
    pub(super) fn new(
        lower: Lower,
        endpoint: &Endpoint,
        settings: &WebSocketSettings,
    ) -> Result<Self, StackError> {
        let request = request(endpoint, settings)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_frame_size(Some(settings.max_message_size))
            .max_message_size(Some(settings.max_message_size));
        let handshake = ClientHandshake::start(Stream::new(lower), request, Some(config))
            .map_err(|_| StackError::InvalidRequest)?;
        let mut layer = Self {
            state: State::Opening(handshake),
            payload: Bytes::new(),
        };
        layer.shake_hands()?;
        Ok(layer)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn lower(&self) -> &Lower {
        &match &self.state {
            State::Opening(handshake) => handshake.get_ref().get_ref(),
            State::Open(socket) => socket.get_ref(),
            State::Failed(stream) => stream,
        }
        .lower
    }

    pub(super) fn lower_mut(&mut self) -> &mut Lower {
        &mut match &mut self.state {
            State::Opening(handshake) => handshake.get_mut().get_mut(),
            State::Open(socket) => socket.get_mut(),
            State::Failed(stream) => stream,
        }
        .lower
    }

    /// Does what of the handshake can be done now.
    pub(super) fn shake_hands(&mut self) -> Result<(), StackError> {
        let handshake = match mem::replace(&mut self.state, State::Failed(Stream::default())) {
            State::Opening(handshake) => handshake,
            other => {
                self.state = other;
                return Ok(());
            }
        };
        self.state = match handshake.handshake() {
            Ok((socket, _)) => State::Open(Box::new(socket)),
            Err(HandshakeError::Interrupted(handshake)) => State::Opening(handshake),
            Err(HandshakeError::Failure(error)) => return Err(handshake_error(&error)),
        };
        Ok(())
    }

    /// Reads MQTT from binary messages; answers what asks for an answer.
    pub(super) fn read(&mut self, space: &mut [u8]) -> Result<usize, StackError> {
        let State::Open(socket) = &mut self.state else {
            return Ok(0);
        };
        while self.payload.is_empty() {
            let (error, code) = match socket.read() {
                Ok(Message::Binary(payload)) => {
                    self.payload = payload;
                    continue;
                }
                Ok(Message::Text(_)) => (StackError::TextFrame, CloseCode::Unsupported),
                Ok(Message::Close(_)) => (StackError::Closed, CloseCode::Normal),
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) => frame_error(&error),
            };
            close(socket, code);
            return Err(error);
        }
        let count = self.payload.len().min(space.len());
        space[..count].copy_from_slice(&self.payload.split_to(count));
        Ok(count)
    }

    /// Writes one binary frame.
    pub(super) fn write(&mut self, bytes: Vec<u8>) -> Result<(), StackError> {
        let State::Open(socket) = &mut self.state else {
            return Ok(());
        };
        let sent = socket.send(Message::Binary(bytes.into()));
        sent.map_err(|error| frame_error(&error).0)
    }

    pub(super) fn close(&mut self) {
        if let State::Open(socket) = &mut self.state {
            close(socket, CloseCode::Normal);
        }
    }
}

/// Sends the close frame, unless one was sent already.
fn close(socket: &mut WebSocket<Stream>, code: CloseCode) {
    let frame = CloseFrame {
        code,
        reason: "".into(),
    };
    // Writing to memory fails only when the socket is closed already.
    let _ = socket.close(Some(frame));
    let _ = socket.flush();
}

/// The request of the handshake; it offers the subprotocol `mqtt` `[MQTT-6.0.0-3]`.
fn request(endpoint: &Endpoint, settings: &WebSocketSettings) -> Result<Request, StackError> {
    let host = match endpoint.host() {
        address if address.contains(':') => format!("[{address}]"),
        name => name.to_owned(),
    };
    let authority = if endpoint.port() == endpoint.scheme().default_port() {
        host
    } else {
        format!("{host}:{}", endpoint.port())
    };
    let own = [
        ("Host", authority.as_str()),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", &generate_key()),
        ("Sec-WebSocket-Protocol", "mqtt"),
    ];
    let url = format!("{}://{authority}{}", endpoint.scheme(), endpoint.path());
    let mut request = Request::builder().uri(url);
    for (name, value) in own {
        request = request.header(name, value);
    }
    for (name, value) in &settings.headers {
        if own
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            return Err(StackError::InvalidRequest);
        }
        request = request.header(name, value.expose());
    }
    request.body(()).map_err(|_| StackError::InvalidRequest)
}

fn handshake_error(error: &Error) -> StackError {
    match error {
        Error::Http(response) => StackError::Refused(response.status().as_u16()),
        Error::Io(error) if error.kind() == TOO_LONG => StackError::LongHandshake,
        Error::Io(error) => failure(error),
        Error::Capacity(CapacityError::TooManyHeaders) => StackError::LongHandshake,
        Error::Protocol(ProtocolError::HandshakeIncomplete) => StackError::Truncated,
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(error)) => match error {
            SubProtocolError::NoSubProtocol => StackError::NoSubprotocol,
            _ => StackError::OtherSubprotocol,
        },
        _ => StackError::InvalidHandshake,
    }
}

/// What it is for us, and what the server is told.
fn frame_error(error: &Error) -> (StackError, CloseCode) {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => (StackError::Closed, CloseCode::Normal),
        Error::Io(error) => (failure(error), CloseCode::Normal),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            (StackError::Truncated, CloseCode::Normal)
        }
        Error::Capacity(_) => (StackError::LongMessage, CloseCode::Size),
        Error::Utf8(_) => (StackError::TextFrame, CloseCode::Unsupported),
        _ => (StackError::InvalidFrame, CloseCode::Protocol),
    }
}

/// What is below, read first up to the end of the answer to the handshake, and only when that is there as a whole: the library
/// takes many small pieces of it for an attack.
#[derive(Debug, Default)]
struct Stream {
    lower: Lower,
    head: Vec<u8>,
    phase: Phase,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Collecting,
    /// So much of the head was read.
    Reading(usize),
    /// The head is gone.
    Through,
}

impl Stream {
    fn new(lower: Lower) -> Self {
        Self {
            lower,
            ..Self::default()
        }
    }

    /// Collects the head byte by byte, so that nothing behind it is taken.
    fn collect(&mut self) -> io::Result<()> {
        let mut byte = [0];
        while !self.head.ends_with(b"\r\n\r\n") {
            if self.head.len() >= LONGEST_HEAD {
                return Err(TOO_LONG.into());
            }
            if self.lower.read(&mut byte)? == 0 {
                break;
            }
            self.head.extend(byte);
        }
        self.phase = Phase::Reading(0);
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.phase == Phase::Collecting {
            self.collect()?;
        }
        if let Phase::Reading(start) = &mut self.phase {
            let count = (&self.head[*start..]).read(space)?;
            *start += count;
            if count > 0 {
                return Ok(count);
            }
            self.head = Vec::new();
            self.phase = Phase::Through;
        }
        self.lower.read(space)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lower.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lower.flush()
    }
}

/// How long the answer to the handshake may be.
const LONGEST_HEAD: usize = 16 << 10;
/// How it is told through the library that it is longer.
const TOO_LONG: io::ErrorKind = io::ErrorKind::InvalidData;
/// As much as the library reads at a time; messages that are longer are read into memory of their own size.
const READ_BUFFER: usize = 8 << 10;
