//! Persistence: snapshots, and records ahead of packets.

use super::machine::Machine;
use super::{DisconnectCause, Refused};
use crate::connection::State;
use crate::packet::{Acknowledgement, Disconnect};
use crate::qos::Release;
use crate::session::{Entry, Restoring};
use crate::storage::{Storage, Transmit};
use crate::{Instant, Packet, PacketId, PacketType, Persisted, ReasonCode, Record, RecordToken};

impl<S: Storage> Machine<S> {
    pub(crate) fn poll_persist(&mut self) -> Option<(RecordToken, Record<'_>)> {
        if self.stopped {
            return None;
        }
        self.session.poll_persist()
    }

    pub(crate) fn handle_persisted(&mut self, now: Instant, persisted: Persisted) {
        let now = self.tick(now);
        if self.stopped || self.session.handle_persisted(persisted) {
            return;
        }
        self.stopped = true;
        if !self.may_transmit() {
            // What waits for its record never leaves.
            self.connection.void_buffers();
            self.connection.gate = 0;
        }
        match self.connection.state {
            State::Disconnected => self.session.stop(),
            // CONNECT has not left, whatever the server says.
            _ if self.connection.transmit.taken() == 0 => {
                self.connection.abort(DisconnectCause::Store);
            }
            state => {
                if state.is_open() {
                    let reason = ReasonCode::UNSPECIFIED_ERROR;
                    self.send(now, &Packet::Disconnect(Disconnect::new(reason)));
                }
                self.connection.finish(DisconnectCause::Store);
            }
        }
    }

    /// Whether what is encoded may leave: a CONNECT that may end a session, and everything in a new session, wait for the
    /// record of that.
    pub(crate) fn may_transmit(&self) -> bool {
        self.session.journal.is_durable(self.connection.gate)
    }

    /// Sends the acknowledgements whose records are durable, in the order of these.
    pub(super) fn send_recorded(&mut self, now: Instant) {
        while let Some((number, entry)) = self.session.journal.front() {
            let connected = self.connection.state == State::Connected;
            if connected && !self.connection.has_answer_room() {
                return;
            }
            if let Some((packet, id)) = self.session.permitted(number, entry) {
                self.send_permitted(now, packet, id);
            }
            self.session.journal.pop();
        }
    }

    fn send_permitted(&mut self, now: Instant, packet: PacketType, id: PacketId) {
        if self.connection.state != State::Connected {
            return;
        }
        let acknowledgement = Acknowledgement::new(id, ReasonCode::SUCCESS);
        let packet = match packet {
            PacketType::Pubrel => {
                self.session.sender.note_released(id);
                Packet::Pubrel(acknowledgement)
            }
            PacketType::Pubrec => Packet::Pubrec(acknowledgement),
            _ => Packet::Pubcomp(acknowledgement),
        };
        self.answer(now, &packet);
    }

    /// Handles PUBREL where its PUBCOMP waits for a record.
    pub(super) fn record_finish(&mut self, id: PacketId) -> Option<ReasonCode> {
        match self.session.receiver.begin_release(id) {
            Release::Unknown => Some(ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
            Release::Recording => None,
            Release::Record => {
                let record = self.session.record(Entry::Finished { id });
                self.session.receiver.await_record(id, record);
                None
            }
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.session.records()
    }

    pub(crate) fn restore<'a>(
        &mut self,
        now: Instant,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<(), Refused> {
        self.tick(now);
        if self.connection.state != State::Disconnected {
            return Err(Refused::AlreadyConnected);
        }
        if self.cause_is_pending() {
            return Err(Refused::EventsPending);
        }
        if self.session.is_in_use() {
            return Err(Refused::SessionInUse);
        }
        let mut restoring = Restoring::new(self.config.write_ahead, &self.session);
        for record in records {
            restoring.apply(record)?;
        }
        self.session = restoring.finish(self.config.session_loss)?;
        self.stopped = false;
        Ok(())
    }
}
