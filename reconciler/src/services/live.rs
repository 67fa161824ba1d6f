//! What nodes measure: those who watch it, and the nodes that send it.

use std::{pin::Pin, time::Duration};

use almanac_proto::{convert::parse, reading::Reading, v1};
use almanac_schemas::NodeName;
use futures::Stream;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, metadata::MetadataMap};

use crate::{
    applied::Applied,
    auth, clock,
    heartbeats::Liveness,
    live::watcher::{Answer, Watcher, answer, expected},
    rights::{Action, Caller, Principal},
};

use super::{Context, refuse};

/// How many answers wait for one who watches. One that reads slowly misses readings, and nothing is kept for him.
const ANSWERS: usize = 4;

/// How long a node may say nothing at all on its stream. It says every five seconds that it is there.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a node is listened to at most: some providers measure once a second each.
const PACE: Duration = Duration::from_millis(20);

/// The most readings of one message. A node has six providers.
const MOST: usize = 16;

pub(super) type Answers = Pin<Box<dyn Stream<Item = Answer> + Send>>;

/// Begins to send what a node measures to one who may see it.
pub(super) fn watch(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::WatchTelemetryRequest,
) -> Result<Answers, Status> {
    let caller = context.caller(metadata)?;
    let node: NodeName = parse("node", &request.node).map_err(refuse::field)?;
    let applied = context.applied();
    may(&applied, &caller, &node)?;
    let (answers, receiver) = mpsc::channel(ANSWERS);
    let (heartbeat, now) = (context.heartbeats.get(&node), clock::now());
    let last_seen = heartbeat.map(|heartbeat| heartbeat.last_seen);
    let pace = context.heartbeats.pace(&applied);
    let problem = match (Liveness::of(last_seen, &pace, now), last_seen) {
        (Liveness::Online, _) => None,
        (_, Some(at)) => Some(format!("`{node}` is not heard of since {}", almanac_schemas::Instant(at))),
        (_, None) => Some(format!("the agent of `{node}` was never heard of")),
    };
    if let Some(problem) = problem {
        let last = answer(context.live.latest(&node).into_values(), &problem);
        return Ok(Box::pin(futures::stream::iter([Ok(last)])));
    }
    let watching = context.live.watch(&node, caller.name());
    let watching = watching.map_err(|full| Status::resource_exhausted(full.to_string()))?;
    let spec = applied.testbed.nodes.get(&node).map(|entry| expected(&entry.spec));
    let watcher = Watcher {
        node: node.clone(),
        follow: request.follow,
        expected: spec.unwrap_or_default(),
        live: context.live.clone(),
        answers: answers.clone(),
    };
    let (in_force, stop) = (context.applied.clone(), context.stop.clone());
    tokio::spawn(async move {
        let is_allowed = |applied: &Applied| may(applied, &caller, &node);
        if let Some(status) = watcher.run(watching, in_force, is_allowed, stop).await {
            // A full queue says that nobody reads; the stream then ends without a word.
            let _ = answers.try_send(Err(status));
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Whether somebody may watch what a node measures.
fn may(applied: &Applied, caller: &Caller, node: &NodeName) -> Result<(), Status> {
    if !auth::still_valid(applied, caller) {
        let name = caller.name();
        return Err(Status::unauthenticated(format!("`{name}` or its key is not declared any more")));
    }
    let entry = applied.testbed.nodes.get(node).ok_or_else(|| refuse::no_node(node))?;
    let admitted = match &caller.principal {
        Principal::User { name, team, .. } => {
            *name == entry.spec.owner || entry.spec.admits(name, team.as_ref())
        }
        Principal::Node(_) => false,
    };
    caller.may(Action::WatchTelemetry { node, admitted }).map_err(|error| refuse::forbidden(&error))
}

/// Takes what a node measures, for as long as somebody watches it.
pub(super) async fn stream(
    context: &Context,
    node: &NodeName,
    caller: &Caller,
    first: v1::StreamTelemetryRequest,
    mut messages: Streaming<v1::StreamTelemetryRequest>,
) -> Result<(), Status> {
    let mut wanted = context.live.wanted();
    let mut applied = context.applied.clone();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tracing::debug!(%node, "a node sends what it measures");
    let mut message = Some(first);
    while let Some(said) = message {
        if !wanted.borrow_and_update().contains(node) {
            break;
        }
        context
            .live
            .said(node, said.readings.into_iter().take(MOST).filter_map(|it| read(node, it)).collect());
        pace.tick().await;
        message = loop {
            tokio::select! {
                // Cancel-safe: a message that is half received is kept by its stream, and `changed` marks a value as seen
                // only when it returns.
                said = timeout(SILENCE, messages.message()) => match said {
                    Ok(said) => break said?,
                    Err(_) => return Err(Status::deadline_exceeded("the stream fell silent")),
                },
                _ = wanted.changed() => if !wanted.borrow_and_update().contains(node) {
                    break None;
                },
                _ = applied.changed() => if !auth::still_valid(&applied.borrow_and_update(), caller) {
                    return Err(auth::revoked(node));
                },
                () = context.stop.cancelled() => {
                    return Err(Status::unavailable("the reconciler is stopping; connect again"));
                }
            }
        };
    }
    Ok(())
}

/// A reading that makes sense; one that does not is of a newer agent, or of none.
fn read(node: &NodeName, reading: v1::Reading) -> Option<Reading> {
    let read = Reading::try_from(reading);
    read.inspect_err(|error| tracing::debug!(%node, %error, "dropped what a node measured")).ok()
}

/// The first message of a node's stream.
pub(super) async fn first(
    context: &Context,
    messages: &mut Streaming<v1::StreamTelemetryRequest>,
) -> Result<v1::StreamTelemetryRequest, Status> {
    let first = tokio::select! {
        // Cancel-safe: without its first message there is no stream.
        () = context.stop.cancelled() => return Err(Status::unavailable("the reconciler is stopping")),
        first = timeout(almanac_proto::limits::HEARTBEAT_DEADLINE, messages.message()) => first,
    };
    let silent = |_| Status::deadline_exceeded("the stream does not say which node it is of");
    first
        .map_err(silent)??
        .ok_or_else(|| Status::invalid_argument("the stream does not say which node it is of"))
}
