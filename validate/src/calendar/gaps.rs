//! The times in which nothing reserves any of some nodes.

use almanac_schemas::Occurrence;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::Calendar;

/// The times in `[after, before)` in which an exclusive run can be placed on all of some nodes: it may
/// start and end anywhere in such a time, and neither it nor the guard of any of the nodes after it is
/// in anybody's way. Each is as long as can be; they are in order and do not touch.
pub fn gaps<'a>(
    calendars: &[Calendar<'a>],
    after: DateTime<Utc>,
    before: DateTime<Utc>,
) -> impl Iterator<Item = Occurrence> + use<'a> {
    // A run's own guard must be over when somebody else starts, so that it has to end a guard earlier.
    // On one node this keeps the order of starts; across nodes, whose guards differ, it does not.
    let mut nodes: Vec<_> = calendars
        .iter()
        .map(|calendar| {
            let guard = calendar.guard();
            let blocked = calendar.reservations(after, before + guard);
            blocked.map(move |(time, _)| Occurrence { start: time.start - guard, end: time.end }).peekable()
        })
        .collect();
    let mut from = after;
    std::iter::from_fn(move || {
        // Out of everything that is there at `from`, until no node has anything there.
        loop {
            let earlier = from;
            for node in &mut nodes {
                while let Some(blocked) = node.next_if(|blocked| blocked.start <= from) {
                    from = from.max(blocked.end);
                }
            }
            if from == earlier {
                break;
            }
        }
        if from >= before {
            return None;
        }
        let ends = nodes.iter_mut().filter_map(|node| node.peek()).map(|blocked| blocked.start);
        let gap = Occurrence { start: from, end: ends.min().unwrap_or(before).min(before) };
        from = gap.end;
        Some(gap)
    })
}

/// The first time at or after `after` at which a run of some length is in nobody's way on any of some
/// nodes, their guards after it included, and over by `before`.
pub fn first_fit(
    calendars: &[Calendar<'_>],
    length: TimeDelta,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
) -> Option<Occurrence> {
    let gap = gaps(calendars, after, before).find(|gap| gap.end - gap.start >= length)?;
    Some(Occurrence { start: gap.start, end: gap.start + length })
}

/// The first whole minute in a gap at which a run of some length fits; if there is none, the first
/// whole second; if there is none either, the beginning of the gap.
pub fn rounded(gap: Occurrence, length: TimeDelta) -> DateTime<Utc> {
    let units = [TimeDelta::minutes(1), TimeDelta::seconds(1)];
    let whole = units.into_iter().filter_map(|unit| gap.start.duration_round_up(unit).ok());
    let mut fitting = whole.filter(|start| *start + length <= gap.end);
    fitting.next().unwrap_or(gap.start)
}
