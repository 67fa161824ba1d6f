//! What Git makes of two commits by itself: what a merge of them is compared with.

use git2::{Commit, Index, IndexConflict, IndexEntry, Oid, Repository};

/// Where the stage of an entry is in its flags (gitformat-index(5)): 0 is a file that is merged.
const STAGE: u16 = 0x3000;

/// The trees that a merge of two commits is compared with: one, or with conflicts one for each side, in
/// which the conflicts are resolved in its favour.
///
/// What this makes must be written somewhere. `git` has to be a handle whose objects go to memory.
pub(super) fn expected(
    git: &Repository,
    ours: &Commit<'_>,
    theirs: &Commit<'_>,
) -> Result<Vec<Oid>, git2::Error> {
    let mut index = git.merge_commits(ours, theirs, None)?;
    if !index.has_conflicts() {
        return Ok(vec![index.write_tree_to(git)?]);
    }
    let conflicts: Vec<IndexConflict> = index.conflicts()?.collect::<Result<_, _>>()?;
    let resolved = resolve(git, &mut index, &conflicts, |conflict| conflict.our.as_ref()).and_then(|ours| {
        Ok(vec![ours, resolve(git, &mut index, &conflicts, |conflict| conflict.their.as_ref())?])
    });
    // A file on one side and a folder of its name on the other: then all that differs is the merger's.
    resolved.or_else(|_| Ok(vec![ours.tree_id(), theirs.tree_id()]))
}

fn resolve<'c>(
    git: &Repository,
    index: &mut Index,
    conflicts: &'c [IndexConflict],
    side: impl Fn(&'c IndexConflict) -> Option<&'c IndexEntry>,
) -> Result<Oid, git2::Error> {
    for conflict in conflicts {
        for entry in [&conflict.ancestor, &conflict.our, &conflict.their].into_iter().flatten() {
            let path = std::path::Path::new(std::str::from_utf8(&entry.path).map_err(|_| not_utf8())?);
            // Whatever is there of it: its three stages, or how it was resolved before.
            index.remove_path(path)?;
            let _ = index.conflict_remove(path);
        }
        if let Some(entry) = side(conflict) {
            let path = entry.path.clone();
            index.add(&IndexEntry { flags: entry.flags & !STAGE, path, ..*entry })?;
        }
    }
    index.write_tree_to(git)
}

fn not_utf8() -> git2::Error {
    git2::Error::from_str("the name of a file is not UTF-8")
}
