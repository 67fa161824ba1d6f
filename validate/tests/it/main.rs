//! What the crate promises to its neighbours and to people.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod calendars;
mod command;
mod conflicts;
mod describing;
mod findings_schema;
mod nasty;
mod order;
mod schedule;
mod slot;
mod specs;
mod walking;
mod watching;
