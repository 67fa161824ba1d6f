//! One look: what is due expires, and what has expired is removed from its store.

use std::{collections::BTreeMap, fmt, sync::Arc};

use almanac_schemas::config::ArtifactStore;
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};

use crate::{
    artifacts::{UploadError, Uploads},
    backoff::{Backoff, random_share},
    causes::chain,
    metrics::Metrics,
    store::{Removable, Store, StoreError},
};

use super::rule;

/// How many files one change is about: others who write wait for it.
const BATCH: u32 = 100;

/// How many files a store removes at a time: one of a cloud takes a round trip for each.
const REMOVING: usize = 8;

/// When a store is asked again that failed.
const BACKOFF: Backoff =
    Backoff { first: std::time::Duration::from_secs(30), most: std::time::Duration::from_secs(3_600) };

/// A step of a look that is over, for tests that end the program there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryStep {
    /// It is recorded that the time of some files is over.
    Expired,
    /// A store does not have some files any more.
    Removed,
    /// That is recorded.
    Recorded,
}

/// Looks for files whose time is over.
#[derive(Clone)]
pub struct Expire {
    store: Store,
    uploads: Uploads,
    metrics: Metrics,
    /// The stores that failed: how often in a row, and when they are asked again.
    failing: BTreeMap<String, (u32, DateTime<Utc>)>,
    watch: Arc<dyn Fn(ExpiryStep) + Send + Sync>,
}

/// What came of a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    /// How many files have expired.
    pub expired: u64,
    /// How many files were removed from their stores.
    pub removed: u64,
    /// When a store is to be asked again that failed.
    pub again_at: Option<DateTime<Utc>>,
}

impl Expire {
    /// Looks at a database and its stores.
    pub fn new(store: Store, uploads: Uploads, metrics: Metrics) -> Self {
        let watch = Arc::new(|step| tracing::trace!(?step, "a step of a look at retention is over"));
        Self { store, uploads, metrics, failing: BTreeMap::new(), watch }
    }

    /// Calls a function after each step.
    #[must_use]
    pub fn with_steps(mut self, watch: impl Fn(ExpiryStep) + Send + Sync + 'static) -> Self {
        self.watch = Arc::new(watch);
        self
    }

    /// Looks once, by the settings that are in force. It may be given up at any point, and repeated.
    ///
    /// # Errors
    ///
    /// When the database fails. A store that fails is no error: it is asked again later, and holds back no other.
    pub async fn look(&mut self, settings: &ArtifactStore, now: DateTime<Utc>) -> Result<Looked, StoreError> {
        let mut looked = Looked { expired: self.expire(settings, now).await?, ..Looked::default() };
        let stores = self.store.stores_with_expired().await?;
        self.failing.retain(|store, _| stores.contains(store));
        for store in stores {
            if self.failing.get(&store).is_none_or(|(_, again_at)| *again_at <= now) {
                looked.removed += self.remove(&store, settings, now).await?;
            }
        }
        looked.again_at = self.failing.values().map(|(_, again_at)| *again_at).min();
        if looked.expired + looked.removed > 0 {
            let Looked { expired, removed, .. } = looked;
            tracing::info!(expired, removed, "files of runs whose retention is over");
        }
        Ok(looked)
    }

    /// Finds whose time is over.
    async fn expire(&self, settings: &ArtifactStore, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut expired = 0;
        for row in self.store.retentions().await? {
            let job = &row.job;
            let declared = match row.declared {
                Ok(declared) => declared,
                // What cannot be read may well say that they are kept for years.
                Err(error) => {
                    tracing::warn!(%job, %error, "cannot read how long the files of a job are kept; they stay");
                    continue;
                }
            };
            let kept_for = rule::kept_for(declared, settings);
            let before = rule::stored_before(now, kept_for);
            loop {
                let (runs, files) = self.store.expire(job, before, kept_for, now, BATCH).await?;
                expired += files;
                if files > 0 {
                    (self.watch)(ExpiryStep::Expired);
                }
                // A look that was overtaken by somebody who keeps the runs finds none of them the next time.
                if runs == 0 {
                    break;
                }
            }
        }
        Ok(expired)
    }

    /// Removes what has expired from a store, until none of it goes any more.
    async fn remove(
        &mut self,
        store: &str,
        settings: &ArtifactStore,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        loop {
            let files = self.store.removable(store, BATCH).await?;
            if files.is_empty() {
                self.failing.remove(store);
                return Ok(count);
            }
            let (gone, failure) = self.remove_batch(store, settings, files).await;
            if !gone.is_empty() {
                (self.watch)(ExpiryStep::Removed);
                self.store.removed(&gone, now).await?;
                (self.watch)(ExpiryStep::Recorded);
                self.metrics.removed(gone.len() as u64, gone.iter().map(|file| file.size).sum());
                count += gone.len() as u64;
            }
            // Where only some stay, those behind them need not wait: one that is locked would hold up all that follows.
            if let Some(error) = failure
                && gone.is_empty()
            {
                self.metrics.removal_failed();
                let failures = self.failing.get(store).map_or(1, |(failures, _)| failures.saturating_add(1));
                let again_at = now + BACKOFF.wait(failures, random_share());
                self.failing.insert(store.to_owned(), (failures, again_at));
                let error = chain(&error);
                tracing::warn!(store, failures, error, "cannot remove expired files; trying again later");
                return Ok(count);
            }
        }
    }

    /// The files that are not in a store any more, and why others still are.
    async fn remove_batch(
        &self,
        store: &str,
        settings: &ArtifactStore,
        files: Vec<Removable>,
    ) -> (Vec<Removable>, Option<UploadError>) {
        let removing = files.into_iter().map(async |file| {
            let removed = self.uploads.remove(store, &file.path, settings).await;
            (file, removed)
        });
        let mut removing = stream::iter(removing).buffer_unordered(REMOVING);
        let (mut gone, mut failure) = (Vec::new(), None);
        while let Some((file, removed)) = removing.next().await {
            match removed {
                Ok(()) => gone.push(file),
                Err(error) => failure = Some(error),
            }
        }
        (gone, failure)
    }
}

impl fmt::Debug for Expire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expire").field("failing", &self.failing).finish_non_exhaustive()
    }
}
