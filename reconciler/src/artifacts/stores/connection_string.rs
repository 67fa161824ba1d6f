//! Connection strings of Azure Storage: `DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...`
//! (learn.microsoft.com/azure/storage/common/storage-configure-connection-string).

use thiserror::Error;

use crate::secret::Secret;

/// What a connection string says, as far as it concerns blobs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConnectionString {
    /// The account.
    pub(super) account: String,
    /// Its key, in base64.
    pub(super) key: Secret,
    /// The address of its blobs.
    pub(super) endpoint: String,
}

/// What is wrong with a connection string. None of it is repeated but the names of its fields.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ConnectionStringError {
    #[error("expected fields such as `AccountName=NAME` with semicolons between them")]
    Fields,
    #[error("it has no `{0}`")]
    Missing(&'static str),
    #[error("`{0}` is given twice")]
    Twice(&'static str),
    #[error(
        "it has a shared access signature, which cannot grant uploads to nodes; use one with `AccountKey`, or a workload identity"
    )]
    Signature,
    #[error("`AccountKey` is not in base64")]
    Key,
    #[error("`DefaultEndpointsProtocol` is neither `https` nor `http`")]
    Protocol,
    #[error("a field is not one that is known")]
    Unknown,
}

/// The account and the key that every storage emulator has. They are public (see the page above).
const EMULATOR: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// What else a connection string may say, which does not concern blobs.
const OTHERS: [&str; 7] = [
    "queueendpoint",
    "tableendpoint",
    "fileendpoint",
    "blobsecondaryendpoint",
    "queuesecondaryendpoint",
    "tablesecondaryendpoint",
    "filesecondaryendpoint",
];

const FIELDS: [&str; 7] = [
    "AccountName",
    "AccountKey",
    "BlobEndpoint",
    "EndpointSuffix",
    "DefaultEndpointsProtocol",
    "SharedAccessSignature",
    "UseDevelopmentStorage",
];

impl ConnectionString {
    pub(super) fn parse(text: &Secret) -> Result<Self, ConnectionStringError> {
        let mut values: [Option<&str>; FIELDS.len()] = [None; FIELDS.len()];
        for field in text.reveal().split(';').map(str::trim).filter(|field| !field.is_empty()) {
            // A key ends with `=` of its own.
            let (name, value) = field.split_once('=').ok_or(ConnectionStringError::Fields)?;
            let name = name.trim();
            match FIELDS.iter().position(|field| field.eq_ignore_ascii_case(name)) {
                Some(index) if values[index].replace(value.trim()).is_some() => {
                    return Err(ConnectionStringError::Twice(FIELDS[index]));
                }
                Some(_) => {}
                None if OTHERS.contains(&name.to_ascii_lowercase().as_str()) => {}
                None => return Err(ConnectionStringError::Unknown),
            }
        }
        let [account, key, endpoint, suffix, protocol, signature, emulator] = values;
        if emulator.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self {
                account: EMULATOR.to_owned(),
                key: Secret::new(EMULATOR_KEY),
                endpoint: format!("http://127.0.0.1:10000/{EMULATOR}"),
            });
        }
        if signature.is_some() && key.is_none() {
            return Err(ConnectionStringError::Signature);
        }
        let given = |value: Option<&str>, name| {
            let value = value.filter(|value| !value.is_empty());
            value.map(str::to_owned).ok_or(ConnectionStringError::Missing(name))
        };
        let (account, key) = (given(account, "AccountName")?, given(key, "AccountKey")?);
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => {
                let protocol = protocol.unwrap_or("https").to_ascii_lowercase();
                if !matches!(protocol.as_str(), "https" | "http") {
                    return Err(ConnectionStringError::Protocol);
                }
                format!("{protocol}://{account}.blob.{}", suffix.unwrap_or("core.windows.net"))
            }
        };
        Ok(Self { account, key: account_key(Secret::new(&key))?, endpoint })
    }
}

/// A key of an account, when it may be one.
pub(super) fn account_key(key: Secret) -> Result<Secret, ConnectionStringError> {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    match BASE64_STANDARD.decode(key.reveal()) {
        Ok(_) => Ok(key),
        Err(_) => Err(ConnectionStringError::Key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String, String), ConnectionStringError> {
        let ConnectionString { account, key, endpoint } = ConnectionString::parse(&Secret::new(text))?;
        Ok((account, key.reveal().to_owned(), endpoint))
    }

    fn parsed(
        account: &str,
        key: &str,
        endpoint: &str,
    ) -> Result<(String, String, String), ConnectionStringError> {
        Ok((account.to_owned(), key.to_owned(), endpoint.to_owned()))
    }

    #[test]
    fn an_account_is_found_with_its_key_and_its_blobs() {
        for (text, expected) in [
            (
                "DefaultEndpointsProtocol=https;AccountName=testbed;AccountKey=a2V5MQ==;EndpointSuffix=core.windows.net",
                parsed("testbed", "a2V5MQ==", "https://testbed.blob.core.windows.net"),
            ),
            (
                "AccountName=testbed; accountkey=a2V5;",
                parsed("testbed", "a2V5", "https://testbed.blob.core.windows.net"),
            ),
            (
                "AccountName=t;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn;TableEndpoint=https://t",
                parsed("t", "a2V5", "https://t.blob.core.chinacloudapi.cn"),
            ),
            (
                "DefaultEndpointsProtocol=http;AccountName=t;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:10000/t/;",
                parsed("t", "a2V5", "http://127.0.0.1:10000/t"),
            ),
            (
                "UseDevelopmentStorage=true",
                parsed(EMULATOR, EMULATOR_KEY, "http://127.0.0.1:10000/devstoreaccount1"),
            ),
        ] {
            assert_eq!(parse(text), expected);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_not_repeated() {
        use ConnectionStringError::{Fields, Key, Missing, Protocol, Signature, Twice, Unknown};
        for (text, expected) in [
            ("hunter2", Fields),
            ("hunter2=1", Unknown),
            ("AccountName=hunter2", Missing("AccountKey")),
            ("AccountKey=hunter2", Missing("AccountName")),
            ("AccountName=t;AccountKey=", Missing("AccountKey")),
            ("AccountName=t;AccountKey=hunter2;AccountKey=hunter2", Twice("AccountKey")),
            ("AccountName=t;AccountKey=hunter2!", Key),
            ("DefaultEndpointsProtocol=hunter2;AccountName=t;AccountKey=a2V5", Protocol),
            ("BlobEndpoint=https://t;SharedAccessSignature=sv=2021&sig=hunter2", Signature),
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert_eq!(error, expected, "{text}");
        }
    }
}
