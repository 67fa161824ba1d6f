//! Whether a delivery was sent by somebody who knows the secret. Nothing is compared in a time that
//! depends on how much of it is right.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::{hex, secret::Secret};

/// How far the clocks of a forge and of the reconciler may be apart, in seconds (Standard Webhooks, "Verifying
/// webhook authenticity").
const CLOCKS: i64 = 300;

/// The prefix of a signing token (Standard Webhooks, "Signature scheme"). What follows is the key in base64.
const SIGNING_TOKEN: &str = "whsec_";

/// What shows who sent a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// The HMAC-SHA256 of the body in hexadecimal.
    Hex(&'a str),
    /// The secret itself.
    Token(&'a str),
    /// What the Standard Webhooks specification signs: identity, time and body.
    Standard {
        /// The delivery.
        id: &'a str,
        /// When it was sent, in seconds since 1970.
        timestamp: &'a str,
        /// `v1,` and the HMAC-SHA256 in base64, any number of them with spaces in between.
        signatures: &'a str,
        /// The secret itself, which GitLab sends besides where it has one.
        token: Option<&'a str>,
    },
}

/// Why a delivery proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unproven {
    /// It is signed with another secret, or was changed on its way.
    #[error("the signature is not that of this body with the secret that the reconciler has")]
    Signature,
    /// The token is another one.
    #[error("the token is not the secret that the reconciler has")]
    Token,
    /// It was sent long ago, or one of the clocks is wrong.
    #[error("it was sent more than 5 minutes away from what the reconciler's clock says")]
    Time,
}

/// Verifies the proof of a delivery.
///
/// # Errors
///
/// When it was not made with the secret for this body.
pub fn verify(proof: Proof<'_>, secret: &Secret, body: &[u8], now: DateTime<Utc>) -> Result<(), Unproven> {
    match proof {
        Proof::Hex(signature) => {
            let signature = hex::decode(signature).ok_or(Unproven::Signature)?;
            let mac = mac(secret.reveal().as_bytes(), &[body]);
            mac.verify_slice(&signature).map_err(|_| Unproven::Signature)
        }
        Proof::Token(token) => same(token, secret),
        Proof::Standard { id, timestamp, signatures, token } => {
            let Some(key) = secret.reveal().strip_prefix(SIGNING_TOKEN) else {
                // The secret is a plain token, and cannot be what this was signed with.
                return same(token.ok_or(Unproven::Signature)?, secret);
            };
            let key = STANDARD.decode(key).ok().filter(|key| !key.is_empty()).ok_or(Unproven::Signature)?;
            let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
            let fits = |signature: &str| {
                let signature = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
                signature.is_some_and(|signature| mac(&key, &signed).verify_slice(&signature).is_ok())
            };
            if !signatures.split(' ').any(fits) {
                return Err(Unproven::Signature);
            }
            let sent: i64 = timestamp.parse().map_err(|_| Unproven::Time)?;
            if now.timestamp().abs_diff(sent) > CLOCKS.unsigned_abs() { Err(Unproven::Time) } else { Ok(()) }
        }
    }
}

/// Whether a token is the secret. Their HMACs under one key are compared, which takes as long whatever
/// they have in common, and whatever their lengths are.
fn same(token: &str, secret: &Secret) -> Result<(), Unproven> {
    let key = secret.reveal().as_bytes();
    let wanted = mac(key, &[key]).finalize();
    mac(key, &[token.as_bytes()]).verify(&wanted.into_bytes()).map_err(|_| Unproven::Token)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104)");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretSource;

    fn secret(text: &str) -> Secret {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        SecretSource::File(path).read().unwrap()
    }

    /// The example in GitHub's "Validating webhook deliveries", section "Testing the webhook payload validation".
    #[test]
    fn the_example_that_github_publishes() {
        let secret = secret("It's a Secret to Everybody");
        let signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(verify(Proof::Hex(signature), &secret, b"Hello, World!", now), Ok(()));
        assert_eq!(verify(Proof::Hex(&signature.to_uppercase()), &secret, b"Hello, World!", now), Ok(()));
        let wrong = signature.replace("757", "758");
        for signature in ["", "75", "7", "zz", &signature[..62], &format!("{signature}00"), &wrong] {
            let result = verify(Proof::Hex(signature), &secret, b"Hello, World!", now);
            assert_eq!(result, Err(Unproven::Signature), "{signature}");
        }
        assert_eq!(verify(Proof::Hex(signature), &secret, b"Hello, World?", now), Err(Unproven::Signature));
    }

    /// The vector that the libraries of Standard Webhooks are tested with, its signature computed anew.
    #[test]
    fn what_standard_webhooks_signs() {
        let key = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let proof = |signatures| Proof::Standard {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: "1614265330",
            signatures,
            token: None,
        };
        let body = b"{\"test\": 2432232314}";
        let now = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(verify(proof(right), &key, body, now), Ok(()));
        let several = format!("v1a,abc v1,AAAA {right}");
        assert_eq!(verify(proof(&several), &key, body, now), Ok(()));
        for wrong in ["", "v1,", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,AAAA"] {
            assert_eq!(verify(proof(wrong), &key, body, now), Err(Unproven::Signature), "{wrong}");
        }
        assert_eq!(verify(proof(right), &key, b"{}", now), Err(Unproven::Signature));
        for late in [-301, 301] {
            let then = now + chrono::TimeDelta::seconds(late);
            assert_eq!(verify(proof(right), &key, body, then), Err(Unproven::Time));
        }
        assert_eq!(verify(proof(right), &secret("whsec_"), body, now), Err(Unproven::Signature));
    }

    #[test]
    fn a_token_is_the_secret_or_not() {
        let now = DateTime::UNIX_EPOCH;
        let key = secret("swordfish");
        assert_eq!(verify(Proof::Token("swordfish"), &key, b"", now), Ok(()));
        for wrong in ["", "swordfis", "swordfish ", "Swordfish"] {
            assert_eq!(verify(Proof::Token(wrong), &key, b"", now), Err(Unproven::Token), "{wrong}");
        }
    }
}
