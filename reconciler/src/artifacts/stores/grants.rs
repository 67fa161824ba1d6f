//! Addresses that Azure has signed, for as long as they are good for something.
//!
//! A signature of Azure (a SAS) is for one blob and not for one block of it, so the blocks of a file share it. It also begins to be
//! valid at the reconciler's time: where the store's clock is some seconds behind, a new one for each block would never be valid yet.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, Url};

use super::direct::GRANT;

/// How many are kept: as many files as are on their way at once, and more.
const MOST: usize = 4096;

/// The addresses that were signed, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<BTreeMap<What, (Signed, DateTime<Utc>)>>);

/// A method and a path.
type What = (String, String);

/// An address with its signature. It is not shown by accident.
#[derive(Clone)]
pub(super) struct Signed(pub(super) Url);

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signed(..)")
    }
}

impl Grants {
    /// The address that is signed for something already, and until when, if that is for half of the usual time.
    pub(super) fn held(
        &self,
        method: &Method,
        path: &str,
        now: DateTime<Utc>,
    ) -> Option<(Url, DateTime<Utc>)> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Signed(url), expires_at) = held.get(&(method.to_string(), path.to_owned()))?;
        (now + GRANT / 2 < *expires_at).then(|| (url.clone(), *expires_at))
    }

    /// Keeps an address that was signed.
    pub(super) fn hold(&self, method: &Method, path: &str, url: Url, now: DateTime<Utc>) -> DateTime<Utc> {
        let expires_at = now + GRANT;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MOST {
            held.retain(|_, (_, expires_at)| now + GRANT / 2 < *expires_at);
        }
        if held.len() < MOST {
            held.insert((method.to_string(), path.to_owned()), (Signed(url), expires_at));
        }
        expires_at
    }
}

/// How long a grant is good for, as the stores want to hear it.
pub(super) fn lifetime(grant: TimeDelta) -> std::time::Duration {
    grant.to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_used_again_for_half_of_its_time() {
        let grants = Grants::default();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let url: Url = "https://a/b?sig=c".parse().unwrap();
        assert_eq!(grants.hold(&Method::PUT, "b", url.clone(), now), now + GRANT);
        let later = now + GRANT / 2 - TimeDelta::seconds(1);
        assert_eq!(grants.held(&Method::PUT, "b", later), Some((url, now + GRANT)));
        assert_eq!(grants.held(&Method::PUT, "b", now + GRANT / 2), None);
        assert_eq!(grants.held(&Method::GET, "b", now), None);
        assert_eq!(grants.held(&Method::PUT, "c", now), None);
        assert!(!format!("{grants:?}").contains("sig"));
    }
}
