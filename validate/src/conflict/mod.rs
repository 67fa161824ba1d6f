//! The conflict engine: which claims on a node get into each other's way. It knows nothing of
//! manifests.
//!
//! A [`Claim`] is a schedule together with what is kept free after each of its occurrences. Each
//! occurrence of it is a reservation `[start, start + length + guard)`. Two reservations conflict when
//! they have an instant in common that is not before `from`; touching ones do not.
//!
//! [`clashes`] walks through the reservations of all claims in the order of time, which is exact and
//! costs as much as there are reservations.

mod offset;
mod sweep;

use almanac_schemas::{Occurrence, Schedule};
use chrono::{DateTime, TimeDelta, Utc};

pub use offset::free_offset;
pub use sweep::clashes;

/// What claims a node again and again.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// When.
    pub schedule: &'a Schedule,
    /// How long the node is kept free after each occurrence.
    pub guard: TimeDelta,
    /// For what.
    pub holder: Holder,
}

/// What a claim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// An exclusive job. It has an end.
    Job,
    /// Maintenance. Windows may overlap each other, and need not end.
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

/// All clashes among some claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clashes {
    /// One entry per pair, by position. A claim that overlaps itself is in no other pair: until that
    /// is put right, there is no telling what it gets in the way of.
    pub pairs: Vec<Clash>,
    /// Whether all were followed to the end. If not, there are so many that counting them all would
    /// take too long; further pairs may clash, and the counts are too small.
    pub complete: bool,
}

impl Clash {
    /// The first instant at which both hold the node.
    pub fn first_instant(&self) -> DateTime<Utc> {
        self.first_a.start.max(self.first_b.start)
    }
}
