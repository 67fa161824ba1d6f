//! A node's desired state as a stream: on connect, and on every change of it.

use std::sync::Arc;

use almanac_proto::v1;
use almanac_schemas::NodeName;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{applied::Applied, auth, clock, desired, rights::Caller};

/// One snapshot waits while another is on its way. A slow agent gets the newest, not all of them:
/// each replaces what was before.
const SNAPSHOTS: usize = 1;

type Item = Result<v1::WatchDesiredStateResponse, Status>;

/// The snapshots of a node, from now on.
///
/// The task behind it ends when the receiver is dropped, when `stop` is cancelled, and when the node
/// or its key is no longer declared; the last two with a status that says so.
pub fn snapshots(
    applied: watch::Receiver<Arc<Applied>>,
    node: NodeName,
    caller: Caller,
    stop: CancellationToken,
) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(SNAPSHOTS);
    tokio::spawn(follow(applied, node, caller, stop, sender));
    receiver
}

async fn follow(
    mut applied: watch::Receiver<Arc<Applied>>,
    node: NodeName,
    caller: Caller,
    stop: CancellationToken,
    sender: mpsc::Sender<Item>,
) {
    let mut sent = None;
    loop {
        let now = Arc::clone(&applied.borrow_and_update());
        let held = (Arc::clone(&now.epoch), now.generation(&node));
        let item = if !auth::still_valid(&now, &caller) {
            Some(Err(Status::unauthenticated(format!(
                "node `{node}` or its key is not declared any more; declare it in the repository"
            ))))
        } else if sent.as_ref() == Some(&held) {
            None
        } else {
            desired::snapshot(&now, &node, clock::now())
                .map(|snapshot| Ok(v1::WatchDesiredStateResponse { snapshot: Some(snapshot) }))
        };
        drop(now);
        if let Some(item) = item {
            let last = item.is_err();
            if sender.send(item).await.is_err() || last {
                return;
            }
            sent = Some(held);
        }
        // Cancel-safe: `changed` marks a value as seen only when it returns, a cancelled token stays
        // cancelled, a closed channel stays closed.
        let stopping = tokio::select! {
            // Nobody can change anything any more: the program is stopping.
            changed = applied.changed() => changed.is_err(),
            () = stop.cancelled() => true,
            () = sender.closed() => return,
        };
        if stopping {
            // A full queue says that the agent is not reading; the stream then ends without a word.
            let _ = sender.try_send(Err(Status::unavailable("the reconciler is stopping; connect again")));
            return;
        }
    }
}
