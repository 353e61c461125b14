//! The seam between the state code and where its state is kept.
//!
//! All state code is written once against the traits here. They are sealed: the two tiers of this crate are their only
//! implementations, growable (feature `alloc`) and of fixed capacity.

pub(crate) mod fixed;
#[cfg(feature = "alloc")]
pub(crate) mod heap;

pub(crate) use fixed::Fixed;
pub use fixed::FixedTable;
#[cfg(feature = "alloc")]
pub use heap::HeapTable;

use core::str;

use crate::client::Outbound;
use crate::packet::{Delivery, Publish, PublishLayout};
use crate::qos::{Exchange, Held};
use crate::session::{Entry, Kept, Pending, Request, Unsent};
use crate::{
    DecodeError, Decoding, EncodeError, FixedHeader, Packet, PacketId, Properties, ProtocolVersion,
    TopicName,
};

pub(crate) mod sealed {
    /// Keeps the traits of this module to this crate.
    pub trait Sealed {}
}

use sealed::Sealed;

/// Everything that one machine keeps.
pub(crate) trait Storage: Sealed + Sized {
    /// What is kept of a publish until it is acknowledged.
    type Body: Body;
    /// Publishes that were encoded and are not finished, by their Packet Identifiers.
    type Exchanges: Table<Exchange<Kept<Self::Body>>>;
    /// Received publishes that are not finished, by their Packet Identifiers.
    type Inbound: Table<Held>;
    /// Acknowledgements that were encoded and may never leave.
    type Answers: Queue<Unsent>;
    /// SUBSCRIBEs and UNSUBSCRIBEs without an answer, by their Packet Identifiers.
    type Requests: Table<Request>;
    /// Packet Identifiers without an exchange that the server may still connect with one.
    type Doubted: Table<()>;
    /// Publishes that wait to be encoded.
    type Pending: Queue<Pending<Self::Body>>;
    /// Records that are not durable yet.
    type Journal: Queue<Entry>;
    /// Bytes to send.
    type Transmit: Transmit<Body = Self::Body>;
    /// Bytes received.
    type Receive: Receive;
}

/// A table by Packet Identifier that keeps the order of insertion.
pub trait Table<T>: Sealed + Default {
    /// The entry of `id`.
    fn get(&self, id: PacketId) -> Option<&T>;
    /// The entry of `id`, to change.
    fn get_mut(&mut self, id: PacketId) -> Option<&mut T>;
    /// Adds an entry at the end.
    ///
    /// # Errors
    ///
    /// Gives the entry back when there is no room or `id` is taken.
    fn insert(&mut self, id: PacketId, entry: T) -> Result<(), T>;
    /// Takes the entry of `id` out.
    fn remove(&mut self, id: PacketId) -> Option<T>;
    /// The oldest entry.
    fn front(&self) -> Option<(PacketId, &T)>;
    /// The identifier of the entry after that of `id`; `None` at the end.
    fn following(&self, id: PacketId) -> Option<PacketId>;
    /// Makes the entry of `id` the newest.
    fn move_to_back(&mut self, id: PacketId);
    /// How many entries there are.
    fn len(&self) -> usize;
    /// How many entries there may be at most.
    fn capacity(&self) -> usize;

    /// Whether there is no entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the oldest entry out.
    fn pop_front(&mut self) -> Option<(PacketId, T)> {
        let (id, _) = self.front()?;
        self.remove(id).map(|entry| (id, entry))
    }
}

/// First in, first out.
pub(crate) trait Queue<T>: Sealed + Default {
    /// Adds an item at the end.
    ///
    /// # Errors
    ///
    /// Gives the item back when there is no room.
    fn push_back(&mut self, item: T) -> Result<(), T>;
    /// The oldest item.
    fn front(&self) -> Option<&T>;
    /// The item behind so many others.
    fn get(&self, index: usize) -> Option<&T>;
    /// The item behind so many others, to change.
    fn get_mut(&mut self, index: usize) -> Option<&mut T>;
    /// Takes the oldest item out.
    fn pop_front(&mut self) -> Option<T>;
    /// Whether `matches` holds for an item.
    fn any(&self, matches: impl Fn(&T) -> bool) -> bool;
    /// The items, the oldest first.
    fn iter<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a;
    /// Takes out the first item, from this place on, for which `matches` holds; gives its place, too.
    fn remove_from(&mut self, start: usize, matches: impl Fn(&T) -> bool) -> Option<(usize, T)>;
    /// How many items there are.
    fn len(&self) -> usize;
    /// How many items there may be at most.
    fn capacity(&self) -> usize;

    /// Takes out the first item for which `matches` holds.
    fn remove_first(&mut self, matches: impl Fn(&T) -> bool) -> Option<T> {
        self.remove_from(0, matches).map(|(_, item)| item)
    }
}

/// What is kept of a publish until it is acknowledged.
pub(crate) trait Body: Sealed + Sized {
    /// How many bytes it can keep.
    const CAPACITY: usize;

    /// Keeps a copy, or a share of the payload; `None` when it does not fit.
    fn retain(publish: &Outbound<'_>) -> Option<Self>;
    /// Sets the Message Expiry Interval, in seconds, if the message has one.
    fn set_message_expiry(&mut self, seconds: u32);
    /// The packet, with the whole payload.
    fn publish(&self, delivery: Delivery) -> Publish<'_>;
    /// What it occupies, in bytes.
    fn occupied(&self) -> usize;
}

/// A Topic Alias to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) number: u16,
    /// The other side knows it, so that the Topic Name is left out.
    pub(crate) known: bool,
}

impl Alias {
    /// Puts an alias into a packet.
    fn apply<'a>(alias: Option<Self>, publish: Publish<'a>) -> Publish<'a> {
        match alias {
            None => publish,
            Some(alias) => Publish {
                topic: publish.topic.filter(|_| !alias.known),
                properties: publish.properties.with_topic_alias(alias.number),
                ..publish
            },
        }
    }
}

/// Bytes that wait to be sent on the current connection.
pub(crate) trait Transmit: Sealed + Default {
    /// What is kept of a publish.
    type Body: Body;

    /// Bytes encoded and not yet reported as sent.
    fn unsent(&self) -> usize;
    /// How long a packet may be at most.
    fn capacity(&self) -> usize;
    /// How many more bytes may be encoded.
    fn room(&self) -> usize;
    /// Whether another PUBLISH of this length may be encoded, rather than wait unencoded.
    fn may_publish(&self, length: usize) -> bool;
    /// Encodes a packet at the end.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent, or `BufferTooSmall` when there is no room.
    fn push(&mut self, packet: &Packet<'_>, version: ProtocolVersion)
    -> Result<usize, EncodeError>;
    /// Encodes a PUBLISH of the caller at the end; a large payload that is shared is not copied.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn push_outbound(
        &mut self,
        outbound: &Outbound<'_>,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError>;
    /// The same for a PUBLISH that was kept.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn push_body(
        &mut self,
        body: &Self::Body,
        delivery: Delivery,
        alias: Option<Alias>,
        version: ProtocolVersion,
    ) -> Result<usize, EncodeError>;
    /// The Topic Alias for a topic, of at most `maximum` and of what there is room for: the one that it has, a free one,
    /// or that of the topic that was not used for longest.
    fn alias(&mut self, topic: &str, maximum: u16) -> Option<Alias>;
    /// How many bytes were encoded on this connection.
    fn encoded(&self) -> u64;
    /// How many bytes the driver has taken or seen on this connection.
    fn taken(&self) -> u64;
    /// The first bytes to send, which count as taken with this.
    fn first(&mut self) -> &[u8];
    /// So many of the first bytes were sent, at most all; gives how many.
    fn advance(&mut self, count: usize) -> usize;
    /// Drops what is not sent: nothing more may be written.
    fn clear(&mut self);
    /// Begins a new connection.
    fn reset(&mut self);
    /// Gives back memory that is not needed now.
    fn release(&mut self) {}
}

/// What stands at the beginning of the received bytes.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// Not yet a whole packet: nothing, or the beginning of one with its length as far as is known.
    Partial(Option<usize>),
    /// A whole packet, now the current one.
    Frame(FixedHeader),
    /// A packet of more than the limit, with its length.
    TooLarge(usize),
    /// No packet.
    Malformed(DecodeError),
}

/// Bytes received on the current connection.
pub(crate) trait Receive: Sealed + Default {
    /// A PUBLISH as it is handed over.
    type Message<'a>
    where
        Self: 'a;

    /// How many bytes a packet may have at most.
    fn capacity(&self) -> usize;
    /// Where the next bytes are to be put; never empty unless a whole packet waits.
    fn space(&mut self) -> &mut [u8];
    /// So many bytes were put there, at most as many as fit; gives how many.
    fn filled(&mut self, count: usize) -> usize;
    /// Makes the next packet the current one, if there is a whole one of at most `limit` bytes.
    fn next_frame(&mut self, decoding: &Decoding, limit: usize) -> Arrived;
    /// The current packet.
    fn frame(&self) -> &[u8];
    /// How many Topic Aliases can be known.
    fn alias_capacity(&self) -> usize;
    /// Maps the Topic Alias of the current packet to its Topic Name; false when there is no room for it.
    fn learn_alias(&mut self, layout: &PublishLayout) -> bool;
    /// Whether a Topic Alias is mapped.
    fn knows_alias(&self, alias: u16) -> bool;
    /// The current packet as a message; its Topic Alias, if it has no Topic Name, must be known.
    fn message(&self, layout: &PublishLayout) -> Self::Message<'_>;
    /// Forgets everything.
    fn clear(&mut self);
    /// Gives back memory that is not needed, as soon as there is nothing left to handle.
    fn release(&mut self) {}
}

/// A publish in one block: topic, properties and, unless it is elsewhere, payload.
#[derive(Clone, Copy, Debug)]
struct BlockLayout {
    topic_len: usize,
    properties_end: usize,
    properties_present: u64,
    retain: bool,
}

impl BlockLayout {
    fn publish<'a>(&self, block: &'a [u8], delivery: Delivery) -> Publish<'a> {
        let (head, payload) = block
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

    /// Overwrites the Message Expiry Interval, if there is one.
    fn set_message_expiry(&self, block: &mut [u8], seconds: u32) {
        const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
        let Some(block) = block.get_mut(self.topic_len..self.properties_end) else {
            return;
        };
        let properties = Properties::from_validated(block, self.properties_present);
        let Some(end) = properties.end_of(MESSAGE_EXPIRY_INTERVAL) else {
            return;
        };
        let start = end.saturating_sub(size_of::<u32>());
        if let Some(value) = block.get_mut(start..end) {
            value.copy_from_slice(&seconds.to_be_bytes());
        }
    }
}
