//! When a file's time is over.

use almanac_schemas::{Duration, config::ArtifactStore};
use chrono::{DateTime, Utc};

/// How long the files of a job are kept that declares this, or nothing.
pub fn kept_for(declared: Option<Duration>, settings: &ArtifactStore) -> Duration {
    declared.unwrap_or(settings.retention)
}

/// When a file that was stored at an instant is to go.
pub fn end(stored_at: DateTime<Utc>, kept_for: Duration) -> DateTime<Utc> {
    stored_at + kept_for.to_delta()
}

/// Before when a file was stored that is to be gone by now.
pub fn stored_before(now: DateTime<Utc>, kept_for: Duration) -> DateTime<Utc> {
    now - kept_for.to_delta()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_it_or_else_the_testbed() {
        let settings = ArtifactStore::default();
        assert_eq!(kept_for(None, &settings), settings.retention);
        assert_eq!(kept_for(Some(Duration::from_secs(60)), &settings), Duration::from_secs(60));
    }

    #[test]
    fn what_ends_now_was_stored_just_then() {
        let stored = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for seconds in [0, 1, 90 * 86_400, u64::MAX] {
            let kept_for = Duration::from_secs(seconds);
            assert_eq!(stored_before(end(stored, kept_for), kept_for), stored);
        }
    }
}
