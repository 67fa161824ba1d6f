//! Trees of manifests in the history of a Git repository.
//!
//! Objects are read from the object database: nothing is checked out, nothing in the repository is run
//! (no hook, filter, text conversion or `core.fsmonitor`, whatever its configuration says), and there
//! is no network.

mod difference;
mod error;
mod loose;
mod repository;
mod tree;

pub use difference::{Difference, read_difference};
pub use error::RevisionError;
pub use loose::check_whole;
pub use repository::{Commit, Repository};
pub use tree::{Cache, read_tree};
