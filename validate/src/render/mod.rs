//! Findings, and calendars, as text. Each form is a module; none decides anything.

pub mod calendar;
pub(crate) mod columns;
pub mod human;
pub mod json;
pub mod plan;
