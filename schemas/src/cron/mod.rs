//! Cron expressions: five fields, or six with seconds first.
//!
//! What the fields mean is `croner`'s business. What they may look like is decided here, more strictly:
//! an expression is refused when it contains an empty list item, a step larger than its field, a name
//! out of place, a nickname or a year, or when it never fires. An error says what is wrong where.

mod field;
mod grammar;
mod problem;
mod sets;

use std::{cell::RefCell, collections::HashMap, fmt, ops::Range, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};

use crate::{
    Timetable,
    text::text_value,
    timetable::{DAY, whole_second},
};

pub use field::CronField;
pub use problem::{CronError, CronProblem};
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

/// The calendar repeats after so many days: 400 years, which are whole weeks.
const CYCLE: i64 = 146_097 * DAY;

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
        let from = whole_second(from);
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
            grammar::check(*kind, field, range.start).map_err(|(problem, range)| error(problem, range))?;
        }
        let refused =
            |cause: croner::errors::CronError| error(CronProblem::Refused(cause.to_string()), 0..text.len());
        let parsed = parser().parse(text).map_err(refused)?;
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
            "0 0 l * ?",
            "0 0 LW * *",
            "0 0 * * fril",
            "0 0 * * 1-3#2",
            "0 0 13 * +FRI",
            "0 0 * * SAT-SUN",
            "1-31/31 0 * * *",
        ] {
            assert_eq!(text.parse::<Cron>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_and_says_where() {
        for (text, wrong, message) in [
            (
                "* * * *",
                "* * * *",
                "found 4 fields, expected 5 (minute, hour, day, month, weekday) or 6 (seconds first)",
            ),
            (
                "0 0 * * * * 2027",
                "0 0 * * * * 2027",
                "found 7 fields, expected 5 (minute, hour, day, month, weekday) or 6 (seconds first); there is none for years",
            ),
            (
                "@daily",
                "@daily",
                "nicknames are not accepted, write out the fields (`@daily` is `0 0 * * *`)",
            ),
            ("0 25 * * *", "25", "the hour `25` is out of range: hours are 0 to 23"),
            ("0 0 0 * *", "0", "the day of the month `0` is out of range: days of the month are 1 to 31"),
            ("0 0 * 13 *", "13", "the month `13` is out of range: months are 1 to 12 or JAN to DEC"),
            (
                "0 0 * * 8",
                "8",
                "the day of the week `8` is out of range: days of the week are 0 to 7 or SUN to SAT",
            ),
            ("0 9,30 * * *", "30", "the hour `30` is out of range: hours are 0 to 23"),
            ("0 9-30 * * *", "30", "the hour `30` is out of range: hours are 0 to 23"),
            ("70000 * * * *", "70000", "the minute `70000` is out of range: minutes are 0 to 59"),
            ("a * * * *", "a", "`a` is no minute: minutes are 0 to 59"),
            ("0 -5 * * *", "-5", "the range `-5` needs a start and an end: hours are 0 to 23"),
            ("0 0 * foo *", "foo", "`foo` is no month: months are 1 to 12 or JAN to DEC"),
            (
                "0 0 * * SUNDAY",
                "SUNDAY",
                "`SUNDAY` is no day of the week: days of the week are 0 to 7 or SUN to SAT",
            ),
            ("0 0 * JANFEB *", "JANFEB", "`JANFEB` is no month: months are 1 to 12 or JAN to DEC"),
            ("MON 0 * * *", "MON", "`MON` is no minute: minutes are 0 to 59"),
            ("0 22-4 * * *", "22-4", "the range `22-4` ends before it starts: write `22-23,0-4`"),
            (
                "0 0 * * fri-mon",
                "fri-mon",
                "the range `fri-mon` ends before it starts: write `fri-SAT,SUN-mon`",
            ),
            (
                "0 0 * NOV-FEB *",
                "NOV-FEB",
                "the range `NOV-FEB` ends before it starts: write `NOV-DEC,JAN-FEB`",
            ),
            ("0 22-4/2 * * *", "22-4", "the range `22-4` ends before it starts"),
            (
                "*/70 * * * *",
                "70",
                "a step of `70` passes all 60 minutes at once, so that only the first is left: write that one itself",
            ),
            ("*/0 * * * *", "0", "a step of 0 leads nowhere: the smallest is 1"),
            ("*/x * * * *", "x", "the step `x` is not a number"),
            ("5/15 * * * *", "5/15", "a step needs a range: write `5-59/15`"),
            ("/15 * * * *", "/15", "a step needs a range: write `0-59/15`"),
            ("0 1,2,,3 * * *", ",", "the list of hours has an empty item"),
            ("0 0 * * MON,", ",", "the list of days of the week has an empty item"),
            ("0 0 13 * +", "+", "the list of days of the week has an empty item"),
            (",5 0 * * *", ",", "the list of minutes has an empty item"),
            ("0 *,5 * * *", "*", "`*` stands for all hours already: write it alone"),
            ("0 5L * * *", "5L", "`L` means nothing in the hour: it is for the last day of a month"),
            (
                "0 0 * * 5W",
                "5W",
                "`W` means nothing in the day of the week: it is for days of the month, such as `15W`",
            ),
            (
                "0 0 1#2 * *",
                "1#2",
                "`#` means nothing in the day of the month: it counts days of the week, such as `MON#2`",
            ),
            (
                "0 0 * * MON#6",
                "#6",
                "`#6` is out of range: a month has a day of the week up to 5 times, `#1` to `#5`",
            ),
            (
                "0 0 * * L",
                "L",
                "`L` needs a day of the week before it: the last Friday of the month is `FRIL`",
            ),
            (
                "0 0 W * *",
                "W",
                "`W` needs a day of the month before it: the weekday nearest to the 15th is `15W`",
            ),
            ("0 0 30 2 *", "0 0 30 2 *", "this never fires: no such date exists"),
        ] {
            let error = text.parse::<Cron>().unwrap_err();
            assert_eq!((&text[error.range], error.problem.to_string().as_str()), (wrong, message), "{text}");
        }
    }
}
