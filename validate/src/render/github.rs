//! Findings as workflow commands, which GitHub Actions shows as annotations beside the lines that they
//! are about. GitHub shows the first ten errors and the first ten warnings of a step; the log has all.
//!
//! The format is GitHub's, as its documentation of workflow commands and the runner's own source have it:
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>.

use std::{
    fmt::{self, Write},
    path::Path,
};

use super::{Summary, place};
use crate::{Finding, Report, text::shortened};

/// How much of a text is shown, in characters. An annotation holds 64 KiB.
const MAX_TEXT: usize = 4_000;

/// Shows the findings of a report on so many files, one command each, and a line that counts them.
/// Paths are given below `root`, which has to be relative to the folder of the workflow's checkout.
pub fn github(report: &Report, files: usize, root: &Path) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        command(&mut text, finding, root).expect("a string takes whatever is written to it");
    }
    text + &format!("{}\n", Summary::new(report, files))
}

fn command(text: &mut String, finding: &Finding, root: &Path) -> fmt::Result {
    let new = if finding.new == Some(true) { "new: " } else { "" };
    write!(text, "::{} title={}", finding.severity.as_str(), property(&format!("{new}{}", finding.rule)))?;
    let mut message = String::new();
    if let Some(location) = &finding.location {
        let file = root.join(&location.file);
        write!(text, ",file={},line={}", property(&file.to_string_lossy()), location.line)?;
        write!(text, ",endLine={},col={}", location.end_line, location.column)?;
        // GitHub takes columns for those of one line.
        if location.line == location.end_line && location.column < location.end_column {
            write!(text, ",endColumn={}", location.end_column)?;
        }
        // The log shows the message alone.
        write!(message, "{}: ", place(root, location))?;
    }
    message += &shortened(&finding.message, MAX_TEXT);
    for related in &finding.related {
        let place = place(root, &related.location);
        write!(message, "\n{place}: {}", shortened(&related.message, MAX_TEXT))?;
    }
    for note in &finding.notes {
        write!(message, "\nnote: {}", shortened(note, MAX_TEXT))?;
    }
    if let Some(help) = &finding.help {
        write!(message, "\nhelp: {}", shortened(help, MAX_TEXT))?;
    }
    writeln!(text, "::{}", data(&message))
}

/// The text of a command. Without line ends it cannot hold another command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
