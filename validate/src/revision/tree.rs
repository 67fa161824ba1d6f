//! From a Git tree to parsed manifests, with a cache by path and blob.

use std::{collections::BTreeMap, sync::Arc};

use almanac_schemas::manifest::MAX_FILE;
use git2::{ObjectType, Oid};

use super::{check_whole, difference};
use crate::{Entry, IGNORE_FILE, Selection, Source};

/// What was read of the tree that was read last.
#[derive(Debug, Default)]
pub struct Cache {
    /// The tree; none when what is here may be more or less than it.
    tree: Option<Oid>,
    files: Files,
}

/// Files by path, each with its id. A blob's id says its content, so what is found here under the same
/// path and id is what parsing would give.
pub(super) type Files = BTreeMap<String, File>;

pub(super) type File = (Oid, Arc<Source>);

/// The modes of tree entries (git-fast-import(1), "filemodify").
const SYMLINK: i32 = 0o120_000;

/// What reads one tree.
pub(super) struct Reader<'a> {
    repository: &'a git2::Repository,
    odb: git2::Odb<'a>,
    selection: Selection,
    /// What was read before.
    known: &'a Files,
    found: Vec<File>,
}

/// Parses the manifests of a tree. The cache then holds this tree's and nothing else: of the next one,
/// only what differs is looked at.
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
    // After a failure the next attempt begins afresh, which costs time and nothing else.
    let Cache { tree: before, mut files } = std::mem::take(cache);
    // A tree that is there no more is that of a branch that was rewritten.
    let before = before.and_then(|id| repository.find_tree(id).ok());
    let all_known = match before {
        Some(before) => {
            let [gone, come] = difference::between(repository, [Some(&before), Some(tree)], &files)?;
            for (_, source) in gone {
                files.remove(source.path());
            }
            insert(&mut files, come)
        }
        None => false,
    };
    if !all_known {
        let found = {
            let mut reader = Reader::new(repository, &files)?;
            reader.read_list(tree)?;
            reader.folder(tree, "")?;
            reader.found
        };
        files = Files::new();
        if !insert(&mut files, found.iter().cloned()) {
            *cache = Cache { tree: None, files };
            return Ok(found.into_iter().map(|(_, source)| source).collect());
        }
    }
    let sources = files.values().map(|(_, source)| Arc::clone(source)).collect();
    *cache = Cache { tree: Some(tree.id()), files };
    Ok(sources)
}

/// Adds files. Whether each has a path of its own: two names that are not UTF-8 may be put into words alike.
fn insert(files: &mut Files, come: impl IntoIterator<Item = File>) -> bool {
    let mut own = true;
    for (id, source) in come {
        own &= files.insert(source.path().to_owned(), (id, source)).is_none();
    }
    own
}

impl<'a> Reader<'a> {
    pub(super) fn new(repository: &'a git2::Repository, known: &'a Files) -> Result<Self, git2::Error> {
        let odb = repository.odb()?;
        Ok(Self { repository, odb, selection: Selection::new(None), known, found: Vec::new() })
    }

    /// What was read.
    pub(super) fn found(self) -> Vec<File> {
        self.found
    }

    /// Drops what was read so far.
    pub(super) fn forget(&mut self) {
        self.found.clear();
    }

    /// Whether anything below a folder counts.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.selection.covers(path, true)
    }

    /// Reads the list of what is passed over. A list that is none is a finding, and hides nothing.
    pub(super) fn read_list(&mut self, tree: &git2::Tree<'_>) -> Result<(), git2::Error> {
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

    pub(super) fn folder(&mut self, tree: &git2::Tree<'_>, path: &str) -> Result<(), git2::Error> {
        for entry in tree {
            self.entry(&entry, path)?;
        }
        Ok(())
    }

    /// Reads what a folder holds under one name, with all that is below it.
    pub(super) fn entry(&mut self, entry: &git2::TreeEntry<'_>, folder: &str) -> Result<(), git2::Error> {
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
            _ => self.file(&path, id)?,
        }
        Ok(())
    }

    fn file(&mut self, path: &str, id: Oid) -> Result<(), git2::Error> {
        if let Some(known) = self.known.get(path).filter(|(of, _)| *of == id) {
            self.found.push(known.clone());
            return Ok(());
        }
        check_whole(self.repository, id)?;
        // Only the header, so that a huge file takes no memory.
        let (size, _) = self.odb.read_header(id)?;
        let source = if size > MAX_FILE {
            Source::read(path, Entry::TooLarge(size as u64))
        } else {
            Source::read(path, Entry::File(self.odb.read(id)?.data()))
        };
        self.found.push((id, Arc::new(source)));
        Ok(())
    }

    fn put(&mut self, path: &str, entry: Entry<'_>) {
        self.found.push((Oid::ZERO_SHA1, Arc::new(Source::read(path, entry))));
    }
}

/// Whether a checkout refuses a name (Git's `verify_path`): what is behind it is not read, since its path would
/// lead elsewhere.
pub(super) fn is_impossible(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.eq_ignore_ascii_case(b".git")
}

/// The path of an entry of a folder.
pub(super) fn join(folder: &str, entry: &git2::TreeEntry<'_>) -> String {
    let name = String::from_utf8_lossy(entry.name_bytes());
    if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") }
}
