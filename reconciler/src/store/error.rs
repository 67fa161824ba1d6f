//! What can go wrong with the database, told apart by what one can do about it.

use sqlx::{postgres::PgDatabaseError, sqlite::SqliteError};
use thiserror::Error;

use super::Engine;

/// Why the database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address is not one of a database.
    #[error(
        "the address is not one of a database (it begins with `{0}`): expected `sqlite://FILE` or `postgres://USER@HOST/DATABASE`"
    )]
    Address(String),
    /// The address of a PostgreSQL server cannot be read.
    #[error(
        "the address of the PostgreSQL database cannot be read: expected `postgres://USER@HOST/DATABASE`"
    )]
    PostgresAddress(#[source] sqlx::Error),
    /// It cannot be opened or made.
    #[error("cannot open the database {0}; {remedy}", remedy = remedy(.0))]
    Open(Engine, #[source] sqlx::Error),
    /// The database cannot be written.
    #[error("the database {0} is read-only; give this program the right to write {what}", what = writable(.0))]
    ReadOnly(Engine),
    /// The file is something else.
    #[error("{0} is not an SQLite database; name another file, or move this one away")]
    NotADatabase(Engine),
    /// A newer program made it.
    #[error(
        "the database {database} is of a newer version (migration {version}) than this program; use the newer program, or a copy of the database from before"
    )]
    Newer {
        /// The database.
        database: Engine,
        /// The first migration that this program does not know.
        version: i64,
    },
    /// It cannot be brought to this program's version.
    #[error("cannot migrate the database {0}")]
    Migrate(Engine, #[source] sqlx::migrate::MigrateError),
    /// It opened and could not be read.
    #[error("cannot use the database {0}")]
    Use(Engine, #[source] StoreError),
}

const fn remedy(engine: &Engine) -> &'static str {
    match engine {
        Engine::Sqlite { .. } => "its folder must exist, and this program must be able to write there",
        Engine::Postgres { .. } => {
            "the server must run, and let this user into this database; the password is that of PGPASSWORD, of `~/.pgpass`, or in the address"
        }
    }
}

const fn writable(engine: &Engine) -> &'static str {
    match engine {
        Engine::Sqlite { .. } => "it and its folder",
        Engine::Postgres { .. } => "there, and name a primary server",
    }
}

/// Why the database did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Its disk is full. Nothing was changed.
    #[error("the disk of the database is full")]
    Full(#[source] sqlx::Error),
    /// It cannot be written. Nothing was changed.
    #[error("the database is read-only")]
    ReadOnly(#[source] sqlx::Error),
    /// Somebody else changed meanwhile what is in force, or what is wanted of the syncs. Nothing was changed.
    #[error("what is in force, or is wanted of the syncs, changed meanwhile; looking again")]
    Outrun,
    /// This reconciler does not lead any more. Nothing was changed.
    #[error("another reconciler leads now")]
    Deposed,
    /// It does not answer.
    #[error("the database did not answer in time")]
    Late(#[from] tokio::time::error::Elapsed),
    /// It is known to be away.
    #[error("the database cannot be reached at the moment")]
    Lost,
    /// It is not there, or somebody else is in the way. Trying again is the answer.
    #[error("the database cannot be used at the moment")]
    Away(#[source] sqlx::Error),
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// A value in it is not what this program wrote.
    #[error("the database holds a {what} that cannot be read: `{value}`")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What is there.
        value: String,
        /// Why it is not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What an error of the database is about, where that has a remedy of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ReadOnly,
    Full,
    NotADatabase,
    Away,
    Other,
}

pub(super) fn kind(error: &sqlx::Error) -> Kind {
    if let sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut = error {
        return Kind::Away;
    }
    let Some(error) = error.as_database_error() else { return Kind::Other };
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        // PostgreSQL's error codes (postgresql.org/docs/current/errcodes-appendix.html).
        return match error.code() {
            "25006" => Kind::ReadOnly,
            "53100" => Kind::Full,
            // Serialization, deadlock, too many connections, a lock that is held, a statement that took too long,
            // a server that stops or starts, a session or change that rested too long, a broken connection.
            "40001" | "40P01" | "53300" | "55P03" | "57014" | "57P01" | "57P02" | "57P03" | "57P05"
            | "25P03" => Kind::Away,
            code if code.starts_with("08") => Kind::Away,
            _ => Kind::Other,
        };
    }
    let code = error.try_downcast_ref::<SqliteError>().and_then(|error| {
        let code = sqlx::error::DatabaseError::code(error)?;
        code.parse::<i32>().ok()
    });
    // SQLite's primary result codes (sqlite.org/rescode.html): the low byte of the extended ones.
    match code.map(|code| code & 0xff) {
        Some(5) => Kind::Away,
        Some(8) => Kind::ReadOnly,
        Some(13) => Kind::Full,
        Some(26) => Kind::NotADatabase,
        _ => Kind::Other,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match kind(&error) {
            Kind::Full => Self::Full(error),
            Kind::ReadOnly => Self::ReadOnly(error),
            Kind::Away => Self::Away(error),
            Kind::NotADatabase | Kind::Other => Self::Database(error),
        }
    }
}

impl StoreError {
    /// A value that was read and has no meaning.
    pub(super) fn value<E>(what: &'static str, value: &str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let value = value.to_owned();
        move |source| Self::Value { what, value, source: Box::new(source) }
    }
}
