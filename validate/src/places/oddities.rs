//! What YAML knows and a manifest has no use for: keys that are no strings, tags, numbers without end.
//!
//! The parser of values lets these pass, so that they would mean nothing or something else than they say.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::yaml;

/// Something that a manifest has no use for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Oddity {
    /// The document, from 0.
    pub(crate) document: usize,
    pub(crate) kind: OddityKind,
    pub(crate) range: Range<usize>,
}

/// What a manifest has no use for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OddityKind {
    /// A key that is a number, a word with a meaning, or nothing.
    Key(String),
    /// A key that is a list or a mapping.
    Collection,
    /// A number that is not finite, or not a number at all.
    Number(String),
    /// A tag that says what a value is, in terms that nothing here knows.
    Tag(String),
}

/// Whether a text may hold tags: they are rare, and to find them costs a pass of the parser.
pub(crate) fn may_hold_tags(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| {
        let starts = |before: &u8| before.is_ascii_whitespace() || b"[{,:?-".contains(before);
        *byte == b'!' && (at == 0 || bytes.get(at - 1).is_some_and(starts))
    })
}

/// Finds all of it, as far as the text can be parsed.
pub(crate) fn oddities(text: &str) -> Vec<Oddity> {
    let mut found = Vec::new();
    let mut started = 0_usize;
    // For each open collection, whether it is a mapping, and whether a key comes next.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let options = granit_parser::options! { emit_comments: false };
    for event in Parser::new_from_str_with_options(text, options) {
        let Ok((event, span)) = event else { break };
        let Some(range) = span.byte_range() else { break };
        let document = started.saturating_sub(1);
        let is_key = match &event {
            Event::DocumentStart(..) => {
                started += 1;
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                continue;
            }
            Event::Scalar(..) | Event::Alias(_) | Event::MappingStart(..) | Event::SequenceStart(..) => {
                let turn = open.last_mut().filter(|(mapping, _)| *mapping);
                turn.is_some_and(|(_, key)| std::mem::replace(key, !*key))
            }
            _ => continue,
        };
        let mut add = |kind| found.push(Oddity { document, kind, range: range.clone() });
        if let Some(tag) = event.tag().filter(|tag| is_key || !tag.is_yaml_core_schema()) {
            add(OddityKind::Tag(format!("{}{}", tag.original_handle(), tag.suffix())));
        } else if let Event::Scalar(value, ScalarStyle::Plain, ..) = &event
            && !is_key
            && yaml::is_endless(value)
        {
            add(OddityKind::Number(value.to_string()));
        } else if is_key {
            match &event {
                Event::Scalar(value, ScalarStyle::Plain, ..) if !yaml::is_string(value) => {
                    add(OddityKind::Key(value.to_string()));
                }
                Event::MappingStart(..) | Event::SequenceStart(..) => add(OddityKind::Collection),
                _ => {}
            }
        }
        match event {
            Event::MappingStart(..) => open.push((true, true)),
            Event::SequenceStart(..) => open.push((false, false)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String, &str)> {
        let kind = |kind: &OddityKind| match kind {
            OddityKind::Key(key) => format!("key {key}"),
            OddityKind::Collection => "collection".to_owned(),
            OddityKind::Number(number) => format!("number {number}"),
            OddityKind::Tag(tag) => format!("tag {tag}"),
        };
        oddities(text)
            .iter()
            .map(|oddity| (oddity.document, kind(&oddity.kind), &text[oddity.range.clone()]))
            .collect()
    }

    #[test]
    fn keys_that_are_no_strings() {
        let text = "a: {1: x, yes: y, \"2\": z}\n---\n- ~: 1\n  ? b\n  : c\n  0x1F: 2\n  true: 3\n";
        let expected =
            [(0, "key 1", "1"), (1, "key ~", "~"), (1, "key 0x1F", "0x1F"), (1, "key true", "true")];
        assert_eq!(found(text), expected.map(|(document, kind, text)| (document, kind.to_owned(), text)));
        let kinds: Vec<_> =
            found("? [a]\n: 1\n? {b: 1}\n: 2\nc: [d]\n").into_iter().map(|(_, kind, _)| kind).collect();
        assert_eq!(kinds, ["collection", "collection"]);
    }

    #[test]
    fn numbers_without_end() {
        let kinds: Vec<_> =
            found("a: .inf\nb: [-.Inf, .nan, '.nan', .5]\n").into_iter().map(|(_, kind, _)| kind).collect();
        assert_eq!(kinds, ["number .inf", "number -.Inf", "number .nan"]);
    }

    #[test]
    fn tags() {
        let text = "a: !x 1\nb: !!str 2\nc: !!binary aGk=\nd: '!x'\ne: [!<tag:y> z]\n!!str f: g\n";
        let kinds: Vec<_> = found(text).into_iter().map(|(_, kind, _)| kind).collect();
        assert_eq!(kinds, ["tag !x", "tag !!binary", "tag tag:y", "tag !!str"]);
        assert!(may_hold_tags(text));
        assert!(!may_hold_tags("a: b!c\nd: x != y\n") || oddities("d: x != y\n").is_empty());
    }
}
