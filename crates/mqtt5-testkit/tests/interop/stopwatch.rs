//! Real time.

use std::time::{Duration, Instant};

use super::PATIENCE;

/// Measures time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests against real brokers run in real time"
    )]
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until this much has passed since the start.
    pub(crate) fn wait_for(&self, duration: Duration) {
        mqtt5_testkit::wait_until(PATIENCE, || self.elapsed() >= duration);
    }
}
