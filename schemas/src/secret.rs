//! Where a secret is to be found. A secret itself is never in a manifest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The place of a secret on the reconciler's host: an environment variable or a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Fields", into = "Fields")]
#[schemars(with = "Fields")]
pub enum SecretRef {
    /// The value of an environment variable.
    Env(String),
    /// The content of a file, without the line end at its end.
    File(String),
}

/// The place of a secret on the reconciler's host. Exactly one field is given.
#[derive(Serialize, Deserialize, JsonSchema, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "SecretRef", extend("minProperties" = 1, "maxProperties" = 1))]
struct Fields {
    /// The environment variable that holds the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_env: Option<String>,
    /// The absolute path of the file that holds the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_file: Option<String>,
}

impl TryFrom<Fields> for SecretRef {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        match (fields.from_env, fields.from_file) {
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(path)) => Ok(Self::File(path)),
            _ => Err("a secret names exactly one of `fromEnv` and `fromFile`"),
        }
    }
}

impl From<SecretRef> for Fields {
    fn from(secret: SecretRef) -> Self {
        match secret {
            SecretRef::Env(name) => Self { from_env: Some(name), from_file: None },
            SecretRef::File(path) => Self { from_env: None, from_file: Some(path) },
        }
    }
}
