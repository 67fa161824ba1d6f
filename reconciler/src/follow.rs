//! The task that runs rounds: at an interval, when the repository changed, and when somebody asks.

use std::{path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use notify::{RecursiveMode, Watcher};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    clock,
    metrics::{Metrics, RoundOutcome},
    store::{SyncOutcome, SyncRow},
    sync::{News, Reconciler, Round},
};

/// How many callers may wait for a round at a time. Each is a person; more than this is an accident,
/// and they are told to try again.
pub const ASKING: usize = 64;

/// A push touches several files in a row. A round begins when they have been quiet for so long.
const QUIET: Duration = Duration::from_millis(20);

/// What came of a round that somebody asked for: the sync, or why there is none.
pub type Answer = Result<SyncRow, String>;

/// How the last look went.
#[derive(Debug, Clone, Default)]
pub struct LookStatus {
    /// When it was; none before the first.
    pub at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The end that others hold.
#[derive(Debug, Clone)]
pub struct Follower {
    ask: mpsc::Sender<oneshot::Sender<Answer>>,
    status: watch::Receiver<LookStatus>,
}

/// Why a round cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskError {
    /// Too many wait already.
    Busy,
    /// The task is stopping.
    Stopping,
}

impl Follower {
    /// Runs a round now, or joins the one that begins next, and waits for it.
    ///
    /// # Errors
    ///
    /// When too many wait already, or the task is stopping.
    pub async fn sync_now(&self) -> Result<Answer, AskError> {
        let (answer, answered) = oneshot::channel();
        self.ask.try_send(answer).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::Stopping,
        })?;
        answered.await.map_err(|_| AskError::Stopping)
    }

    /// How many wait for a round to begin.
    pub fn waiting(&self) -> usize {
        self.ask.max_capacity() - self.ask.capacity()
    }

    /// How the last look went.
    pub fn status(&self) -> LookStatus {
        self.status.borrow().clone()
    }
}

/// The task. It ends when `stop` is cancelled, after the round that is under way.
pub struct Follow {
    reconciler: Reconciler,
    asked: mpsc::Receiver<oneshot::Sender<Answer>>,
    status: watch::Sender<LookStatus>,
    nudged: Arc<Notify>,
    poll: Duration,
    metrics: Metrics,
    stop: CancellationToken,
    /// Held so that the repository is watched for as long as the task lives.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Follow {
    /// Prepares the task. `watched` is the folder of a local repository.
    pub fn new(
        reconciler: Reconciler,
        watched: Option<&Path>,
        poll: Duration,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> (Self, Follower) {
        let (ask, asked) = mpsc::channel(ASKING);
        let (status, status_seen) = watch::channel(LookStatus::default());
        let nudged = Arc::new(Notify::new());
        let watcher = watched.and_then(|folder| match watch_references(folder, Arc::clone(&nudged)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "cannot watch the repository; pushes are noticed at the next poll");
                None
            }
        });
        let follow = Self { reconciler, asked, status, nudged, poll, metrics, stop, _watcher: watcher };
        (follow, Follower { ask, status: status_seen })
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let mut poll = interval(self.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            // Every arm is cancel-safe: a cancelled `recv` takes nothing, `Notify` keeps its permit,
            // a tick that was not taken comes again, and a cancelled token stays cancelled.
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = poll.tick() => {}
                asking = self.asked.recv() => match asking {
                    Some(asking) => waiting.push(asking),
                    None => return,
                },
                () = self.nudged.notified() => self.wait_for_quiet().await,
            }
            // Whoever asked before the round begins is answered by it.
            while let Ok(asking) = self.asked.try_recv() {
                waiting.push(asking);
            }
            let answer = self.round().await;
            for asking in waiting.drain(..) {
                // A caller who has gone away needs no answer.
                let _ = asking.send(answer.clone());
            }
        }
    }

    async fn wait_for_quiet(&self) {
        let begun = Instant::now();
        // A repository that never rests is looked at all the same.
        while begun.elapsed() < QUIET * 10 {
            // Cancel-safe: a `Notify` that was not waited for keeps its permit, a sleep loses nothing.
            tokio::select! {
                () = self.nudged.notified() => {}
                () = sleep(QUIET) => return,
            }
        }
    }

    async fn round(&mut self) -> Answer {
        let (now, begun) = (clock::now(), Instant::now());
        let result = self.reconciler.round(now).instrument(tracing::info_span!("sync")).await;
        let (outcome, in_force) = measure(result.as_ref().ok());
        self.metrics.round(outcome, in_force, begun.elapsed());
        let error = result.as_ref().err().map(|error| chain(error));
        if let Some(error) = &error
            && self.status.borrow().error.as_ref() != Some(error)
        {
            tracing::error!(%error, "the repository's state could not be put in force");
        }
        self.status.send_replace(LookStatus { at: Some(now), error: error.clone() });
        let round = match (result, error) {
            (Ok(round), _) => round,
            (Err(_), error) => return Err(error.unwrap_or_default()),
        };
        let commit = &round.sync.commit.id;
        match &round.news {
            None => tracing::debug!(commit, "nothing new"),
            Some(News::Applied(..)) => {
                tracing::info!(commit, sync = round.sync.id, "applied: {}", round.sync.message);
            }
            Some(News::Rejected(_)) => {
                tracing::warn!(commit, sync = round.sync.id, "rejected: {}", round.sync.message);
            }
        }
        Ok(round.sync)
    }
}

/// What a round is measured as, and whether the head of the branch is in force after it.
fn measure(round: Option<&Round>) -> (RoundOutcome, bool) {
    let Some(round) = round else { return (RoundOutcome::Failed, false) };
    let outcome = match round.news {
        Some(News::Applied(_)) => RoundOutcome::Applied,
        Some(News::Rejected(_)) => RoundOutcome::Rejected,
        None => RoundOutcome::Unchanged,
    };
    (outcome, round.sync.outcome == SyncOutcome::Applied)
}

/// An error with all of its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Watches what moves when a branch does: the references, packed or not. The folder itself is
/// watched without its objects, which are many and mean nothing by themselves.
fn watch_references(folder: &Path, nudged: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change; whatever else happened, a look is the answer.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            nudged.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    watcher.watch(&folder.join("refs"), RecursiveMode::Recursive)?;
    Ok(watcher)
}
