//! The heartbeats of a node: each is kept, and answered before the next one is read.

use std::pin::Pin;

use almanac_proto::{convert::timestamp, limits, v1};
use almanac_schemas::{NodeName, PrincipalName};
use futures::{Stream, stream};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::{auth, clock, heartbeats::said, limits::Place, rights::Caller, store::HeartbeatRow};

use super::{Context, refuse};

type Beats = Streaming<v1::HeartbeatRequest>;
type Answer = Result<v1::HeartbeatResponse, Status>;

/// The answers to the heartbeats of a node.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Answer> + Send>>;

/// The first heartbeat of a stream. Whoever opens one has something to say, and nobody is waited for.
pub(super) async fn first(context: &Context, beats: &mut Beats) -> Result<v1::HeartbeatRequest, Status> {
    // Cancel-safe: without its first message there is no stream.
    let first = tokio::select! {
        () = context.stop.cancelled() => return Err(stopping()),
        first = timeout(limits::HEARTBEAT_DEADLINE, beats.message()) => first,
    };
    let silent =
        |_| Status::deadline_exceeded("the stream has no heartbeat; send the first one with the call");
    first.map_err(silent)??.ok_or_else(|| Status::invalid_argument("the stream has no heartbeat"))
}

/// Answers the heartbeats of a node from its first one on. There is no task behind it: a heartbeat is read when
/// the answer before was taken.
pub(super) fn answers(
    context: Context,
    node: NodeName,
    caller: Caller,
    first: v1::HeartbeatRequest,
    beats: Beats,
) -> Answers {
    let place = context.heartbeat_streams.open(node.clone());
    let heard = Heard { principal: node.clone().into(), context, node, caller, beats, place, row: None };
    let begun = stream::unfold(Some((heard, Some(first))), |state| async {
        let (mut heard, first) = state?;
        match heard.next(first).await {
            Some(Ok(answer)) => Some((Ok(answer), Some((heard, None)))),
            Some(Err(status)) => Some((Err(status), None)),
            None => None,
        }
    });
    Box::pin(begun)
}

/// A node that is heard of.
struct Heard {
    context: Context,
    node: NodeName,
    principal: PrincipalName,
    caller: Caller,
    beats: Beats,
    place: Place,
    /// What it has said so far.
    row: Option<HeartbeatRow>,
}

impl Heard {
    /// Waits for a heartbeat and answers it; nothing when the agent has ended the stream.
    async fn next(&mut self, first: Option<v1::HeartbeatRequest>) -> Option<Answer> {
        let beat = match first {
            Some(first) => first,
            // Cancel-safe: whichever ends the stream, what was not read yet is not wanted any more.
            None => tokio::select! {
                () = self.context.stop.cancelled() => return Some(Err(stopping())),
                () = self.place.replaced.cancelled() => {
                    return Some(Err(self.context.heartbeat_streams.replaced(&self.node)));
                }
                beat = self.beats.message() => match beat.transpose()? {
                    Ok(beat) => match self.allowed() {
                        Ok(()) => beat,
                        Err(status) => return Some(Err(status)),
                    },
                    Err(status) => return Some(Err(status)),
                },
            },
        };
        Some(Ok(self.take(beat)))
    }

    /// Whether the caller may still say something, and so soon.
    fn allowed(&self) -> Result<(), Status> {
        if !auth::still_valid(&self.context.applied.borrow(), &self.caller) {
            return Err(auth::revoked(&self.node));
        }
        let counted = self.context.authenticator.again(&self.principal);
        counted.map_err(|error| refuse::unauthenticated(&error, &self.context.metrics))
    }

    /// Keeps a heartbeat.
    fn take(&mut self, beat: v1::HeartbeatRequest) -> v1::HeartbeatResponse {
        let now = clock::now();
        let pace = self.context.heartbeats.pace(&self.context.applied());
        let interval = if self.row.is_none() { pace.first(&self.node) } else { pace.interval };
        let row = match self.row.take() {
            None => said::begin(self.node.clone(), beat, now),
            Some(mut row) => {
                said::go_on(&mut row, beat, now);
                row
            }
        };
        self.row = Some(row.clone());
        self.context.metrics.heartbeat();
        self.context.heartbeats.put(row, pace.stale_after);
        v1::HeartbeatResponse {
            server_time: Some(timestamp(now)),
            // It cannot be too long: it is bounded by the number of nodes.
            interval: interval.try_into().ok(),
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the reconciler is stopping; connect again")
}
