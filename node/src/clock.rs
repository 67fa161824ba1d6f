//! The one place where the shells read the clock. The cores take the instant as an argument.

use chrono::{DateTime, SubsecRound, Utc};

/// The current instant, to the microsecond, which is what the journal and the reconciler keep.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// How long it is until an instant; nothing if it has passed.
pub fn until(instant: DateTime<Utc>, now: DateTime<Utc>) -> std::time::Duration {
    (instant - now).to_std().unwrap_or_default()
}
