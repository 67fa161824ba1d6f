//! The check of a tree of manifests: everything that is wrong with it, in one go.
//!
//! - [`Source::read`] looks at one file alone: its bytes, its YAML, and the fields of its documents.
//!   It depends on the file only, so its result can be kept for as long as the file stays the same.
//! - [`check()`] looks at all files together: names, access, schedules, conflicts. It takes the current
//!   instant as an argument and gives the same findings whatever the order of the files.
//! - [`walk()`] is the only thing here that reads files. The reconciler brings its own, out of Git.
//! - [`calendar`] says when the nodes of a checked testbed are reserved, and when they are free.
//! - [`render`] turns findings into text for people and for programs.
//!
//! Each rule is a module under `rules`, and [`Rule`] names them all; [`conflict`] is the engine behind
//! two of them and knows nothing of manifests. `yaml` alone knows the parser of values, `places` alone
//! that of positions, `wording` alone how `serde` puts its errors.

pub mod calendar;
mod check;
pub mod conflict;
mod document;
mod edits;
mod finding;
mod places;
pub mod render;
mod rule;
mod rules;
mod shape;
mod source;
mod suggest;
mod syntax;
mod testbed;
mod text;
mod tree;
mod walk;
mod wording;
mod yaml;

pub use check::{Report, check};
pub use finding::{Finding, Location, Related, Severity};
pub use rule::Rule;
pub use source::Source;
pub use testbed::{Assignment, NodeEntry, Testbed};
pub use tree::{Entry, IGNORE_FILE, Selection};
pub use walk::{WalkError, walk};
