//! When a connection needs a PINGREQ, and when it is dead. No retransmission timer: resending on a live connection is
//! forbidden [MQTT-4.4.0-1].

use core::time::Duration;

use crate::Instant;
use crate::planted::planted;

/// How long a whole packet may take to arrive, apart from its length.
const PARTIAL_PACKET: Duration = Duration::from_secs(30);
/// A packet may take a second more for each so many bytes.
const BYTES_PER_SECOND: u64 = 4 * 1024;
/// How long the transport may accept no byte.
const WRITE: Duration = Duration::from_secs(30);
/// The longest wait for an answer to PINGREQ.
const PING_RESPONSE: Duration = Duration::from_secs(10);
/// PINGREQ leaves at most so long before the Keep Alive is over.
const PING_AHEAD: Duration = Duration::from_secs(5);

/// Why a machine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerReason {
    /// CONNACK must have arrived.
    Connect,
    /// A PINGREQ is due.
    KeepAlive,
    /// The server must have sent something since the PINGREQ.
    PingResponse,
    /// The rest of a packet must have arrived.
    PartialPacket,
    /// The transport must have accepted a byte.
    Write,
    /// The Message Expiry Interval of a publish that waits may have ended; there need be no connection.
    MessageExpiry,
}

/// A PINGREQ that nothing was received after.
#[derive(Clone, Copy, Debug)]
struct Ping {
    /// When it was encoded or, as long as it waits to be written, when the last byte before it was.
    since: Instant,
    /// How many bytes are to be written until it is.
    ahead: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Liveness {
    opened: Instant,
    /// When the last byte was written, or a PINGREQ was encoded.
    last_sent: Instant,
    last_received: Instant,
    ping: Option<Ping>,
    /// Since when a packet is incomplete, and how long it is as far as is known.
    partial: Option<(Instant, usize)>,
    /// Since when no byte of what waits was written.
    blocked: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            opened: now,
            last_sent: now,
            last_received: now,
            ..Self::default()
        }
    }

    /// A packet is about to be encoded while so many bytes wait.
    pub(crate) fn encoding(&mut self, now: Instant, unsent: usize) {
        if unsent == 0 {
            self.blocked = Some(now);
        }
    }

    /// So many bytes were written.
    pub(crate) fn sent(&mut self, now: Instant, count: usize) {
        self.last_sent = now;
        self.blocked = Some(now);
        if let Some(ping) = self.ping.as_mut().filter(|ping| ping.ahead > 0) {
            ping.since = now;
            ping.ahead = ping.ahead.saturating_sub(count);
        }
    }

    /// Bytes were received; every byte is a sign of life, whatever it belongs to.
    pub(crate) fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.ping = None;
    }

    /// Whether a PINGREQ waits to be written.
    pub(crate) fn ping_waits(&self) -> bool {
        self.ping.is_some_and(|ping| ping.ahead > 0)
    }

    /// A PINGREQ is the last of so many bytes that wait, or one waited before.
    pub(crate) fn pinged(&mut self, now: Instant, unsent: usize) {
        let before = self.ping.filter(|ping| ping.ahead > 0);
        self.ping = Some(Ping {
            since: now,
            ahead: before.map_or(unsent, |ping| ping.ahead),
        });
        self.last_sent = now;
    }

    /// All received packets are handled; what is left is a part of one if `partial`.
    pub(crate) fn partial(&mut self, now: Instant, partial: Option<usize>) {
        self.partial = partial.map(|expected| match self.partial {
            Some((since, known)) => (since, known.max(expected)),
            None => (now, expected),
        });
    }

    /// A whole packet has arrived.
    pub(crate) fn completed(&mut self) {
        self.partial = None;
    }

    /// Reading was not wanted up to now: silence says nothing.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.received(now);
        if let Some((since, _)) = &mut self.partial {
            *since = now;
        }
    }

    /// Since when CONNACK is awaited.
    pub(crate) const fn opened(&self) -> Instant {
        self.opened
    }

    /// When PINGREQ is due, or its answer, with this Keep Alive in seconds.
    pub(crate) fn keep_alive(&self, seconds: u16, reading: bool) -> Option<(Instant, TimerReason)> {
        if seconds == 0 || planted!(ForgetPingreq) {
            return None;
        }
        let keep_alive = Duration::from_secs(u64::from(seconds));
        if let (Some(ping), true) = (self.ping, reading) {
            let mut wait = PING_RESPONSE.min(part(seconds, 2));
            if planted!(LatePingresp) {
                wait = wait.saturating_mul(10);
            }
            return Some((ping.since.saturating_add(wait), TimerReason::PingResponse));
        }
        let interval = keep_alive.saturating_sub(PING_AHEAD.min(part(seconds, 4)));
        let silent = self.last_sent.saturating_add(interval);
        let deaf = self.last_received.saturating_add(keep_alive);
        let due = if reading { silent.min(deaf) } else { silent };
        Some((due, TimerReason::KeepAlive))
    }

    /// When the rest of a packet must have arrived.
    pub(crate) fn partial_packet(&self) -> Option<Instant> {
        let (since, expected) = self.partial?;
        let more = (expected as u64).checked_div(BYTES_PER_SECOND).unwrap_or(0);
        let allowed = PARTIAL_PACKET.saturating_add(Duration::from_secs(more));
        Some(since.saturating_add(allowed))
    }

    /// When the transport must have accepted a byte, while so many wait.
    pub(crate) fn write(&self, unsent: usize) -> Option<Instant> {
        let since = self.blocked.unwrap_or(self.last_sent);
        (unsent > 0).then(|| since.saturating_add(WRITE))
    }
}

/// The `divisor`th part of so many seconds.
fn part(seconds: u16, divisor: u64) -> Duration {
    let millis = u64::from(seconds).saturating_mul(1_000);
    Duration::from_millis(millis.checked_div(divisor).unwrap_or(millis))
}
