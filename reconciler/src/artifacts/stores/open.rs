//! Opening stores. What was opened is kept as long as its settings and secrets are the same.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use almanac_schemas::{config::ArtifactStore, store_credentials::WorkloadIdentity};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    azure::{MicrosoftAzure, MicrosoftAzureBuilder},
    local::LocalFileSystem,
};

use super::{
    ObjectError, StoreUrl,
    access::{Access, AzureLogin, S3Login},
    grants::Grants,
};
use crate::metrics::Metrics;

/// How long connecting to a store may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a store may be silent in an answer. An answer as a whole takes as long as what it carries is large.
const SILENCE: Duration = Duration::from_secs(60);

/// How often, and for how long, a request is made again that a store answers with 5xx, or not at all. Calls have 30 s;
/// beyond that it is the agent that tries again.
const RETRIES: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

/// How many stores are kept open. There is one but for those of earlier settings.
const MOST: usize = 16;

/// The stores that were opened. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Stores {
    kept: Arc<Mutex<Kept>>,
    metrics: Metrics,
}

/// What was opened, and what with.
type Kept = BTreeMap<StoreUrl, (Access, Arc<Opened>)>;

/// A store that can be used.
pub struct Opened {
    pub(super) url: StoreUrl,
    pub(super) kind: Kind,
    pub(super) grants: Grants,
    pub(super) metrics: Metrics,
}

/// What kind of store it is.
pub(super) enum Kind {
    Folder(LocalFileSystem),
    Azure(MicrosoftAzure),
    S3(AmazonS3),
}

impl Stores {
    /// Those that count there what goes wrong.
    pub fn new(metrics: Metrics) -> Self {
        Self { kept: Arc::default(), metrics }
    }

    /// Opens a store by the testbed's settings. Nothing is asked of the store itself yet.
    ///
    /// # Errors
    ///
    /// When a secret cannot be read, or the settings are not for this kind of store.
    pub fn open(&self, url: &StoreUrl, settings: &ArtifactStore) -> Result<Arc<Opened>, ObjectError> {
        let opened = self.find_or_open(url, settings);
        opened.inspect_err(|error| self.metrics.store_failed(error.reason()))
    }

    fn find_or_open(&self, url: &StoreUrl, settings: &ArtifactStore) -> Result<Arc<Opened>, ObjectError> {
        let access = Access::of(url, settings).map_err(|error| ObjectError::Access(url.clone(), error))?;
        let mut stores = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match stores.get(url) {
            // A folder may be gone: it is made again.
            Some((before, opened)) if *before == access && access != Access::Folder => {
                return Ok(Arc::clone(opened));
            }
            _ => {}
        }
        let kind = match url {
            StoreUrl::Folder(path) => Kind::Folder(folder(url, path)?),
            StoreUrl::Azure { container, .. } => {
                Kind::Azure(azure(container, &access).map_err(|error| ObjectError::of(url, error))?)
            }
            StoreUrl::S3 { bucket, .. } => {
                Kind::S3(s3(bucket, &access).map_err(|error| ObjectError::of(url, error))?)
            }
        };
        let (grants, metrics) = (Grants::default(), self.metrics.clone());
        let opened = Arc::new(Opened { url: url.clone(), kind, grants, metrics });
        if stores.len() >= MOST {
            stores.clear();
        }
        stores.insert(url.clone(), (access, Arc::clone(&opened)));
        Ok(opened)
    }
}

impl Opened {
    /// Its address.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        match &self.kind {
            Kind::Folder(store) => store,
            Kind::Azure(store) => store,
            Kind::S3(store) => store,
        }
    }
}

impl fmt::Debug for Opened {
    /// Without what it knows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opened").field(&self.url).finish()
    }
}

fn folder(url: &StoreUrl, path: &Path) -> Result<LocalFileSystem, ObjectError> {
    std::fs::create_dir_all(path).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull => ObjectError::Full(url.clone()),
        _ => ObjectError::Read(path.to_owned(), error),
    })?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| ObjectError::of(url, error))?;
    // What an agent was told to be stored must be there after a power cut. Folders that nothing is left in go with the
    // last file.
    Ok(store.with_fsync(true).with_automatic_cleanup(true))
}

fn azure(container: &str, access: &Access) -> object_store::Result<MicrosoftAzure> {
    let Access::Azure { account, endpoint, login } = access else { return Err(other_kind()) };
    let mut builder = match login {
        AzureLogin::Key(key) => MicrosoftAzureBuilder::new().with_access_key(key.reveal()),
        AzureLogin::Environment => MicrosoftAzureBuilder::from_env(),
        AzureLogin::Workload(identity) => {
            let WorkloadIdentity { client_id, tenant_id, token_file } = identity;
            let mut builder = MicrosoftAzureBuilder::from_env().with_credential_type("workload_identity");
            if let Some(id) = client_id {
                builder = builder.with_client_id(id);
            }
            if let Some(id) = tenant_id {
                builder = builder.with_tenant_id(id);
            }
            if let Some(path) = token_file {
                builder = builder.with_federated_token_file(path);
            }
            builder
        }
    };
    if let Some(account) = account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder.with_container_name(container).with_client_options(client(access)).with_retry(retry()).build()
}

fn s3(bucket: &str, access: &Access) -> object_store::Result<AmazonS3> {
    let Access::S3 { endpoint, region, login } = access else { return Err(other_kind()) };
    let mut builder = match login {
        S3Login::Environment => AmazonS3Builder::from_env(),
        S3Login::Key { id, secret, token } => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(id.reveal())
                .with_secret_access_key(secret.reveal());
            match token {
                Some(token) => builder.with_token(token.reveal()),
                None => builder,
            }
        }
    };
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    builder.with_bucket_name(bucket).with_client_options(client(access)).with_retry(retry()).build()
}

fn other_kind() -> object_store::Error {
    object_store::Error::NotSupported { source: "the store is of another kind".into() }
}

fn client(access: &Access) -> ClientOptions {
    // Whichever part of the program comes first installs it; that another one did is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scheme = access.endpoint().and_then(|endpoint| endpoint.split_once(':')).map(|(scheme, _)| scheme);
    let is_http = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"));
    ClientOptions::new()
        .with_allow_http(is_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
}

fn retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT }
}
