//! What the crate promises to its neighbours and to people.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod action;
mod command;
mod conflicts;
mod findings_schema;
mod formats;
mod hook;
mod nasty;
mod order;
mod outputs;
mod published;
mod specs;
mod walking;
