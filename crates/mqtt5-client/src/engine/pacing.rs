//! How fast attempts follow each other, as a seeded value.

use crate::options::{Backoff, Reconnect, Retry};
use crate::planted::planted;
use core::time::Duration;
use mqtt5_proto::Instant;

/// The failures since the last stable connection.
#[derive(Debug)]
pub(super) struct Pacing {
    random: u64,
    failures: u32,
    /// Attempts that led to no stable connection.
    attempts: u32,
    /// When the present connection was accepted.
    accepted: Option<Instant>,
}

impl Pacing {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            failures: 0,
            attempts: 0,
            accepted: None,
        }
    }

    /// The server has accepted the connection. That alone forgives nothing: a server may accept and hang up for ever.
    pub(super) fn accept(&mut self, now: Instant) {
        self.accepted = Some(now);
        if planted!(ResetBackoffAtConnack) {
            self.failures = 0;
        }
    }

    /// The attempt or connection has ended; tells whether it was a stable connection, which makes a new start.
    pub(super) fn end(&mut self, now: Instant, policy: &Reconnect) -> bool {
        let accepted = self.accepted.take();
        let is_stable = accepted.is_some_and(|accepted| accepted + policy.stable_after <= now);
        if is_stable {
            self.failures = 0;
            self.attempts = 0;
        } else {
            self.attempts = self.attempts.saturating_add(1);
        }
        is_stable
    }

    /// Whether another attempt is allowed after so many.
    pub(super) fn may_go_on(&self, policy: &Reconnect) -> bool {
        let maximum = policy.maximum_attempts;
        maximum.is_none_or(|maximum| self.attempts < maximum)
    }

    /// How long to wait now.
    pub(super) fn delay(&mut self, retry: Retry, is_stable: bool, backoff: &Backoff) -> Duration {
        if retry == Retry::AtOnce && is_stable {
            return Duration::ZERO;
        }
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        backoff.delay(failures, self.next_random())
    }

    /// SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let times = |seed| {
            let mut pacing = Pacing::new(seed);
            let backoff = Backoff::default();
            (0..20)
                .map(|_| pacing.delay(Retry::Backoff, false, &backoff))
                .collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[test]
    fn only_a_stable_connection_begins_anew() {
        let policy = Reconnect::default().maximum_attempts(2);
        let backoff = Backoff::schedule([SECOND, 2 * SECOND, 3 * SECOND]);
        let mut pacing = Pacing::new(0);
        let mut now = Instant::ZERO;
        for expected in [1, 2, 3] {
            pacing.accept(now);
            now = now + 29 * SECOND;
            assert!(!pacing.end(now, &policy));
            let delay = pacing.delay(Retry::AtOnce, false, &backoff);
            assert_eq!(delay, expected * SECOND);
        }
        assert!(!pacing.may_go_on(&policy));
        pacing.accept(now);
        now = now + 30 * SECOND;
        assert!(pacing.end(now, &policy) && pacing.may_go_on(&policy));
        let at_once = pacing.delay(Retry::AtOnce, true, &backoff);
        assert_eq!(at_once, Duration::ZERO);
        assert_eq!(pacing.delay(Retry::Backoff, true, &backoff), SECOND);
    }
}
