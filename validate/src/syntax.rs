//! What is wrong with a file before anything it says is understood: bytes, characters, YAML.

use std::{collections::BTreeSet, ops::Range};

use crate::{
    Rule,
    places::{Hazard, Oddity, OddityKind, Positions},
    text::{Patch, Text},
    yaml::{self, YamlError, YamlProblem},
};

/// Something that is wrong with a file's text.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) rule: Rule,
    pub(crate) message: String,
    pub(crate) range: Range<usize>,
    pub(crate) related: Option<(String, Range<usize>)>,
    pub(crate) help: Option<String>,
    pub(crate) fix: Option<Patch>,
}

/// The text of a file, without a byte-order mark, and the first byte that is no text.
pub(crate) fn decode(bytes: &[u8]) -> (String, Option<Flaw>) {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return (text.to_owned(), None),
        Err(error) => error,
    };
    let start = error.valid_up_to();
    let text = String::from_utf8_lossy(bytes).into_owned();
    // The replacement character stands where the first wrong byte was.
    let range = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
    let help = match encoding(bytes) {
        Some(name) => format!("the file is {name}: save it as UTF-8"),
        None => "save the file as UTF-8".to_owned(),
    };
    let message = format!("the byte 0x{:02X} is not UTF-8", bytes[start]);
    (
        text,
        Some(Flaw { rule: Rule::FileEncoding, message, range, related: None, help: Some(help), fix: None }),
    )
}

/// What other encoding of Unicode a file starts like, with a mark or an ASCII character.
fn encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] | [1..=255, 0, 0, 0, ..] | [0, 0, 0, 1..=255, ..] => {
            Some("UTF-32")
        }
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [1..=255, 0, ..] | [0, 1..=255, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// The first character that must not be in a file.
pub(crate) fn characters(text: &str) -> Option<Flaw> {
    let bytes = text.as_bytes();
    let unwanted = |(at, c): &(usize, char)| match c {
        '\t' | '\n' => false,
        // Alone it ends a line for some readers and not for others, and in a terminal what follows
        // covers what was there.
        '\r' => bytes.get(at + 1) != Some(&b'\n'),
        // Versions of YAML differ on whether these end a line, so two readers may see two files.
        '\u{85}' | '\u{2028}' | '\u{2029}' => true,
        '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}' => true,
        c => c.is_control(),
    };
    let (start, found) = text.char_indices().find(unwanted)?;
    let code = u32::from(found);
    let (message, help) = match found {
        '\u{85}' | '\u{2028}' | '\u{2029}' => (
            format!("the line separator U+{code:04X} is not allowed"),
            "end lines with a line feed".to_owned(),
        ),
        '\u{FEFF}' => (
            "a byte-order mark is allowed at the start of a file only".to_owned(),
            "remove it: two files were probably joined".to_owned(),
        ),
        '\0' => {
            let help = match encoding(bytes) {
                Some(name) => format!("the file is {name}: save it as UTF-8"),
                None => "manifests are text: remove it".to_owned(),
            };
            ("the file contains a NUL character".to_owned(), help)
        }
        '\r' => (
            "a carriage return is allowed before a line feed only".to_owned(),
            "end lines with a line feed".to_owned(),
        ),
        _ => (
            format!("the control character U+{code:04X} is not allowed"),
            format!("remove it, or write `\\u{code:04X}` in double quotes"),
        ),
    };
    let range = start..start + found.len_utf8();
    Some(Flaw { rule: Rule::FileEncoding, message, range, related: None, help: Some(help), fix: None })
}

/// What is wrong with a file that no parser of values should be given.
pub(crate) fn refused(text: &Text, hazard: Hazard) -> Flaw {
    match hazard {
        Hazard::Depth(at) => too_deep(text, at),
        Hazard::Expansion => too_many_aliases(),
        Hazard::Unknown(at, message) => Flaw {
            rule: Rule::Syntax,
            help: form_help(text.as_str(), at, &message),
            message: in_words(&message),
            range: one_character(text, at),
            related: None,
            fix: None,
        },
    }
}

/// What is found where a manifest says what it has no use for. `odd` are the documents in whose values
/// it shows; what has no place there is a finding all the same.
pub(crate) fn odd(oddities: &[Oddity], odd: &BTreeSet<usize>) -> Vec<Flaw> {
    let flaw = |message: String, range: Range<usize>, help: &str| Flaw {
        rule: Rule::Syntax,
        message,
        range,
        related: None,
        help: Some(help.to_owned()),
        fix: None,
    };
    let found = oddities.iter().map(|Oddity { kind, range, .. }| {
        let range = range.clone();
        match kind {
            OddityKind::Key(key) if yaml::number_or_bool(key).is_some() => flaw(
                format!("the key `{key}` is not a string"),
                range,
                "put it in quotes to make it a string",
            ),
            OddityKind::Key(_) => flaw("this key is empty".to_owned(), range, "write a name before the `:`"),
            OddityKind::Collection => {
                let help = "put it in quotes if it is meant as a string";
                flaw("a key must be a string, not a list or a mapping".to_owned(), range, help)
            }
            OddityKind::Number(number) => Flaw {
                rule: Rule::ValueRange,
                ..flaw(format!("`{number}` is not a finite number"), range, "write how much it is")
            },
            OddityKind::Tag(tag) => flaw(
                format!("the tag `{tag}` means nothing here"),
                range,
                "remove it: a field's type is known",
            ),
        }
    });
    let placeless = odd.iter().filter(|index| !oddities.iter().any(|oddity| oddity.document == **index));
    let placeless = placeless.map(|index| {
        let message =
            format!("document {} has a key that is no string, a tag, or an endless number", index + 1);
        flaw(message, 0..0, "put the key in quotes, remove the tag, or write another number")
    });
    found.chain(placeless).collect()
}

/// Another version of YAML, in which some words and numbers mean something else.
pub(crate) fn version(text: &str) -> Option<Flaw> {
    const DIRECTIVE: &str = "%YAML";
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let said = line.strip_prefix(DIRECTIVE).filter(|rest| rest.starts_with([' ', '\t']));
        let version = said.map(|said| said.split('#').next().unwrap_or_default().trim());
        // The parser itself refuses those that come after it.
        if let Some(version @ ("1.0" | "1.1")) = version {
            return Some(Flaw {
                rule: Rule::Syntax,
                message: format!("manifests are YAML 1.2, and not {version}"),
                range: start..start + line.trim_end().len(),
                related: None,
                help: Some(
                    "remove this line, and write `true` and `false` where `yes` and `no` are meant"
                        .to_owned(),
                ),
                fix: None,
            });
        }
        start += line.len();
    }
    None
}

const ASTERISK: &str = "a value that starts with `*` must be in quotes";

/// Puts the parser's errors in words.
pub(crate) fn explain(text: &Text, positions: &Positions<'_>, error: &YamlError) -> Vec<Flaw> {
    let at = error.at.map_or(0, |(line, column)| text.offset(line, column));
    let flaw = |message: String, related, help| Flaw {
        rule: Rule::Syntax,
        message,
        range: one_character(text, at),
        related,
        help,
        fix: None,
    };
    match &error.problem {
        YamlProblem::Form { message, context } => {
            let related = context.as_ref().and_then(|(what, place)| {
                let (line, column) = (*place)?;
                let start = text.offset(line, column);
                Some((format!("while {} that starts here", activity(what)), one_character(text, start)))
            });
            // Where the cause is on the same character, one arrow is enough.
            let related = related.filter(|(_, range)| range.start != at);
            let alias = context.as_ref().is_some_and(|(what, _)| what.contains("alias"));
            let help = if alias { Some(ASTERISK.to_owned()) } else { form_help(text.as_str(), at, message) };
            vec![flaw(in_words(message), related, help)]
        }
        YamlProblem::DuplicateKey => {
            let found = positions.duplicates(error.document).map(|duplicate| Flaw {
                rule: Rule::Syntax,
                message: format!("the key `{}` occurs twice", duplicate.key),
                range: duplicate.second.clone(),
                related: Some(("it occurs first here".to_owned(), duplicate.first.clone())),
                help: Some("remove one of the two".to_owned()),
                fix: None,
            });
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                return vec![flaw("a key occurs twice in this mapping".to_owned(), None, None)];
            }
            found
        }
        YamlProblem::TooDeep => vec![too_deep(text, at)],
        YamlProblem::TooManyAliases => vec![too_many_aliases()],
        YamlProblem::UnknownAlias => vec![flaw(
            "the alias refers to an anchor that does not exist".to_owned(),
            None,
            Some(ASTERISK.to_owned()),
        )],
        YamlProblem::HugeNumber => {
            let help = Some("put it in quotes if it is meant as a string".to_owned());
            vec![flaw("the number is too large".to_owned(), None, help)]
        }
    }
}

fn too_deep(text: &Text, at: usize) -> Flaw {
    Flaw {
        rule: Rule::Syntax,
        message: "the file nests more than 128 levels deep".to_owned(),
        range: one_character(text, at),
        related: None,
        fix: None,
        help: None,
    }
}

fn too_many_aliases() -> Flaw {
    Flaw {
        rule: Rule::Syntax,
        message: "the aliases of the file expand to more than is allowed".to_owned(),
        range: 0..0,
        related: None,
        fix: None,
        help: Some("write the values out instead of repeating anchors".to_owned()),
    }
}

fn one_character(text: &Text, at: usize) -> Range<usize> {
    let text = text.as_str();
    let at = at.min(text.len());
    let width = text.get(at..).and_then(|rest| rest.chars().next()).filter(|c| !c.is_whitespace());
    at..at + width.map_or(0, char::len_utf8)
}

/// What the parser says, for those who know YAML and not its grammar.
fn in_words(message: &str) -> String {
    match message {
        "mapping values are not allowed in this context" => "a `:` cannot start a value here".to_owned(),
        "found character that cannot start any token" => "this character cannot start a value".to_owned(),
        "found unexpected end of stream" => "the file ends before this does".to_owned(),
        "did not find expected alphabetic or numeric character" => {
            "expected a name after this sign".to_owned()
        }
        "could not find expected ':'" => "expected `:` after this key".to_owned(),
        "did not find expected <document start>" => "expected `---` before another document".to_owned(),
        "did not find expected node content" => "expected a value here".to_owned(),
        "found incompatible YAML document" => "this version of YAML is not known".to_owned(),
        "found unknown directive name" => "this directive is not known".to_owned(),
        "did not find expected key" => "expected a key, or a smaller indentation".to_owned(),
        "did not find expected '-' indicator" => "expected `-`, or a smaller indentation".to_owned(),
        _ => match message.strip_prefix("did not find expected ") {
            Some(expected) => format!("expected {}", expected.replace('\'', "`")),
            // The other parser says what it was doing first, and quotes otherwise.
            None => match message.split_once(", did not find expected ") {
                Some((_, expected)) => in_words(&format!("did not find expected {expected}")),
                None => message.replace('"', "`"),
            },
        },
    }
}

/// What the parser was doing.
fn activity(what: &str) -> &str {
    match what {
        "parsing a flow sequence" => "reading a list in brackets",
        "parsing a flow mapping" => "reading a mapping in braces",
        "parsing a block mapping" => "reading a mapping",
        "parsing a block collection" => "reading a list",
        "scanning an alias" => "reading an alias",
        "scanning a simple key" => "reading a key",
        "scanning a quoted scalar" => "reading a text in quotes",
        _ => what,
    }
}

fn form_help(text: &str, at: usize, message: &str) -> Option<String> {
    let rest = text.get(at..).unwrap_or_default();
    let help = if message.contains("YAML document") || message.contains("directive") {
        "remove this line: manifests are YAML 1.2"
    } else if rest.starts_with('\t') {
        "YAML is indented with spaces: replace the tab"
    } else if rest.starts_with(['@', '`', '%']) {
        "a value that starts with this character must be in quotes"
    } else if message.starts_with("mapping values are not allowed") {
        "put a value that contains `: ` in quotes, or check the indentation of this line"
    } else if message.contains("unexpected end of stream") {
        "something that was opened is not closed, such as a quote or a bracket"
    } else {
        return None;
    };
    Some(help.to_owned())
}
