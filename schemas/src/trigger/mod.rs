//! What a trigger means: a condition over what a node measures about itself, in CEL, the Common Expression Language
//! (<https://github.com/google/cel-spec>), of which this is a part.
//!
//! There are numbers, texts and truth values; `+ - * /`, comparisons, `&& || !` and `c ? a : b`; and functions over what
//! was measured before ([`Over`]). [`Condition::parse`] checks names and types, so that nothing is left to go wrong when
//! the condition is decided but that something was not measured: [`Condition::decide`] says which, and decides only what
//! does not depend on it. A trigger that cannot be decided does not fire.
//!
//! - [`field`]: what can be named, and of which type each is.
//! - `parse`: from text to a condition, with problems at their places.
//! - [`samples`]: what was measured, and how far back it is known.
//! - `decide`: whether it holds.

mod condition;
mod decide;
pub mod field;
mod parse;
mod problem;
pub mod samples;
#[cfg(test)]
mod tests;

pub use condition::{Condition, Over};
pub use decide::Decision;
pub use field::{Field, FieldType, Provider};
pub use problem::Problem;
pub use samples::{Samples, Value};
