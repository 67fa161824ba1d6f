//! The check of a tree of manifests: everything that is wrong with it, in one go.
//!
//! - [`Source::read`] looks at one file alone: its bytes, its YAML, and the fields of its documents.
//!   It depends on the file only, so its result can be kept for as long as the file stays the same.
//! - [`check()`] looks at all files together: names, access, schedules, conflicts. It takes the current
//!   instant as an argument and gives the same findings whatever the order of the files.
//! - [`fix()`] carries out the fixes that findings bring, in memory, and checks again.
//! - [`walk()`] is the only thing here that reads files.
//! - [`revision`] reads the same out of the history of a Git repository. [`novelty`] compares the findings of
//!   two trees, [`plan`] what they declare, and [`ownership`] says who may make such a change.
//! - [`Moved`] is a run that takes place at another time than the one that is declared.
//! - [`calendar`] says when the nodes of a checked testbed are reserved, and when they are free.
//! - [`render`] turns findings into text for people and for programs.
//!
//! Each rule is a module under `rules`, and [`Rule`] names them all, with the page of each in `docs/rules`;
//! [`conflict`] is the engine behind three of them and knows nothing of manifests. `allow` reads the comments
//! that silence warnings. `yaml` alone knows the parser of values, `places` alone that of positions and
//! comments, `wording` alone how `serde` puts its errors. [`words`] is how
//! numbers and lists are put in all texts.

mod allow;
pub mod calendar;
mod check;
mod codeowners;
pub mod conflict;
mod declared;
mod document;
mod edits;
mod finding;
mod fix;
mod flood;
mod moved;
pub mod novelty;
pub mod ownership;
mod places;
pub mod plan;
pub mod render;
pub mod revision;
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
pub mod words;
mod yaml;

pub use check::{Checker, Report, check, check_change};
pub use codeowners::codeowners;
pub use declared::{Declared, Key};
pub use finding::{Edit, Finding, Fix, Location, Related, Severity};
pub use fix::{Fixed, fix, fix_change};
pub use moved::Moved;
pub use rule::{Rule, UnknownRule};
pub use source::Source;
pub use testbed::{Assignment, NodeEntry, Testbed};
pub use tree::{Entry, IGNORE_FILE, Selection};
pub use walk::{WalkError, walk};
