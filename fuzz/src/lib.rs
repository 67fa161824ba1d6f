//! What the targets have in common: how bytes become a tree of manifests.

use std::sync::Arc;

use almanac_validate::{Entry, Finding, Source};
use chrono::{DateTime, Utc};

/// The line that separates the files of an input.
const NEXT_FILE: &[u8] = b"\n=====\n";

/// The files of an input: what is between lines of `=====`.
pub fn sources(input: &[u8]) -> Vec<Arc<Source>> {
    let mut files = Vec::new();
    let mut rest = input;
    while let Some(end) = rest.windows(NEXT_FILE.len()).position(|window| window == NEXT_FILE) {
        files.push(&rest[..end + 1]);
        rest = &rest[end + NEXT_FILE.len()..];
    }
    files.push(rest);
    let source =
        |(index, bytes): (usize, &[u8])| Arc::new(Source::read(&format!("{index}.yaml"), Entry::File(bytes)));
    files.into_iter().enumerate().map(source).collect()
}

/// The present, for all targets.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("this is in 2027")
}

/// The bytes of a text that a line and a column, counted from 1 in characters, lead to.
fn byte(text: &str, line: u32, column: u32) -> Option<usize> {
    let lines = text.split_inclusive('\n');
    let start: usize = lines.take(line as usize - 1).map(str::len).sum();
    let line = text[start..].split('\n').next()?;
    let ends = line.char_indices().map(|(byte, _)| byte).chain([line.len()]);
    ends.into_iter().nth(column as usize - 1).map(|byte| start + byte)
}

/// Asserts that everything a finding points at is there.
pub fn assert_placed(finding: &Finding, sources: &[Arc<Source>]) {
    let text = |file: &str| {
        let source = sources.iter().find(|source| source.path() == file);
        source.unwrap_or_else(|| panic!("`{file}` is no file: {finding:?}")).text()
    };
    let related = finding.related.iter().map(|related| &related.location);
    for location in finding.location.iter().chain(related) {
        let text = text(&location.file);
        let start = byte(text, location.line, location.column);
        let end = byte(text, location.end_line, location.end_column);
        let (Some(start), Some(end)) = (start, end) else {
            panic!("{location:?} is not in the text {text:?}: {finding:?}")
        };
        assert!(start <= end, "{location:?} ends before it starts: {finding:?}");
        // A slice fails within a character.
        let _ = &text[start..end];
    }
    for edit in finding.fix.iter().flat_map(|fix| &fix.edits) {
        let text = text(&edit.location.file);
        let start = byte(text, edit.location.line, edit.location.column);
        let end = byte(text, edit.location.end_line, edit.location.end_column);
        assert_eq!(start..end, Some(edit.range.start)..Some(edit.range.end), "{finding:?}");
    }
}
