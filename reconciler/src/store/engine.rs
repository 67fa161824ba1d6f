//! Which database it is, and what only one of the two understands.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    AnyConnection, ConnectOptions, Executor, any::AnyConnectOptions, migrate::Migrator,
    postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};

use super::{Change, OpenError, lead::LEASE};
use crate::hear::Heard;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The channel of PostgreSQL on which reconcilers tell each other.
pub const CHANNEL: &str = "almanac";

/// The channel on which they write to each other about logs that somebody watches.
pub const LETTERS: &str = "almanac_logs";

/// How long a writer waits for another one, be it another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server lets a change rest whose reconciler says nothing any more. It may hold what a new leader
/// needs, so it is no longer than the lease of a leader.
const REST: Duration = LEASE;

/// A database of one of the two kinds.
#[derive(Clone)]
pub enum Engine {
    /// A file on this machine, which one reconciler serves.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What its address says besides.
        options: Box<SqliteConnectOptions>,
    },
    /// A server, which several reconcilers may share.
    Postgres {
        /// The address, as it was given: options cannot be written as one without a loss.
        address: Box<str>,
        /// What it says.
        options: Box<PgConnectOptions>,
    },
}

impl Engine {
    /// The file of SQLite.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite { path, .. } => Some(path),
            Self::Postgres { .. } => None,
        }
    }

    /// How changes begin. SQLite takes the write lock at the start, so that no change fails half-way
    /// because somebody else writes.
    pub(super) const fn begin(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "BEGIN IMMEDIATE",
            Self::Postgres { .. } => "BEGIN",
        }
    }

    /// How a look at several tables begins that has to see them as they are at one time.
    pub(super) const fn begin_look(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "BEGIN",
            Self::Postgres { .. } => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// How many connections there are. In SQLite one writes at a time, and reading is quick: more
    /// would only wait for each other.
    pub(super) const fn connections(&self) -> u32 {
        match self {
            Self::Sqlite { .. } => 4,
            Self::Postgres { .. } => 10,
        }
    }

    /// Says something to the other reconcilers of this database, once the change is committed.
    pub(super) async fn say(&self, change: &mut Change, what: Heard) -> Result<(), sqlx::Error> {
        if let Self::Postgres { .. } = self {
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(what.as_str())
                .execute(&mut **change)
                .await?;
        }
        Ok(())
    }

    pub(super) fn migrations(&self) -> &'static Migrator {
        match self {
            Self::Sqlite { .. } => &SQLITE,
            Self::Postgres { .. } => &POSTGRES,
        }
    }

    pub(super) fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        match self {
            Self::Sqlite { options, .. } => AnyConnectOptions::from_url(&options.to_url_lossy()),
            Self::Postgres { address, .. } => AnyConnectOptions::from_str(address),
        }
    }

    /// Prepares a new connection.
    pub(super) async fn prepare(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite { .. } => {
                let timeout = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
                connection.execute(sqlx::AssertSqlSafe(timeout)).await?;
                // What an agent was told to be recorded must be there after a power cut.
                connection.execute("PRAGMA journal_mode = WAL").await?;
                connection.execute("PRAGMA synchronous = FULL").await?;
                connection.execute("PRAGMA foreign_keys = ON").await?;
            }
            Self::Postgres { .. } => {
                // A statement that hangs would hang everything that waits for its locks.
                connection.execute("SET statement_timeout = '30s'").await?;
                connection.execute("SET lock_timeout = '10s'").await?;
                let rest = format!("SET idle_in_transaction_session_timeout = {}", REST.as_millis());
                connection.execute(sqlx::AssertSqlSafe(rest)).await?;
                connection.execute("SET application_name = 'almanac-reconciler'").await?;
            }
        }
        Ok(())
    }
}

impl FromStr for Engine {
    type Err = OpenError;

    fn from_str(address: &str) -> Result<Self, OpenError> {
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(address).map_err(OpenError::PostgresAddress)?;
            let options = Box::new(options.application_name("almanac-reconciler"));
            return Ok(Self::Postgres { address: address.into(), options });
        }
        let wrong = || OpenError::Address(address.split("://").next().unwrap_or_default().to_owned());
        if !address.starts_with("sqlite:") || address.contains(":memory:") {
            return Err(wrong());
        }
        let options = SqliteConnectOptions::from_str(address).map_err(|_| wrong())?;
        let path = options.get_filename().to_owned();
        if path.as_os_str().is_empty() {
            return Err(wrong());
        }
        // Who says `?mode=ro` or `?mode=rw` does not want a file to be made.
        let options = if address.contains("mode=") { options } else { options.create_if_missing(true) };
        Ok(Self::Sqlite { path, options: Box::new(options) })
    }
}

impl fmt::Debug for Engine {
    /// As it is shown to people: errors carry it, and none may show a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({self})")
    }
}

impl fmt::Display for Engine {
    /// For people, without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path, .. } => path.display().fmt(f),
            Self::Postgres { options, .. } => {
                let database = options.get_database().unwrap_or(options.get_username());
                write!(f, "`{database}` on {}:{}", options.get_host(), options.get_port())
            }
        }
    }
}
