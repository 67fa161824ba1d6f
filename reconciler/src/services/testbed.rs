//! What people and their tools ask.

use std::{collections::HashMap, pin::Pin};

use almanac_proto::{
    convert::{FieldError, instant, parse, parse_optional, timestamp},
    v1::{self, testbed_service_server::TestbedService},
};
use almanac_schemas::{JobName, NodeName, RunRole};
use almanac_validate::Moved;
use chrono::{DateTime, TimeDelta, Utc};
use futures::Stream;
use tonic::{Request, Response, Status};

use crate::{
    applied::Applied,
    clock,
    occurrences::{self, Filter, Key},
    page,
    rights::{Action, Principal},
    store::DeletedJobFilter,
};

use super::{
    Context, context::within, files, instruct, keep, live, logs, message, refuse, runs, steer, syncs,
};

/// The longest time that occurrences are listed for.
const MAX_SPAN: TimeDelta = TimeDelta::days(92);

/// What people and their tools ask.
#[derive(Debug, Clone)]
pub struct TestbedCalls(Context);

impl TestbedCalls {
    /// Answers by what a context has.
    pub fn new(context: Context) -> Self {
        Self(context)
    }

    fn node(&self, name: &NodeName) -> Result<v1::Node, Status> {
        let applied = self.0.applied();
        let entry = applied.testbed.nodes.get(name).ok_or_else(|| refuse::no_node(name))?;
        let now = clock::now();
        let next = NextRuns::new(&applied, self.0.instructions.moved(), now).of_node(name);
        Ok(message::node(self.0.facts(&applied, now), name, entry, next))
    }
}

/// When each job runs next, computed once per job and call.
struct NextRuns<'a> {
    applied: &'a Applied,
    /// The runs that take place at another time than declared.
    moved: Vec<Moved>,
    now: DateTime<Utc>,
    known: HashMap<&'a JobName, Option<DateTime<Utc>>>,
}

impl<'a> NextRuns<'a> {
    fn new(applied: &'a Applied, moved: Vec<Moved>, now: DateTime<Utc>) -> Self {
        Self { applied, moved, now, known: HashMap::new() }
    }

    fn of_job(&mut self, job: &'a JobName) -> Option<DateTime<Utc>> {
        let moved = self.moved(|run| run.job == *job);
        self.declared(job).into_iter().chain(moved).min()
    }

    /// When a run comes that was moved.
    fn moved(&self, concerns: impl Fn(&Moved) -> bool) -> Option<DateTime<Utc>> {
        self.moved.iter().filter(|run| run.to >= self.now && concerns(run)).map(|run| run.to).min()
    }

    fn declared(&mut self, job: &'a JobName) -> Option<DateTime<Utc>> {
        let (applied, now) = (self.applied, self.now);
        *self.known.entry(job).or_insert_with(|| {
            let schedule = applied.testbed.jobs.get(job)?.schedule.resolve().ok()?;
            Some(schedule.next(now)?.start)
        })
    }

    fn of_node(&mut self, node: &NodeName) -> Option<DateTime<Utc>> {
        let applied = self.applied;
        let jobs = applied.assignments.get(node).into_iter().flatten();
        let declared = jobs.filter_map(|assigned| self.declared(&assigned.job)).min();
        declared.into_iter().chain(self.moved(|run| run.node == *node)).min()
    }
}

#[tonic::async_trait]
impl TestbedService for TestbedCalls {
    type DownloadArtifactStream =
        Pin<Box<dyn Stream<Item = Result<v1::DownloadArtifactResponse, Status>> + Send>>;

    async fn list_nodes(
        &self,
        request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadTestbed)?;
        let request = request.get_ref();
        let size = page::size(request.page_size).map_err(refuse::field)?;
        let after = page::parts::<1>(&request.page_token).map_err(refuse::field)?.map(|[name]| name);
        let applied = self.0.applied();
        let now = clock::now();
        let (facts, mut next) =
            (self.0.facts(&applied, now), NextRuns::new(&applied, self.0.instructions.moved(), now));
        let nodes = applied.testbed.nodes.iter();
        let nodes = nodes.filter(|(name, _)| after.as_deref().is_none_or(|after| name.as_str() > after));
        let (nodes, more) = page::cut(nodes.take(size as usize + 1).collect(), size);
        let next_page_token = next_token(more, nodes.last().map(|(name, _)| name.as_str()));
        let nodes = nodes
            .into_iter()
            .map(|(name, entry)| message::node(facts, name, entry, next.of_node(name)))
            .collect();
        Ok(Response::new(v1::ListNodesResponse { nodes, next_page_token }))
    }

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadTestbed)?;
        let name: NodeName = parse("name", &request.get_ref().name).map_err(refuse::field)?;
        Ok(Response::new(v1::GetNodeResponse { node: Some(self.node(&name)?) }))
    }

    async fn set_node_mode(
        &self,
        request: Request<v1::SetNodeModeRequest>,
    ) -> Result<Response<v1::SetNodeModeResponse>, Status> {
        let node = within(instruct::set_node_mode(&self.0, request.metadata(), request.get_ref())).await?;
        Ok(Response::new(v1::SetNodeModeResponse { node: Some(self.node(&node)?) }))
    }

    type WatchTelemetryStream = live::Answers;

    async fn watch_telemetry(
        &self,
        request: Request<v1::WatchTelemetryRequest>,
    ) -> Result<Response<Self::WatchTelemetryStream>, Status> {
        live::watch(&self.0, request.metadata(), request.get_ref()).map(Response::new)
    }

    async fn set_scavenger(
        &self,
        request: Request<v1::SetScavengerRequest>,
    ) -> Result<Response<v1::SetScavengerResponse>, Status> {
        let node = within(instruct::set_scavenger(&self.0, request.metadata(), request.get_ref())).await?;
        Ok(Response::new(v1::SetScavengerResponse { node: Some(self.node(&node)?) }))
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadTestbed)?;
        let request = request.get_ref();
        let size = page::size(request.page_size).map_err(refuse::field)?;
        let filter = DeletedJobFilter {
            node: parse_optional("node", &request.node).map_err(refuse::field)?,
            owner: parse_optional("user", &request.user).map_err(refuse::field)?,
            after: page::parts::<1>(&request.page_token).map_err(refuse::field)?.map(|[name]| name),
        };
        let applied = self.0.applied();
        let now = clock::now();
        let mut next = NextRuns::new(&applied, self.0.instructions.moved(), now);
        let wanted = |name: &JobName, owner| {
            let on_node = |node| {
                applied
                    .placements
                    .get(name)
                    .is_some_and(|places| places.iter().any(|(place, _)| place == node))
            };
            filter.after.as_deref().is_none_or(|after| name.as_str() > after)
                && filter.owner.as_ref().is_none_or(|wanted| wanted == owner)
                && filter.node.as_ref().is_none_or(on_node)
        };
        let jobs = applied.testbed.jobs.iter().filter(|(name, spec)| wanted(name, &spec.owner));
        let mut jobs: Vec<v1::Job> = jobs
            .take(size as usize + 1)
            .map(|(name, spec)| message::job(self.0.facts(&applied, now), name, spec, next.of_job(name)))
            .collect();
        if request.deleted {
            let deleted = within(async {
                self.0.database("deleted_jobs", self.0.store.deleted_jobs(&filter, size + 1)).await
            });
            jobs.extend(deleted.await?.iter().map(message::deleted_job));
            jobs.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let (jobs, more) = page::cut(jobs, size);
        let next_page_token = next_token(more, jobs.last().map(|job| job.name.as_str()));
        Ok(Response::new(v1::ListJobsResponse { jobs, next_page_token }))
    }

    async fn get_job(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::GetJobResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadTestbed)?;
        let name: JobName = parse("name", &request.get_ref().name).map_err(refuse::field)?;
        let applied = self.0.applied();
        let job = match applied.testbed.jobs.get(&name) {
            Some(spec) => {
                let now = clock::now();
                let next = NextRuns::new(&applied, self.0.instructions.moved(), now).of_job(&name);
                message::job(self.0.facts(&applied, now), &name, spec, next)
            }
            None => {
                let deleted =
                    within(async { self.0.database("deleted_job", self.0.store.deleted_job(&name)).await })
                        .await?;
                message::deleted_job(&deleted.ok_or_else(|| {
                    Status::not_found(format!(
                        "there is no job `{name}` and never was; ListJobs lists those that there are"
                    ))
                })?)
            }
        };
        Ok(Response::new(v1::GetJobResponse { job: Some(job) }))
    }

    async fn list_occurrences(
        &self,
        request: Request<v1::ListOccurrencesRequest>,
    ) -> Result<Response<v1::ListOccurrencesResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadTestbed)?;
        let applied = self.0.applied();
        list_occurrences(&applied, &self.0.instructions.moved(), request.get_ref())
            .map(Response::new)
            .map_err(refuse::field)
    }

    async fn list_runs(
        &self,
        request: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        let caller = self.0.caller(request.metadata())?;
        within(runs::list(&self.0, &caller, request.get_ref())).await.map(Response::new)
    }

    async fn get_run(
        &self,
        request: Request<v1::GetRunRequest>,
    ) -> Result<Response<v1::GetRunResponse>, Status> {
        let caller = self.0.caller(request.metadata())?;
        within(runs::get(&self.0, &caller, &request.get_ref().id)).await.map(Response::new)
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let cancelled = instruct::cancel(&self.0, request.metadata(), request.get_ref());
        within(cancelled).await.map(Response::new)
    }

    async fn list_artifacts(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let caller = self.0.caller(request.metadata())?;
        let artifacts = within(runs::artifacts(&self.0, &caller, &request.get_ref().run_id)).await?;
        Ok(Response::new(v1::ListArtifactsResponse { artifacts }))
    }

    async fn download_artifact(
        &self,
        request: Request<v1::DownloadArtifactRequest>,
    ) -> Result<Response<Self::DownloadArtifactStream>, Status> {
        let caller = self.0.caller(request.metadata())?;
        let content = within(runs::download(&self.0, &caller, request.get_ref())).await?;
        Ok(Response::new(Box::pin(content)))
    }

    async fn grant_download(
        &self,
        request: Request<v1::GrantDownloadRequest>,
    ) -> Result<Response<v1::GrantDownloadResponse>, Status> {
        let caller = self.0.caller(request.metadata())?;
        within(runs::grant_download(&self.0, &caller, request.get_ref())).await.map(Response::new)
    }

    type DownloadFilesStream = files::Answers;

    async fn download_files(
        &self,
        request: Request<v1::DownloadFilesRequest>,
    ) -> Result<Response<Self::DownloadFilesStream>, Status> {
        let caller = self.0.caller(request.metadata())?;
        let answers = within(files::download(&self.0, &caller, request.into_inner().files)).await?;
        Ok(Response::new(answers))
    }

    async fn keep_run(
        &self,
        request: Request<v1::KeepRunRequest>,
    ) -> Result<Response<v1::KeepRunResponse>, Status> {
        within(keep::keep(&self.0, request.metadata(), request.get_ref())).await.map(Response::new)
    }

    async fn unkeep_run(
        &self,
        request: Request<v1::UnkeepRunRequest>,
    ) -> Result<Response<v1::UnkeepRunResponse>, Status> {
        within(keep::unkeep(&self.0, request.metadata(), request.get_ref())).await.map(Response::new)
    }

    async fn sync_now(
        &self,
        request: Request<v1::SyncNowRequest>,
    ) -> Result<Response<v1::SyncNowResponse>, Status> {
        self.0.allowed(request.metadata(), Action::SyncNow)?;
        let answer = within(async { self.0.follower.sync_now().await.map_err(refuse::ask) }).await?;
        Ok(Response::new(v1::SyncNowResponse { sync: Some(message::looked(answer, clock::now())) }))
    }

    async fn get_sync_status(
        &self,
        request: Request<v1::GetSyncStatusRequest>,
    ) -> Result<Response<v1::GetSyncStatusResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadSyncs)?;
        within(syncs::status(&self.0)).await.map(Response::new)
    }

    async fn list_syncs(
        &self,
        request: Request<v1::ListSyncsRequest>,
    ) -> Result<Response<v1::ListSyncsResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadSyncs)?;
        within(syncs::list(&self.0, request.get_ref())).await.map(Response::new)
    }

    async fn get_sync(
        &self,
        request: Request<v1::GetSyncRequest>,
    ) -> Result<Response<v1::GetSyncResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadSyncs)?;
        within(syncs::get(&self.0, &request.get_ref().id)).await.map(Response::new)
    }

    async fn list_sync_findings(
        &self,
        request: Request<v1::ListSyncFindingsRequest>,
    ) -> Result<Response<v1::ListSyncFindingsResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadSyncs)?;
        within(syncs::findings(&self.0, request.get_ref())).await.map(Response::new)
    }

    async fn list_sync_changes(
        &self,
        request: Request<v1::ListSyncChangesRequest>,
    ) -> Result<Response<v1::ListSyncChangesResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadSyncs)?;
        within(syncs::changes(&self.0, request.get_ref())).await.map(Response::new)
    }

    async fn list_changes(
        &self,
        request: Request<v1::ListChangesRequest>,
    ) -> Result<Response<v1::ListChangesResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadSyncs)?;
        within(syncs::history(&self.0, request.get_ref())).await.map(Response::new)
    }

    async fn suspend_sync(
        &self,
        request: Request<v1::SuspendSyncRequest>,
    ) -> Result<Response<v1::SuspendSyncResponse>, Status> {
        within(steer::suspend(&self.0, request.metadata(), request.get_ref())).await.map(Response::new)
    }

    async fn resume_sync(
        &self,
        request: Request<v1::ResumeSyncRequest>,
    ) -> Result<Response<v1::ResumeSyncResponse>, Status> {
        within(steer::resume(&self.0, request.metadata())).await.map(Response::new)
    }

    async fn pin_sync(
        &self,
        request: Request<v1::PinSyncRequest>,
    ) -> Result<Response<v1::PinSyncResponse>, Status> {
        within(steer::pin(&self.0, request.metadata(), request.get_ref())).await.map(Response::new)
    }

    async fn unpin_sync(
        &self,
        request: Request<v1::UnpinSyncRequest>,
    ) -> Result<Response<v1::UnpinSyncResponse>, Status> {
        within(steer::unpin(&self.0, request.metadata())).await.map(Response::new)
    }

    async fn approve_sync(
        &self,
        request: Request<v1::ApproveSyncRequest>,
    ) -> Result<Response<v1::ApproveSyncResponse>, Status> {
        within(steer::approve(&self.0, request.metadata(), request.get_ref())).await.map(Response::new)
    }

    async fn list_sync_actions(
        &self,
        request: Request<v1::ListSyncActionsRequest>,
    ) -> Result<Response<v1::ListSyncActionsResponse>, Status> {
        self.0.allowed(request.metadata(), Action::ReadSyncs)?;
        within(steer::actions(&self.0, request.get_ref())).await.map(Response::new)
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = self.0.allowed(request.metadata(), Action::WhoAmI)?;
        let team = match &caller.principal {
            Principal::User { team: Some(team), .. } => team.to_string(),
            _ => String::new(),
        };
        Ok(Response::new(v1::WhoAmIResponse {
            name: caller.name().to_owned(),
            role: caller.role().to_owned(),
            team,
            key: caller.key,
        }))
    }

    type TailLogsStream = logs::Tail;

    async fn tail_logs(
        &self,
        request: Request<v1::TailLogsRequest>,
    ) -> Result<Response<Self::TailLogsStream>, Status> {
        let tail = logs::tail(&self.0, request.metadata(), request.get_ref());
        within(tail).await.map(Response::new)
    }
}

fn next_token(more: bool, last: Option<&str>) -> String {
    last.filter(|_| more).map(|last| page::token(&[last])).unwrap_or_default()
}

fn list_occurrences(
    applied: &Applied,
    moved: &[Moved],
    request: &v1::ListOccurrencesRequest,
) -> Result<v1::ListOccurrencesResponse, FieldError> {
    let size = page::size(request.page_size)?;
    let (mut from, to) = (instant("from", request.from.as_ref())?, instant("to", request.to.as_ref())?);
    if to < from {
        return Err(FieldError::invalid("to", "it is before `from`"));
    }
    if to - from > MAX_SPAN {
        let days = MAX_SPAN.num_days();
        return Err(FieldError::invalid("to", format!("it is more than {days} days after `from`")));
    }
    let filter = Filter {
        node: parse_optional("node", &request.node)?,
        job: parse_optional("job", &request.job)?,
        owner: parse_optional("user", &request.user)?,
    };
    let mut after = None;
    if let Some([start, job, node, window, role]) = page::parts::<5>(&request.page_token)? {
        let wrong = || FieldError::invalid("page_token", "it is not one that a page of this list gave");
        let start = start.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or_else(wrong)?;
        from = from.max(start);
        let window = window.parse().map_err(|_| wrong())?;
        after = Some(Key { start, job, node, window, role });
    }
    let entries = occurrences::entries(applied, moved, &filter, from, to)
        .skip_while(|entry| after.as_ref().is_some_and(|after| entry.key() <= *after));
    let (entries, more) = page::cut(entries.take(size as usize + 1).collect(), size);
    let next_page_token = entries.last().filter(|_| more).map(|entry| {
        let key = entry.key();
        let (start, window) = (key.start.timestamp_micros().to_string(), key.window.to_string());
        page::token(&[&start, &key.job, &key.node, &window, &key.role])
    });
    Ok(v1::ListOccurrencesResponse {
        occurrences: entries.iter().map(occurrence).collect(),
        next_page_token: next_page_token.unwrap_or_default(),
    })
}

fn occurrence(entry: &occurrences::Entry<'_>) -> v1::Occurrence {
    let role = entry.run.map(|part| part.role);
    v1::Occurrence {
        job: entry.run.map(|part| part.job.to_string()).unwrap_or_default(),
        node: entry.node.to_string(),
        role: role.map_or(v1::Role::Unspecified, |role: RunRole| role.into()).into(),
        owner: entry.run.map(|part| part.owner.to_string()).unwrap_or_default(),
        start: Some(timestamp(entry.time.start)),
        end: Some(timestamp(entry.time.end)),
        exclusive: entry.run.is_none_or(|part| part.exclusive),
        maintenance: entry.run.is_none(),
        moved_from: entry.run.and_then(|part| part.moved_from).map(timestamp),
    }
}
