//! Points between what the agent does and what it records of it, for tests that end the program there, as a power
//! cut would.

use std::{fmt, sync::Arc};

/// What was just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A snapshot is stored.
    Stored,
    /// A run is made ready, and not settled: it may never come to run.
    Prepared,
    /// What becomes of an occurrence is journaled.
    Settled,
    /// A settled run is ready.
    Ready,
    /// Its instant has come.
    Due,
    /// Its command runs.
    Released,
    /// That it runs is journaled.
    Running,
    /// Its container was seen to end.
    Ended,
    /// That it ended is journaled.
    Collecting,
    /// What it left is packed.
    Packed,
    /// What is to be uploaded is journaled.
    Delivering,
    /// Its container is removed.
    Removed,
    /// The reconciler has events.
    Reported,
    /// That it has them is journaled.
    Acknowledged,
    /// The reconciler has a file.
    Uploaded,
    /// That it has it is journaled.
    Forgotten,
    /// That the run has finished is journaled.
    Finished,
}

impl Point {
    /// All, in the order in which a run comes by them.
    pub const ALL: [Self; 17] = [
        Self::Stored,
        Self::Prepared,
        Self::Settled,
        Self::Ready,
        Self::Due,
        Self::Released,
        Self::Running,
        Self::Ended,
        Self::Collecting,
        Self::Packed,
        Self::Delivering,
        Self::Removed,
        Self::Reported,
        Self::Acknowledged,
        Self::Uploaded,
        Self::Forgotten,
        Self::Finished,
    ];
}

/// Whoever watches the points.
#[derive(Clone)]
pub struct Points(Arc<dyn Fn(Point) + Send + Sync>);

impl Points {
    /// Calls a function at each point.
    pub fn new(watch: impl Fn(Point) + Send + Sync + 'static) -> Self {
        Self(Arc::new(watch))
    }

    /// Says that a point is reached.
    pub fn reach(&self, point: Point) {
        (self.0)(point);
    }
}

impl Default for Points {
    fn default() -> Self {
        Self::new(|point| tracing::trace!(?point, "reached"))
    }
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Points")
    }
}
