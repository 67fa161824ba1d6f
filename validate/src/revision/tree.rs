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
    let odb = repository.odb()?;
    let before = std::mem::take(cache);
    let mut reader = Reader {
        repository,
        odb,
        selection: Selection::new(None),
        before,
        after: Cache::default(),
        sources: Vec::new(),
    };
    if let Some(list) = tree.get_name(IGNORE_FILE) {
        reader.read_list(&list)?;
    }
    let result = reader.folder(tree, "");
    // After a failure the next attempt begins afresh, which costs time and nothing else.
    *cache = reader.after;
    result.map(|()| reader.sources)
}

/// Whether a checkout refuses a name (Git's `verify_path`): what is behind it is not read, since its path would
/// lead elsewhere.
fn is_impossible(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.eq_ignore_ascii_case(b".git")
}

impl Reader<'_> {
    /// Reads the list of what is passed over. A list that is none is a finding, and hides nothing.
    fn read_list(&mut self, list: &git2::TreeEntry<'_>) -> Result<(), git2::Error> {
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
            let readable = String::from_utf8_lossy(entry.name_bytes());
            let path = if path.is_empty() { readable.to_string() } else { format!("{path}/{readable}") };
            let id = entry.id();
            let is_utf8 = std::str::from_utf8(entry.name_bytes()).is_ok();
            if is_impossible(entry.name_bytes()) {
                self.put(&path, Entry::ImpossibleName);
                continue;
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
                _ if !is_utf8 => self.put(&path, Entry::NotUtf8Name),
                _ => self.file(path, id)?,
            }
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
