//! What goes wrong on purpose: rules for tests and simulations.

use std::collections::VecDeque;
use std::time::Duration;

use mqtt5_proto::{Instant, PacketId, PacketType, ReasonCode};

use crate::outgoing::Outgoing;

/// A rule of what goes wrong on purpose: at which packet, of which client, what, and how often. For tests.
///
/// [`Broker::inject`](crate::Broker::inject) and [`Server::inject`](crate::Server::inject) take rules into a table. At
/// each packet the first rule that applies strikes, and no other. A rule strikes once unless it is told otherwise.
///
/// ```
/// use std::time::Duration;
/// use mqtt5_broker::{Farewell, Fault, Mishap, On};
/// use mqtt5_proto::{PacketType, ReasonCode};
///
/// let broker = mqtt5_broker::spawn()?;
/// // Two connection attempts of this client are refused.
/// let busy = Mishap::Refuse(Farewell::from(ReasonCode::SERVER_BUSY));
/// broker.inject(Fault::new(On::Received(PacketType::Connect), busy).client("anna").times(2));
/// // The third PUBACK to anybody never leaves; the connection ends in its place.
/// broker.inject(Fault::new(On::Sent(PacketType::Puback), Mishap::Cut).skip(2));
/// // One in ten PINGRESPs comes five seconds late.
/// let late = Mishap::Delay(Duration::from_secs(5));
/// broker.inject(Fault::new(On::Sent(PacketType::Pingresp), late).one_in(10).always());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    on: On,
    mishap: Mishap,
    client: Option<Box<str>>,
    skip: u32,
    one_in: u32,
    /// How often it still strikes; `None` is always.
    times: Option<u32>,
}

impl Fault {
    /// Strikes at the next such packet of any client.
    pub const fn new(on: On, mishap: Mishap) -> Self {
        Self {
            on,
            mishap,
            client: None,
            skip: 0,
            one_in: 1,
            times: Some(1),
        }
    }

    /// Only at packets from and to this client.
    #[must_use]
    pub fn client(self, client_id: impl Into<Box<str>>) -> Self {
        Self {
            client: Some(client_id.into()),
            ..self
        }
    }

    /// Lets so many packets pass before it strikes for the first time.
    #[must_use]
    pub fn skip(self, packets: u32) -> Self {
        Self {
            skip: packets,
            ..self
        }
    }

    /// Strikes at one in so many packets, by chance: [`Config::seed`](crate::Config::seed) decides at which. 0 and 1
    /// mean each packet.
    #[must_use]
    pub fn one_in(self, packets: u32) -> Self {
        Self {
            one_in: packets.max(1),
            ..self
        }
    }

    /// Strikes so many times; 0 is never.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Strikes until [`clear_faults`](crate::Broker::clear_faults).
    #[must_use]
    pub fn always(self) -> Self {
        Self {
            times: None,
            ..self
        }
    }

    /// Whether it is about this packet, whatever its count and chance.
    fn concerns(&self, on: On, client: Option<&str>, can_repeat: bool) -> bool {
        let is_possible = match (&self.mishap, on) {
            (Mishap::Delay(_), On::Received(_)) => false,
            (Mishap::Repeat(_), _) => can_repeat,
            _ => true,
        };
        let is_client = self.client.is_none() || self.client.as_deref() == client;
        self.on == on && is_client && is_possible && self.times != Some(0)
    }
}

/// At which packet a [`Fault`] strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The broker has received it and not yet done anything about it.
    Received(PacketType),
    /// The broker is about to send it.
    Sent(PacketType),
}

/// What a [`Fault`] does.
///
/// The session goes on as if a packet that was dropped, delayed, or cut off had been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mishap {
    /// Nothing comes of the packet: it is not sent, or was not seen. After a dropped CONNACK nothing else is sent.
    Drop,
    /// The packet is sent so much later, and what follows of its type not before it; behind CONNACK everything waits.
    /// What waits when the connection ends is lost. Received packets are not delayed.
    Delay(Duration),
    /// The packet is sent, and again so much later: PUBLISH with DUP 1, and only while it is not answered; PUBREL only
    /// before PUBCOMP; PUBLISH of QoS 0 not at all, nor is a received packet handled twice.
    ///
    /// This is what no server does on a connection that lives [MQTT-4.4.0-1]. A client that has answered already cannot
    /// tell the repetition of a QoS 1 message from one more, and may find its Receive Maximum exceeded.
    Repeat(Duration),
    /// The connection ends instead of the packet: all before it is still sent, the packet is not, or was not seen.
    Cut,
    /// The connection ends right after the packet was sent, or was handled and answered.
    CutAfter,
    /// The client is told so, in CONNACK before it is accepted and in DISCONNECT after, instead of the packet.
    Refuse(Farewell),
    /// The session ends. At CONNECT, that is the one it asks for: it finds Session Present 0. At any other packet the
    /// connection ends, too.
    LoseSession,
}

/// What a client is told when its CONNECT is refused or its connection ended: CONNACK or DISCONNECT.
///
/// ```
/// use mqtt5_broker::Farewell;
/// use mqtt5_proto::ReasonCode;
///
/// let moved = Farewell::from(ReasonCode::USE_ANOTHER_SERVER).server_reference("mqtt://localhost:1884");
/// # let _ = moved;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    pub(crate) reason: ReasonCode,
    pub(crate) server_reference: Option<Box<str>>,
    pub(crate) reason_string: Option<Box<str>>,
}

impl Farewell {
    /// Names another server: for 0x9C and 0x9D (4.11).
    #[must_use]
    pub fn server_reference(self, reference: impl Into<Box<str>>) -> Self {
        Self {
            server_reference: Some(reference.into()),
            ..self
        }
    }

    /// Says it in words. Left out for a client that wants no problem information, and when it does not fit.
    #[must_use]
    pub fn reason_string(self, text: impl Into<Box<str>>) -> Self {
        Self {
            reason_string: Some(text.into()),
            ..self
        }
    }
}

impl From<ReasonCode> for Farewell {
    fn from(reason: ReasonCode) -> Self {
        Self {
            reason,
            server_reference: None,
            reason_string: None,
        }
    }
}

/// The table of rules, and what they have left to do.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) rules: Vec<Fault>,
    chance: u64,
    /// By the time at which they are due, then in the order in which they came.
    later: VecDeque<Later>,
    /// Connections that are to end when what goes on now is finished.
    pub(crate) endings: VecDeque<(u64, Ending)>,
}

/// Something that is to be sent later.
#[derive(Debug)]
pub(crate) struct Later {
    due: Instant,
    pub(crate) connection: u64,
    pub(crate) packet: LatePacket,
}

#[derive(Debug)]
pub(crate) enum LatePacket {
    /// It counts among the unsent bytes of its connection.
    Delayed(PacketType, Outgoing),
    Repeated(Vec<u8>),
    RepeatedPublish(PacketId),
    RepeatedPubrel(PacketId),
}

/// How a connection ends by a fault.
#[derive(Debug)]
pub(crate) enum Ending {
    Close,
    Refuse(Farewell),
    LoseSession,
}

impl Faults {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            rules: Vec::new(),
            chance: seed,
            later: VecDeque::new(),
            endings: VecDeque::new(),
        }
    }

    /// What happens to this packet.
    pub(crate) fn strike(
        &mut self,
        on: On,
        client: Option<&str>,
        can_repeat: bool,
    ) -> Option<Mishap> {
        let Self { rules, chance, .. } = self;
        let at = rules.iter_mut().position(|rule| {
            if !rule.concerns(on, client, can_repeat) {
                return false;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return false;
            }
            rule.one_in == 1 || draw(chance).is_multiple_of(rule.one_in.into())
        })?;
        let rule = &mut rules[at];
        rule.times = rule.times.map(|times| times - 1);
        let mishap = rule.mishap.clone();
        if rule.times == Some(0) {
            rules.remove(at);
        }
        Some(mishap)
    }

    /// Until when a packet of this type has to wait behind others that are delayed.
    pub(crate) fn held_until(&self, connection: u64, kind: PacketType) -> Option<Instant> {
        let is_before = |later: &&Later| {
            let is_ahead = |before| before == kind || before == PacketType::Connack;
            later.connection == connection
                && matches!(later.packet, LatePacket::Delayed(before, _) if is_ahead(before))
        };
        self.later.iter().rfind(is_before).map(|later| later.due)
    }

    pub(crate) fn send_later(&mut self, due: Instant, connection: u64, packet: LatePacket) {
        let at = self.later.partition_point(|other| other.due <= due);
        let later = Later {
            due,
            connection,
            packet,
        };
        self.later.insert(at, later);
    }

    /// When the next packet is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.later.front().map(|later| later.due)
    }

    /// Takes the next packet if it is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Later> {
        if self.next()? > now {
            return None;
        }
        self.later.pop_front()
    }

    /// A connection ends: what was to be sent to it is lost.
    pub(crate) fn forget(&mut self, connection: u64) {
        self.later.retain(|later| later.connection != connection);
    }
}

/// The next number of a sequence that its beginning determines (SplitMix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
