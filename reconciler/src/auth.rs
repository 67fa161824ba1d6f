//! Who calls: from a call's token to a verified caller.

use almanac_proto::token::{self, TokenError};
use almanac_schemas::{NodeName, PrincipalName, UserName};
use chrono::{DateTime, Utc};
use thiserror::Error;
use tonic::metadata::MetadataMap;

use crate::{
    applied::Applied,
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
}

/// Verifies a call's token against the declared keys.
///
/// # Errors
///
/// When it does not prove who calls.
pub fn caller(
    applied: &Applied,
    metadata: &MetadataMap,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<Caller, AuthError> {
    let header = metadata.get("authorization").ok_or(AuthError::NoToken)?;
    let header = header.to_str().map_err(|_| AuthError::Form)?;
    let (scheme, text) = header.split_once(' ').ok_or(AuthError::Form)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Form);
    }
    let key = token::key_of(text.trim())?;
    let declared = applied.keys.get(&key).ok_or_else(|| AuthError::UnknownKey(key.clone()))?;
    let name = token::verify(text.trim(), &declared.key, audience, now)?;
    if !declared.principals.contains(&name) {
        return Err(AuthError::NotTheirs { key, principal: name });
    }
    let principal = principal(applied, &name).ok_or_else(|| AuthError::UnknownKey(key.clone()))?;
    Ok(Caller { principal, key })
}

/// Whether a caller's key is still declared as theirs. Long-lived streams ask on every change.
pub fn still_valid(applied: &Applied, caller: &Caller) -> bool {
    let declared = applied.keys.get(&caller.key);
    declared.is_some_and(|key| key.principals.iter().any(|name| name.as_str() == caller.name()))
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
