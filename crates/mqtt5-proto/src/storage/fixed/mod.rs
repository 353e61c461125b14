//! The tier of fixed capacity: no allocator, everything inside the machine.

mod body;
mod receive;
mod tables;
mod transmit;

pub(crate) use body::FixedBody;
pub(crate) use receive::FixedReceive;
pub(crate) use tables::FixedQueue;
pub use tables::FixedTable;
pub(crate) use transmit::FixedTransmit;

use super::Storage;
use super::sealed::Sealed;
use crate::qos::{Exchange, Held};
use crate::session::{Entry, Kept, Pending, Request, Unsent};

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
