//! What is to be told to others: written with what it is about, and there until it is delivered.

use chrono::{DateTime, Utc};

use super::{
    Change, Store, StoreError, count, instant, micros,
    rows::{insert, text},
};
use crate::notify::Notice;

/// A notice that is not delivered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number. Notices to one target are delivered in the order of their numbers.
    pub id: i64,
    /// The notice.
    pub notice: Notice,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// How often delivering it failed.
    pub attempts: u32,
    /// When to try next.
    pub next_at: DateTime<Utc>,
    /// Why it failed last.
    pub error: String,
}

pub(super) async fn put(
    change: &mut Change,
    notices: &[Notice],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = |notice: &Notice| {
        [notice.target.as_str().into(), notice.body.as_str().into(), micros(now).into(), micros(now).into()]
    };
    let columns = ["target", "body", "created_at", "next_at"];
    insert(change, "outbox", columns, "", notices.iter().map(row).collect()).await
}

type Columns = (i64, String, String, i64, i64, i64, String);

impl Store {
    /// Writes notices that are about no sync.
    ///
    /// # Errors
    ///
    /// When the database fails; then none is written.
    pub async fn put_notices(&self, notices: &[Notice], now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        put(&mut change, notices, now).await?;
        Ok(change.commit().await?)
    }

    /// The oldest notices that are not delivered yet, whether they are due or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn outbox(&self, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT id, target, body, created_at, attempts, next_at, error FROM outbox ORDER BY id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let row = |(id, target, body, created_at, attempts, next_at, error): Columns| OutboxRow {
            id,
            notice: Notice { target, body },
            created_at: instant(created_at),
            attempts: count(attempts),
            next_at: instant(next_at),
            error,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Forgets a notice that was delivered, or can never be.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn delivered(&self, id: i64) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM outbox WHERE id = $1").bind(id).execute(&mut *change).await?;
        Ok(change.commit().await?)
    }

    /// Records that delivering a notice failed, and when to try again.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn undelivered(&self, id: i64, error: &str, next_at: DateTime<Utc>) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query("UPDATE outbox SET attempts = attempts + 1, error = $2, next_at = $3 WHERE id = $1")
            .bind(id)
            .bind(text(error))
            .bind(micros(next_at))
            .execute(&mut *change)
            .await?;
        Ok(change.commit().await?)
    }
}
