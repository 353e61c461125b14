//! The growable tier.

mod body;
mod queue;
mod receive;
mod table;
mod transmit;

pub(crate) use queue::HeapQueue;
pub(crate) use receive::HeapReceive;
pub use receive::Incoming;
pub use table::HeapTable;
pub(crate) use transmit::HeapTransmit;
pub use transmit::Outgoing;

use super::Storage;
use super::sealed::Sealed;

/// Storage that grows as it needs to and is released when it is empty.
#[derive(Debug)]
pub(crate) enum Heap {}

impl Sealed for Heap {}

impl Storage for Heap {
    type Body = body::Retained;
    type Exchanges = HeapTable<crate::qos::Exchange<crate::session::Kept<body::Retained>>>;
    type Inbound = HeapTable<crate::qos::Held>;
    type Answers = HeapQueue<crate::session::Unsent>;
    type Requests = HeapTable<crate::session::Request>;
    type Doubted = HeapTable<()>;
    type Pending = HeapQueue<crate::session::Pending<body::Retained>>;
    type Journal = HeapQueue<crate::session::Entry>;
    type Transmit = HeapTransmit;
    type Receive = HeapReceive;
}
