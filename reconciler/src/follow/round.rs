//! A round and a comparison, for as long as this reconciler leads, and what is kept of how they went.

use std::{future::Future, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::Instrument;

use super::{Answer, Follow, Looked};
use crate::{
    causes::chain,
    clock,
    conditions::{self, Condition, Standing},
    intent::Intent,
    lead::Leadership,
    metrics::RoundOutcome,
    store::{ConditionRow, LookRow, Store, StoreError, SyncOutcome},
    surroundings::standing,
    sync::{News, Reconciler, Round, RoundError},
};

/// How long the database may take for a few rows. Whatever it is that makes it take longer, a task must not wait
/// for it for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a round begins anew because somebody else was quicker.
const ATTEMPTS: usize = 3;

impl Follow {
    /// Runs a round, and keeps how it went.
    pub(super) async fn round(&mut self) -> Answer {
        let (now, begun) = (clock::now(), Instant::now());
        // What is asked from here on is answered by the next round.
        let asked = within(&self.store, self.store.asked()).await.unwrap_or(0);
        let mut led = self.leadership.clone();
        // Cancel-safe: a round may be given up at any time, and `deposed` only looks.
        let result = tokio::select! {
            result = rounds(&mut self.reconciler, now).instrument(tracing::info_span!("sync")) => result,
            // The database may be what does not answer, and the round would wait for it.
            () = deposed(&mut led) => Err(StoreError::Deposed.into()),
        };
        let (outcome, in_force) = measure(result.as_ref().ok());
        self.metrics.round(outcome, in_force, begun.elapsed());
        let error = result.as_ref().err().map(|error| chain(error));
        if matches!(result, Err(RoundError::Store(StoreError::Deposed))) {
            // How the leader's look went is the leader's to say.
            tracing::warn!("another reconciler leads now; what was decided here is not put in force");
        } else if result.is_err() && self.stop.is_cancelled() {
            // That this program stops says nothing about the repository.
            tracing::debug!(error, "a look was cut short");
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
        match within(&self.store, self.record(&look, now)).await {
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
        let mut conditions = conditions::repository(&standing, &before, now).to_vec();
        conditions.extend(self.unfetched(&before, now));
        let changed: Vec<Condition> =
            conditions::changed(&conditions, &before).into_iter().cloned().collect();
        let notices: Vec<_> =
            changed.iter().flat_map(|condition| self.announcer.of_condition(condition)).collect();
        let term = self.leadership.borrow().term();
        self.store.put_look(look, &changed, &notices, term, now).await?;
        Ok(intent)
    }

    /// What is new about what is fetched for nodes.
    fn unfetched(&self, before: &[ConditionRow], now: DateTime<Utc>) -> Option<Condition> {
        let applied = self.reconciler.applied().borrow().clone();
        // Before the first commit is in force, nobody has asked for anything.
        let declared = applied.sync.as_ref()?.at;
        let condition = standing::testbed(&applied.testbed, &self.surroundings.known(), declared);
        standing::news(condition, before, now)
    }

    /// Compares the database with the commit in force.
    pub(super) async fn put_right(&mut self) {
        let mut led = self.leadership.clone();
        // Cancel-safe: as with a round.
        let result = tokio::select! {
            result = self.reconciler.put_right(clock::now()) => result,
            () = deposed(&mut led) => Err(StoreError::Deposed.into()),
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
}

/// Waits until this reconciler leads no more. One that stops leads until its round is over.
async fn deposed(led: &mut watch::Receiver<Leadership>) {
    if led.wait_for(|leadership| !leadership.leads()).await.is_err() {
        std::future::pending::<()>().await;
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

pub(super) async fn within<T>(
    store: &Store,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(PATIENCE, store.unless_lost(work)).await?
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
