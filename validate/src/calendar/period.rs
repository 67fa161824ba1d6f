//! The periods that a cron expression can have.

use std::{fmt, str::FromStr};

use almanac_schemas::{Cron, Duration, duration::DurationError};
use thiserror::Error;

/// A period that cron can express, in whole minutes: it divides an hour, a day, or is a day or a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(u32);

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;
const WEEK: u32 = 7 * DAY;

/// Why a text is not a period.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// It is no length of time at all.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// Cron starts anew with each hour and each day, and the period does not divide them.
    #[error("cron cannot express a period of {found}: {near}")]
    Inexpressible {
        /// What was found.
        found: Duration,
        /// The nearest periods that it can express.
        near: Near,
    },
}

/// The periods next to one that cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    /// The next shorter one.
    pub shorter: Option<Period>,
    /// The next longer one.
    pub longer: Option<Period>,
}

impl Period {
    /// All of them, in minutes.
    const ALL: [u32; 20] = [
        1,
        2,
        3,
        4,
        5,
        6,
        10,
        12,
        15,
        20,
        30,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        4 * HOUR,
        6 * HOUR,
        8 * HOUR,
        12 * HOUR,
        DAY,
        WEEK,
    ];

    /// All of them, from short to long.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().map(Self)
    }

    /// Its length in minutes.
    pub const fn minutes(self) -> u32 {
        self.0
    }

    /// The minutes of the hour at which the expression of an offset fires, as a field of it.
    pub(super) fn minute_field(self, offset: u32) -> String {
        steps(offset % self.0 % HOUR, self.0.min(HOUR), 59)
    }

    /// The expression that fires, in UTC, at the minutes that leave a rest of `offset` when those since
    /// the Unix epoch are divided by the period.
    pub fn cron(self, offset: u32) -> Cron {
        let offset = offset % self.0;
        let (day, hour, minute) = (offset / DAY, offset / HOUR % 24, self.minute_field(offset));
        // The epoch was a Thursday.
        const DAYS: [&str; 7] = ["THU", "FRI", "SAT", "SUN", "MON", "TUE", "WED"];
        let text = match self.0 {
            WEEK => format!("{minute} {hour} * * {}", DAYS[day as usize]),
            DAY => format!("{minute} {hour} * * *"),
            period if period > HOUR => format!("{minute} {} * * *", steps(hour, period / HOUR, 23)),
            _ => format!("{minute} * * * *"),
        };
        text.parse().expect("each field is within its range and the step divides it")
    }
}

/// Every `step`, from `start` on, in a field that ends with `last`.
fn steps(start: u32, step: u32, last: u32) -> String {
    match (start, step) {
        (_, 1) => "*".to_owned(),
        // It would be the only one.
        (start, step) if step > last => start.to_string(),
        (0, step) => format!("*/{step}"),
        (start, step) => format!("{start}-{last}/{step}"),
    }
}

impl TryFrom<Duration> for Period {
    type Error = PeriodError;

    fn try_from(length: Duration) -> Result<Self, PeriodError> {
        let seconds = |period: &Self| u64::from(period.0) * 60;
        if let Some(period) = Self::all().find(|period| seconds(period) == length.as_secs()) {
            return Ok(period);
        }
        let near = Near {
            shorter: Self::all().filter(|period| seconds(period) < length.as_secs()).last(),
            longer: Self::all().find(|period| seconds(period) > length.as_secs()),
        };
        Err(PeriodError::Inexpressible { found: length, near })
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        Self::try_from(text.parse::<Duration>()?)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            WEEK => f.pad("1w"),
            minutes => Duration::from_secs(u64::from(minutes) * 60).fmt(f),
        }
    }
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.shorter, self.longer) {
            (Some(shorter), Some(longer)) => write!(f, "the nearest are {shorter} and {longer}"),
            (Some(shorter), None) => write!(f, "the longest is {shorter}"),
            (None, Some(longer)) => write!(f, "the shortest is {longer}"),
            (None, None) => f.write_str("there is none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_periods_are_named() {
        let error = |text: &str| text.parse::<Period>().unwrap_err().to_string();
        assert_eq!(error("7m"), "cron cannot express a period of 7m: the nearest are 6m and 10m");
        assert_eq!(error("45m"), "cron cannot express a period of 45m: the nearest are 30m and 1h");
        assert_eq!(error("2d"), "cron cannot express a period of 2d: the nearest are 1d and 1w");
        assert_eq!(error("30s"), "cron cannot express a period of 30s: the shortest is 1m");
        assert_eq!(error("2w"), "cron cannot express a period of 14d: the longest is 1w");
        assert!(error("often").contains("is not a duration"));
        assert_eq!("60m".parse::<Period>().unwrap().to_string(), "1h");
        assert_eq!("7d".parse::<Period>().unwrap().to_string(), "1w");
    }

    #[test]
    fn expressions_are_as_a_person_would_write_them() {
        let cron = |period: &str, offset| period.parse::<Period>().unwrap().cron(offset).to_string();
        assert_eq!(cron("1m", 0), "* * * * *");
        assert_eq!(cron("10m", 0), "*/10 * * * *");
        assert_eq!(cron("10m", 3), "3-59/10 * * * *");
        assert_eq!(cron("1h", 7), "7 * * * *");
        assert_eq!(cron("2h", 7), "7 */2 * * *");
        assert_eq!(cron("6h", 67), "7 1-23/6 * * *");
        assert_eq!(cron("1d", 90), "30 1 * * *");
        assert_eq!(cron("1w", 0), "0 0 * * THU");
        assert_eq!(cron("1w", 4 * DAY + 90), "30 1 * * MON");
    }

    /// Every expression fires exactly at its offset, again and again.
    #[test]
    fn expressions_mean_their_offset() {
        use chrono::{DateTime, TimeDelta};
        for period in Period::all() {
            for offset in (0..period.minutes()).step_by(1.max(period.minutes() as usize / 60)) {
                let cron = period.cron(offset);
                let mut expected = DateTime::UNIX_EPOCH + TimeDelta::minutes(offset.into());
                for _ in 0..3 {
                    let next = cron.next(expected - TimeDelta::seconds(1), chrono_tz::UTC);
                    assert_eq!(next, Some(expected), "{cron}");
                    expected += TimeDelta::minutes(period.minutes().into());
                }
            }
        }
    }
}
