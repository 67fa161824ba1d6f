//! What runs write to their standard output and error, kept within a bound: the beginning and the
//! end of a log stay, and a notice in between says how much was left out.
//!
//! [`capture`] keeps the files of one log, `seal` makes one of them in the end, and [`reader`] reads them while
//! they are written; `extent` is how far that is. [`place`] says which of an engine's messages are in them
//! already, `order` whether they follow each other, [`engine`] takes a container's log from an engine, and [`pump`] a process's from two pipes. [`stream`]
//! sends logs that somebody watches.

pub mod capture;
pub mod engine;
mod extent;
mod order;
pub mod place;
pub mod pump;
pub mod reader;
mod seal;
pub mod stream;

pub use capture::{Capture, LogFiles};
pub use reader::{From, Piece};

/// How much of a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What there is now.
    Now,
    /// What there is, and what comes until the container ends.
    ToTheEnd,
}
