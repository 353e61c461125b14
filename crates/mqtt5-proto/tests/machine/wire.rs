//! What every server may expect of the bytes of a client, whatever that server does itself.

use mqtt5_proto::{Decoding, FixedHeader, Packet, Role};

/// One connection as the server sees it. The payload of each PUBLISH begins with a number and a space; the numbers
/// say in which order the messages were accepted.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    buffer: Vec<u8>,
    begun: bool,
    over: bool,
    /// Bytes are missing.
    lost: bool,
    last: Option<u32>,
}

impl Wire {
    /// Bytes of the client arrive: whole packets that the specification allows, CONNECT first, nothing after DISCONNECT,
    /// messages in the order of acceptance.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if self.lost {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let decoding = Decoding::new(Role::Client);
        let buffer = core::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        while let Some(header) = FixedHeader::parse(rest, &decoding).unwrap() {
            let Some((frame, after)) = rest.split_at_checked(header.total_len()) else {
                break;
            };
            self.handle(&Packet::decode(frame, &decoding).unwrap());
            rest = after;
        }
        self.buffer = rest.to_vec();
        assert!(!self.over || self.buffer.is_empty(), "after DISCONNECT");
    }

    /// Bytes were said to be written and were not: nothing can be expected of the rest of the connection.
    pub(crate) fn lose_track(&mut self) {
        self.lost = true;
    }

    /// The connection is gone; what was half written is lost with it.
    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }

    fn handle(&mut self, packet: &Packet<'_>) {
        let connect = matches!(packet, Packet::Connect(_));
        assert_ne!(self.begun, connect, "{packet:?} after {self:?}");
        assert!(!self.over, "{packet:?} after DISCONNECT");
        self.begun = true;
        match packet {
            Packet::Disconnect(_) => self.over = true,
            Packet::Publish(publish) => {
                let number = number(publish.payload);
                assert!(self.last < Some(number), "{number} after {:?}", self.last);
                self.last = Some(number);
            }
            _ => {}
        }
    }
}

/// The number of a message.
fn number(payload: &[u8]) -> u32 {
    let digits = payload.split(|byte| *byte == b' ').next().unwrap();
    let digits = core::str::from_utf8(digits).unwrap();
    digits.parse().unwrap()
}
