//! The other end of a WebSocket, in bytes.

use std::io::IoSlice;

use mqtt5_transport::{Pipe, Settings, Stack, StackError};
use tungstenite::handshake::derive_accept_key;

/// The first byte of a frame: the bits for its end and the extensions, and the opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame(pub(crate) u8);

impl Frame {
    pub(crate) const CONTINUATION_PART: Self = Self(0x00);
    pub(crate) const BINARY_PART: Self = Self(0x02);
    pub(crate) const CONTINUATION: Self = Self(0x80);
    pub(crate) const TEXT: Self = Self(0x81);
    pub(crate) const BINARY: Self = Self(0x82);
    pub(crate) const CLOSE: Self = Self(0x88);
    pub(crate) const PING: Self = Self(0x89);
    pub(crate) const PONG: Self = Self(0x8a);
}

/// A frame of the server, without a mask.
pub(crate) fn frame(kind: Frame, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind.0];
    match u16::try_from(payload.len()).unwrap() {
        short @ ..=125 => frame.push(short.to_be_bytes()[1]),
        length => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// Takes what is pending as frames of a client, whose masks are checked and removed.
pub(crate) fn sent_frames(pipe: &mut Pipe) -> Vec<(Frame, Vec<u8>)> {
    let bytes = pipe.pending().to_vec();
    pipe.sent(bytes.len());
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while let [first, second, tail @ ..] = rest {
        assert!(second & 0x80 != 0, "a client masks");
        let (length, tail) = match second & 0x7f {
            126 => (
                usize::from(u16::from_be_bytes([tail[0], tail[1]])),
                &tail[2..],
            ),
            127 => (
                usize::try_from(u64::from_be_bytes(tail[..8].try_into().unwrap())).unwrap(),
                &tail[8..],
            ),
            length => (usize::from(length), tail),
        };
        let (mask, tail) = tail.split_at(4);
        let (payload, tail) = tail.split_at(length);
        let unmasked = payload.iter().zip(mask.iter().cycle());
        frames.push((
            Frame(*first),
            unmasked.map(|(byte, mask)| byte ^ mask).collect(),
        ));
        rest = tail;
    }
    frames
}

/// The value of a header in a request.
pub(crate) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = request.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A pipe that has written its request.
pub(crate) fn opening(url: &str) -> Pipe {
    opening_with(url, &Settings::default())
}

fn opening_with(url: &str, settings: &Settings) -> Pipe {
    let endpoint = url.parse().expect("a URL");
    let stack = Stack::new(&endpoint, settings, true).expect("supported");
    stack.open().expect("valid").expect("a pipe")
}

/// What a server answers to the request that is pending, with more headers.
pub(crate) fn answer(pipe: &Pipe, headers: &str) -> String {
    let request = String::from_utf8(pipe.pending().to_vec()).expect("text");
    let key = header(&request, "Sec-WebSocket-Key").expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n{headers}\r\n"
    )
}

/// A pipe whose handshake is over.
pub(crate) fn open(url: &str) -> Pipe {
    open_with(url, &Settings::default())
}

/// The same, with settings.
pub(crate) fn open_with(url: &str, settings: &Settings) -> Pipe {
    let mut pipe = opening_with(url, settings);
    let answer = answer(&pipe, "");
    pipe.sent(pipe.pending().len());
    pipe.receive(answer.as_bytes()).expect("accepted");
    assert!(pipe.is_open());
    pipe
}

/// Reads in small pieces until there is no more.
pub(crate) fn read_all(pipe: &mut Pipe) -> Result<Vec<u8>, StackError> {
    let (mut all, mut space) = (Vec::new(), [0; 5]);
    loop {
        match pipe.read(&mut space)? {
            0 => return Ok(all),
            count => all.extend(&space[..count]),
        }
    }
}

pub(crate) fn write(pipe: &mut Pipe, bytes: &[u8]) -> Result<usize, StackError> {
    // In two parts, as the machine gives a header and a payload.
    let (first, second) = bytes.split_at(bytes.len() / 2);
    pipe.write(&[IoSlice::new(first), IoSlice::new(second)])
}
