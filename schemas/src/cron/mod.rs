//! Cron expressions: five fields, or six with seconds first.
//!
//! What the fields mean is `croner`'s business. This module adds what it lets pass: an
//! expression is refused when it contains an empty list item, a step larger than its field, a
//! nickname or a year, or when it never fires. An error names the field and where it stands.

mod sets;

use std::{cell::RefCell, collections::HashMap, fmt, ops::Range, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use thiserror::Error;

use crate::{Timetable, text::text_value};

pub(crate) use sets::Sets;

/// A cron expression that fires at least once.
#[derive(Debug, Clone)]
pub struct Cron {
    /// Shared, because it is a few hundred bytes and schedules are cloned freely.
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    text: String,
    sets: Sets,
    /// What has `L`, `W` or `#` in it. Otherwise the sets say all, and this is several kilobytes.
    modified: Option<croner::Cron>,
}

thread_local! {
    /// What was parsed before: thousands of jobs run at the same few expressions, and parsing one takes
    /// about as long as the rest of its manifest.
    static KNOWN: RefCell<HashMap<String, Cron>> = RefCell::default();
}

/// How many expressions are remembered by a thread; beyond that, it begins anew.
const MAX_KNOWN: usize = 1_024;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The calendar repeats after so many days: 400 years, which are whole weeks.
const CYCLE: i64 = 146_097 * DAY;

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CronField {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl CronField {
    const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// The smallest and the largest value. Sunday is both 0 and 7.
    const fn bounds(self) -> (u16, u16) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// How many different values there are: the largest step that is not nonsense.
    const fn values(self) -> u16 {
        match self {
            Self::DayOfWeek => 7,
            _ => self.bounds().1 - self.bounds().0 + 1,
        }
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
        })
    }
}

/// Why a text is not a cron expression, and which part of it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a cron expression: {problem}")]
pub struct CronError {
    /// The whole expression.
    pub text: String,
    /// What is wrong.
    pub problem: CronProblem,
    /// The bytes of the expression that are wrong.
    pub range: Range<usize>,
}

/// What is wrong with a cron expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronProblem {
    /// Not five or six fields.
    #[error("it has {0} fields, expected 5 (minute, hour, day, month, weekday) or 6 (seconds first)")]
    FieldCount(usize),
    /// A nickname such as `@daily`.
    #[error("nicknames are not accepted, write out the fields (`@daily` is `0 0 * * *`)")]
    Nickname,
    /// A list with nothing between two commas, or at an end.
    #[error("the {0} has an empty item in its list")]
    EmptyItem(CronField),
    /// A step that skips the whole field.
    #[error(
        "the step {step} in the {field} is larger than its {values} values, so it would fire once only; write the value itself"
    )]
    Step {
        /// The field.
        field: CronField,
        /// The step that was found.
        step: u64,
        /// How many values the field has.
        values: u16,
    },
    /// A value outside the field, a bad range, an unknown name.
    #[error("the {field} is wrong: {reason}")]
    Field {
        /// The field.
        field: CronField,
        /// What is wrong with it.
        reason: String,
    },
    /// Every field is right, and yet no date fits.
    #[error("it never fires: no such date exists")]
    Never,
}

impl Cron {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.inner.text
    }

    /// The first instant at or after `from` at which it fires in a time zone; `None` when there is
    /// none within 400 years.
    ///
    /// Around daylight saving: in the hour that is skipped, an expression with one fixed time
    /// fires once, at the end of the gap, and lists, steps and ranges skip what does not exist; in
    /// the hour that is repeated, a fixed time fires once, in the first pass, and lists, steps and
    /// ranges fire in both.
    pub fn next(&self, from: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let from = from.timestamp() + i64::from(from.timestamp_subsec_nanos() > 0);
        let until = from + CYCLE;
        // Most fire within a day; each span that holds nothing is followed by a longer one.
        let mut span = (from, from + DAY);
        loop {
            let found = Timetable::of_cron(self, zone, span.0, span.1).next(i64::MIN);
            if let Some(start) = found {
                return DateTime::from_timestamp_micros(start);
            }
            if span.1 >= until {
                return None;
            }
            span = (span.1, (span.1 + 8 * (span.1 - span.0)).min(until));
        }
    }

    /// The minutes that it selects; minute 0 is bit 0.
    pub fn minutes(&self) -> u64 {
        self.inner.sets.minutes
    }

    /// The hours that it selects; hour 0 is bit 0.
    pub fn hours(&self) -> u32 {
        self.inner.sets.hours
    }

    pub(crate) fn sets(&self) -> &Sets {
        &self.inner.sets
    }

    pub(crate) fn modified(&self) -> Option<&croner::Cron> {
        self.inner.modified.as_ref()
    }

    /// What the library would let pass.
    fn check_items(field: CronField, text: &str) -> Result<(), CronProblem> {
        for item in text.split(',') {
            if item.is_empty() {
                return Err(CronProblem::EmptyItem(field));
            }
            let step = item.split_once('/').and_then(|(_, step)| step.parse::<u64>().ok());
            if let Some(step) = step
                && step > u64::from(field.values())
            {
                return Err(CronProblem::Step { field, step, values: field.values() });
            }
        }
        Ok(())
    }

    /// Whether a field is right by itself. The library's errors name no field.
    fn check_alone(field: CronField, text: &str) -> Result<(), CronProblem> {
        let mut alone = ["*"; 6];
        alone[0] = "0";
        if let Some(place) = CronField::ALL.iter().position(|other| *other == field) {
            alone[place] = text;
        }
        parser().parse(&alone.join(" ")).map(drop).map_err(|_| {
            let (low, high) = field.bounds();
            let names = match field {
                CronField::Month => " or JAN to DEC",
                CronField::DayOfWeek => " or SUN to SAT",
                _ => "",
            };
            let reason = format!("`{text}` is not made of `*` and values from {low} to {high}{names}");
            CronProblem::Field { field, reason }
        })
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build()
}

/// The fields of an expression with the place of each, in bytes.
fn fields(text: &str) -> Vec<(Range<usize>, &str)> {
    let base = text.as_ptr().addr();
    text.split_whitespace()
        .map(|field| {
            let start = field.as_ptr().addr() - base;
            (start..start + field.len(), field)
        })
        .collect()
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        if let Some(known) = KNOWN.with_borrow(|known| known.get(text).cloned()) {
            return Ok(known);
        }
        let cron = Self::parse(text)?;
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(text.to_owned(), cron.clone());
        });
        Ok(cron)
    }
}

impl Cron {
    fn parse(text: &str) -> Result<Self, CronError> {
        let error = |problem, range| CronError { text: text.to_owned(), problem, range };
        let fields = fields(text);
        if text.trim_start().starts_with('@') {
            return Err(error(CronProblem::Nickname, 0..text.len()));
        }
        let kinds = match fields.len() {
            5 => &CronField::ALL[1..],
            6 => &CronField::ALL[..],
            count => return Err(error(CronProblem::FieldCount(count), 0..text.len())),
        };
        for (kind, (range, field)) in kinds.iter().zip(&fields) {
            Self::check_items(*kind, field).map_err(|problem| error(problem, range.clone()))?;
        }
        let parsed = parser().parse(text).map_err(|cause| {
            for (kind, (range, field)) in kinds.iter().zip(&fields) {
                if let Err(problem) = Self::check_alone(*kind, field) {
                    return error(problem, range.clone());
                }
            }
            let problem = CronProblem::Field { field: kinds[0], reason: cause.to_string() };
            error(problem, 0..text.len())
        })?;
        let sets = Sets::new(&parsed);
        let modified = sets.has_modifiers().then_some(parsed);
        let cron = Self { inner: Arc::new(Inner { text: text.to_owned(), sets, modified }) };
        // Any start will do: without a year, an expression fires again and again or not at all.
        match cron.next(DateTime::UNIX_EPOCH, Tz::UTC) {
            Some(_) => Ok(cron),
            None => Err(error(CronProblem::Never, 0..text.len())),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Cron {}

text_value!(Cron, "cron expression", {
    "type": "string",
    "description": "Five fields (minute, hour, day of the month, month, day of the week), or six with seconds first.",
    "examples": ["*/15 * * * *", "30 0 2 * * MON"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_people_write() {
        for text in [
            "*/15 * * * *",
            "30 0 2 * * MON",
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * FRI#2",
            "0,30 9-17 * JAN-MAR 1-5",
            "7-59/15 * * * *",
            "0 0 29 2 *",
            " 0  3 * * 0 ",
        ] {
            assert_eq!(text.parse::<Cron>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_and_says_where() {
        for (text, problem, range) in [
            ("* * * *", CronProblem::FieldCount(4), 0..7),
            ("@daily", CronProblem::Nickname, 0..6),
            ("*/70 * * * *", CronProblem::Step { field: CronField::Minute, step: 70, values: 60 }, 0..4),
            ("0 1,2,,3 * * *", CronProblem::EmptyItem(CronField::Hour), 2..8),
            ("0 0 * * MON,", CronProblem::EmptyItem(CronField::DayOfWeek), 8..12),
            ("0 0 30 2 *", CronProblem::Never, 0..10),
        ] {
            let error = text.parse::<Cron>().unwrap_err();
            assert_eq!((error.problem, error.range), (problem, range), "{text}");
        }
        let error = "61 * * * *".parse::<Cron>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`61 * * * *` is not a cron expression: the minute is wrong: `61` is not made of `*` and values from 0 to 59"
        );
        assert_eq!(error.range, 0..2);
        for text in [
            "0 0 * * * * 2027",
            "0 0 0 * *",
            "a * * * *",
            "0 24 * * *",
            "0 0 * * 8",
            "0 0 * FOO *",
            "*/0 * * * *",
        ] {
            assert!(text.parse::<Cron>().is_err(), "{text}");
        }
    }
}
