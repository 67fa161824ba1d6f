//! People say that the files of a run are to stay, or not any more.

use almanac_proto::v1;
use tonic::{Status, metadata::MetadataMap};

use crate::{
    clock,
    rights::Action,
    store::{KeepRow, Kept, RunRow},
};

use super::{Context, refuse, runs, steer};

pub(super) async fn keep(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::KeepRunRequest,
) -> Result<v1::KeepRunResponse, Status> {
    let (rows, actor) = allowed(context, metadata, &request.id).await?;
    let run = rows[0].id;
    let reason = if request.reason.is_empty() { String::new() } else { steer::reason(&request.reason)? };
    let row = KeepRow { run, actor, reason, since: clock::now() };
    if context.database("keep", context.store.keep(&row)).await? == Kept::Gone {
        return Err(Status::failed_precondition(format!(
            "the files of run {run} have expired already: there is nothing left to keep but its record, which stays anyway"
        )));
    }
    let KeepRow { actor, reason, .. } = row;
    tracing::info!(actor, %run, reason, "the files of a run are kept");
    Ok(v1::KeepRunResponse { run: Some(runs::detail(context, &rows).await?) })
}

pub(super) async fn unkeep(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::UnkeepRunRequest,
) -> Result<v1::UnkeepRunResponse, Status> {
    let (rows, actor) = allowed(context, metadata, &request.id).await?;
    let run = rows[0].id;
    context.database("unkeep", context.store.unkeep(run)).await?;
    tracing::info!(actor, %run, "the files of a run are not kept any more");
    Ok(v1::UnkeepRunResponse { run: Some(runs::detail(context, &rows).await?) })
}

/// The run in its roles, and who calls, when they may say so.
async fn allowed(
    context: &Context,
    metadata: &MetadataMap,
    id: &str,
) -> Result<(Vec<RunRow>, String), Status> {
    let caller = context.caller(metadata)?;
    let rows = runs::find(context, &caller, id).await?;
    caller.may(Action::Keep { owner: &rows[0].owner }).map_err(|error| refuse::forbidden(&error))?;
    Ok((rows, caller.name().to_owned()))
}
