//! What can go wrong with the database, told apart by what one can do about it.

use std::path::PathBuf;

use thiserror::Error;

/// Why the database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address is not one of a database.
    #[error("`{0}` is not the address of a database: expected `sqlite://FILE`")]
    Address(String),
    /// The file cannot be opened or made.
    #[error("cannot open the database {}; its folder must exist, and this program must be able to write there", .0.display())]
    Open(PathBuf, #[source] sqlx::Error),
    /// The database cannot be written.
    #[error("the database {} is read-only; give this program the right to write it and its folder", .0.display())]
    ReadOnly(PathBuf),
    /// The file is something else.
    #[error("{} is not an SQLite database; name another file, or move this one away", .0.display())]
    NotADatabase(PathBuf),
    /// A newer program made it.
    #[error(
        "the database {} is of a newer version (migration {version}) than this program; use the newer program, or a copy of the database from before",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first migration that this program does not know.
        version: i64,
    },
    /// It cannot be brought to this program's version.
    #[error("cannot migrate the database {}", .0.display())]
    Migrate(PathBuf, #[source] sqlx::migrate::MigrateError),
    /// It opened and could not be read.
    #[error("cannot use the database {}", .0.display())]
    Use(PathBuf, #[source] StoreError),
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

/// SQLite's primary result codes (sqlite.org/rescode.html) that have a remedy of their own.
pub(super) mod code {
    pub(in crate::store) const READ_ONLY: i32 = 8;
    pub(in crate::store) const FULL: i32 = 13;
    pub(in crate::store) const NOT_A_DATABASE: i32 = 26;
}

/// The primary result code: the low byte of the extended one.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(code::FULL) => Self::Full(error),
            Some(code::READ_ONLY) => Self::ReadOnly(error),
            _ => Self::Database(error),
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
