//! The trailer by which an admin makes a refused commit their own: `Almanac-Vouch: COMMIT`.

use git2::{Commit, Oid};

/// The name of the trailer.
pub(super) const TRAILER: &str = "Almanac-Vouch";

/// How many digits of a hash are enough to name a commit, and how many are shown.
pub(super) const DIGITS: usize = 12;

/// The first digits of a commit's hash.
pub(super) fn short(commit: Oid) -> String {
    commit.to_string().chars().take(DIGITS).collect()
}

/// Which of some commits, in their order, another one vouches for. What could be two of them is none.
pub(super) fn vouched(by: &Commit<'_>, commits: &[Oid]) -> Vec<Oid> {
    let Ok(trailers) = git2::message_trailers_bytes(by.message_raw_bytes()) else { return Vec::new() };
    let named = trailers.iter().filter_map(|(name, value)| {
        let value = std::str::from_utf8(value).ok()?.trim();
        let hash = value.len() >= DIGITS && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        (hash && name.eq_ignore_ascii_case(TRAILER.as_bytes())).then(|| value.to_ascii_lowercase())
    });
    named
        .filter_map(|named| {
            // Digits that are left out count as zeros, so those that begin like this follow.
            let least = Oid::from_str(&named).ok()?;
            let first = commits.partition_point(|commit| *commit < least);
            let mut meant =
                commits[first..].iter().copied().take_while(|commit| commit.to_string().starts_with(&named));
            meant.next().filter(|_| meant.next().is_none())
        })
        .collect()
}
