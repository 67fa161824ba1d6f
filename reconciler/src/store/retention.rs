//! How long files are kept: what is due, what is gone, and whose files stay.
//!
//! A file's end has two steps. In the first, its retention is found to be over, unless somebody keeps the run: that is one
//! change, so that a run that somebody was told is kept loses nothing. In the second, the store loses the file, and the
//! record says so; whoever is killed between the two repeats it.

use almanac_schemas::{Duration, JobName, RunId, RunRole};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::{Change, Store, StoreError, instant, micros, rows::text, testbed::word};

/// What a job says of its files, or said last.
#[derive(Debug)]
pub struct JobRetention {
    /// The job.
    pub job: JobName,
    /// How long they are kept; absent where the testbed's settings say it. An error where its manifest cannot be read.
    pub declared: Result<Option<Duration>, serde_json::Error>,
}

/// A file whose retention is over, and which its store may still have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removable {
    /// The run.
    pub run: RunId,
    /// Which of the job's containers.
    pub role: RunRole,
    /// The file's name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its path in the store.
    pub path: String,
}

/// Somebody keeps a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepRow {
    /// The run.
    pub run: RunId,
    /// Who.
    pub actor: String,
    /// Why; empty when nobody said.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What came of the wish to keep a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Kept,
    /// Its files are gone already.
    Gone,
}

pub(super) type KeepColumns = (String, String, String, i64);

impl TryFrom<KeepColumns> for KeepRow {
    type Error = StoreError;

    fn try_from((run, actor, reason, since): KeepColumns) -> Result<Self, StoreError> {
        Ok(Self { run: word("run id", &run)?, actor, reason, since: instant(since) })
    }
}

/// The part of a job's `spec` that is about its files.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecPart {
    artifacts: ArtifactsPart,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ArtifactsPart {
    retention: Option<Duration>,
}

fn declared(spec: &str) -> Result<Option<Duration>, serde_json::Error> {
    Ok(serde_json::from_str::<SpecPart>(spec)?.artifacts.retention)
}

impl Store {
    /// What each job says of its files; what a removed one said last.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn retentions(&self) -> Result<Vec<JobRetention>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, spec FROM jobs ORDER BY name").fetch_all(&self.pool).await?;
        let row = |(job, spec): (String, String)| {
            Ok(JobRetention { job: word("job", &job)?, declared: declared(&spec) })
        };
        rows.into_iter().map(row).collect()
    }

    /// What a job says of its files, or said last; nothing of one that never was.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn retention(&self, job: &JobName) -> Result<Option<JobRetention>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT spec FROM jobs WHERE name = $1")
            .bind(job.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(spec,)| JobRetention { job: job.clone(), declared: declared(&spec) }))
    }

    /// Finds that the retention of files of a job is over that were stored before an instant, of so many runs at most and
    /// none that is kept. Says how many runs were looked at, and how many files have expired.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing has changed.
    pub async fn expire(
        &self,
        job: &JobName,
        stored_before: DateTime<Utc>,
        kept_for: Duration,
        now: DateTime<Utc>,
        runs: u32,
    ) -> Result<(usize, u64), StoreError> {
        let mut due: Vec<(String,)> = sqlx::query_as(
            "SELECT DISTINCT run_id FROM (
                 SELECT run_id FROM artifacts
                 WHERE job = $1 AND expired_at IS NULL AND stored_at < $2
                   AND NOT EXISTS (SELECT 1 FROM kept_runs WHERE kept_runs.run_id = artifacts.run_id)
                 ORDER BY stored_at LIMIT $3
             ) AS due",
        )
        .bind(job.as_str())
        .bind(micros(stored_before))
        .bind(i64::from(runs))
        .fetch_all(&self.pool)
        .await?;
        if due.is_empty() {
            return Ok((0, 0));
        }
        // The order in which reports take them, too: two changes that take them in different orders would block each other.
        due.sort();
        let mut change = self.write().await?;
        let mut expired = 0;
        for (run,) in &due {
            hold(&mut change, run).await?;
            let done = sqlx::query(
                "UPDATE artifacts SET expired_at = $1, kept_for = $2
                 WHERE run_id = $3 AND job = $4 AND stored_at < $5 AND expired_at IS NULL
                   AND NOT EXISTS (SELECT 1 FROM kept_runs WHERE run_id = $3)",
            )
            .bind(micros(now))
            .bind(kept_for.as_secs().cast_signed())
            .bind(run)
            .bind(job.as_str())
            .bind(micros(stored_before))
            .execute(&mut *change)
            .await?;
            expired += done.rows_affected();
        }
        change.commit().await?;
        Ok((due.len(), expired))
    }

    /// The stores that may still have files whose retention is over.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn stores_with_expired(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT DISTINCT store FROM artifacts WHERE expired_at IS NOT NULL AND removed_at IS NULL",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(store,)| store).collect())
    }

    /// Files that a store may still have though their retention is over, the first first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn removable(&self, store: &str, limit: u32) -> Result<Vec<Removable>, StoreError> {
        let rows: Vec<(String, String, String, i64, String)> = sqlx::query_as(
            "SELECT run_id, role, name, size, path FROM artifacts
             WHERE store = $1 AND expired_at IS NOT NULL AND removed_at IS NULL
             ORDER BY expired_at LIMIT $2",
        )
        .bind(store)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let row = |(run, role, name, size, path): (String, String, String, i64, String)| {
            let (run, role) = (word("run id", &run)?, word("role", &role)?);
            Ok(Removable { run, role, name, size: size.cast_unsigned(), path })
        };
        rows.into_iter().map(row).collect()
    }

    /// Records that a store does not have files any more.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn removed(&self, files: &[Removable], now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        for file in files {
            sqlx::query("UPDATE artifacts SET removed_at = $1 WHERE run_id = $2 AND role = $3 AND name = $4")
                .bind(micros(now))
                .bind(file.run.to_string())
                .bind(file.role.as_str())
                .bind(&file.name)
                .execute(&mut *change)
                .await?;
        }
        Ok(change.commit().await?)
    }

    /// Keeps the files of a run, in place of what was said before.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn keep(&self, row: &KeepRow) -> Result<Kept, StoreError> {
        let run = row.run.to_string();
        let mut change = self.write().await?;
        hold(&mut change, &run).await?;
        let (all, gone): (i64, i64) =
            sqlx::query_as("SELECT COUNT(*), COUNT(expired_at) FROM artifacts WHERE run_id = $1")
                .bind(&run)
                .fetch_one(&mut *change)
                .await?;
        if all > 0 && all == gone {
            return Ok(Kept::Gone);
        }
        sqlx::query(
            "INSERT INTO kept_runs (run_id, actor, reason, since) VALUES ($1, $2, $3, $4)
             ON CONFLICT (run_id) DO UPDATE SET actor = excluded.actor, reason = excluded.reason,
             since = excluded.since",
        )
        .bind(&run)
        .bind(&row.actor)
        .bind(text(&row.reason))
        .bind(micros(row.since))
        .execute(&mut *change)
        .await?;
        change.commit().await?;
        Ok(Kept::Kept)
    }

    /// Takes back that a run is kept.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn unkeep(&self, run: RunId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM kept_runs WHERE run_id = $1")
            .bind(run.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Uploads that nobody has gone on with since an instant, those that have rested longest first, from one on that is
    /// not among them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn resting_uploads(
        &self,
        resting_since: DateTime<Utc>,
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: u32,
    ) -> Result<Vec<(DateTime<Utc>, Uuid)>, StoreError> {
        let (at, id) =
            after.map_or((i64::MIN, String::new()), |(active_at, id)| (micros(active_at), id.to_string()));
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT active_at, id FROM uploads WHERE active_at < $1 AND (active_at, id) > ($2, $3)
             ORDER BY active_at, id LIMIT $4",
        )
        .bind(micros(resting_since))
        .bind(at)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|(at, id)| Ok((instant(at), word("upload id", &id)?))).collect()
    }
}

/// Holds a run to the end of a change: of two that are about its files, the later one sees what the other did. In SQLite
/// there is one change at a time anyway.
async fn hold(change: &mut Change, run: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET phase = phase WHERE id = $1").bind(run).execute(&mut **change).await?;
    Ok(())
}
