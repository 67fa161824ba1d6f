//! What somebody probably meant.

/// The candidate that a word was most likely meant to be, if any is near: at most a third of its
/// letters differ, upper and lower case apart. Of equally near ones the first in the alphabet.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let bound = lower.chars().count().max(3) / 3;
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * bound)
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= bound && *candidate != word)
        .min()
        .map(|(_, candidate)| candidate)
}

/// ``did you mean `x`?``
pub(crate) fn did_you_mean(candidate: &str) -> String {
    format!("did you mean `{candidate}`?")
}

/// "`a`, `b` and `c`", at most six of them.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    joined(words, "and")
}

/// "`a`, `b` or `c`", at most six of them.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    joined(words, "or")
}

fn joined<'a>(words: impl IntoIterator<Item = &'a str>, last_word: &str) -> String {
    const SHOWN: usize = 6;
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    if words.len() > SHOWN {
        return format!("{} and {} more", words[..SHOWN].join(", "), words.len() - SHOWN);
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
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = ["nodes", "nodeSelector", "owner", "schedule"];
        for (word, meant) in
            [("node", "nodes"), ("ower", "owner"), ("shedule", "schedule"), ("NODES", "nodes")]
        {
            assert_eq!(nearest(word, words), Some(meant), "{word}");
        }
        assert_eq!(nearest("image", words), None);
        assert_eq!(nearest("ab", ["cd"]), None);
    }

    #[test]
    fn lists_are_cut() {
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(
            listed(["a", "b", "c", "d", "e", "f", "g", "h"]),
            "`a`, `b`, `c`, `d`, `e`, `f` and 2 more"
        );
        assert_eq!(listed([]), "none");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
