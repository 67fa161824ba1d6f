//! The task: what it waits for, and what it does then.

use std::{path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Follower, Intervals,
    asking::{self, ASKING, Ask, Found, Waiting},
    standby,
};
use crate::{
    backoff::{Backoff, random_share},
    causes::chain,
    clock,
    hear::Ears,
    lead::Leadership,
    metrics::Metrics,
    notify::Announcer,
    source::ReferenceWatch,
    store::{LookRow, Store},
    surroundings::Surroundings,
    sync::Reconciler,
};

/// A push touches several files in a row. A round begins when they have been quiet for so long.
const QUIET: Duration = Duration::from_millis(5);

/// When to look again after looks that failed.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(300) };

/// The task. It ends when `stop` is cancelled, after the round that is under way.
pub struct Follow {
    pub(super) reconciler: Reconciler,
    pub(super) store: Store,
    pub(super) announcer: Announcer,
    pub(super) surroundings: Surroundings,
    asked: mpsc::Receiver<Ask>,
    ears: Arc<Ears>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) status: watch::Sender<LookRow>,
    nudged: Arc<Notify>,
    pub(super) intervals: Intervals,
    pub(super) metrics: Metrics,
    /// When the next suspension or pin ends by itself.
    pub(super) expiry: Option<DateTime<Utc>>,
    pub(super) stop: CancellationToken,
    /// Of a local repository.
    watch: Option<ReferenceWatch>,
    /// When to look next, though nothing asks for it.
    poll: Instant,
    /// How many rounds failed in a row.
    failures: u32,
}

/// What the task is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What runs rounds.
    pub reconciler: Reconciler,
    /// The database.
    pub store: Store,
    /// What writes notices.
    pub announcer: Announcer,
    /// What was fetched for nodes.
    pub surroundings: Surroundings,
    /// The folder of a local repository.
    pub watched: Option<&'a Path>,
    /// How often things are looked at.
    pub intervals: Intervals,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// What other reconcilers say.
    pub ears: Arc<Ears>,
    /// What is measured.
    pub metrics: Metrics,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// What the task does next.
enum Wake {
    Round,
    Find(String, oneshot::Sender<Found>),
    Drift,
    Refresh,
    Again,
    Stop,
}

impl Follow {
    /// Prepares the task.
    pub fn new(parts: Parts<'_>) -> (Self, Follower) {
        let Parts {
            reconciler,
            store,
            announcer,
            surroundings,
            watched,
            intervals,
            leadership,
            ears,
            metrics,
            stop,
        } = parts;
        let (ask, asked) = mpsc::channel(ASKING);
        let (status, status_seen) = watch::channel(LookRow::default());
        let nudged = Arc::new(Notify::new());
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
            surroundings,
            asked,
            ears,
            leadership,
            status,
            watch: watched.map(|folder| ReferenceWatch::new(folder, Arc::clone(&nudged))),
            nudged,
            intervals,
            metrics,
            expiry: None,
            stop,
            poll: Instant::now(),
            failures: 0,
        };
        (follow, follower)
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let mut drift = ticks(self.intervals.drift);
        let mut answer = ticks(standby::ANSWER);
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
                self.wait(leads, &mut waiting, &mut drift, &mut answer).await
            };
            match wake {
                Wake::Stop => return,
                Wake::Again => {}
                Wake::Find(prefix, answer) => self.find(prefix, answer).await,
                Wake::Refresh => {
                    self.refresh().await;
                    // A leader that hears of its own look still looks again when it has to.
                    if !leads {
                        self.poll = Instant::now() + self.intervals.poll;
                    }
                    self.answer(&mut waiting).await;
                }
                Wake::Drift => self.put_right().await,
                Wake::Round if !leads => self.ask_leader(&mut waiting).await,
                Wake::Round => self.look(&mut waiting).await,
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait(
        &mut self,
        leads: bool,
        waiting: &mut Vec<Waiting>,
        drift: &mut Interval,
        answer: &mut Interval,
    ) -> Wake {
        // Every arm is cancel-safe: a cancelled `recv` takes nothing, `Notify` keeps its permit, a tick that was not
        // taken comes again, the instant to sleep until stays what it is, a wait for an expiry begins anew, `changed`
        // marks nothing as seen before it returns, and a cancelled token stays cancelled.
        tokio::select! {
            () = self.stop.cancelled() => Wake::Stop,
            changed = self.leadership.changed() => match changed {
                Ok(()) => Wake::Again,
                Err(_) => Wake::Stop,
            },
            () = sleep_until(self.poll) => if leads { Wake::Round } else { Wake::Refresh },
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
                wait_for_quiet(&self.nudged).await;
                Wake::Round
            }
            // Only the leader looks, and whoever comes to lead does so anyway.
            () = self.ears.nudge.notified() => if leads { Wake::Round } else { Wake::Again },
            () = self.ears.news.notified() => Wake::Refresh,
        }
    }

    /// Runs a round, and answers those who wait for one.
    async fn look(&mut self, waiting: &mut Vec<Waiting>) {
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
        self.failures = if answer.is_err() { self.failures.saturating_add(1) } else { 0 };
        // Who asks or nudges meanwhile is not made to wait for this.
        let wait = match self.failures {
            0 => self.intervals.poll,
            failures => BACKOFF.wait(failures, random_share()),
        };
        self.poll = Instant::now() + wait;
        for Waiting { answer: asking, .. } in waiting.drain(..) {
            asking::tell(asking, answer.clone());
        }
    }

    async fn find(&mut self, prefix: String, answer: oneshot::Sender<Found>) {
        let found = self.reconciler.find(prefix).await;
        asking::tell(answer, found);
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn wait_for_quiet(nudged: &Notify) {
    let begun = Instant::now();
    // A repository that never rests is looked at all the same.
    while begun.elapsed() < QUIET * 10 {
        // Cancel-safe: a `Notify` that was not waited for keeps its permit, a sleep loses nothing.
        tokio::select! {
            () = nudged.notified() => {}
            () = sleep(QUIET) => return,
        }
    }
}

/// Waits until an instant of the clock on the wall; for ever when there is none.
async fn expired(at: Option<DateTime<Utc>>) {
    match at {
        // One that is past is over.
        Some(at) => sleep((at - clock::now()).to_std().unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}
