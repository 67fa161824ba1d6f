//! Exit codes.

use std::process::{ExitCode, Termination};

use almanac_validate::{Report, Severity};

/// What the help says about them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  nothing was found, or warnings alone
  1  at least one error was found
  2  the check could not be run, or its findings not be written";

/// What the help of `plan` says about them.
pub(crate) const PLAN_EXIT_CODES: &str = "\
Exit codes:
  0  nothing changes
  1  what it changes to has at least one error
  2  the plan could not be made
  3  something changes";

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Nothing was found, or warnings alone.
    Clean = 0,
    /// At least one error was found.
    Findings = 1,
    /// The check could not be run: wrong arguments, or a folder that cannot be read. Or its findings
    /// could not be written. (`clap` ends the program with the same code.)
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
