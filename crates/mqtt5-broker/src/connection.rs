//! What ends with a network connection.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use mqtt5_proto::packet::{Delivery as Envelope, Packet, Publish};
use mqtt5_proto::{
    Decoding, Instant, PacketId, Properties, Property, PropertyBuffer, ProtocolVersion, QoS, Role,
};

use crate::aliases::{Alias, TopicAliases};
use crate::machine::Action;
use crate::message::{Content, SHARED_FROM};
use crate::outgoing::Outgoing;
use crate::statistics::Statistics;
use crate::trie::SessionSlot;

pub(crate) const VERSION: ProtocolVersion = ProtocolVersion::V5;
pub(crate) const DECODING: Decoding = Decoding::new(Role::Client);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// CONNECT has not been received.
    Waiting,
    /// CONNECT waits for the end of its enhanced authentication.
    Authenticating,
    /// It belongs to a session.
    Live(SessionSlot),
    /// Nothing is read any more; what is left to write leaves, then it is closed.
    Closing,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) phase: Phase,
    /// The beginning of a packet that has not arrived as a whole.
    pub(crate) partial: Vec<u8>,
    pub(crate) outgoing: Outgoing,
    /// Bytes that were taken to be written and not yet reported as sent.
    pub(crate) in_hand: usize,
    /// Whether [`Action::Write`] has been queued since the last time that bytes were taken.
    pub(crate) is_announced: bool,
    /// Whether more waits to be written than [`Outputs::congestion`] allows.
    is_congested: bool,
    pub(crate) last_received: Instant,
    pub(crate) deadline: Option<Instant>,
    /// The longest silence: one and a half times the Keep Alive.
    pub(crate) patience: Option<Duration>,
    pub(crate) limits: ClientLimits,
    /// Topic Names by Topic Alias less one. They are not carried to another connection [MQTT-3.3.2-7].
    pub(crate) aliases: Vec<Option<Box<str>>>,
    /// The Topic Aliases of what is sent.
    pub(crate) topic_aliases: TopicAliases,
    /// Its enhanced authentication, when CONNECT named a method.
    pub(crate) authentication: Option<Box<Authentication>>,
    /// Exchanges of earlier connections whose PUBLISH is still to be sent again.
    pub(crate) resend: VecDeque<PacketId>,
    /// QoS 2 messages from earlier connections that were not released when this one began.
    pub(crate) inherited: usize,
}

/// The enhanced authentication of a connection (4.12).
pub(crate) struct Authentication {
    pub(crate) method: Box<str>,
    pub(crate) client_id: Arc<str>,
    /// How many steps the client has taken in the authentication that is under way.
    pub(crate) round: Option<u32>,
    /// The CONNECT that waits for its end; empty when the connection was accepted.
    pub(crate) connect: Vec<u8>,
}

impl fmt::Debug for Authentication {
    /// Leaves CONNECT out, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("method", &self.method)
            .field("client_id", &self.client_id)
            .field("round", &self.round)
            .finish_non_exhaustive()
    }
}

/// What the client said in CONNECT about what it accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    pub(crate) receive_maximum: usize,
    pub(crate) maximum_packet_size: usize,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) wants_problem_information: bool,
    /// The Session Expiry Interval that it asked for, in seconds.
    pub(crate) session_expiry: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            receive_maximum: usize::from(u16::MAX),
            maximum_packet_size: usize::MAX,
            topic_alias_maximum: 0,
            wants_problem_information: true,
            session_expiry: 0,
        }
    }
}

impl ClientLimits {
    pub(crate) fn new(properties: Properties<'_>) -> Self {
        let default = Self::default();
        Self {
            receive_maximum: properties
                .receive_maximum()
                .map_or(default.receive_maximum, usize::from),
            maximum_packet_size: properties
                .maximum_packet_size()
                .map_or(default.maximum_packet_size, |size| size as usize),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or_default(),
            wants_problem_information: properties.request_problem_information().unwrap_or(true),
            session_expiry: properties.session_expiry_interval().unwrap_or_default(),
        }
    }
}

impl Connection {
    pub(crate) fn new(now: Instant, number: u64) -> Self {
        Self {
            number,
            phase: Phase::Waiting,
            partial: Vec::new(),
            outgoing: Outgoing::new(number),
            in_hand: 0,
            is_announced: false,
            is_congested: false,
            last_received: now,
            deadline: None,
            patience: None,
            limits: ClientLimits::default(),
            aliases: Vec::new(),
            topic_aliases: TopicAliases::default(),
            authentication: None,
            resend: VecDeque::new(),
            inherited: 0,
        }
    }

    /// Bytes that the client has not been sent.
    pub(crate) fn unsent(&self) -> usize {
        self.in_hand + self.outgoing.remaining()
    }
}

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
    pub(crate) fn write(&mut self, connection: &mut Connection, packet: &Packet<'_>) -> bool {
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
            _ => self.write(connection, &Packet::Publish(publish)),
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
