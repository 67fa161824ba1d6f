//! A node's desired state as a stream: on connect, and on every change of it.

use std::sync::Arc;

use almanac_proto::v1;
use almanac_schemas::NodeName;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{applied::Applied, auth, clock, desired, limits::Streams, rights::Caller};

/// One snapshot waits while another is on its way. A slow agent gets the newest, not all of them:
/// each replaces what was before.
const SNAPSHOTS: usize = 1;

type Item = Result<v1::WatchDesiredStateResponse, Status>;

/// The snapshots of a node, from now on.
///
/// The task behind it ends when the receiver is dropped, when `stop` is cancelled, when newer streams
/// of the node take its place, and when the node or its key is no longer declared; all but the first
/// with a status that says so.
pub fn snapshots(
    applied: watch::Receiver<Arc<Applied>>,
    node: NodeName,
    caller: Caller,
    streams: Streams,
    stop: CancellationToken,
) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(SNAPSHOTS);
    tokio::spawn(async move {
        let place = streams.open(node.clone());
        // Cancel-safe: whichever ends the stream, what was not sent yet is not wanted any more.
        let end = tokio::select! {
            end = follow(applied, &node, &caller, &sender) => end,
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

/// Sends snapshots until there is a reason not to. None is given when nobody listens any more.
async fn follow(
    mut applied: watch::Receiver<Arc<Applied>>,
    node: &NodeName,
    caller: &Caller,
    sender: &mpsc::Sender<Item>,
) -> Option<Status> {
    let mut sent = None;
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
        if let Some(snapshot) = snapshot {
            sender.send(Ok(v1::WatchDesiredStateResponse { snapshot: Some(snapshot) })).await.ok()?;
            sent = Some(held);
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
            () = sender.closed() => return None,
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the reconciler is stopping; connect again")
}
