//! Why a revision could not be read, and what to do.

use std::path::PathBuf;

use thiserror::Error;

/// Why a revision could not be read.
#[derive(Debug, Error)]
pub enum RevisionError {
    /// A path leads nowhere.
    #[error("cannot read `{}`", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// There is no repository.
    #[error(
        "`{}` is not in a Git repository: revisions need one; give a folder of its work tree, or the path of a bare one",
        .0.display()
    )]
    NoRepository(PathBuf),
    /// The repository belongs to somebody else, whose configuration is not to be trusted.
    #[error(
        "the repository of `{0}` belongs to another user; if you trust it, run `git config --global --add safe.directory {1}`",
        .path.display(), .trust.display()
    )]
    Owner {
        /// What was asked for.
        path: PathBuf,
        /// The folder that has to be named as trusted.
        trust: PathBuf,
    },
    /// The repository is there and cannot be opened.
    #[error("cannot open the repository of `{}`", .0.display())]
    Open(PathBuf, #[source] git2::Error),
    /// The folder is not part of what the repository tracks.
    #[error("`{}` is not in the work tree of its repository, `{}`", .path.display(), .work_tree.display())]
    Outside {
        /// What was asked for.
        path: PathBuf,
        /// The root of the work tree.
        work_tree: PathBuf,
    },
    /// The repository has no commit yet.
    #[error("the repository has no commit yet")]
    Empty,
    /// There is no such revision.
    #[error("there is no revision `{rev}`{hint}")]
    Unknown {
        /// What was asked for.
        rev: String,
        /// What may have been meant, after a separator.
        hint: String,
    },
    /// Several objects have a hash that starts like this.
    #[error("`{0}` is the start of several hashes: give more digits")]
    Ambiguous(String),
    /// Two revisions were given.
    #[error("`{0}` is a range: give one revision; the merge base of `--base` is found by itself")]
    Range(String),
    /// It is something else than a commit.
    #[error("`{rev}` is a {what}, and not a commit")]
    NotACommit {
        /// What was asked for.
        rev: String,
        /// What it is.
        what: &'static str,
    },
    /// There is no such folder in the commit.
    #[error("there is no folder `{folder}` in `{rev}`")]
    NoFolder {
        /// The folder, from the root of the repository.
        folder: String,
        /// The revision.
        rev: String,
    },
    /// Two revisions have no commit in common.
    #[error("`{base}` and `{rev}` have no commit in common{}", if *.shallow { SHALLOW } else { "" })]
    NoMergeBase {
        /// One of them.
        base: String,
        /// The other.
        rev: String,
        /// Whether a part of the history is not there.
        shallow: bool,
    },
    /// An object is not there, since only a part of the repository was fetched.
    #[error(
        "an object of the commit `{0}` is not there: this is a partial clone, so check out the commit once, or clone without `--filter`"
    )]
    Partial(String),
    /// An object is missing or broken.
    #[error("cannot read the commit `{rev}`; `git fsck` may say more")]
    Read {
        /// The revision.
        rev: String,
        /// Why.
        #[source]
        source: git2::Error,
    },
}

/// What to do when a part of the history is not there.
pub(super) const SHALLOW: &str = "; this is a shallow clone: fetch the whole history with `git fetch --unshallow`, or in a workflow with \
     `fetch-depth: 0` of `actions/checkout`";
