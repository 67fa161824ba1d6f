//! A repository on this machine, and the revisions of it that people name.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use git2::{ErrorCode, ObjectType, Oid, RepositoryOpenFlags};

use super::{Cache, RevisionError, check_whole, error::SHALLOW, read_tree};
use crate::{
    Source,
    suggest::{did_you_mean, nearest},
    words::one_of,
};

/// A folder of a repository.
pub struct Repository {
    git: git2::Repository,
    /// The folder from the root of the repository, with `/`; empty for the root.
    folder: String,
}

/// A commit, and how it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    id: Oid,
    name: String,
}

impl Commit {
    /// Its hash in hexadecimal.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// The first characters of its hash, for people.
    pub fn short_id(&self) -> String {
        self.id().chars().take(10).collect()
    }

    /// How it was named.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Repository {
    /// The repository that a folder belongs to: one whose work tree it is in, or a bare one. The folder
    /// need not be there now, as a revision may still have it.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be opened.
    pub fn around(path: &Path) -> Result<Self, RevisionError> {
        let (there, missing) = existing(path)?;
        let git = git2::Repository::open_ext(&there, RepositoryOpenFlags::empty(), [] as [&OsStr; 0]);
        let git = git.map_err(|error| match error.code() {
            ErrorCode::NotFound => RevisionError::NoRepository(path.to_owned()),
            ErrorCode::Owner => RevisionError::Owner { path: path.to_owned(), trust: root(&there) },
            _ => RevisionError::Open(path.to_owned(), error),
        })?;
        // The path of a repository itself stands for its root, and so for all that it holds.
        let own = [Some(git.path()), Some(git.commondir()), git.workdir()];
        let resolved = own.into_iter().flatten().filter_map(|root| root.canonicalize().ok());
        let below = resolved.filter_map(|root| there.strip_prefix(root).ok().map(Path::to_owned));
        let Some(below) = below.min_by_key(|below| below.components().count()) else {
            let work_tree = git.workdir().unwrap_or(git.path()).to_owned();
            return Err(RevisionError::Outside { path: path.to_owned(), work_tree });
        };
        let parts = below.join(missing);
        let parts = parts.iter().map(|part| part.to_string_lossy().into_owned());
        let folder = parts.collect::<Vec<_>>().join("/");
        Ok(Self { git, folder })
    }

    /// Whether it has no work tree.
    pub fn is_bare(&self) -> bool {
        self.git.is_bare()
    }

    /// The folder from the root of the repository, with `/`; empty for the root.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The commit that a revision names, in any way that `git rev-parse` understands.
    ///
    /// # Errors
    ///
    /// When it names none.
    pub fn find(&self, rev: &str) -> Result<Commit, RevisionError> {
        let object = self.git.revparse_single(rev).map_err(|error| match error.code() {
            _ if rev.contains("..") => RevisionError::Range(rev.to_owned()),
            ErrorCode::Ambiguous => RevisionError::Ambiguous(rev.to_owned()),
            ErrorCode::UnbornBranch => RevisionError::Empty,
            ErrorCode::NotFound | ErrorCode::InvalidSpec => self.unknown(rev),
            _ => RevisionError::Read { rev: rev.to_owned(), source: error },
        })?;
        let commit = object.peel_to_commit().map_err(|error| match object.kind() {
            Some(ObjectType::Tree) => RevisionError::NotACommit { rev: rev.to_owned(), what: "folder" },
            Some(ObjectType::Blob) => RevisionError::NotACommit { rev: rev.to_owned(), what: "file" },
            _ => RevisionError::Read { rev: rev.to_owned(), source: error },
        })?;
        Ok(Commit { id: commit.id(), name: rev.to_owned() })
    }

    /// Where two commits parted: what a pull request from one to the other starts from.
    ///
    /// # Errors
    ///
    /// When they have no commit in common, as far as the history is there.
    pub fn merge_base(&self, base: &Commit, rev: &Commit) -> Result<Commit, RevisionError> {
        match self.git.merge_base(base.id, rev.id) {
            Ok(id) => Ok(Commit { id, name: format!("the merge base of {} and {}", base.name, rev.name) }),
            Err(error) if error.code() == ErrorCode::NotFound => Err(RevisionError::NoMergeBase {
                base: base.name.clone(),
                rev: rev.name.clone(),
                shallow: self.git.is_shallow(),
            }),
            Err(source) => Err(RevisionError::Read { rev: base.name.clone(), source }),
        }
    }

    /// The manifests of the folder as they are in a commit. What was parsed for the tree before is not
    /// parsed again.
    ///
    /// # Errors
    ///
    /// When the commit has no such folder, or an object is missing or broken.
    pub fn sources(&self, commit: &Commit, cache: &mut Cache) -> Result<Vec<Arc<Source>>, RevisionError> {
        let broken = |source: git2::Error| match source.code() {
            ErrorCode::NotFound if self.is_partial() => RevisionError::Partial(commit.name.clone()),
            _ => RevisionError::Read { rev: commit.name.clone(), source },
        };
        let root = self.git.find_commit(commit.id).and_then(|commit| {
            check_whole(&self.git, commit.tree_id())?;
            commit.tree()
        });
        let root = root.map_err(broken)?;
        let tree = if self.folder.is_empty() {
            root
        } else {
            let no_folder =
                || RevisionError::NoFolder { folder: self.folder.clone(), rev: commit.name.clone() };
            let entry = root.get_path(Path::new(&self.folder)).map_err(|_| no_folder())?;
            if entry.kind() != Some(ObjectType::Tree) {
                return Err(no_folder());
            }
            self.git.find_tree(entry.id()).map_err(broken)?
        };
        let mut sources = read_tree(&self.git, &tree, cache).map_err(broken)?;
        sources.sort_by(|a, b| a.path().cmp(b.path()));
        Ok(sources)
    }

    /// Whether objects may be left to fetch when they are asked for, which Git does and a reader does not.
    fn is_partial(&self) -> bool {
        let promisor = |config: git2::Config| {
            let mut entries = config.entries(Some("^remote\\..*\\.promisor$")).ok()?;
            Some(entries.next().is_some())
        };
        self.git.config().ok().and_then(promisor).unwrap_or(false)
    }

    fn unknown(&self, rev: &str) -> RevisionError {
        let unborn = self.git.head().is_err_and(|error| error.code() == ErrorCode::UnbornBranch);
        let names = self.names();
        if unborn && names.is_empty() {
            return RevisionError::Empty;
        }
        let names = || names.iter().map(String::as_str);
        // A clone for a pull request has `origin/main` and no `main`.
        let remote = names().find(|name| name.split_once('/').is_some_and(|(_, branch)| branch == rev));
        let hint = match remote.or_else(|| nearest(rev, names())) {
            Some(name) => format!("; {}", did_you_mean(name)),
            None if self.git.is_shallow() => SHALLOW.to_owned(),
            None if names().next().is_none() => String::new(),
            None => format!("; expected a hash, `HEAD`, or a name such as {}", one_of(names().take(5))),
        };
        RevisionError::Unknown { rev: rev.to_owned(), hint }
    }

    /// The branches, those of remotes, and the tags.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for reference in self.git.references().into_iter().flatten().flatten() {
            if !(reference.is_branch() || reference.is_remote() || reference.is_tag()) {
                continue;
            }
            if let Ok(name) = reference.shorthand() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        names
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("git", &self.git.path()).field("folder", &self.folder).finish()
    }
}

/// The nearest folder that exists, without links, and what of the path is below it.
fn existing(path: &Path) -> Result<(PathBuf, PathBuf), RevisionError> {
    let full =
        std::path::absolute(path).map_err(|cause| RevisionError::Unreadable(path.to_owned(), cause))?;
    for there in full.ancestors() {
        if let Ok(found) = there.canonicalize() {
            let missing = full.strip_prefix(there).unwrap_or(Path::new("")).to_owned();
            return Ok((found, missing));
        }
    }
    let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
    Err(RevisionError::Unreadable(path.to_owned(), cause))
}

/// The nearest folder that looks like the root of a work tree, for what to trust.
fn root(folder: &Path) -> PathBuf {
    folder.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(folder).to_owned()
}
