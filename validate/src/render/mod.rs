//! Findings as text. Each form is a module; none decides anything.

pub mod human;
pub mod json;
