//! The instants of a schedule within a span of time, computed instead of listed.
//!
//! A year of `*/5 * * * *` is 105,120 instants but one pattern: the same 12 seconds of every hour. A
//! [`Timetable`] holds it as a [`Grid`], a set of hours times a set of places within an hour, so that
//! counting, searching and comparing are a few operations on words of 64 hours. What does not fit a grid,
//! such as a run that daylight saving moves, is listed beside it.
//!
//! What the fields of an expression mean is `croner`'s business; which instants follow from them is
//! computed here, the same as `croner` enumerates:
//!
//! - An instant counts when the zone's clocks show a time that all fields select.
//! - An expression with one fixed time of day fires once in the hour that is repeated, in the first pass;
//!   when the time is skipped, it fires at the end of the gap, provided that this is still a day on which
//!   it fires. Lists, steps and ranges fire in both passes, and skip what does not exist.

mod grid;
mod offsets;

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

pub use grid::{Grid, HOUR};

use crate::{Cron, Schedule, schedule::Timing};
use offsets::Span;

/// Microseconds of a second.
pub const MICROS: i64 = 1_000_000;

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// The instants at which a schedule starts within a span of time. Instants are microseconds since 1970
/// here, which is what databases keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timetable {
    grids: Vec<Grid>,
    /// Ascending.
    loose: Vec<i64>,
}

impl Timetable {
    /// The starts of a schedule in `[from, to)`.
    pub fn new(schedule: &Schedule, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let (from, to) = (from.max(schedule.start), to.min(schedule.end));
        match &schedule.timing {
            Timing::At(at) if from <= *at && *at < to => {
                Self { grids: Vec::new(), loose: vec![at.timestamp_micros()] }
            }
            Timing::At(_) => Self::default(),
            Timing::Cron { cron, zone } => Self::of_cron(cron, *zone, whole_second(from), whole_second(to)),
        }
    }

    /// The instants in `[from, to)`, seconds since 1970, at which an expression fires in a zone.
    pub(crate) fn of_cron(cron: &Cron, zone: Tz, from: i64, to: i64) -> Self {
        if from >= to {
            return Self::default();
        }
        let mut compiler = Compiler {
            cron,
            first: from.div_euclid(HOUR) - 1,
            count: (to - from) / HOUR + 4,
            marks: cron.sets().marks().into(),
            table: Self::default(),
        };
        let spans = offsets::spans(zone, from, to);
        for (index, span) in spans.iter().enumerate() {
            let end = spans.get(index + 1).map_or(to, |next| next.start.min(to));
            let mut start = span.start.max(from);
            if cron.sets().fixed {
                if from <= span.start && span.start < to && compiler.is_moved(span) {
                    compiler.table.loose.push(span.start * MICROS);
                }
                // The second pass of a repeated hour.
                start = start.max(span.start + (span.before - span.offset).max(0));
            }
            if start < end {
                compiler.fill(start, end, span.offset);
            }
        }
        let mut table = compiler.table;
        table.grids.retain(|grid| !grid.is_empty());
        table.loose.sort_unstable();
        table.loose.dedup();
        table
    }

    /// The starts that come in patterns.
    pub fn grids(&self) -> &[Grid] {
        &self.grids
    }

    /// The starts that do not, ascending.
    pub fn loose(&self) -> &[i64] {
        &self.loose
    }

    /// How many starts there are.
    pub fn count(&self) -> u64 {
        self.grids.iter().map(Grid::count).sum::<u64>() + self.loose.len() as u64
    }

    /// How many starts lie in `[from, to)`.
    pub fn count_between(&self, from: i64, to: i64) -> u64 {
        let (first, last) = (ceiling(from), ceiling(to).max(ceiling(from)));
        let loose = |at: i64| self.loose.partition_point(|start| *start < at);
        let loose = loose(to).saturating_sub(loose(from)) as u64;
        self.grids.iter().map(|grid| grid.rank(last) - grid.rank(first)).sum::<u64>() + loose
    }

    /// The first start at or after an instant.
    pub fn next(&self, from: i64) -> Option<i64> {
        let loose = self.loose.get(self.loose.partition_point(|start| *start < from)).copied();
        let grids =
            self.grids.iter().filter_map(|grid| grid.next(ceiling(from))).map(|second| second * MICROS);
        grids.chain(loose).min()
    }

    /// The last start before an instant.
    pub fn previous(&self, before: i64) -> Option<i64> {
        let loose = self.loose.partition_point(|start| *start < before).checked_sub(1);
        let loose = loose.map(|index| self.loose[index]);
        let grids =
            self.grids.iter().filter_map(|grid| grid.previous(ceiling(before))).map(|second| second * MICROS);
        grids.chain(loose).max()
    }

    /// All starts from an instant on, in order.
    pub fn starts(&self, from: i64) -> impl Iterator<Item = i64> {
        let mut next = self.next(from);
        std::iter::from_fn(move || {
            let start = next?;
            next = self.next(start + 1);
            Some(start)
        })
    }
}

/// The first whole second that is not before an instant.
pub(crate) fn whole_second(instant: DateTime<Utc>) -> i64 {
    instant.timestamp() + i64::from(instant.timestamp_subsec_nanos() > 0)
}

/// Microseconds in seconds, rounded up: of an instant, the first second that is not before it.
pub fn ceiling(micros: i64) -> i64 {
    micros.div_euclid(MICROS) + i64::from(micros.rem_euclid(MICROS) > 0)
}

struct Compiler<'a> {
    cron: &'a Cron,
    first: i64,
    count: i64,
    marks: Arc<[u16]>,
    table: Timetable,
}

impl Compiler<'_> {
    /// Adds what fires in `[start, end)`, in which local time is `offset` ahead of UTC.
    fn fill(&mut self, start: i64, end: i64, offset: i64) {
        let (first, last) = ((start + offset).div_euclid(DAY), (end - 1 + offset).div_euclid(DAY));
        let shift = (-offset).rem_euclid(HOUR);
        let grid = self.grid(shift);
        let hours = self.cron.sets().hours;
        for day in self.cron.days(first, last) {
            let cell = (day * DAY - offset - shift) / HOUR;
            if first < day && day < last {
                self.table.grids[grid].add(cell, hours);
            } else {
                self.fill_edge(grid, cell, start..end);
            }
        }
    }

    /// Adds what fires of a day that is only partly within bounds.
    fn fill_edge(&mut self, grid: usize, day: i64, bounds: std::ops::Range<i64>) {
        let hours = self.cron.sets().hours;
        for cell in (0..24).filter(|hour| hours >> hour & 1 == 1).map(|hour| day + hour) {
            let grid = &mut self.table.grids[grid];
            let within = |mark: &&u16| bounds.contains(&grid.second(cell, **mark));
            let count = self.marks.iter().filter(within).count();
            if count == self.marks.len() {
                grid.add(cell, 1);
            } else {
                let some = self.marks.iter().filter(within).map(|mark| grid.second(cell, *mark) * MICROS);
                self.table.loose.extend(some);
            }
        }
    }

    fn grid(&mut self, shift: i64) -> usize {
        let grids = &mut self.table.grids;
        grids.iter().position(|grid| grid.shift() == shift).unwrap_or_else(|| {
            grids.push(Grid::new(shift, self.first, self.count, Arc::clone(&self.marks)));
            grids.len() - 1
        })
    }

    /// Whether the one time of day is skipped when a span begins, so that it fires at the beginning.
    fn is_moved(&self, span: &Span) -> bool {
        let gap = span.start + span.before..span.start + span.offset;
        if gap.is_empty() {
            return false;
        }
        let sets = self.cron.sets();
        let time = i64::from(sets.hours.trailing_zeros()) * HOUR + i64::from(self.marks[0]);
        let fires = |day: i64| self.cron.days(day, day).next().is_some();
        let mut days = gap.start.div_euclid(DAY)..=(gap.end - 1).div_euclid(DAY);
        days.any(|day| gap.contains(&(day * DAY + time)) && fires(day)) && fires(gap.end.div_euclid(DAY))
    }
}

impl Cron {
    /// The days of `[first, last]`, in days since 1970, on which it fires.
    fn days(&self, first: i64, last: i64) -> impl Iterator<Item = i64> {
        let date = |day: i64| i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
        let mut month = date(first).and_then(|date| date.with_day(1));
        let months = std::iter::from_fn(move || {
            let current = month?;
            month = current.checked_add_months(chrono::Months::new(1));
            let start = i64::from(current.to_epoch_days());
            (start <= last).then_some((start, current))
        });
        months.flat_map(move |(start, date)| {
            let mut days = self.sets().days(self.modified(), date.year(), date.month());
            if start < first {
                days = days >> (first - start) << (first - start);
            }
            if last - start < 31 {
                days &= (1 << (last - start + 1)) - 1;
            }
            std::iter::from_fn(move || {
                let day = (days != 0).then(|| days.trailing_zeros())?;
                days &= days - 1;
                Some(start + i64::from(day))
            })
        })
    }
}
