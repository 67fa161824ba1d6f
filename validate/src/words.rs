//! How numbers, lists and lengths of time are put, everywhere alike.

use almanac_schemas::Duration;
use chrono::TimeDelta;

/// How many of a list are named.
const NAMED: usize = 6;

/// A number with its word: `1 file`, `2 files`.
pub fn counted(count: usize, word: &str) -> String {
    format!("{count} {}", plural(count, word))
}

/// The word for one thing, or for several: `file`, `files`.
pub(crate) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

/// "`a`, `b` and `c`", at most six of them.
pub fn listed<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    joined(words, "and")
}

/// "`a`, `b` or `c`", at most six of them.
pub(crate) fn one_of<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    joined(words, "or")
}

/// A length of time as manifests write it, in whole seconds, whatever its sign.
pub fn in_words(length: TimeDelta) -> String {
    Duration::from_secs(length.num_seconds().unsigned_abs()).to_string()
}

fn joined<W: AsRef<str>>(words: impl IntoIterator<Item = W>, last_word: &str) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{}`", word.as_ref())).collect();
    if words.len() > NAMED {
        return format!("{} and {} more", words[..NAMED].join(", "), words.len() - NAMED);
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {last_word} {last}", rest.join(", ")),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_word() {
        let texts = [0, 1, 2].map(|count| counted(count, "file"));
        assert_eq!(texts, ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn lists_are_cut() {
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(
            listed(["a", "b", "c", "d", "e", "f", "g", "h"]),
            "`a`, `b`, `c`, `d`, `e`, `f` and 2 more"
        );
        assert_eq!(listed([] as [&str; 0]), "none");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }

    #[test]
    fn lengths_are_those_of_manifests() {
        assert_eq!(in_words(TimeDelta::milliseconds(90_500)), "1m30s");
        assert_eq!(in_words(TimeDelta::minutes(-60)), "1h");
    }
}
