//! The task that fetches where this reconciler leads, and reads what the leader fetched where it does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    FetchRow, Source, Surroundings,
    fetch::{Fetched, Fetcher},
    known::Content,
    schedule::{self, Due, Outcome, Rests},
    source::{self, Wanted},
};
use crate::{
    applied::Applied, backoff::random_share, causes::chain, clock, hear::Ears, lead::Leadership,
    metrics::Metrics, secret::Secret, store::Store,
};

/// How often it is looked although nothing is due: a key may have been exchanged.
const LOOK: Duration = Duration::from_secs(60);

/// How soon what the database did not take is written again.
const REWRITE: Duration = Duration::from_secs(5);

/// What the task works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// What was fetched.
    pub surroundings: Surroundings,
    /// What is in force.
    pub applied: watch::Receiver<Arc<Applied>>,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// What other reconcilers say.
    pub ears: Arc<Ears>,
    /// What is measured.
    pub metrics: Metrics,
    /// The end.
    pub stop: CancellationToken,
}

/// The task. It ends when `stop` is cancelled; what it was at is fetched again.
#[derive(Debug)]
pub struct Fetching {
    parts: Parts,
    fetcher: Fetcher,
    rests: Rests,
    /// The keys that were used, to see when one is exchanged.
    keys: BTreeMap<String, Option<Secret>>,
    under_way: BTreeMap<Source, UnderWay>,
    tasks: JoinSet<Ended>,
    /// What the database does not have yet.
    unwritten: BTreeMap<Source, Option<Bytes>>,
    forgotten: BTreeSet<Source>,
}

#[derive(Debug)]
struct UnderWay {
    wanted: Wanted,
    task: AbortHandle,
}

#[derive(Debug)]
struct Ended {
    source: Source,
    wanted: Wanted,
    fetched: Fetched,
}

impl Fetching {
    /// Prepares the task.
    ///
    /// # Errors
    ///
    /// When there is no HTTP client.
    pub fn new(parts: Parts) -> Result<Self, reqwest::Error> {
        Ok(Self {
            parts,
            fetcher: Fetcher::new()?,
            rests: Rests::default(),
            keys: BTreeMap::new(),
            under_way: BTreeMap::new(),
            tasks: JoinSet::new(),
            unwritten: BTreeMap::new(),
            forgotten: BTreeSet::new(),
        })
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let (stop, ears) = (self.parts.stop.clone(), Arc::clone(&self.parts.ears));
        // One that begins to lead may have missed the last word of the one before it.
        let mut is_stale = true;
        loop {
            // Cancel-safe: what was not read or written is read or written after the next start.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.settle(&mut is_stale) => {}
            }
            let wait = if is_stale { REWRITE } else { self.look(clock::now()) };
            // Cancel-safe: a change that was not seen is seen the next time, a task that was not taken ends only once
            // it is, and waiting holds nothing.
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.parts.applied.changed() => {
                    if changed.is_err() {
                        return stop.cancelled().await;
                    }
                    self.look_at_files();
                }
                changed = self.parts.leadership.changed() => {
                    if changed.is_err() {
                        return stop.cancelled().await;
                    }
                    is_stale = true;
                }
                () = ears.surroundings.notified() => is_stale |= !self.leads(),
                Some(ended) = self.tasks.join_next_with_id() => self.take(ended, clock::now()),
                () = sleep(wait) => {}
            }
        }
    }

    fn leads(&self) -> bool {
        self.parts.leadership.borrow().leads()
    }

    /// Reads what others fetched, or writes what was fetched here.
    async fn settle(&mut self, is_stale: &mut bool) {
        let Parts { store, surroundings, .. } = &self.parts;
        if *is_stale {
            match store.unless_lost(surroundings.refresh(store)).await {
                Ok(()) => *is_stale = false,
                Err(error) => {
                    tracing::debug!(
                        error = chain(&error),
                        "cannot read what was fetched for nodes; trying again"
                    );
                }
            }
            return;
        }
        let known = surroundings.known();
        let mut failed = None;
        for source in self.forgotten.clone() {
            match store.unless_lost(store.forget_fetch(source)).await {
                Ok(()) => drop(self.forgotten.remove(&source)),
                Err(error) => failed = Some(error),
            }
        }
        for (source, content) in self.unwritten.clone() {
            let Some(row) = known.rows.get(&source) else {
                self.unwritten.remove(&source);
                continue;
            };
            match store.unless_lost(store.put_fetch(row, content.as_deref())).await {
                Ok(()) => drop(self.unwritten.remove(&source)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            tracing::debug!(error = chain(&error), "cannot keep what was fetched for nodes; trying again");
        }
    }

    /// Starts what is due, and says how long to wait at most.
    fn look(&mut self, now: DateTime<Utc>) -> Duration {
        let applied = Arc::clone(&self.parts.applied.borrow_and_update());
        // Before the first commit is in force, nobody has said what is wanted.
        if !self.leads() || applied.sync.is_none() {
            self.give_up(|_, _| true);
            self.unwritten.clear();
            self.forgotten.clear();
            return LOOK;
        }
        let wanted = source::wanted(&applied.testbed);
        self.give_up(|source, under_way| wanted.get(source) != Some(&under_way.wanted));
        self.exchange_keys(&wanted, now);
        let known = self.parts.surroundings.known();
        let under_way = self.under_way.keys().copied().collect();
        let Due { start, forget, again_at } =
            schedule::due(&wanted, &known.rows, &self.rests, &under_way, now);
        self.forget(&forget);
        for source in start {
            let Some(wanted) = wanted.get(&source) else { continue };
            let same = known.rows.get(&source).filter(|row| row.origin == wanted.origin());
            // Without what it is about, it would be kept for unchanged.
            let same = same.filter(|_| known.contents.contains_key(&source));
            self.start(source, wanted.clone(), same);
        }
        let wait = again_at.and_then(|at| (at - now).to_std().ok()).unwrap_or(LOOK).min(LOOK);
        if self.unwritten.is_empty() && self.forgotten.is_empty() { wait } else { wait.min(REWRITE) }
    }

    fn start(&mut self, source: Source, wanted: Wanted, same: Option<&FetchRow>) {
        let key = match &wanted {
            Wanted::Weather { key, .. } => Some(key.read()),
            Wanted::Url(_) | Wanted::File(_) => None,
        };
        if let Some(key) = &key {
            self.keys.insert(wanted.origin(), key.as_ref().ok().cloned());
        }
        let (fetcher, validator) =
            (self.fetcher.clone(), same.map(|row| row.validator.clone()).unwrap_or_default());
        let asked = wanted.clone();
        let task = self.tasks.spawn(async move {
            let fetched = fetcher.fetch(source, &asked, key, &validator).await;
            Ended { source, wanted: asked, fetched }
        });
        self.under_way.insert(source, UnderWay { wanted, task });
    }

    /// An attempt has ended.
    fn take(&mut self, ended: Result<(Id, Ended), JoinError>, now: DateTime<Utc>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(source) =
            self.under_way.iter().find(|(_, it)| it.task.id() == id).map(|(source, _)| *source)
        else {
            // It was given up.
            return;
        };
        self.under_way.remove(&source);
        self.forgotten.remove(&source);
        let Ok((_, Ended { source, wanted, fetched })) = ended else { return };
        let Fetched { outcome, content } = fetched;
        let share = random_share();
        let mut known = (*self.parts.surroundings.known()).clone();
        self.rests.learn(&wanted, &outcome, now, share);
        let row = schedule::after(known.rows.get(&source), source, &wanted, &outcome, now, share);
        self.tell(&known.rows, &row, &outcome);
        known.rows.insert(source, row);
        if let Some(bytes) = &content {
            known.contents.insert(source, Content { at: now, bytes: bytes.clone() });
        }
        let unwritten = self.unwritten.entry(source).or_default();
        // What is not written yet stays to be written when nothing newer came.
        *unwritten = content.or(unwritten.take());
        self.parts.surroundings.put(known);
    }

    /// Says in the log, once, that something cannot be fetched, and when it can be again.
    fn tell(&self, rows: &BTreeMap<Source, FetchRow>, row: &FetchRow, outcome: &Outcome) {
        let FetchRow { source, problem, .. } = row;
        self.parts.metrics.fetch(source.kind(), outcome.as_str());
        let failed_before = rows.get(source).is_some_and(|row| row.failures > 0);
        let is_alone = !rows.values().any(|other| other.failures > 0 && other.origin == row.origin);
        if row.failures == 1 && is_alone {
            tracing::warn!(%source, problem, "cannot fetch what nodes ask for; trying again");
        } else if row.failures > 0 {
            tracing::debug!(%source, problem, "cannot fetch what nodes ask for");
        } else if failed_before {
            tracing::info!(%source, "fetched again");
        } else {
            tracing::debug!(%source, outcome = outcome.as_str(), "fetched");
        }
    }

    /// Gives up what is under way and not wanted as it was begun.
    fn give_up(&mut self, is_over: impl Fn(&Source, &UnderWay) -> bool) {
        self.under_way.retain(|source, under_way| {
            let is_over = is_over(source, under_way);
            if is_over {
                under_way.task.abort();
            }
            !is_over
        });
    }

    fn forget(&mut self, sources: &[Source]) {
        if sources.is_empty() {
            return;
        }
        let mut known = (*self.parts.surroundings.known()).clone();
        for source in sources {
            known.rows.remove(source);
            known.contents.remove(source);
            self.unwritten.remove(source);
            self.forgotten.insert(*source);
        }
        self.parts.surroundings.put(known);
    }

    /// Looks at files now: whoever pushed a commit may have changed them, too.
    fn look_at_files(&mut self) {
        let wanted = source::wanted(&self.parts.applied.borrow().testbed);
        self.hasten(|source, _| matches!(wanted.get(source), Some(Wanted::File(_))), clock::now());
    }

    /// Tries at once what failed by another key than the one that there is now.
    fn exchange_keys(&mut self, wanted: &BTreeMap<Source, Wanted>, now: DateTime<Utc>) {
        let mut exchanged = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for wanted in wanted.values() {
            let Wanted::Weather { key, .. } = wanted else { continue };
            let origin = wanted.origin();
            if !seen.insert(origin.clone()) {
                continue;
            }
            let key = key.read().ok();
            if key.is_some() && self.keys.get(&origin).is_some_and(|used| *used != key) {
                self.keys.insert(origin.clone(), key);
                exchanged.insert(origin);
            }
        }
        if exchanged.is_empty() {
            return;
        }
        self.rests.clear();
        self.hasten(|_, row| row.failures > 0 && exchanged.contains(&row.origin), now);
    }

    fn hasten(&mut self, which: impl Fn(&Source, &FetchRow) -> bool, now: DateTime<Utc>) {
        let mut known = (*self.parts.surroundings.known()).clone();
        for (source, row) in &mut known.rows {
            if which(source, row) {
                row.again_at = row.again_at.min(now);
            }
        }
        self.parts.surroundings.put(known);
    }
}
