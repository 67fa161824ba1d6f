//! The walk through the reservations of a node in the order of time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::ControlFlow,
};

use almanac_schemas::{Occurrence, schedule::Timing};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Claim, Clash, Clashes, Holder};

/// How many pairs of intersecting reservations are counted at most. Far beyond what anybody wants to
/// know, and about a second's work.
const MAX_MEETINGS: u64 = 10_000_000;

/// Finds all clashes at or after `from`.
pub fn clashes(claims: &[Claim<'_>], from: DateTime<Utc>) -> Clashes {
    let mut pairs: BTreeMap<(usize, usize), Clash> = BTreeMap::new();
    let mut meetings = 0;
    let outcome = sweep(claims, from, |event| {
        let Event::Met { earlier, later } = event else { return Verdict::Continue };
        meetings += 1;
        if meetings > MAX_MEETINGS {
            return Verdict::Stop;
        }
        let (a, b) = if earlier.0 <= later.0 { (earlier, later) } else { (later, earlier) };
        pairs.entry((a.0, b.0)).and_modify(|clash| clash.count += 1).or_insert(Clash {
            a: a.0,
            b: b.0,
            first_a: a.1,
            first_b: b.1,
            count: 1,
        });
        if a.0 == b.0 { Verdict::Drop(a.0) } else { Verdict::Continue }
    });
    let overlapping: Vec<usize> = pairs.keys().filter(|(a, b)| a == b).map(|(a, _)| *a).collect();
    pairs.retain(|(a, b), _| a == b || !(overlapping.contains(a) || overlapping.contains(b)));
    Clashes { pairs: pairs.into_values().collect(), complete: outcome.is_continue() }
}

/// What happens in the course of time.
pub(super) enum Event {
    /// A claim reserves the node once more.
    Reserved,
    /// A reservation begins while another one holds. Each is its claim's position and its interval.
    Met { earlier: (usize, Occurrence), later: (usize, Occurrence) },
}

/// What an observer wants.
pub(super) enum Verdict {
    /// Go on.
    Continue,
    /// Go on without a claim.
    Drop(usize),
    /// Do not go on.
    Stop,
}

/// Tells what happens at or after `from`, in the order of time, until the last job's last
/// reservation. Breaks when the observer stops it.
pub(super) fn sweep(
    claims: &[Claim<'_>],
    from: DateTime<Utc>,
    mut observe: impl FnMut(Event) -> Verdict,
) -> ControlFlow<()> {
    let until = claims.iter().filter(|claim| claim.holder == Holder::Job).filter_map(last_start).max();
    let Some(until) = until else { return ControlFlow::Continue(()) };
    // A maintenance window that starts just after the last run of a job can still meet it.
    let longest = claims.iter().map(|claim| claim.schedule.length + claim.guard).max().unwrap_or_default();
    let until = until + longest;

    let mut streams: Vec<_> = claims
        .iter()
        .map(|claim| {
            // What began earlier and is not over by then counts; what is just over does not.
            let reach = claim.schedule.length + claim.guard - TimeDelta::microseconds(1);
            claim.schedule.occurrences(from - reach, until).map(|next| next.lengthened(claim.guard))
        })
        .collect();
    let mut upcoming = BinaryHeap::new();
    for (index, stream) in streams.iter_mut().enumerate() {
        upcoming.extend(stream.next().map(|next| Reverse((next.start, index, next.end))));
    }
    let mut held: Vec<(usize, Occurrence)> = Vec::new();
    let mut dropped = vec![false; claims.len()];
    while let Some(Reverse((start, index, end))) = upcoming.pop() {
        if dropped[index] {
            continue;
        }
        let reservation = Occurrence { start, end };
        held.retain(|(holder, other)| other.end > start && !dropped[*holder]);
        let mut events = vec![Event::Reserved];
        let idle = |holder: usize| claims[holder].holder == Holder::Maintenance;
        let meetings = held.iter().filter(|(holder, _)| !(idle(*holder) && idle(index)));
        events.extend(meetings.map(|earlier| Event::Met { earlier: *earlier, later: (index, reservation) }));
        for event in events {
            match observe(event) {
                Verdict::Continue => {}
                Verdict::Drop(claim) => dropped[claim] = true,
                Verdict::Stop => return ControlFlow::Break(()),
            }
        }
        held.push((index, reservation));
        if !dropped[index] {
            upcoming.extend(streams[index].next().map(|next| Reverse((next.start, index, next.end))));
        }
    }
    ControlFlow::Continue(())
}

/// The last instant at which a job may start.
fn last_start(claim: &Claim<'_>) -> Option<DateTime<Utc>> {
    match claim.schedule.timing {
        Timing::At(at) => Some(at),
        Timing::Cron { .. } => Some(claim.schedule.end),
    }
}
