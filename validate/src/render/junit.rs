//! Findings as a JUnit report: one test case per file, which fails when the file has errors. Warnings
//! are output of the test case, for a build is not to fail for them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{
    human::{Frames, Style},
    place,
};
use crate::{Finding, Report, Severity, Source, text::shortened, words::counted};

const SUITE: &str = env!("CARGO_PKG_NAME");

/// How much of a message a list of test cases shows, in characters.
const MAX_TEXT: usize = 500;

/// The test case of what is about no file. It is there always, so that an empty tree has one too: some
/// readers take a report without test cases for a broken one.
const TREE: &str = "all files together";

/// A report on some sources, as XML. Paths are shown below `root`.
pub fn junit(report: &Report, sources: &[Arc<Source>], root: &Path) -> String {
    let frames = Frames::new(sources, root, Style::Plain);
    let mut files: BTreeMap<Option<&str>, Vec<&Finding>> =
        sources.iter().map(|source| (Some(source.path()), Vec::new())).collect();
    files.insert(None, Vec::new());
    for finding in &report.findings {
        let file = finding.location.as_ref().map(|location| location.file.as_str());
        files.entry(file).or_default().push(finding);
    }
    let mut suite = TestSuite::new(SUITE);
    suite.add_test_cases(files.into_iter().map(|(file, findings)| {
        let name = file.map_or(TREE.to_owned(), |file| place::path(root, file));
        test_case(&name, &findings, &frames)
    }));
    let mut document = quick_junit::Report::new(SUITE);
    document.add_test_suite(suite);
    let text = document.to_string().expect("what is written to memory is written");
    // The published schemas know the count of what was skipped in a suite, and not in all of them.
    text.replacen(" skipped=\"0\"", "", 1)
}

fn test_case(name: &str, findings: &[&Finding], frames: &Frames<'_>) -> TestCase {
    let (errors, warnings): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.severity == Severity::Error);
    let mut status = TestCaseStatus::success();
    if let Some(first) = errors.first() {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        let message = shortened(&first.message, MAX_TEXT);
        let message = match errors.len() {
            1 => message.into_owned(),
            count => format!("{}, the first: {message}", counted(count, "error")),
        };
        status.set_message(allowed(&message));
        status.set_type(first.rule.as_str());
        status.set_description(shown(&errors, frames));
    }
    let mut case = TestCase::new(allowed(name), status);
    case.set_classname(SUITE);
    if !warnings.is_empty() {
        case.set_system_out(shown(&warnings, frames));
    }
    case
}

fn shown(findings: &[&Finding], frames: &Frames<'_>) -> String {
    findings.iter().map(|finding| allowed(&frames.text(finding)) + "\n\n").collect()
}

/// A text without what XML forbids, all of it still there to be read.
fn allowed(text: &str) -> String {
    let forbidden = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
    let shown = |c: char| if forbidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_forbids_is_escaped_and_not_lost() {
        assert_eq!(allowed("a\nb\tc\0d\u{1b}[31m\u{ffff}é<&"), "a\nb\\u{9}c\\u{0}d\\u{1b}[31m\\u{ffff}é<&");
    }
}
