//! Reading what is in force, and what was.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
};

use almanac_schemas::{JobName, JobSpec, NodeName, RunRole, UserName};
use almanac_validate::{NodeEntry, Testbed};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::{Store, StoreError, instant};
use crate::{
    applied::{Applied, AppliedSync, Assigned, JobOrigin, KeyIndex, placements},
    causes::chain,
};

/// A job that was removed from the repository.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedJob {
    /// Its name.
    pub name: JobName,
    /// What it did at the end.
    pub spec: JobSpec,
    /// Where it came from.
    pub origin: JobOrigin,
    /// When it was removed.
    pub deleted_at: DateTime<Utc>,
    /// The nodes that its clients ran on at the end.
    pub nodes: Vec<NodeName>,
}

/// Which removed jobs are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeletedJobFilter {
    /// Only those that ran on this node.
    pub node: Option<NodeName>,
    /// Only those of this owner.
    pub owner: Option<UserName>,
    /// Only those after this name.
    pub after: Option<String>,
}

type NodeColumns = (String, String, String, i64, i64, i64, Option<i64>);

type JobColumns = (String, String, String, i64, i64, i64);

/// What the database says is in force.
#[derive(Debug)]
pub struct Loaded {
    /// It, as far as it can be read.
    pub applied: Applied,
    /// Assignments that nothing in force accounts for.
    pub strays: Vec<(NodeName, JobName, RunRole)>,
    /// Jobs in force of which an assignment is missing.
    pub lost: BTreeSet<JobName>,
    /// What cannot be read, and was passed over.
    pub unreadable: Vec<StoreError>,
    /// Whether the settings are among it.
    pub config_unreadable: bool,
}

/// A job whose owner is not the one of its spec.
#[derive(Debug, thiserror::Error)]
#[error("its spec says `{0}`")]
struct OwnerError(UserName);

impl Store {
    /// What is in force. What cannot be read is passed over: comparing the database with the commit in
    /// force puts it right, and must not fail because of it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn load(&self) -> Result<Loaded, StoreError> {
        let (epoch,): (String,) =
            sqlx::query_as("SELECT value FROM settings WHERE name = 'epoch'").fetch_one(&self.pool).await?;
        let mut applied = Applied::nothing(epoch.into());
        let mut unreadable = Vec::new();
        // One transaction, so that an apply of another process is seen whole or not at all.
        let mut look = self.pool.begin_with(self.engine.begin_look()).await?;
        let sync: Option<(i64, String, i64)> = sqlx::query_as(
            "SELECT id, commit_id, ended_at FROM syncs WHERE outcome = 'applied' ORDER BY id DESC LIMIT 1",
        )
        .fetch_optional(&mut *look)
        .await?;
        applied.sync = sync.map(|(id, commit, at)| AppliedSync { id, commit, at: instant(at) });

        let mut testbed = Testbed::empty();
        let config: Option<(String,)> = sqlx::query_as("SELECT value FROM settings WHERE name = 'config'")
            .fetch_optional(&mut *look)
            .await?;
        if let Some((config,)) = config {
            let config = json("config", &config);
            testbed.config = config.map_err(|error| unreadable.push(error)).unwrap_or_default();
        }
        let config_unreadable = !unreadable.is_empty();
        let users: Vec<(String, String)> =
            sqlx::query_as("SELECT name, spec FROM users WHERE deleted_at IS NULL")
                .fetch_all(&mut *look)
                .await?;
        for (name, spec) in users {
            match word("user", &name).and_then(|name| Ok((name, json("user", &spec)?))) {
                Ok((name, spec)) => _ = testbed.users.insert(name, spec),
                Err(error) => unreadable.push(error),
            }
        }
        let nodes: Vec<NodeColumns> = sqlx::query_as(
            "SELECT name, labels, spec, generation, generation_at, declared_at, deleted_at FROM nodes",
        )
        .fetch_all(&mut *look)
        .await?;
        for (name, labels, spec, generation, since, declared_at, deleted_at) in nodes {
            let name: NodeName = match word("node", &name) {
                Ok(name) => name,
                Err(error) => {
                    unreadable.push(error);
                    continue;
                }
            };
            applied.generations.insert(name.clone(), generation.cast_unsigned());
            applied.generations_since.insert(name.clone(), instant(since));
            if deleted_at.is_some() {
                continue;
            }
            applied.declared_since.insert(name.clone(), instant(declared_at));
            match json("labels", &labels)
                .and_then(|labels| Ok(NodeEntry { labels, spec: json("node", &spec)? }))
            {
                Ok(node) => _ = testbed.nodes.insert(name, node),
                Err(error) => unreadable.push(error),
            }
        }
        let jobs: Vec<(String, String, String, String, i64, i64)> = sqlx::query_as(
            "SELECT name, owner, spec, commit_id, created_at, updated_at FROM jobs WHERE deleted_at IS NULL",
        )
        .fetch_all(&mut *look)
        .await?;
        for (name, owner, spec, commit, created_at, updated_at) in jobs {
            match word::<JobName>("job", &name).and_then(|name| Ok((name, owned_job(&owner, &spec)?))) {
                Ok((name, spec)) => {
                    let (created_at, updated_at) = (instant(created_at), instant(updated_at));
                    applied.origins.insert(name.clone(), JobOrigin { commit, created_at, updated_at });
                    testbed.jobs.insert(name, Arc::new(spec));
                }
                Err(error) => unreadable.push(error),
            }
        }
        let assignments: Vec<(String, String, String, i64)> =
            sqlx::query_as("SELECT node, job, role, since FROM assignments WHERE removed_at IS NULL")
                .fetch_all(&mut *look)
                .await?;
        drop(look);
        let mut since = BTreeMap::new();
        for (node, job, role, at) in assignments {
            let parts =
                word("node", &node).and_then(|node| Ok((node, word("job", &job)?, word("role", &role)?)));
            match parts {
                Ok(parts) => _ = since.insert(parts, instant(at)),
                Err(error) => unreadable.push(error),
            }
        }
        let mut lost = BTreeSet::new();
        // In the order in which a testbed lists them, which is the one that comparisons rely on.
        for part in testbed.assignments() {
            let key = (part.node.clone(), part.job.clone(), part.role);
            let Some(since) = since.remove(&key) else {
                lost.insert(part.job.clone());
                continue;
            };
            let assigned = Assigned { job: part.job.clone(), role: part.role, since };
            applied.assignments.entry(part.node.clone()).or_default().push(assigned);
        }
        applied.placements = placements(&testbed);
        applied.keys = KeyIndex::of(&testbed);
        applied.testbed = Arc::new(testbed);
        for error in &unreadable {
            tracing::warn!(error = chain(error), "passed over; it is put right from the commit in force");
        }
        Ok(Loaded { applied, strays: since.into_keys().collect(), lost, unreadable, config_unreadable })
    }

    /// Removed jobs in the order of names.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn deleted_jobs(
        &self,
        filter: &DeletedJobFilter,
        limit: u32,
    ) -> Result<Vec<DeletedJob>, StoreError> {
        let rows: Vec<JobColumns> = sqlx::query_as(
            "SELECT name, spec, commit_id, created_at, updated_at, deleted_at FROM jobs
             WHERE deleted_at IS NOT NULL AND name > $1 AND ($2 = '' OR owner = $2)
               AND ($3 = '' OR EXISTS (SELECT 1 FROM assignments WHERE job = jobs.name AND node = $3))
             ORDER BY name LIMIT $4",
        )
        .bind(filter.after.as_deref().unwrap_or_default())
        .bind(filter.owner.as_ref().map_or("", UserName::as_str))
        .bind(filter.node.as_ref().map_or("", NodeName::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            jobs.push(self.deleted(row).await?);
        }
        Ok(jobs)
    }

    /// A removed job.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn deleted_job(&self, name: &JobName) -> Result<Option<DeletedJob>, StoreError> {
        let row: Option<JobColumns> = sqlx::query_as(
            "SELECT name, spec, commit_id, created_at, updated_at, deleted_at FROM jobs
             WHERE deleted_at IS NOT NULL AND name = $1",
        )
        .bind(name.as_str())
        .fetch_optional(&self.pool)
        .await?;
        match row {
            Some(row) => self.deleted(row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn deleted(&self, row: JobColumns) -> Result<DeletedJob, StoreError> {
        let (name, spec, commit, created_at, updated_at, deleted_at) = row;
        let nodes: Vec<(String,)> = sqlx::query_as(
            "SELECT node FROM assignments
             WHERE job = $1 AND role = 'client' AND removed_at = $2 ORDER BY node",
        )
        .bind(&name)
        .bind(deleted_at)
        .fetch_all(&self.pool)
        .await?;
        Ok(DeletedJob {
            name: word("job", &name)?,
            spec: json("job", &spec)?,
            origin: JobOrigin { commit, created_at: instant(created_at), updated_at: instant(updated_at) },
            deleted_at: instant(deleted_at),
            nodes: nodes.iter().map(|(node,)| word("node", node)).collect::<Result<_, _>>()?,
        })
    }
}

/// The owner is also a column of its own, by which rows are found.
fn owned_job(owner: &str, spec: &str) -> Result<JobSpec, StoreError> {
    let spec: JobSpec = json("job", spec)?;
    if spec.owner.as_str() != owner {
        return Err(StoreError::value("owner of a job", owner)(OwnerError(spec.owner)));
    }
    Ok(spec)
}

fn json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(StoreError::value(what, text))
}

pub(super) fn word<T>(what: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(StoreError::value(what, text))
}
