//! The lock of the leader, and its term.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::{Change, Store, StoreError, put_setting};

/// How long the lock is held for somebody who says nothing: the server then ends the connection, whether the
/// program hangs, is stopped, or cannot be reached although its connection seems to stand.
pub const LEASE: Duration = Duration::from_secs(5);

/// The number of the advisory lock: `almanac` in ASCII.
const LOCK: i64 = 0x61_6c_6d_61_6e_61_63;

/// A connection of its own that tries to have the lock of the leader, or has it. It is given back when this is
/// dropped, and when the server has heard nothing for [`LEASE`].
#[derive(Debug)]
pub struct LeaderLock(PgConnection);

impl LeaderLock {
    /// Connects. It has to be used more often than once in [`LEASE`] from now on.
    ///
    /// # Errors
    ///
    /// When the database fails, or is older than PostgreSQL 14.
    pub async fn connect(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let mut connection = options.connect().await?;
        // With what is sent and never acknowledged, the server waits no longer either.
        for setting in ["idle_session_timeout", "tcp_user_timeout"] {
            let statement = format!("SET {setting} = {}", LEASE.as_millis());
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        Ok(Self(connection))
    }

    /// Takes the lock, if nobody has it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn take(&mut self) -> Result<bool, StoreError> {
        let (taken,): (bool,) =
            sqlx::query_as("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut self.0).await?;
        Ok(taken)
    }

    /// Whether the connection, and so the lock, still stands.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        Ok(self.0.ping().await?)
    }
}

impl Store {
    /// Begins the term of a new leader: what was decided in an earlier one is refused from now on.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn begin_term(&self) -> Result<i64, StoreError> {
        let mut change = self.write().await?;
        hold(&mut change, None).await?;
        let term = last_term(&mut change).await?.unwrap_or_default() + 1;
        put_setting(&mut change, "term", term.to_string()).await?;
        change.commit().await?;
        Ok(term)
    }
}

/// Lets one change of those that are for a leader alone through at a time, and none of an earlier term.
pub(super) async fn hold(change: &mut Change, term: Option<i64>) -> Result<(), StoreError> {
    // Whoever holds this row is alone: in SQLite a change begins with the lock of the whole database.
    sqlx::query("UPDATE settings SET value = value WHERE name = 'epoch'").execute(&mut **change).await?;
    if term.is_some() && last_term(change).await? != term {
        return Err(StoreError::Deposed);
    }
    Ok(())
}

async fn last_term(change: &mut Change) -> Result<Option<i64>, StoreError> {
    let last: Option<(String,)> = sqlx::query_as("SELECT value FROM settings WHERE name = 'term'")
        .fetch_optional(&mut **change)
        .await?;
    last.map(|(term,)| term.parse().map_err(StoreError::value("term", &term))).transpose()
}
