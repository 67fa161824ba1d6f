//! Runs and their files, as far as a caller may see them.
//!
//! A run that a caller may not see is answered like one that does not exist, so that ids cannot be
//! probed. Where a caller names somebody else's runs outright, the answer says that they may not.

use std::sync::Arc;

use almanac_proto::{
    convert::{FieldError, instant, parse_optional},
    limits, v1,
};
use almanac_schemas::{NodeName, Phase, RunRole, UserName, UserRole};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tonic::Status;

use crate::{
    artifacts::Opened,
    clock, page,
    rights::{Action, Caller, Principal},
    store::{ArtifactRow, RunFilter, RunKey, RunRow},
};

use super::{Context, details, message, refuse, stopping::until_stopped};

/// The shortest prefix of a run's id that finds it.
const MIN_PREFIX: usize = 4;

/// The runs that a caller sees where nothing else is said: those of an owner, or those of a node.
fn view(caller: &Caller) -> (Option<UserName>, Option<NodeName>) {
    match &caller.principal {
        Principal::User { role: UserRole::Admin, .. } => (None, None),
        Principal::User { name, .. } => (Some(name.clone()), None),
        Principal::Node(name) => (None, Some(name.clone())),
    }
}

/// Whether a caller sees a run at all.
pub(super) fn sees(caller: &Caller, row: &RunRow) -> bool {
    let (owner, node) = view(caller);
    owner.is_none_or(|owner| owner == row.owner) && node.is_none_or(|node| node == row.node)
}

pub(super) async fn list(
    context: &Context,
    caller: &Caller,
    request: &v1::ListRunsRequest,
) -> Result<v1::ListRunsResponse, Status> {
    let size = page::size(request.page_size).map_err(refuse::field)?;
    let mut filter = filter(request).map_err(refuse::field)?;
    if let Some(owner) = &filter.owner {
        caller.may(Action::ListRunsOf(owner)).map_err(|error| refuse::forbidden(&error))?;
    }
    let (owner, node) = view(caller);
    filter.owner = owner.or(filter.owner);
    match (&filter.node, node) {
        (Some(asked), Some(own)) if *asked != own => {
            caller.may(Action::ActAs(asked)).map_err(|error| refuse::forbidden(&error))?;
        }
        (None, Some(own)) => filter.node = Some(own),
        _ => {}
    }
    let rows = context.database("runs", context.store.runs(&filter, size + 1)).await?;
    let (rows, more) = page::cut(rows, size);
    let next_page_token = rows.last().filter(|_| more).map(|row| {
        let at = row.scheduled_at.timestamp_micros().to_string();
        page::token(&[&at, &row.id.to_string(), row.role.as_str()])
    });
    Ok(v1::ListRunsResponse {
        runs: details::of(context, &rows, request.details).await?,
        next_page_token: next_page_token.unwrap_or_default(),
    })
}

fn filter(request: &v1::ListRunsRequest) -> Result<RunFilter, FieldError> {
    let after = page::parts::<3>(&request.page_token)?.map(|[at, id, role]| {
        let wrong = |_| FieldError::invalid("page_token", "it is not one that a page of this list gave");
        Ok(RunKey { scheduled_at: at.parse().map_err(wrong)?, id, role })
    });
    let optional = |field, timestamp: &Option<prost_types::Timestamp>| {
        timestamp.as_ref().map(|timestamp| instant(field, Some(timestamp))).transpose()
    };
    Ok(RunFilter {
        node: parse_optional("node", &request.node)?,
        job: parse_optional("job", &request.job)?,
        owner: parse_optional("user", &request.user)?,
        phases: request.phases().map(Phase::try_from).collect::<Result<_, _>>()?,
        since: optional("since", &request.since)?,
        until: optional("until", &request.until)?,
        after: after.transpose()?,
    })
}

/// The run that an id or a prefix of one stands for, in its roles, the client's first.
pub(super) async fn find(context: &Context, caller: &Caller, id: &str) -> Result<Vec<RunRow>, Status> {
    let prefix = id.to_ascii_lowercase();
    let character = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if prefix.len() < MIN_PREFIX || prefix.len() > 36 || !prefix.bytes().all(character) {
        return Err(Status::invalid_argument(format!(
            "`{id}` is not the id of a run: expected a UUID or at least {MIN_PREFIX} characters of its beginning"
        )));
    }
    let (owner, node) = view(caller);
    let found = context.store.runs_by_prefix(&prefix, owner.as_ref(), node.as_ref());
    let rows = context.database("runs_by_prefix", found).await?;
    let Some(first) = rows.first() else {
        return Err(Status::not_found(format!("no run that you may see has an id that begins with `{id}`")));
    };
    if rows.iter().any(|row| row.id != first.id) {
        return Err(Status::invalid_argument(format!(
            "several runs have ids that begin with `{id}`; give more of it"
        )));
    }
    Ok(rows)
}

pub(super) async fn get(context: &Context, caller: &Caller, id: &str) -> Result<v1::GetRunResponse, Status> {
    let rows = find(context, caller, id).await?;
    detail(context, &rows).await
}

/// A run in its roles, with its steps and its files.
pub(super) async fn detail(context: &Context, rows: &[RunRow]) -> Result<v1::GetRunResponse, Status> {
    let mut parts = details::of(context, rows, true).await?;
    for (row, part) in rows.iter().zip(&mut parts) {
        let steps = context.database("steps", context.store.steps(row.id, row.role)).await?;
        part.steps = steps.iter().map(message::step).collect();
    }
    // A caller that sees the run on one node alone sees its files, too.
    let mut artifacts = details::files(context, rows[0].id).await?;
    artifacts.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    let first = parts.first();
    Ok(v1::GetRunResponse {
        run: first.map(|run| v1::Run { artifacts: Vec::new(), steps: Vec::new(), ..run.clone() }),
        steps: first.map(|run| run.steps.clone()).unwrap_or_default(),
        artifacts,
        parts,
    })
}

pub(super) async fn artifacts(
    context: &Context,
    caller: &Caller,
    id: &str,
) -> Result<Vec<v1::Artifact>, Status> {
    let rows = find(context, caller, id).await?;
    details::files(context, rows[0].id).await
}

pub(super) async fn download(
    context: &Context,
    caller: &Caller,
    request: &v1::DownloadArtifactRequest,
) -> Result<impl Stream<Item = Result<v1::DownloadArtifactResponse, Status>> + use<>, Status> {
    let row = downloadable(context, caller, &request.run_id, request.role(), &request.name).await?;
    if request.offset > row.size {
        return Err(Status::out_of_range(format!(
            "`{}` has {} bytes, and {} is beyond its end",
            row.name, row.size, request.offset
        )));
    }
    let content = if request.offset == row.size {
        stream::empty().boxed()
    } else {
        let store = store_of(context, &row)?;
        store.get(&row.path, request.offset).await.map_err(refuse::object)?
    };
    let messages = content.flat_map(|part| match part {
        Ok(bytes) => stream::iter(chunks(bytes).map(Ok)).left_stream(),
        Err(error) => stream::iter([Err(refuse::object(error))]).right_stream(),
    });
    Ok(until_stopped(
        messages,
        context.stop.clone(),
        "the same download again goes on where this one stopped",
    ))
}

/// How a file is fetched from its store without the reconciler.
pub(super) async fn grant_download(
    context: &Context,
    caller: &Caller,
    request: &v1::GrantDownloadRequest,
) -> Result<v1::GrantDownloadResponse, Status> {
    let row = downloadable(context, caller, &request.run_id, request.role(), &request.name).await?;
    let grant = store_of(context, &row)?.grant_get(&row.path, clock::now()).await.map_err(refuse::object)?;
    let grant = grant.ok_or_else(|| {
        Status::unimplemented(format!(
            "`{}` lies in {}, which serves nobody itself; DownloadArtifact serves the file",
            row.name, row.store
        ))
    })?;
    Ok(v1::GrantDownloadResponse {
        request: Some(message::signed_request(grant)),
        artifact: Some(message::artifact(&row)),
    })
}

/// The store that a file is in.
pub(super) fn store_of(context: &Context, row: &ArtifactRow) -> Result<Arc<Opened>, Status> {
    let applied = context.applied();
    context.uploads.store_of(row, &applied.testbed.config.artifacts).map_err(refuse::upload)
}

/// A stored file, when the caller may fetch it.
async fn downloadable(
    context: &Context,
    caller: &Caller,
    id: &str,
    role: v1::Role,
    name: &str,
) -> Result<ArtifactRow, Status> {
    let rows = find(context, caller, id).await?;
    let run = &rows[0];
    caller.may(Action::Download { owner: &run.owner }).map_err(|error| refuse::forbidden(&error))?;
    let role = RunRole::try_from(role).map_err(refuse::field)?;
    let row = context.database("artifact", context.store.artifact(run.id, role, name)).await?;
    let row = row.ok_or_else(|| refuse::no_file(run.id, name))?;
    match refuse::expired(&row) {
        None => Ok(row),
        Some(refusal) => Err(refusal),
    }
}

/// A store may give larger pieces than a message carries.
fn chunks(mut bytes: Bytes) -> impl Iterator<Item = v1::DownloadArtifactResponse> {
    std::iter::from_fn(move || {
        let length = bytes.len().min(limits::MAX_CHUNK);
        (length > 0).then(|| v1::DownloadArtifactResponse { data: bytes.split_to(length) })
    })
}
