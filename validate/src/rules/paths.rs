//! `path-collision`: paths differ by more than upper and lower case, or the way in which an accent is
//! written. The file systems of macOS and Windows hold one file under such paths, so that a checkout
//! there silently lacks the other.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use super::{Context, Draft, Place};
use crate::Rule;

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    // Almost always, and then no two of them can be the same to anybody.
    let plain = |path: &&str| path.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if context.paths.iter().all(plain) {
        return;
    }
    let mut first: HashMap<String, usize> = HashMap::new();
    for (file, path) in context.paths.iter().enumerate() {
        let earlier = *first.entry(folded(path)).or_insert(file);
        if earlier == file {
            continue;
        }
        let other = context.paths[earlier];
        let message = match path.to_lowercase() == other.to_lowercase() {
            true => format!("this path and `{other}` differ in upper and lower case alone"),
            false => format!("this path and `{other}` are the same letters, written in different bytes"),
        };
        drafts.push(
            Draft::new(Rule::PathCollision, Place::file(file), message)
                .related("the other one is here", Place::file(earlier))
                .note("some file systems, such as those of macOS and Windows, hold only one of them")
                .help("rename one of them"),
        );
    }
}

/// What such a file system knows a path by.
fn folded(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    // Lower case may bring up what has another composed form.
    path.nfd().flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn paths_that_collide_are_folded_to_one() {
        for (a, b) in [
            ("Jobs/a.yaml", "jobs/A.yaml"),
            ("caf\u{e9}.yaml", "cafe\u{301}.yaml"),
            ("CAFE\u{301}.yaml", "caf\u{e9}.yaml"),
            ("\u{212b}.yaml", "\u{e5}.yaml"),
        ] {
            assert_eq!(folded(a), folded(b), "{a} {b}");
        }
        assert_ne!(folded("a.yaml"), folded("a.yml"));
        assert_ne!(folded("e.yaml"), folded("\u{e9}.yaml"));
    }
}
