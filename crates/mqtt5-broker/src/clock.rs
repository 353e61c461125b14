//! The one place of this crate that reads a clock.

use std::time::Duration;

use mqtt5_proto::Instant;

/// A clock that starts at zero when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the listener is the edge where time enters"
    )]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    /// How long it is until `at`.
    pub(crate) fn until(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.now())
    }
}
