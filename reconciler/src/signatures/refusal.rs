//! Why a commit's signature does not count.

use thiserror::Error;

/// Why a commit's signature does not count, to be read after "commit `...` ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// It has none.
    #[error("is not signed")]
    Unsigned,
    /// It is of another kind.
    #[error("is signed with {0} and not with an SSH key")]
    Foreign(&'static str),
    /// It is no signature at all, or by a key of an algorithm that is not even known.
    #[error("carries a signature that cannot be read as one by an `ssh-ed25519` key")]
    Unreadable,
    /// Programs may differ in which of them they look at.
    #[error("carries more than one signature")]
    Several,
    /// Programs differ in where they take the commit to end.
    #[error("holds a NUL byte, at which some programs take it to end")]
    Nul,
    /// It is a signature of something that is no commit.
    #[error("carries a signature for `{0}`, where one for `git` is expected")]
    Namespace(String),
    /// The key is of another algorithm.
    #[error("is signed with a key of type `{0}`, and only `ssh-ed25519` counts")]
    Algorithm(String),
    /// It is not a signature of this commit.
    #[error("carries a signature by the key {0} that is not of this commit, or the commit was changed since")]
    Broken(String),
    /// Nobody is known by the key.
    #[error("is signed with the key {0}, which no user had declared before it")]
    Undeclared(String),
    /// Several are.
    #[error("is signed with the key {fingerprint}, which {users} had declared before it")]
    Shared {
        /// The key.
        fingerprint: String,
        /// Who has declared it.
        users: String,
    },
}

impl Refusal {
    /// What to do once the commit is out of the branch.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Undeclared(_) => "make it again, signed with a key that the branch declares before it",
            Self::Shared { .. } => "make it again, signed with a key of one user alone",
            _ => "make it again with `git commit -S`, with `gpg.format` set to `ssh`",
        }
    }
}
