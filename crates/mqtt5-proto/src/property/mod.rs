//! Properties (section 2.2.2): one table, from which the type, the getters, the decoder and the encoder come.

#[cfg(feature = "alloc")]
mod buffer;
mod kind;
mod table;
mod view;

#[cfg(feature = "alloc")]
pub use buffer::PropertyBuffer;
pub use table::Property;
pub(crate) use view::TOPIC_ALIAS_LEN;
pub use view::{Properties, PropertyIter};

use crate::PacketType;

/// What carries a block of properties: a packet, or the will inside CONNECT (table 2-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The variable header of a packet.
    Packet(PacketType),
    /// The Will Properties in the payload of CONNECT (3.1.3.2).
    Will,
}

impl Place {
    const fn bit(self) -> u16 {
        match self {
            Self::Packet(packet) => 1 << packet as u16,
            Self::Will => 1,
        }
    }
}
