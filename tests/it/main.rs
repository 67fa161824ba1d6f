//! One test per promise, end to end: real binaries, a real Git repository, a database and a store
//! on disk, and a real container engine where containers matter.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod bad_commits;
mod bad_input;
mod containers;
mod crashes;
mod downloads;
mod experiments;
mod host;
mod isolation;
mod kernel;
mod making_room;
mod scavenger;
mod schedule;
mod servers;
mod soak;
mod steering;
mod stores;
mod tail;
mod telemetry;
