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

/// The candidate that a word can only have been meant to be, of the few words that are possible at all:
/// it is nearer than every other one.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<_> = candidates.into_iter().collect();
    let found = nearest(word, candidates.iter().copied())?;
    let distance = |candidate: &str| strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase());
    let rivals = candidates.iter().filter(|other| **other != found && distance(other) <= distance(found));
    (rivals.count() == 0 && same_numbers(word, found)).then_some(found)
}

/// The candidate that a name can only have been meant to be, although any name is possible: it is one
/// slip of a finger away, in a word that is long enough for that, and no other candidate is.
pub(crate) fn slip<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SHORTEST: usize = 5;
    let lower = word.to_lowercase();
    let is_slip = |candidate: &str| match strsim::osa_distance(&lower, &candidate.to_lowercase()) {
        0 => candidate != word,
        1 => lower.chars().count() >= SHORTEST && same_numbers(word, candidate),
        _ => false,
    };
    let mut found = None;
    for candidate in candidates.into_iter().filter(|candidate| is_slip(candidate)) {
        if found.is_some_and(|found| found != candidate) {
            return None;
        }
        found = Some(candidate);
    }
    found
}

/// Whether two words have the same digits: `london-02` is never `london-01` misspelt.
fn same_numbers(a: &str, b: &str) -> bool {
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).collect::<String>();
    digits(a) == digits(b)
}

/// ``did you mean `x`?``
pub(crate) fn did_you_mean(candidate: &str) -> String {
    format!("did you mean `{candidate}`?")
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
    fn only_what_is_certain_is_fixed() {
        let words = ["user", "privileged", "admin"];
        assert_eq!(closest("priviledged", words), Some("privileged"));
        assert_eq!(closest("Admin", words), Some("admin"));
        assert_eq!(closest("root", words), None);
        assert_eq!(closest("cat", ["bat", "hat"]), None, "two are as near");
        assert_eq!(closest("almanac/v2", ["almanac/v1"]), None, "a number is no misspelling");

        let names = ["london-01", "london-02", "alice", "bob"];
        assert_eq!(slip("lodnon-01", names), Some("london-01"));
        assert_eq!(slip("Alice", names), Some("alice"));
        assert_eq!(slip("london-03", names), None, "a number is no misspelling");
        assert_eq!(slip("alicia", names), None, "this may be somebody else");
        assert_eq!(slip("rob", names), None, "this may be somebody else");
        assert_eq!(slip("alize", ["alice", "alike"]), None, "two are as near");
        assert_eq!(slip("alize", ["alice", "alice"]), Some("alice"));
    }
}
