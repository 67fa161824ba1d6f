//! Sends logs that somebody watches, for as long as they do: one stream for each, on which the reconciler asks for
//! pieces and the agent answers. Whatever is cut off is asked for again, by whoever asked.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    task::{self, AbortHandle, JoinSet},
    time::{self, Instant},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tracing::{debug, warn};

use almanac_proto::{
    convert::{FieldError, optional_instant, parse},
    limits,
    log::Stream,
    v1,
};
use almanac_schemas::{RunRole, Size};

use crate::{backoff::Backoff, link::Link, run::RunKey, state_dir::StateDir, traffic::Traffic};

use super::{From, LogFiles, Piece};

/// How often it is looked whether there is more, while somebody waits for it: a fifth of what a reader may notice.
/// It costs two small reads of files that the kernel has in memory.
const LOOK: Duration = Duration::from_millis(20);

/// The longest that a question waits for something to be written.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How many questions of one stream are answered at once. The reconciler asks one for what is new, and one for each
/// watcher who is behind.
const QUESTIONS: usize = 64;

/// One answer waits while another is on its way.
const ANSWERS: usize = 1;

/// The logs that are wanted.
pub type Wanted = Vec<RunKey>;

/// What reconcilers ask for, as far as it makes sense.
pub fn wanted(requests: &v1::LogRequests) -> Wanted {
    let key = |request: &v1::LogRequest| {
        Ok(RunKey { id: parse("run_id", &request.run_id)?, role: RunRole::try_from(request.role())? })
    };
    let keys = requests.logs.iter().map(key);
    keys.filter_map(|key: Result<RunKey, FieldError>| {
        key.inspect_err(|error| warn!(%error, "a log that somebody watches cannot be told")).ok()
    })
    .collect()
}

/// What the streams need.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The link.
    pub link: Link,
    /// Where the folders of runs are.
    pub state_dir: Arc<StateDir>,
    /// How much of a log is kept.
    pub log_limit: Size,
    /// What files may take of the link.
    pub traffic: Traffic,
}

/// The task that keeps a stream for each log that is wanted.
pub async fn send(sender: Sender, mut wanted: watch::Receiver<Wanted>, stop: CancellationToken) {
    let mut streams: HashMap<RunKey, AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        streams.retain(|key, stream| {
            let stays = now.contains(key) && !stream.is_finished();
            if !stays {
                stream.abort();
            }
            stays
        });
        for key in now {
            streams.entry(key).or_insert_with(|| tasks.spawn(keep(sender.clone(), key)));
        }
        tokio::select! {
            // Cancel-safe: dropped, the streams end, and what was not answered is asked again.
            () = stop.cancelled() => return,
            changed = wanted.changed() => if changed.is_err() {
                return stop.cancelled().await;
            },
            // One that has ended by itself is begun anew when it is wanted again.
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Keeps one stream open until it is not wanted any more.
async fn keep(mut sender: Sender, key: RunKey) {
    let mut backoff = Backoff::for_calls();
    loop {
        match sender.stream(key, &mut backoff).await {
            // Nobody watches, and that is told in a moment; or somebody does again, at once.
            Ok(()) => {}
            Err(status) if status.code() == Code::Unimplemented => {
                // Whatever answers now is older than what asked.
                debug!(run = %key, "the reconciler takes no logs");
            }
            Err(status) => sender.link.complain("send a log", &status),
        }
        sender.link.back_off(&mut backoff).await;
    }
}

impl Sender {
    async fn stream(&self, key: RunKey, backoff: &mut Backoff) -> Result<(), Status> {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let first = v1::StreamLogsRequest {
            node: self.link.node.to_string(),
            run_id: key.id.to_string(),
            role: v1::Role::from(key.role).into(),
            piece: None,
        };
        let _ = answers.try_send(first);
        let request = Request::new(ReceiverStream::new(receiver));
        let mut questions = self.link.client().stream_logs(request).await?.into_inner();
        let mut pending = FuturesUnordered::new();
        loop {
            tokio::select! {
                // Cancel-safe: a question that is half received is lost with the stream.
                question = questions.message(), if pending.len() < QUESTIONS => match question? {
                    Some(question) => {
                        backoff.reset();
                        pending.push(self.answer(key, question));
                    }
                    None => return Ok(()),
                },
                // Cancel-safe: an answer that is dropped is asked for again.
                Some(piece) = pending.next(), if !pending.is_empty() => {
                    let piece: v1::LogPiece = piece?;
                    // A log is watched because somebody wants to, also during a measurement; it keeps to the rate.
                    self.traffic.turn(piece.data.len()).await;
                    let answer = v1::StreamLogsRequest { piece: Some(piece), ..Default::default() };
                    if answers.send(answer).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn answer(&self, key: RunKey, question: v1::StreamLogsResponse) -> Result<v1::LogPiece, Status> {
        let id = question.id;
        let (from, most, wait) = read_question(&question)
            .map_err(|error| Status::invalid_argument(format!("a question makes no sense: {error}")))?;
        let run = self.state_dir.run(&key);
        let files = run.log(self.log_limit);
        let until = Instant::now() + wait;
        loop {
            let piece = if run.path().exists() { read(&files, from, most).await } else { Ok(None) };
            let piece = piece.unwrap_or_else(|error| {
                warn!(run = %key, %error, "a log that somebody watches cannot be read");
                None
            });
            let Some(piece) = piece else {
                return Ok(v1::LogPiece { id, absent: true, ..Default::default() });
            };
            if !piece.data.is_empty() || piece.ended || Instant::now() >= until {
                let Piece { begin, data, written, ended } = piece;
                return Ok(v1::LogPiece { id, begin, data: data.into(), written, ended, absent: false });
            }
            time::sleep(LOOK).await;
        }
    }
}

fn read_question(question: &v1::StreamLogsResponse) -> Result<(From, usize, Duration), FieldError> {
    let since = optional_instant("since", question.since.as_ref())?;
    let tail = question.tail_lines.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let from = match (tail, since) {
        (None, None) => From::Offset(question.offset),
        (tail, since) => From::Lines { tail, since, stream: Stream::from_message(question.stream()) },
    };
    let most = usize::try_from(question.max_bytes).unwrap_or(usize::MAX).min(limits::MAX_CHUNK);
    let wait = question.wait.map(Duration::try_from).transpose();
    let wait = wait.map_err(|error| FieldError::invalid("wait", error))?.unwrap_or_default();
    Ok((from, most, wait.min(LONGEST_WAIT)))
}

/// Reads on a thread that may wait for the disk; nothing when the log was removed.
async fn read(files: &LogFiles, from: From, most: usize) -> io::Result<Option<Piece>> {
    let files = files.clone();
    let read = task::spawn_blocking(move || files.read(from, most)).await.map_err(io::Error::other)?;
    match read {
        Ok(piece) => Ok(Some(piece)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
