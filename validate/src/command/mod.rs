//! The commands: each is a module with its arguments and what it does with them.

mod check;
mod output;

pub(crate) use check::Check;
