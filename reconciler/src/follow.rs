//! The task that runs rounds: at an interval, when the repository changed, when somebody asks, and for
//! as long as this reconciler leads.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    clock,
    conditions::{self, Condition, Standing},
    hear::Ears,
    intent::{Hold, Intent},
    lead::Leadership,
    metrics::{Metrics, RoundOutcome},
    notify::Announcer,
    source::{ReferenceWatch, backoff},
    store::{LookRow, Store, StoreError, SyncOutcome, SyncRow},
    sync::{News, Reconciler, Round, RoundError},
};

/// How many callers may wait for a round at a time. Each is a person; more than this is an accident,
/// and they are told to try again.
pub const ASKING: usize = 64;

/// After how many intervals without a look that went well what is known about the repository is stale.
pub const STALE_AFTER: i32 = 3;

/// A push touches several files in a row. A round begins when they have been quiet for so long.
const QUIET: Duration = Duration::from_millis(20);

/// How often one that does not lead looks for the answer that somebody waits for, should it not hear of it.
const ANSWER: Duration = Duration::from_secs(1);

/// How long a caller waits at most for another reconciler to look.
const LEADER: Duration = Duration::from_secs(20);

/// How long the database may take for a few rows. Whatever it is that makes it take longer, a task must not wait
/// for it for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a round begins anew because somebody else was quicker.
const ATTEMPTS: usize = 3;

/// What came of a round that somebody asked for, or why nothing did.
pub type Answer = Result<Looked, String>;

/// What came of a round.
#[derive(Debug, Clone)]
pub enum Looked {
    /// The sync of the commit that is to be in force.
    Sync(Box<SyncRow>),
    /// Nothing, since somebody wants the syncs to rest.
    Suspended(Hold),
}

/// What somebody asks for, and where the answer goes.
#[derive(Debug)]
enum Ask {
    Round(oneshot::Sender<Answer>),
    /// The whole hash of a commit of the repository, by the beginning of it.
    Find(String, oneshot::Sender<Result<String, String>>),
}

/// Somebody who waits for the answer of a round, and whom the leader's look answers where this one does not lead.
#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Answer>,
    since: Instant,
    /// The number of the question that was put to the leader.
    question: Option<i64>,
}

/// The end that others hold.
#[derive(Debug, Clone)]
pub struct Follower {
    ask: mpsc::Sender<Ask>,
    status: watch::Receiver<LookRow>,
    leadership: watch::Receiver<Leadership>,
    nudged: Arc<Notify>,
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
        self.ask(Ask::Round(answer))?;
        answered.await.map_err(|_| AskError::Stopping)
    }

    /// The whole hash of a commit of the repository, by the beginning of it; or why there is none.
    ///
    /// # Errors
    ///
    /// When too many wait already, or the task is stopping.
    pub async fn find(&self, prefix: String) -> Result<Result<String, String>, AskError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Find(prefix, answer))?;
        answered.await.map_err(|_| AskError::Stopping)
    }

    fn ask(&self, ask: Ask) -> Result<(), AskError> {
        self.ask.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::Stopping,
        })
    }

    /// Says that the repository may have changed. It is looked at soon.
    pub fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// How many wait for a round to begin.
    pub fn waiting(&self) -> usize {
        self.ask.max_capacity() - self.ask.capacity()
    }

    /// How the last look went.
    pub fn status(&self) -> LookRow {
        self.status.borrow().clone()
    }

    /// Whether this reconciler leads.
    pub fn leadership(&self) -> Leadership {
        *self.leadership.borrow()
    }
}

/// How often things are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// The repository, when nothing says that it changed.
    pub poll: Duration,
    /// The whole database, compared with the commit in force.
    pub drift: Duration,
}

impl Intervals {
    /// How long looks may fail before what is known is stale.
    pub fn stale_after(self) -> TimeDelta {
        TimeDelta::from_std(self.poll).unwrap_or(TimeDelta::MAX / STALE_AFTER) * STALE_AFTER
    }
}

/// The task. It ends when `stop` is cancelled, after the round that is under way.
pub struct Follow {
    reconciler: Reconciler,
    store: Store,
    announcer: Announcer,
    asked: mpsc::Receiver<Ask>,
    ears: Arc<Ears>,
    leadership: watch::Receiver<Leadership>,
    status: watch::Sender<LookRow>,
    nudged: Arc<Notify>,
    intervals: Intervals,
    metrics: Metrics,
    /// When the next suspension or pin ends by itself.
    expiry: Option<DateTime<Utc>>,
    stop: CancellationToken,
    /// Of a local repository.
    watch: Option<ReferenceWatch>,
}

/// What the task waits for.
enum Wake {
    Round,
    Find(String, oneshot::Sender<Result<String, String>>),
    Drift,
    Refresh,
    Stop,
}

impl Follow {
    /// Prepares the task. `watched` is the folder of a local repository.
    #[expect(clippy::too_many_arguments, reason = "each is a channel or a part of its own")]
    pub fn new(
        reconciler: Reconciler,
        store: Store,
        announcer: Announcer,
        watched: Option<&Path>,
        intervals: Intervals,
        leadership: watch::Receiver<Leadership>,
        ears: Arc<Ears>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> (Self, Follower) {
        let (ask, asked) = mpsc::channel(ASKING);
        let (status, status_seen) = watch::channel(LookRow::default());
        let nudged = Arc::new(Notify::new());
        let watch = watched.map(|folder| ReferenceWatch::new(folder, Arc::clone(&nudged)));
        let follower = Follower {
            ask,
            status: status_seen,
            leadership: leadership.clone(),
            nudged: Arc::clone(&nudged),
        };
        let follow = Self {
            reconciler: reconciler.with_announcer(announcer.clone()),
            store,
            announcer,
            asked,
            ears,
            leadership,
            status,
            nudged,
            intervals,
            metrics,
            expiry: None,
            stop,
            watch,
        };
        (follow, follower)
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let ticks = |every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut poll = Instant::now();
        let mut failures = 0_u32;
        let mut drift = ticks(self.intervals.drift);
        let mut answer = ticks(ANSWER);
        let mut waiting = Vec::new();
        let mut seen = None;
        match self.store.look().await {
            Ok(look) => _ = self.status.send_replace(look),
            Err(error) => tracing::warn!(error = chain(&error), "cannot read how the last look went"),
        }
        loop {
            let leadership = *self.leadership.borrow_and_update();
            self.reconciler.lead(leadership.term());
            let leads = leadership.leads();
            let before = seen.replace(leadership);
            let wake = if leads && before != Some(leadership) {
                // Nothing was looked at in this term, whatever else is to be done.
                Wake::Round
            } else {
                // Every arm is cancel-safe: a cancelled `recv` takes nothing, `Notify` keeps its permit, a tick
                // that was not taken comes again, the instant to sleep until stays what it is, a wait for an
                // expiry begins anew, `changed` marks nothing as seen before it returns, and a cancelled token
                // stays cancelled.
                tokio::select! {
                    () = self.stop.cancelled() => Wake::Stop,
                    changed = self.leadership.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => Wake::Stop,
                    },
                    () = sleep_until(poll) => if leads { Wake::Round } else { Wake::Refresh },
                    () = expired(self.expiry), if leads => Wake::Round,
                    _ = drift.tick(), if leads => Wake::Drift,
                    _ = answer.tick(), if !leads && !waiting.is_empty() => Wake::Refresh,
                    // Those who wait for the leader count as well.
                    asking = self.asked.recv(), if waiting.len() < ASKING => match asking {
                        Some(Ask::Round(answer)) => {
                            waiting.push(Waiting::now(answer));
                            Wake::Round
                        }
                        Some(Ask::Find(prefix, answer)) => Wake::Find(prefix, answer),
                        None => Wake::Stop,
                    },
                    () = self.nudged.notified() => {
                        self.wait_for_quiet().await;
                        Wake::Round
                    }
                    // Only the leader looks, and whoever comes to lead does so anyway.
                    () = self.ears.nudge.notified() => if leads { Wake::Round } else { continue },
                    () = self.ears.news.notified() => Wake::Refresh,
                }
            };
            match wake {
                Wake::Stop => return,
                Wake::Find(prefix, answer) => self.find(prefix, answer).await,
                Wake::Refresh => {
                    self.refresh().await;
                    poll = Instant::now() + self.intervals.poll;
                    self.answer(&mut waiting).await;
                }
                Wake::Drift => self.put_right().await,
                Wake::Round if !leads => self.ask_leader(&mut waiting).await,
                Wake::Round => {
                    // Whoever asked before the round begins is answered by it.
                    while let Ok(ask) = self.asked.try_recv() {
                        match ask {
                            Ask::Round(answer) => waiting.push(Waiting::now(answer)),
                            Ask::Find(prefix, answer) => self.find(prefix, answer).await,
                        }
                    }
                    let answer = self.round().await;
                    if let Some(watch) = &mut self.watch {
                        watch.renew();
                    }
                    failures = if answer.is_err() { failures.saturating_add(1) } else { 0 };
                    // Who asks or nudges meanwhile is not made to wait for this.
                    let wait = match failures {
                        0 => self.intervals.poll,
                        failures => backoff::wait(failures, random_share()),
                    };
                    poll = Instant::now() + wait;
                    for Waiting { answer: asking, .. } in waiting.drain(..) {
                        // A caller who has gone away needs no answer.
                        let _ = asking.send(answer.clone());
                    }
                }
            }
        }
    }

    /// Puts the question of those who wait here to the leader.
    async fn ask_leader(&self, waiting: &mut [Waiting]) {
        match within(self.store.ask()).await {
            Ok(question) => {
                for asking in waiting.iter_mut().filter(|asking| asking.question.is_none()) {
                    asking.question = Some(question);
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "cannot ask the leader to look"),
        }
    }

    /// Answers those whom the leader's look answers, and those who waited too long.
    async fn answer(&self, waiting: &mut Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let look = self.status.borrow().clone();
        let answered = |asking: &Waiting| asking.question.is_some_and(|question| question <= look.answers);
        let late = |asking: &Waiting| asking.since.elapsed() > LEADER;
        let said = match within(self.said(&look)).await {
            Ok(said) => said,
            Err(error) => Some(Err(chain(&error))),
        };
        for asking in std::mem::take(waiting) {
            // A caller who has gone away needs no answer.
            if let Some(said) = said.as_ref().filter(|_| answered(&asking)) {
                let _ = asking.answer.send(said.clone());
            } else if late(&asking) {
                let none = "no reconciler looked at the repository in time; does one lead?";
                let _ = asking.answer.send(Err(none.to_owned()));
            } else {
                waiting.push(asking);
            }
        }
    }

    /// What came of the leader's look.
    async fn said(&self, look: &LookRow) -> Result<Option<Answer>, StoreError> {
        if let Some(hold) = self.store.intent().await?.at(clock::now()).suspended {
            return Ok(Some(Ok(Looked::Suspended(hold))));
        }
        if let Some(error) = &look.error {
            return Ok(Some(Err(error.clone())));
        }
        Ok(self.store.latest_commit_sync().await?.map(|sync| Ok(Looked::Sync(Box::new(sync)))))
    }

    async fn find(&mut self, prefix: String, answer: oneshot::Sender<Result<String, String>>) {
        let found = self.reconciler.find(prefix).await.map_err(|error| chain(&error));
        // A caller who has gone away needs no answer.
        let _ = answer.send(found);
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
        // What is asked from here on is answered by the next round.
        let asked = within(self.store.asked()).await.unwrap_or(0);
        let mut led = self.leadership.clone();
        // Cancel-safe: a round may be given up at any time, and `wait_for` only looks.
        let result = tokio::select! {
            result = rounds(&mut self.reconciler, now).instrument(tracing::info_span!("sync")) => result,
            // The database may be what does not answer, and the round would wait for it.
            _ = led.wait_for(|leadership| !leadership.leads()) => Err(StoreError::Deposed.into()),
        };
        let (outcome, in_force) = measure(result.as_ref().ok());
        self.metrics.round(outcome, in_force, begun.elapsed());
        let error = result.as_ref().err().map(|error| chain(error));
        if matches!(result, Err(RoundError::Store(StoreError::Deposed))) {
            // How the leader's look went is the leader's to say.
            tracing::warn!("another reconciler leads now; what was decided here is not put in force");
        } else {
            self.looked(now, error.clone(), !matches!(result, Ok(Round::Suspended(_))), asked).await;
        }
        let round = match (result, error) {
            (Ok(round), _) => round,
            (Err(_), error) => return Err(error.unwrap_or_default()),
        };
        Ok(match round {
            Round::Unchanged(sync) => Looked::Sync(Box::new(sync)),
            Round::Suspended(hold) => Looked::Suspended(hold),
            Round::Recorded(sync, news) => {
                let commit = &sync.commit.id;
                match news {
                    News::Applied(_) => tracing::info!(commit, sync = sync.id, "applied: {}", sync.message),
                    News::Rejected(_) => tracing::warn!(commit, sync = sync.id, "rejected: {}", sync.message),
                    News::Waiting(_) => tracing::warn!(commit, sync = sync.id, "waiting: {}", sync.message),
                }
                Looked::Sync(Box::new(sync))
            }
        })
    }

    /// Keeps how a look went, and what changed by it.
    async fn looked(&mut self, now: DateTime<Utc>, error: Option<String>, really: bool, answers: i64) {
        let mut look = self.status.borrow().clone();
        look.answers = look.answers.max(answers);
        if let Some(error) = &error
            && look.error.as_ref() != Some(error)
        {
            tracing::error!(%error, "the repository's state could not be put in force");
        }
        if really {
            look.at = Some(now);
            if error.is_none() {
                look.succeeded_at = Some(now);
            }
            look.error = error;
        }
        match within(self.record(&look, now)).await {
            Ok(intent) => self.expiry = intent.expiry(),
            Err(error) => {
                // One that is past would be waited for again and again.
                self.expiry = None;
                tracing::warn!(error = chain(&error), "cannot record how the look went");
            }
        }
        self.status.send_replace(look);
    }

    async fn record(&self, look: &LookRow, now: DateTime<Utc>) -> Result<Intent, StoreError> {
        let intent = self.store.intent().await?.at(now);
        let latest = self.store.latest_commit_sync().await?;
        let standing = Standing {
            intent: &intent,
            latest: latest.as_ref(),
            look,
            stale_after: self.intervals.stale_after(),
        };
        let before = self.store.conditions().await?;
        let conditions = conditions::repository(&standing, &before, now);
        let changed: Vec<Condition> =
            conditions::changed(&conditions, &before).into_iter().cloned().collect();
        let notices: Vec<_> =
            changed.iter().flat_map(|condition| self.announcer.of_condition(condition)).collect();
        let term = self.leadership.borrow().term();
        self.store.put_look(look, &changed, &notices, term, now).await?;
        Ok(intent)
    }

    async fn put_right(&mut self) {
        let mut led = self.leadership.clone();
        // Cancel-safe: as with a round.
        let result = tokio::select! {
            result = self.reconciler.put_right(clock::now()) => result,
            _ = led.wait_for(|leadership| !leadership.leads()) => Err(StoreError::Deposed.into()),
        };
        match result {
            Ok(None) => {}
            Ok(Some(sync)) => tracing::warn!(sync = sync.id, "{}", sync.message),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(%error, "cannot compare the database with the commit in force");
            }
        }
    }

    /// Takes over what another reconciler did.
    async fn refresh(&mut self) {
        let look = async {
            self.reconciler.refresh().await?;
            self.store.look().await
        };
        match within(look).await {
            Ok(look) => _ = self.status.send_replace(look),
            Err(error) => tracing::warn!(error = chain(&error), "cannot see what the leader did"),
        }
    }
}

impl Waiting {
    fn now(answer: oneshot::Sender<Answer>) -> Self {
        Self { answer, since: Instant::now(), question: None }
    }
}

/// A round, and another one when somebody else was quicker.
async fn rounds(reconciler: &mut Reconciler, now: DateTime<Utc>) -> Result<Round, RoundError> {
    for _ in 1..ATTEMPTS {
        match reconciler.round(now).await {
            Err(RoundError::Store(StoreError::Outrun)) => {}
            result => return result,
        }
    }
    reconciler.round(now).await
}

async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, work).await?
}

/// Waits until an instant of the clock on the wall; for ever when there is none.
async fn expired(at: Option<DateTime<Utc>>) {
    match at {
        Some(at) => sleep((at - clock::now()).to_std().unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}

/// A number from 0 to 1. Each `RandomState` has keys of its own; jitter needs no better source.
fn random_share() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

/// What a round is measured as, and whether the head of the branch is in force after it, as far as it
/// says anything about that.
fn measure(round: Option<&Round>) -> (RoundOutcome, Option<bool>) {
    let Some(round) = round else { return (RoundOutcome::Failed, None) };
    let (outcome, sync) = match round {
        Round::Suspended(_) => return (RoundOutcome::Suspended, None),
        Round::Unchanged(sync) => (RoundOutcome::Unchanged, sync),
        Round::Recorded(sync, News::Applied(_)) => (RoundOutcome::Applied, sync),
        Round::Recorded(sync, News::Rejected(_)) => (RoundOutcome::Rejected, sync),
        Round::Recorded(sync, News::Waiting(_)) => (RoundOutcome::Waiting, sync),
    };
    (outcome, Some(sync.outcome == SyncOutcome::Applied))
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
