//! The one place where the clock is read. Cores take the instant as an argument.

use chrono::{DateTime, SubsecRound, Utc};

/// The current instant to the microsecond, which is what the database keeps: what is answered from
/// memory equals what is read back.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
