//! Public keys, as an `authorized_keys` line writes them.

use std::{fmt, str::FromStr};

use ssh_key::{HashAlg, public::KeyData};
use thiserror::Error;

use crate::text::text_value;

/// An `ssh-ed25519` public key with its comment. Two keys are equal when their key material is:
/// the comment is for people.
#[derive(Debug, Clone)]
pub struct PublicKey(ssh_key::PublicKey);

/// Why a text is not a key that Almanac accepts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The text is not a public key.
    #[error("not a public key: {0}; expected a line such as `ssh-ed25519 AAAA... alice@laptop`")]
    Form(String),
    /// The key is of another algorithm.
    #[error("a key of type `{0}`: only `ssh-ed25519` is accepted (make one with `ssh-keygen -t ed25519`)")]
    Algorithm(String),
    /// The text is a private key.
    #[error(
        "this is a private key: it must never be in Git. Treat it as leaked, make a new one, and declare its `.pub` line"
    )]
    Private,
}

impl PublicKey {
    /// The SSH fingerprint, `SHA256:` and 43 characters of base64 (as `ssh-keygen -l` prints it).
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The 32 bytes of the Ed25519 public key (RFC 8032, section 5.1.5).
    pub fn as_bytes(&self) -> &[u8; 32] {
        match self.0.key_data() {
            KeyData::Ed25519(key) => &key.0,
            _ => unreachable!("`from_str` and `from_ssh` accept Ed25519 only"),
        }
    }

    /// Takes a key that is already parsed.
    ///
    /// # Errors
    ///
    /// [`KeyError::Algorithm`] when it is not an Ed25519 key.
    pub fn from_ssh(key: ssh_key::PublicKey) -> Result<Self, KeyError> {
        match key.key_data() {
            KeyData::Ed25519(_) => Ok(Self(key)),
            _ => Err(KeyError::Algorithm(key.algorithm().to_string())),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key_data() == other.0.key_data()
    }
}

impl Eq for PublicKey {}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        let key = ssh_key::PublicKey::from_openssh(text.trim()).map_err(|error| {
            match text.split_whitespace().next() {
                Some(kind)
                    if kind != "ssh-ed25519" && (kind.starts_with("ssh-") || kind.contains("sha2-")) =>
                {
                    KeyError::Algorithm(kind.to_owned())
                }
                _ => KeyError::Form(error.to_string()),
            }
        })?;
        Self::from_ssh(key)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_openssh() {
            Ok(line) => f.pad(&line),
            Err(_) => Err(fmt::Error),
        }
    }
}

text_value!(PublicKey, "public key", {
    "type": "string",
    "pattern": "^\\s*ssh-ed25519 [A-Za-z0-9+/=]+( .*)?$",
    "description": "An ssh-ed25519 public key, as in authorized_keys.",
    "examples": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ alice@laptop"]
});

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ alice@laptop";

    #[test]
    fn reads_and_writes_a_line() {
        let key: PublicKey = LINE.parse().unwrap();
        assert_eq!(key.to_string(), LINE);
        assert!(key.fingerprint().starts_with("SHA256:"));
        assert_eq!(key.fingerprint().len(), 7 + 43);
        assert_eq!(key, LINE.replace("alice@laptop", "elsewhere").parse().unwrap());
    }

    #[test]
    fn refuses_and_says_why() {
        let error = |text: &str| text.parse::<PublicKey>().unwrap_err();
        assert!(
            matches!(error("ssh-rsa AAAAB3NzaC1yc2E= x"), KeyError::Algorithm(kind) if kind == "ssh-rsa")
        );
        assert!(matches!(error("hello"), KeyError::Form(_)));
        assert!(matches!(error(&LINE[..40]), KeyError::Form(_)));
        assert_eq!(error("-----BEGIN OPENSSH PRIVATE KEY-----"), KeyError::Private);
    }
}
