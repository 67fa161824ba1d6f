//! What runs write to their standard output and error, kept within a bound: the beginning and the
//! end of a log stay, and a notice in between says how much was left out.
//!
//! [`capture`] keeps the files of one log, [`place`] says which of an engine's messages are in them
//! already, [`engine`] takes a container's log from an engine, and [`pump`] a process's from a pipe.

pub mod capture;
pub mod engine;
pub mod place;
pub mod pump;

pub use capture::{Capture, LogFiles};

/// How much of a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What there is now.
    Now,
    /// What there is, and what comes until the container ends.
    ToTheEnd,
}
