//! The instant that counts as the present.

use almanac_schemas::Instant;
use chrono::{DateTime, SubsecRound, Utc};

/// What is taken for the present: an option of every command that looks at schedules.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Now {
    /// Take this instant for the present.
    ///
    /// Only what happens from then on counts, so that the same command says the same again. RFC 3339
    /// with an offset, such as 2027-01-10T12:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    now: Option<Instant>,
}

impl Now {
    /// The instant; the clock's when none was given. Schedules know whole seconds alone.
    pub(crate) fn instant(self) -> DateTime<Utc> {
        self.now.map_or_else(|| Utc::now().trunc_subsecs(0), |now| now.0)
    }
}
