//! When and how a client connects again.

use core::time::Duration;
use mqtt5_proto::ReasonCode;
use std::collections::BTreeMap;

/// Whether, when and how a client that has lost its connection makes another one.
///
/// On by default: after the first success a lost connection is made again until [`disconnect`](crate::Client::disconnect), or until the
/// server gives a reason that says stop.
///
/// ```
/// use core::time::Duration;
/// use mqtt5_client::{Backoff, Options, Reconnect, ReasonCode, Retry};
///
/// let patient = Reconnect::default()
///     .retry_first(true)
///     .backoff(Backoff::exponential(Duration::from_secs(1), Duration::from_secs(600)))
///     .on_reason(ReasonCode::NOT_AUTHORIZED, Retry::Backoff);
/// let options = Options::new("mqtt://localhost").reconnect(patient);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `Options::reconnect`"]
pub struct Reconnect {
    pub(crate) enabled: bool,
    pub(crate) retry_first: bool,
    pub(crate) backoff: Backoff,
    pub(crate) stable_after: Duration,
    pub(crate) maximum_attempts: Option<u32>,
    pub(crate) redirects: Redirects,
    reasons: BTreeMap<u8, Retry>,
}

impl Reconnect {
    /// Never connects again: the client stops with its first connection.
    pub fn never() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }

    /// Sets whether the very first connection is tried again, too; no by default: when every server was asked once, the client stops.
    pub fn retry_first(mut self, retry_first: bool) -> Self {
        self.retry_first = retry_first;
        self
    }

    /// Sets how long to wait before each attempt.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets how long a connection must last before the next backoff begins anew: 30 s by default.
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable_after = time;
        self
    }

    /// Gives up after so many attempts in a row without a stable connection; no limit by default. A zero counts as one.
    pub fn maximum_attempts(mut self, attempts: u32) -> Self {
        self.maximum_attempts = Some(attempts.max(1));
        self
    }

    /// Sets what a reason code of CONNACK or DISCONNECT leads to, instead of what [`Retry::after_connack`] and
    /// [`Retry::after_disconnect`] say.
    pub fn on_reason(mut self, reason: ReasonCode, retry: Retry) -> Self {
        self.reasons.insert(reason.value(), retry);
        self
    }

    /// Sets whether redirects of a server are followed; no by default.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    pub(crate) fn retry_after(&self, reason: ReasonCode, in_connack: bool) -> Retry {
        let known = self.reasons.get(&reason.value()).copied();
        known.unwrap_or_else(|| match in_connack {
            true => Retry::after_connack(reason),
            false => Retry::after_disconnect(reason),
        })
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            enabled: true,
            retry_first: false,
            backoff: Backoff::default(),
            stable_after: Duration::from_secs(30),
            maximum_attempts: None,
            redirects: Redirects::default(),
            reasons: BTreeMap::new(),
        }
    }
}

/// What a server's reason code means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// This server is not asked again until a stable connection has ended. With several servers the client stops when every one of them has said so.
    Stop,
    /// It is asked again at once, if the connection was stable; otherwise after the backoff.
    AtOnce,
    /// It is asked again after the backoff.
    Backoff,
}

impl Retry {
    /// What a reason code of 0x80 or above in CONNACK leads to (3.2.2.2).
    pub fn after_connack(reason: ReasonCode) -> Self {
        match reason.value() {
            0x81 | 0x82 | 0x90 | 0x95 | 0x99 | 0x9A | 0x9B => Self::Stop,
            _ => Self::after_disconnect(reason),
        }
    }

    /// What a reason code in a DISCONNECT of the server leads to (3.14.2.1).
    ///
    /// Another client that took the session over (0x8E) is a stop: the two would fight for ever.
    pub fn after_disconnect(reason: ReasonCode) -> Self {
        match reason.value() {
            0x84..=0x87 | 0x8A | 0x8C | 0x8E | 0x9D => Self::Stop,
            0x8D | 0xA0 => Self::AtOnce,
            _ => Self::Backoff,
        }
    }
}

/// How long to wait before the next attempt: a value, so that the same seed gives the same times.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `Reconnect::backoff`"]
pub struct Backoff {
    delays: Delays,
    jitter: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Delays {
    Exponential { first: Duration, longest: Duration },
    Listed(Vec<Duration>),
}

impl Backoff {
    /// Doubles from `first` up to `longest`, and waits a random part of it: full jitter.
    pub fn exponential(first: Duration, longest: Duration) -> Self {
        Self {
            delays: Delays::Exponential { first, longest },
            jitter: true,
        }
    }

    /// Waits the same time always, without jitter.
    pub fn constant(delay: Duration) -> Self {
        Self::schedule([delay])
    }

    /// Waits these times one after the other, and then the last one always, without jitter. An empty list waits not at all.
    pub fn schedule(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self {
            delays: Delays::Listed(delays.into_iter().collect()),
            jitter: false,
        }
    }

    /// Sets whether a random part of each time is waited instead of all of it.
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// The time after so many failures before this one; `random` decides about the part of it.
    pub(crate) fn delay(&self, failures: u32, random: u64) -> Duration {
        let longest = match &self.delays {
            Delays::Exponential { first, longest } => {
                let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
                first.saturating_mul(factor).min(*longest)
            }
            Delays::Listed(delays) => {
                let index = usize::try_from(failures).unwrap_or(usize::MAX);
                let delay = delays.get(index).or_else(|| delays.last());
                delay.copied().unwrap_or_default()
            }
        };
        if !self.jitter {
            return longest;
        }
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(match micros.checked_add(1) {
            Some(values) => random % values,
            None => random,
        })
    }
}

/// Up to 0.5 s first, up to 60 s in the end, with full jitter.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(500), Duration::from_secs(60))
    }
}

/// Whether a server may send the client to another one (4.11). An event tells of every redirect, followed or not.
///
/// A redirect never leads to a weaker transport: from TLS only to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it does nothing until it is given to `Reconnect::redirects`"]
pub struct Redirects {
    pub(crate) follow: bool,
    pub(crate) credentials: bool,
    pub(crate) hops: u8,
}

impl Redirects {
    /// They are followed, at most three in a row. User name, password, User Properties, the query of the URL, and what the settings of
    /// the transport say of us (headers, the client's certificate) go to no other host; Client Identifier and will do.
    pub fn follow() -> Self {
        Self {
            follow: true,
            ..Self::default()
        }
    }

    /// Sets how many may follow each other; a stable connection, or an attempt that fails otherwise, ends the row.
    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// Sets whether all that is sent to the other host, too.
    pub fn with_credentials(mut self, credentials: bool) -> Self {
        self.credentials = credentials;
        self
    }
}

/// They are not followed.
impl Default for Redirects {
    fn default() -> Self {
        Self {
            follow: false,
            credentials: false,
            hops: 3,
        }
    }
}

/// What becomes of publishes that the server has not acknowledged when it has lost the session (4.4).
///
/// What was never sent is no part of the session and goes out in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it does nothing until it is given to `Options::on_session_lost`"]
pub struct OnSessionLost {
    pub(crate) republish_qos1: bool,
    pub(crate) republish_qos2: bool,
}

impl OnSessionLost {
    /// Ends all of them: QoS 1 as [`SessionLost`](crate::PublishErrorKind::SessionLost), QoS 2 as
    /// [`Unknown`](crate::PublishErrorKind::Unknown).
    pub const FAIL: Self = Self {
        republish_qos1: false,
        republish_qos2: false,
    };

    /// Sets whether QoS 1 messages are published again, as new messages in their order: yes by default.
    pub fn republish_qos1(mut self, republish: bool) -> Self {
        self.republish_qos1 = republish;
        self
    }

    /// Sets whether QoS 2 messages are published again before PUBREC: no by default, since they may arrive twice.
    pub fn republish_qos2(mut self, republish: bool) -> Self {
        self.republish_qos2 = republish;
        self
    }
}

/// QoS 1 is published again, QoS 2 ends as [`Unknown`](crate::PublishErrorKind::Unknown).
impl Default for OnSessionLost {
    fn default() -> Self {
        Self {
            republish_qos1: true,
            republish_qos2: false,
        }
    }
}

/// When subscriptions are sent again after a reconnect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resubscribe {
    /// When the server has lost the session, and whatever it has not granted in this one.
    #[default]
    WhenSessionLost,
    /// At every connection. Retained messages are then sent again, too.
    Always,
    /// Only what the server has never answered. A lost session leaves the subscriptions silent.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T153: random delays within their range.
    #[test]
    fn delays_double_up_to_the_longest_and_jitter_takes_any_part() {
        let backoff = Backoff::default();
        let full: Vec<_> = (0..9)
            .map(|failures| backoff.clone().jitter(false).delay(failures, 7).as_millis())
            .collect();
        assert_eq!(
            full,
            [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
        );
        assert_eq!(backoff.delay(0, 0), Duration::ZERO);
        assert_eq!(backoff.delay(0, 500_000), Duration::from_millis(500));
        assert_eq!(backoff.delay(0, 500_001), Duration::ZERO);
        assert!(backoff.delay(u32::MAX, u64::MAX) <= Duration::from_secs(60));
        let longest = Backoff::exponential(Duration::MAX, Duration::MAX);
        assert!(longest.delay(40, u64::MAX) > Duration::from_secs(60));
    }

    /// T153: constant ones, and none.
    #[test]
    fn listed_delays_end_with_the_last() {
        let seconds = |seconds| Duration::from_secs(seconds);
        let backoff = Backoff::schedule([seconds(0), seconds(5)]);
        let delays: Vec<_> = (0..4).map(|failures| backoff.delay(failures, 9)).collect();
        assert_eq!(delays, [seconds(0), seconds(5), seconds(5), seconds(5)]);
        assert_eq!(Backoff::schedule([]).delay(3, 1), Duration::ZERO);
        assert_eq!(Backoff::constant(seconds(10)).delay(0, 1), seconds(10));
    }

    /// HB-32, E6: every code of tables 3-1 and 3-13, and some that are in neither.
    #[test]
    fn one_table_of_all_codes() {
        let stop_in_both = [0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x8E, 0x9D];
        let stop_in_connack = [0x81, 0x82, 0x90, 0x95, 0x99, 0x9A, 0x9B];
        for code in 0..=255 {
            let reason = ReasonCode::from(code);
            let expected = match code {
                _ if stop_in_both.contains(&code) => Retry::Stop,
                0x8D | 0xA0 => Retry::AtOnce,
                _ => Retry::Backoff,
            };
            assert_eq!(Retry::after_disconnect(reason), expected, "{code:#04x}");
            let expected = match code {
                _ if stop_in_connack.contains(&code) => Retry::Stop,
                _ => expected,
            };
            assert_eq!(Retry::after_connack(reason), expected, "{code:#04x}");
        }
        let reconnect = Reconnect::default().on_reason(ReasonCode::BANNED, Retry::Backoff);
        assert_eq!(
            reconnect.retry_after(ReasonCode::BANNED, true),
            Retry::Backoff
        );
    }
}
