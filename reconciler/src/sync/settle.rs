//! Deciding about a commit that was looked at, and recording what was decided.

use std::{path::Path, sync::Arc};

use almanac_validate::{
    Severity,
    plan::Plan,
    render::human::{Style, human},
    words::counted,
};
use chrono::{DateTime, Utc};

use super::{News, Reconciler, Round, RoundError, look::Look};
use crate::{
    applied::{Applied, AppliedSync, Next},
    clock,
    intent::Hold,
    prune,
    source::Commit,
    step::Step,
    store::{Apply, Base, Effect, FindingRow, ReservationRow, StoreError, SyncCause, SyncOutcome, SyncRow},
};

/// What is decided on, besides the commit.
pub(super) struct Decided<'a> {
    pub(super) in_force: &'a Applied,
    pub(super) base: Base,
    pub(super) pinned: Option<&'a Hold>,
    /// Who let the removal pass for which the commit waited.
    pub(super) approved_by: Option<String>,
    /// What was recorded about the same commit before.
    pub(super) again: Option<SyncRow>,
    /// The times of moved runs.
    pub(super) reserved: &'a [ReservationRow],
}

impl Reconciler {
    /// Decides about a commit and records what was decided.
    pub(super) async fn settle(
        &mut self,
        look: Look,
        decided: Decided<'_>,
        now: DateTime<Utc>,
    ) -> Result<Round, RoundError> {
        let Look { tree, report, signer, rewritten, meant } = look;
        let Decided { in_force, base, pinned, approved_by, again, reserved } = decided;
        let findings: Vec<_> =
            report.findings.iter().map(|finding| FindingRow::of(finding, &tree.folder)).collect();
        let mut sync = SyncRow {
            signer,
            findings: u32::try_from(findings.len()).unwrap_or(u32::MAX),
            ..new_sync(tree.commit, now, clock::now())
        };
        let Some(testbed) = report.testbed() else {
            let errors = report.count(Severity::Error);
            let message = format!("{} found; nothing was changed", counted(errors, "error"));
            (sync.outcome, sync.message) = (SyncOutcome::Rejected, with(rewritten, message));
            if let Some(same) = self.same(again, &sync, &findings).await? {
                return Ok(Round::Unchanged(same));
            }
            sync.id = self.only_record(&sync, &findings, Effect::None, base).await?;
            let shown = human(&report, &tree.sources, Path::new(&tree.folder), Style::Plain);
            return Ok(Round::Recorded(sync, News::Rejected(shown)));
        };
        let plan = Plan::between(&in_force.testbed, testbed);
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
                if let Some(same) = self.same(again, &sync, &findings).await? {
                    return Ok(Round::Unchanged(same));
                }
                sync.id = self.only_record(&sync, &findings, Effect::Waits(&plan), base).await?;
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
        let mut next = in_force.next(testbed, &plan, &sync.commit.id, sync.ended_at);
        next.released = reserved.iter().filter(|row| !row.moved.stands(testbed)).map(|row| row.id).collect();
        sync.id = self.put_in_force(&sync, &findings, &plan, next, base).await?;
        Ok(Round::Recorded(sync, News::Applied(text)))
    }

    /// What was recorded when the same was found out about the same commit: it is not recorded once more. Texts of
    /// findings may name instants that move on; their places do not.
    async fn same(
        &self,
        again: Option<SyncRow>,
        sync: &SyncRow,
        findings: &[FindingRow],
    ) -> Result<Option<SyncRow>, StoreError> {
        let Some(before) = again.filter(|before| before.outcome == sync.outcome) else { return Ok(None) };
        let then = self.store.findings(before.id).await?;
        let same = then.iter().map(FindingRow::place).eq(findings.iter().map(FindingRow::place));
        let counts = |sync: &SyncRow| (sync.added, sync.changed, sync.removed);
        // What else is said is that the branch was rewritten before.
        let same = same && counts(&before) == counts(sync) && before.message.ends_with(&sync.message);
        Ok(Some(before).filter(|_| same))
    }

    /// Records a sync that leaves in force what is.
    async fn only_record(
        &self,
        sync: &SyncRow,
        findings: &[FindingRow],
        effect: Effect<'_>,
        base: Base,
    ) -> Result<i64, StoreError> {
        let apply = Apply {
            base,
            sync,
            findings,
            effect,
            notices: &|id| self.announcer.of_sync(sync, id),
            steps: &self.steps,
        };
        self.store.apply(&apply).await
    }

    /// Puts a testbed in force, and only then tells everybody here.
    pub(super) async fn put_in_force(
        &mut self,
        sync: &SyncRow,
        findings: &[FindingRow],
        plan: &Plan<'_>,
        mut next: Next,
        base: Base,
    ) -> Result<i64, StoreError> {
        let apply = Apply {
            base,
            sync,
            findings,
            effect: Effect::Applies(plan, &next),
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
}

/// A sync that puts a commit in force, as far as that is known at its start.
pub(super) fn new_sync(commit: Commit, started_at: DateTime<Utc>, ended_at: DateTime<Utc>) -> SyncRow {
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

fn with(rewritten: Option<String>, message: String) -> String {
    match rewritten {
        Some(before) => {
            let before = before.get(..12).unwrap_or(&before);
            format!("the branch was rewritten and no longer contains {before}; {message}")
        }
        None => message,
    }
}
