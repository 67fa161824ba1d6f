//! What the silence of a node means. It is shown, and nothing else follows from it: a run is never started
//! elsewhere, and what a node reports later is taken.

use chrono::{DateTime, Utc};

use super::Pace;

/// Whether a node is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Its last heartbeat is recent.
    Online,
    /// It was silent for a while.
    Stale,
    /// It was silent for long.
    Offline,
    /// It was never heard of.
    Never,
}

impl Liveness {
    /// Judges a silence.
    pub fn of(last_seen: Option<DateTime<Utc>>, pace: &Pace, now: DateTime<Utc>) -> Self {
        let Some(last_seen) = last_seen else { return Self::Never };
        let silence = now - last_seen;
        if silence > pace.offline_after {
            Self::Offline
        } else if silence > pace.stale_after {
            Self::Stale
        } else {
            Self::Online
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use almanac_schemas::config;
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn silence_is_judged_by_the_testbeds_rules() {
        let pace = Pace::of(&config::Heartbeat::default(), 1, NonZeroU32::MIN);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let after = |seconds| Liveness::of(Some(now - TimeDelta::seconds(seconds)), &pace, now);
        assert_eq!(after(120), Liveness::Online);
        assert_eq!(after(121), Liveness::Stale);
        assert_eq!(after(601), Liveness::Offline);
        assert_eq!(Liveness::of(None, &pace, now), Liveness::Never);
    }
}
