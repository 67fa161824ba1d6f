//! The times that moved runs have for themselves.
//!
//! A reservation is made in the transaction that records the end of the run which it stands for, and only on what is in
//! force then ([`super::mover`]): that transaction and the one that puts a commit in force hold the same row (`lead::hold`),
//! and each looks whether what it was decided on is still there.

use std::sync::Arc;

use almanac_schemas::RunId;
use almanac_validate::Moved;
use chrono::{DateTime, Utc};

use super::{Change, Store, StoreError, instant, micros, testbed::word};
use crate::applied::Applied;

/// The time of a moved run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationRow {
    /// Its number; later ones have larger ones.
    pub id: i64,
    /// What has it.
    pub moved: Moved,
}

/// By what it is decided what becomes of a run that has to make room for a node's owner.
#[derive(Debug, Clone)]
pub struct Ground {
    /// What is in force.
    pub applied: Arc<Applied>,
    /// When it is decided.
    pub now: DateTime<Utc>,
}

type Columns = (i64, String, String, i64, i64);

const HELD: &str =
    "SELECT id, job, node, at, moved_to FROM reservations WHERE released_at IS NULL ORDER BY id";

fn rows(columns: Vec<Columns>) -> Result<Vec<ReservationRow>, StoreError> {
    let row = |(id, job, node, at, to): Columns| {
        let (job, node) = (word("job", &job)?, word("node", &node)?);
        Ok(ReservationRow { id, moved: Moved { job, node, at: instant(at), to: instant(to) } })
    };
    columns.into_iter().map(row).collect()
}

impl Store {
    /// The times that moved runs have for themselves, in the order in which they got them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn reservations(&self) -> Result<Vec<ReservationRow>, StoreError> {
        rows(sqlx::query_as(HELD).fetch_all(&self.pool).await?)
    }

    /// The number of the latest reservation that was ever made.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn latest_reservation(&self) -> Result<Option<i64>, StoreError> {
        let (latest,): (Option<i64>,) =
            sqlx::query_as("SELECT MAX(id) FROM reservations").fetch_one(&self.pool).await?;
        Ok(latest)
    }
}

/// The times that moved runs have for themselves, as a change that decides about more of them sees them.
pub(super) async fn held(change: &mut Change) -> Result<Vec<Moved>, StoreError> {
    let held = rows(sqlx::query_as(HELD).fetch_all(&mut **change).await?)?;
    Ok(held.into_iter().map(|row| row.moved).collect())
}

/// The run that was moved to where this one is, if it was, also when its time was given back.
pub(super) async fn of_run(change: &mut Change, run: RunId) -> Result<Option<Moved>, StoreError> {
    let found = sqlx::query_as(
        "SELECT id, job, node, at, moved_to FROM reservations WHERE run_id = $1 ORDER BY id DESC LIMIT 1",
    );
    let found: Option<Columns> = found.bind(run.to_string()).fetch_optional(&mut **change).await?;
    Ok(rows(found.into_iter().collect())?.pop().map(|row| row.moved))
}

/// Gives a run its new time.
pub(super) async fn reserve(
    change: &mut Change,
    moved: &Moved,
    from: RunId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let run = RunId::new(&moved.job, &moved.node, moved.to);
    sqlx::query(
        "INSERT INTO reservations (run_id, moved_run_id, job, node, at, moved_to, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(run.to_string())
    .bind(from.to_string())
    .bind(moved.job.as_str())
    .bind(moved.node.as_str())
    .bind(micros(moved.at))
    .bind(micros(moved.to))
    .bind(micros(now))
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Gives back the time of a moved run that has ended. Whether it had one.
pub(super) async fn ended(change: &mut Change, run: RunId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let released =
        sqlx::query("UPDATE reservations SET released_at = $2 WHERE run_id = $1 AND released_at IS NULL")
            .bind(run.to_string())
            .bind(micros(now))
            .execute(&mut **change)
            .await?;
    Ok(released.rows_affected() > 0)
}

/// Gives back times of runs that are not declared any more.
pub(super) async fn release(change: &mut Change, ids: &[i64], now: DateTime<Utc>) -> Result<(), StoreError> {
    for id in ids {
        sqlx::query("UPDATE reservations SET released_at = $2 WHERE id = $1 AND released_at IS NULL")
            .bind(id)
            .bind(micros(now))
            .execute(&mut **change)
            .await?;
    }
    Ok(())
}
