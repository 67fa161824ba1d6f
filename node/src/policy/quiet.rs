//! Quiet hours: when the host's owner wants nothing to run.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::Deserialize;
use thiserror::Error;

use almanac_schemas::{Cron, Duration, Occurrence, Schedule, Timezone, node::Maintenance, schedule::Timing};

/// A recurring time in which nothing runs. As everywhere, days that have 23 or 25 hours are those of its time zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Quiet {
    begins: Schedule,
    ends: Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    /// After so long.
    After(TimeDelta),
    /// At the next instant of this schedule.
    At(Schedule),
}

/// As it is written: `{ daily = "22:00-06:00" }` or `{ cron = "0 3 * * 0", length = "2h" }`, either with a `timezone`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    daily: Option<String>,
    cron: Option<Cron>,
    length: Option<Duration>,
    #[serde(default)]
    timezone: Timezone,
}

/// Why quiet hours mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuietError {
    /// Not one of the two forms.
    #[error(
        "quiet hours are either `daily = \"22:00-06:00\"`, or `cron = \"0 3 * * 0\"` with `length = \"2h\"`"
    )]
    Form,
    /// The range is none.
    #[error("`{0}` is not a part of a day: expected two different times, such as `22:00-06:00`")]
    Daily(String),
    /// Too long, or nothing.
    #[error("quiet hours of {0} are not between nothing and 7 days")]
    Length(Duration),
}

/// The longest quiet hours: whoever wants more than a week cordons the node.
const LONGEST: TimeDelta = TimeDelta::days(7);

/// What the longest part of a day is shorter than, also on one of 25 hours.
const TWO_DAYS: TimeDelta = TimeDelta::days(2);

impl Quiet {
    /// The first quiet hours that a run would have an instant in common with.
    pub fn meets(&self, run: Occurrence) -> Option<Occurrence> {
        let reach = match &self.ends {
            Ending::After(length) => *length,
            Ending::At(_) => TWO_DAYS,
        };
        let mut from = run.start - reach;
        while let Some(begin) = self.begins.next(from).map(|begin| begin.start) {
            if begin >= run.end {
                return None;
            }
            let hours = Occurrence { start: begin, end: self.end(begin) };
            if hours.intersects(&run) {
                return Some(hours);
            }
            from = begin + TimeDelta::microseconds(1);
        }
        None
    }

    fn end(&self, begin: DateTime<Utc>) -> DateTime<Utc> {
        match &self.ends {
            Ending::After(length) => begin + *length,
            Ending::At(schedule) => {
                let next = schedule.next(begin + TimeDelta::microseconds(1));
                // Every day has such an instant; were there none, the quiet would not end.
                next.map_or(DateTime::<Utc>::MAX_UTC, |end| end.start)
            }
        }
    }
}

impl TryFrom<Written> for Quiet {
    type Error = QuietError;

    fn try_from(written: Written) -> Result<Self, QuietError> {
        match written {
            Written { daily: Some(text), cron: None, length: None, timezone } => {
                let error = || QuietError::Daily(text.clone());
                let (from, to) = text.split_once('-').ok_or_else(error)?;
                let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").map_err(|_| error());
                let (from, to) = (time(from)?, time(to)?);
                if from == to {
                    return Err(error());
                }
                Ok(Self { begins: each_day(from, timezone), ends: Ending::At(each_day(to, timezone)) })
            }
            Written { daily: None, cron: Some(cron), length: Some(length), timezone } => {
                if length.is_zero() || length.to_delta() > LONGEST {
                    return Err(QuietError::Length(length));
                }
                let begins = Maintenance { cron, timezone, length }.schedule();
                Ok(Self { begins, ends: Ending::After(length.to_delta()) })
            }
            _ => Err(QuietError::Form),
        }
    }
}

/// A time of each day, as a schedule: one evaluator knows what clocks do.
fn each_day(time: NaiveTime, timezone: Timezone) -> Schedule {
    let cron = time.format("%-M %-H * * *").to_string();
    Schedule {
        timing: Timing::Cron {
            cron: cron.parse().expect("a minute and an hour make an expression"),
            zone: timezone.0,
        },
        start: DateTime::UNIX_EPOCH,
        end: DateTime::<Utc>::MAX_UTC,
        length: TimeDelta::zero(),
    }
}
