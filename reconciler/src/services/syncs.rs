//! Syncs: what became of commits.

use almanac_proto::{
    convert::{FieldError, timestamp},
    v1,
};
use almanac_schemas::Kind;
use tonic::Status;

use crate::{
    clock,
    conditions::{self, Standing},
    page,
    store::{HistoryRow, SyncRow},
    surroundings::standing,
};

use super::{Context, message, refuse};

/// The shortest prefix of a commit's hash that finds it. A shorter number is the id of a sync.
const MIN_PREFIX: usize = 7;

/// The most nodes that are named for not holding what they should.
const MOST_LAGGING: usize = 100;

pub(super) async fn status(context: &Context) -> Result<v1::GetSyncStatusResponse, Status> {
    let now = clock::now();
    let store = &context.store;
    let latest = context.database("latest_sync", store.latest_sync()).await?;
    let followed = context.database("latest_commit_sync", store.latest_commit_sync()).await?;
    let intent = context.database("intent", store.intent()).await?.at(now);
    let look = context.database("look", store.look()).await?;
    let before = context.database("conditions", store.conditions()).await?;
    let standing = Standing {
        intent: &intent,
        latest: followed.as_ref(),
        look: &look,
        stale_after: context.stale_after,
    };
    let conditions = conditions::repository(&standing, &before, now);
    let applied = context.applied();
    let facts = context.facts(&applied, now);
    let since = applied.sync.as_ref().map_or(now, |sync| sync.at);
    let unfetched = standing::testbed(&applied.testbed, &context.surroundings.known(), since);
    let mut lagging: Vec<v1::LaggingNode> = Vec::new();
    let mut current = 0_u32;
    for node in applied.testbed.nodes.keys() {
        let heartbeat = context.heartbeats.get(node);
        if message::held_generation(&applied, heartbeat.as_ref()) == applied.generation(node) {
            current += 1;
        } else if lagging.len() < MOST_LAGGING
            && let Some(conditions) = facts.node(node)
        {
            lagging.push(v1::LaggingNode {
                name: node.to_string(),
                reason: conditions.ready.reason.as_str().to_owned(),
                message: conditions.ready.message,
                since: Some(timestamp(conditions.ready.since)),
            });
        }
    }
    Ok(v1::GetSyncStatusResponse {
        repository: context.repository.to_string(),
        branch: context.branch.to_string(),
        applied_commit: applied.commit().unwrap_or_default().to_owned(),
        applied_at: applied.sync.as_ref().map(|sync| timestamp(sync.at)),
        latest: latest.as_ref().map(message::sync),
        last_look: look.at.map(timestamp),
        look_error: look.error.unwrap_or_default(),
        nodes: u32::try_from(applied.testbed.nodes.len()).unwrap_or(u32::MAX),
        nodes_current: current,
        conditions: conditions.iter().chain(&unfetched).map(message::condition).collect(),
        suspended: intent.suspended.as_ref().map(message::hold),
        pinned: intent.pinned.as_ref().map(message::hold),
        lagging,
        role: context.follower.leadership().to_string(),
    })
}

pub(super) async fn list(
    context: &Context,
    request: &v1::ListSyncsRequest,
) -> Result<v1::ListSyncsResponse, Status> {
    let size = page::size(request.page_size).map_err(refuse::field)?;
    let before = page::number(&request.page_token).map_err(refuse::field)?;
    let rows = context.database("syncs", context.store.syncs(before, size + 1)).await?;
    let (rows, more) = page::cut(rows, size);
    let next_page_token = rows.last().filter(|_| more).map(|row| page::numbered(row.id));
    Ok(v1::ListSyncsResponse {
        syncs: rows.iter().map(message::sync).collect(),
        next_page_token: next_page_token.unwrap_or_default(),
    })
}

pub(super) async fn get(context: &Context, id: &str) -> Result<v1::GetSyncResponse, Status> {
    Ok(v1::GetSyncResponse { sync: Some(message::sync(&find(context, id).await?)) })
}

pub(super) async fn findings(
    context: &Context,
    request: &v1::ListSyncFindingsRequest,
) -> Result<v1::ListSyncFindingsResponse, Status> {
    let size = page::size(request.page_size).map_err(refuse::field)?;
    let from = page::number(&request.page_token).map_err(refuse::field)?.unwrap_or_default();
    let sync = by_id(context, request.sync_id).await?.id;
    let page = context.store.findings_from(sync, from, size);
    let (rows, more) = context.database("findings", page).await?;
    Ok(v1::ListSyncFindingsResponse {
        next_page_token: next_position(from, rows.len(), more),
        findings: rows.into_iter().map(message::finding).collect(),
    })
}

pub(super) async fn changes(
    context: &Context,
    request: &v1::ListSyncChangesRequest,
) -> Result<v1::ListSyncChangesResponse, Status> {
    let size = page::size(request.page_size).map_err(refuse::field)?;
    let from = page::number(&request.page_token).map_err(refuse::field)?.unwrap_or_default();
    let sync = by_id(context, request.sync_id).await?.id;
    let page = context.store.changes_from(sync, from, size);
    let (rows, more) = context.database("changes", page).await?;
    Ok(v1::ListSyncChangesResponse {
        next_page_token: next_position(from, rows.len(), more),
        changes: rows.into_iter().map(message::change).collect(),
    })
}

/// The token of the page that follows so many rows from a position on.
fn next_position(from: i64, rows: usize, more: bool) -> String {
    let next = i64::try_from(rows).ok().and_then(|rows| from.checked_add(rows));
    next.filter(|_| more).map(page::numbered).unwrap_or_default()
}

pub(super) async fn history(
    context: &Context,
    request: &v1::ListChangesRequest,
) -> Result<v1::ListChangesResponse, Status> {
    let size = page::size(request.page_size).map_err(refuse::field)?;
    let before = page::number(&request.page_token).map_err(refuse::field)?;
    let kind = [Kind::User, Kind::Node, Kind::Job].into_iter().find(|kind| kind.as_str() == request.kind);
    let kind = kind.ok_or_else(|| FieldError::invalid("kind", "expected `User`, `Node` or `Job`"));
    let kind = kind.map_err(refuse::field)?;
    let page = context.store.history(kind, &request.name, before, size);
    let (rows, more) = context.database("history", page).await?;
    if rows.is_empty() && before.is_none() {
        let (kind, name) = (kind.as_str().to_lowercase(), &request.name);
        return Err(Status::not_found(format!(
            "no commit that was put in force ever declared a {kind} `{name}`"
        )));
    }
    let next_page_token = rows.last().filter(|_| more).map(|row| page::numbered(row.sync.id));
    let change = |row: HistoryRow| v1::RecordedChange {
        sync: Some(message::sync(&row.sync)),
        change: Some(message::change(row.change)),
    };
    Ok(v1::ListChangesResponse {
        changes: rows.into_iter().map(change).collect(),
        next_page_token: next_page_token.unwrap_or_default(),
    })
}

async fn by_id(context: &Context, id: u64) -> Result<SyncRow, Status> {
    let row = match i64::try_from(id) {
        Ok(number) => context.database("sync", context.store.sync(number)).await?,
        Err(_) => None,
    };
    row.ok_or_else(|| {
        Status::not_found(format!("there is no sync {id}; ListSyncs lists those that there are"))
    })
}

async fn find(context: &Context, id: &str) -> Result<SyncRow, Status> {
    if id.is_empty() {
        let latest = context.database("latest_sync", context.store.latest_sync()).await?;
        return latest.ok_or_else(|| Status::not_found("there was no sync yet; push a commit"));
    }
    // A number may be both: the id of a sync comes first, since ids are what lists show.
    if let Ok(number) = id.parse::<i64>()
        && let Some(row) = context.database("sync", context.store.sync(number)).await?
    {
        return Ok(row);
    }
    let prefix = id.to_ascii_lowercase();
    let is_hash = prefix.len() >= MIN_PREFIX && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash {
        return Err(Status::not_found(format!(
            "there is no sync `{id}`: expected the id of a sync, or at least {MIN_PREFIX} digits of a commit's hash"
        )));
    }
    let mut rows = context.database("syncs_of_commit", context.store.syncs_of_commit(&prefix)).await?;
    match rows.len() {
        0 => Err(Status::not_found(format!("no commit that begins with `{id}` was looked at"))),
        1 => Ok(rows.remove(0)),
        _ => {
            Err(Status::invalid_argument(format!("several commits begin with `{id}`; give more of the hash")))
        }
    }
}
