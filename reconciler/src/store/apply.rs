//! Putting a commit in force: one transaction.

use almanac_validate::{
    Finding,
    plan::{Edit, Plan},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Sqlite, Transaction};

use super::{Store, StoreError, SyncRow, micros, syncs};
use crate::{applied::Next, plan::Recorded};

/// A decided change of the database.
#[derive(Debug)]
pub struct Apply<'a> {
    /// The sync to record; its id is given by the database.
    pub sync: &'a SyncRow,
    /// Its findings: warnings, since there are no errors.
    pub findings: &'a [Finding],
    /// What changes.
    pub plan: &'a Plan<'a>,
    /// What follows from it.
    pub next: &'a Next,
}

type Change = Transaction<'static, Sqlite>;

impl Store {
    /// Puts a commit in force, all of it or nothing, and returns the id of its sync.
    ///
    /// # Errors
    ///
    /// When the database fails; then it is as before.
    pub async fn apply(&self, apply: &Apply<'_>) -> Result<i64, StoreError> {
        let now = apply.sync.ended_at;
        let mut change = self.write().await?;
        let id = syncs::insert(&mut change, apply.sync).await?;
        syncs::insert_findings(&mut change, id, apply.findings).await?;
        record_changes(&mut change, id, apply.plan).await?;
        users(&mut change, id, now, apply.plan).await?;
        nodes(&mut change, id, now, apply).await?;
        jobs(&mut change, id, apply).await?;
        assignments(&mut change, now, apply.next).await?;
        if let Some((_, config)) = apply.plan.config {
            sqlx::query(
                "INSERT INTO settings (name, value) VALUES ('config', $1)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )
            .bind(json(config))
            .execute(&mut *change)
            .await?;
        }
        change.commit().await?;
        Ok(id)
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("specs have text keys and no failing fields")
}

async fn record_changes(change: &mut Change, sync: i64, plan: &Plan<'_>) -> Result<(), StoreError> {
    for (position, recorded) in (0_i64..).zip(Recorded::all(plan)) {
        sqlx::query("INSERT INTO changes VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(sync)
            .bind(position)
            .bind(recorded.kind.as_str())
            .bind(recorded.name)
            .bind(recorded.action.as_str())
            .bind(recorded.before.as_ref().map(json).unwrap_or_default())
            .bind(recorded.after.as_ref().map(json).unwrap_or_default())
            .execute(&mut **change)
            .await?;
    }
    Ok(())
}

async fn users(
    change: &mut Change,
    sync: i64,
    now: DateTime<Utc>,
    plan: &Plan<'_>,
) -> Result<(), StoreError> {
    for user in &plan.users {
        match user.edit {
            Edit::Added(spec) | Edit::Changed(_, spec) => sqlx::query(
                "INSERT INTO users (name, spec, sync_id) VALUES ($1, $2, $3)
                     ON CONFLICT (name) DO UPDATE
                     SET spec = excluded.spec, sync_id = excluded.sync_id, deleted_at = NULL",
            )
            .bind(user.name.as_str())
            .bind(json(spec))
            .bind(sync),
            Edit::Removed(_) => sqlx::query("UPDATE users SET deleted_at = $2, sync_id = $3 WHERE name = $1")
                .bind(user.name.as_str())
                .bind(micros(now))
                .bind(sync),
        }
        .execute(&mut **change)
        .await?;
    }
    Ok(())
}

async fn nodes(
    change: &mut Change,
    sync: i64,
    now: DateTime<Utc>,
    apply: &Apply<'_>,
) -> Result<(), StoreError> {
    for node in &apply.plan.nodes {
        match node.edit {
            Edit::Added(entry) | Edit::Changed(_, entry) => sqlx::query(
                "INSERT INTO nodes (name, labels, spec, sync_id, generation) VALUES ($1, $2, $3, $4, 0)
                     ON CONFLICT (name) DO UPDATE
                     SET labels = excluded.labels, spec = excluded.spec, sync_id = excluded.sync_id,
                         deleted_at = NULL",
            )
            .bind(node.name.as_str())
            .bind(json(&entry.labels))
            .bind(json(&entry.spec))
            .bind(sync),
            Edit::Removed(_) => sqlx::query("UPDATE nodes SET deleted_at = $2, sync_id = $3 WHERE name = $1")
                .bind(node.name.as_str())
                .bind(micros(now))
                .bind(sync),
        }
        .execute(&mut **change)
        .await?;
    }
    for node in &apply.next.touched {
        sqlx::query("UPDATE nodes SET generation = $2 WHERE name = $1")
            .bind(node.as_str())
            .bind(apply.next.applied.generation(node).cast_signed())
            .execute(&mut **change)
            .await?;
    }
    Ok(())
}

async fn jobs(change: &mut Change, sync: i64, apply: &Apply<'_>) -> Result<(), StoreError> {
    let now = micros(apply.sync.ended_at);
    for job in &apply.plan.jobs {
        match job.edit {
            Edit::Added(spec) | Edit::Changed(_, spec) => {
                // A job that comes back is a new one of the same name; its runs stay as they are.
                sqlx::query(
                    "INSERT INTO jobs (name, owner, spec, commit_id, sync_id, created_at, updated_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $6)
                     ON CONFLICT (name) DO UPDATE
                     SET owner = excluded.owner, spec = excluded.spec, commit_id = excluded.commit_id,
                         sync_id = excluded.sync_id, updated_at = excluded.updated_at, deleted_at = NULL,
                         created_at = CASE WHEN jobs.deleted_at IS NULL
                                           THEN jobs.created_at ELSE excluded.created_at END",
                )
                .bind(job.name.as_str())
                .bind(spec.owner.as_str())
                .bind(json(spec))
                .bind(&apply.sync.commit.id)
                .bind(sync)
                .bind(now)
            }
            Edit::Removed(_) => sqlx::query("UPDATE jobs SET deleted_at = $2, sync_id = $3 WHERE name = $1")
                .bind(job.name.as_str())
                .bind(now)
                .bind(sync),
        }
        .execute(&mut **change)
        .await?;
    }
    Ok(())
}

async fn assignments(change: &mut Change, now: DateTime<Utc>, next: &Next) -> Result<(), StoreError> {
    for (node, job, role) in &next.gone {
        sqlx::query("UPDATE assignments SET removed_at = $4 WHERE job = $1 AND node = $2 AND role = $3")
            .bind(job.as_str())
            .bind(node.as_str())
            .bind(role.as_str())
            .bind(micros(now))
            .execute(&mut **change)
            .await?;
    }
    for (node, assigned) in &next.put {
        sqlx::query(
            "INSERT INTO assignments (job, node, role, since) VALUES ($1, $2, $3, $4)
             ON CONFLICT (job, node, role) DO UPDATE SET since = excluded.since, removed_at = NULL",
        )
        .bind(assigned.job.as_str())
        .bind(node.as_str())
        .bind(assigned.role.as_str())
        .bind(micros(assigned.since))
        .execute(&mut **change)
        .await?;
    }
    Ok(())
}
