//! What admins do to the syncs: suspend, pin, approve, and take it back.

use almanac_proto::{
    convert::{FieldError, instant, timestamp},
    v1,
};
use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use tonic::{Status, metadata::MetadataMap};

use crate::{
    clock,
    intent::{Deed, Hold},
    page,
    rights::Action,
    store::{ActionRow, SyncOutcome},
};

use super::{Context, message, refuse};

/// The longest reason that is kept, in bytes. It is for people.
const MAX_REASON: usize = 1_000;

/// The shortest prefix of a commit's hash that may name it.
const MIN_PREFIX: usize = 7;

pub(super) async fn suspend(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::SuspendSyncRequest,
) -> Result<v1::SuspendSyncResponse, Status> {
    let mut action = begin(context, metadata, Deed::Suspend)?;
    action.reason = reason(&request.reason)?;
    action.until = until(request.until.as_ref(), action.at)?;
    act(context, &action).await?;
    Ok(v1::SuspendSyncResponse { suspended: Some(message::hold(&Hold::from(action))) })
}

pub(super) async fn resume(
    context: &Context,
    metadata: &MetadataMap,
) -> Result<v1::ResumeSyncResponse, Status> {
    let action = begin(context, metadata, Deed::Resume)?;
    let intent = context.database("intent", context.store.intent()).await?.at(action.at);
    if intent.suspended.is_none() {
        return Err(Status::failed_precondition("the syncs are not suspended"));
    }
    act(context, &action).await?;
    Ok(v1::ResumeSyncResponse { sync: Some(look(context).await?) })
}

pub(super) async fn pin(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::PinSyncRequest,
) -> Result<v1::PinSyncResponse, Status> {
    let mut action = begin(context, metadata, Deed::Pin)?;
    action.reason = reason(&request.reason)?;
    action.until = until(request.until.as_ref(), action.at)?;
    let prefix = prefix(&request.commit)?;
    let found = context.follower.find(prefix).await.map_err(refuse::ask)?;
    action.commit = found.map_err(refuse::find)?;
    act(context, &action).await?;
    let sync = look(context).await?;
    Ok(v1::PinSyncResponse { pinned: Some(message::hold(&Hold::from(action))), sync: Some(sync) })
}

pub(super) async fn unpin(
    context: &Context,
    metadata: &MetadataMap,
) -> Result<v1::UnpinSyncResponse, Status> {
    let action = begin(context, metadata, Deed::Unpin)?;
    let intent = context.database("intent", context.store.intent()).await?.at(action.at);
    if intent.pinned.is_none() {
        return Err(Status::failed_precondition("no commit is pinned"));
    }
    act(context, &action).await?;
    Ok(v1::UnpinSyncResponse { sync: Some(look(context).await?) })
}

pub(super) async fn approve(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::ApproveSyncRequest,
) -> Result<v1::ApproveSyncResponse, Status> {
    let mut action = begin(context, metadata, Deed::Approve)?;
    let latest = context.database("latest_commit_sync", context.store.latest_commit_sync()).await?;
    let waiting = latest.filter(|sync| sync.outcome == SyncOutcome::Waiting);
    let Some(waiting) = waiting else {
        return Err(Status::failed_precondition("no commit waits for an approval"));
    };
    // Whoever names a commit approves that one, and none that was pushed since.
    if !request.commit.is_empty() && !waiting.commit.id.starts_with(&prefix(&request.commit)?) {
        return Err(Status::failed_precondition(format!(
            "the commit that waits is {}: {}",
            waiting.commit.id, waiting.message
        )));
    }
    (action.commit, action.sync) = (waiting.commit.id, Some(waiting.id));
    act(context, &action).await?;
    Ok(v1::ApproveSyncResponse { sync: Some(look(context).await?) })
}

pub(super) async fn actions(
    context: &Context,
    request: &v1::ListSyncActionsRequest,
) -> Result<v1::ListSyncActionsResponse, Status> {
    let size = page::size(request.page_size).map_err(refuse::field)?;
    let before = page::number(&request.page_token).map_err(refuse::field)?;
    let rows = context.database("actions", context.store.actions(before, size + 1)).await?;
    let (rows, more) = page::cut(rows, size);
    let next_page_token = rows.last().filter(|_| more).map(|row| page::numbered(row.id));
    let action = |row: ActionRow| v1::SyncAction {
        at: Some(timestamp(row.at)),
        actor: row.actor,
        action: row.deed.to_string(),
        commit: row.commit,
        reason: row.reason,
        until: row.until.map(timestamp),
    };
    Ok(v1::ListSyncActionsResponse {
        actions: rows.into_iter().map(action).collect(),
        next_page_token: next_page_token.unwrap_or_default(),
    })
}

/// The action of whoever calls, if they may.
fn begin(context: &Context, metadata: &MetadataMap, deed: Deed) -> Result<ActionRow, Status> {
    let caller = context.allowed(metadata, Action::Steer(deed))?;
    Ok(ActionRow {
        id: 0,
        at: clock::now(),
        actor: caller.name().to_owned(),
        deed,
        commit: String::new(),
        reason: String::new(),
        until: None,
        sync: None,
    })
}

async fn act(context: &Context, action: &ActionRow) -> Result<(), Status> {
    context.database("act", context.store.act(action)).await?;
    let ActionRow { actor, deed, commit, reason, .. } = action;
    tracing::info!(actor, %deed, commit, reason, "the syncs are steered");
    context.follower.nudge();
    Ok(())
}

/// Looks at the repository, and says what came of it.
async fn look(context: &Context) -> Result<v1::Sync, Status> {
    let answer = context.follower.sync_now().await.map_err(refuse::ask)?;
    Ok(message::looked(answer, clock::now()))
}

pub(super) fn reason(text: &str) -> Result<String, Status> {
    let text = text.trim();
    let problem = match text.len() {
        0 => "say why, for whoever finds it so",
        1..=MAX_REASON => return Ok(text.to_owned()),
        _ => "it is longer than 1,000 bytes",
    };
    Err(refuse::field(FieldError::invalid("reason", problem)))
}

pub(super) fn until(until: Option<&Timestamp>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Status> {
    let Some(until) = until else { return Ok(None) };
    let until = instant("until", Some(until)).map_err(refuse::field)?;
    if until <= now {
        return Err(refuse::field(FieldError::invalid("until", "it is over already")));
    }
    Ok(Some(until))
}

fn prefix(text: &str) -> Result<String, Status> {
    let prefix = text.to_ascii_lowercase();
    let hexadecimal = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || !(MIN_PREFIX..=64).contains(&prefix.len()) {
        let problem = format!("expected the hash of a commit, or at least {MIN_PREFIX} digits of it");
        return Err(refuse::field(FieldError::invalid("commit", problem)));
    }
    Ok(prefix)
}
