//! The one place of this crate that reads the clocks.
#![expect(
    clippy::disallowed_methods,
    reason = "the command line is the edge: here time is read and handed on"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Measures time from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.start.elapsed()
    }

    /// Nanoseconds since the start; they reach for 584 years.
    pub(crate) fn nanoseconds(self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The time of day, since 1970 in UTC.
pub(crate) fn time_of_day() -> Duration {
    // A clock before 1970 is wrong anyway.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
