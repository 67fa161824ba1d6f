//! What runs rounds: which commit is to be in force, and whether there is anything to find out about it.

use std::sync::{Arc, Mutex};

use almanac_validate::Moved;
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::{sync::watch, task::JoinError};

use super::{
    look::{There, look},
    settle::Decided,
};
use crate::{
    applied::Applied,
    intent::Hold,
    notify::Announcer,
    signatures::TrustedKey,
    source::{Commit, LookError, Repository, Target},
    step::{Step, Steps},
    store::{Base, Store, StoreError, SyncOutcome, SyncRow},
};

/// What brings the database to what the repository says. One at a time runs rounds.
#[derive(Debug)]
pub struct Reconciler {
    /// Rounds use it on a thread that may block.
    repository: Arc<Mutex<Repository>>,
    pub(super) store: Store,
    pub(super) applied: watch::Sender<Arc<Applied>>,
    pub(super) announcer: Announcer,
    /// Keys that may sign commits, whatever the repository declares.
    trusted: Arc<[TrustedKey]>,
    pub(super) steps: Steps,
    /// In which term this reconciler leads; absent where there is only one.
    term: Option<i64>,
    /// The commit that this program judged last.
    judged: Option<Judged>,
    /// Whether the settings in force could not be read, and those of a new testbed stand in their place.
    pub(super) unread: bool,
}

/// A commit that was judged. Another version of the program, another trusted key, or an admin who pins it may
/// be reason to judge otherwise; what was judged with the same eyes is not judged again.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    commit: String,
    pinned: bool,
    /// The times of moved runs, which it may have been in the way of.
    reserved: Vec<i64>,
}

/// What a round came to.
#[derive(Debug)]
pub enum Round {
    /// Nothing is new: the commit that is to be in force was looked at before.
    Unchanged(SyncRow),
    /// A sync was recorded.
    Recorded(SyncRow, News),
    /// Nothing was looked at, since somebody wants the syncs to rest.
    Suspended(Hold),
}

/// What a round recorded.
#[derive(Debug)]
pub enum News {
    /// The commit is in force now; the text lists what changed.
    Applied(String),
    /// The commit has errors and changed nothing; the text shows them.
    Rejected(String),
    /// The commit waits for a human's word and changed nothing; the text lists what it would change.
    Waiting(String),
}

/// Why a round came to nothing. What was in force still is.
#[derive(Debug, Error)]
pub enum RoundError {
    /// The commit could not be looked at.
    #[error("cannot look at the repository")]
    Look(#[from] LookError),
    /// The database refused.
    #[error("cannot record the sync")]
    Store(#[from] StoreError),
    /// The code that looked or checked panicked.
    #[error("checking the commit failed, which is a bug")]
    Panicked(#[source] JoinError),
    /// An earlier round panicked, and left the repository as nobody knows.
    #[error("an earlier round failed; restart the reconciler")]
    Gone,
    /// The settings in force are not known, and a commit cannot be judged by others.
    #[error(
        "the settings in force cannot be read from the database, nor made anew from the commit in force; run the version of this program that wrote them, or pin a commit"
    )]
    Unreadable,
}

impl Reconciler {
    /// A reconciler that starts from what is in force.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn new(repository: Repository, store: Store) -> Result<Self, StoreError> {
        let loaded = store.load().await?;
        let (applied, _) = watch::channel(Arc::new(loaded.applied));
        Ok(Self {
            repository: Arc::new(Mutex::new(repository)),
            store,
            applied,
            announcer: Announcer::default(),
            trusted: Arc::default(),
            steps: Steps::default(),
            term: None,
            judged: None,
            unread: loaded.config_unreadable,
        })
    }

    /// The same, with others to tell about its syncs.
    #[must_use]
    pub fn with_announcer(self, announcer: Announcer) -> Self {
        Self { announcer, ..self }
    }

    /// The same, with keys that may sign commits, whatever the repository declares.
    #[must_use]
    pub fn with_trusted(self, trusted: Vec<TrustedKey>) -> Self {
        Self { trusted: trusted.into(), ..self }
    }

    /// The same, with its steps watched.
    #[must_use]
    pub fn with_steps(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// What is in force, now and after every change.
    pub fn applied(&self) -> watch::Receiver<Arc<Applied>> {
        self.applied.subscribe()
    }

    /// Rounds from now on belong to a term of a leader.
    pub fn lead(&mut self, term: Option<i64>) {
        self.term = term;
    }

    /// One round. It may be given up at any time: what it did not commit did not happen, and what it did is
    /// taken over by the next one.
    ///
    /// # Errors
    ///
    /// When the repository or the database could not be used; then nothing changed.
    pub async fn round(&mut self, now: DateTime<Utc>) -> Result<Round, RoundError> {
        self.refresh().await?;
        if self.unread {
            self.put_right(now).await?;
        }
        let base = self.base().await?;
        let intent = self.store.intent().await?.at(now);
        if let Some(hold) = intent.suspended {
            return Ok(Round::Suspended(hold));
        }
        let pinned = intent.pinned;
        // By the settings of a new testbed, no commit would need a signature.
        if self.unread && pinned.is_none() {
            return Err(RoundError::Unreadable);
        }
        let target = pinned.as_ref().map_or(Target::Branch, |hold| Target::Commit(hold.commit.clone()));
        let latest = self.store.latest_commit_sync().await?;
        let find = move |repository: &mut Repository| {
            let head = repository.find(&target)?;
            if let Target::Commit(pinned) = &target {
                repository.keep("pinned", pinned);
            }
            Ok::<_, LookError>(head)
        };
        let head = self.blocking(find).await??;
        self.steps.over(Step::Looked);
        // Read after the base: what is reserved from then on is noticed by the transaction.
        let reserved = self.store.reservations().await?;
        let ids = reserved.iter().map(|row| row.id).collect();
        let judged = Judged { commit: head.id.clone(), pinned: pinned.is_some(), reserved: ids };
        let (again, before) = match latest {
            // Of the same commit, another folder may be meant than before.
            Some(sync) if sync.commit.id == head.id && same_tree(&sync.commit, &head) => (Some(sync), None),
            // A pinned commit lies wherever it lies; only what a branch lost is worth telling.
            Some(sync) if pinned.is_none() => (None, Some(sync.commit.id)),
            _ => (None, None),
        };
        let approved_by = match &again {
            Some(sync) if sync.outcome == SyncOutcome::Waiting => self.store.approver(sync.id).await?,
            _ => None,
        };
        let again = match again {
            Some(sync)
                if sync.outcome == SyncOutcome::Applied
                    || approved_by.is_none() && self.judged.as_ref() == Some(&judged) =>
            {
                return Ok(Round::Unchanged(sync));
            }
            again => again,
        };
        let in_force = Arc::clone(&self.applied.borrow());
        let there = Arc::clone(&in_force);
        // Whoever pins a commit is an admin, and means just that one.
        let trusted = pinned.is_none().then(|| Arc::clone(&self.trusted));
        let moved: Vec<Moved> = reserved.iter().map(|row| row.moved.clone()).collect();
        let look = self
            .blocking(move |repository| {
                let there = There { applied: &there, moved: &moved };
                look(repository, head, before, there, trusted.as_deref(), now)
            })
            .await??;
        self.steps.over(Step::Checked);
        let decided = Decided {
            in_force: &in_force,
            base,
            pinned: pinned.as_ref(),
            approved_by,
            again,
            reserved: &reserved,
        };
        let round = self.settle(look, decided, now).await?;
        self.judged = Some(judged);
        Ok(round)
    }

    /// The whole hash of a commit of the repository, by the beginning of it.
    ///
    /// # Errors
    ///
    /// When there is none, or several, or the repository could not be used.
    pub async fn find(&mut self, prefix: String) -> Result<String, RoundError> {
        Ok(self.blocking(move |repository| repository.resolve(&prefix)).await??)
    }

    /// What is decided from now on is decided on this.
    pub(super) async fn base(&self) -> Result<Base, StoreError> {
        let action = self.store.latest_action().await?;
        let latest = self.store.latest_sync().await?.map(|sync| sync.id);
        let reservation = self.store.latest_reservation().await?;
        let sync = self.applied.borrow().sync.as_ref().map(|sync| sync.id);
        Ok(Base { sync, latest, action, reservation, term: self.term })
    }

    /// Another process may have applied a commit to the same database.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn refresh(&mut self) -> Result<(), StoreError> {
        let there = self.store.applied_sync().await?.map(|sync| sync.id);
        let here = self.applied.borrow().sync.as_ref().map(|sync| sync.id);
        if there != here {
            let mut loaded = self.store.load().await?;
            let published = Arc::clone(&self.applied.borrow());
            // A backup that was put back: agents refuse what is older than what they have.
            if loaded.applied.epoch == published.epoch {
                loaded.applied.raise(&published);
            }
            self.unread = loaded.config_unreadable;
            self.applied.send_replace(Arc::new(loaded.applied));
        }
        Ok(())
    }

    /// Runs something that blocks with the repository, on a thread that may.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Repository) -> T + Send + 'static,
    ) -> Result<T, RoundError> {
        let repository = Arc::clone(&self.repository);
        let work = move || repository.lock().map(|mut repository| work(&mut repository)).ok();
        let result = tokio::task::spawn_blocking(work).await.map_err(RoundError::Panicked)?;
        result.ok_or(RoundError::Gone)
    }
}

/// Whether a commit was recorded with the tree that it has now. Versions that kept no trees are trusted.
pub(super) fn same_tree(recorded: &Commit, found: &Commit) -> bool {
    recorded.tree.is_empty() || recorded.tree == found.tree
}
