//! Putting the database right where it differs from the commit in force.

use std::sync::Arc;

use almanac_validate::{plan::Plan, words::counted};
use chrono::{DateTime, Utc};

use super::{Reconciler, RoundError, round::same_tree, settle::new_sync};
use crate::{
    clock,
    source::{LookError, Target},
    store::{SyncCause, SyncRow},
};

impl Reconciler {
    /// Compares the database with the commit that is in force, and puts right what differs. Says what
    /// was put right.
    ///
    /// # Errors
    ///
    /// When the repository or the database could not be used; then nothing changed.
    pub async fn put_right(&mut self, now: DateTime<Utc>) -> Result<Option<SyncRow>, RoundError> {
        self.refresh().await?;
        let base = self.base().await?;
        if self.store.intent().await?.at(now).suspended.is_some() {
            return Ok(None);
        }
        let Some(in_force) = self.store.applied_sync().await? else { return Ok(None) };
        let recorded = in_force.commit;
        let target = Target::Commit(recorded.id.clone());
        let commit = self.blocking(move |repository| repository.find(&target)).await??;
        // Another folder of it is meant now. That is for a round to judge, whose guards hold.
        if !same_tree(&recorded, &commit) {
            return Ok(None);
        }
        let read = self.blocking(move |repository| {
            let tree = repository.read(commit)?;
            let report = repository.check(&tree, &[], now);
            Ok::<_, LookError>((report.testbed().map(Arc::clone), tree.commit))
        });
        // What was good when it was put in force may have become bad by a newer version's rules. That is
        // no drift, and what is in force stays.
        let (Some(testbed), commit) = read.await?? else {
            tracing::warn!(
                "the commit in force has errors by this version's rules; nothing is compared with it"
            );
            return Ok(None);
        };
        let mut stored = self.store.load().await?;
        let restored = stored.applied.raise(&self.applied.borrow());
        let plan = Plan::between(&stored.applied.testbed, &testbed);
        let ended_at = clock::now();
        let mut next = stored.applied.next_with(&testbed, &plan, &stored.lost, &commit.id, ended_at);
        next.gone.extend(stored.strays);
        next.restored = restored.into_iter().filter(|node| testbed.nodes.contains_key(node)).collect();
        next.config = stored.config_unreadable;
        if plan.is_empty() && next.differing() == 0 {
            return Ok(None);
        }
        let counts = plan.counts();
        let mut sync = SyncRow {
            cause: SyncCause::Drift,
            message: format!(
                "the database differed from the commit in force, and was put right: {}, and {} of assignments, generations or settings",
                plan.summary(),
                counted(next.differing(), "row"),
            ),
            added: counts.added,
            changed: counts.changed,
            removed: counts.removed,
            ..new_sync(commit, now, ended_at)
        };
        sync.id = self.put_in_force(&sync, &[], &plan, next, base).await?;
        Ok(Some(sync))
    }
}
