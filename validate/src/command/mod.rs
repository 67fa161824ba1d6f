//! The commands: each is a module with its arguments and what it does with them.

mod check;
mod explain;
mod fix;

pub(crate) use check::Check;
pub(crate) use explain::Explain;
