//! How the program ends.

use std::process::ExitCode;

/// How the program ends, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what it was asked.
    Success,
    /// 1: `sync --once` did not put the commit in force: it has errors, waits, or the syncs are suspended.
    Rejected,
    /// 2: it could not run, or the command line is wrong.
    CouldNotRun,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Rejected => 1,
            Exit::CouldNotRun => 2,
        })
    }
}
