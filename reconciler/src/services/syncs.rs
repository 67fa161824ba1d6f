//! Syncs: what became of commits.

use almanac_proto::{convert::timestamp, v1};
use tonic::Status;

use crate::{page, store::SyncRow};

use super::{Context, message, refuse};

/// The shortest prefix of a commit's hash that finds it. A shorter number is the id of a sync.
const MIN_PREFIX: usize = 7;

pub(super) async fn status(context: &Context) -> Result<v1::GetSyncStatusResponse, Status> {
    let latest = context.database("latest_sync", context.store.latest_sync()).await?;
    let applied = context.applied();
    let look = context.follower.status();
    let current = applied.testbed.nodes.keys().filter(|node| {
        let heartbeat = context.heartbeats.get(node);
        message::held_generation(&applied, heartbeat.as_ref()) == applied.generation(node)
    });
    Ok(v1::GetSyncStatusResponse {
        repository: context.repository.to_string(),
        branch: context.branch.to_string(),
        applied_commit: applied.commit().unwrap_or_default().to_owned(),
        applied_at: applied.sync.as_ref().map(|sync| timestamp(sync.at)),
        latest: latest.as_ref().map(message::sync),
        last_look: look.at.map(timestamp),
        look_error: look.error.unwrap_or_default(),
        nodes: u32::try_from(applied.testbed.nodes.len()).unwrap_or(u32::MAX),
        nodes_current: u32::try_from(current.count()).unwrap_or(u32::MAX),
    })
}

pub(super) async fn list(
    context: &Context,
    request: &v1::ListSyncsRequest,
) -> Result<v1::ListSyncsResponse, Status> {
    let size = page::size(request.page_size).map_err(refuse::field)?;
    let before = page::parts::<1>(&request.page_token).map_err(refuse::field)?;
    let before = before.map(|[id]| id.parse::<i64>()).transpose().map_err(|_| {
        Status::invalid_argument("field `page_token` is wrong: it is not one that a page of this list gave")
    })?;
    let rows = context.database("syncs", context.store.syncs(before, size + 1)).await?;
    let (rows, more) = page::cut(rows, size);
    let next_page_token = rows.last().filter(|_| more).map(|row| page::token(&[&row.id.to_string()]));
    Ok(v1::ListSyncsResponse {
        syncs: rows.iter().map(message::sync).collect(),
        next_page_token: next_page_token.unwrap_or_default(),
    })
}

pub(super) async fn get(context: &Context, id: &str) -> Result<v1::GetSyncResponse, Status> {
    let row = find(context, id).await?;
    let findings = context.database("findings", context.store.findings(row.id)).await?;
    let changes = context.database("changes", context.store.changes(row.id)).await?;
    Ok(v1::GetSyncResponse {
        sync: Some(message::sync(&row)),
        findings: findings.into_iter().map(message::finding).collect(),
        changes: changes.into_iter().map(message::change).collect(),
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
