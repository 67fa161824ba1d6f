//! What daylight saving does to the runs of a job: computed from its occurrences, and not from a
//! theory of them.

use std::collections::BTreeSet;

use almanac_schemas::{Schedule, schedule::Timing};
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::instants;

/// How far ahead transitions are looked for. A window may be longer, but nobody plans for that.
const HORIZON: TimeDelta = TimeDelta::days(2 * 366);

/// Clocks that are set forward or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: DateTime<Utc>,
    /// By how much: forward when it is positive.
    pub shift: TimeDelta,
    /// How many runs do not take place, as there is no such time.
    pub skipped: u64,
    /// How many runs take place after the gap that they would be in.
    pub moved: u64,
    /// How many runs take place twice.
    pub repeated: u64,
}

impl Transition {
    /// The transitions in the window of a schedule from an instant on, two years at most.
    pub fn within(schedule: &Schedule, from: DateTime<Utc>) -> Vec<Self> {
        let Timing::Cron { zone, .. } = &schedule.timing else { return Vec::new() };
        let from = from.max(schedule.start);
        let to = schedule.end.min(from + HORIZON);
        let found = shifts(*zone, from, to).into_iter();
        found.map(|(at, shift)| Self::of(schedule, *zone, at, shift)).collect()
    }

    /// Whether any run is affected.
    pub fn matters(&self) -> bool {
        self.skipped + self.moved + self.repeated > 0
    }

    fn of(schedule: &Schedule, zone: Tz, at: DateTime<Utc>, shift: TimeDelta) -> Self {
        let schedule =
            Schedule { start: DateTime::UNIX_EPOCH, end: DateTime::<Utc>::MAX_UTC, ..schedule.clone() };
        let clock = wall_clock(&schedule);
        let wall = |from: NaiveDateTime, to: NaiveDateTime| -> BTreeSet<NaiveDateTime> {
            let instants = instants::within(&clock, from.and_utc(), to.and_utc());
            instants.into_iter().map(|instant| instant.naive_utc()).collect()
        };
        // The first wall-clock time after it.
        let after = zone.from_utc_datetime(&at.naive_utc()).naive_local();
        let mut transition = Self { at, shift, skipped: 0, moved: 0, repeated: 0 };
        if shift > TimeDelta::zero() {
            let lost = wall(after - shift, after).len() as u64;
            // What runs afterwards though the clock does not say so comes out of the gap.
            let expected = wall(after, after + shift);
            // Asked from before the gap: what comes out of it belongs to a time before.
            let extra = instants::within(&schedule, at - shift, at + shift).into_iter();
            let extra = extra
                .filter(|instant| *instant >= at)
                .map(|instant| zone.from_utc_datetime(&instant.naive_utc()).naive_local());
            transition.moved = (extra.filter(|local| !expected.contains(local)).count() as u64).min(lost);
            transition.skipped = lost - transition.moved;
        } else {
            let once = wall(after, after - shift).len() as u64;
            transition.repeated = instants::count(&schedule, at + shift, at - shift).saturating_sub(once);
        }
        transition
    }
}

/// The schedule as a clock that is never set shows it.
fn wall_clock(schedule: &Schedule) -> Schedule {
    let mut clock = schedule.clone();
    if let Timing::Cron { zone, .. } = &mut clock.timing {
        *zone = Tz::UTC;
    }
    clock
}

/// When the offset of a zone changes in `[from, to)`, and by how much.
fn shifts(zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(DateTime<Utc>, TimeDelta)> {
    // No zone sets its clocks twice within a day and back again.
    const STEP: TimeDelta = TimeDelta::days(1);
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
    let mut found = Vec::new();
    let mut start = from;
    while start < to {
        let end = (start + STEP).min(to);
        let (mut low, mut high) = (start, end);
        if offset(low) != offset(high) {
            while high - low > TimeDelta::seconds(1) {
                let middle = low + (high - low) / 2;
                if offset(middle) == offset(low) { low = middle } else { high = middle }
            }
            // Transitions are at whole seconds, whatever the search began with.
            let at = DateTime::from_timestamp(high.timestamp(), 0).unwrap_or(high);
            if at >= from && at < to {
                found.push((at, TimeDelta::seconds(i64::from(offset(high) - offset(low)))));
            }
        }
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{Job, Manifest};

    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        let text = format!(
            "{{ apiVersion: almanac/v1, kind: Job, metadata: {{ name: a }}, spec: {{ owner: a, nodes: [n], container: {{ image: a }}, \
             schedule: {{ cron: \"{cron}\", timezone: {zone}, start: 2027-01-01T00:00:00Z, end: 2028-01-01T00:00:00Z, length: 1m }} }} }}"
        );
        let manifest = Manifest::from_value(serde_yaml::from_str(&text).unwrap()).unwrap();
        let Manifest::Job(Job { spec, .. }) = manifest else { unreachable!() };
        spec.schedule.resolve().unwrap()
    }

    /// When, by how many minutes, and how many are skipped, moved and repeated.
    fn found(cron: &str, zone: &str) -> Vec<(String, i64, [u64; 3])> {
        let found = Transition::within(&schedule(cron, zone), DateTime::UNIX_EPOCH);
        let row =
            |t: Transition| (t.at.to_rfc3339(), t.shift.num_minutes(), [t.skipped, t.moved, t.repeated]);
        found.into_iter().map(row).collect()
    }

    #[test]
    fn what_happens_around_transitions() {
        let london =
            |cron: &str| found(cron, "Europe/London").into_iter().map(|row| row.2).collect::<Vec<_>>();
        assert_eq!(
            found("30 1 * * *", "Europe/London"),
            [
                ("2027-03-28T01:00:00+00:00".to_owned(), 60, [0, 1, 0]),
                ("2027-10-31T01:00:00+00:00".to_owned(), -60, [0, 0, 0]),
            ]
        );
        assert_eq!(london("15,45 1 * * *"), [[2, 0, 0], [0, 0, 2]]);
        assert_eq!(london("*/5 * * * *"), [[12, 0, 0], [0, 0, 12]]);
        assert_eq!(london("0 12 * * *"), [[0, 0, 0], [0, 0, 0]]);
        assert_eq!(found("*/5 * * * *", "UTC"), []);
        assert_eq!(found("*/5 * * * *", "Asia/Tokyo"), []);
    }

    #[test]
    fn zones_with_other_shifts_and_hemispheres() {
        let half = found("*/10 * * * *", "Australia/Lord_Howe");
        assert_eq!(
            half.iter().map(|row| (row.1, row.2)).collect::<Vec<_>>(),
            [(-30, [0, 0, 3]), (30, [3, 0, 0])]
        );
        assert_eq!(found("*/10 * * * *", "Africa/Casablanca").len(), 2);
    }
}
