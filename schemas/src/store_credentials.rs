//! What a store of artifacts asks for. Secrets are named, never given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretRef;

/// What a store asks for: one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Fields", into = "Fields")]
#[schemars(with = "Fields")]
pub enum StoreCredentials {
    /// Azure: a connection string, with an account and its key.
    ConnectionString(SecretRef),
    /// Azure: a key of a storage account.
    AccountKey {
        /// The account.
        account: String,
        /// The key, as Azure gives it.
        key: SecretRef,
    },
    /// Azure: the identity that a cluster gives the reconciler.
    WorkloadIdentity {
        /// The account. Absent: that of the reconciler's environment.
        account: Option<String>,
        /// The identity.
        identity: WorkloadIdentity,
    },
    /// Azure: the identity of the reconciler's machine, or what its environment says.
    Environment {
        /// The account. Absent: that of the environment, too.
        account: Option<String>,
    },
    /// S3: an access key.
    AccessKey {
        /// Its id.
        id: SecretRef,
        /// Its secret.
        secret: SecretRef,
        /// Of a key that is valid for a while only.
        session_token: Option<SecretRef>,
    },
}

/// An identity that a cluster vouches for by a token in a file. What is absent is taken from the reconciler's
/// environment, where a cluster writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct WorkloadIdentity {
    /// The application's id. Absent: `AZURE_CLIENT_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tenant's id. Absent: `AZURE_TENANT_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The absolute path of the file with the token, on the reconciler's host. Absent: `AZURE_FEDERATED_TOKEN_FILE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
}

/// What a store asks for. Azure: `connectionString`, `account` and `accountKey`, `workloadIdentity`, or `account` alone. S3:
/// `accessKeyId` and `secretAccessKey`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(rename = "StoreCredentials", extend("maxProperties" = 3))]
struct Fields {
    /// A connection string, as Azure gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_string: Option<SecretRef>,
    /// The name of an Azure storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// A key of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_key: Option<SecretRef>,
    /// The identity that a cluster gives the reconciler.
    #[serde(skip_serializing_if = "Option::is_none")]
    workload_identity: Option<WorkloadIdentity>,
    /// The id of an S3 access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<SecretRef>,
    /// The secret of an S3 access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<SecretRef>,
    /// The session token of an S3 access key that is valid for a while only.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<SecretRef>,
}

impl TryFrom<Fields> for StoreCredentials {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        match fields {
            Fields {
                connection_string: Some(secret),
                account: None,
                account_key: None,
                workload_identity: None,
                access_key_id: None,
                secret_access_key: None,
                session_token: None,
            } => Ok(Self::ConnectionString(secret)),
            Fields {
                connection_string: None,
                account,
                account_key,
                workload_identity,
                access_key_id: None,
                secret_access_key: None,
                session_token: None,
            } => match (account, account_key, workload_identity) {
                (Some(account), Some(key), None) => Ok(Self::AccountKey { account, key }),
                (None, Some(_), None) => Err("`accountKey` needs the `account` that it belongs to"),
                (account, None, Some(identity)) => Ok(Self::WorkloadIdentity { account, identity }),
                (account, None, None) => Ok(Self::Environment { account }),
                _ => Err(ONE),
            },
            Fields {
                connection_string: None,
                account: None,
                account_key: None,
                workload_identity: None,
                access_key_id: Some(id),
                secret_access_key: Some(secret),
                session_token,
            } => Ok(Self::AccessKey { id, secret, session_token }),
            Fields {
                connection_string: None,
                account: None,
                account_key: None,
                workload_identity: None,
                ..
            } => Err("an S3 access key has both `accessKeyId` and `secretAccessKey`"),
            _ => Err(ONE),
        }
    }
}

const ONE: &str = "credentials are one of `connectionString`, `account` with `accountKey`, `workloadIdentity`, `account` alone, \
                   and `accessKeyId` with `secretAccessKey`";

impl From<StoreCredentials> for Fields {
    fn from(credentials: StoreCredentials) -> Self {
        match credentials {
            StoreCredentials::ConnectionString(secret) => {
                Self { connection_string: Some(secret), ..Self::default() }
            }
            StoreCredentials::AccountKey { account, key } => {
                Self { account: Some(account), account_key: Some(key), ..Self::default() }
            }
            StoreCredentials::WorkloadIdentity { account, identity } => {
                Self { account, workload_identity: Some(identity), ..Self::default() }
            }
            StoreCredentials::Environment { account } => Self { account, ..Self::default() },
            StoreCredentials::AccessKey { id, secret, session_token } => Self {
                access_key_id: Some(id),
                secret_access_key: Some(secret),
                session_token,
                ..Self::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_of_one_kind() {
        let secret = r#"{"fromEnv":"A"}"#;
        for good in [
            format!(r#"{{"connectionString":{secret}}}"#),
            format!(r#"{{"account":"testbed","accountKey":{secret}}}"#),
            r#"{"workloadIdentity":{}}"#.to_owned(),
            r#"{"account":"testbed","workloadIdentity":{"clientId":"1"}}"#.to_owned(),
            r#"{"account":"testbed"}"#.to_owned(),
            "{}".to_owned(),
            format!(r#"{{"accessKeyId":{secret},"secretAccessKey":{secret}}}"#),
            format!(r#"{{"accessKeyId":{secret},"secretAccessKey":{secret},"sessionToken":{secret}}}"#),
        ] {
            let read: StoreCredentials =
                serde_json::from_str(&good).unwrap_or_else(|error| panic!("{good}: {error}"));
            assert_eq!(serde_json::to_string(&read).unwrap(), good);
        }
        for bad in [
            format!(r#"{{"accountKey":{secret}}}"#),
            format!(r#"{{"connectionString":{secret},"account":"testbed"}}"#),
            format!(r#"{{"account":"testbed","accountKey":{secret},"workloadIdentity":{{}}}}"#),
            format!(r#"{{"accessKeyId":{secret}}}"#),
            format!(r#"{{"sessionToken":{secret},"secretAccessKey":{secret}}}"#),
            format!(r#"{{"account":"testbed","accessKeyId":{secret},"secretAccessKey":{secret}}}"#),
        ] {
            assert!(serde_json::from_str::<StoreCredentials>(&bad).is_err(), "{bad}");
        }
    }
}
