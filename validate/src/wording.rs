//! What the types say, in words for people.
//!
//! `serde` speaks of Rust types and lists every field it knows. The texts are rebuilt here: the only
//! module that depends on how `serde` puts things.

use almanac_schemas::{Cron, Timezone, container::CAPABILITIES};
use serde_yaml::Value;

use crate::{
    Rule,
    places::{Change, Focus, Remedy},
    shape::belongs_below,
    suggest::{closest, did_you_mean, nearest, slip},
    words::one_of,
    yaml,
};

/// What an error of the types is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A field that does not exist here; these do.
    UnknownField { expected: Vec<String> },
    /// A field that must be here.
    MissingField { field: String },
    /// A value that is not what its field wants.
    Invalid { message: String },
}

/// How to put a wrong value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wording {
    pub(crate) rule: Rule,
    pub(crate) message: String,
    pub(crate) focus: Focus,
    pub(crate) help: Option<String>,
    /// What is certainly meant, if the types accept it.
    pub(crate) fix: Option<Remedy>,
}

/// How to put a field that does not exist.
pub(crate) struct Unknown {
    pub(crate) message: String,
    pub(crate) help: String,
    /// The field that was probably meant.
    pub(crate) meant: Option<String>,
    /// Whether no other field can have been meant.
    pub(crate) certain: bool,
}

/// Tells the errors of the types apart.
pub(crate) fn classify(message: &str) -> Class {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        return Class::UnknownField { expected: expected(rest) };
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        return Class::MissingField { field: rest.trim_end_matches('`').to_owned() };
    }
    Class::Invalid { message: message.to_owned() }
}

/// How to put a field that does not exist, while others do.
pub(crate) fn unknown_field(field: &str, expected: &[String]) -> Unknown {
    let message = format!("unknown field `{field}`");
    let unknown = |help: String| Unknown { message: message.clone(), help, meant: None, certain: false };
    if field == "<<" {
        return unknown("merge keys are not part of YAML 1.2: write the fields out".to_owned());
    }
    if expected.is_empty() {
        return unknown("no fields are expected here".to_owned());
    }
    if let Some(parent) = belongs_below(field, expected) {
        return unknown(format!("`{field}` is a field of `{parent}`: move it there"));
    }
    let fields = || expected.iter().map(String::as_str);
    match nearest(field, fields()) {
        Some(meant) => Unknown {
            meant: Some(meant.to_owned()),
            certain: closest(field, fields()) == Some(meant),
            ..unknown(did_you_mean(meant))
        },
        None => {
            let all: Vec<_> = fields().map(|field| format!("`{field}`")).collect();
            unknown(format!("the fields that exist here are {}", all.join(", ")))
        }
    }
}

/// What a field that is missing might look like.
pub(crate) fn missing_help(field: &str) -> Option<String> {
    let example = match field {
        "apiVersion" => "apiVersion: almanac/v1",
        "kind" => "kind: Job",
        "metadata" | "name" => "metadata: { name: london-01 }",
        "owner" => "owner: alice",
        "schedule" => {
            "schedule: { cron: \"*/15 * * * *\", start: 2027-01-01T00:00:00Z, end: 2027-03-01T00:00:00Z, length: 2m }"
        }
        "length" => "length: 2m",
        "container" => "container: { image: registry.example.org/probes/iperf:3.17 }",
        "image" => "image: registry.example.org/probes/iperf:3.17",
        _ => return None,
    };
    Some(format!("write, for example, `{example}`"))
}

/// How to put a wrong value. `found` is the value.
pub(crate) fn invalid(message: &str, found: Option<&Value>) -> Wording {
    let text = found.and_then(Value::as_str);
    if let Some(cron) = text.filter(|_| message.contains("is not a cron expression")) {
        return invalid_cron(cron, message);
    }
    let plain = |message: String, help, fix| {
        let (rule, focus) = (Rule::InvalidValue, Focus::Value);
        Wording { rule, message, focus, help, fix }
    };
    let write = |new: &str| Remedy {
        message: format!("replace it with `{new}`"),
        change: Change::Write(new.to_owned()),
    };
    if let Some(rest) = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: ")) {
        let (what, wanted) = rest.split_once(", expected ").unwrap_or((rest, "something else"));
        if let Some((message, help)) = number_in_words(wanted, found) {
            return plain(message, Some(help), None);
        }
        let (help, fix) = otherwise_written(wanted, found).unzip();
        let help = help.or_else(|| with_unit(wanted, found));
        let message = format!("expected {}, found {}", wanted_in_words(wanted), found_in_words(what, found));
        return plain(message, help, fix);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `").or(message.strip_prefix("unknown kind `")) {
        let word = rest.split('`').next().unwrap_or_default();
        let expected = expected(rest);
        let words: Vec<_> = expected.iter().map(String::as_str).collect();
        let (meant, certain) = (meant(word, &words, nearest), meant(word, &words, closest));
        let help = meant.map_or_else(|| format!("expected {}", one_of(words)), did_you_mean);
        return plain(format!("unknown value `{word}`"), Some(help), certain.map(write));
    }
    let (meant, certain) = match text {
        Some(text) if message.contains("is not a time zone") => {
            let zones: Vec<_> = Timezone::names().collect();
            (meant(text, &zones, nearest), meant(text, &zones, slip))
        }
        Some(text) if message.contains("is not a Linux capability") => {
            // The kernel's names start with `CAP_`, those of container engines do not.
            let upper = text.to_uppercase();
            let bare = upper.trim_start_matches("CAP_");
            (meant(bare, &CAPABILITIES, nearest), meant(bare, &CAPABILITIES, closest))
        }
        _ => (None, None),
    };
    let name = text.filter(|_| message.contains("is not a name: "));
    let help = meant.map(did_you_mean).or_else(|| {
        let name = name.and_then(as_name)?;
        Some(format!("names consist of a-z, 0-9 and `-`: write, for example, `{name}`"))
    });
    let lower = name.map(|name| name.trim().to_ascii_lowercase()).filter(|lower| name != Some(lower));
    let fix = certain.map(write).or_else(|| lower.as_deref().map(write));
    // "`x` is not a duration: expected ..." reads better in two parts.
    match message.split_once("; expected ").or(message.split_once(": expected ")) {
        Some((wrong, wanted)) => {
            plain(wrong.to_owned(), help.or_else(|| Some(format!("expected {wanted}"))), fix)
        }
        None => plain(message.to_owned(), help, fix),
    }
}

/// How to put a text that looks like a number and is none in YAML 1.2, or none that a machine can hold.
fn number_in_words(wanted: &str, found: Option<&Value>) -> Option<(String, String)> {
    if !matches!(wanted, "f64" | "u16" | "u32" | "u64" | "usize") {
        return None;
    }
    let text = found?.as_str()?;
    let digits = text.trim_start_matches(['+', '-']);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole && digits.len() > 1 && digits.starts_with('0') && digits.len() < 40 {
        let bare = digits.trim_start_matches('0');
        let bare = if bare.is_empty() { "0" } else { bare };
        return Some((
            format!("`{text}` is not a number: it starts with a zero"),
            format!("write `{bare}`, or `0o{bare}` if it is meant as an octal number"),
        ));
    }
    let bare: String = digits.chars().filter(|c| *c != '_').collect();
    if bare.len() < digits.len() && !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some((format!("`{text}` is not a number: it contains `_`"), format!("write `{bare}`")));
    }
    let infinite = text.parse::<f64>().is_ok_and(f64::is_infinite);
    // Not the words, which are read as well.
    if infinite && text.contains(|c: char| c.is_ascii_digit()) {
        return Some((
            format!("the number `{text}` is too large"),
            format!("expected {}", wanted_in_words(wanted)),
        ));
    }
    None
}

/// What a bare number lacks that should be a length of time or an amount of bytes.
fn with_unit(wanted: &str, found: Option<&Value>) -> Option<String> {
    let number = found?.as_u64()?;
    match wanted {
        "a duration" => Some(format!("write it with a unit, such as `{number}s` or `{number}m`")),
        "a size" => Some(format!("write it with a unit, such as `{number}MiB` or `{number}GiB`")),
        _ => None,
    }
}

/// How a value of the wrong type can be written so that it is of the right one.
fn otherwise_written(wanted: &str, found: Option<&Value>) -> Option<(String, Remedy)> {
    let is_wanted = |value: Value| match wanted {
        "a boolean" => value.is_bool(),
        "f64" | "u16" | "u32" | "u64" | "usize" => value.is_number(),
        _ => false,
    };
    match found? {
        Value::Number(_) | Value::Bool(_) if wanted == "a string" || wanted.ends_with(" name") => Some((
            "put it in quotes to make it a string".to_owned(),
            Remedy { message: "put it in quotes".to_owned(), change: Change::Quote },
        )),
        Value::String(text) if yaml::number_or_bool(text).is_some_and(is_wanted) => Some((
            "remove the quotes, which make it a string".to_owned(),
            Remedy { message: "remove the quotes".to_owned(), change: Change::Bare(text.clone()) },
        )),
        // In the version of YAML before, these words said so.
        Value::String(text) if wanted == "a boolean" => {
            let word = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => "true",
                "no" | "off" | "n" => "false",
                _ => return None,
            };
            let message = format!("replace it with `{word}`");
            Some((did_you_mean(word), Remedy { message, change: Change::Bare(word.to_owned()) }))
        }
        _ => None,
    }
}

/// The candidate that a text was meant to be. A block scalar ends with a line end that nobody meant.
fn meant<'a>(
    text: &str,
    candidates: &[&'a str],
    search: impl Fn(&str, Vec<&'a str>) -> Option<&'a str>,
) -> Option<&'a str> {
    let word = text.trim();
    let same = candidates.iter().copied().find(|candidate| *candidate == word);
    same.or_else(|| search(word, candidates.to_vec()))
}

/// The name that is nearest to a text, if it holds anything that a name may.
fn as_name(text: &str) -> Option<String> {
    // Of another alphabet, what is left would be no name that anybody meant.
    if !text.is_ascii() {
        return None;
    }
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(allowed).collect();
    let name = name.trim_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

/// The error of a cron expression knows which part of it is wrong.
fn invalid_cron(cron: &str, message: &str) -> Wording {
    let (message, focus) = match cron.parse::<Cron>() {
        Err(error) => (error.problem.to_string(), Focus::Within(error.range)),
        Ok(_) => (message.to_owned(), Focus::Value),
    };
    let help = match cron.split_whitespace().count() {
        6 => {
            "of six fields, the first is for seconds: those of `30 */15 * * * *` are second, minute, hour, day of the month, month and day of the week"
        }
        _ => {
            "the fields are minute, hour, day of the month, month and day of the week, such as `*/15 * * * *`"
        }
    };
    Wording { rule: Rule::Cron, message, focus, help: Some(help.to_owned()), fix: None }
}

/// The words in backticks after "expected".
fn expected(message: &str) -> Vec<String> {
    let Some((_, list)) = message.split_once("expected ") else { return Vec::new() };
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn wanted_in_words(wanted: &str) -> &str {
    match wanted {
        "f64" => "a number",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "a boolean" => "`true` or `false`",
        "string or map" | "string or singleton map" => "a word",
        _ if wanted.starts_with("struct ") => "a mapping",
        _ if wanted.contains("enum") => "a word",
        _ => wanted,
    }
}

fn found_in_words(what: &str, found: Option<&Value>) -> String {
    match found {
        Some(Value::Null) => "nothing".to_owned(),
        Some(Value::Number(number)) => format!("the number `{number}`"),
        Some(Value::Bool(value)) => format!("`{value}`"),
        Some(Value::String(text)) => format!("the string `{}`", text.escape_debug()),
        Some(Value::Sequence(_)) => "a list".to_owned(),
        Some(Value::Mapping(_)) => "a mapping".to_owned(),
        Some(Value::Tagged(tagged)) => format!("a value with the tag `{}`", tagged.tag),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_serde_are_understood() {
        assert_eq!(
            classify("unknown field `x`, expected one of `a`, `b`"),
            Class::UnknownField { expected: vec!["a".to_owned(), "b".to_owned()] }
        );
        assert_eq!(
            classify("unknown field `x`, there are no fields"),
            Class::UnknownField { expected: vec![] }
        );
        assert_eq!(classify("missing field `x`"), Class::MissingField { field: "x".to_owned() });
    }

    #[test]
    fn wrong_types_are_put_in_words() {
        let put = |message: &str, value: Value| {
            let wording = invalid(message, Some(&value));
            (wording.message, wording.help)
        };
        assert_eq!(
            put("invalid type: integer `4`, expected a string", 4.into()),
            (
                "expected a string, found the number `4`".to_owned(),
                Some("put it in quotes to make it a string".to_owned())
            )
        );
        let (message, help) = put("invalid type: string \"5\", expected struct Resources", "5".into());
        assert_eq!((message.as_str(), help), ("expected a mapping, found the string `5`", None));
        let (_, help) = put("invalid type: string \"5\", expected f64", "5".into());
        assert_eq!(help.as_deref(), Some("remove the quotes, which make it a string"));
        assert_eq!(
            put("invalid type: unit value, expected struct NodeSpec", Value::Null).0,
            "expected a mapping, found nothing"
        );
        assert_eq!(
            put("unknown variant `Admin`, expected one of `user`, `privileged`, `admin`", "Admin".into()).1,
            Some("did you mean `admin`?".to_owned())
        );
        let zone = "`Europe/Londn` is not a time zone: expected an IANA name, such as `UTC`";
        assert_eq!(
            put(zone, "Europe/Londn".into()),
            (
                "`Europe/Londn` is not a time zone".to_owned(),
                Some("did you mean `Europe/London`?".to_owned())
            )
        );
        let capability = "`CAP_NET_RAW` is not a Linux capability: expected a name";
        assert_eq!(put(capability, "CAP_NET_RAW".into()).1, Some("did you mean `NET_RAW`?".to_owned()));
    }

    #[test]
    fn a_wrong_cron_expression_is_pointed_into() {
        let message = "*/70 * * * *".parse::<Cron>().unwrap_err().to_string();
        let wording = invalid(&message, Some(&"*/70 * * * *".into()));
        assert_eq!((wording.rule, wording.focus), (Rule::Cron, Focus::Within(2..4)));
    }
}
