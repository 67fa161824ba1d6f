//! Findings, plans and calendars as text. Each form is a module; none decides anything.

pub mod calendar;
pub(crate) mod columns;
pub mod github;
pub mod human;
pub mod json;
pub mod junit;
mod line_hash;
pub mod markdown;
mod place;
pub mod plan;
pub mod sarif;
mod summary;

pub use place::place;
pub use summary::Summary;
