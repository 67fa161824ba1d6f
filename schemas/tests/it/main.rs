//! What the crate promises to its neighbours.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod json_schemas;
mod manifests;
mod timetable;
