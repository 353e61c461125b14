//! The tier of fixed capacity: no allocator, everything inside the machine.

use core::marker::PhantomData;
use core::str;

use heapless::{Deque, Vec};

use super::sealed::Sealed;
use super::{Alias, Arrived, Body, Queue, Receive, Storage, Table, Transmit, set_message_expiry};
use crate::client::Outbound;
use crate::packet::{Delivery, Publish, PublishLayout};
use crate::qos::{Exchange, Held};
use crate::session::{Entry, Kept, Pending, Request, Unsent};
use crate::{
    Decoding, EncodeError, FixedHeader, Packet, PacketId, Properties, ProtocolVersion, TopicName,
};

/// Bytes of the transmit buffer that no PUBLISH, SUBSCRIBE or UNSUBSCRIBE may take, so that acknowledgements, PINGREQ
/// and DISCONNECT always have room.
const RESERVE: usize = 32;

/// Storage of fixed capacity.
///
/// * `RX`, `TX`: bytes of the receive and of the transmit buffer. A packet must fit the buffer as a whole.
/// * `BODY`: bytes of topic, properties and payload of a QoS 1 or 2 publish, or of one that waits.
/// * `OUT`: publishes that are kept: in flight, or waiting.
/// * `IN`: received QoS 1 and 2 publishes that are not finished; the Receive Maximum may be no larger.
/// * `ALIASES`: Topic Aliases in each direction, for topics of at most `BODY` bytes.
/// * `RECORDS`: records that are not durable yet.
#[derive(Debug)]
pub(crate) enum Fixed<
    const RX: usize,
    const TX: usize,
    const BODY: usize,
    const OUT: usize,
    const IN: usize,
    const ALIASES: usize,
    const RECORDS: usize,
> {}

impl<
    const RX: usize,
    const TX: usize,
    const BODY: usize,
    const OUT: usize,
    const IN: usize,
    const ALIASES: usize,
    const RECORDS: usize,
> Sealed for Fixed<RX, TX, BODY, OUT, IN, ALIASES, RECORDS>
{
}

impl<
    const RX: usize,
    const TX: usize,
    const BODY: usize,
    const OUT: usize,
    const IN: usize,
    const ALIASES: usize,
    const RECORDS: usize,
> Storage for Fixed<RX, TX, BODY, OUT, IN, ALIASES, RECORDS>
{
    type Body = FixedBody<BODY>;
    type Exchanges = FixedTable<Exchange<Kept<FixedBody<BODY>>>, OUT>;
    type Inbound = FixedTable<Held, IN>;
    type Answers = FixedQueue<Unsent, IN>;
    type Requests = FixedTable<Request, 4>;
    type Doubted = FixedTable<(), OUT>;
    type Pending = FixedQueue<Pending<FixedBody<BODY>>, OUT>;
    type Journal = FixedQueue<Entry, RECORDS>;
    type Transmit = FixedTransmit<TX, BODY, ALIASES>;
    type Receive = FixedReceive<RX, BODY, ALIASES>;
}

/// A table of at most `N` entries; looks through them one by one.
#[derive(Debug)]
pub struct FixedTable<T, const N: usize>(Vec<(PacketId, T), N>);

impl<T, const N: usize> Default for FixedTable<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const N: usize> Sealed for FixedTable<T, N> {}

impl<T, const N: usize> FixedTable<T, N> {
    fn position(&self, id: PacketId) -> Option<usize> {
        self.0.iter().position(|(key, _)| *key == id)
    }
}

impl<T, const N: usize> Table<T> for FixedTable<T, N> {
    fn get(&self, id: PacketId) -> Option<&T> {
        self.0.get(self.position(id)?).map(|(_, entry)| entry)
    }

    fn get_mut(&mut self, id: PacketId) -> Option<&mut T> {
        let at = self.position(id)?;
        self.0.get_mut(at).map(|(_, entry)| entry)
    }

    fn insert(&mut self, id: PacketId, entry: T) -> Result<(), T> {
        if self.position(id).is_some() {
            return Err(entry);
        }
        self.0.push((id, entry)).map_err(|(_, entry)| entry)
    }

    fn remove(&mut self, id: PacketId) -> Option<T> {
        let at = self.position(id)?;
        let (_, entry) = self.0.remove(at);
        Some(entry)
    }

    fn front(&self) -> Option<(PacketId, &T)> {
        self.0.first().map(|(id, entry)| (*id, entry))
    }

    fn following(&self, id: PacketId) -> Option<PacketId> {
        let (id, _) = self.0.get(self.position(id)?.saturating_add(1))?;
        Some(*id)
    }

    fn move_to_back(&mut self, id: PacketId) {
        if let Some(rest) = self.position(id).and_then(|at| self.0.get_mut(at..)) {
            rest.rotate_left(1);
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        N
    }
}

/// A queue of at most `N` items.
#[derive(Debug)]
pub(crate) struct FixedQueue<T, const N: usize>(Deque<T, N>);

impl<T, const N: usize> Default for FixedQueue<T, N> {
    fn default() -> Self {
        Self(Deque::new())
    }
}

impl<T, const N: usize> Sealed for FixedQueue<T, N> {}

impl<T, const N: usize> Queue<T> for FixedQueue<T, N> {
    fn push_back(&mut self, item: T) -> Result<(), T> {
        self.0.push_back(item)
    }

    fn front(&self) -> Option<&T> {
        self.0.front()
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.get_mut(index)
    }

    fn pop_front(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn any(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.0.iter().any(matches)
    }

    fn iter<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a,
    {
        self.0.iter()
    }

    fn remove_from(&mut self, start: usize, matches: impl Fn(&T) -> bool) -> Option<(usize, T)> {
        let mut removed = None;
        for place in 0..self.0.len() {
            let item = self.0.pop_front()?;
            if removed.is_none() && place >= start && matches(&item) {
                removed = Some((place, item));
            } else {
                // There is room: an item was taken out just before.
                let _ = self.0.push_back(item);
            }
        }
        removed
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        N
    }
}

/// Topic, properties and payload of a publish in at most `N` bytes.
#[derive(Debug)]
pub(crate) struct FixedBody<const N: usize> {
    block: Vec<u8, N>,
    topic_len: usize,
    properties_end: usize,
    properties_present: u64,
    retain: bool,
}

impl<const N: usize> Sealed for FixedBody<N> {}

impl<const N: usize> Body for FixedBody<N> {
    const CAPACITY: usize = N;

    fn retain(publish: &Outbound<'_>) -> Option<Self> {
        let mut block = Vec::new();
        let topic = publish.topic.as_str().as_bytes();
        block.extend_from_slice(topic).ok()?;
        let properties_end = topic.len().checked_add(publish.properties.content_len())?;
        block.resize(properties_end, 0).ok()?;
        publish
            .properties
            .write_content(block.get_mut(topic.len()..)?);
        block.extend_from_slice(publish.payload.as_slice()).ok()?;
        Some(Self {
            block,
            topic_len: topic.len(),
            properties_end,
            properties_present: publish.properties.present(),
            retain: publish.retain,
        })
    }

    fn set_message_expiry(&mut self, seconds: u32) {
        let range = self.topic_len..self.properties_end;
        set_message_expiry(self.block.get_mut(range), self.properties_present, seconds);
    }

    fn publish(&self, delivery: Delivery) -> Publish<'_> {
        let (head, payload) = self
            .block
            .split_at_checked(self.properties_end)
            .unwrap_or_default();
        let (topic, properties) = head.split_at_checked(self.topic_len).unwrap_or_default();
        Publish {
            delivery,
            retain: self.retain,
            topic: str::from_utf8(topic).ok().map(TopicName::from_validated),
            properties: Properties::from_validated(properties, self.properties_present),
            payload,
        }
    }

    fn occupied(&self) -> usize {
        self.block.len()
    }
}

/// A transmit buffer of `N` bytes for publishes of at most `BODY` bytes.
#[derive(Debug)]
pub(crate) struct FixedTransmit<const N: usize, const BODY: usize, const ALIASES: usize> {
    bytes: Vec<u8, N>,
    sent: usize,
    /// How many of `bytes` the driver has seen.
    seen: usize,
    encoded: u64,
    /// Bytes that were encoded and will never be seen.
    dropped: u64,
    /// The topics that have an alias, 1 first, the least recently used one by its age.
    aliases: Vec<(Vec<u8, BODY>, u64), ALIASES>,
    alias_uses: u64,
    body: PhantomData<FixedBody<BODY>>,
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Default
    for FixedTransmit<N, BODY, ALIASES>
{
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            seen: 0,
            encoded: 0,
            dropped: 0,
            aliases: Vec::new(),
            alias_uses: 0,
            body: PhantomData,
        }
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> FixedTransmit<N, BODY, ALIASES> {
    /// Moves what is not yet sent to the front.
    fn compact(&mut self) {
        let rest = self.bytes.len().saturating_sub(self.sent);
        self.bytes.copy_within(self.sent.., 0);
        self.bytes.truncate(rest);
        self.seen = self.seen.saturating_sub(self.sent);
        self.sent = 0;
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Sealed
    for FixedTransmit<N, BODY, ALIASES>
{
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Transmit
    for FixedTransmit<N, BODY, ALIASES>
{
    type Body = FixedBody<BODY>;

    fn unsent(&self) -> usize {
        self.bytes.len().saturating_sub(self.sent)
    }

    fn capacity(&self) -> usize {
        N.saturating_sub(RESERVE)
    }

    fn room(&self) -> usize {
        N.saturating_sub(self.unsent())
    }

    fn may_publish(&self, length: usize) -> bool {
        length <= self.room().saturating_sub(RESERVE)
    }

    fn push(
        &mut self,
        packet: &Packet<'_>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let needed = packet.encoded_len(version)?;
        if self.sent > 0 {
            self.compact();
        }
        let start = self.bytes.len();
        if self.bytes.resize(start.saturating_add(needed), 0).is_err() {
            return Err(EncodeError::BufferTooSmall { needed });
        }
        self.encoded = self.encoded.saturating_add(needed as u64);
        packet.encode(version, self.bytes.get_mut(start..).unwrap_or_default())
    }

    fn push_outbound(
        &mut self,
        outbound: &Outbound<'_>,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let publish = Alias::apply(alias, outbound.publish(delivery));
        self.push(&Packet::Publish(publish), version)
    }

    fn push_body(
        &mut self,
        body: &FixedBody<BODY>,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError> {
        let publish = Alias::apply(alias, body.publish(delivery));
        self.push(&Packet::Publish(publish), version)
    }

    fn alias(&mut self, topic: &str, maximum: u16) -> Option<Alias> {
        let topic = Vec::from_slice(topic.as_bytes()).ok()?;
        self.alias_uses = self.alias_uses.saturating_add(1);
        let uses = self.alias_uses;
        let known = self.aliases.iter().position(|(known, _)| *known == topic);
        let free = self.aliases.len() < usize::from(maximum).min(ALIASES);
        let index = match known {
            Some(index) => index,
            None if free => {
                self.aliases.push((topic.clone(), uses)).ok()?;
                self.aliases.len().saturating_sub(1)
            }
            None => {
                let oldest = self
                    .aliases
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, (_, used))| *used);
                oldest.map(|(index, _)| index)?
            }
        };
        *self.aliases.get_mut(index)? = (topic, uses);
        Some(Alias {
            number: u16::try_from(index.saturating_add(1)).ok()?,
            known: known.is_some(),
        })
    }

    fn encoded(&self) -> u64 {
        self.encoded
    }

    fn taken(&self) -> u64 {
        let unseen = self.bytes.len().saturating_sub(self.seen);
        self.encoded
            .saturating_sub(self.dropped)
            .saturating_sub(unseen as u64)
    }

    fn first(&mut self) -> &[u8] {
        self.seen = self.bytes.len();
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) -> usize {
        let count = count.min(self.unsent());
        self.sent = self.sent.saturating_add(count);
        count
    }

    fn clear(&mut self) {
        let unseen = self.bytes.len().saturating_sub(self.seen);
        self.dropped = self.dropped.saturating_add(unseen as u64);
        self.bytes.clear();
        self.sent = 0;
        self.seen = 0;
    }

    fn reset(&mut self) {
        self.clear();
        self.encoded = 0;
        self.dropped = 0;
        self.aliases.clear();
    }
}

/// A receive buffer of `N` bytes.
#[derive(Debug)]
pub(crate) struct FixedReceive<const N: usize, const BODY: usize, const ALIASES: usize> {
    bytes: [u8; N],
    filled: usize,
    /// Where the current packet is.
    start: usize,
    end: usize,
    /// The topics of the Topic Aliases, 1 first; empty is not mapped.
    aliases: [Vec<u8, BODY>; ALIASES],
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Default
    for FixedReceive<N, BODY, ALIASES>
{
    fn default() -> Self {
        Self {
            bytes: [0; N],
            filled: 0,
            start: 0,
            end: 0,
            aliases: [const { Vec::new() }; ALIASES],
        }
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Sealed
    for FixedReceive<N, BODY, ALIASES>
{
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> FixedReceive<N, BODY, ALIASES> {
    fn alias_topic(&self, alias: u16) -> Option<&[u8]> {
        let index = usize::from(alias).checked_sub(1)?;
        let topic = self.aliases.get(index)?;
        (!topic.is_empty()).then_some(topic)
    }
}

impl<const N: usize, const BODY: usize, const ALIASES: usize> Receive
    for FixedReceive<N, BODY, ALIASES>
{
    type Message<'a> = Publish<'a>;

    fn capacity(&self) -> usize {
        N
    }

    fn space(&mut self) -> &mut [u8] {
        if self.end > 0 {
            self.bytes.copy_within(self.end..self.filled, 0);
            self.filled = self.filled.saturating_sub(self.end);
            self.start = 0;
            self.end = 0;
        }
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    fn filled(&mut self, count: usize) -> usize {
        let count = count.min(N.saturating_sub(self.filled));
        self.filled = self.filled.saturating_add(count);
        count
    }

    fn next_frame(&mut self, decoding: &Decoding, limit: usize) -> Arrived {
        let rest = self.bytes.get(self.end..self.filled).unwrap_or_default();
        match FixedHeader::parse(rest, decoding) {
            Err(error) => Arrived::Malformed(error),
            Ok(Some(header)) if header.total_len() > limit.min(N) => {
                Arrived::TooLarge(header.total_len())
            }
            Ok(Some(header)) if header.total_len() <= rest.len() => {
                self.start = self.end;
                self.end = self.end.saturating_add(header.total_len());
                Arrived::Frame(header)
            }
            Ok(header) => Arrived::Partial(
                (!rest.is_empty()).then(|| header.map_or(0, |header| header.total_len())),
            ),
        }
    }

    fn frame(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn alias_capacity(&self) -> usize {
        ALIASES
    }

    fn learn_alias(&mut self, layout: &PublishLayout) -> bool {
        let frame = self.bytes.get(self.start..self.end).unwrap_or_default();
        let topic = Vec::from_slice(layout.topic(frame));
        let index = usize::from(layout.topic_alias).checked_sub(1);
        match (topic, index.and_then(|index| self.aliases.get_mut(index))) {
            (Ok(topic), Some(known)) => {
                *known = topic;
                true
            }
            _ => false,
        }
    }

    fn knows_alias(&self, alias: u16) -> bool {
        self.alias_topic(alias).is_some()
    }

    fn message(&self, layout: &PublishLayout) -> Publish<'_> {
        let alias = (layout.topic_len == 0).then(|| self.alias_topic(layout.topic_alias));
        layout.publish(self.frame(), alias.flatten())
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.aliases.iter_mut().for_each(Vec::clear);
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_keeps_its_order_when_one_in_the_middle_leaves() {
        let mut queue = FixedQueue::<u8, 4>::default();
        for item in 1..=4 {
            queue.push_back(item).unwrap();
        }
        assert_eq!(queue.push_back(5), Err(5));
        assert_eq!(queue.remove_first(|item| *item == 2), Some(2));
        assert_eq!(queue.remove_first(|item| *item == 9), None);
        assert_eq!(queue.remove_from(1, |item| *item == 1), None);
        assert!(queue.iter().eq(&[1, 3, 4]));
        assert_eq!(
            [
                queue.pop_front(),
                queue.pop_front(),
                queue.pop_front(),
                queue.pop_front()
            ],
            [Some(1), Some(3), Some(4), None]
        );
    }
}
