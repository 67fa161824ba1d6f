//! The commands: each is a module with its arguments and what it does with them.

mod check;
mod codeowners;
mod explain;
mod fix;
mod plan;
mod source;

pub(crate) use check::Check;
pub(crate) use codeowners::Codeowners;
pub(crate) use explain::Explain;
pub(crate) use plan::Plan;
