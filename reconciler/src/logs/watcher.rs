//! Somebody who watches a log: from the store where it is stored, else from its node.

use std::{future::Future, sync::Arc, time::Duration};

use almanac_proto::v1;
use almanac_schemas::Phase;
use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tonic::Status;

use crate::{
    clock,
    heartbeats::Liveness,
    services::{Context, refuse},
    store::{ArtifactRow, RunRow},
};

use super::{
    From, LogKey, Piece, Question, Relay,
    hub::Watching,
    relay::{Away, Found, MOST, WAIT},
    stored,
};

/// The name under which logs are stored.
const LOG: &str = "run.log";

/// How long a node may be silent before whoever watches is told.
const SILENCE: Duration = Duration::from_secs(3);

/// How long one who does not follow waits for the node.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether a log is stored by now whose node does not send it.
const LOOK: Duration = Duration::from_secs(1);

/// How soon it is looked again when the node has no log that is not stored either: not yet, or not any more.
const PAUSE: Duration = Duration::from_millis(200);

type Item = Result<v1::TailLogsResponse, Status>;

/// Somebody who watches.
#[derive(Debug)]
pub struct Watcher {
    /// What calls work with.
    pub context: Context,
    /// The run, as it was when this began.
    pub run: RunRow,
    /// Where to begin.
    pub from: From,
    /// Whether to go on until the run ends.
    pub follow: bool,
    /// Who watches.
    pub caller: String,
    /// Where what is watched goes. One who does not take it is not waited for by anybody else.
    pub answers: mpsc::Sender<Item>,
}

/// Why a watcher ends.
enum End {
    /// Nobody listens.
    Gone,
    /// Something is wrong.
    Wrong(Status),
}

impl std::convert::From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Wrong(status)
    }
}

/// How far somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    from: From,
    /// Up to where one reads who does not follow, once that is known.
    until: Option<u64>,
}

/// What became of asking a node.
enum Asked {
    /// It is to be looked elsewhere, or again.
    Elsewhere,
    /// There is nothing more.
    Ended,
}

impl Watcher {
    /// Sends the log, until it ends or nobody listens.
    pub async fn run(self) {
        match self.watch().await {
            Ok(()) => {
                let _ = self.answers.send(Ok(v1::TailLogsResponse { end: true, ..Default::default() })).await;
            }
            Err(End::Gone) => {}
            Err(End::Wrong(status)) => {
                let _ = self.answers.send(Err(status)).await;
            }
        }
    }

    fn key(&self) -> LogKey {
        LogKey { run: self.run.id, role: self.run.role }
    }

    async fn watch(&self) -> Result<(), End> {
        let begun = Instant::now();
        let mut progress = Progress { from: self.from, until: None };
        let mut watching: Option<Watching> = None;
        let mut told = String::new();
        loop {
            if let Some(row) = self.stored().await? {
                return self.send_stored(&row, progress.from).await;
            }
            let run = self.look().await?;
            if run.state.phase.is_terminal() {
                // The last file may have been stored between the two looks.
                return match self.stored().await? {
                    Some(row) => self.send_stored(&row, progress.from).await,
                    None => Err(End::Wrong(Status::failed_precondition(no_log(&run)))),
                };
            }
            let is_new = run.state.phase == Phase::Deploying;
            if is_new && self.follow {
                self.tell(self.why_nothing(&run), &mut told).await?;
            }
            let relay = match &watching {
                Some(watching) => Arc::clone(&watching.relay),
                None => {
                    let hub = &self.context.logs;
                    let watch = hub.watch(self.key(), &self.run.node, &self.caller);
                    let watch = watch.map_err(|full| Status::resource_exhausted(full.to_string()))?;
                    Arc::clone(&watching.insert(watch).relay)
                }
            };
            match self.ask(&relay, &mut progress).await? {
                Asked::Ended if self.follow || !is_new || progress.from != self.from => return Ok(()),
                // It may have a folder already, and nothing in it.
                Asked::Ended => return Err(End::Wrong(Status::failed_precondition(self.why_nothing(&run)))),
                Asked::Elsewhere => {}
            }
            if relay.heard().elapsed() < SILENCE && !is_new {
                self.unless_gone(sleep(PAUSE)).await?;
                continue;
            }
            let why = self.why_nothing(&run);
            if !self.follow && begun.elapsed() >= PATIENCE {
                return Err(End::Wrong(Status::unavailable(why)));
            }
            if !self.follow && is_new {
                return Err(End::Wrong(Status::failed_precondition(why)));
            }
            // One who does not follow is told at the end of his patience.
            if self.follow {
                self.tell(why, &mut told).await?;
            }
            let pause = if is_new { PAUSE } else { LOOK };
            self.unless_gone(sleep(pause)).await?;
        }
    }

    /// Asks the node until there is a reason to look elsewhere.
    async fn ask(&self, relay: &Arc<Relay>, progress: &mut Progress) -> Result<Asked, End> {
        let mut news = relay.news();
        loop {
            news.mark_unchanged();
            let most = match progress.from {
                From::Lines { .. } => MOST,
                From::Offset(place) => {
                    if progress.until.is_some_and(|until| place >= until) {
                        return Ok(Asked::Ended);
                    }
                    match relay.at(place) {
                        Found::Lines(data) => {
                            let piece = Piece { begin: place, data, ..Piece::default() };
                            self.pass(piece, progress).await?;
                            continue;
                        }
                        Found::End => return Ok(Asked::Ended),
                        Found::Absent => return Ok(Asked::Elsewhere),
                        Found::Nothing if self.follow => {
                            let quiet = sleep(WAIT.max(SILENCE));
                            tokio::select! {
                                // Cancel-safe: what was not taken is still in the ring.
                                () = self.answers.closed() => return Err(End::Gone),
                                _ = news.changed() => continue,
                                () = quiet => {}
                            }
                            if relay.heard().elapsed() >= WAIT.max(SILENCE) * 2 {
                                return Ok(Asked::Elsewhere);
                            }
                            continue;
                        }
                        // What one who does not follow has not seen was there before he asked.
                        Found::Nothing => MOST,
                        Found::Behind(most) => most,
                    }
                }
            };
            let question = Question { from: progress.from, most, wait: Duration::ZERO };
            let piece = match self.unless_gone(relay.ask(question)).await? {
                Ok(piece) if !piece.absent => piece,
                Ok(_) => return Ok(Asked::Elsewhere),
                Err(Away) => {
                    self.unless_gone(relay.wait()).await?;
                    return Ok(Asked::Elsewhere);
                }
            };
            let (ended, end, written) = (piece.ended, piece.end(), piece.written);
            let is_empty = piece.data.is_empty();
            self.pass(piece, progress).await?;
            if ended {
                return Ok(Asked::Ended);
            }
            if !self.follow {
                progress.until.get_or_insert(written);
                if is_empty {
                    return Ok(Asked::Ended);
                }
            } else if end >= written {
                relay.go_on(end);
            }
        }
    }

    /// Passes on a piece of a node.
    async fn pass(&self, piece: Piece, progress: &mut Progress) -> Result<(), End> {
        let end = piece.end();
        let (left_out, is_new) = match progress.from {
            From::Offset(place) => (piece.begin.saturating_sub(place), false),
            From::Lines { .. } => (0, true),
        };
        // After a power cut of its host, a node may have less than it had.
        let end = if let From::Offset(place) = progress.from { end.max(place) } else { end };
        progress.from = From::Offset(end);
        // Whoever asked for some lines is told where he is, so that he can go on from there.
        if piece.data.is_empty() && left_out == 0 && !is_new {
            return Ok(());
        }
        let data = piece.data;
        self.send(v1::TailLogsResponse { data, offset: end, left_out, ..Default::default() }).await
    }

    async fn stored(&self) -> Result<Option<ArtifactRow>, Status> {
        let LogKey { run, role } = self.key();
        self.context.database("artifact", self.context.store.artifact(run, role, LOG)).await
    }

    /// The run as it is now.
    async fn look(&self) -> Result<RunRow, Status> {
        let id = self.run.id.to_string();
        let found = self.context.store.runs_by_prefix(&id, None, None);
        let rows = self.context.database("runs_by_prefix", found).await?;
        let row = rows.into_iter().find(|row| row.role == self.run.role);
        Ok(row.unwrap_or_else(|| self.run.clone()))
    }

    async fn send_stored(&self, row: &ArtifactRow, from: From) -> Result<(), End> {
        if let Some(refusal) = refuse::expired(row) {
            return Err(refusal.into());
        }
        let applied = self.context.applied();
        let settings = &applied.testbed.config.artifacts;
        let store = self.context.uploads.store_of(row, settings).map_err(refuse::upload)?;
        let place = match from {
            From::Offset(place) => place,
            From::Lines { .. } if row.size == 0 => 0,
            From::Lines { .. } => {
                let file = store.get(&row.path, 0).await.map_err(refuse::object)?;
                self.unless_gone(stored::find(file, from)).await?.map_err(refuse::object)?
            }
        };
        if row.size == 0 {
            return Ok(());
        }
        let file = store.get(&row.path, 0).await.map_err(refuse::object)?;
        let mut next = Some(place).filter(|_| matches!(from, From::Offset(_)));
        let mut parts = stored::Parts::new(file, place);
        while let Some(part) = parts.next().await.map_err(refuse::object)? {
            let left_out = next.map_or(0, |next| part.begin.saturating_sub(next));
            next = Some(part.end);
            self.send(answer(part, left_out)).await?;
        }
        Ok(())
    }

    /// Says why nothing comes, once.
    async fn tell(&self, why: String, told: &mut String) -> Result<(), End> {
        if *told == why {
            return Ok(());
        }
        told.clone_from(&why);
        self.send(v1::TailLogsResponse { waiting: why, ..Default::default() }).await
    }

    async fn send(&self, answer: v1::TailLogsResponse) -> Result<(), End> {
        self.answers.send(Ok(answer)).await.map_err(|_| End::Gone)
    }

    /// Does something for as long as somebody listens.
    async fn unless_gone<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::select! {
            // Cancel-safe: nobody wants what comes of it.
            () = self.answers.closed() => Err(End::Gone),
            done = work => Ok(done),
        }
    }

    fn why_nothing(&self, run: &RunRow) -> String {
        let RunRow { id, node, .. } = run;
        let phase = run.state.phase;
        let row = self.context.heartbeats.get(node);
        let last_seen = row.map(|row| row.last_seen);
        let pace = self.context.heartbeats.pace(&self.context.applied());
        match (Liveness::of(last_seen, &pace, clock::now()), last_seen) {
            (Liveness::Online, _) if phase == Phase::Deploying => {
                format!("run {id} is {phase}: it has not begun, and has no log yet")
            }
            (Liveness::Online, _) => {
                format!("`{node}` does not send the log of run {id}: its agent is busy, or older than this")
            }
            (_, Some(at)) => format!(
                "the agent of `{node}` is not heard of since {}: what it has of the log comes when it is back",
                at.format("%Y-%m-%dT%H:%M:%SZ")
            ),
            (_, None) => format!("the agent of `{node}` was not heard of yet"),
        }
    }
}

fn answer(part: stored::Part, left_out: u64) -> v1::TailLogsResponse {
    let stored::Part { end, data, plain, .. } = part;
    let data: Bytes = data;
    v1::TailLogsResponse { data, offset: end, left_out, plain, ..Default::default() }
}

fn no_log(run: &RunRow) -> String {
    let RunRow { id, role, state, .. } = run;
    let reason = state.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let message = if state.message.is_empty() { String::new() } else { format!(": {}", state.message) };
    let whose = if *role == almanac_schemas::RunRole::Server { "no log of its server" } else { "no log" };
    format!("run {id} ended {}{reason} and left {whose}{message}", state.phase)
}
