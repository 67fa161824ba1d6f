//! What people say to nodes: that a run is to end, that no new one starts.

use almanac_proto::{
    convert::{FieldError, optional_instant, parse},
    v1,
};
use almanac_schemas::{Cordon, Instant, NodeName, Scavenging};
use tonic::{Status, metadata::MetadataMap};

use crate::{clock, heartbeats::Liveness, rights::Action, store::CancellationRow};

use super::{Context, message, refuse, runs, steer};

pub(super) async fn set_node_mode(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::SetNodeModeRequest,
) -> Result<NodeName, Status> {
    let caller = context.caller(metadata)?;
    let node: NodeName = parse("name", &request.name).map_err(refuse::field)?;
    let applied = context.applied();
    let entry = applied.testbed.nodes.get(&node).ok_or_else(|| refuse::no_node(&node))?;
    let action = Action::SetMode { owner: &entry.spec.owner, node: &node };
    caller.may(action).map_err(|error| refuse::forbidden(&error))?;
    let now = clock::now();
    let stop_at = match request.mode() {
        v1::NodeMode::Unspecified => return Err(refuse::field(FieldError::missing("mode"))),
        v1::NodeMode::Active => {
            context.database("uncordon", context.store.uncordon(&node)).await?;
            tracing::info!(actor = caller.name(), %node, "new runs start on a node");
            refresh(context).await?;
            return Ok(node);
        }
        v1::NodeMode::Cordoned => None,
        v1::NodeMode::Draining => {
            let stop_at = optional_instant("stop_at", request.stop_at.as_ref()).map_err(refuse::field)?;
            Some(stop_at.unwrap_or(now))
        }
    };
    let cordon = Cordon {
        actor: caller.name().to_owned(),
        reason: steer::reason(&request.reason)?,
        since: Instant(now),
        until: steer::until(request.until.as_ref(), now)?.map(Instant),
        stop_at: stop_at.map(Instant),
    };
    context.database("cordon", context.store.cordon(&node, &cordon)).await?;
    let Cordon { actor, reason, .. } = &cordon;
    tracing::info!(actor, %node, reason, drain = stop_at.is_some(), "no new run starts on a node");
    refresh(context).await?;
    Ok(node)
}

pub(super) async fn set_scavenger(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::SetScavengerRequest,
) -> Result<NodeName, Status> {
    let caller = context.caller(metadata)?;
    let node: NodeName = parse("name", &request.name).map_err(refuse::field)?;
    let applied = context.applied();
    let entry = applied.testbed.nodes.get(&node).ok_or_else(|| refuse::no_node(&node))?;
    let action = Action::Scavenge { owner: &entry.spec.owner, node: &node };
    caller.may(action).map_err(|error| refuse::forbidden(&error))?;
    let now = clock::now();
    let scavenging = if request.on {
        let reason = if request.reason.is_empty() { String::new() } else { steer::reason(&request.reason)? };
        let until = steer::until(request.until.as_ref(), now)?.map(Instant);
        Some(Scavenging { actor: caller.name().to_owned(), reason, since: Instant(now), until })
    } else {
        None
    };
    context.database("scavenge", context.store.scavenge(&node, scavenging.as_ref())).await?;
    match &scavenging {
        Some(Scavenging { actor, reason, .. }) => {
            tracing::info!(actor, %node, reason, "no exclusive run goes on or starts on a node");
        }
        None => tracing::info!(actor = caller.name(), %node, "exclusive runs start on a node"),
    }
    refresh(context).await?;
    Ok(node)
}

pub(super) async fn cancel(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::CancelRunRequest,
) -> Result<v1::CancelRunResponse, Status> {
    let caller = context.caller(metadata)?;
    let rows = runs::find(context, &caller, &request.id).await?;
    let row = &rows[0];
    caller.may(Action::Cancel { owner: &row.owner }).map_err(|error| refuse::forbidden(&error))?;
    if rows.iter().all(|row| row.state.phase.is_terminal()) {
        return Err(Status::failed_precondition(format!(
            "run {} has ended: {}; there is nothing to cancel",
            row.id, row.state.phase
        )));
    }
    let actor = caller.name().to_owned();
    let reason = if request.reason.is_empty() { String::new() } else { steer::reason(&request.reason)? };
    let cancellation = CancellationRow { run: row.id, node: row.node.clone(), actor, reason };
    let now = clock::now();
    context.database("cancel", context.store.cancel(&cancellation, now)).await?;
    let CancellationRow { actor, reason, .. } = &cancellation;
    tracing::info!(actor, run = %row.id, node = %row.node, reason, "a run is to end");
    refresh(context).await?;
    let last_seen = context.heartbeats.get(&row.node).map(|row| row.last_seen);
    let pace = context.heartbeats.pace(&context.applied());
    Ok(v1::CancelRunResponse {
        run: Some(message::run(row)),
        connected: Liveness::of(last_seen, &pace, now) == Liveness::Online,
    })
}

/// Passes on what was said.
async fn refresh(context: &Context) -> Result<(), Status> {
    context.database("instructions", context.instructions.refresh(&context.store)).await
}
