//! The calls of pairs: a client wants its server, and both sides say how it goes.

use std::pin::Pin;

use almanac_proto::{
    convert::{FieldError, instant, parse},
    v1,
};
use almanac_schemas::{Instant, JobName, NodeName, RunId};
use futures::Stream;
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    auth, clock,
    rights::{Action, Caller},
    tasks::{News, RequestError, Task, address},
};

use super::{Context, node::shortened, refuse};

/// How a server stands, from now on.
pub(super) type Standing = Pin<Box<dyn Stream<Item = Result<v1::RequestServerResponse, Status>> + Send>>;

/// One message waits while another is on its way: each replaces the one before.
const MESSAGES: usize = 1;

/// How often a lease is renewed in the time that it lasts without.
const RENEWALS: u32 = 3;

/// Wants the server of a run.
pub(super) async fn request(
    context: &Context,
    node: &NodeName,
    caller: Caller,
    request: v1::RequestServerRequest,
) -> Result<Standing, Status> {
    let job: JobName = parse("job", &request.job).map_err(refuse::field)?;
    let scheduled_at = instant("scheduled_at", request.scheduled_at.as_ref()).map_err(refuse::field)?;
    let run = RunId::new(&job, node, scheduled_at);
    let task = match find(context, run).await? {
        // Also of a job that was removed meanwhile: what has begun goes on.
        Some(task) => task,
        None => {
            let applied = context.applied();
            let places = applied.placements.get(&job).map(Vec::as_slice).unwrap_or_default();
            let action = Action::RequestServer { job: &job, places };
            caller.may(action).map_err(|error| refuse::forbidden(&error))?;
            let Some(spec) = applied.testbed.jobs.get(&job) else {
                return Err(Status::failed_precondition(format!("job `{job}` is not declared any more")));
            };
            let now = clock::now();
            let moved = context.instructions.to(node).moved;
            let task = Task::request(&job, spec, node, scheduled_at, &moved, now)
                .map_err(|error| Status::failed_precondition(error.to_string()))?;
            if context.tasks.is_full(node) {
                let full = format!("node `{node}` asks for too many servers at a time");
                return Err(Status::resource_exhausted(full));
            }
            context.database("request_task", context.store.request_task(&task, now)).await?
        }
    };
    if task.ends_at <= clock::now() {
        let error = RequestError::Over(task.job, Instant(task.ends_at));
        return Err(Status::failed_precondition(error.to_string()));
    }
    context.tasks.take(task);
    let (sender, receiver) = mpsc::channel(MESSAGES);
    tokio::spawn(hold(context.clone(), run, caller, sender));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Holds the lease of a task and tells its client how it stands, until it is over or nobody listens any more.
async fn hold(
    context: Context,
    run: RunId,
    caller: Caller,
    sender: mpsc::Sender<Result<v1::RequestServerResponse, Status>>,
) {
    let replaced = context.tasks.lease(run);
    let mut changes = context.tasks.follow(run);
    let mut sent = None;
    loop {
        changes.mark_unchanged();
        let Some(task) = context.tasks.get(run) else { return };
        let ttl = task.ttl.to_std().unwrap_or_default();
        if !auth::still_valid(&context.applied(), &caller) {
            let _ = sender.try_send(Err(auth::revoked(&task.client)));
            return;
        }
        let message = message(&context, &task);
        if sent.as_ref() != Some(&message) {
            let (task, ttl) = (Some(message.clone()), prost_types::Duration::try_from(ttl).ok());
            if sender.send(Ok(v1::RequestServerResponse { task, ttl })).await.is_err() {
                return renew(&context, run).await;
            }
            sent = Some(message);
        }
        if task.state.is_over() {
            return;
        }
        // Cancel-safe: a change that was not taken is seen again, and nothing else takes anything.
        tokio::select! {
            _ = changes.changed() => {}
            () = time::sleep(ttl / RENEWALS) => renew(&context, run).await,
            () = replaced.cancelled() => {
                let _ = sender.try_send(Err(Status::aborted("a newer call for the same server took this one's place")));
                return;
            }
            () = context.stop.cancelled() => {
                let _ = sender.try_send(Err(Status::unavailable("the reconciler is stopping; connect again")));
                return renew(&context, run).await;
            }
            () = sender.closed() => return renew(&context, run).await,
        }
    }
}

/// The client was there until now. What cannot be written is written again soon, or by another reconciler.
async fn renew(context: &Context, run: RunId) {
    let _ = context.database("renew_task", context.store.renew_task(run, clock::now())).await;
}

/// Takes news of a task.
pub(super) async fn update(
    context: &Context,
    caller: &Caller,
    request: v1::UpdateTaskRequest,
) -> Result<v1::UpdateTaskResponse, Status> {
    let run: RunId = parse("run_id", &request.run_id).map_err(refuse::field)?;
    let unknown = || refuse::field(FieldError::invalid("news", "it is not known here"));
    let news = News::read(&request).ok_or_else(unknown)?;
    let Some(task) = find(context, run).await? else {
        return Err(Status::not_found(format!("nobody asked for a server of run {run}")));
    };
    let action = match news {
        News::Released => Action::ReleaseServer { client: &task.client },
        News::Ready | News::Served | News::Failed { .. } => Action::AnswerTask { server: &task.server },
    };
    caller.may(action).map_err(|error| refuse::forbidden(&error))?;
    let message = shortened(request.message);
    let updated = context.store.update_task(run, news, &message, clock::now());
    let Some(task) = context.database("update_task", updated).await? else {
        return Err(Status::not_found(format!("the time of run {run} is long over")));
    };
    context.tasks.take(task.clone());
    let ttl = task.ttl.to_std().ok().and_then(|ttl| prost_types::Duration::try_from(ttl).ok());
    Ok(v1::UpdateTaskResponse { task: Some(self::message(context, &task)), ttl })
}

async fn find(context: &Context, run: RunId) -> Result<Option<Task>, Status> {
    match context.tasks.get(run) {
        Some(task) => Ok(Some(task)),
        // Another reconciler may have it from a moment ago.
        None => context.database("task", context.store.task(run)).await,
    }
}

fn message(context: &Context, task: &Task) -> v1::Task {
    task.message(address(&context.applied(), &context.heartbeats, &task.server))
}
