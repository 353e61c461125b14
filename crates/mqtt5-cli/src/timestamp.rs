//! Dates and times as RFC 3339 writes them.

use std::fmt;
use std::time::Duration;

/// A moment in UTC, to the microsecond: `2026-02-28T23:59:59.123456Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(Duration);

impl Timestamp {
    /// So long after the beginning of 1970.
    pub(crate) const fn since_1970(duration: Duration) -> Self {
        Self(duration)
    }

    /// The time of day without date and fraction, for people.
    pub(crate) fn time(self) -> String {
        let Clock {
            hour,
            minute,
            second,
        } = self.clock();
        format!("{hour:02}:{minute:02}:{second:02}")
    }

    const fn clock(self) -> Clock {
        let seconds = self.0.as_secs() % SECONDS_PER_DAY;
        Clock {
            hour: seconds / 3_600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    /// Year, month and day in the Gregorian calendar.
    ///
    /// Years are counted from the first of March, so that a leap day is the last of its year.
    const fn date(self) -> (u64, u64, u64) {
        let days = self.0.as_secs() / SECONDS_PER_DAY + DAYS_FROM_YEAR_0_TO_1970;
        let era = days / DAYS_PER_400_YEARS;
        let day_of_era = days % DAYS_PER_400_YEARS;
        let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
        let year_of_era = (day_of_era - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
        let month = (months_since_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + (month <= 2) as u64;
        (year, month, day)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let time = self.time();
        let micros = self.0.subsec_micros();
        write!(f, "{year:04}-{month:02}-{day:02}T{time}.{micros:06}Z")
    }
}

struct Clock {
    hour: u64,
    minute: u64,
    second: u64,
}

const SECONDS_PER_DAY: u64 = 86_400;
const DAYS_PER_400_YEARS: u64 = 146_097;
/// From the first of March of year 0.
const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d @N +%FT%T` writes them.
        let table = [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (1_735_689_600, "2025-01-01T00:00:00"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (253_402_300_799, "9999-12-31T23:59:59"),
        ];
        for (seconds, expected) in table {
            let moment = Timestamp::since_1970(Duration::new(seconds, 4_005_999));
            assert_eq!(moment.to_string(), format!("{expected}.004005Z"));
        }
    }
}
