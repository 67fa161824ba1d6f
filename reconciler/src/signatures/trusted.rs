//! Keys that the operator of the reconciler trusts, whatever the repository declares.

use almanac_schemas::PublicKey;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key of the configuration, `[[trusted-keys]]`. A commit that it signs may change what an admin may.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, try_from = "Fields")]
pub struct TrustedKey {
    /// Whose it is, for findings and logs.
    pub name: String,
    /// The key, as in `authorized_keys`.
    pub key: PublicKey,
}

/// Why an entry of the configuration is no trusted key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TrustedKeyError {
    /// It could not be named in a finding.
    #[error("the `name` of a trusted key is empty; say whose it is, such as `forge`")]
    Nameless,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    key: PublicKey,
}

impl TryFrom<Fields> for TrustedKey {
    type Error = TrustedKeyError;

    fn try_from(fields: Fields) -> Result<Self, TrustedKeyError> {
        let Fields { name, key } = fields;
        if name.trim().is_empty() { Err(TrustedKeyError::Nameless) } else { Ok(Self { name, key }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TrustedKey, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn has_a_name_and_a_key_of_one_kind() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ forge";
        let read_key = |key: &str| read(&format!("name = \"forge\"\nkey = \"{key}\"\n"));
        assert_eq!(
            read_key(key).unwrap(),
            TrustedKey { name: "forge".to_owned(), key: key.parse().unwrap() }
        );
        assert!(read_key("ssh-rsa AAAAB3NzaC1yc2E=").unwrap_err().message().contains("only `ssh-ed25519`"));
        let nameless = read(&format!("name = \" \"\nkey = \"{key}\"\n")).unwrap_err();
        assert!(nameless.message().contains("say whose it is"), "{nameless}");
        assert!(read(&format!("name = \"forge\"\nkey = \"{key}\"\nrole = \"user\"\n")).is_err());
    }
}
