//! Another scalar in the place of one, in the style of what is there.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::{
    Focus, Positions, Spot,
    tree::{Content, Node, Scalar},
};
use crate::{text::Patch, yaml};

/// A change that puts something right, and what it does in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remedy {
    /// What is done: imperative, lower case.
    pub(crate) message: String,
    pub(crate) change: Change,
}

/// What becomes of a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It says something else.
    Write(String),
    /// It is the string that it looks like, and no longer a number or a word with a meaning.
    Quote,
    /// It is this number, or this word with a meaning, and no longer a string.
    Bare(String),
}

impl Positions<'_> {
    /// What a remedy for the scalar at a place means for the text, if it is safely possible.
    pub(crate) fn patch(&self, spot: &Spot, remedy: Remedy) -> Option<Patch> {
        let (range, replacement) = self.rewrite(spot, &remedy.change)?;
        Some(Patch { message: remedy.message, range, replacement })
    }

    /// The bytes that a change of the scalar at a place replaces, and what comes there. Nothing when
    /// the change would reach further than that place, or take something else along: through an
    /// alias, away from a tag, or over a comment.
    fn rewrite(&self, spot: &Spot, change: &Change) -> Option<(Range<usize>, String)> {
        let found = self.find(spot)?.ok()?;
        let node = match spot.focus {
            Focus::Key => found.key?,
            Focus::Value | Focus::Within(_) => found.value,
        };
        // A key is shared only when the mapping that holds it is.
        let shared = match spot.focus {
            Focus::Key => self.tree.nodes[node].aliased || self.parent_is_shared(spot),
            _ => found.shared,
        };
        let node = &self.tree.nodes[node];
        let Content::Scalar(scalar) = &node.content else { return None };
        if shared || node.tagged {
            return None;
        }
        match change {
            Change::Write(new) => self.write(node, scalar, new),
            Change::Quote
                if scalar.style == ScalarStyle::Plain && scalar.value.is_none() && !node.range.is_empty() =>
            {
                Some((node.range.clone(), double_quoted(&self.text[node.range.clone()])))
            }
            Change::Quote => None,
            Change::Bare(new) if !scalar.is_block() => Some((node.range.clone(), new.clone())),
            Change::Bare(_) => None,
        }
    }

    fn parent_is_shared(&self, spot: &Spot) -> bool {
        let Some((_, parent)) = spot.path.split_last() else { return false };
        let parent = Spot { path: parent.to_vec(), ..spot.clone() };
        match self.find(&parent) {
            Some(Ok(found)) => {
                found.shared || matches!(self.tree.nodes[found.value].content, Content::Alias(_))
            }
            _ => true,
        }
    }

    fn write(&self, node: &Node, scalar: &Scalar, new: &str) -> Option<(Range<usize>, String)> {
        let plain_or_quoted = || match new {
            new if yaml::reads_back(new, node.in_flow) => new.to_owned(),
            new => double_quoted(new),
        };
        let range = node.range.clone();
        match scalar.style {
            ScalarStyle::SingleQuoted if !new.contains(char::is_control) => {
                Some((range, format!("'{}'", new.replace('\'', "''"))))
            }
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Some((range, double_quoted(new))),
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let value = scalar.value.as_deref().unwrap_or(&self.text[range.clone()]);
                let one_line = !value.contains('\n') && !self.text[range.clone()].contains('\n');
                let simple = !new.is_empty() && new.trim() == new && !new.contains(char::is_control);
                // Without a line end as part of the value, the line alone makes the value.
                if one_line && simple {
                    return Some((range, new.to_owned()));
                }
                let header = self.block_header(range.start)?;
                Some((header.start..range.end, plain_or_quoted()))
            }
            _ => Some((range, plain_or_quoted())),
        }
    }

    /// The bytes of the `|` or `>` with its indicators that introduces a block scalar, whose text
    /// starts at `start`; nothing when a comment follows it.
    fn block_header(&self, start: usize) -> Option<Range<usize>> {
        let before = self.text[..start].trim_end();
        let line = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
        let indicators = before.trim_end_matches(|c: char| c.is_ascii_digit() || "+-".contains(c));
        let rest = indicators.strip_suffix(['|', '>'])?;
        let apart = rest.is_empty() || rest.ends_with([' ', '\t', '\n']);
        (apart && !line.contains('#')).then_some(rest.len()..before.len())
    }
}

/// A text in double quotes.
fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            '\r' => quoted += "\\r",
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use almanac_schemas::manifest::PathStep;

    use super::*;

    /// The text with the value at `x` of the first document changed.
    fn changed(text: &str, focus: Focus, change: &Change) -> Option<String> {
        let spot = Spot { document: 0, path: vec![PathStep::Key("x".to_owned())], focus };
        let (range, new) = Positions::read(text).rewrite(&spot, change)?;
        Some(format!("{}{new}{}", &text[..range.start], &text[range.end..]))
    }

    fn written(text: &str, new: &str) -> Option<String> {
        changed(text, Focus::Value, &Change::Write(new.to_owned()))
    }

    #[test]
    fn a_scalar_keeps_its_style() {
        for (text, new, expected) in [
            ("x: old # c\n", "new", "x: new # c\n"),
            ("x: 'old'\n", "it's", "x: 'it''s'\n"),
            ("x: \"old\"\n", "a\"b\\", "x: \"a\\\"b\\\\\"\n"),
            ("{\"x\":\"old\",y: 1}", "new", "{\"x\":\"new\",y: 1}"),
            ("x: 0 12 * * *\n", "3 12 * * *", "x: 3 12 * * *\n"),
            ("x: &a old\n", "new", "x: &a new\n"),
            ("x: old\r\ny: 1\r\n", "new", "x: new\r\ny: 1\r\n"),
            ("x: several\n  lines\ny: 1\n", "new", "x: new\ny: 1\n"),
        ] {
            assert_eq!(written(text, new).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_would_not_read_back_is_quoted() {
        for (text, new, expected) in [
            ("x: old\n", "*/15 * * * *", "x: \"*/15 * * * *\"\n"),
            ("x: old\n", "yes", "x: \"yes\"\n"),
            ("x: old\n", "1.10", "x: \"1.10\"\n"),
            ("x: old\n", "12:30", "x: \"12:30\"\n"),
            ("x: old\n", "a: b", "x: \"a: b\"\n"),
            ("x: old\n", "a #b", "x: \"a #b\"\n"),
            ("x: old\n", "a, b", "x: a, b\n"),
            ("{x: old}\n", "a, b", "{x: \"a, b\"}\n"),
            ("{x: old}\n", "a]b", "{x: \"a]b\"}\n"),
            ("x: 'old'\n", "a\nb", "x: \"a\\nb\"\n"),
            ("x: old\n", "", "x: \"\"\n"),
        ] {
            assert_eq!(written(text, new).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn a_block_scalar_keeps_its_style_where_that_gives_the_value() {
        for (text, expected) in [
            ("x: |-\n  old\ny: 1\n", "x: |-\n  new\ny: 1\n"),
            ("x: >2-\r\n  old\r\n\r\ny: 1\r\n", "x: >2-\r\n  new\r\n\r\ny: 1\r\n"),
            ("x: |\n\n  old\n\ny: 1\n", "x: new\n\ny: 1\n"),
            ("x: >+\r\n  old\r\n  text\r\ny: 1\r\n", "x: new\r\ny: 1\r\n"),
        ] {
            assert_eq!(written(text, "new").as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(written("x: |  # why\n  old\n", "new"), None);
        assert_eq!(written("x: &a |\n  old\n", "new").as_deref(), Some("x: &a new\n"));
        assert_eq!(written("x: |- # why\n  old\n", "new").as_deref(), Some("x: |- # why\n  new\n"));
        assert_eq!(written("x: |\n  old", "new").as_deref(), Some("x: new"));
    }

    #[test]
    fn nothing_is_written_that_counts_elsewhere_or_is_tagged() {
        for text in ["y: &a old\nx: *a\n", "x: &a old\ny: *a\n", "x: !!str old\n", "x: [old]\n"] {
            assert_eq!(written(text, "new"), None, "{text:?}");
        }
    }

    #[test]
    fn keys_are_renamed_and_quotes_come_and_go() {
        let rename = |text| changed(text, Focus::Key, &Change::Write("z".to_owned()));
        assert_eq!(rename("x: {a: 1}\ny: 2\n").as_deref(), Some("z: {a: 1}\ny: 2\n"));
        assert_eq!(rename("'x':\n  - 1\n").as_deref(), Some("'z':\n  - 1\n"));
        assert_eq!(rename("x: &a 1\ny: *a\n").as_deref(), Some("z: &a 1\ny: *a\n"));
        assert_eq!(rename("? x\n: 1\n").as_deref(), Some("? z\n: 1\n"));
        let quote = |text| changed(text, Focus::Value, &Change::Quote);
        assert_eq!(quote("x: 1.10 # c\n").as_deref(), Some("x: \"1.10\" # c\n"));
        assert_eq!(quote("{x: 0x1F}").as_deref(), Some("{x: \"0x1F\"}"));
        assert_eq!(quote("x:\n"), None);
        let bare = |text| changed(text, Focus::Value, &Change::Bare("true".to_owned()));
        assert_eq!(bare("{x: \"true\"}").as_deref(), Some("{x: true}"));
        assert_eq!(bare("x: yes\n").as_deref(), Some("x: true\n"));
        assert_eq!(bare("x: |\n  true\n"), None);
    }
}
