//! The manifests in which two trees differ.

use std::sync::Arc;

use git2::{ObjectType, Oid};

use super::{
    check_whole,
    tree::{File, Files, Reader, is_impossible, join},
};
use crate::{IGNORE_FILE, Source};

/// What one tree has and the other has not, or has otherwise: the manifests of both that differ.
#[derive(Debug, Default)]
pub struct Difference {
    /// As they are in the first tree.
    pub before: Vec<Arc<Source>>,
    /// As they are in the second.
    pub after: Vec<Arc<Source>>,
}

/// The manifests in which two trees differ; an absent tree is empty. What has the same id in both is not
/// read, so the cost follows the size of the change.
///
/// # Errors
///
/// When an object is missing or broken.
pub fn read_difference(
    repository: &git2::Repository,
    before: Option<&git2::Tree<'_>>,
    after: Option<&git2::Tree<'_>>,
) -> Result<Difference, git2::Error> {
    let [before, after] = between(repository, [before, after], &Files::new())?;
    let sources = |files: Vec<File>| files.into_iter().map(|(_, source)| source).collect();
    Ok(Difference { before: sources(before), after: sources(after) })
}

/// The same, of which some may be known already.
pub(super) fn between(
    repository: &git2::Repository,
    trees: [Option<&git2::Tree<'_>>; 2],
    known: &Files,
) -> Result<[Vec<File>; 2], git2::Error> {
    let mut readers = [Reader::new(repository, known)?, Reader::new(repository, known)?];
    let [before, after] = trees.map(|tree| Some(identity(&tree?.get_name(IGNORE_FILE)?)));
    if before == after {
        for (reader, tree) in readers.iter_mut().zip(trees) {
            tree.map_or(Ok(()), |tree| reader.read_list(tree))?;
            // What is wrong with the list itself is so in both.
            reader.forget();
        }
        differing(repository, &mut readers, trees, "")?;
    } else {
        // Any file may have come into view or gone out of it.
        for (reader, tree) in readers.iter_mut().zip(trees) {
            if let Some(tree) = tree {
                reader.read_list(tree)?;
                reader.folder(tree, "")?;
            }
        }
    }
    Ok(readers.map(Reader::found))
}

/// Reads the entries of a folder that differ.
fn differing(
    repository: &git2::Repository,
    readers: &mut [Reader<'_>; 2],
    [before, after]: [Option<&git2::Tree<'_>>; 2],
    path: &str,
) -> Result<(), git2::Error> {
    let length = |tree: Option<&git2::Tree<'_>>| tree.map_or(0, git2::Tree::len);
    let same = |at: usize, other: usize| {
        let (a, b) = (before.and_then(|tree| tree.get(at)), after.and_then(|tree| tree.get(other)));
        a.zip(b).is_some_and(|(a, b)| a.name_bytes() == b.name_bytes() && identity(&a) == identity(&b))
    };
    // Most of a large folder is the same up to what changed, and from there on.
    let (old, new) = (length(before), length(after));
    let head = (0..old.min(new)).take_while(|at| same(*at, *at)).count();
    let tail = (1..=old.min(new) - head).take_while(|back| same(old - back, new - back)).count();
    let range = |tree: Option<&'_ git2::Tree<'_>>, end: usize| {
        (head..end).filter_map(move |at| Some(tree?.get(at)?.to_owned())).collect::<Vec<_>>()
    };
    let counterpart = |tree: Option<&git2::Tree<'_>>, entry: &git2::TreeEntry<'_>| {
        Some(tree?.get_name_bytes(entry.name_bytes())?.to_owned())
    };
    for entry in range(before, old - tail) {
        match counterpart(after, &entry) {
            Some(other) if identity(&entry) == identity(&other) => {}
            Some(other) if [&entry, &other].into_iter().all(is_folder) => {
                let path = join(path, &entry);
                if readers[0].covers(&path) {
                    check_whole(repository, entry.id())?;
                    check_whole(repository, other.id())?;
                    let (old, new) = (repository.find_tree(entry.id())?, repository.find_tree(other.id())?);
                    differing(repository, readers, [Some(&old), Some(&new)], &path)?;
                }
            }
            Some(other) => {
                readers[0].entry(&entry, path)?;
                readers[1].entry(&other, path)?;
            }
            None => readers[0].entry(&entry, path)?,
        }
    }
    for entry in range(after, new - tail) {
        if counterpart(before, &entry).is_none() {
            readers[1].entry(&entry, path)?;
        }
    }
    Ok(())
}

/// Whether there is something below an entry that is read.
fn is_folder(entry: &git2::TreeEntry<'_>) -> bool {
    entry.kind() == Some(ObjectType::Tree) && !is_impossible(entry.name_bytes())
}

/// What says that the content of two entries is the same.
fn identity(entry: &git2::TreeEntry<'_>) -> (Oid, i32) {
    (entry.id(), entry.filemode_raw())
}
