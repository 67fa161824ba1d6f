//! What is known of runs beside their reports: their files, who keeps them, and the manifests that they follow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::{Duration, JobName, JobSpec, RunId, RunRole};
use tonic::Status;

use crate::{
    retention,
    store::{ArtifactRow, KeepRow, RunRow},
};

use super::{Context, message};

/// Runs as messages, with who keeps them, and with `details` where those are wanted.
pub(super) async fn of(context: &Context, rows: &[RunRow], details: bool) -> Result<Vec<v1::Run>, Status> {
    let ids: Vec<RunId> = rows.iter().map(|row| row.id).collect::<BTreeSet<_>>().into_iter().collect();
    let kept = context.database("kept_of", context.store.kept_of(&ids)).await?;
    let kept: HashMap<RunId, KeepRow> = kept.into_iter().map(|row| (row.run, row)).collect();
    let mut runs: Vec<v1::Run> = rows
        .iter()
        .map(|row| v1::Run { kept: kept.get(&row.id).cloned().map(message::keep), ..message::run(row) })
        .collect();
    if details {
        let mut files: HashMap<(RunId, RunRole), Vec<ArtifactRow>> = HashMap::new();
        for file in context.database("artifacts_of", context.store.artifacts_of(&ids)).await? {
            files.entry((file.run, file.role)).or_default().push(file);
        }
        let (mut manifests, mut retentions) = (Manifests::default(), Retentions::default());
        for (row, run) in rows.iter().zip(&mut runs) {
            if let Some(files) = files.remove(&(row.id, row.role)) {
                let ends = run.kept.is_none().then_some(retentions.of(context, &row.job).await?).flatten();
                run.artifacts = files.iter().map(|file| artifact(file, ends)).collect();
            }
            if let Some(spec) = manifests.of(context, row).await? {
                run.image = image(spec, row.role);
                run.start_skew_micros = skew(row, spec);
            }
        }
    }
    Ok(runs)
}

/// The files of one run, in the order of roles and names.
pub(super) async fn files(context: &Context, run: RunId) -> Result<Vec<v1::Artifact>, Status> {
    let rows = context.database("artifacts", context.store.artifacts(run)).await?;
    let kept = context.database("kept_of", context.store.kept_of(&[run])).await?;
    let row = match rows.first() {
        Some(first) if kept.is_empty() => context.database("run", context.store.run(run, first.role)).await?,
        _ => None,
    };
    let ends = match row {
        Some(row) => Retentions::default().of(context, &row.job).await?,
        None => None,
    };
    Ok(rows.iter().map(|row| artifact(row, ends)).collect())
}

/// A file as a message, with when it is to expire where it is to.
fn artifact(row: &ArtifactRow, kept_for: Option<Duration>) -> v1::Artifact {
    let expires_at = kept_for.filter(|_| row.expired.is_none());
    let expires_at = expires_at.map(|kept_for| timestamp(retention::end(row.stored_at, kept_for)));
    v1::Artifact { expires_at, ..message::artifact(row) }
}

fn image(spec: &JobSpec, role: RunRole) -> String {
    let container = match (role, &spec.server) {
        (RunRole::Client, _) => &spec.container,
        (RunRole::Server, Some(server)) => &server.container,
        (RunRole::Server, None) => return String::new(),
    };
    container.image.to_string()
}

/// By how much a container started late. What its schedule spreads its runs by is not late.
fn skew(row: &RunRow, spec: &JobSpec) -> Option<i64> {
    let begin = row.scheduled_at + row.id.offset(spec.schedule.jitter);
    (row.state.started_at? - begin).num_microseconds()
}

/// Manifests by job and commit, each read once in a call.
#[derive(Default)]
struct Manifests(BTreeMap<(JobName, String), Option<JobSpec>>);

impl Manifests {
    async fn of(&mut self, context: &Context, row: &RunRow) -> Result<Option<&JobSpec>, Status> {
        let key = (row.job.clone(), row.state.commit.clone());
        if !self.0.contains_key(&key) {
            let spec = context.database("job_at", context.store.job_at(&key.0, &key.1)).await?;
            self.0.insert(key.clone(), spec);
        }
        Ok(self.0[&key].as_ref())
    }
}

/// How long the files of each job are kept, read once in a call. Of a job whose manifest cannot be read, they are kept
/// until it can.
#[derive(Default)]
struct Retentions(BTreeMap<JobName, Option<Duration>>);

impl Retentions {
    async fn of(&mut self, context: &Context, job: &JobName) -> Result<Option<Duration>, Status> {
        if let Some(known) = self.0.get(job) {
            return Ok(*known);
        }
        let row = context.database("retention", context.store.retention(job)).await?;
        let kept_for = row
            .and_then(|row| row.declared.ok())
            .map(|declared| retention::kept_for(declared, &context.applied().testbed.config.artifacts));
        self.0.insert(job.clone(), kept_for);
        Ok(kept_for)
    }
}
