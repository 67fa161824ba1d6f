//! Logs: those who watch them, and the nodes that send them.

use std::{collections::HashMap, pin::Pin};

use almanac_proto::{
    convert::{FieldError, optional_instant},
    limits,
    log::Stream as LogStream,
    v1,
};
use almanac_schemas::{NodeName, RunRole};
use futures::Stream;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, metadata::MetadataMap};

use crate::{
    auth,
    logs::{From, LogKey, Piece, hub::Connected, watcher::Watcher},
    rights::{Action, Caller},
};

use super::{Context, refuse, runs};

/// How many parts of a log wait for one who watches. What is behind them waits at its source.
const PARTS: usize = 2;

/// How many questions wait to be sent to a node.
const QUESTIONS: usize = 4;

/// The most lines of which the last are asked for.
const MOST_LINES: u32 = 100_000;

/// How many answers may be waited for whose questions nobody remembers, before they are looked through.
const FORGOTTEN: usize = 128;

pub(super) type Tail = Pin<Box<dyn Stream<Item = Result<v1::TailLogsResponse, Status>> + Send>>;

/// Finds the log that is meant, and begins to send it.
pub(super) async fn tail(
    context: &Context,
    metadata: &MetadataMap,
    request: &v1::TailLogsRequest,
) -> Result<Tail, Status> {
    let caller = context.caller(metadata)?;
    let rows = runs::find(context, &caller, &request.run_id).await?;
    let action = Action::TailLogs { owner: &rows[0].owner };
    caller.may(action).map_err(|error| refuse::forbidden(&error))?;
    let from = begin(request).map_err(refuse::field)?;
    let role = match request.role() {
        v1::Role::Unspecified => RunRole::Client,
        role => RunRole::try_from(role).map_err(refuse::field)?,
    };
    let id = rows[0].id;
    let Some(run) = rows.into_iter().find(|row| row.role == role) else {
        return Err(Status::not_found(format!("run {id} has no {role}, and so no log of it")));
    };
    let (answers, parts) = mpsc::channel(PARTS);
    let watcher = Watcher {
        context: context.clone(),
        run,
        from,
        follow: request.follow,
        caller: caller.name().to_owned(),
        answers: answers.clone(),
    };
    let context = context.clone();
    tokio::spawn(async move {
        tokio::select! {
            // Cancel-safe: whichever ends it, who watches goes on where the last part ended.
            () = watcher.run() => {}
            status = revoked(&context, &caller) => {
                // A full queue says that nobody reads; the stream then ends without a word.
                let _ = answers.try_send(Err(status));
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(parts)))
}

fn begin(request: &v1::TailLogsRequest) -> Result<From, FieldError> {
    let since = optional_instant("since", request.since.as_ref())?;
    if request.tail_lines.is_some_and(|lines| lines > MOST_LINES) {
        return Err(FieldError::invalid("tail_lines", format!("expected at most {MOST_LINES}")));
    }
    Ok(match (request.offset, request.tail_lines, since) {
        (Some(offset), ..) => From::Offset(offset),
        (None, None, None) => From::Offset(0),
        (None, tail, since) => From::Lines { tail, since, stream: LogStream::from_message(request.stream()) },
    })
}

/// Waits until a caller is not one any more, or until the reconciler stops.
async fn revoked(context: &Context, caller: &Caller) -> Status {
    let mut applied = context.applied.clone();
    loop {
        if !auth::still_valid(&applied.borrow_and_update(), caller) {
            let name = caller.name();
            return Status::unauthenticated(format!("`{name}` or its key is not declared any more"));
        }
        tokio::select! {
            // Cancel-safe: `changed` marks a value as seen only when it returns.
            () = context.stop.cancelled() => break,
            changed = applied.changed() => if changed.is_err() {
                break;
            },
        }
    }
    Status::unavailable("the reconciler is stopping; go on where the log stopped")
}

type Questions = Result<v1::StreamLogsResponse, Status>;

/// The questions to a node.
pub(super) type Asking = Pin<Box<dyn Stream<Item = Questions> + Send>>;

/// The first message of a node's stream.
pub(super) async fn first(
    context: &Context,
    pieces: &mut Streaming<v1::StreamLogsRequest>,
) -> Result<v1::StreamLogsRequest, Status> {
    let first = tokio::select! {
        // Cancel-safe: without its first message there is no stream.
        () = context.stop.cancelled() => return Err(Status::unavailable("the reconciler is stopping")),
        first = timeout(limits::HEARTBEAT_DEADLINE, pieces.message()) => first,
    };
    let silent = |_| Status::deadline_exceeded("the stream does not say which log it is of");
    first
        .map_err(silent)??
        .ok_or_else(|| Status::invalid_argument("the stream does not say which log it is of"))
}

/// Asks a node for a log, for as long as somebody watches it.
pub(super) fn stream(
    context: &Context,
    node: &NodeName,
    caller: Caller,
    first: &v1::StreamLogsRequest,
    pieces: Streaming<v1::StreamLogsRequest>,
) -> Result<Asking, Status> {
    let key = LogKey::read(&first.run_id, first.role()).map_err(refuse::field)?;
    // Whoever watched may have gone meanwhile: then the stream ends at once.
    let Some(connected) = context.logs.connect(key, node) else {
        return Ok(Box::pin(futures::stream::empty()));
    };
    tracing::debug!(%node, log = %key, "a node sends a log");
    let (questions, receiver) = mpsc::channel(QUESTIONS);
    let context = context.clone();
    tokio::spawn(async move {
        let end = tokio::select! {
            // Cancel-safe: whichever ends it, what was asked is asked again.
            end = converse(connected, pieces, &questions) => end,
            status = revoked(&context, &caller) => Some(status),
        };
        if let Some(status) = end {
            let _ = questions.try_send(Err(status));
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Passes on questions and answers until nobody watches any more, which is no error.
async fn converse(
    mut connected: Connected,
    mut pieces: Streaming<v1::StreamLogsRequest>,
    questions: &mpsc::Sender<Questions>,
) -> Option<Status> {
    let mut waiting: HashMap<u64, oneshot::Sender<Piece>> = HashMap::new();
    let mut next = 0;
    let relay = std::sync::Arc::clone(&connected.relay);
    loop {
        tokio::select! {
            // Cancel-safe: a question or a message that was not taken is still there.
            ask = connected.asked.recv() => {
                let ask = ask?;
                next += 1;
                if waiting.len() >= FORGOTTEN {
                    waiting.retain(|_, answer| !answer.is_closed());
                }
                waiting.insert(next, ask.answer);
                questions.send(Ok(ask.question.message(next))).await.ok()?;
            }
            message = pieces.message() => {
                let message = match message {
                    Ok(message) => message?,
                    Err(status) => return Some(status),
                };
                let Some(piece) = message.piece else {
                    return Some(Status::invalid_argument("a message without a piece"));
                };
                if let Some(answer) = waiting.remove(&piece.id) {
                    // Whoever asked may have gone.
                    let _ = answer.send(piece.into());
                }
            }
            () = relay.stop().cancelled() => return None,
        }
    }
}
