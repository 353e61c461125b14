//! The machine of fixed capacity, for targets without an allocator.

use super::machine::Machine;
use super::{
    AckToken, Authenticate, Config, DisconnectReason, Event, Op, Outbound, Progress, Refused,
    RejectReason, Statistics, face,
};
use crate::connection::{Negotiated, State, TimerReason};
use crate::packet::{Connect, Publish, SubscribeFilter};
use crate::storage::{Fixed, Receive, Transmit};
use crate::{
    Instant, PacketId, Persisted, Properties, ReasonCode, Record, RecordToken, TopicFilter,
};

/// An MQTT 5 client as a machine that never allocates; the same code and the same contract as
/// `mqtt5_proto::Client`.
///
/// * `RX`, `TX`: bytes of the receive and of the transmit buffer. A packet must fit as a whole; 32 bytes of `TX` are kept
///   for acknowledgements, PINGREQ and DISCONNECT.
/// * `BODY`: bytes of topic, properties and payload of a QoS 1 or 2 publish, or of one that waits.
/// * `OUT`: publishes that are kept: in flight, or waiting.
/// * `IN`: received QoS 1 and 2 publishes that are not finished.
/// * `ALIASES`: Topic Aliases in each direction, for topics of at most `BODY` bytes; none if left out.
/// * `RECORDS`, at least 1: records that are not durable yet, for a machine with [`Config::write_ahead`]. With
///   `6 * OUT + 2 * IN + 8` nothing is ever refused for want of them; with fewer, publishes are refused with
///   [`Refused::Full`] while the store is behind, and below `2 * IN + 10` always. `connect` needs `2 * IN + 5`.
///
/// CONNECT must announce a Receive Maximum of at most `IN` and a Maximum Packet Size of at most `RX`.
///
/// ```
/// use mqtt5_proto::packet::Connect;
/// use mqtt5_proto::{Config, Instant, Properties, Property, fixed};
///
/// let mut client = fixed::Client::<512, 512, 128, 4, 4>::new(Config::default());
/// let limits = [Property::ReceiveMaximum(4), Property::MaximumPacketSize(512)];
/// let connect = Connect {
///     properties: Properties::new(&limits)?,
///     ..Connect::new("sensor-1")
/// };
/// client.connect(Instant::ZERO, &connect)?;
/// assert!(!client.outgoing().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client<
    const RX: usize,
    const TX: usize,
    const BODY: usize,
    const OUT: usize,
    const IN: usize,
    const ALIASES: usize = 0,
    const RECORDS: usize = 1,
>(Machine<Fixed<RX, TX, BODY, OUT, IN, ALIASES, RECORDS>>);

impl<
    const RX: usize,
    const TX: usize,
    const BODY: usize,
    const OUT: usize,
    const IN: usize,
    const ALIASES: usize,
    const RECORDS: usize,
> Client<RX, TX, BODY, OUT, IN, ALIASES, RECORDS>
{
    /// A machine without a connection.
    pub fn new(config: Config) -> Self {
        Self(Machine::new(config))
    }

    face!();

    /// What happened next; `None` when there is nothing more, or reading is paused. A message borrows from the receive
    /// buffer.
    #[must_use]
    pub fn poll_event(&mut self, now: Instant) -> Option<Event<'_, Publish<'_>>> {
        self.0.poll_event(now)
    }
}
