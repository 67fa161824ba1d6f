//! What the agent must not forget, in SQLite: all of its SQL is here.
//!
//! A write has reached the disk when its function returns (write-ahead log, `synchronous = FULL`),
//! so that what is done after it is never done without a record of it. A journal that is lost is built anew
//! from the notes beside it.

mod images;
mod instructions;
mod kernel;
mod notes;
mod outbox;
mod rebuild;
mod runs;
mod snapshots;
mod survey;
mod uploads;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sqlx::{
    SqlitePool,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;
use tracing::error;

use crate::{clock, runtime::chain};

pub use kernel::Changed;
pub use outbox::PendingEvent;
pub use rebuild::Rebuilt;
pub use runs::{OpenRun, Settlement};
pub use survey::Backlog;
pub use uploads::{GivenUp, Lane, PendingUpload, UploadFile};

/// The journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    pool: SqlitePool,
    notes: notes::Notes,
    rebuilt: Option<Rebuilt>,
    /// When it was noted last up to where occurrences are settled.
    accounts_noted: Arc<Mutex<Option<Instant>>>,
}

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("the journal cannot be read or written; is the disk full or the state folder read-only?")]
    Database(#[from] sqlx::Error),
    /// It is of a newer agent.
    #[error("the journal is of a newer agent, with tables of version {0}; install that agent again")]
    Newer(i64),
    /// Its tables cannot be made.
    #[error("the journal's tables cannot be made")]
    Migrate(#[from] MigrateError),
    /// It is none, or not whole.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
    /// A note beside it cannot be read or written.
    #[error("{} cannot be read or written; is the disk full or the state folder read-only?", .0.display())]
    Note(PathBuf, #[source] io::Error),
    /// A row says something that makes no sense.
    #[error("the journal's row of {0} cannot be read")]
    Row(String, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl JournalError {
    /// Whether the journal is lost, and not only out of reach.
    fn is_damage(&self) -> bool {
        match self {
            Self::Database(error) => is_damage(error),
            Self::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                is_damage(error)
            }
            // No agent ever changed its tables afterwards.
            Self::Migrate(MigrateError::VersionMismatch(_) | MigrateError::Dirty(_)) => true,
            Self::Damaged(_) | Self::Row(..) => true,
            Self::Migrate(_) | Self::Newer(_) | Self::Note(..) => false,
        }
    }

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
    /// Opens the journal, or makes it. One that is lost is set aside and built anew from the notes beside it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or is a journal of a newer agent.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        let notes = notes::Notes::beside(path)?;
        let journal = match Self::open_whole(path, &notes).await {
            Ok(journal) => journal,
            Err(error) if error.is_damage() => {
                let why = chain(&error);
                error!(journal = %path.display(), why, "the journal is lost; it is set aside and built anew");
                rebuild::rebuild(path, &notes, &why, clock::now()).await?;
                Self::open_whole(path, &notes).await?
            }
            Err(error) => return Err(error),
        };
        journal.compare_notes().await?;
        Ok(journal)
    }

    /// Opens a journal that has nothing wrong with it.
    async fn open_whole(path: &Path, notes: &notes::Notes) -> Result<Self, JournalError> {
        if !path.exists() && !notes.is_empty() {
            return Err(JournalError::Damaged("it is gone".to_owned()));
        }
        let pool = connect(path).await?;
        let opened = async {
            migrate(&pool).await?;
            let rebuilt = Self::read_rebuilt(&pool).await?;
            let journal =
                Self { pool: pool.clone(), notes: notes.clone(), rebuilt, accounts_noted: Arc::default() };
            journal.verify().await?;
            Ok(journal)
        };
        let opened = opened.await;
        if opened.is_err() {
            pool.close().await;
        }
        opened
    }

    /// Waits for the last write and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn connect(path: &Path) -> Result<SqlitePool, JournalError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT);
    // One connection: writes are short and in order, and never wait for each other's locks.
    Ok(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
}

async fn migrate(pool: &SqlitePool) -> Result<(), JournalError> {
    match sqlx::migrate!().run(pool).await {
        Err(MigrateError::VersionMissing(version)) => Err(JournalError::Newer(version)),
        migrated => Ok(migrated?),
    }
}

/// Whether an error of SQLite says that the file is no good, by its extended code (sqlite.org/rescode.html). What may
/// pass, such as a full disk, says nothing about the file.
fn is_damage(error: &sqlx::Error) -> bool {
    const IOERR_READ: i32 = 266;
    const IOERR_SHORT_READ: i32 = 522;
    /// PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN.
    const PASSING: [i32; 9] = [3, 5, 6, 7, 8, 9, 10, 13, 14];
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse().ok()).unwrap_or(0);
            matches!(code, IOERR_READ | IOERR_SHORT_READ) || !PASSING.contains(&(code & 0xff))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

fn to_micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
