//! Findings: what is wrong, where, and what would be right. They are data; [`crate::render`] makes
//! text of them.

use std::ops::Range;

use crate::Rule;

/// Something that is wrong with a tree of manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that found it.
    pub rule: Rule,
    /// Whether the tree can be used in spite of it.
    pub severity: Severity,
    /// What is wrong: one line, lower case, names in backticks.
    pub message: String,
    /// Where it is. Absent when it is about the tree as a whole.
    pub location: Option<Location>,
    /// Other places that one has to see to understand it.
    pub related: Vec<Related>,
    /// What one has to know to understand it, one fact each.
    pub notes: Vec<String>,
    /// What would make it go away.
    pub help: Option<String>,
    /// The change that makes it go away, where there is one that is certainly meant.
    pub fix: Option<Fix>,
    /// Whether the tree that this one is compared with has it not. Absent when there is none.
    pub new: Option<bool>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The tree cannot be used.
    Error,
    /// The tree can be used, and yet this is probably not what is meant.
    Warning,
}

impl Severity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A range of a file's text. Lines and columns count from 1, columns in characters; the end is exclusive.
///
/// A finding about a file as a whole (a symbolic link, say) has the empty range at 1:1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file's path from the root of the tree, with `/`.
    pub file: String,
    /// The line of the first character.
    pub line: u32,
    /// The column of the first character.
    pub column: u32,
    /// The line of the first character after the range.
    pub end_line: u32,
    /// The column of the first character after the range.
    pub end_column: u32,
}

impl Location {
    /// A file as a whole.
    pub fn whole_file(file: &str) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1, end_line: 1, end_column: 1 }
    }
}

/// Another place that has to do with a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where it is.
    pub location: Location,
}

/// A change of files that makes a finding go away. It is there only where it is certainly what was
/// meant, so that a program may carry it out unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What is done: one line, imperative, lower case.
    pub message: String,
    /// The edits, which belong together.
    pub edits: Vec<Edit>,
}

/// A range of a file's text that is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Where the range is, for people.
    pub location: Location,
    /// The same range in bytes of [`Source::text`](crate::Source::text), which has no byte-order mark.
    pub range: Range<usize>,
    /// What comes in its place.
    pub replacement: String,
}
