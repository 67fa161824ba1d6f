//! Tokens whose signature was verified: an agent sends the same one for minutes, and a signature costs
//! more than everything else that a heartbeat needs.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
};

use almanac_schemas::PrincipalName;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// How many tokens a generation holds; there are two. A testbed of 10,000 nodes that renew their
/// tokens has 20,000 in use at a time. An entry takes about 200 bytes.
const GENERATION: usize = 32_768;

/// What a verified token said. Whether its key is still declared is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    /// The principal.
    pub(super) principal: PrincipalName,
    /// The fingerprint of the key that signed it.
    pub(super) key: String,
    /// When it proves nothing any more.
    pub(super) until: DateTime<Utc>,
}

/// A token by its hash: the token itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// The verified tokens that were used lately.
#[derive(Debug, Default)]
pub(super) struct VerifiedTokens(Mutex<Generations>);

/// What is used moves to the young one; when that is full, the old one is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TokenHash, Verified>,
    old: HashMap<TokenHash, Verified>,
}

impl VerifiedTokens {
    /// What a token said, if it was verified and is not over.
    pub(super) fn get(&self, token: &TokenHash, now: DateTime<Utc>) -> Option<Verified> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(token) {
            return (now <= found.until).then(|| found.clone());
        }
        let found = generations.old.remove(token).filter(|found| now <= found.until)?;
        generations.put(*token, found.clone());
        Some(found)
    }

    /// Keeps what a token said.
    pub(super) fn put(&self, token: TokenHash, verified: Verified) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(token, verified);
    }
}

impl Generations {
    fn put(&mut self, token: TokenHash, verified: Verified) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, verified);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_token_is_known_until_its_end_and_while_it_is_used() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let tokens = VerifiedTokens::default();
        let verified = |until| Verified { principal: "alice".parse().unwrap(), key: "k".to_owned(), until };
        let hash = |number: usize| TokenHash::of(&number.to_string());
        tokens.put(hash(0), verified(now));
        assert!(tokens.get(&hash(0), now).is_some());
        assert!(tokens.get(&hash(0), now + TimeDelta::seconds(1)).is_none());
        assert!(tokens.get(&hash(1), now).is_none());
        for number in 1..4 * GENERATION {
            tokens.put(hash(number), verified(now));
            if number.is_multiple_of(GENERATION / 2) {
                assert!(tokens.get(&hash(0), now).is_some(), "it is used all the time");
            }
        }
        assert!(tokens.get(&hash(1), now).is_none(), "it was never used again");
        let generations = tokens.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }
}
