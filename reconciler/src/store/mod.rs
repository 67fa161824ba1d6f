//! The database. All SQL is here: rows in, rows out, no choices.
//!
//! Each module owns the statements about one thing. Instants are microseconds since 1970 in UTC.
//! A change that spans several rows is one transaction that takes the write lock at its start
//! (`BEGIN IMMEDIATE`), so that it never fails half-way because somebody else writes.

mod apply;
mod artifacts;
mod error;
mod heartbeats;
mod open;
mod runs;
mod syncs;
mod testbed;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use sqlx::{Sqlite, SqlitePool, Transaction};

pub use apply::Apply;
pub use artifacts::{ArtifactRow, UploadRow};
pub use error::{OpenError, StoreError};
pub use heartbeats::HeartbeatRow;
pub use runs::{Recorded, RunFilter, RunKey, RunRow};
pub use syncs::{ChangeRow, FindingRow, SyncOutcome, SyncRow};
pub use testbed::{DeletedJob, DeletedJobFilter};

/// The database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a change.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Waits for what is under way and closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
