//! The line that counts what was found.

use std::{fmt, time::Duration};

use crate::{Report, Severity, words::counted};

/// How much was found in how many files: `21 files checked in 12 ms: 1 error, 2 warnings`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    files: usize,
    errors: usize,
    warnings: usize,
    silenced: usize,
    /// How many are new, when there is something to compare with.
    new: Option<usize>,
    left_out: usize,
    elapsed: Option<Duration>,
}

impl Summary {
    /// The summary of a report on so many files.
    pub fn new(report: &Report, files: usize) -> Self {
        let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
        Self {
            files,
            errors,
            warnings,
            silenced: report.silenced,
            new: report.count_new(),
            left_out: report.left_out,
            elapsed: None,
        }
    }

    /// The same, with the time that it took.
    #[must_use]
    pub fn after(self, elapsed: Duration) -> Self {
        Self { elapsed: Some(elapsed), ..self }
    }

    /// Whether no finding is an error.
    pub(super) fn is_clean(&self) -> bool {
        self.errors == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} checked", counted(self.files, "file"))?;
        if let Some(elapsed) = self.elapsed {
            write!(f, " in {}", Elapsed(elapsed))?;
        }
        match (self.errors, self.warnings) {
            (0, 0) => write!(f, ", nothing found"),
            (errors, 0) => write!(f, ": {}", counted(errors, "error")),
            (0, warnings) => write!(f, ": {}", counted(warnings, "warning")),
            (errors, warnings) => {
                write!(f, ": {}, {}", counted(errors, "error"), counted(warnings, "warning"))
            }
        }?;
        if self.silenced > 0 {
            write!(f, " ({} silenced)", counted(self.silenced, "warning"))?;
        }
        match (self.left_out, self.new) {
            (0, None) => Ok(()),
            (0, Some(new)) => match (new, self.errors + self.warnings) {
                (0, 1) => write!(f, ", which is not new"),
                (0, _) => write!(f, "; none of them new"),
                (1, 1) => write!(f, ", which is new"),
                (new, all) if new == all => write!(f, "; all of them new"),
                (new, _) => write!(f, "; {new} of them new"),
            },
            (left_out, _) => write!(f, "; {} of the base left out", counted(left_out, "finding")),
        }
    }
}

/// A time to two digits or to the millisecond, whichever says more.
struct Elapsed(Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = (self.0.as_secs_f64() * 1e3).max(0.1);
        if milliseconds < 9.95 {
            write!(f, "{milliseconds:.1} ms")
        } else if milliseconds < 999.5 {
            write!(f, "{milliseconds:.0} ms")
        } else {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_counted() {
        let line =
            |files, errors, warnings| Summary { files, errors, warnings, ..Summary::default() }.to_string();
        assert_eq!(line(0, 0, 0), "0 files checked, nothing found");
        assert_eq!(line(1, 0, 0), "1 file checked, nothing found");
        assert_eq!(line(3, 1, 0), "3 files checked: 1 error");
        assert_eq!(line(3, 0, 2), "3 files checked: 2 warnings");
        assert_eq!(line(21, 1, 2), "21 files checked: 1 error, 2 warnings");
    }

    #[test]
    fn what_is_new_is_counted() {
        let line =
            |errors, new| Summary { files: 2, errors, new: Some(new), ..Summary::default() }.to_string();
        assert_eq!(line(1, 0), "2 files checked: 1 error, which is not new");
        assert_eq!(line(1, 1), "2 files checked: 1 error, which is new");
        assert_eq!(line(3, 0), "2 files checked: 3 errors; none of them new");
        assert_eq!(line(3, 1), "2 files checked: 3 errors; 1 of them new");
        assert_eq!(line(3, 3), "2 files checked: 3 errors; all of them new");
    }

    #[test]
    fn times_are_short() {
        let summary = Summary { files: 21, errors: 1, warnings: 2, ..Summary::default() };
        let line = summary.after(Duration::from_micros(12_345)).to_string();
        assert_eq!(line, "21 files checked in 12 ms: 1 error, 2 warnings");
        let shown = |microseconds| Elapsed(Duration::from_micros(microseconds)).to_string();
        assert_eq!(shown(40), "0.1 ms");
        assert_eq!(shown(9_949), "9.9 ms");
        assert_eq!(shown(9_950), "10 ms");
        assert_eq!(shown(999_499), "999 ms");
        assert_eq!(shown(999_500), "1.0 s");
        assert_eq!(shown(83_210_000), "83.2 s");
    }
}
