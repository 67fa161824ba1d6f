//! How often things are looked at.

use std::time::Duration;

use chrono::TimeDelta;

/// After how many intervals without a look that went well what is known about the repository is stale.
pub const STALE_AFTER: i32 = 3;

/// How often things are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// The repository, when nothing says that it changed.
    pub poll: Duration,
    /// The whole database, compared with the commit in force.
    pub drift: Duration,
}

impl Intervals {
    /// How long looks may fail before what is known is stale.
    pub fn stale_after(self) -> TimeDelta {
        TimeDelta::from_std(self.poll).unwrap_or(TimeDelta::MAX / STALE_AFTER) * STALE_AFTER
    }
}
