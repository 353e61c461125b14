//! From packets to bytes for a connection.

use std::collections::VecDeque;

use bytes::Buf;
use mqtt5_proto::Properties;
use mqtt5_proto::packet::{Delivery as Envelope, Packet, Publish};
use mqtt5_proto::{Instant, PacketId, PacketType, Property, PropertyBuffer, QoS};

use crate::aliases::Alias;
use crate::connection::{Connection, Phase, VERSION};
use crate::faults::{Ending, Faults, LatePacket, Mishap, On};
use crate::machine::Action;
use crate::message::{Content, SHARED_FROM};
use crate::outgoing::Outgoing;
use crate::statistics::Statistics;

/// What the machine gives to its driver, and what writing needs.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) actions: VecDeque<Action>,
    pub(crate) statistics: Statistics,
    /// How many unsent bytes make a client congested, and how many clients are.
    congestion: usize,
    congested: usize,
    /// Memory of buffers that have been written.
    spare: Vec<Vec<u8>>,
    /// Properties of the packet being written.
    properties: PropertyBuffer,
    /// What goes wrong on purpose, when something does.
    pub(crate) faults: Option<Box<Faults>>,
}

/// What differs between the receivers of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    pub(crate) envelope: Envelope,
    pub(crate) retain: bool,
    pub(crate) identifiers: &'a [u32],
}

impl Outputs {
    pub(crate) fn new(congestion: usize) -> Self {
        Self {
            congestion,
            ..Self::default()
        }
    }

    /// Whether some client is congested.
    pub(crate) const fn is_congested(&self) -> bool {
        self.congested > 0
    }

    /// Looks again after bytes have left; a client whose connection ends is not congested.
    pub(crate) fn relieve(&mut self, connection: &mut Connection) {
        let is_ending = connection.phase == Phase::Closing;
        if connection.is_congested && (is_ending || connection.unsent() <= self.congestion / 2) {
            connection.is_congested = false;
            self.congested -= 1;
        }
    }

    /// Writes a packet; false if it is larger than the client accepts [MQTT-3.1.2-24].
    pub(crate) fn write(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        packet: &Packet<'_>,
    ) -> bool {
        if self.faults.is_none() {
            return self.encode(connection, packet);
        }
        let kind = packet.packet_type();
        let id = match packet {
            Packet::Pubrel(ack) => Some(ack.packet_id),
            _ => None,
        };
        self.send(now, connection, kind, id, |outputs, connection| {
            outputs.encode(connection, packet)
        })
    }

    /// Writes a message with what is left of its Message Expiry Interval [MQTT-3.3.2-6].
    ///
    /// False if it is larger than the client accepts; it is then as good as sent [MQTT-3.1.2-25].
    pub(crate) fn publish(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        content: Content<'_>,
        address: Address<'_>,
    ) -> bool {
        if self.faults.is_none() {
            return self.publish_now(now, connection, content, address);
        }
        let id = address.envelope.packet_id();
        let kind = PacketType::Publish;
        self.send(now, connection, kind, id, |outputs, connection| {
            outputs.publish_now(now, connection, content, address)
        })
    }

    /// Writes a packet, unless a rule has something else to happen. `id` is that of an exchange in which it can be
    /// repeated.
    fn send(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        kind: PacketType,
        id: Option<PacketId>,
        write: impl FnOnce(&mut Self, &mut Connection) -> bool,
    ) -> bool {
        let Some(faults) = &mut self.faults else {
            return write(self, connection);
        };
        if connection.is_mute {
            return true;
        }
        let number = connection.number;
        let client = connection.client_id.as_deref();
        let can_repeat = kind != PacketType::Publish || id.is_some();
        let mishap = faults.strike(On::Sent(kind), client, can_repeat);
        let held_until = faults.held_until(number, kind);
        self.statistics.faults += u64::from(mishap.is_some());
        let ending = match (mishap, held_until) {
            (None, None) => return write(self, connection),
            (Some(Mishap::Delay(delay)), _) => {
                let due = held_until.map_or(now + delay, |due| due.max(now + delay));
                return self.hold(connection, kind, due, write);
            }
            (None | Some(Mishap::Repeat(_)), Some(due)) => {
                return self.hold(connection, kind, due, write);
            }
            (Some(Mishap::Repeat(delay)), None) => {
                return self.repeat(connection, kind, id, now + delay, write);
            }
            (Some(Mishap::Drop), _) => {
                connection.is_mute = kind == PacketType::Connack;
                connection.is_ungreeted = connection.is_mute;
                return true;
            }
            (Some(Mishap::CutAfter), None) => {
                write(self, connection);
                Ending::Close
            }
            // What is late is lost, and what would wait for it, too.
            (Some(Mishap::Cut | Mishap::CutAfter), _) => Ending::Close,
            (Some(Mishap::Refuse(farewell)), _) => Ending::Refuse(farewell),
            (Some(Mishap::LoseSession), _) => Ending::LoseSession,
        };
        connection.is_mute = true;
        connection.is_ungreeted |= kind == PacketType::Connack;
        if let Some(faults) = &mut self.faults {
            faults.endings.push_back((number, ending));
        }
        true
    }

    /// Writes a packet that is sent later.
    fn hold(
        &mut self,
        connection: &mut Connection,
        kind: PacketType,
        due: Instant,
        write: impl FnOnce(&mut Self, &mut Connection) -> bool,
    ) -> bool {
        let number = connection.number;
        let ready = std::mem::replace(&mut connection.outgoing, Outgoing::new(number));
        let is_announced = std::mem::replace(&mut connection.is_announced, true);
        let is_written = write(self, connection);
        let held = std::mem::replace(&mut connection.outgoing, ready);
        connection.is_announced = is_announced;
        connection.delayed += held.remaining();
        if let Some(faults) = self.faults.as_mut().filter(|_| is_written) {
            faults.send_later(due, number, LatePacket::Delayed(kind, held));
        }
        is_written
    }

    /// Writes a packet that is sent once more later.
    fn repeat(
        &mut self,
        connection: &mut Connection,
        kind: PacketType,
        id: Option<PacketId>,
        due: Instant,
        write: impl FnOnce(&mut Self, &mut Connection) -> bool,
    ) -> bool {
        let start = connection.outgoing.bytes_mut().len();
        let is_written = write(self, connection);
        let packet = match (kind, id) {
            (PacketType::Publish, Some(id)) => LatePacket::RepeatedPublish(id),
            (PacketType::Pubrel, Some(id)) => LatePacket::RepeatedPubrel(id),
            _ => LatePacket::Repeated(connection.outgoing.bytes_mut()[start..].to_vec()),
        };
        if let Some(faults) = self.faults.as_mut().filter(|_| is_written) {
            faults.send_later(due, connection.number, packet);
        }
        is_written
    }

    /// Writes what was delayed.
    pub(crate) fn release(&mut self, connection: &mut Connection, held: Outgoing) {
        connection.delayed = connection.delayed.saturating_sub(held.remaining());
        self.append(connection, |buffer, _| {
            buffer.append(held);
            true
        });
    }

    /// Writes bytes once more.
    pub(crate) fn write_again(&mut self, connection: &mut Connection, bytes: &[u8]) {
        self.append(connection, |buffer, _| {
            buffer.bytes_mut().extend_from_slice(bytes);
            true
        });
    }

    /// Writes a packet whatever the rules say.
    pub(crate) fn encode(&mut self, connection: &mut Connection, packet: &Packet<'_>) -> bool {
        self.append(connection, |buffer, limit| {
            let start = buffer.bytes_mut().len();
            packet.encode_to_vec(VERSION, buffer.bytes_mut()).ok();
            let fits = (1..=limit).contains(&(buffer.bytes_mut().len() - start));
            if !fits {
                buffer.bytes_mut().truncate(start);
            }
            fits
        })
    }

    /// Writes a message whatever the rules say.
    pub(crate) fn publish_now(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        content: Content<'_>,
        address: Address<'_>,
    ) -> bool {
        let topic = content.topic.as_str();
        let alias = connection.topic_aliases.choose(topic);
        let mut is_written = self.write_publish(now, connection, content, address, alias);
        match alias {
            Some(alias) if is_written => connection.topic_aliases.note(alias, topic),
            // With an alias to learn it may be too large, without one it may not.
            Some(alias) if !alias.is_known => {
                is_written = self.write_publish(now, connection, content, address, None);
            }
            _ => {}
        }
        if is_written {
            self.statistics.messages_sent += 1;
        } else {
            self.statistics.messages_dropped += 1;
        }
        is_written
    }

    fn write_publish(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        content: Content<'_>,
        address: Address<'_>,
        alias: Option<Alias>,
    ) -> bool {
        let mut properties = std::mem::take(&mut self.properties);
        let expiry = content.expires.map(|expires| seconds_left(now, expires));
        let number = alias.map(|alias| alias.number);
        let view = if expiry.is_none() && number.is_none() && address.identifiers.is_empty() {
            content.properties
        } else {
            compose(
                &mut properties,
                content.properties,
                [
                    expiry.map(Property::MessageExpiryInterval),
                    number.map(Property::TopicAlias),
                ],
                address.identifiers,
            );
            properties.as_properties()
        };
        let is_known = alias.is_some_and(|alias| alias.is_known);
        let publish = Publish {
            delivery: address.envelope,
            retain: address.retain,
            topic: (!is_known).then_some(content.topic),
            properties: view,
            payload: content.payload,
        };
        let is_written = match content.shared {
            Some(shared) if shared.len() >= SHARED_FROM => self
                .append(connection, |buffer, limit| {
                    append_shared(buffer, limit, publish, shared)
                }),
            _ => self.encode(connection, &Packet::Publish(publish)),
        };
        self.properties = properties;
        is_written
    }

    fn append(
        &mut self,
        connection: &mut Connection,
        append: impl FnOnce(&mut Outgoing, usize) -> bool,
    ) -> bool {
        if connection.outgoing.is_unallocated() {
            *connection.outgoing.bytes_mut() = self.spare.pop().unwrap_or_default();
        }
        let is_written = append(
            &mut connection.outgoing,
            connection.limits.maximum_packet_size,
        );
        if is_written && !connection.is_announced {
            connection.is_announced = true;
            self.actions.push_back(Action::Write(connection.number));
        }
        let is_congested = connection.unsent() > self.congestion;
        if is_congested && !connection.is_congested && connection.phase != Phase::Closing {
            connection.is_congested = true;
            self.congested += 1;
        }
        is_written
    }

    /// Keeps the memory of a written buffer for the next one.
    pub(crate) fn recycle(&mut self, memory: Vec<u8>) {
        let is_of_use = (1..=SPARE_CAPACITY).contains(&memory.capacity());
        if is_of_use && self.spare.len() < SPARE_BUFFERS {
            self.spare.push(memory);
        }
    }
}

/// Adds what the broker has to say about a message to what its publisher said.
fn compose(
    buffer: &mut PropertyBuffer,
    forwarded: Properties<'_>,
    added: [Option<Property<'_>>; 2],
    identifiers: &[u32],
) {
    if forwarded.is_empty() {
        buffer.clear();
    } else {
        *buffer = PropertyBuffer::from(forwarded);
    }
    let identifiers = identifiers
        .iter()
        .copied()
        .map(Property::SubscriptionIdentifier);
    for property in added.into_iter().flatten().chain(identifiers) {
        buffer
            .push(property)
            .expect("all are in range: they were received, or chosen so");
    }
}

/// Seconds until `expires`, begun ones as whole ones.
fn seconds_left(now: Instant, expires: Instant) -> u32 {
    let left = expires.saturating_duration_since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    // A message that is sent again after it expired is still delivered [MQTT-4.3.3-7].
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

/// Writes everything up to the payload and attaches the payload itself.
fn append_shared(
    buffer: &mut Outgoing,
    limit: usize,
    publish: Publish<'_>,
    payload: &bytes::Bytes,
) -> bool {
    let start = buffer.bytes_mut().len();
    let length = publish.encode_head(VERSION, buffer.bytes_mut());
    let fits = length.is_ok_and(|length| length <= limit);
    if fits {
        buffer.push_shared(payload.clone());
    } else {
        buffer.bytes_mut().truncate(start);
    }
    fits
}

/// The envelope of a message with this QoS.
pub(crate) fn envelope(qos: QoS, id: PacketId, dup: bool) -> Envelope {
    match qos {
        QoS::AtMostOnce => Envelope::AtMostOnce,
        QoS::AtLeastOnce => Envelope::AtLeastOnce { id, dup },
        QoS::ExactlyOnce => Envelope::ExactlyOnce { id, dup },
    }
}

/// How many buffers are kept for the next connection that writes, and how large they may be.
const SPARE_BUFFERS: usize = 32;
const SPARE_CAPACITY: usize = 512 << 10;
