//! The choices that options offer, each with its default.

use core::num::NonZeroU16;
use core::time::Duration;
use mqtt5_proto::RejectReason;

/// The longest silence that client and server allow each other (3.1.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeepAlive {
    /// No limit. A connection that died without a word is then noticed only when something is sent.
    Off,
    /// So many seconds, 1 to 65,535.
    Seconds(NonZeroU16),
}

impl KeepAlive {
    /// So many seconds; `None` for 0, which must be said as [`KeepAlive::Off`].
    pub const fn seconds(seconds: u16) -> Option<Self> {
        match NonZeroU16::new(seconds) {
            Some(seconds) => Some(Self::Seconds(seconds)),
            None => None,
        }
    }

    /// The number in CONNECT.
    pub(crate) fn value(self) -> u16 {
        match self {
            Self::Off => 0,
            Self::Seconds(seconds) => seconds.get(),
        }
    }
}

/// 60 seconds.
impl Default for KeepAlive {
    fn default() -> Self {
        Self::Seconds(NonZeroU16::new(60).expect("not zero"))
    }
}

impl From<NonZeroU16> for KeepAlive {
    fn from(seconds: NonZeroU16) -> Self {
        Self::Seconds(seconds)
    }
}

/// Takes whole seconds from 1 to 65,535 and gives every other duration back.
impl TryFrom<Duration> for KeepAlive {
    type Error = Duration;

    fn try_from(duration: Duration) -> Result<Self, Duration> {
        let seconds = u16::try_from(duration.as_secs())
            .ok()
            .filter(|_| duration.subsec_nanos() == 0);
        seconds.and_then(Self::seconds).ok_or(duration)
    }
}

/// Whether a session that the server keeps is taken over: the Clean Start flag (3.1.2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resume {
    /// Starts clean until this client had a connection whose session outlives it, and resumes from then on.
    #[default]
    WhenKnown,
    /// Resumes at once: the server may hold a session of an earlier process. Needs a Client Identifier.
    ///
    /// If it does, publishes of QoS 1 and 2 wait for one round trip more at first, in which their Packet Identifiers are cleared: the server
    /// finishes what it holds of the earlier process under them, and takes no new message for a repetition of that.
    AssumeSession,
    /// Starts clean at every connection.
    Never,
}

/// When a QoS 1 or 2 message is acknowledged to the server. Acknowledgements leave in the order of arrival in every mode [MQTT-4.6.0-2].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AckMode {
    /// When the application takes it from its subscription. What a crash destroys between taking and processing is lost.
    #[default]
    OnTake,
    /// When the application calls `ack` or `reject` on it.
    Manual {
        /// What happens when the message is dropped without either.
        on_drop: OnDrop,
    },
    /// When it arrives, before the application sees it. A full queue then loses it, as it loses QoS 0 messages.
    OnArrival,
}

/// What becomes of a message that was taken in [`AckMode::Manual`] and dropped unanswered. An event tells of it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDrop {
    /// It is refused with this reason, and what arrived after it is acknowledged in its turn.
    Reject(RejectReason),
    /// It stays unanswered, and so does everything behind it, until the server sends it again after the next resume, to every subscription
    /// that it was for. When the session is lost it does not come again; others that have not taken it yet keep it.
    Hold,
}

/// What an operation does while there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offline {
    /// It waits, within the bound of the offline queue; when that is full, the caller waits for room.
    Wait,
    /// It fails with `NotConnected`.
    Fail,
    /// A publish is accepted at once, without waiting for room; for a subscribe or unsubscribe the same as [`Wait`](Self::Wait).
    Queue(QueueFull),
}

/// What happens when the offline queue is full and the caller must not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueueFull {
    /// The message is refused with `QueueFull`.
    Refuse,
    /// The oldest messages that were accepted under this choice make room for it, and end as `Dropped`; when they cannot, it is refused with
    /// `QueueFull`.
    DropOldest,
}

/// What a QoS 0 publish does on a connection while it cannot be encoded at once: too much is unsent, or a message of any QoS that was
/// accepted before it waits, perhaps for the Receive Maximum of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Congestion {
    /// It waits for room.
    #[default]
    Wait,
    /// It fails with `WouldBlock`.
    Fail,
}

/// What happens to a QoS 0 message that finds its subscription's queue full. QoS 1 and 2 are never dropped: their acknowledgement
/// waits, so that the server holds back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// It is dropped.
    #[default]
    DropNewest,
    /// The oldest QoS 0 message that the application has not fetched makes room for it.
    DropOldest,
    /// Nothing is dropped; reading stops for the whole connection until there is room, or the subscription has ended. Whoever takes the
    /// messages must then not wait for anything that has to be read, such as the end of a QoS 1 publish of its own, or not without a timeout.
    Pause,
}

/// The bound of a queue; whichever is reached first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    /// How many messages.
    pub messages: usize,
    /// How many bytes in all: topic, properties and payload.
    pub bytes: usize,
}

impl Bound {
    pub(crate) fn is_zero(self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}
