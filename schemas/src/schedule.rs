//! What a schedule means: its occurrences, as instants in UTC.
//!
//! An [`Occurrence`] is the half-open interval `[start, start + length)`. A schedule yields those
//! whose start lies in `[start, end)` of the schedule. One evaluator serves everything that asks
//! when a job runs, so that nothing can disagree.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Cron, Duration, Instant, Timetable, Timezone};

/// When a job runs: recurring (`cron`) or once (`at`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScheduleSpec {
    /// When it recurs. Exactly one of `cron` and `at` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<Cron>,
    /// The one instant at which it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Instant>,
    /// The time zone of `cron`.
    #[serde(default)]
    pub timezone: Timezone,
    /// Occurrences before this instant do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Instant>,
    /// Occurrences at or after this instant do not count. Required with `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Instant>,
    /// How long each run may take. Its container is stopped at the end.
    pub length: Duration,
    /// Over how long after its instant runs begin, shorter than `length`: each a certain time of its own later, so that
    /// the nodes of a job do not all begin at once. A run still ends `length` after its instant.
    #[serde(default = "no_jitter", skip_serializing_if = "is_none")]
    pub jitter: Duration,
    /// How late a run may still start, at least `1s`. It counts from when the run is to begin, which with a `jitter` is
    /// after its instant.
    #[serde(default = "default_start_deadline")]
    pub start_deadline: Duration,
    /// What happens to instants that passed while the node was not running.
    #[serde(default)]
    pub on_missed: OnMissed,
}

const fn no_jitter() -> Duration {
    Duration::ZERO
}

/// What was declared before there was a jitter is written as ever, so that agents of that time read it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "that is how serde calls it")]
const fn is_none(jitter: &Duration) -> bool {
    jitter.is_zero()
}

fn default_start_deadline() -> Duration {
    Duration::from_secs(30)
}

/// What happens to instants that passed while the node was not running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnMissed {
    /// Each is recorded as missed.
    #[default]
    Skip,
    /// The latest one runs if its reservation is not over; the others are recorded as missed.
    Latest,
}

/// Why a schedule means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Neither `cron` nor `at` is given.
    #[error("a schedule needs `cron` (recurring) or `at` (once)")]
    NoTiming,
    /// Both `cron` and `at` are given.
    #[error("a schedule has either `cron` or `at`, not both")]
    TwoTimings,
    /// A recurring schedule has no end.
    #[error("a schedule with `cron` needs an `end`")]
    NoEnd,
    /// A one-shot schedule has a window that its instant is not in.
    #[error("`at` is outside the schedule's own `start` and `end`")]
    AtOutsideWindow,
    /// The window is empty.
    #[error("`end` must be after `start`")]
    EndBeforeStart,
    /// The runs take no time.
    #[error("`length` must be longer than nothing")]
    NoLength,
    /// A run might begin when it has to end.
    #[error("`jitter` must be shorter than `length`: a run that begins so late would have no time left")]
    JitterTooLong,
    /// The runs could only start before their instant is over.
    #[error("`startDeadline` must be longer than nothing: a run starts a moment after its instant at best")]
    NoStartDeadline,
}

impl ScheduleSpec {
    /// The meaning of the fields together.
    ///
    /// # Errors
    ///
    /// When the fields contradict each other or one is missing.
    pub fn resolve(&self) -> Result<Schedule, ScheduleError> {
        if self.length.is_zero() {
            return Err(ScheduleError::NoLength);
        }
        if self.jitter >= self.length {
            return Err(ScheduleError::JitterTooLong);
        }
        if self.start_deadline.is_zero() {
            return Err(ScheduleError::NoStartDeadline);
        }
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end <= start
        {
            return Err(ScheduleError::EndBeforeStart);
        }
        let timing = match (&self.cron, self.at) {
            (None, None) => return Err(ScheduleError::NoTiming),
            (Some(_), Some(_)) => return Err(ScheduleError::TwoTimings),
            (Some(_), None) if self.end.is_none() => return Err(ScheduleError::NoEnd),
            (Some(cron), None) => Timing::Cron { cron: cron.clone(), zone: self.timezone.0 },
            (None, Some(at)) => {
                let before = self.start.is_some_and(|start| at < start);
                let after = self.end.is_some_and(|end| at >= end);
                if before || after {
                    return Err(ScheduleError::AtOutsideWindow);
                }
                Timing::At(at.0)
            }
        };
        Ok(Schedule {
            timing,
            start: self.start.map_or(DateTime::UNIX_EPOCH, |start| start.0),
            end: self.end.map_or(DateTime::<Utc>::MAX_UTC, |end| end.0),
            length: self.length.to_delta(),
        })
    }
}

/// A schedule whose meaning is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// At which instants.
    pub timing: Timing,
    /// The first instant of the window.
    pub start: DateTime<Utc>,
    /// The end of the window; it is not part of it.
    pub end: DateTime<Utc>,
    /// The length of each occurrence.
    pub length: TimeDelta,
}

/// At which instants a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// Whenever an expression fires in a time zone.
    Cron {
        /// The expression.
        cron: Cron,
        /// The zone that its fields are read in.
        zone: Tz,
    },
    /// Once.
    At(DateTime<Utc>),
}

/// A half-open interval `[start, end)` of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Occurrence {
    /// The scheduled instant.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
}

impl Occurrence {
    /// Whether two intervals have an instant in common; touching ones have none.
    pub fn intersects(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The interval, lengthened at its end.
    #[must_use]
    pub fn lengthened(self, by: TimeDelta) -> Self {
        Self { start: self.start, end: self.end + by }
    }
}

impl Schedule {
    /// The first occurrence whose start is at or after `from`.
    pub fn next(&self, from: DateTime<Utc>) -> Option<Occurrence> {
        let from = from.max(self.start);
        let start = match &self.timing {
            // Beyond the last representable instants the library would search for nothing.
            Timing::Cron { cron, zone } if from < self.end => cron.next(from, *zone)?,
            Timing::At(at) if *at >= from => *at,
            _ => return None,
        };
        (start < self.end).then(|| Occurrence { start, end: start + self.length })
    }

    /// The occurrences whose start lies in `[from, to)`, in order. Each instant occurs once.
    pub fn occurrences(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Iterator<Item = Occurrence> + use<> {
        let (schedule, length) = (self.clone(), self.length);
        let (mut from, to) = (from.max(self.start), to.min(self.end));
        let mut stride = TimeDelta::days(1);
        let chunks = std::iter::from_fn(move || {
            if from >= to {
                return None;
            }
            let end = from.checked_add_signed(stride).map_or(to, |end| end.min(to));
            let table = Timetable::new(&schedule, from, end);
            (from, stride) = (end, (stride * 2).min(LONGEST_STRIDE));
            Some(table)
        });
        chunks.flat_map(move |table| {
            let mut next = table.next(i64::MIN);
            std::iter::from_fn(move || {
                let start = next?;
                next = table.next(start + 1);
                let start = DateTime::from_timestamp_micros(start)?;
                Some(Occurrence { start, end: start + length })
            })
        })
    }
}

/// How much of a schedule is computed at a time, at most: what is asked for may be centuries, of which
/// the first few instants are looked at.
const LONGEST_STRIDE: TimeDelta = TimeDelta::days(512);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse::<Instant>().unwrap().0
    }

    fn cron(cron: &str, zone: &str, start: &str, end: &str) -> Schedule {
        ScheduleSpec {
            cron: Some(cron.parse().unwrap()),
            at: None,
            timezone: zone.parse().unwrap(),
            start: Some(start.parse().unwrap()),
            end: Some(end.parse().unwrap()),
            length: Duration::from_secs(60),
            jitter: Duration::ZERO,
            start_deadline: default_start_deadline(),
            on_missed: OnMissed::Skip,
        }
        .resolve()
        .unwrap()
    }

    fn starts(schedule: &Schedule) -> Vec<String> {
        schedule
            .occurrences(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC)
            .map(|occurrence| Instant(occurrence.start).to_string())
            .collect()
    }

    #[test]
    fn the_window_is_half_open() {
        let schedule = cron("0 * * * *", "UTC", "2027-01-01T00:00:00Z", "2027-01-01T03:00:00Z");
        assert_eq!(
            starts(&schedule),
            ["2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z", "2027-01-01T02:00:00Z"]
        );
        let from = at("2027-01-01T00:00:01Z");
        assert_eq!(schedule.next(from).unwrap().start, at("2027-01-01T01:00:00Z"));
        assert_eq!(schedule.next(at("2027-01-01T02:00:01Z")), None);
    }

    /// Clocks in London go from 01:00 to 02:00 on 2027-03-28 and back on 2027-10-31.
    #[test]
    fn daylight_saving_moves_fixed_times_and_skips_steps() {
        let gap = |text| starts(&cron(text, "Europe/London", "2027-03-28T00:00:00Z", "2027-03-28T03:00:00Z"));
        assert_eq!(gap("30 1 * * *"), ["2027-03-28T01:00:00Z"]);
        assert_eq!(gap("15,45 1 * * *"), Vec::<String>::new());
        assert_eq!(
            gap("*/30 0-2 * * *"),
            ["2027-03-28T00:00:00Z", "2027-03-28T00:30:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"]
        );
    }

    #[test]
    fn daylight_saving_repeats_steps_and_not_fixed_times() {
        let fold =
            |text| starts(&cron(text, "Europe/London", "2027-10-31T00:00:00Z", "2027-10-31T02:00:00Z"));
        assert_eq!(fold("30 1 * * *"), ["2027-10-31T00:30:00Z"]);
        assert_eq!(fold("15,45 1 * * *").len(), 4);
    }

    #[test]
    fn the_fields_must_agree() {
        let good = ScheduleSpec {
            cron: None,
            at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            timezone: Timezone::default(),
            start: None,
            end: None,
            length: Duration::from_secs(60),
            jitter: Duration::ZERO,
            start_deadline: default_start_deadline(),
            on_missed: OnMissed::Skip,
        };
        assert_eq!(starts(&good.resolve().unwrap()), ["2027-01-01T00:00:00Z"]);
        let wrong = |change: fn(&mut ScheduleSpec)| {
            let mut spec = good.clone();
            change(&mut spec);
            spec.resolve().unwrap_err()
        };
        assert_eq!(wrong(|s| s.at = None), ScheduleError::NoTiming);
        assert_eq!(wrong(|s| s.cron = Some("* * * * *".parse().unwrap())), ScheduleError::TwoTimings);
        assert_eq!(wrong(|s| s.length = Duration::ZERO), ScheduleError::NoLength);
        assert_eq!(wrong(|s| s.jitter = s.length), ScheduleError::JitterTooLong);
        assert_eq!(wrong(|s| s.start_deadline = Duration::ZERO), ScheduleError::NoStartDeadline);
        assert_eq!(wrong(|s| s.end = s.at), ScheduleError::AtOutsideWindow);
        assert_eq!(
            wrong(|s| {
                s.start = s.at;
                s.end = s.at;
            }),
            ScheduleError::EndBeforeStart
        );
        assert_eq!(
            wrong(|s| {
                s.at = None;
                s.cron = Some("* * * * *".parse().unwrap());
            }),
            ScheduleError::NoEnd
        );
    }

    #[test]
    fn touching_intervals_do_not_intersect() {
        let interval = |a: i64, b: i64| Occurrence {
            start: DateTime::from_timestamp(a, 0).unwrap(),
            end: DateTime::from_timestamp(b, 0).unwrap(),
        };
        assert!(!interval(0, 5).intersects(&interval(5, 9)));
        assert!(interval(0, 6).intersects(&interval(5, 9)));
        assert!(interval(0, 9).intersects(&interval(3, 4)));
    }
}
