//! A node's desired state as a stream: what the commit in force wants of it and what people said to it, on connect and
//! on every change of either.

use std::sync::Arc;

use almanac_proto::v1;
use almanac_schemas::NodeName;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    applied::Applied,
    auth, clock, desired,
    instructions::{Instructions, Said},
    limits::Streams,
    rights::Caller,
};

/// One message waits while another is on its way. A slow agent gets the newest, not all of them:
/// each replaces what was before.
const MESSAGES: usize = 1;

type Item = Result<v1::WatchDesiredStateResponse, Status>;

/// What a node should do, from now on.
///
/// The task behind it ends when the receiver is dropped, when `stop` is cancelled, when newer streams
/// of the node take its place, and when the node or its key is no longer declared; all but the first
/// with a status that says so.
pub fn desired_states(
    applied: watch::Receiver<Arc<Applied>>,
    instructions: Instructions,
    node: NodeName,
    caller: Caller,
    streams: Streams,
    stop: CancellationToken,
) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(MESSAGES);
    tokio::spawn(async move {
        let place = streams.open(node.clone());
        // Cancel-safe: whichever ends the stream, what was not sent yet is not wanted any more.
        let end = tokio::select! {
            end = follow(applied, &instructions, &node, &caller, &sender) => end,
            () = stop.cancelled() => Some(stopping()),
            () = place.replaced.cancelled() => Some(streams.replaced(&node)),
        };
        if let Some(end) = end {
            // A full queue says that the agent is not reading; the stream then ends without a word.
            let _ = sender.try_send(Err(end));
        }
    });
    receiver
}

/// Sends what has changed until there is a reason not to. None is given when nobody listens any more.
async fn follow(
    mut applied: watch::Receiver<Arc<Applied>>,
    instructions: &Instructions,
    node: &NodeName,
    caller: &Caller,
    sender: &mpsc::Sender<Item>,
) -> Option<Status> {
    let (mut sent, mut told) = (None, None);
    let mut said = instructions.subscribe();
    loop {
        let now = Arc::clone(&applied.borrow_and_update());
        if !auth::still_valid(&now, caller) {
            return Some(auth::revoked(node));
        }
        let held = (Arc::clone(&now.epoch), now.generation(node));
        let changed = sent.as_ref() != Some(&held);
        let snapshot = changed.then(|| desired::snapshot(&now, node, clock::now())).flatten();
        // What was in force before must not be kept for as long as nothing changes.
        drop(now);
        said.mark_unchanged();
        let to_node = Some(instructions.to(node)).filter(|to_node| told.as_ref() != Some(to_node));
        if snapshot.is_some() || to_node.is_some() {
            let instructions = to_node.as_ref().map(Said::message);
            sender.send(Ok(v1::WatchDesiredStateResponse { snapshot, instructions })).await.ok()?;
            (sent, told) = (Some(held), to_node.or(told));
        }
        // Cancel-safe: `changed` marks a value as seen only when it returns, a closed channel stays
        // closed.
        tokio::select! {
            changed = applied.changed() => {
                // Nobody can change anything any more.
                if changed.is_err() {
                    return Some(stopping());
                }
            }
            // What is said goes on being said for as long as anybody serves.
            _ = said.changed() => {}
            () = sender.closed() => return None,
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the reconciler is stopping; connect again")
}
