//! What is wrong with a trigger.

use std::ops::Range;

use thiserror::Error;

/// What is wrong with a trigger, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Problem {
    /// What was found and what was expected.
    pub message: String,
    /// What to do about it, if that can be told.
    pub help: Option<String>,
    /// Where in the text, in bytes.
    pub at: Range<usize>,
    /// Where a name is not known: those that are, one of which may be meant.
    pub known: Vec<String>,
}
