//! How long a client waits before each attempt.

use core::time::Duration;
use std::collections::BTreeSet;

use mqtt5_client::Instant;

use crate::options::FIRST_BACKOFF;

/// The waits of one process since its last stable connection.
#[derive(Debug)]
pub(crate) struct Pacing {
    longest: Duration,
    stable_after: Duration,
    /// How many servers there are, if the application prepares each attempt: it adds to the waits, and attempts that it declines are
    /// not seen here.
    prepared: Option<usize>,
    /// When the last attempt or connection ended.
    ended: Option<Instant>,
    waits: Vec<Duration>,
    /// The servers that were asked since the last wait: one that was not is asked at once.
    tried: BTreeSet<String>,
}

impl Pacing {
    pub(crate) fn new(longest: Duration, stable_after: Duration, prepared: Option<usize>) -> Self {
        Self {
            longest,
            stable_after,
            prepared,
            ended: None,
            waits: Vec::new(),
            tried: BTreeSet::new(),
        }
    }

    /// An attempt, or a connection that was `accepted` then, has ended; tells whether that was stable.
    pub(crate) fn end(&mut self, now: Instant, accepted: Option<Instant>) -> bool {
        self.ended = Some(now);
        let is_stable = accepted.is_some_and(|accepted| accepted + self.stable_after <= now);
        if is_stable {
            self.waits.clear();
        }
        is_stable
    }

    /// An attempt begins; tells what is wrong with the time, if anything is.
    pub(crate) fn begin(&mut self, now: Instant, host: &str) -> Option<String> {
        let is_another = self.tried.insert(host.to_owned());
        let wait = now.saturating_duration_since(self.ended.take()?);
        if let Some(servers) = self.prepared {
            self.waits.push(wait);
            // After each server was asked once the client must wait.
            return self.hurry(self.waits.len() / servers.max(1));
        }
        if is_another && wait.is_zero() {
            return None;
        }
        self.tried = BTreeSet::from([host.to_owned()]);
        let most = self.most(self.waits.len());
        self.waits.push(wait);
        let count = self.waits.len();
        if wait > most {
            return Some(format!(
                "waits {wait:?} before attempt {count}, at most {most:?} is allowed"
            ));
        }
        self.hurry(count)
    }

    /// Tells whether all waits are too short together for so many failures.
    fn hurry(&self, failures: usize) -> Option<String> {
        let count = self.waits.len();
        let (total, mean) = (self.waits.iter().sum::<Duration>(), self.mean(failures));
        (failures >= ENOUGH && total < mean / 8).then(|| {
            format!("makes {count} attempts with {total:?} of waiting, {mean:?} are to be expected")
        })
    }

    fn most(&self, failures: usize) -> Duration {
        let factor = 1_u32.checked_shl(failures as u32).unwrap_or(u32::MAX);
        FIRST_BACKOFF.saturating_mul(factor).min(self.longest)
    }

    /// Full jitter takes half of each time on average.
    fn mean(&self, failures: usize) -> Duration {
        (0..failures).map(|failures| self.most(failures) / 2).sum()
    }
}

/// So many waits together are never so short by chance.
const ENOUGH: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(
        waits: impl Iterator<Item = Duration>,
        accepted: bool,
        prepared: Option<usize>,
    ) -> bool {
        let mut pacing = Pacing::new(Duration::from_secs(60), Duration::from_secs(30), prepared);
        let mut now = Instant::ZERO;
        waits.into_iter().any(|wait| {
            pacing.end(now, accepted.then_some(now));
            now = now + wait;
            pacing.begin(now, "").is_some()
        })
    }

    #[test]
    fn waits_must_grow_and_not_too_much() {
        let doubling = (0..20).map(|n| {
            Duration::from_millis(250)
                .saturating_mul(1 << n)
                .min(Duration::from_secs(30))
        });
        assert!(!wrong(doubling, true, None));
        let short = || (0..20).map(|_| Duration::from_millis(250));
        assert!(wrong(short(), true, None));
        assert!(wrong((0..2).map(|_| Duration::from_secs(2)), false, None));
        assert!(wrong(short(), true, Some(1)));
        assert!(!wrong(short(), true, Some(2)), "too few to tell");
        let long = (0..20).map(|_| Duration::from_secs(90));
        assert!(!wrong(long, true, Some(1)), "preparing takes its time");
    }
}
