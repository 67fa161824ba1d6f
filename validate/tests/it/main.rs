//! What the crate promises to its neighbours and to people.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod book;
mod command;
mod conflicts;
mod findings_schema;
mod fixes;
mod nasty;
mod order;
mod pages;
mod positions;
mod specs;
mod walking;
