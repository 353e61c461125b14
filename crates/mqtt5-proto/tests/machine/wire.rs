//! What every server may expect of the bytes of a client, whatever that server does itself.

use mqtt5_proto::{Decoding, FixedHeader, Packet, QoS, Role};

/// One connection as the server sees it. The payload of each PUBLISH begins with a number and a space; the numbers
/// say in which order the messages were accepted.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    buffer: Vec<u8>,
    begun: bool,
    over: bool,
    /// Bytes are missing.
    lost: bool,
    /// The last message, of QoS 0 and of the others where these wait for records.
    last: [Option<u32>; 2],
    /// Messages of QoS 0 overtake others.
    overtaken: bool,
    /// The order of the messages was changed in the store.
    unordered: bool,
}

impl Wire {
    /// Bytes of the client arrive: whole packets that the specification allows, CONNECT first, nothing after DISCONNECT,
    /// messages in the order of acceptance.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.receive_each(bytes, |_| {});
    }

    /// The same, with a look at each packet.
    pub(crate) fn receive_each(&mut self, bytes: &[u8], mut each: impl FnMut(&Packet<'_>)) {
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
            let packet = Packet::decode(frame, &decoding).unwrap();
            self.handle(&packet);
            each(&packet);
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
        *self = Self {
            overtaken: self.overtaken,
            unordered: self.unordered,
            ..Self::default()
        };
    }

    /// Messages of QoS 0 may overtake others.
    pub(crate) fn expect_overtaking(&mut self) {
        self.overtaken = true;
    }

    /// Messages may come in any order from now on.
    pub(crate) fn expect_no_order(&mut self) {
        self.unordered = true;
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
                let kept = publish.delivery.qos() > QoS::AtMostOnce;
                let last = &mut self.last[usize::from(kept && self.overtaken)];
                let ordered = self.unordered || *last < Some(number);
                assert!(ordered, "{number} after {last:?}");
                *last = Some(number);
            }
            _ => {}
        }
    }
}

/// The number of a message.
pub(super) fn number(payload: &[u8]) -> u32 {
    let digits = payload.split(|byte| *byte == b' ').next().unwrap();
    let digits = core::str::from_utf8(digits).unwrap();
    digits.parse().unwrap()
}
