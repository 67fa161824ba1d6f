//! The lock of the leader, and its term.

use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{Engine, Store, StoreError, put_setting};

/// The number of the advisory lock: `almanac` in ASCII.
const LOCK: i64 = 0x61_6c_6d_61_6e_61_63;

/// The lock of the leader, on a connection of its own. It is given back when this is dropped, and when
/// the server finds the connection dead.
#[derive(Debug)]
pub struct LeaderLock(PgConnection);

impl LeaderLock {
    /// Takes the lock, if nobody has it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn acquire(store: &Store) -> Result<Option<Self>, StoreError> {
        let Engine::Postgres(options) = store.engine() else { return Ok(None) };
        let mut connection = options.connect().await?;
        // A machine that is gone sends no farewell: these let the server notice within seconds
        // (postgresql.org/docs/current/runtime-config-connection.html). Over a Unix socket they mean nothing.
        for setting in [
            "tcp_keepalives_idle = 2",
            "tcp_keepalives_interval = 1",
            "tcp_keepalives_count = 3",
            "tcp_user_timeout = 5000",
        ] {
            let _ = sqlx::query(sqlx::AssertSqlSafe(format!("SET {setting}"))).execute(&mut connection).await;
        }
        let (taken,): (bool,) =
            sqlx::query_as("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
        if taken {
            return Ok(Some(Self(connection)));
        }
        connection.close().await?;
        Ok(None)
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
        // As a change that is put in force does: one at a time.
        sqlx::query("UPDATE settings SET value = value WHERE name = 'epoch'").execute(&mut *change).await?;
        let last: Option<(String,)> = sqlx::query_as("SELECT value FROM settings WHERE name = 'term'")
            .fetch_optional(&mut *change)
            .await?;
        let last = last.map(|(term,)| term.parse::<i64>().map_err(StoreError::value("term", &term)));
        let term = last.transpose()?.unwrap_or_default() + 1;
        put_setting(&mut change, "term", term.to_string()).await?;
        change.commit().await?;
        Ok(term)
    }
}
