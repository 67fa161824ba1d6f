//! What the crate promises to its neighbours and to people.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod command;
mod conflicts;
mod findings_schema;
mod nasty;
mod order;
mod specs;
mod walking;
