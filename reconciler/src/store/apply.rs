//! Recording a sync, and putting its commit in force: one transaction.

use std::collections::BTreeSet;

use almanac_schemas::NodeName;
use almanac_validate::plan::{Edit, Plan};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Change, FindingRow, Store, StoreError, SyncRow, findings, heartbeats, instructions, lead, micros, outbox,
    reservations, rows::insert, scavenging, syncs,
};
use crate::{
    applied::Next,
    hear::Heard,
    notify::Notice,
    plan::Recorded,
    step::{Step, Steps},
};

/// A decided change of the database.
pub struct Apply<'a> {
    /// What it was decided on.
    pub base: Base,
    /// The sync to record; its id is given by the database.
    pub sync: &'a SyncRow,
    /// Its findings: warnings when the commit is put in force.
    pub findings: &'a [FindingRow],
    /// What it does.
    pub effect: Effect<'a>,
    /// What is to be told to whom, given the id of the sync.
    pub notices: &'a (dyn Fn(i64) -> Vec<Notice> + Sync),
    /// Who watches.
    pub steps: &'a Steps,
}

/// What a sync does to what is in force.
#[derive(Clone, Copy)]
pub enum Effect<'a> {
    /// Nothing: its commit has errors, and what it would change is not known.
    None,
    /// Nothing until somebody approves its commit. What that would change is recorded, so that whoever is asked can
    /// read all of it.
    Waits(&'a Plan<'a>),
    /// It makes the changes, and what follows from them.
    Applies(&'a Plan<'a>, &'a Next),
}

/// What a change was decided on. A change whose base is not there any more is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The sync that was in force.
    pub sync: Option<i64>,
    /// The latest sync of all.
    pub latest: Option<i64>,
    /// What somebody did last to the syncs: a suspension counts for what was decided before it.
    pub action: Option<i64>,
    /// The latest time that was reserved for a moved run.
    pub reservation: Option<i64>,
    /// The term of the leader that decided; absent where there is only one reconciler.
    pub term: Option<i64>,
}

impl Store {
    /// Records a sync and puts its commit in force if it applies it, all of it or nothing. Returns
    /// the id of the sync.
    ///
    /// # Errors
    ///
    /// [`StoreError::Outrun`] and [`StoreError::Deposed`] when the base is not there any more, and when the
    /// database fails; then it is as before.
    pub async fn apply(&self, apply: &Apply<'_>) -> Result<i64, StoreError> {
        let mut change = self.write().await?;
        fence(&mut change, apply.base).await?;
        apply.steps.over(Step::Begun);
        let id = syncs::put(&mut change, apply.sync).await?;
        findings::put(&mut change, id, apply.findings).await?;
        outbox::put(&mut change, &(apply.notices)(id), apply.sync.ended_at).await?;
        if let Effect::Waits(plan) | Effect::Applies(plan, _) = apply.effect {
            record_changes(&mut change, id, plan).await?;
        }
        apply.steps.over(Step::SyncWritten);
        if let Effect::Applies(plan, next) = apply.effect {
            let now = apply.sync.ended_at;
            users(&mut change, id, now, plan).await?;
            nodes(&mut change, id, now, plan, next).await?;
            jobs(&mut change, id, apply.sync, plan).await?;
            assignments(&mut change, now, next).await?;
            if plan.config.is_some() || next.config {
                super::put_setting(&mut change, "config", json(&next.applied.testbed.config)).await?;
            }
            reservations::release(&mut change, &next.released, now).await?;
            self.engine.say(&mut change, Heard::Applied).await?;
        }
        apply.steps.over(Step::RowsWritten);
        change.commit().await?;
        apply.steps.over(Step::Committed);
        Ok(id)
    }
}

/// Lets one change at a time through, and none that was decided on something that is no more.
async fn fence(change: &mut Change, base: Base) -> Result<(), StoreError> {
    lead::hold(change, base.term).await?;
    let now: (Option<i64>, Option<i64>, Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT MAX(id) FROM syncs), (SELECT MAX(id) FROM syncs WHERE outcome = 'applied'),
                (SELECT MAX(id) FROM actions), (SELECT MAX(id) FROM reservations)",
    )
    .fetch_one(&mut **change)
    .await?;
    if now == (base.latest, base.sync, base.action, base.reservation) {
        Ok(())
    } else {
        Err(StoreError::Outrun)
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("specs have text keys and no failing fields")
}

async fn record_changes(change: &mut Change, sync: i64, plan: &Plan<'_>) -> Result<(), StoreError> {
    let row = |(position, recorded): (i64, Recorded)| {
        [
            sync.into(),
            position.into(),
            recorded.kind.as_str().into(),
            recorded.name.into(),
            recorded.action.as_str().into(),
            recorded.before.as_ref().map(json).unwrap_or_default().into(),
            recorded.after.as_ref().map(json).unwrap_or_default().into(),
        ]
    };
    let columns = ["sync_id", "position", "kind", "name", "action", "before_json", "after_json"];
    insert(change, "changes", columns, "", (0..).zip(Recorded::all(plan)).map(row).collect()).await
}

async fn users(
    change: &mut Change,
    sync: i64,
    now: DateTime<Utc>,
    plan: &Plan<'_>,
) -> Result<(), StoreError> {
    let mut put = Vec::new();
    for user in &plan.users {
        match user.edit {
            Edit::Added(spec) | Edit::Changed(_, spec) => {
                put.push([user.name.as_str().into(), json(spec).into(), sync.into()]);
            }
            Edit::Removed(_) => {
                remove(
                    change,
                    "UPDATE users SET deleted_at = $2, sync_id = $3 WHERE name = $1",
                    user.name.as_str(),
                    sync,
                    now,
                )
                .await?;
            }
        }
    }
    let conflict = "ON CONFLICT (name) DO UPDATE
                    SET spec = excluded.spec, sync_id = excluded.sync_id, deleted_at = NULL";
    insert(change, "users", ["name", "spec", "sync_id"], conflict, put).await
}

async fn nodes(
    change: &mut Change,
    sync: i64,
    now: DateTime<Utc>,
    plan: &Plan<'_>,
    next: &Next,
) -> Result<(), StoreError> {
    let mut put = Vec::new();
    for node in &plan.nodes {
        match node.edit {
            Edit::Added(entry) | Edit::Changed(_, entry) => put.push([
                node.name.as_str().into(),
                json(&entry.labels).into(),
                json(&entry.spec).into(),
                sync.into(),
                next.applied.generation(node.name).cast_signed().into(),
                micros(now).into(),
                micros(next.applied.declared_since(node.name)).into(),
            ]),
            Edit::Removed(_) => {
                remove(
                    change,
                    "UPDATE nodes SET deleted_at = $2, sync_id = $3 WHERE name = $1",
                    node.name.as_str(),
                    sync,
                    now,
                )
                .await?;
                heartbeats::forget(change, node.name).await?;
                instructions::forget(change, node.name).await?;
                scavenging::forget(change, node.name).await?;
            }
        }
    }
    let conflict = "ON CONFLICT (name) DO UPDATE
                    SET labels = excluded.labels, spec = excluded.spec, sync_id = excluded.sync_id,
                        declared_at = excluded.declared_at, deleted_at = NULL";
    let columns = ["name", "labels", "spec", "sync_id", "generation", "generation_at", "declared_at"];
    insert(change, "nodes", columns, conflict, put).await?;
    let added = plan.nodes.iter().filter(|change| matches!(change.edit, Edit::Added(_)));
    let added: BTreeSet<&NodeName> = added.map(|change| change.name).collect();
    let known = next.touched.iter().filter(|node| next.applied.generation(node) > 1 || !added.contains(node));
    for node in known.chain(next.restored.difference(&next.touched)) {
        sqlx::query("UPDATE nodes SET generation = $2, generation_at = $3 WHERE name = $1")
            .bind(node.as_str())
            .bind(next.applied.generation(node).cast_signed())
            .bind(micros(next.applied.generation_since(node)))
            .execute(&mut **change)
            .await?;
    }
    Ok(())
}

async fn jobs(change: &mut Change, sync: i64, of: &SyncRow, plan: &Plan<'_>) -> Result<(), StoreError> {
    let now = micros(of.ended_at);
    let mut put = Vec::new();
    for job in &plan.jobs {
        match job.edit {
            Edit::Added(spec) | Edit::Changed(_, spec) => put.push([
                job.name.as_str().into(),
                spec.owner.as_str().into(),
                json(spec).into(),
                of.commit.id.as_str().into(),
                sync.into(),
                now.into(),
                now.into(),
            ]),
            Edit::Removed(_) => {
                remove(
                    change,
                    "UPDATE jobs SET deleted_at = $2, sync_id = $3 WHERE name = $1",
                    job.name.as_str(),
                    sync,
                    of.ended_at,
                )
                .await?;
            }
        }
    }
    // A job that comes back is a new one of the same name; its runs stay as they are.
    let conflict = "ON CONFLICT (name) DO UPDATE
                    SET owner = excluded.owner, spec = excluded.spec, commit_id = excluded.commit_id,
                        sync_id = excluded.sync_id, updated_at = excluded.updated_at, deleted_at = NULL,
                        created_at = CASE WHEN jobs.deleted_at IS NULL
                                          THEN jobs.created_at ELSE excluded.created_at END";
    let columns = ["name", "owner", "spec", "commit_id", "sync_id", "created_at", "updated_at"];
    insert(change, "jobs", columns, conflict, put).await
}

async fn remove(
    change: &mut Change,
    statement: &'static str,
    name: &str,
    sync: i64,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let query = sqlx::query(statement).bind(name).bind(micros(now)).bind(sync);
    query.execute(&mut **change).await?;
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
    let put = next.put.iter().map(|(node, assigned)| {
        [
            assigned.job.as_str().into(),
            node.as_str().into(),
            assigned.role.as_str().into(),
            micros(assigned.since).into(),
        ]
    });
    let conflict = "ON CONFLICT (job, node, role) DO UPDATE SET since = excluded.since, removed_at = NULL";
    insert(change, "assignments", ["job", "node", "role", "since"], conflict, put.collect()).await
}
