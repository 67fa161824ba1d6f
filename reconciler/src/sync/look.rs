//! Reading and checking a commit.

use almanac_validate::{Moved, Report};
use chrono::{DateTime, Utc};

use crate::{
    applied::Applied,
    prune,
    signatures::{self, TrustedKey},
    source::{Commit, LookError, Repository, Tree},
};

/// A commit that was read and checked.
pub(super) struct Look {
    pub(super) tree: Tree,
    pub(super) report: Report,
    /// Whose signature it carries, where that was verified.
    pub(super) signer: Option<String>,
    /// Set when the branch does not contain the commit that was looked at before.
    pub(super) rewritten: Option<String>,
    /// Whether a large removal is said to be meant.
    pub(super) meant: bool,
}

/// What a commit meets.
#[derive(Clone, Copy)]
pub(super) struct There<'a> {
    /// What is in force.
    pub(super) applied: &'a Applied,
    /// The runs that take place at another time than it says.
    pub(super) moved: &'a [Moved],
}

/// Reads and checks a commit. `before` is the head that the branch had; `trusted` are further keys that may
/// sign commits, absent when no signature is asked for.
pub(super) fn look(
    repository: &mut Repository,
    head: Commit,
    before: Option<String>,
    There { applied: in_force, moved }: There<'_>,
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
    let mut report = repository.check(&tree, moved, now);
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
