//! The one place of this crate that reads the clock and sleeps.
#![expect(
    clippy::disallowed_methods,
    reason = "tests against real processes run in real time"
)]

use std::thread;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(2);

/// Looks every few milliseconds until `condition` holds; tells whether it held before `timeout` was over.
///
/// The condition is looked at once at least. Prefer an event to wait for where there is one.
pub fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(STEP);
    }
    true
}

/// How long something has taken so far.
#[cfg(feature = "behaviour")]
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

#[cfg(feature = "behaviour")]
impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Spaces two writes so far apart that a reader which waits for them sees two.
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_once_even_without_time() {
        assert!(wait_until(Duration::ZERO, || true));
    }

    #[test]
    fn gives_up_when_the_time_is_over() {
        let mut looks = 0;
        assert!(!wait_until(Duration::from_millis(10), || {
            looks += 1;
            false
        }));
        assert!(looks > 1, "{looks}");
    }
}
