//! A repository and the head of its branch. Everything here blocks; callers give it a thread.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use almanac_validate::{
    Checker, Moved, Report, Source,
    revision::{Cache, check_whole, read_tree},
};
use chrono::{DateTime, Utc};
use git2::{ErrorCode, ObjectType, Oid};
use tokio_util::sync::CancellationToken;

use super::{Access, Location, LookError, mirror::Mirror};
use crate::signatures::{self, Verified};

/// How many commits back a trailer is looked for. A push of more is not made by people.
const MOST_TRAILERS: usize = 1_000;

/// How many commits are named where several begin alike.
const MOST_ALIKE: usize = 5;

/// A repository, a branch of it, and what was parsed and compared of it already.
#[derive(Debug)]
pub struct Repository {
    location: Location,
    branch: String,
    /// The folder below which manifests lie; empty for the root.
    subdir: String,
    mirror: Mirror,
    cache: Cache,
    checker: Checker,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its hash in hexadecimal.
    pub id: String,
    /// The hash of the tree that manifests lie below: that of the commit, or of a folder in it. Nothing where
    /// there is no such folder.
    pub tree: String,
    /// Name and address of its author.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
}

/// Which commit is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The head of the branch.
    Branch,
    /// This one, by its whole hash.
    Commit(String),
}

/// The files of a commit.
#[derive(Debug)]
pub struct Tree {
    /// The commit.
    pub commit: Commit,
    /// The folder that its manifests lie below, and that their paths begin at; empty for the root.
    pub folder: String,
    /// Its manifests, parsed.
    pub sources: Vec<Arc<Source>>,
}

impl Repository {
    /// A repository. Nothing is read yet. A remote one is copied to `mirror`.
    pub fn new(location: Location, branch: &str, subdir: &str, mirror: PathBuf) -> Self {
        let plain = |part: &&str| !part.is_empty() && *part != ".";
        Self {
            location,
            branch: branch.to_owned(),
            subdir: subdir.split('/').filter(plain).collect::<Vec<_>>().join("/"),
            mirror: Mirror::at(mirror),
            cache: Cache::default(),
            checker: Checker::default(),
        }
    }

    /// The same, and how it is reached if it is remote. What is under way ends when `stop` is cancelled.
    #[must_use]
    pub fn reached_by(mut self, access: Access, stop: CancellationToken) -> Self {
        self.mirror.reach(access, stop);
        self
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The branch that is followed.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The folder with the objects and references of a local repository, for watching them.
    ///
    /// # Errors
    ///
    /// When there is no repository.
    pub fn watched(&self) -> Result<Option<PathBuf>, LookError> {
        match &self.location {
            Location::Local(path) => Ok(Some(open(path)?.commondir().to_owned())),
            Location::Remote(_) => Ok(None),
        }
    }

    /// The commit that is wanted. A remote branch is fetched first; so is a commit that is not there yet.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub fn find(&mut self, target: &Target) -> Result<Commit, LookError> {
        match target {
            Target::Branch => {
                self.fetch()?;
                let repository = self.open()?;
                let id = self.branch_head(&repository)?;
                self.commit(&repository, id)
            }
            Target::Commit(id) => {
                let missing = || LookError::NoCommit { location: self.location.clone(), commit: id.clone() };
                let oid = Oid::from_str(id).map_err(|_| missing())?;
                if let Ok(repository) = self.open()
                    && repository.find_commit(oid).is_ok()
                {
                    return self.commit(&repository, oid);
                }
                self.fetch()?;
                let repository = self.open()?;
                if repository.find_commit(oid).is_err() {
                    return Err(missing());
                }
                self.commit(&repository, oid)
            }
        }
    }

    /// The whole hash of a commit, by the beginning of it. One that is not there yet is fetched.
    ///
    /// # Errors
    ///
    /// When there is none, or several, or the repository cannot be read.
    pub fn resolve(&mut self, prefix: &str) -> Result<String, LookError> {
        let find = |repository: &git2::Repository| match repository.find_commit_by_prefix(prefix) {
            Ok(commit) => Ok(Some(commit.id().to_string())),
            Err(error) if error.code() == ErrorCode::Ambiguous => self.the_one(repository, prefix),
            Err(_) => Ok(None),
        };
        if let Ok(repository) = self.open()
            && let Some(id) = find(&repository)?
        {
            return Ok(id);
        }
        self.fetch()?;
        let missing = || LookError::NoCommit { location: self.location.clone(), commit: prefix.to_owned() };
        find(&self.open()?)?.ok_or_else(missing)
    }

    /// The commit that begins like several objects do, if the others are none.
    fn the_one(&self, repository: &git2::Repository, prefix: &str) -> Result<Option<String>, LookError> {
        let broken = |source| self.unreadable(prefix.to_owned(), source);
        let mut alike = Vec::new();
        repository
            .odb()
            .and_then(|odb| {
                odb.foreach(|id| {
                    if id.to_string().starts_with(prefix) {
                        alike.push(*id);
                    }
                    true
                })
            })
            .map_err(broken)?;
        // What lies in several packs is met several times.
        alike.sort_unstable();
        alike.dedup();
        let commits = alike.into_iter().filter_map(|id| repository.find_commit(id).ok());
        let some: Vec<_> = commits.take(MOST_ALIKE + 1).collect();
        if let [] | [_] = some.as_slice() {
            return Ok(some.first().map(|commit| commit.id().to_string()));
        }
        let more = if some.len() > MOST_ALIKE { " and more" } else { "" };
        let named = some.iter().take(MOST_ALIKE).map(|commit| {
            let subject = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default());
            format!("{} ({subject})", commit.id())
        });
        let commits = named.collect::<Vec<_>>().join(", ") + more;
        Err(LookError::Ambiguous { location: self.location.clone(), prefix: prefix.to_owned(), commits })
    }

    /// Keeps a commit of a mirror from being tidied up, under a name that one commit has at a time: a
    /// branch that was rewritten holds it no more. What is not there cannot be kept.
    pub fn keep(&self, name: &str, commit: &str) {
        if let Location::Remote(_) = self.location
            && let (Ok(repository), Ok(id)) = (self.open(), Oid::from_str(commit))
        {
            let kept =
                repository.reference(&format!("refs/almanac/{name}"), id, true, "kept by the reconciler");
            if let Err(error) = kept {
                tracing::debug!(%error, commit, "cannot keep the commit in the mirror");
            }
        }
    }

    fn fetch(&self) -> Result<(), LookError> {
        let Location::Remote(address) = &self.location else { return Ok(()) };
        self.mirror
            .fetch(address, &self.branch)
            .map_err(|error| LookError::Fetch(self.location.clone(), error))
    }

    fn commit(&self, repository: &git2::Repository, id: Oid) -> Result<Commit, LookError> {
        let read = |source| self.unreadable(id.to_string(), source);
        let commit = repository.find_commit(id).map_err(read)?;
        let author = commit.author();
        let name = String::from_utf8_lossy(author.name_bytes()).into_owned();
        let address = String::from_utf8_lossy(author.email_bytes()).into_owned();
        let subject = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
        Ok(Commit {
            id: id.to_string(),
            tree: self.tree_below(&commit).map(|id| id.to_string()).unwrap_or_default(),
            author: format!("{name} <{address}>"),
            subject,
            committed_at: DateTime::from_timestamp(commit.time().seconds(), 0).unwrap_or_default(),
        })
    }

    /// The tree that manifests lie below.
    fn tree_below(&self, commit: &git2::Commit<'_>) -> Option<Oid> {
        if self.subdir.is_empty() {
            return Some(commit.tree_id());
        }
        let entry = commit.tree().and_then(|root| root.get_path(Path::new(&self.subdir)));
        entry.ok().map(|entry| entry.id())
    }

    /// Whether a commit, or one between it and the one that is in force, has a trailer with a value.
    ///
    /// # Errors
    ///
    /// When the repository cannot be opened or read.
    pub fn says(
        &self,
        commit: &str,
        in_force: Option<&str>,
        trailer: &str,
        value: &str,
    ) -> Result<bool, LookError> {
        let repository = self.open()?;
        let broken = |source| self.unreadable(commit.to_owned(), source);
        let mut walk = repository.revwalk().map_err(broken)?;
        walk.push(Oid::from_str(commit).map_err(broken)?).map_err(broken)?;
        if let Some(in_force) = in_force.and_then(|id| Oid::from_str(id).ok()) {
            // One that is not there any more hides nothing; then the head alone counts.
            if walk.hide(in_force).is_err() {
                walk.simplify_first_parent().map_err(broken)?;
            }
        }
        for id in walk.take(MOST_TRAILERS) {
            let commit = id.and_then(|id| repository.find_commit(id)).map_err(broken)?;
            let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
            let Ok(trailers) = git2::message_trailers_strs(&message) else { continue };
            let said = |(name, said): (&str, &str)| {
                name.eq_ignore_ascii_case(trailer) && said.trim().eq_ignore_ascii_case(value)
            };
            if trailers.iter().any(said) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The manifests of a commit. What was parsed for an earlier commit is not parsed again.
    ///
    /// # Errors
    ///
    /// When an object is missing or broken.
    pub fn read(&mut self, commit: Commit) -> Result<Tree, LookError> {
        let repository = self.open()?;
        let broken = |source| self.unreadable(commit.id.clone(), source);
        let id = Oid::from_str(&commit.id).map_err(broken)?;
        let root = repository.find_commit(id).and_then(|commit| {
            check_whole(&repository, commit.tree_id())?;
            commit.tree()
        });
        let root = root.map_err(broken)?;
        let tree = if self.subdir.is_empty() {
            root
        } else {
            let no_folder = || LookError::NoFolder { commit: commit.id.clone(), subdir: self.subdir.clone() };
            let entry = root.get_path(Path::new(&self.subdir)).map_err(|_| no_folder())?;
            repository.find_tree(entry.id()).map_err(|_| no_folder())?
        };
        let sources = read_tree(&repository, &tree, &mut self.cache);
        let sources = sources.map_err(|source| self.unreadable(commit.id.clone(), source))?;
        Ok(Tree { commit, folder: self.subdir.clone(), sources })
    }

    /// Checks the manifests of a commit, given the runs that were moved. What was compared for an earlier commit is not
    /// compared again.
    pub fn check(&mut self, tree: &Tree, moved: &[Moved], now: DateTime<Utc>) -> Report {
        self.checker.check_with(&tree.sources, moved, now)
    }

    /// Checks the signatures of the commits that lead from what is in force to a new head.
    ///
    /// # Errors
    ///
    /// When an object is missing or broken.
    pub fn verify(&mut self, change: &signatures::Change<'_>) -> Result<Verified, LookError> {
        let git = self.open()?;
        signatures::verify(&git, &self.subdir, &mut self.cache, change)
            .map_err(|source| self.unreadable(change.head.to_owned(), source))
    }

    /// Whether one commit has another among its ancestors. A commit that is not there any more has
    /// no descendants: that is what a rewritten branch leaves behind. Where a shallow repository ends,
    /// nobody can tell, and the benefit of the doubt is given.
    ///
    /// # Errors
    ///
    /// When the repository cannot be opened.
    pub fn descends(&self, commit: &str, ancestor: &str) -> Result<bool, LookError> {
        let repository = self.open()?;
        let (Ok(commit), Ok(ancestor)) = (Oid::from_str(commit), Oid::from_str(ancestor)) else {
            return Ok(false);
        };
        let descends = || repository.graph_descendant_of(commit, ancestor).unwrap_or(false);
        Ok(commit == ancestor || descends() || repository.is_shallow())
    }

    fn open(&self) -> Result<git2::Repository, LookError> {
        match &self.location {
            Location::Local(path) => open(path),
            Location::Remote(_) => open(self.mirror.folder()),
        }
    }

    fn unreadable(&self, commit: String, source: git2::Error) -> LookError {
        let (repository, remedy) = match &self.location {
            Location::Local(path) => (path.clone(), "`git fsck` there may say more"),
            Location::Remote(_) => {
                (self.mirror.folder().to_owned(), "remove this mirror, and it is fetched anew")
            }
        };
        LookError::Read { commit, repository, remedy, source }
    }

    fn branch_head(&self, repository: &git2::Repository) -> Result<Oid, LookError> {
        let broken = |error| LookError::Open(repository.path().to_owned(), error);
        let reference = repository.find_reference(&format!("refs/heads/{}", self.branch));
        let reference = reference.and_then(|reference| reference.resolve());
        let reference = reference.map_err(|error| match error.code() {
            ErrorCode::NotFound | ErrorCode::InvalidSpec | ErrorCode::UnbornBranch => {
                self.no_branch(repository)
            }
            _ => broken(error),
        })?;
        let head = reference.target();
        let whole = head.map_or(Ok(()), |id| check_whole(repository, id));
        let object = whole.and_then(|()| reference.peel(ObjectType::Any));
        let object = object.map_err(|error| match head {
            // The branch is there, and what it leads to is not.
            Some(id) if error.code() == ErrorCode::NotFound => self.unreadable(id.to_string(), error),
            _ => broken(error),
        })?;
        // A tag is followed to what it is for.
        object.peel_to_commit().map(|commit| commit.id()).map_err(|_| LookError::NotACommit {
            location: self.location.clone(),
            branch: self.branch.clone(),
            found: match object.kind() {
                Some(ObjectType::Tree) => "folder",
                Some(ObjectType::Blob) => "file",
                _ => "tag of something else",
            },
        })
    }

    fn no_branch(&self, repository: &git2::Repository) -> LookError {
        let mut names: Vec<String> = repository
            .branches(Some(git2::BranchType::Local))
            .into_iter()
            .flatten()
            .filter_map(|branch| Some(format!("`{}`", branch.ok()?.0.name().ok()??)))
            .collect();
        if names.is_empty() {
            return LookError::Empty(self.location.clone(), self.branch.clone());
        }
        names.sort_unstable();
        names.truncate(8);
        LookError::NoBranch {
            location: self.location.clone(),
            branch: self.branch.clone(),
            others: names.join(", "),
        }
    }
}

fn open(path: &Path) -> Result<git2::Repository, LookError> {
    git2::Repository::open(path).map_err(|error| match error.code() {
        ErrorCode::NotFound => LookError::NoRepository(path.to_owned()),
        _ => LookError::Open(path.to_owned(), error),
    })
}
