//! The bytes between the broker and the two clients.

use mqtt5_broker::Action;
use mqtt5_proto::{Decoding, FixedHeader, Role};

use super::process::{Process, Told};
use super::world::{WITNESS, World};

impl<C: Process> World<C> {
    /// One packet of the client arrives at the broker.
    pub(super) fn move_client(&mut self) -> bool {
        let bytes = self.client.outgoing();
        let header = FixedHeader::parse(bytes, &Decoding::new(Role::Client)).unwrap();
        let Some(header) = header.filter(|_| self.up) else {
            return false;
        };
        let count = header.total_len().min(bytes.len());
        self.broker
            .handle_received(self.now, self.connection, &bytes[..count]);
        self.client.handle_transmitted(self.now, count);
        true
    }

    pub(super) fn move_witness(&mut self) -> bool {
        let bytes = self.witness.outgoing();
        let count = bytes.len();
        self.broker.handle_received(self.now, WITNESS, bytes);
        self.witness.handle_transmitted(self.now, count);
        count > 0
    }

    pub(super) fn move_broker(&mut self) -> bool {
        let Some(action) = self.broker.poll_action() else {
            return false;
        };
        let (Action::Write(to) | Action::Close(to) | Action::Abort(to)) = action;
        let bytes = self.broker.outgoing(self.now, to);
        if to == WITNESS {
            assert_eq!(action, Action::Write(WITNESS), "the witness is sent away");
            self.give_witness(&bytes);
        } else if to == self.connection && self.up {
            self.give_client(&bytes);
            let going = self.client.wants_close();
            assert!(action == Action::Write(to) || going, "the broker hangs up");
        }
        if action != Action::Write(to) {
            self.broker.handle_closed(self.now, to);
        }
        true
    }

    fn give_client(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.client.receive_space();
            let count = bytes.len().min(space.len());
            if count == 0 {
                // It is about to leave.
                return;
            }
            space[..count].copy_from_slice(&bytes[..count]);
            self.client.handle_received(self.now, count);
            bytes = &bytes[count..];
            while let Some(told) = (!bytes.is_empty())
                .then(|| self.client.poll(self.now))
                .flatten()
            {
                self.told(&told);
            }
        }
    }

    fn give_witness(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.witness.receive_space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.witness.handle_received(self.now, count);
            bytes = &bytes[count..];
            while let Some(told) = Process::poll(&mut self.witness, self.now) {
                if let Told::Message {
                    number, qos, token, ..
                } = told
                {
                    self.arrived.push((number, qos));
                    if let Some(token) = token {
                        self.witness.ack(self.now, token);
                    }
                }
            }
        }
    }
}
