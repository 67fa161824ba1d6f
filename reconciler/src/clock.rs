//! The clock, as fine as the database is.

use chrono::{DateTime, SubsecRound, Utc};

/// The current instant, to the microsecond. The database keeps no more, and what is told now must be
/// what is told after a restart.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
