//! Why a commit cannot be looked at.

use std::path::PathBuf;

use thiserror::Error;

use super::{Location, MirrorError};

/// Why a commit could not be looked at.
#[derive(Debug, Error)]
pub enum LookError {
    /// There is no repository.
    #[error("there is no Git repository at {0}; give the path of one, bare or not, or its address")]
    NoRepository(PathBuf),
    /// The repository is there and cannot be opened.
    #[error("cannot open the repository {0}")]
    Open(PathBuf, #[source] git2::Error),
    /// The repository has no commit yet.
    #[error("the repository {0} has no commit yet; push the branch `{1}`")]
    Empty(Location, String),
    /// There is no such branch.
    #[error("the repository {location} has no branch `{branch}`; it has {others}")]
    NoBranch {
        /// The repository.
        location: Location,
        /// The branch that was asked for.
        branch: String,
        /// The branches that there are.
        others: String,
    },
    /// There is no such commit.
    #[error("the repository {location} has no commit {commit}; is it pushed, and the hash right?")]
    NoCommit {
        /// The repository.
        location: Location,
        /// The commit that was asked for.
        commit: String,
    },
    /// Several commits begin like this.
    #[error(
        "several commits of the repository {location} begin with {prefix}: {commits}; give more of the hash"
    )]
    Ambiguous {
        /// The repository.
        location: Location,
        /// What was asked for.
        prefix: String,
        /// Some of those that there are, with what they are about.
        commits: String,
    },
    /// The branch leads to something that is no commit.
    #[error(
        "the branch `{branch}` of {location} leads to a {found}, and not to a commit; push a commit to it"
    )]
    NotACommit {
        /// The repository.
        location: Location,
        /// The branch.
        branch: String,
        /// What it leads to.
        found: &'static str,
    },
    /// There is no such folder in the commit.
    #[error("commit {commit} has no folder `{subdir}`")]
    NoFolder {
        /// The commit.
        commit: String,
        /// The folder.
        subdir: String,
    },
    /// An object is missing or broken.
    #[error("cannot read commit {commit} in {}; {remedy}", .repository.display())]
    Read {
        /// The commit.
        commit: String,
        /// Where it was read.
        repository: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// A remote repository cannot be fetched.
    #[error("cannot fetch {0}")]
    Fetch(Location, #[source] MirrorError),
}
