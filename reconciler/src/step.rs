//! The steps of putting a commit in force, for those who watch: metrics, traces, and tests that end
//! the program between two of them.

use std::{fmt, sync::Arc};

/// A step that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The commit is known.
    Looked,
    /// Its files are read and checked.
    Checked,
    /// What changes is known.
    Planned,
    /// The transaction is open.
    Begun,
    /// It holds the sync with its findings and changes.
    SyncWritten,
    /// It holds users, nodes, jobs, assignments and generations.
    RowsWritten,
    /// It is committed.
    Committed,
    /// Streams and calls go by it.
    Published,
}

impl Step {
    /// All, in their order.
    pub const ALL: [Self; 8] = [
        Self::Looked,
        Self::Checked,
        Self::Planned,
        Self::Begun,
        Self::SyncWritten,
        Self::RowsWritten,
        Self::Committed,
        Self::Published,
    ];
}

/// Whoever watches the steps.
#[derive(Clone)]
pub struct Steps(Arc<dyn Fn(Step) + Send + Sync>);

impl Steps {
    /// Calls a function after each step.
    pub fn new(watch: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(watch))
    }

    /// Says that a step is over.
    pub fn over(&self, step: Step) {
        (self.0)(step);
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new(|step| tracing::trace!(?step, "a step of the sync is over"))
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps")
    }
}
