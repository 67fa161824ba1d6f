//! Values out of YAML. The only module that knows the parser of values.
//!
//! The parser refuses duplicate keys and nesting beyond 128 levels by itself. It takes quadratic
//! time for brackets that nest deeply, and it bounds the number of aliases but not what they expand
//! to; both are checked before ([`crate::places::hazard`]).

use serde::Deserialize;
use serde_yaml::Value;

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Which document of the file it is, from 0.
    pub(crate) index: usize,
    /// What it says.
    pub(crate) value: Value,
}

/// What is wrong with the YAML of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// In which document, from 0.
    pub(crate) document: usize,
    /// What is wrong.
    pub(crate) problem: YamlProblem,
    /// Where, as line and column from 1, if the parser knows.
    pub(crate) at: Option<(u32, u32)>,
}

/// What is wrong with YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum YamlProblem {
    /// The text is not YAML.
    Form {
        /// What the parser found.
        message: String,
        /// What it was in the middle of, and where that started.
        context: Option<(String, Option<(u32, u32)>)>,
    },
    /// A mapping has a key twice.
    DuplicateKey,
    /// The nesting is too deep.
    TooDeep,
    /// Aliases expand to too much.
    TooManyAliases,
    /// An alias of nothing.
    UnknownAlias,
    /// A number that fits no type.
    HugeNumber,
}

/// All documents of a text that are not empty, and what is wrong with the others.
pub(crate) fn documents(text: &str) -> (Vec<Parsed>, Vec<YamlError>) {
    let mut parsed = Vec::new();
    let mut errors = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        match Value::deserialize(document) {
            Ok(Value::Null) => {}
            Ok(value) => parsed.push(Parsed { index, value }),
            Err(error) => {
                let error = classify(index, &error);
                // Where the text itself is broken, the parser has lost its place.
                let lost = matches!(error.problem, YamlProblem::Form { .. } | YamlProblem::UnknownAlias);
                errors.push(error);
                if lost {
                    break;
                }
            }
        }
    }
    (parsed, errors)
}

/// What a text without quotes says, if it is a number, `true` or `false`.
pub(crate) fn number_or_bool(text: &str) -> Option<Value> {
    /// Nothing longer is either, and the parser takes long for some texts.
    const LONGEST: usize = 50;
    let short = Some(text).filter(|text| text.len() <= LONGEST)?;
    let value: Value = serde_yaml::from_str(short).ok()?;
    (value.is_number() || value.is_bool()).then_some(value)
}

/// Whether a text without quotes is a string, and not a number or a word with a meaning.
pub(crate) fn is_string(text: &str) -> bool {
    !matches!(text, "" | "~" | "null" | "Null" | "NULL") && number_or_bool(text).is_none()
}

/// Whether a text without quotes is a number that is not finite, or not a number at all.
pub(crate) fn is_endless(text: &str) -> bool {
    let finite = |value: Value| value.as_f64().is_none_or(f64::is_finite);
    text.contains('.') && number_or_bool(text).is_some_and(|value| !finite(value))
}

/// Whether a value holds a key that is no string, a number that is not finite, or something with a tag that
/// the parser does not know.
pub(crate) fn is_odd(value: &Value) -> bool {
    match value {
        Value::Mapping(entries) => entries.iter().any(|(key, value)| !key.is_string() || is_odd(value)),
        Value::Sequence(items) => items.iter().any(is_odd),
        Value::Tagged(_) => true,
        Value::Number(number) => !number.is_finite(),
        _ => false,
    }
}

/// The value without what is odd: entries whose keys are no strings, and tags.
pub(crate) fn straightened(value: Value) -> Value {
    match value {
        Value::Mapping(entries) => {
            let named = entries.into_iter().filter(|(key, _)| key.is_string());
            Value::Mapping(named.map(|(key, value)| (key, straightened(value))).collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(straightened).collect()),
        Value::Tagged(tagged) => straightened(tagged.value),
        plain => plain,
    }
}

/// Whether a text without quotes, as a key or a value, in flow style or not, is read as that very string
/// by this parser and by those of the version before, in which more words have a meaning.
pub(crate) fn reads_back(text: &str, in_flow: bool) -> bool {
    /// Longer texts are quoted unseen: the parser takes long for some of them.
    const LONGEST: usize = 1_000;
    let number = text.chars().all(|c| c.is_ascii_digit() || "_:.+-".contains(c));
    let word = ["y", "n", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if text.len() > LONGEST || number || word {
        return false;
    }
    let (item, entry) = match in_flow {
        true => (format!("[{text}]"), format!("{{{text}: 1}}")),
        false => (format!("- {text}"), format!("{text}: 1")),
    };
    let string = Value::from(text);
    let read = |text: &str| serde_yaml::from_str::<Value>(text).ok();
    read(&item).is_some_and(|items| items == Value::Sequence(vec![string.clone()]))
        && read(&entry).is_some_and(|entry| entry.as_mapping().is_some_and(|map| map.keys().eq([&string])))
}

fn classify(document: usize, error: &serde_yaml::Error) -> YamlError {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let at = error.location().map(|place| (number(place.line()), number(place.column())));
    let text = error.to_string();
    let problem = if text.contains("duplicate entry") {
        YamlProblem::DuplicateKey
    } else if text.starts_with("recursion limit exceeded") {
        YamlProblem::TooDeep
    } else if text.starts_with("repetition limit exceeded") {
        YamlProblem::TooManyAliases
    } else if text.starts_with("unknown anchor") {
        YamlProblem::UnknownAlias
    } else if text.contains("expected any YAML value") {
        YamlProblem::HugeNumber
    } else {
        // "what was found at line 2 column 2, while parsing a flow sequence at line 1 column 4"
        let (found, context) = text.split_once(", while ").unwrap_or((&text, ""));
        let (message, _) = split_place(found);
        let context = (!context.is_empty()).then(|| {
            let (what, place) = split_place(context);
            (what.to_owned(), place)
        });
        YamlProblem::Form { message: message.to_owned(), context }
    };
    YamlError { document, problem, at }
}

/// Takes " at line 2 column 4" off the end of a message.
fn split_place(text: &str) -> (&str, Option<(u32, u32)>) {
    let place = text.rsplit_once(" at line ").and_then(|(head, place)| {
        let (line, column) = place.split_once(" column ")?;
        Some((head, (line.parse().ok()?, column.parse().ok()?)))
    });
    place.map_or((text, None), |(head, place)| (head, Some(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> YamlProblem {
        let (_, mut errors) = documents(text);
        errors.remove(0).problem
    }

    #[test]
    fn empty_documents_are_passed_over_and_counted() {
        let (parsed, errors) = documents("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n");
        assert_eq!(parsed.iter().map(|document| document.index).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(errors, []);
        assert!(documents("").0.is_empty());
    }

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(problem("a: 1\na: 2"), YamlProblem::DuplicateKey);
        assert_eq!(problem(&"- ".repeat(10_000)), YamlProblem::TooDeep);
        assert_eq!(problem("a: &a [*a]"), YamlProblem::TooDeep);
        assert_eq!(problem("a: *b"), YamlProblem::UnknownAlias);
        assert_eq!(problem("a: 99999999999999999999999999999999999"), YamlProblem::HugeNumber);
        let YamlProblem::Form { message, context } = problem("a: [1, 2\nb: 3\n") else { panic!() };
        assert_eq!(message, "did not find expected ',' or ']'");
        assert_eq!(context, Some(("parsing a flow sequence".to_owned(), Some((1, 4)))));
    }

    #[test]
    fn a_broken_value_does_not_hide_the_next_document() {
        let (parsed, errors) = documents("a: 1\n---\nb: 1\nb: 2\n---\nc: 1\n");
        assert_eq!(parsed.iter().map(|document| document.index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!((errors[0].document, errors.len()), (1, 1));
    }
}
