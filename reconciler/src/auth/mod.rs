//! Who calls: from a call's token to a verified caller.

mod cache;

use std::net::IpAddr;

use almanac_proto::token::{self, TokenError};
use almanac_schemas::{NodeName, PrincipalName, UserName};
use chrono::{DateTime, Utc};
use thiserror::Error;
use tonic::{Status, metadata::MetadataMap};

use cache::{TokenHash, Verified, VerifiedTokens};

use crate::{
    applied::Applied,
    limits::{Limits, Rates, TooMany},
    rights::{Caller, Principal},
};

/// Why a caller is not known.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The call has no token.
    #[error("the call carries no token: expected `authorization: Bearer ...`")]
    NoToken,
    /// The header is not one that carries a token.
    #[error("the `authorization` header is not of the form `Bearer ...`")]
    Form,
    /// The token proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nobody has declared the key.
    #[error(
        "the key {0} is not declared by any user or node; add its public half to the manifest, or use a declared key"
    )]
    UnknownKey(String),
    /// Somebody else has declared the key.
    #[error("the key {key} is not one of `{principal}`'s declared keys")]
    NotTheirs {
        /// The key's fingerprint.
        key: String,
        /// Who the token says it is.
        principal: PrincipalName,
    },
    /// Who calls has to wait.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Tells who calls, by the token of the call.
#[derive(Debug)]
pub struct Authenticator {
    audience: String,
    verified: VerifiedTokens,
    rates: Rates,
}

impl Authenticator {
    /// Accepts tokens that are for `audience`.
    pub fn new(audience: &str, limits: Limits) -> Self {
        Self { audience: audience.to_owned(), verified: VerifiedTokens::default(), rates: Rates::new(limits) }
    }

    /// Verifies a call's token against the declared keys, and counts the call. The signature of a token
    /// is verified once; whether its key is declared is asked each time, so that removing a key counts
    /// at once.
    ///
    /// # Errors
    ///
    /// When it does not prove who calls, or who calls has to wait.
    pub fn caller(
        &self,
        applied: &Applied,
        metadata: &MetadataMap,
        from: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> Result<Caller, AuthError> {
        let (caller, name) = self.proved(applied, metadata, from, now)?;
        self.rates.call(&name)?;
        Ok(caller)
    }

    /// Counts what a principal says on a stream that it opened before.
    ///
    /// # Errors
    ///
    /// When it has to wait.
    pub fn again(&self, principal: &PrincipalName) -> Result<(), AuthError> {
        Ok(self.rates.call(principal)?)
    }

    /// Verifies a call's token, and counts it if it proves nothing. It is asked before anything else of a call is
    /// read: whoever is nobody must not make the program keep what they say.
    ///
    /// # Errors
    ///
    /// When it does not prove who calls.
    pub fn knows(
        &self,
        applied: &Applied,
        metadata: &MetadataMap,
        from: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> Result<(), AuthError> {
        self.proved(applied, metadata, from, now).map(|_| ())
    }

    fn proved(
        &self,
        applied: &Applied,
        metadata: &MetadataMap,
        from: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> Result<(Caller, PrincipalName), AuthError> {
        let proved = self.prove(applied, metadata, from, now);
        if let (Err(error), Some(from)) = (&proved, from)
            && !matches!(error, AuthError::TooMany(_))
        {
            self.rates.failure(from);
        }
        proved
    }

    fn prove(
        &self,
        applied: &Applied,
        metadata: &MetadataMap,
        from: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> Result<(Caller, PrincipalName), AuthError> {
        let token = bearer(metadata)?;
        let hash = TokenHash::of(token);
        let verified = match self.verified.get(&hash, now) {
            Some(verified) => verified,
            None => {
                from.map_or(Ok(()), |from| self.rates.attempt(from))?;
                let verified = verify(applied, token, &self.audience, now)?;
                self.verified.put(hash, verified.clone());
                verified
            }
        };
        let Verified { principal: name, key, .. } = verified;
        let declared = applied.keys.get(&key).ok_or_else(|| AuthError::UnknownKey(key.clone()))?;
        if !declared.principals.contains(&name) {
            return Err(AuthError::NotTheirs { key, principal: name });
        }
        let principal = principal(applied, &name).ok_or_else(|| AuthError::UnknownKey(key.clone()))?;
        Ok((Caller { principal, key }, name))
    }
}

/// The token of a call.
fn bearer(metadata: &MetadataMap) -> Result<&str, AuthError> {
    let header = metadata.get("authorization").ok_or(AuthError::NoToken)?;
    let header = header.to_str().map_err(|_| AuthError::Form)?;
    let (scheme, token) = header.split_once(' ').ok_or(AuthError::Form)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(AuthError::Form) }
}

fn verify(applied: &Applied, token: &str, audience: &str, now: DateTime<Utc>) -> Result<Verified, AuthError> {
    let key = token::key_of(token)?;
    let declared = applied.keys.get(&key).ok_or_else(|| AuthError::UnknownKey(key.clone()))?;
    let (principal, until) = token::verify_until(token, &declared.key, audience, now)?;
    Ok(Verified { principal, key, until })
}

/// Whether a caller's key is still declared as theirs. Long-lived streams ask again and again.
pub fn still_valid(applied: &Applied, caller: &Caller) -> bool {
    let declared = applied.keys.get(&caller.key);
    declared.is_some_and(|key| key.principals.iter().any(|name| name.as_str() == caller.name()))
}

/// The end of a stream of a node that is not the caller any more.
pub fn revoked(node: &NodeName) -> Status {
    Status::unauthenticated(format!(
        "node `{node}` or its key is not declared any more; declare it in the repository"
    ))
}

fn principal(applied: &Applied, name: &PrincipalName) -> Option<Principal> {
    let testbed = &applied.testbed;
    if let Some((name, spec)) = testbed.users.get_key_value::<str>(name.as_str()) {
        let name: UserName = name.clone();
        return Some(Principal::User { name, role: spec.role, team: spec.team.clone() });
    }
    let (name, _) = testbed.nodes.get_key_value::<str>(name.as_str())?;
    let name: NodeName = name.clone();
    Some(Principal::Node(name))
}
