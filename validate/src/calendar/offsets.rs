//! At which offsets of a period a recurring job is in nobody's way.

use std::{cmp::Reverse, collections::BTreeMap};

use almanac_schemas::Cron;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Calendar, Claimant, Period};

/// What became of the offsets of a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Offsets<'a> {
    /// Those at which each occurrence in the window is in nobody's way, by their first occurrence.
    pub free: Vec<FreeCron>,
    /// How many there are that occur in the window at all.
    pub count: usize,
    /// Who is in the way of how many of them, the most first.
    pub taken: Vec<(Claimant<'a>, usize)>,
}

/// An offset that is free.
#[derive(Debug, Clone, PartialEq)]
pub struct FreeCron {
    /// As an expression, in UTC.
    pub cron: Cron,
    /// Its first occurrence.
    pub first: DateTime<Utc>,
}

/// Looks for the expressions that fire at some period and whose exclusive runs of some length are in
/// nobody's way on any of some nodes, the nodes' guards included: neither in that of others nor in
/// their own. What starts in `[start, end)` counts.
pub fn free_crons<'a>(
    calendars: &[Calendar<'a>],
    every: Period,
    length: TimeDelta,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Offsets<'a> {
    let period = i64::from(every.minutes());
    let first = minutes_up(start);
    let offset = |minute: i64| usize::try_from(minute.rem_euclid(period)).unwrap_or_default();
    // By the first start of each; of a short window not every offset has one.
    let starts = first..minutes_up(end).min(first + period);
    let taken = taken(calendars, every.minutes(), length, start, end);
    let roomy = fits_itself(calendars, every, length);
    let free = starts.clone().filter(|minute| roomy && !taken.values().any(|taken| taken[offset(*minute)]));
    let free = free.filter_map(|minute| {
        let cron = every.cron(u32::try_from(minute.rem_euclid(period)).ok()?);
        Some(FreeCron { cron, first: DateTime::from_timestamp(minute * 60, 0)? })
    });
    let free = free.collect();
    let mut taken: Vec<_> = taken
        .into_iter()
        .map(|(claimant, taken)| (claimant, taken.into_iter().filter(|taken| *taken).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    taken.sort_by_key(|(_, count)| Reverse(*count));
    Offsets { free, count: starts.count(), taken }
}

/// Whether a run, with the guard after it, is over when the next one starts.
pub(super) fn fits_itself(calendars: &[Calendar<'_>], every: Period, length: TimeDelta) -> bool {
    let guard = calendars.iter().map(Calendar::guard).max().unwrap_or_default();
    length + guard <= TimeDelta::minutes(every.minutes().into())
}

/// For each minute of a period, counted from the Unix epoch, whether a run that starts at it is in
/// somebody's way at some time; by whose.
pub(super) fn taken<'a>(
    calendars: &[Calendar<'a>],
    period: u32,
    length: TimeDelta,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> BTreeMap<Claimant<'a>, Vec<bool>> {
    // Starts are whole minutes since the Unix epoch.
    let (first, last) = (minutes_up(start), minutes_up(end) - 1);
    let (size, period) = (period as usize, i64::from(period));
    let mut taken: BTreeMap<Claimant<'a>, Vec<bool>> = BTreeMap::new();
    for calendar in calendars {
        let guard = calendar.guard();
        for (reserved, claimant) in calendar.reservations(start, end + length + guard) {
            // It is in the way of what starts less than a run and a guard before it, or before its end.
            let from = (minutes_down(reserved.start - length - guard) + 1).max(first);
            let to = minutes_up(reserved.end).min(last + 1);
            let taken = taken.entry(claimant).or_insert_with(|| vec![false; size]);
            // After a whole period there is nothing left to mark.
            for minute in from..to.min(from + period) {
                taken[usize::try_from(minute.rem_euclid(period)).unwrap_or_default()] = true;
            }
        }
    }
    taken
}

impl FreeCron {
    /// How long its runs may be at most, with the same window and nobody in their way.
    pub fn room(&self, calendars: &[Calendar<'_>], every: Period, end: DateTime<Utc>) -> TimeDelta {
        let period = TimeDelta::minutes(every.minutes().into());
        let periods = |from: DateTime<Utc>, to: DateTime<Utc>| {
            (to - from).num_seconds().div_euclid(period.num_seconds())
        };
        // The last start that is before the end.
        let last = periods(self.first, end - TimeDelta::nanoseconds(1));
        let room = calendars.iter().flat_map(|calendar| {
            let guard = calendar.guard();
            let others = calendar.reservations(self.first, end + period).map(move |(reserved, _)| {
                let count = periods(self.first, reserved.start).min(last);
                let start = self.first + TimeDelta::seconds(period.num_seconds() * count);
                reserved.start - guard - start
            });
            others.chain([period - guard])
        });
        room.min().unwrap_or(period)
    }
}

/// The longest whole number of seconds, at most `at_most`, that runs can take at some offset of a
/// period with nobody in their way; see [`free_crons`].
pub fn longest(
    calendars: &[Calendar<'_>],
    every: Period,
    at_most: TimeDelta,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Option<TimeDelta> {
    let fits =
        |seconds| !free_crons(calendars, every, TimeDelta::seconds(seconds), start, end).free.is_empty();
    // What is free for some time is free for any shorter one.
    let (mut fitting, mut failing) = (0, at_most.num_seconds() + 1);
    while failing - fitting > 1 {
        let middle = fitting + (failing - fitting) / 2;
        if fits(middle) { fitting = middle } else { failing = middle }
    }
    (fitting > 0).then(|| TimeDelta::seconds(fitting))
}

/// Whole minutes since the Unix epoch, rounded down.
fn minutes_down(instant: DateTime<Utc>) -> i64 {
    instant.timestamp().div_euclid(60)
}

/// Whole minutes since the Unix epoch, rounded up.
pub(super) fn minutes_up(instant: DateTime<Utc>) -> i64 {
    (instant - TimeDelta::nanoseconds(1)).timestamp().div_euclid(60) + 1
}
