//! Exit codes.

use std::process::{ExitCode, Termination};

use almanac_validate::{Report, Severity};

/// What the help of a command that only prints says about them.
pub(crate) const PRINTING: &str = "\
Exit codes:
  0  it was printed
  2  the command could not be run";

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It was done: nothing was found, or warnings alone; nothing changes; there is room; a trigger fires.
    Clean = 0,
    /// The manifests have errors, there is no room, or a trigger does not fire.
    Findings = 1,
    /// It could not be done: wrong arguments, or something that cannot be read or written. (`clap` ends
    /// the program with the same code.)
    CouldNotRun = 2,
    /// There are changes, and no errors.
    Changes = 3,
}

impl From<&Report> for Exit {
    fn from(report: &Report) -> Self {
        if report.count(Severity::Error) == 0 { Self::Clean } else { Self::Findings }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
