//! The commands: each is a module with its arguments and what it does with them.

mod check;
mod codeowners;
mod completions;
mod explain;
mod fix;
mod now;
mod output;
mod plan;
mod print;
mod schedule;
mod schema;
mod slot;
mod source;
mod testbed;
mod trigger;
mod watch;

pub(crate) use check::Check;
pub(crate) use codeowners::Codeowners;
pub(crate) use completions::Completions;
pub(crate) use explain::Explain;
pub(crate) use plan::Plan;
pub(crate) use print::say;
pub(crate) use schedule::Schedule;
pub(crate) use schema::Schema;
pub(crate) use slot::Slot;
pub(crate) use trigger::Trigger;
pub(crate) use watch::Watch;
