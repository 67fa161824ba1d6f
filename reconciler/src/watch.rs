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
    heartbeats::Heartbeats,
    instructions::{Instructions, Said},
    limits::Streams,
    live,
    logs::{LogKey, hub::Wanted},
    rights::Caller,
    surroundings::{Passing, Surroundings},
    tasks::Tasks,
};

/// One message waits while another is on its way. A slow agent gets the newest, not all of them:
/// each replaces what was before.
const MESSAGES: usize = 1;

type Item = Result<v1::WatchDesiredStateResponse, Status>;

/// A node that asks what it should do.
#[derive(Debug)]
pub struct Asking {
    /// The node.
    pub node: NodeName,
    /// Who calls as it.
    pub caller: Caller,
    /// Which snapshot it holds: the epoch and the generation that it says.
    pub held: (String, u64),
}

/// What a node hears beside its state and its instructions.
#[derive(Debug)]
pub struct Beside {
    /// The logs that each node is to send.
    pub logs: watch::Receiver<Arc<Wanted>>,
    /// The nodes that are to send what they measure.
    pub live: watch::Receiver<Arc<live::hub::Wanted>>,
    /// What was fetched for nodes.
    pub surroundings: Surroundings,
    /// What clients want of servers.
    pub tasks: Tasks,
    /// Where nodes are reached.
    pub heartbeats: Heartbeats,
}

/// What a node should do, from now on.
///
/// The task behind it ends when the receiver is dropped, when `stop` is cancelled, when newer streams
/// of the node take its place, and when the node or its key is no longer declared; all but the first
/// with a status that says so.
pub fn desired_states(
    applied: watch::Receiver<Arc<Applied>>,
    instructions: Instructions,
    beside: Beside,
    asking: Asking,
    streams: Streams,
    stop: CancellationToken,
) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(MESSAGES);
    tokio::spawn(async move {
        let node = asking.node.clone();
        let place = streams.open(node.clone());
        // Cancel-safe: whichever ends the stream, what was not sent yet is not wanted any more.
        let end = tokio::select! {
            end = follow(applied, &instructions, beside, asking, &sender) => end,
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
    Beside { mut logs, mut live, surroundings, tasks, heartbeats }: Beside,
    Asking { node, caller, held }: Asking,
    sender: &mpsc::Sender<Item>,
) -> Option<Status> {
    let (mut held, mut sent, mut told, mut watched, mut measured) = (Some(held), None, None, None, None);
    let (mut others, mut paired) = (tasks.listen(&node), None);
    let mut said = instructions.subscribe();
    let mut passing = Passing::new(&surroundings);
    loop {
        let now = Arc::clone(&applied.borrow_and_update());
        if !auth::still_valid(&now, &caller) {
            return Some(auth::revoked(&node));
        }
        let current = (Arc::clone(&now.epoch), now.generation(&node));
        let is_held =
            held.take().is_some_and(|(epoch, generation)| (&*epoch, generation) == (&*current.0, current.1));
        let renewal = is_held.then(|| desired::renewal(&now, clock::now()));
        let changed = sent.as_ref() != Some(&current) && !is_held;
        let snapshot = changed.then(|| desired::snapshot(&now, &node, clock::now())).flatten();
        let news = passing.news(&now.testbed, &node);
        others.mark_unchanged();
        // Said at the beginning, too: a task may have ended meanwhile.
        let pairs = tasks.message(&now, &heartbeats, &node);
        let pairs = Some(pairs).filter(|pairs| paired.as_ref() != Some(pairs));
        // What was in force before must not be kept for as long as nothing changes.
        drop(now);
        said.mark_unchanged();
        let to_node = Some(instructions.to(&node)).filter(|to_node| told.as_ref() != Some(to_node));
        let wanted = logs.borrow_and_update().get(&node).cloned().unwrap_or_default();
        // Said at the beginning, too: the agent may be sending a log that nobody watches any more.
        let wanted = Some(wanted).filter(|wanted| watched.as_ref() != Some(wanted));
        let measures = Some(live.borrow_and_update().contains(&node)).filter(|now| measured != Some(*now));
        let is_news = snapshot.is_some() || to_node.is_some() || wanted.is_some();
        if is_news || measures.is_some() || pairs.is_some() {
            let instructions = to_node.as_ref().map(Said::message);
            let logs = wanted
                .as_ref()
                .map(|wanted| v1::LogRequests { logs: wanted.iter().map(LogKey::message).collect() });
            paired = pairs.clone().or(paired);
            let message = v1::WatchDesiredStateResponse {
                snapshot,
                instructions,
                renewal,
                logs,
                tasks: pairs,
                telemetry_wanted: measures,
                ..Default::default()
            };
            sender.send(Ok(message)).await.ok()?;
            (sent, told, watched) = (Some(current), to_node.or(told), wanted.or(watched));
            measured = measures.or(measured);
        }
        passing.send(news, sender).await?;
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
            _ = logs.changed() => {}
            _ = live.changed() => {}
            () = passing.changed() => {}
            _ = others.changed() => {}
            () = sender.closed() => return None,
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the reconciler is stopping; connect again")
}
