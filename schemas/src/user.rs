//! `kind: User`: a person who may schedule jobs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    PublicKey, TeamName, UserName,
    manifest::{Envelope, Metadata, constant_kind},
};

constant_kind!(
    /// The word `User`.
    UserKind, User
);

/// A person who may schedule jobs.
pub type User = Envelope<UserKind, Metadata<UserName>, UserSpec>;

/// Who a user is and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UserSpec {
    /// The name that people know them by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where they are reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The team they belong to: nodes may be open to some teams only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// What they may do.
    #[serde(default)]
    pub role: UserRole,
    /// Their account on the forge: it maps a pull request's author to this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The keys that they sign in with. None: they can do nothing but own jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PublicKey>,
}

/// What a user may do.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum UserRole {
    /// Schedule jobs, and see and fetch what is their own.
    #[default]
    User,
    /// Also change kernel settings from a job.
    Privileged,
    /// Everything.
    Admin,
}

impl UserRole {
    /// The role as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Privileged => "privileged",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
