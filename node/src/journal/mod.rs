//! What the agent must not forget, in SQLite: all of its SQL is here.
//!
//! A write has reached the disk when its function returns (write-ahead log, `synchronous = FULL`),
//! so that what is done after it is never done without a record of it.

mod images;
mod instructions;
mod outbox;
mod runs;
mod snapshots;
mod survey;
mod uploads;

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{
    SqlitePool,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;

pub use outbox::PendingEvent;
pub use runs::{OpenRun, Settlement};
pub use survey::Backlog;
pub use uploads::{GivenUp, Lane, PendingUpload, UploadFile};

/// The journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    pool: SqlitePool,
}

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("the journal cannot be read or written; is the disk full or the state folder read-only?")]
    Database(#[from] sqlx::Error),
    /// It is of a newer agent, or damaged.
    #[error("the journal's tables are not those of this agent; was it written by a newer one?")]
    Migrate(#[from] MigrateError),
    /// A row says something that makes no sense.
    #[error("the journal's row of {0} cannot be read")]
    Row(String, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl JournalError {
    fn row(
        what: impl std::fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Row(what.to_string(), source.into())
    }
}

/// How long to wait for a lock. The state folder's own lock keeps other agents out, so that only
/// somebody's `sqlite3` can hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Journal {
    /// Opens the journal, or makes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written or is not a journal of this version or an older one.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        // One connection: writes are short and in order, and never wait for each other's locks.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::migrate!().run(&pool).await?;
        Ok(Self { pool })
    }

    /// Waits for the last write and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn to_micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
