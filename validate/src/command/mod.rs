//! The commands: each is a module with its arguments and what it does with them.

mod check;
mod completions;
mod print;
mod schedule;
mod schema;
mod slot;
mod testbed;
mod watch;

pub(crate) use check::Check;
pub(crate) use completions::Completions;
pub(crate) use schedule::Schedule;
pub(crate) use schema::Schema;
pub(crate) use slot::Slot;
pub(crate) use watch::Watch;
