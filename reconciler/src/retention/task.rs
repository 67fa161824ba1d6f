//! The task: when it is looked.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    applied::Applied, artifacts::Uploads, causes::chain, clock, lead::Leadership, metrics::Metrics,
    store::Store,
};

use super::Expire;

/// How often it is looked when nothing changes. A retention is days and months: nobody misses ten minutes of it.
const INTERVAL: Duration = Duration::from_secs(600);

/// The task that removes files whose retention is over, where this reconciler leads, and what is left of uploads that
/// nobody goes on with. It ends when `stop` is cancelled.
#[derive(Debug)]
pub struct Retention {
    expire: Expire,
    uploads: Uploads,
    metrics: Metrics,
    applied: watch::Receiver<Arc<Applied>>,
    leadership: watch::Receiver<Leadership>,
    stop: CancellationToken,
}

impl Retention {
    /// Prepares the task.
    pub fn new(
        store: Store,
        uploads: Uploads,
        metrics: Metrics,
        applied: watch::Receiver<Arc<Applied>>,
        leadership: watch::Receiver<Leadership>,
        stop: CancellationToken,
    ) -> Self {
        let expire = Expire::new(store, uploads.clone(), metrics.clone());
        Self { expire, uploads, metrics, applied, leadership, stop }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            // Cancel-safe: each change of the database is whole, and what was removed without a record is removed again.
            let again_at = tokio::select! {
                () = stop.cancelled() => return,
                again_at = self.look(clock::now()) => again_at,
            };
            let wait = again_at.and_then(|at| (at - clock::now()).to_std().ok());
            // Cancel-safe: waiting holds nothing, and a change that was not seen is seen the next time.
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.applied.changed() => if changed.is_err() { return },
                changed = self.leadership.changed() => if changed.is_err() { return },
                () = sleep(wait.map_or(INTERVAL, |wait| wait.min(INTERVAL))) => {}
            }
        }
    }

    /// Looks, and says when to look again at the latest.
    async fn look(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let applied = Arc::clone(&self.applied.borrow_and_update());
        let leads = self.leadership.borrow_and_update().leads();
        let settings = &applied.testbed.config.artifacts;
        match self.uploads.forget_stale(settings, now, leads).await {
            Ok(forgotten) => self.metrics.uploads_forgotten(forgotten),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "cannot remove uploads that nobody goes on with; trying again later");
            }
        }
        // Before the first commit is in force, nobody has said how long anything is kept.
        if !leads || applied.sync.is_none() {
            return None;
        }
        match self.expire.look(settings, now).await {
            Ok(looked) => looked.again_at,
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "cannot look for files whose retention is over; trying again later");
                None
            }
        }
    }
}
