//! The harness of the end-to-end tests: real binaries, a real Git repository, a database and a
//! store on disk, and a real container engine.
//!
//! [`Testbed`] is where to start. A test declares manifests, pushes them, and waits for what should
//! become of it; a daemon that dies meanwhile fails the test at once, with its log.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the test")]

mod binaries;
mod daemon;
pub mod engine;
pub mod manifest;
pub mod object_store;
mod repository;
mod testbed;
mod wait;

pub use binaries::path as binary;
pub use daemon::Daemon;
pub use repository::Repository;
pub use testbed::{Runtime, Testbed};
pub use wait::wait_for;
