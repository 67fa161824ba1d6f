//! From a Git tree to parsed manifests, with a cache by path and blob.

use std::{collections::HashMap, sync::Arc};

use almanac_schemas::manifest::MAX_FILE;
use git2::{ObjectType, Oid};

use super::check_whole;
use crate::{Entry, IGNORE_FILE, Selection, Source};

/// What was parsed for the tree that was read last. A blob's id says its content, so what is found here
/// under the same path and id is what parsing would give.
#[derive(Debug, Default)]
pub struct Cache(HashMap<(String, Oid), Arc<Source>>);

/// The modes of tree entries (git-fast-import(1), "filemodify").
const SYMLINK: i32 = 0o120_000;

struct Reader<'a> {
    repository: &'a git2::Repository,
    odb: git2::Odb<'a>,
    selection: Selection,
    before: Cache,
    after: Cache,
    sources: Vec<Arc<Source>>,
}

/// Parses the manifests of a tree. The cache then holds this tree's and nothing else.
///
/// Blobs are read as they are stored: no filter, text conversion or hook has a say.
///
/// # Errors
///
/// When an object is missing or broken.
pub fn read_tree(
    repository: &git2::Repository,
    tree: &git2::Tree<'_>,
    cache: &mut Cache,
) -> Result<Vec<Arc<Source>>, git2::Error> {
    let mut reader = Reader::new(repository, std::mem::take(cache))?;
    reader.read_list(tree)?;
    let result = reader.folder(tree, "");
    // After a failure the next attempt begins afresh, which costs time and nothing else.
    *cache = reader.after;
    result.map(|()| reader.sources)
}

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
    let mut readers =
        [Reader::new(repository, Cache::default())?, Reader::new(repository, Cache::default())?];
    let list = |tree: Option<&git2::Tree<'_>>| Some(identity(&tree?.get_name(IGNORE_FILE)?));
    let same_list = list(before) == list(after);
    for (reader, tree) in readers.iter_mut().zip([before, after]) {
        if let Some(tree) = tree {
            reader.read_list(tree)?;
            if !same_list {
                // Any file may have come into view or gone out of it.
                reader.folder(tree, "")?;
            }
        }
    }
    if same_list {
        // What is wrong with the list itself is so in both.
        readers.iter_mut().for_each(|reader| reader.sources.clear());
        differing(&mut readers, before, after, "")?;
    }
    let [before, after] = readers.map(|reader| reader.sources);
    Ok(Difference { before, after })
}

/// Reads the entries of a folder that differ.
fn differing(
    readers: &mut [Reader<'_>; 2],
    before: Option<&git2::Tree<'_>>,
    after: Option<&git2::Tree<'_>>,
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
            Some(other) if [&entry, &other].iter().all(|entry| entry.kind() == Some(ObjectType::Tree)) => {
                let path = join(path, &entry);
                if readers[0].selection.covers(&path, true) {
                    let repository = readers[0].repository;
                    let (old, new) = (repository.find_tree(entry.id())?, repository.find_tree(other.id())?);
                    differing(readers, Some(&old), Some(&new), &path)?;
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

/// Whether a checkout refuses a name (Git's `verify_path`): what is behind it is not read, since its path would
/// lead elsewhere.
fn is_impossible(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.eq_ignore_ascii_case(b".git")
}

/// What says that the content of two entries is the same.
fn identity(entry: &git2::TreeEntry<'_>) -> (Oid, i32) {
    (entry.id(), entry.filemode_raw())
}

fn join(folder: &str, entry: &git2::TreeEntry<'_>) -> String {
    let name = String::from_utf8_lossy(entry.name_bytes());
    if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") }
}

impl<'a> Reader<'a> {
    fn new(repository: &'a git2::Repository, before: Cache) -> Result<Self, git2::Error> {
        Ok(Self {
            repository,
            odb: repository.odb()?,
            selection: Selection::new(None),
            before,
            after: Cache::default(),
            sources: Vec::new(),
        })
    }

    /// Reads the list of what is passed over. A list that is none is a finding, and hides nothing.
    fn read_list(&mut self, tree: &git2::Tree<'_>) -> Result<(), git2::Error> {
        let Some(list) = tree.get_name(IGNORE_FILE) else { return Ok(()) };
        if list.filemode_raw() == SYMLINK {
            // What the blob of a link holds is a path, and no list.
            self.put(IGNORE_FILE, Entry::Symlink);
        } else if list.kind() != Some(ObjectType::Blob) {
            self.put(IGNORE_FILE, Entry::Special);
        } else {
            check_whole(self.repository, list.id())?;
            let (size, _) = self.odb.read_header(list.id())?;
            if size > MAX_FILE {
                self.put(IGNORE_FILE, Entry::TooLarge(size as u64));
                return Ok(());
            }
            let content = self.odb.read(list.id())?.data().to_vec();
            match std::str::from_utf8(&content) {
                Ok(text) => self.selection = Selection::new(Some(text)),
                Err(_) => self.put(IGNORE_FILE, Entry::File(&content)),
            }
        }
        Ok(())
    }

    fn folder(&mut self, tree: &git2::Tree<'_>, path: &str) -> Result<(), git2::Error> {
        for entry in tree {
            self.entry(&entry, path)?;
        }
        Ok(())
    }

    /// Reads what a folder holds under one name, with all that is below it.
    fn entry(&mut self, entry: &git2::TreeEntry<'_>, folder: &str) -> Result<(), git2::Error> {
        let path = join(folder, entry);
        let id = entry.id();
        if is_impossible(entry.name_bytes()) {
            self.put(&path, Entry::ImpossibleName);
            return Ok(());
        }
        match entry.kind() {
            Some(ObjectType::Tree) => {
                if self.selection.covers(&path, true) {
                    check_whole(self.repository, id)?;
                    self.folder(&self.repository.find_tree(id)?, &path)?;
                }
            }
            Some(ObjectType::Commit) => {
                if self.selection.covers(&path, true) {
                    self.put(&path, Entry::Submodule);
                }
            }
            _ if entry.filemode_raw() == SYMLINK => {
                if self.selection.covers(&path, false) {
                    self.put(&path, Entry::Symlink);
                }
            }
            _ if !self.selection.includes(&path) => {}
            _ if std::str::from_utf8(entry.name_bytes()).is_err() => self.put(&path, Entry::NotUtf8Name),
            _ => self.file(path, id)?,
        }
        Ok(())
    }

    fn file(&mut self, path: String, id: Oid) -> Result<(), git2::Error> {
        let key = (path, id);
        if let Some(source) = self.before.0.remove(&key) {
            self.sources.push(Arc::clone(&source));
            self.after.0.insert(key, source);
            return Ok(());
        }
        check_whole(self.repository, id)?;
        // Only the header, so that a huge file takes no memory.
        let (size, _) = self.odb.read_header(id)?;
        let source = if size > MAX_FILE {
            Source::read(&key.0, Entry::TooLarge(size as u64))
        } else {
            Source::read(&key.0, Entry::File(self.odb.read(id)?.data()))
        };
        let source = Arc::new(source);
        self.sources.push(Arc::clone(&source));
        self.after.0.insert(key, source);
        Ok(())
    }

    fn put(&mut self, path: &str, entry: Entry<'_>) {
        self.sources.push(Arc::new(Source::read(path, entry)));
    }
}
