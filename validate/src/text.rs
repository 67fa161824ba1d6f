//! A file's text, and its lines.

use std::{borrow::Cow, ops::Range};

use crate::{Edit, Fix, Location};

/// A text with the start of each line.
#[derive(Debug)]
pub(crate) struct Text {
    content: String,
    /// The byte at which each line starts. A line ends at `\n`, which a `\r` may precede.
    lines: Vec<usize>,
}

impl Text {
    pub(crate) fn new(content: String) -> Self {
        let breaks = content.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(index, _)| index + 1)).collect();
        Self { content, lines }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.content
    }

    /// The location of a range of bytes.
    pub(crate) fn location(&self, file: &str, range: &Range<usize>) -> Location {
        let ((line, column), (end_line, end_column)) = (self.place(range.start), self.place(range.end));
        Location { file: file.to_owned(), line, column, end_line, end_column }
    }

    /// A change of this text as the fix of a finding.
    pub(crate) fn fix(&self, file: &str, patch: Patch) -> Fix {
        let Patch { message, range, replacement } = patch;
        let edit = Edit { location: self.location(file, &range), range, replacement };
        Fix { message: printable(message), edits: vec![edit] }
    }

    /// The bytes of a location. Places beyond the text are cut to it.
    pub(crate) fn range(&self, location: &Location) -> Range<usize> {
        let start = self.offset(location.line, location.column);
        start..self.offset(location.end_line, location.end_column).max(start)
    }

    /// The lines that a range touches, with one more on either side, as a range of bytes and the number
    /// of the first one, from 1.
    pub(crate) fn around(&self, range: &Range<usize>) -> (Range<usize>, usize) {
        let line = |byte: usize| self.lines.partition_point(|start| *start <= byte) - 1;
        let first = line(range.start).saturating_sub(1);
        let end = self.lines.get(line(range.end) + 2).copied().unwrap_or(self.content.len());
        (self.lines[first]..end, first + 1)
    }

    /// The byte at a line and a column, both from 1.
    pub(crate) fn offset(&self, line: u32, column: u32) -> usize {
        let line = line.saturating_sub(1) as usize;
        let Some(start) = self.lines.get(line) else { return self.content.len() };
        let end = self.lines.get(line + 1).map_or(self.content.len(), |next| next - 1);
        let text = &self.content[*start..end.max(*start)];
        let column = column.saturating_sub(1) as usize;
        start + text.char_indices().nth(column).map_or(text.len(), |(offset, _)| offset)
    }

    fn place(&self, byte: usize) -> (u32, u32) {
        let mut byte = byte.min(self.content.len());
        while !self.content.is_char_boundary(byte) {
            byte -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= byte) - 1;
        let column = self.content[self.lines[line]..byte].chars().count();
        let number = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
        (number(line), number(column))
    }
}

/// A change of a text, before it is known in which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    /// What is done: imperative, lower case.
    pub(crate) message: String,
    /// The bytes that are replaced.
    pub(crate) range: Range<usize>,
    /// What comes in their place.
    pub(crate) replacement: String,
}

/// A text that may be shown: what a manifest says could steer a terminal otherwise, or make a text
/// read differently from what it says (Unicode's marks of direction).
pub(crate) fn printable(text: String) -> String {
    if !text.contains(steers) {
        return text;
    }
    let shown = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// A text that people can read: long quotations of what a manifest says are cut, and nothing steers.
pub(crate) fn readable(text: String) -> String {
    /// The longest quotation, and what is left of a longer one, in characters.
    const LONGEST: usize = 200;
    const LEFT: usize = 60;
    /// The longest text; it holds quotation marks that were not meant as such.
    const WHOLE: usize = 2_000;
    if text.len() <= LONGEST {
        return printable(text);
    }
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        1 if part.chars().nth(LONGEST).is_some() => shortened(part, LEFT),
        _ => Cow::Borrowed(part),
    });
    let text = parts.collect::<Vec<_>>().join("`");
    printable(shortened(&text, WHOLE).into_owned())
}

fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The beginning of a text, of so many characters at most.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lead_back() {
        let text = Text::new("äb\r\nc: é x\n".to_owned());
        let range = text.as_str().find('x').map(|start| start..start + 1).unwrap();
        let location = text.location("f", &range);
        assert_eq!((location.line, location.column, location.end_line, location.end_column), (2, 6, 2, 7));
        assert_eq!(text.range(&location), range);
        let end = text.location("f", &(text.as_str().len()..text.as_str().len()));
        assert_eq!((end.line, end.column), (3, 1));
        assert_eq!(text.offset(9, 9), text.as_str().len());
    }

    #[test]
    fn lines_around_a_range_are_whole() {
        let text = Text::new("a\nbb\nccc\ndddd\n".to_owned());
        let around = |range: Range<usize>| {
            let (range, first) = text.around(&range);
            (&text.as_str()[range], first)
        };
        assert_eq!(around(6..7), ("bb\nccc\ndddd\n", 2));
        assert_eq!(around(0..0), ("a\nbb\n", 1));
        assert_eq!(around(3..9), ("a\nbb\nccc\ndddd\n", 1));
        assert_eq!(around(14..14), ("dddd\n", 4));
        assert_eq!(Text::new(String::new()).around(&(0..0)), (0..0, 1));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöü", 2), "äö...");
        let long = format!("`{}` is no name: `{}`", "x".repeat(300), "y".repeat(200));
        let short = format!("`{}...` is no name: `{}`", "x".repeat(60), "y".repeat(200));
        assert_eq!(readable(long), short);
        assert!(readable("é".repeat(1_000_000)).len() < 5_000);
        assert_eq!(printable("a\u{202e}b\u{1b}".to_owned()), "a\\u{202e}b\\u{1b}");
    }
}
