//! The commands: each is a module with its arguments and what it does with them.

mod check;

pub(crate) use check::Check;
