//! What a plan wants to know of occurrences: one function per need. All but the count enumerate, so
//! callers bound the time that they ask about.

use almanac_schemas::{Occurrence, Schedule, Timetable};
use chrono::{DateTime, TimeDelta, Utc};

/// The instants in `[from, to)`, in order.
pub(super) fn within(schedule: &Schedule, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    schedule.occurrences(from, to).map(|occurrence| occurrence.start).collect()
}

/// How many instants there are in `[from, to)`.
pub(super) fn count(schedule: &Schedule, from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    Timetable::new(schedule, from, to).count()
}

/// The first instants at or after `from`.
pub(super) fn next(schedule: &Schedule, from: DateTime<Utc>, number: usize) -> Vec<DateTime<Utc>> {
    let occurrences = schedule.occurrences(from, DateTime::<Utc>::MAX_UTC);
    occurrences.take(number).map(|occurrence| occurrence.start).collect()
}

/// How much of `[from, to)` is covered by at least one of the intervals, in whatever order they come.
pub(super) fn covered(mut intervals: Vec<Occurrence>, from: DateTime<Utc>, to: DateTime<Utc>) -> TimeDelta {
    intervals.sort_unstable();
    let mut sum = TimeDelta::zero();
    let mut free_from = from;
    for Occurrence { start, end } in intervals {
        let (start, end) = (start.max(free_from), end.min(to));
        if end > start {
            sum += end - start;
            free_from = end;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered_twice_counts_once_and_what_is_outside_does_not() {
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let seconds = |intervals: &[(i64, i64)]| {
            let intervals = intervals
                .iter()
                .map(|(start, end)| Occurrence { start: at(*start), end: at(*end) })
                .collect();
            covered(intervals, at(10), at(20)).num_seconds()
        };
        assert_eq!(seconds(&[]), 0);
        assert_eq!(seconds(&[(12, 14), (14, 15), (13, 14)]), 3);
        assert_eq!(seconds(&[(18, 30), (0, 11), (5, 8)]), 3);
        assert_eq!(seconds(&[(0, 99), (12, 13)]), 10);
    }
}
