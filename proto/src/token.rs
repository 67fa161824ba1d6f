//! Tokens: who calls, said for a few minutes.
//!
//! A token is a JWT (RFC 7519) signed with EdDSA (RFC 8037) by the caller's own SSH key. Its header
//! names the key by its SSH fingerprint (`kid`); its claims are the principal (`sub`), the
//! reconciler's name (`aud`), when it was made (`iat`) and when it ends (`exp`).

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use ssh_key::private::Ed25519Keypair;
use thiserror::Error;

use almanac_schemas::{PrincipalName, PublicKey, name::NameError};

use crate::eddsa;

/// How long a token is valid. A longer one is refused.
pub const MAX_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// By how much the clocks of the two ends may differ.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The principal.
    pub sub: String,
    /// The name of the reconciler that it is for.
    pub aud: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
}

/// Why a token proves nothing.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It is not a JWT with the claims that are expected.
    #[error("the token is not a JWT signed with EdDSA")]
    Malformed(#[source] jsonwebtoken::errors::Error),
    /// It names no key.
    #[error("the token names no key (`kid`)")]
    NoKey,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is over.
    #[error("the token expired at {0}; if it was made just now, one of the two clocks is wrong")]
    Expired(DateTime<Utc>),
    /// It is from the future.
    #[error("the token is from the future ({0}); one of the two clocks is wrong")]
    NotYet(DateTime<Utc>),
    /// It would be valid for too long.
    #[error("the token is valid for longer than {} minutes", MAX_LIFETIME.num_minutes())]
    TooLong,
    /// It is for another reconciler.
    #[error("the token is for `{found}`, and this is `{expected}`")]
    Audience {
        /// Whom it is for.
        found: String,
        /// Who reads it.
        expected: String,
    },
    /// The principal's name is not a name.
    #[error("the token's subject is not a name")]
    Subject(#[source] NameError),
}

/// Makes a token.
///
/// # Errors
///
/// When the claims cannot be written as JSON, which does not happen.
pub fn mint(
    key: &Ed25519Keypair,
    fingerprint: &str,
    principal: &PrincipalName,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<String, jsonwebtoken::errors::Error> {
    let claims = Claims {
        sub: principal.to_string(),
        aud: audience.to_owned(),
        iat: now.timestamp(),
        exp: (now + MAX_LIFETIME).timestamp(),
    };
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(fingerprint.to_owned());
    eddsa::install();
    jsonwebtoken::encode(&header, &claims, &eddsa::encoding_key(&key.private.to_bytes()))
}

/// The fingerprint of the key that a token claims to be signed with. It proves nothing yet.
///
/// # Errors
///
/// [`TokenError::Malformed`] and [`TokenError::NoKey`].
pub fn key_of(token: &str) -> Result<String, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(TokenError::Malformed)?;
    header.kid.ok_or(TokenError::NoKey)
}

/// Verifies a token against the key that its `kid` names, and returns its principal. Whether the
/// key belongs to that principal is the caller's to check.
///
/// # Errors
///
/// When the token is not valid now, here, under this key.
pub fn verify(
    token: &str,
    key: &PublicKey,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<PrincipalName, TokenError> {
    verify_until(token, key, audience, now).map(|(principal, _)| principal)
}

/// As [`verify`], with the last instant at which the answer would be the same.
///
/// # Errors
///
/// See [`verify`].
pub fn verify_until(
    token: &str,
    key: &PublicKey,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<(PrincipalName, DateTime<Utc>), TokenError> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    // Times and audience are judged below: by the given instant, and with errors that say which.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    eddsa::install();
    let claims = jsonwebtoken::decode::<Claims>(token, &eddsa::decoding_key(key.as_bytes()), &validation)
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenError::Signature,
            _ => TokenError::Malformed(error),
        })?
        .claims;
    let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    if claims.aud != audience {
        return Err(TokenError::Audience { found: claims.aud, expected: audience.to_owned() });
    }
    if claims.exp.saturating_sub(claims.iat) > MAX_LIFETIME.num_seconds() {
        return Err(TokenError::TooLong);
    }
    let until = instant(claims.exp) + LEEWAY;
    if now > until {
        return Err(TokenError::Expired(instant(claims.exp)));
    }
    if now + LEEWAY < instant(claims.iat) {
        return Err(TokenError::NotYet(instant(claims.iat)));
    }
    Ok((claims.sub.parse().map_err(TokenError::Subject)?, until))
}

#[cfg(test)]
mod tests {
    use ssh_key::private::KeypairData;

    use super::*;

    fn key(seed: u8) -> (Ed25519Keypair, PublicKey) {
        let pair = Ed25519Keypair::from_seed(&[seed; 32]);
        let private = ssh_key::PrivateKey::new(KeypairData::Ed25519(pair.clone()), "").unwrap();
        (pair, PublicKey::from_ssh(private.public_key().clone()).unwrap())
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn token(seed: u8) -> String {
        let (pair, public) = key(seed);
        mint(&pair, &public.fingerprint(), &"alice".parse().unwrap(), "almanac", now()).unwrap()
    }

    #[test]
    fn a_token_proves_its_principal() {
        let (_, public) = key(1);
        assert_eq!(key_of(&token(1)).unwrap(), public.fingerprint());
        for seconds in [-60, 0, 299, 360] {
            let at = now() + TimeDelta::seconds(seconds);
            assert_eq!(verify(&token(1), &public, "almanac", at).unwrap().as_str(), "alice");
            let (_, until) = verify_until(&token(1), &public, "almanac", at).unwrap();
            assert_eq!(until, now() + TimeDelta::seconds(360));
        }
    }

    #[test]
    fn a_token_proves_nothing_elsewhere_or_at_another_time_or_under_another_key() {
        let (_, public) = key(1);
        let at = |seconds| now() + TimeDelta::seconds(seconds);
        let error = |token: &str, audience, at| verify(token, &public, audience, at).unwrap_err();
        assert!(matches!(error(&token(2), "almanac", now()), TokenError::Signature));
        assert!(matches!(error(&token(1), "other", now()), TokenError::Audience { .. }));
        assert!(matches!(error(&token(1), "almanac", at(361)), TokenError::Expired(_)));
        assert!(matches!(error(&token(1), "almanac", at(-61)), TokenError::NotYet(_)));
        assert!(matches!(error("abc", "almanac", now()), TokenError::Malformed(_)));
    }

    #[test]
    fn a_token_that_lives_too_long_is_refused() {
        let (pair, public) = key(1);
        let claims = Claims {
            sub: "alice".to_owned(),
            aud: "almanac".to_owned(),
            iat: now().timestamp(),
            exp: now().timestamp() + 301,
        };
        eddsa::install();
        let key = eddsa::encoding_key(&pair.private.to_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap();
        assert!(matches!(verify(&token, &public, "almanac", now()), Err(TokenError::TooLong)));
        assert!(matches!(key_of(&token), Err(TokenError::NoKey)));
    }
}
