//! The nearest time to which a run can be moved.

use almanac_schemas::Occurrence;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::{Calendar, gaps};

/// The least whole second in `[from, until)` at which a run of some length can start, so that neither it nor the guard of
/// any of the nodes after it is in anybody's way on any of them. Unlike with [`super::first_fit`], it may still run at
/// `until`: as the end of a schedule, that is about the starts of runs.
pub fn nearest(
    calendars: &[Calendar<'_>],
    length: TimeDelta,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<Occurrence> {
    let before = until.checked_add_signed(length)?;
    gaps(calendars, from, before).find_map(|gap| {
        let start = gap.start.duration_round_up(TimeDelta::seconds(1)).ok()?;
        let run = Occurrence { start, end: start + length };
        (start < until && run.end <= gap.end).then_some(run)
    })
}
