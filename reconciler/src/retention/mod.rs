//! How long files of runs are kept, and what happens then. Records of runs stay.
//!
//! A file is kept for what its job's manifest says (`artifacts.retention`): the one in force, or of a removed job the last
//! one. Where that says nothing, the testbed's settings do. It counts from when the file was stored: what came home late
//! is there for as long as what came home at once. A run that somebody keeps loses nothing.

mod expire;
mod rule;
mod task;

pub use expire::{Expire, ExpiryStep, Looked};
pub use rule::{end, kept_for, stored_before};
pub use task::Retention;
