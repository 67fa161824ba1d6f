//! What is known of many runs at once: their files, and the manifests that they follow.

use almanac_schemas::{JobName, JobSpec, Kind, RunId};
use serde::Deserialize;
use sqlx::AssertSqlSafe;

use super::{
    ArtifactRow, KeepRow, RunRow, Store, StoreError, SyncOutcome,
    artifacts::{ARTIFACT, ArtifactColumns},
    retention::KeepColumns,
    runs,
};

/// How many runs a statement asks for.
const RUNS: usize = 200;

/// A list of [`RUNS`] parameters.
fn parameters() -> String {
    (1..=RUNS).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// The ids in parts of [`RUNS`]: the last one comes again and again at its end, so that there is one statement, which
/// the databases know already.
fn parts(ids: &[RunId]) -> impl Iterator<Item = Vec<String>> {
    ids.chunks(RUNS).map(|part| {
        let ids = part.iter().chain(std::iter::repeat_n(&part[part.len() - 1], RUNS - part.len()));
        ids.map(RunId::to_string).collect()
    })
}

/// Asks one statement for all runs, part by part.
macro_rules! of_runs {
    ($store:expr, $ids:expr, $columns:ty, $statement:expr) => {{
        let statement = $statement;
        let mut rows: Vec<$columns> = Vec::new();
        for part in parts($ids) {
            let query = sqlx::query_as(AssertSqlSafe(statement.clone()));
            let query = part.into_iter().fold(query, |query, id| query.bind(id));
            rows.extend::<Vec<$columns>>(query.fetch_all(&$store.pool).await?);
        }
        rows
    }};
}

impl Store {
    /// The stored files of several runs, those of a run in the order of roles and names.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn artifacts_of(&self, runs: &[RunId]) -> Result<Vec<ArtifactRow>, StoreError> {
        let list = parameters();
        let statement =
            format!("SELECT {ARTIFACT} FROM artifacts WHERE run_id IN ({list}) ORDER BY run_id, role, name");
        let rows = of_runs!(self, runs, ArtifactColumns, statement);
        rows.into_iter().map(ArtifactRow::try_from).collect()
    }

    /// Several runs, in all of their roles. Those that are not there are missing.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn runs_of(&self, runs: &[RunId]) -> Result<Vec<RunRow>, StoreError> {
        let statement = format!("SELECT * FROM runs WHERE id IN ({})", parameters());
        let rows = of_runs!(self, runs, runs::Columns, statement);
        rows.into_iter().map(RunRow::try_from).collect()
    }

    /// Which of several runs are kept.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn kept_of(&self, runs: &[RunId]) -> Result<Vec<KeepRow>, StoreError> {
        let statement =
            format!("SELECT run_id, actor, reason, since FROM kept_runs WHERE run_id IN ({})", parameters());
        let rows = of_runs!(self, runs, KeepColumns, statement);
        rows.into_iter().map(KeepRow::try_from).collect()
    }

    /// What a commit declared of a job, if it ever was in force.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn job_at(&self, job: &JobName, commit: &str) -> Result<Option<JobSpec>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT changes.after_json FROM changes JOIN syncs ON syncs.id = changes.sync_id
             WHERE changes.kind = $1 AND changes.name = $2 AND syncs.outcome = $3 AND changes.sync_id <=
                   (SELECT MAX(id) FROM syncs WHERE commit_id = $4 AND outcome = $3)
             ORDER BY changes.sync_id DESC LIMIT 1",
        )
        .bind(Kind::Job.as_str())
        .bind(job.as_str())
        .bind(SyncOutcome::Applied.as_str())
        .bind(commit)
        .fetch_optional(&self.pool)
        .await?;
        #[derive(Deserialize)]
        struct Declared {
            spec: JobSpec,
        }
        // Removed at that commit, or of a version with other fields: then nothing is known.
        Ok(row.and_then(|(after,)| serde_json::from_str::<Declared>(&after).ok()).map(|job| job.spec))
    }
}
