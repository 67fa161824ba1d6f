//! The conflict engine: which claims on a node get into each other's way. It knows nothing of
//! manifests.
//!
//! A [`Claim`] is a schedule together with what is kept free after each of its occurrences. Each
//! occurrence of it is a reservation `[start, start + length + guard)`. Two reservations conflict when
//! they have an instant in common that is not before `from`; touching ones do not.
//!
//! Nothing is expanded. A claim holds its reservations as a [`Timetable`]: a set of hours times a set of
//! places within an hour. For two claims, the places that come too close to each other are found first, and
//! the hours in which both occur are counted, 64 at a time, only if there are any (`meet`). So a pair costs
//! about the same whether it recurs for a day or for ten years, and a claim that is added to a node is
//! compared with each of the others once.

mod meet;
mod offset;

use std::sync::Arc;

use almanac_schemas::{Occurrence, Schedule, Timetable};
use chrono::{DateTime, TimeDelta, Utc};

pub use offset::free_offsets;

/// What claims a node again and again. Copies share what was computed.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The starts of its reservations.
    starts: Arc<Timetable>,
    /// How long each of them holds, in microseconds.
    length: i64,
    /// For what.
    holder: Holder,
}

/// What a claim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// An exclusive job.
    Job,
    /// Maintenance. Windows may overlap each other.
    Maintenance,
}

/// Two claims that are in each other's way, or one that is in its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clash {
    /// The position of one claim.
    pub a: usize,
    /// The position of the other, not smaller. The same when a claim overlaps itself.
    pub b: usize,
    /// The first reservation of `a` that is concerned.
    pub first_a: Occurrence,
    /// The first reservation of `b` that is concerned.
    pub first_b: Occurrence,
    /// How many pairs of reservations intersect. When a claim overlaps itself, 1: it is not followed further.
    pub count: u64,
}

impl Clash {
    /// The first instant at which both hold the node.
    pub fn first_instant(&self) -> DateTime<Utc> {
        self.first_a.start.max(self.first_b.start)
    }
}

impl Claim {
    /// The reservations of a schedule that start before `until` and are not over at `from`. After each,
    /// the node is kept free for `guard`.
    pub fn new(
        schedule: &Schedule,
        guard: TimeDelta,
        holder: Holder,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Self {
        let held = schedule.length + guard;
        // What began earlier and is not over by then counts; what is just over does not.
        let reach = held - TimeDelta::microseconds(1);
        let from = from.checked_sub_signed(reach).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let length = held.num_microseconds().unwrap_or(i64::MAX / 4);
        Self { starts: Arc::new(Timetable::new(schedule, from, until)), length, holder }
    }

    /// The end of its last reservation.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.starts.previous(i64::MAX).map(|start| self.reservation(start).end)
    }

    /// The first of its reservations that intersects the next one, and that one.
    pub fn overlaps_itself(&self) -> Option<(Occurrence, Occurrence)> {
        let (first, second) = meet::own(&self.starts, self.length)?;
        Some((self.reservation(first), self.reservation(second)))
    }

    /// The first reservations of both that intersect, and how many pairs do. Both claims must be of the
    /// same `from`.
    pub fn meets(&self, other: &Self) -> Option<(Occurrence, Occurrence, u64)> {
        if self.holder == Holder::Maintenance && other.holder == Holder::Maintenance {
            return None;
        }
        let found = meet::meet((&self.starts, self.length), (&other.starts, other.length))?;
        Some((self.reservation(found.first.0), other.reservation(found.first.1), found.count))
    }

    /// The reservation that starts at an instant, in microseconds since 1970.
    fn reservation(&self, start: i64) -> Occurrence {
        let start = DateTime::from_timestamp_micros(start).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let end = start.checked_add_signed(TimeDelta::microseconds(self.length));
        Occurrence { start, end: end.unwrap_or(DateTime::<Utc>::MAX_UTC) }
    }
}

/// All clashes among some claims: one entry per pair, by position. A job that overlaps itself is in no
/// other pair: until that is put right, there is no telling what it gets in the way of.
pub fn clashes(claims: &[Claim]) -> Vec<Clash> {
    clashes_between(claims, |_, _| true)
}

/// The same of those pairs alone that get into each other's way if they overlap, by position. Of a claim with itself is
/// asked, too.
pub fn clashes_between(claims: &[Claim], concerns: impl Fn(usize, usize) -> bool) -> Vec<Clash> {
    let mut found = Vec::new();
    let mut sound = Vec::with_capacity(claims.len());
    for (index, claim) in claims.iter().enumerate() {
        let is_alone = claim.holder == Holder::Job && concerns(index, index);
        let own = if is_alone { claim.overlaps_itself() } else { None };
        match own {
            Some((first_a, first_b)) => found.push(Clash { a: index, b: index, first_a, first_b, count: 1 }),
            None => sound.push((index, claim)),
        }
    }
    for (position, (a, claim)) in sound.iter().enumerate() {
        for (b, other) in &sound[position + 1..] {
            if concerns(*a, *b)
                && let Some((first_a, first_b, count)) = claim.meets(other)
            {
                found.push(Clash { a: *a, b: *b, first_a, first_b, count });
            }
        }
    }
    found.sort_unstable_by_key(|clash| (clash.a, clash.b));
    found
}
