//! The Packet Identifiers of a session that was taken over from a process of which nothing is known.

use super::{Entry, Session};
use crate::storage::{Storage, Table};
use crate::{PacketId, PacketType};

/// So many PUBRELs may be unanswered: one bit of `answered` for each.
const WINDOW: u16 = 128;
/// While one PUBREL and its PUBCOMP are under way, clearing asks for no identifier further above `clear`.
const NEAR: u16 = 2 * WINDOW;
/// Requests have the identifiers above this one, to which clearing hardly ever comes.
const HALF: u16 = u16::MAX / 2;
/// So many are cleared beyond those that are needed, so that an identifier rests before it is used again.
const SPARE: usize = 16;

/// Which identifiers are clear. The server may hold each for a QoS 2 message of which it never got the PUBREL, and would
/// take another message under it for a repetition [MQTT-4.3.3-10]. What it holds ends with PUBREL, once PUBCOMP was sent
/// [MQTT-4.3.3-12]. A range from 1 on is cleared, as large as publishes need at the same time, and used round and round.
#[derive(Debug)]
pub(crate) struct Clearing {
    /// Up to this one all are clear.
    clear: u16,
    /// Up to this one they are clear by a durable record.
    usable: u16,
    /// Up to this one PUBREL was sent on the current connection.
    asked: u16,
    /// Up to this one they are needed.
    wanted: u16,
    /// Bit n: PUBCOMP has arrived for the identifier n + 1 above `clear`.
    answered: u128,
    /// The record of `clear`.
    record: u64,
    /// The last one that a publish took.
    last_publish: u16,
    /// The last one that a request took.
    last_request: u16,
}

impl Clearing {
    /// Moves over those that were answered: whether there was one.
    fn advance(&mut self) -> bool {
        let count = self.answered.trailing_ones();
        self.answered = self.answered.checked_shr(count).unwrap_or(0);
        self.clear = self
            .clear
            .saturating_add(u16::try_from(count).unwrap_or(WINDOW));
        count > 0
    }

    /// What was sent on a connection that is lost may never have arrived.
    pub(super) const fn handle_closed(&mut self) {
        self.asked = self.clear;
        self.answered = 0;
    }
}

impl<S: Storage> Session<S> {
    /// Whether something is open that the server has in this session, or the session is known otherwise.
    pub(crate) fn is_known(&self) -> bool {
        let in_doubt = self.doubted.len() > 0;
        self.exists || in_doubt || self.sender.iter().any(|(_, exchange)| exchange.handed)
    }

    /// The server has a session of which nothing is known.
    pub(crate) fn assume(&mut self) {
        let record = self.record(Entry::Assumed { clear: 0 });
        self.clear_from(0, record);
    }

    /// Of an assumed session the identifiers up to this one are clear; exchanges with others were never sent.
    pub(super) fn clear_from(&mut self, clear: u16, record: u64) {
        let mut wanted = clear;
        let mut next = self.sender.front();
        while let Some(id) = next {
            next = self.sender.following(id);
            wanted = wanted.max(id.value());
            if let Some(exchange) = self.sender.get_mut(id).filter(|_| id.value() > clear) {
                exchange.handed = false;
            }
        }
        self.clearing = Some(Clearing {
            clear,
            usable: 0,
            asked: clear,
            wanted,
            answered: 0,
            record,
            last_publish: 0,
            last_request: 0,
        });
    }

    /// A free identifier for a publish: a clear one, or where the publish has it before it is sent, one that will be.
    pub(crate) fn allocate_publish_id(&mut self) -> Option<PacketId> {
        if self.clearing.is_none() {
            return self.allocate_id();
        }
        let taken = self.sender.in_flight().saturating_add(self.doubted.len());
        if self.recording {
            self.want(taken.saturating_add(1));
        }
        let clearing = self.clearing.as_mut()?;
        let last = if self.recording {
            clearing.wanted
        } else {
            clearing.clear
        };
        if taken >= usize::from(last) {
            return None;
        }
        let is_free = |id| {
            self.sender.get(id).is_none()
                && self.doubted.get(id).is_none()
                && self.requests.get(id).is_none()
        };
        let id = go_round(clearing.last_publish, 1, last, is_free)?;
        clearing.last_publish = id.value();
        Some(id)
    }

    /// A free identifier for a request. It need not be clear: a request is no message, and a server that finds its
    /// identifier in use says so (3.9.3). So it need not wait, and takes none that publishes are to have.
    pub(crate) fn allocate_request_id(&mut self) -> Option<PacketId> {
        let Some(clearing) = &mut self.clearing else {
            return self.allocate_id();
        };
        let first = clearing.wanted.max(HALF).checked_add(1);
        let is_free = |id| {
            self.requests.get(id).is_none()
                && self.doubted.get(id).is_none()
                && self.sender.get(id).is_none()
        };
        let beyond =
            first.and_then(|first| go_round(clearing.last_request, first, u16::MAX, is_free));
        let id = beyond.or_else(|| {
            // Publishes need those: one that no PUBCOMP is expected for.
            let settled =
                |id: &PacketId| id.value() > clearing.asked || id.value() <= clearing.clear;
            let mut ids = (1..=u16::MAX).rev().filter_map(PacketId::new);
            ids.find(|id| settled(id) && is_free(*id))
        })?;
        clearing.last_request = id.value();
        Some(id)
    }

    /// So many identifiers are needed.
    fn want(&mut self, count: usize) {
        if let Some(clearing) = &mut self.clearing {
            let count = u16::try_from(count.saturating_add(SPARE)).unwrap_or(u16::MAX);
            clearing.wanted = clearing.wanted.max(count);
        }
    }

    /// The next identifier that PUBREL is to be sent for, where so many publishes may be in flight.
    pub(crate) fn next_to_clear(&mut self, in_flight: u16) -> Option<PacketId> {
        self.note_clear();
        let waiting = self.pending_ids;
        let publishes = self.sender.in_flight().saturating_add(waiting);
        let publishes = publishes.min(usize::from(in_flight));
        // Publishes that are recorded have taken theirs.
        if waiting > 0 && !self.recording {
            self.want(publishes.saturating_add(self.doubted.len()));
        }
        let clearing = self.clearing.as_mut()?;
        let last = clearing.wanted.min(clearing.clear.saturating_add(WINDOW));
        if clearing.asked >= last {
            return None;
        }
        let next = PacketId::new(clearing.asked.checked_add(1)?)?;
        if self.requests.get(next).is_some() {
            return None;
        }
        clearing.asked = next.value();
        Some(next)
    }

    /// Takes note of what has become clear, one record after the other.
    fn note_clear(&mut self) {
        let Some(clearing) = &mut self.clearing else {
            return;
        };
        if !self.journal.is_durable(clearing.record) {
            return;
        }
        clearing.usable = clearing.clear;
        if clearing.clear == u16::MAX {
            self.clearing = None;
        } else if clearing.advance() {
            let clear = clearing.clear;
            let record = self.record(Entry::Assumed { clear });
            if let Some(clearing) = &mut self.clearing {
                clearing.record = record;
            }
        }
    }

    /// Takes note of an acknowledgement, if it is about an identifier that PUBREL was or will be sent for to clear it: whether it
    /// is.
    pub(crate) fn note_cleared(&mut self, packet: PacketType, id: PacketId, refused: bool) -> bool {
        let Some(clearing) = &mut self.clearing else {
            return false;
        };
        let place = id.value().checked_sub(clearing.clear);
        let Some(place) = place.and_then(|above| above.checked_sub(1)) else {
            return false;
        };
        if id.value() > clearing.asked {
            // The PUBREL that clears it is to answer it: a second PUBCOMP would meet the next message. What is further away
            // is answered at once: its PUBCOMP is here before clearing comes to it.
            let soon = packet == PacketType::Pubrec && !refused && place < NEAR;
            if soon {
                clearing.wanted = clearing.wanted.max(id.value());
            }
            return soon;
        }
        if packet == PacketType::Pubcomp {
            let bit = 1_u128.checked_shl(u32::from(place)).unwrap_or(0);
            clearing.answered |= bit;
            self.doubted.remove(id);
        }
        // PUBREC has crossed the PUBREL that it asks for.
        matches!(packet, PacketType::Pubcomp | PacketType::Pubrec)
    }

    /// Whether the server holds nothing under this identifier.
    pub(crate) fn is_clear(&self, id: PacketId) -> bool {
        self.clearing.as_ref().is_none_or(|clearing| {
            let is_durable = self.journal.is_durable(clearing.record);
            id.value() <= clearing.usable || (id.value() <= clearing.clear && is_durable)
        })
    }

    /// What is clear of an assumed session.
    pub(super) fn cleared(&self) -> Option<u16> {
        self.clearing.as_ref().map(|clearing| clearing.clear)
    }
}

/// The next free identifier from `first` to `last` after one of them, or after another.
fn go_round(
    after: u16,
    first: u16,
    last: u16,
    is_free: impl Fn(PacketId) -> bool,
) -> Option<PacketId> {
    let begin = after
        .checked_add(1)
        .filter(|next| *next >= first && *next <= last);
    let begin = begin.unwrap_or(first);
    let mut ids = (begin..=last).chain(first..begin).filter_map(PacketId::new);
    ids.find(|id| is_free(*id))
}
