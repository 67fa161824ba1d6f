//! One round of reconciling: look at the branch, read its commit, check it, plan, and apply it or
//! record what is wrong with it.
//!
//! A round takes no input but the repository and the database. Running it twice is running it once.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use almanac_validate::{
    Finding, Report, Severity,
    plan::Plan,
    render::human::{Style, human},
};
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::{sync::watch, task::JoinError};

use crate::{
    applied::{Applied, AppliedSync, Next},
    clock,
    intent::Hold,
    notify::Announcer,
    prune,
    signatures::{self, TrustedKey},
    source::{Commit, LookError, Repository, Target, Tree},
    step::{Step, Steps},
    store::{Apply, Base, FindingRow, Store, StoreError, SyncCause, SyncOutcome, SyncRow},
};

/// What brings the database to what the repository says. One at a time runs rounds.
#[derive(Debug)]
pub struct Reconciler {
    /// Rounds use it on a thread that may block.
    repository: Arc<Mutex<Repository>>,
    store: Store,
    applied: watch::Sender<Arc<Applied>>,
    announcer: Announcer,
    /// Keys that may sign commits, whatever the repository declares.
    trusted: Arc<[TrustedKey]>,
    steps: Steps,
    /// In which term this reconciler leads; absent where there is only one.
    term: Option<i64>,
    /// The commit that this program judged last.
    judged: Option<Judged>,
    /// Whether the settings in force could not be read, and those of a new testbed stand in their place.
    unread: bool,
}

/// A commit that was judged. Another version of the program, another trusted key, or an admin who pins it may
/// be reason to judge otherwise; what was judged with the same eyes is not judged again.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    commit: String,
    pinned: bool,
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

/// What is decided on, besides the commit.
struct Decided<'a> {
    in_force: &'a Applied,
    base: Base,
    pinned: Option<&'a Hold>,
    /// Who let the removal pass for which the commit waited.
    approved_by: Option<String>,
    /// What was recorded about the same commit before.
    again: Option<SyncRow>,
}

/// A commit that was read and checked.
struct Look {
    tree: Tree,
    report: Report,
    /// Whose signature it carries, where that was verified.
    signer: Option<String>,
    /// Set when the branch does not contain the commit that was looked at before.
    rewritten: Option<String>,
    /// Whether a large removal is said to be meant.
    meant: bool,
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
        let judged = Judged { commit: head.id.clone(), pinned: pinned.is_some() };
        let (again, before) = match latest {
            Some(sync) if sync.commit.id == head.id => (Some(sync), None),
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
        let look = self
            .blocking(move |repository| look(repository, head, before, &there, trusted.as_deref(), now))
            .await??;
        self.steps.over(Step::Checked);
        let decided = Decided { in_force: &in_force, base, pinned: pinned.as_ref(), approved_by, again };
        let round = self.settle(look, decided, now).await?;
        self.judged = Some(judged);
        Ok(round)
    }

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
        let target = Target::Commit(in_force.commit.id);
        let read = self.blocking(move |repository| {
            let tree = repository.find(&target).and_then(|commit| repository.read(commit))?;
            let report = almanac_validate::check(&tree.sources, now);
            Ok::<_, LookError>((report.testbed(&tree.sources), tree.commit))
        });
        // What was good when it was put in force may have become bad by a newer version's rules. That is
        // no drift, and what is in force stays.
        let (Some(testbed), commit) = read.await?? else {
            tracing::warn!(
                "the commit in force has errors by this version's rules; nothing is compared with it"
            );
            return Ok(None);
        };
        let testbed = Arc::new(testbed);
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
                "the database differed from the commit in force, and was put right: {}, and {} {} behind them",
                plan.summary(),
                next.differing(),
                plural(next.differing(), "row"),
            ),
            added: counts.added,
            changed: counts.changed,
            removed: counts.removed,
            ..new_sync(commit, now, ended_at)
        };
        sync.id = self.put_in_force(&sync, &[], &plan, next, base).await?;
        Ok(Some(sync))
    }

    /// The whole hash of a commit of the repository, by the beginning of it.
    ///
    /// # Errors
    ///
    /// When there is none, or several, or the repository could not be used.
    pub async fn find(&mut self, prefix: String) -> Result<String, RoundError> {
        Ok(self.blocking(move |repository| repository.resolve(&prefix)).await??)
    }

    /// Decides about a commit and records what was decided.
    async fn settle(
        &mut self,
        look: Look,
        decided: Decided<'_>,
        now: DateTime<Utc>,
    ) -> Result<Round, RoundError> {
        let Look { tree, report, signer, rewritten, meant } = look;
        let Decided { in_force, base, pinned, approved_by, again } = decided;
        let mut sync = SyncRow {
            signer,
            findings: u32::try_from(report.findings.len()).unwrap_or(u32::MAX),
            ..new_sync(tree.commit, now, clock::now())
        };
        let Some(testbed) = report.testbed(&tree.sources) else {
            let errors = report.count(Severity::Error);
            let message = format!("{errors} {} found; nothing was changed", plural(errors, "error"));
            (sync.outcome, sync.message) = (SyncOutcome::Rejected, with(rewritten, message));
            if let Some(same) = self.same(again, &sync, &report).await? {
                return Ok(Round::Unchanged(same));
            }
            sync.id = self.only_record(&sync, &report, base).await?;
            let shown = human(&report, &tree.sources, Path::new(""), Style::Plain);
            return Ok(Round::Recorded(sync, News::Rejected(shown)));
        };
        let testbed = Arc::new(testbed);
        let plan = Plan::between(&in_force.testbed, &testbed);
        self.steps.over(Step::Planned);
        let counts = plan.counts();
        (sync.added, sync.changed, sync.removed) = (counts.added, counts.changed, counts.removed);
        let mut message = plan.summary();
        if let Some(removal) = prune::guard(&in_force.testbed, &plan, &in_force.testbed.config.prune) {
            if approved_by.is_none() && !meant {
                let message = format!(
                    "{removal}; if that is meant, an admin says so with `almanac sync approve`, or a commit with the trailer `{}: yes`",
                    prune::TRAILER
                );
                (sync.outcome, sync.message) = (SyncOutcome::Waiting, with(rewritten, message));
                if let Some(same) = self.same(again, &sync, &report).await? {
                    return Ok(Round::Unchanged(same));
                }
                sync.id = self.only_record(&sync, &report, base).await?;
                return Ok(Round::Recorded(sync, News::Waiting(plan.to_string())));
            }
            if approved_by.is_none() {
                message = format!("{message}, as the trailer `{}` says is meant", prune::TRAILER);
            }
            sync.approved_by = approved_by;
        }
        // Whoever made the commit long ago is not who put it in force now.
        if let Some(hold) = pinned {
            message = format!("{message}; pinned {hold}");
        }
        sync.message = with(rewritten, message);
        let text = plan.to_string();
        let next = in_force.next(&testbed, &plan, &sync.commit.id, sync.ended_at);
        sync.id = self.put_in_force(&sync, &report.findings, &plan, next, base).await?;
        Ok(Round::Recorded(sync, News::Applied(text)))
    }

    /// What was recorded when the same was found out about the same commit: it is not recorded once more. Texts of
    /// findings may name instants that move on; their places do not.
    async fn same(
        &self,
        again: Option<SyncRow>,
        sync: &SyncRow,
        report: &Report,
    ) -> Result<Option<SyncRow>, StoreError> {
        let Some(before) = again.filter(|before| before.outcome == sync.outcome) else { return Ok(None) };
        let place = |finding: FindingRow| (finding.rule, finding.file, finding.line, finding.column);
        let then = self.store.findings(before.id).await?.into_iter().map(place);
        let same = then.eq(report.findings.iter().map(FindingRow::from).map(place));
        // What else is said is that the branch was rewritten before.
        Ok(Some(before).filter(|before| same && before.message.ends_with(&sync.message)))
    }

    async fn only_record(&self, sync: &SyncRow, report: &Report, base: Base) -> Result<i64, StoreError> {
        let apply = Apply {
            base,
            sync,
            findings: &report.findings,
            change: None,
            notices: &|id| self.announcer.of_sync(sync, id),
            steps: &self.steps,
        };
        self.store.apply(&apply).await
    }

    async fn put_in_force(
        &mut self,
        sync: &SyncRow,
        findings: &[Finding],
        plan: &Plan<'_>,
        mut next: Next,
        base: Base,
    ) -> Result<i64, StoreError> {
        let apply = Apply {
            base,
            sync,
            findings,
            change: Some((plan, &next)),
            notices: &|id| self.announcer.of_sync(sync, id),
            steps: &self.steps,
        };
        let id = self.store.apply(&apply).await?;
        next.applied.sync = Some(AppliedSync { id, commit: sync.commit.id.clone(), at: sync.ended_at });
        // Only now that it is in the database may anybody act on it.
        self.applied.send_replace(Arc::new(next.applied));
        if next.config || plan.config.is_some() {
            self.unread = false;
        }
        self.steps.over(Step::Published);
        Ok(id)
    }

    /// What is decided from now on is decided on this.
    async fn base(&self) -> Result<Base, StoreError> {
        let action = self.store.latest_action().await?;
        let latest = self.store.latest_sync().await?.map(|sync| sync.id);
        let sync = self.applied.borrow().sync.as_ref().map(|sync| sync.id);
        Ok(Base { sync, latest, action, term: self.term })
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
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Repository) -> T + Send + 'static,
    ) -> Result<T, RoundError> {
        let repository = Arc::clone(&self.repository);
        let work = move || repository.lock().map(|mut repository| work(&mut repository)).ok();
        let result = tokio::task::spawn_blocking(work).await.map_err(RoundError::Panicked)?;
        result.ok_or(RoundError::Gone)
    }
}

/// Reads and checks a commit. `before` is the head that the branch had; `trusted` are further keys that may
/// sign commits, absent when no signature is asked for.
fn look(
    repository: &mut Repository,
    head: Commit,
    before: Option<String>,
    in_force: &Applied,
    trusted: Option<&[TrustedKey]>,
    now: DateTime<Utc>,
) -> Result<Look, LookError> {
    let rewritten = match before {
        Some(before) if !repository.descends(&head.id, &before)? => Some(before),
        _ => None,
    };
    if let Some(commit) = in_force.commit() {
        repository.keep("in-force", commit);
    }
    let meant = repository.says(&head.id, in_force.commit(), prune::TRAILER, "yes")?;
    let tree = repository.read(head)?;
    let mut report = repository.check(&tree, now);
    let mut signer = None;
    if let (Some(commit), Some(trusted)) = (in_force.commit(), trusted)
        && in_force.testbed.config.commits.require_signed
    {
        let change = signatures::Change {
            applied: commit,
            testbed: &in_force.testbed,
            head: &tree.commit.id,
            sources: &tree.sources,
            trusted,
        };
        let verified = repository.verify(&change)?;
        signer = verified.signer;
        report.add(verified.findings);
    }
    Ok(Look { tree, report, signer, rewritten, meant })
}

/// A sync that puts a commit in force, as far as that is known at its start.
fn new_sync(commit: Commit, started_at: DateTime<Utc>, ended_at: DateTime<Utc>) -> SyncRow {
    SyncRow {
        id: 0,
        commit,
        started_at,
        ended_at,
        cause: SyncCause::Commit,
        signer: None,
        approved_by: None,
        outcome: SyncOutcome::Applied,
        message: String::new(),
        added: 0,
        changed: 0,
        removed: 0,
        findings: 0,
    }
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
