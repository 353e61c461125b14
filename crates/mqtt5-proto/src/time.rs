//! Time as a number that the embedder passes in.

use core::ops::Add;
use core::time::Duration;

/// A point in time: microseconds since an origin that the embedder chooses.
///
/// All instants given to one machine must share the origin. The machine never reads a clock. Arithmetic
/// saturates: at one microsecond a tick the range is 584,000 years.
///
/// ```
/// use core::time::Duration;
/// use mqtt5_proto::Instant;
///
/// let start = Instant::from_micros(1_000);
/// assert_eq!(start + Duration::from_millis(2), Instant::from_micros(3_000));
/// assert_eq!(Instant::ZERO.saturating_duration_since(start), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// Later than every other instant.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant so many microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero when `earlier` is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The instant so long after this one; at most [`Instant::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::MAX`].
    fn add(self, duration: Duration) -> Self {
        self.saturating_add(duration)
    }
}
