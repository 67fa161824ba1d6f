//! How much there is, for those who ask how the agent is.

use chrono::{DateTime, Utc};

use super::{Journal, JournalError, from_micros};

/// What waits for the reconciler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events that are not reported.
    pub events: u64,
    /// Files that are not uploaded.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were dropped in the last month because there was no more room.
    pub dropped_files: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
}

impl Journal {
    /// What waits for the reconciler.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn backlog(&self) -> Result<Backlog, JournalError> {
        let (events, files, bytes, lost, lost_bytes): (i64, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM events), u.files, u.bytes, l.files, l.bytes FROM
             (SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes FROM uploads) u,
             (SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes FROM losses) l",
        )
        .fetch_one(&self.pool)
        .await?;
        let [events, files, bytes, dropped_files, dropped_bytes] =
            [events, files, bytes, lost, lost_bytes].map(i64::cast_unsigned);
        Ok(Backlog { events, files, bytes, dropped_files, dropped_bytes })
    }

    /// When the latest snapshot was received, if there ever was one.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn snapshot_received_at(&self) -> Result<Option<DateTime<Utc>>, JournalError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT received_at FROM snapshot WHERE id = 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(micros,)| from_micros(micros)))
    }
}
