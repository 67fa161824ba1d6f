//! What it takes to use a store: the settings of the testbed, with the secrets that they name.

use std::net::IpAddr;

use almanac_schemas::{
    config::ArtifactStore,
    secret::SecretRef,
    store_credentials::{StoreCredentials, WorkloadIdentity},
};
use thiserror::Error;

use super::{
    StoreUrl,
    connection_string::{ConnectionString, ConnectionStringError, account_key},
};
use crate::secret::{Secret, SecretError, SecretSource};

/// What it takes to use a store. Two that are equal open the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Access {
    Folder,
    Azure {
        /// Absent: what the environment says.
        account: Option<String>,
        /// Absent: that of Azure.
        endpoint: Option<String>,
        login: AzureLogin,
    },
    S3 {
        /// Absent: that of Amazon.
        endpoint: Option<String>,
        /// Absent: what the environment says.
        region: Option<String>,
        login: S3Login,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum AzureLogin {
    Key(Secret),
    Workload(WorkloadIdentity),
    Environment,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum S3Login {
    Key { id: Secret, secret: Secret, token: Option<Secret> },
    Environment,
}

/// Why nobody can tell how to use a store.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AccessError {
    #[error("cannot read a secret of its credentials")]
    Secret(#[from] SecretError),
    #[error("cannot use its connection string")]
    ConnectionString(#[source] ConnectionStringError),
    #[error("cannot use the key of its account")]
    Key(#[source] ConnectionStringError),
    #[error("its credentials are those of another kind of store")]
    Kind,
    #[error("its endpoint `{0}` is not https://, and `allowHttp` does not say that this may be")]
    Http(String),
}

/// Where the tools of Azure look for a connection string.
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";

impl Access {
    /// What it takes to use a store by the testbed's settings, with secrets as they are now.
    pub(super) fn of(url: &StoreUrl, settings: &ArtifactStore) -> Result<Self, AccessError> {
        let access = match url {
            StoreUrl::Folder(_) => return Ok(Self::Folder),
            StoreUrl::Azure { .. } => Self::azure(settings)?,
            StoreUrl::S3 { .. } => Self::s3(settings)?,
        };
        match access.endpoint() {
            Some(endpoint) if !settings.allow_http && is_open(endpoint) => {
                Err(AccessError::Http(endpoint.to_owned()))
            }
            _ => Ok(access),
        }
    }

    /// The address of the service, where it is not the usual one.
    pub(super) fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Folder => None,
            Self::Azure { endpoint, .. } | Self::S3 { endpoint, .. } => endpoint.as_deref(),
        }
    }

    fn azure(settings: &ArtifactStore) -> Result<Self, AccessError> {
        let endpoint = settings.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        let (account, login) = match &settings.credentials {
            Some(StoreCredentials::ConnectionString(secret)) => return Self::connected(&read(secret)?),
            Some(StoreCredentials::AccountKey { account, key }) => {
                let key = account_key(read(key)?).map_err(AccessError::Key)?;
                (Some(account.clone()), AzureLogin::Key(key))
            }
            Some(StoreCredentials::WorkloadIdentity { account, identity }) => {
                (account.clone(), AzureLogin::Workload(identity.clone()))
            }
            Some(StoreCredentials::AccessKey { .. }) => return Err(AccessError::Kind),
            Some(StoreCredentials::Environment { account: Some(account) }) => {
                (Some(account.clone()), AzureLogin::Environment)
            }
            Some(StoreCredentials::Environment { account: None }) | None => {
                match SecretSource::Env(CONNECTION_STRING.to_owned()).read() {
                    Ok(secret) => return Self::connected(&secret),
                    Err(SecretError::Unset(_)) => (None, AzureLogin::Environment),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        Ok(Self::Azure { account, endpoint, login })
    }

    fn connected(secret: &Secret) -> Result<Self, AccessError> {
        let ConnectionString { account, key, endpoint } =
            ConnectionString::parse(secret).map_err(AccessError::ConnectionString)?;
        Ok(Self::Azure { account: Some(account), endpoint: Some(endpoint), login: AzureLogin::Key(key) })
    }

    fn s3(settings: &ArtifactStore) -> Result<Self, AccessError> {
        let login = match &settings.credentials {
            Some(StoreCredentials::AccessKey { id, secret, session_token }) => S3Login::Key {
                id: read(id)?,
                secret: read(secret)?,
                token: session_token.as_ref().map(read).transpose()?,
            },
            None | Some(StoreCredentials::Environment { account: None }) => S3Login::Environment,
            Some(_) => return Err(AccessError::Kind),
        };
        Ok(Self::S3 { endpoint: settings.endpoint.clone(), region: settings.region.clone(), login })
    }
}

fn read(secret: &SecretRef) -> Result<Secret, SecretError> {
    let source = match secret {
        SecretRef::Env(name) => SecretSource::Env(name.clone()),
        SecretRef::File(path) => SecretSource::File(path.into()),
    };
    source.read()
}

/// Whether others can listen in on what goes to an address.
fn is_open(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else { return false };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    url.scheme() == "http" && host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, settings: &str) -> Result<Access, AccessError> {
        Access::of(&url.parse().unwrap(), &serde_json::from_str(settings).unwrap())
    }

    #[test]
    fn secrets_are_read_when_they_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let settings = format!(
            r#"{{"credentials":{{"account":"testbed","accountKey":{{"fromFile":"{}"}}}}}}"#,
            file.display()
        );
        assert!(matches!(of("az://results", &settings), Err(AccessError::Secret(_))));
        let mut seen = Vec::new();
        for key in ["b25l\n", "dHdv\n"] {
            std::fs::write(&file, key).unwrap();
            seen.push(of("az://results", &settings).unwrap());
        }
        assert_ne!(seen[0], seen[1]);
        assert!(!format!("{seen:?}").contains("dHdv"));
        std::fs::write(&file, "hunter2!").unwrap();
        let error = crate::causes::chain(&of("az://results", &settings).unwrap_err());
        assert!(error.contains("base64") && !error.contains("hunter2"), "{error}");
        assert!(matches!(of("s3://results", &settings), Err(AccessError::Kind)));
        assert_eq!(of("file:///a", &settings).unwrap(), Access::Folder);
    }

    #[test]
    fn nobody_listens_in_unasked() {
        let at =
            |endpoint: &str, more: &str| of("s3://results", &format!(r#"{{"endpoint":"{endpoint}"{more}}}"#));
        for good in
            ["https://minio.example.org", "http://127.0.0.1:9000", "http://[::1]:1", "http://localhost:1"]
        {
            assert!(at(good, "").is_ok(), "{good}");
        }
        assert!(matches!(at("http://minio.example.org", ""), Err(AccessError::Http(_))));
        assert!(at("http://minio.example.org", r#","allowHttp":true"#).is_ok());
    }
}
