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
    // Starts are whole minutes since the Unix epoch.
    let period = i64::from(every.minutes());
    let (first, last) = (minutes_up(start), minutes_up(end) - 1);
    let offset = |minute: i64| usize::try_from(minute.rem_euclid(period)).unwrap_or_default();
    // By the first start of each; of a short window not every offset has one.
    let starts = first..(last + 1).min(first + period);

    let mut taken: BTreeMap<Claimant<'a>, Vec<bool>> = BTreeMap::new();
    for calendar in calendars {
        let guard = calendar.guard();
        for (reserved, claimant) in calendar.reservations(start, end + length + guard) {
            // It is in the way of what starts less than a run and a guard before it, or before its end.
            let from = minutes_down(reserved.start - length - guard) + 1;
            let to = minutes_up(reserved.end) - 1;
            let (from, to) = (from.max(first), to.min(last));
            let taken = taken.entry(claimant).or_insert_with(|| vec![false; offset(-1) + 1]);
            // After a whole period there is nothing left to mark.
            for minute in from..(to + 1).min(from + period) {
                taken[offset(minute)] = true;
            }
        }
    }

    let guard = calendars.iter().map(Calendar::guard).max().unwrap_or_default();
    let roomy = length + guard <= TimeDelta::minutes(period);
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

/// Whole minutes since the Unix epoch, rounded down.
fn minutes_down(instant: DateTime<Utc>) -> i64 {
    instant.timestamp().div_euclid(60)
}

/// Whole minutes since the Unix epoch, rounded up.
fn minutes_up(instant: DateTime<Utc>) -> i64 {
    (instant - TimeDelta::nanoseconds(1)).timestamp().div_euclid(60) + 1
}
