//! One round of reconciling: look at the branch, read its commit, check it, plan, and apply it or
//! record what is wrong with it.
//!
//! A round takes no input but the repository and the database. Running it twice is running it once.

use std::{path::Path, sync::Arc};

use almanac_validate::{
    Report, Severity,
    plan::Plan,
    render::human::{Style, human},
};
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::{sync::watch, task::JoinError};

use crate::{
    applied::{Applied, AppliedSync},
    clock,
    signatures::{self, TrustedKey},
    source::{LookError, Repository, Tree},
    store::{Apply, Store, StoreError, SyncOutcome, SyncRow},
};

/// What brings the database to what the repository says. One at a time runs rounds.
#[derive(Debug)]
pub struct Reconciler {
    /// Rounds lend it to a thread that may block; it is away only while a round runs.
    repository: Option<Repository>,
    store: Store,
    applied: watch::Sender<Arc<Applied>>,
    /// Keys that may sign commits, whatever the repository declares.
    trusted: Arc<[TrustedKey]>,
}

/// What a round came to.
#[derive(Debug)]
pub struct Round {
    /// The sync of the commit at the head of the branch, recorded now or earlier.
    pub sync: SyncRow,
    /// What is new, when this round recorded it.
    pub news: Option<News>,
}

/// What a round recorded.
#[derive(Debug)]
pub enum News {
    /// The commit is in force now; the text lists what changed.
    Applied(String),
    /// The commit has errors and changed nothing; the text shows them.
    Rejected(String),
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
    /// An earlier round panicked and took the repository with it.
    #[error("an earlier round failed; restart the reconciler")]
    Gone,
}

impl Reconciler {
    /// A reconciler that starts from what is in force.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn new(
        repository: Repository,
        store: Store,
        trusted: Vec<TrustedKey>,
    ) -> Result<Self, StoreError> {
        let applied = store.applied().await?;
        let (applied, _) = watch::channel(Arc::new(applied));
        Ok(Self { repository: Some(repository), store, applied, trusted: trusted.into() })
    }

    /// What is in force, now and after every change.
    pub fn applied(&self) -> watch::Receiver<Arc<Applied>> {
        self.applied.subscribe()
    }

    /// One round.
    ///
    /// # Errors
    ///
    /// When the repository or the database could not be used; then nothing changed.
    pub async fn round(&mut self, now: DateTime<Utc>) -> Result<Round, RoundError> {
        self.refresh().await?;
        let latest = self.store.latest_sync().await?;
        let before = latest.as_ref().map(|sync| sync.commit.id.clone());
        let (applied, trusted) = (Arc::clone(&self.applied.borrow()), Arc::clone(&self.trusted));
        let look =
            self.blocking(move |repository| look(repository, before, &applied, &trusted, now)).await??;
        let Look { tree, report, rewritten } = match (look, latest) {
            (Some(look), _) => look,
            (None, Some(sync)) => return Ok(Round { sync, news: None }),
            (None, None) => return Err(RoundError::Gone),
        };
        let sync = |outcome, message| SyncRow {
            id: 0,
            commit: tree.commit.clone(),
            started_at: now,
            ended_at: clock::now(),
            outcome,
            message,
            added: 0,
            changed: 0,
            removed: 0,
            findings: u32::try_from(report.findings.len()).unwrap_or(u32::MAX),
        };
        match report.testbed(&tree.sources) {
            None => {
                let errors = errors(&report);
                let message = format!("{errors} {} found; nothing was changed", plural(errors, "error"));
                let mut sync = sync(SyncOutcome::Rejected, with(rewritten, message));
                sync.id = self.store.reject(&sync, &report.findings).await?;
                let shown = human(&report, &tree.sources, Path::new(""), Style::Plain);
                Ok(Round { sync, news: Some(News::Rejected(shown)) })
            }
            Some(testbed) => {
                let testbed = Arc::new(testbed);
                let applied = Arc::clone(&self.applied.borrow());
                let plan = Plan::between(&applied.testbed, &testbed);
                let counts = plan.counts();
                let mut sync = sync(SyncOutcome::Applied, with(rewritten, plan.summary()));
                (sync.added, sync.changed, sync.removed) = (counts.added, counts.changed, counts.removed);
                let mut next = applied.next(&testbed, &plan, &sync.commit.id, sync.ended_at);
                let apply = Apply { sync: &sync, findings: &report.findings, plan: &plan, next: &next };
                sync.id = self.store.apply(&apply).await?;
                next.applied.sync =
                    Some(AppliedSync { id: sync.id, commit: sync.commit.id.clone(), at: sync.ended_at });
                let text = plan.to_string();
                // Only now that it is in the database may anybody act on it.
                self.applied.send_replace(Arc::new(next.applied));
                Ok(Round { sync, news: Some(News::Applied(text)) })
            }
        }
    }

    /// Another process may have applied a commit to the same database.
    async fn refresh(&self) -> Result<(), StoreError> {
        let there = self.store.applied_sync().await?.map(|sync| sync.id);
        let here = self.applied.borrow().sync.as_ref().map(|sync| sync.id);
        if there != here {
            let applied = self.store.applied().await?;
            self.applied.send_replace(Arc::new(applied));
        }
        Ok(())
    }

    /// Runs something that blocks with the repository, on a thread that may.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Repository) -> T + Send + 'static,
    ) -> Result<T, RoundError> {
        let mut repository = self.repository.take().ok_or(RoundError::Gone)?;
        let (repository, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut repository);
            (repository, result)
        })
        .await
        .map_err(RoundError::Panicked)?;
        self.repository = Some(repository);
        Ok(result)
    }
}

struct Look {
    tree: Tree,
    report: Report,
    /// Set when the branch does not contain the commit that was looked at before.
    rewritten: Option<String>,
}

/// Looks at the head of the branch, unless it is the commit that was looked at before.
fn look(
    repository: &mut Repository,
    before: Option<String>,
    applied: &Applied,
    trusted: &[TrustedKey],
    now: DateTime<Utc>,
) -> Result<Option<Look>, LookError> {
    let head = repository.head()?;
    if before.as_deref() == Some(head.id.as_str()) {
        return Ok(None);
    }
    let rewritten = match before {
        Some(before) if !repository.descends(&head.id, &before)? => Some(before),
        _ => None,
    };
    let tree = repository.read(head)?;
    let mut report = repository.check(&tree, now);
    if let Some(commit) = applied.commit().filter(|_| applied.testbed.config.commits.require_signed) {
        let change = signatures::Change {
            applied: commit,
            testbed: &applied.testbed,
            head: &tree.commit.id,
            sources: &tree.sources,
            trusted,
        };
        let verified = repository.verify(&change)?;
        tracing::debug!(commit = tree.commit.id, signer = verified.signer, "signatures verified");
        report.add(verified.findings);
    }
    Ok(Some(Look { tree, report, rewritten }))
}

fn errors(report: &Report) -> usize {
    report.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn with(rewritten: Option<String>, message: String) -> String {
    match rewritten {
        Some(before) => {
            let before = before.get(..12).unwrap_or(&before);
            format!("the branch was rewritten and no longer contains {before}; {message}")
        }
        None => message,
    }
}
