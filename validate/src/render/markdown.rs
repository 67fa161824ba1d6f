//! Findings as Markdown, for the comment on a pull request and the summary of a workflow's run.
//!
//! What manifests and file names say is never taken for Markdown, HTML or the mention of somebody.

use std::{path::Path, sync::Arc};

use super::{
    Summary,
    human::{Frames, Style},
    place,
};
use crate::{
    Finding, Report, Severity, Source,
    text::{printable, shortened},
    words::counted,
};

/// How long the text is at most, in characters. A comment on GitHub holds 65,536.
pub const MAX_LENGTH: usize = 65_000;
/// How much of it the table takes at most.
const MAX_TABLE: usize = 40_000;
/// How much all that surrounds the table's rows and the frames takes at most.
const MAX_AROUND: usize = 1_000;
/// How much of a text of a finding is shown, in characters.
const MAX_TEXT: usize = 500;

/// A report on some sources: a verdict, a table of the findings, and, folded away, the lines that they
/// are about. Errors come first. Paths are shown below `root`.
pub fn markdown(report: &Report, sources: &[Arc<Source>], root: &Path) -> String {
    let summary = Summary::new(report, sources.len());
    let verdict = if summary.is_clean() { "Valid." } else { "Not valid." };
    let mut text = format!("**{verdict}** {summary}\n");
    let (errors, warnings): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.severity == Severity::Error);
    let findings: Vec<&Finding> = errors.into_iter().chain(warnings).collect();
    if findings.is_empty() {
        return text;
    }

    let mut table = Part::new(MAX_TABLE);
    let rows = findings.iter().take_while(|finding| table.takes(&row(finding, root))).count();
    text += "\n| severity | rule | place | finding |\n|---|---|---|---|\n";
    text += &table.text;

    let frames = Frames::new(sources, root, Style::Plain);
    let mut lines = Part::new(MAX_LENGTH - MAX_AROUND - table.length);
    let framed = findings[..rows].iter();
    let framed = framed.filter(|finding| lines.takes(&(frames.text(finding) + "\n\n"))).count();
    if framed > 0 {
        let fence = fence(&lines.text);
        let lines = lines.text.trim_end();
        text += "\n<details>\n<summary>The lines in question</summary>\n\n";
        text += &format!("{fence}text\n{lines}\n{fence}\n\n</details>\n");
    }

    let left_out = findings.len() - rows;
    let unframed = rows - framed;
    if left_out > 0 {
        text += &format!("\nLeft out, for this is too long already: {}.\n", counted(left_out, "finding"));
    } else if unframed > 0 {
        text += &format!(
            "\nLeft out, for this is too long already: the lines of {}.\n",
            counted(unframed, "finding")
        );
    }
    text
}

/// A part of the text that has room for so many characters.
struct Part {
    text: String,
    length: usize,
    room: usize,
}

impl Part {
    fn new(room: usize) -> Self {
        Self { text: String::new(), length: 0, room }
    }

    /// Adds a piece if there is room for it.
    fn takes(&mut self, piece: &str) -> bool {
        let length = self.length + piece.chars().count();
        if length > self.room {
            return false;
        }
        self.length = length;
        self.text += piece;
        true
    }
}

fn row(finding: &Finding, root: &Path) -> String {
    let place = finding.location.as_ref().map(|location| code(&place(root, location)));
    let help = finding.help.as_ref().map(|help| format!("<br>help: {}", inline(help)));
    format!(
        "| {}{} | {} | {} | {}{} |\n",
        if finding.new == Some(true) { "new " } else { "" },
        finding.severity.as_str(),
        code(finding.rule.as_str()),
        place.unwrap_or_default(),
        inline(&finding.message),
        help.unwrap_or_default(),
    )
}

/// A text with names in backticks, which become code.
pub(super) fn inline(text: &str) -> String {
    let text = printable(shortened(text, MAX_TEXT).into_owned());
    let mut parts = text.split('`').enumerate().peekable();
    let mut shown = String::new();
    while let Some((index, part)) = parts.next() {
        match index % 2 {
            0 => shown += &escaped(part),
            // The one that is not closed is a backtick and nothing more.
            _ if parts.peek().is_none() => shown += &format!("&#96;{}", escaped(part)),
            _ => shown += &code(part),
        }
    }
    shown
}

/// A text as code, whatever it holds, also within a table.
pub(super) fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let text = printable(shortened(text, MAX_TEXT).into_owned());
    format!("<code>{}</code>", entities(&text))
}

/// Plain text. Forges look for mentions and references in what they have rendered, so those are broken
/// up by a character that is not seen.
fn escaped(text: &str) -> String {
    let unseen = |sign: &str| format!("{sign}&#8203;");
    entities(text).replace("&#64;", &unseen("&#64;")).replace("&#35;", &unseen("&#35;"))
}

/// A text in which no character means anything to Markdown or HTML.
fn entities(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if "&<>\\`*_[]|~$#@".contains(c) {
            shown += &format!("&#{};", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    // Addresses are made links by what they begin with.
    shown.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// A fence that the text does not hold.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_means_anything() {
        assert_eq!(inline("unknown field `teem`"), "unknown field <code>teem</code>");
        assert_eq!(inline("a|b*_[x](y)"), "a&#124;b&#42;&#95;&#91;x&#93;(y)");
        assert_eq!(inline("@me #1 `@me`"), "&#64;&#8203;me &#35;&#8203;1 <code>&#64;me</code>");
        assert_eq!(inline("a `b` `c"), "a <code>b</code> &#96;c");
        assert_eq!(inline("`</code><script>`"), "<code>&#60;/code&#62;&#60;script&#62;</code>");
        assert_eq!(inline("http://e www.e"), "http&#58;//e www&#46;e");
        assert_eq!(inline("a\nb"), "a&#92;nb");
    }

    #[test]
    fn fences_are_longer_than_what_they_hold() {
        assert_eq!(fence("a `b`"), "```");
        assert_eq!(fence("a ````\nb"), "`````");
    }
}
