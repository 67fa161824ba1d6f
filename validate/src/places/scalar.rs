//! From a part of a scalar's value to the part of the file that says it.
//!
//! Between the two lie quotes, escapes, indentation, and line ends that are folded. The characters
//! that are no white space are the same in both and in the same order, so the two are walked side by
//! side. Where that does not lead anywhere, there is no answer, and the whole scalar is shown.

use std::ops::Range;

use granit_parser::ScalarStyle;

/// A piece of a scalar's source.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// It stands for this character.
    Char(char),
    /// Line ends with the white space around them: they stand for spaces, line ends, or nothing.
    Fold,
}

/// The bytes of `source` that say the bytes `part` of `value`.
pub(super) fn part(
    source: &str,
    style: ScalarStyle,
    value: &str,
    part: &Range<usize>,
) -> Option<Range<usize>> {
    let mut start = None;
    let mut end = None;
    let mut at = 0;
    let mut visit = |at: usize, width: usize, piece: &Range<usize>| {
        if at <= part.start && part.start < at + width {
            start = Some(piece.start);
        }
        if at < part.end && part.end <= at + width {
            end = Some(piece.end);
        }
    };
    // Empty lines before the text of a block scalar count, and are not part of its source.
    if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
        at = value.len() - value.trim_start_matches('\n').len();
    }
    let mut pieces = pieces(source, style)?.into_iter().peekable();
    while let Some((piece, range)) = pieces.next() {
        match piece {
            Piece::Char(found) => {
                let c = value[at..].chars().next().filter(|c| *c == found)?;
                visit(at, c.len_utf8(), &range);
                at += c.len_utf8();
            }
            Piece::Fold => {
                // White space that is escaped cannot be told from what the fold stands for.
                if matches!(pieces.peek(), Some((Piece::Char(c), _)) if c.is_whitespace()) {
                    return None;
                }
                let width = value[at..].len() - value[at..].trim_start_matches([' ', '\t', '\n']).len();
                visit(at, width, &range);
                at += width;
            }
        }
    }
    Some(start?..end?)
}

fn pieces(source: &str, style: ScalarStyle) -> Option<Vec<(Piece, Range<usize>)>> {
    let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
    let (mut at, end) = if quoted { (1, source.len().checked_sub(1)?) } else { (0, source.len()) };
    let source = source.get(..end)?;
    let mut pieces = Vec::new();
    while let Some(c) = source.get(at..)?.chars().next() {
        let rest = &source[at..];
        let (piece, width) = match c {
            ' ' | '\t' | '\r' | '\n' => {
                let width = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
                if rest[..width].contains('\n') { (Piece::Fold, width) } else { (Piece::Char(c), 1) }
            }
            '\'' if style == ScalarStyle::SingleQuoted => (Piece::Char('\''), 2),
            '\\' if style == ScalarStyle::DoubleQuoted => escape(rest)?,
            c => (Piece::Char(c), c.len_utf8()),
        };
        pieces.push((piece, at..at + width));
        at += width;
    }
    Some(pieces)
}

/// What an escape stands for, and how long it is.
fn escape(rest: &str) -> Option<(Piece, usize)> {
    let hex = |from: usize, digits: usize| {
        let digits = rest.get(from..from + digits)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let coded = |digits: usize| Some((Piece::Char(char::from_u32(hex(2, digits)?)?), 2 + digits));
    let c = match rest.chars().nth(1)? {
        'x' => return coded(2),
        // Outside of the first plane, JSON writes a character as two.
        'u' if matches!(hex(2, 4)?, 0xD800..=0xDBFF) => {
            let low = rest.get(6..8).filter(|mark| *mark == "\\u").and_then(|_| hex(8, 4))?;
            let c = char::decode_utf16([u16::try_from(hex(2, 4)?).ok()?, u16::try_from(low).ok()?])
                .next()?
                .ok()?;
            return Some((Piece::Char(c), 12));
        }
        'u' => return coded(4),
        'U' => return coded(8),
        '\r' | '\n' => {
            let width = 1 + rest[1..].len() - rest[1..].trim_start().len();
            return Some((Piece::Fold, width));
        }
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' | '\t' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        c @ (' ' | '"' | '/' | '\\') => c,
        _ => return None,
    };
    Some((Piece::Char(c), 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The source of the first occurrence of `wanted` in a value.
    fn source<'a>(source: &'a str, style: ScalarStyle, value: &str, wanted: &str) -> Option<&'a str> {
        let start = value.find(wanted).unwrap();
        part(source, style, value, &(start..start + wanted.len())).map(|range| &source[range])
    }

    #[test]
    fn quotes_and_escapes() {
        let (single, double) = (ScalarStyle::SingleQuoted, ScalarStyle::DoubleQuoted);
        assert_eq!(source("'it''s é x'", single, "it's é x", "'s"), Some("''s"));
        assert_eq!(source("'it''s é x'", single, "it's é x", "x"), Some("x"));
        assert_eq!(source("\"\\x41\\u0042c\"", double, "ABc", "B"), Some("\\u0042"));
        assert_eq!(source("\"\\x41\\u0042c\"", double, "ABc", "Bc"), Some("\\u0042c"));
        assert_eq!(source("\"\\uD834\\uDD1E y\"", double, "\u{1d11e} y", "y"), Some("y"));
        assert_eq!(source("\"a\\\n   b c\"", double, "ab c", "b"), Some("b"));
        assert_eq!(source("\"a\\t\\\"b\"", double, "a\t\"b", "\"b"), Some("\\\"b"));
    }

    #[test]
    fn lines() {
        assert_eq!(source("a\n\n  b  c", ScalarStyle::Plain, "a\nb  c", "c"), Some("c"));
        assert_eq!(source("'a \r\n  b'", ScalarStyle::SingleQuoted, "a b", "b"), Some("b"));
        assert_eq!(source("a\r\n  b\r\n", ScalarStyle::Literal, "a\nb\n", "b"), Some("b"));
        assert_eq!(source("x y\n    z", ScalarStyle::Folded, "\n\nx y\n  z\n", "y\n  z"), Some("y\n    z"));
    }
}
