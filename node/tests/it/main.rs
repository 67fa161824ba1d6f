//! The agent against a reconciler that only remembers, and its parts against real files, processes
//! and engines.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, which is what it should do")]

mod agent;
mod docker;
mod fake;
mod keygen;
mod kill;
mod upload;
