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
    /// The oldest notice to a target that is not delivered yet, whether it is due or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn first_notice(&self, target: &str) -> Result<Option<OutboxRow>, StoreError> {
        let row: Option<Columns> = sqlx::query_as(
            "SELECT id, target, body, created_at, attempts, next_at, error FROM outbox
             WHERE target = $1 ORDER BY id LIMIT 1",
        )
        .bind(target)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(id, target, body, created_at, attempts, next_at, error)| OutboxRow {
            id,
            notice: Notice { target, body },
            created_at: instant(created_at),
            attempts: count(attempts),
            next_at: instant(next_at),
            error,
        }))
    }

    /// The targets that there are notices to.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn notice_targets(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT DISTINCT target FROM outbox").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(target,)| target).collect())
    }

    /// Forgets all notices to a target, and says how many there were.
    ///
    /// # Errors
    ///
    /// When the database fails; then none is forgotten.
    pub async fn forget_target(&self, target: &str) -> Result<u64, StoreError> {
        let mut change = self.write().await?;
        let forgotten =
            sqlx::query("DELETE FROM outbox WHERE target = $1").bind(target).execute(&mut *change).await?;
        change.commit().await?;
        Ok(forgotten.rows_affected())
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
