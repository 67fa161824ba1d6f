//! What the agent is told: flags first, then the configuration file. All of it is known and checked
//! before anything is opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use almanac_proto::{Endpoint, Identity, client::EndpointError, identity::IdentityError, limits};
use almanac_schemas::{NodeName, Size};

use crate::cli::{RunArgs, RuntimeName};

/// What the agent is told, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node that it is.
    pub name: NodeName,
    /// Where the reconciler is.
    pub server: Endpoint,
    /// Who it calls as.
    pub identity: Identity,
    /// Its folder.
    pub state_dir: PathBuf,
    /// What runs containers.
    pub runtime: RuntimeChoice,
    /// The address that other nodes reach it at.
    pub address: Option<String>,
    /// How much of a run's log is kept.
    pub log_limit: Size,
}

/// How much of a run's log is kept where nothing is said.
const LOG_LIMIT: Size = Size::from_bytes(64 << 20);

/// What runs containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// A Docker-compatible engine.
    Docker {
        /// Its socket; absent for Docker's own.
        host: Option<String>,
    },
    /// Plain processes.
    Process,
}

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The configuration file is not TOML, or says something unknown.
    #[error("the configuration {} cannot be understood", .0.display())]
    Form(PathBuf, #[source] Box<toml::de::Error>),
    /// Something must be given and is not.
    #[error("`{0}` is not given; give it as `--{0}` or in the file of `--config`")]
    Missing(&'static str),
    /// The reconciler's address is wrong.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The configuration file. Each field has a flag of the same name, which goes first.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct ConfigFile {
    name: Option<NodeName>,
    server: Option<String>,
    key: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    runtime: Option<RuntimeName>,
    ca_file: Option<PathBuf>,
    audience: Option<String>,
    address: Option<String>,
    docker_host: Option<String>,
    log_limit: Option<Size>,
    plaintext: bool,
}

impl ConfigFile {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|error| SettingsError::Read(path.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| SettingsError::Form(path.to_owned(), Box::new(error)))
    }
}

impl Settings {
    /// Puts flags and configuration file together, and reads the key.
    ///
    /// # Errors
    ///
    /// When something is missing or wrong.
    pub fn resolve(args: RunArgs) -> Result<Self, SettingsError> {
        let file = args.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        let name = args.name.or(file.name).ok_or(SettingsError::Missing("name"))?;
        let server = args.server.or(file.server).ok_or(SettingsError::Missing("server"))?;
        let key = args.key.or(file.key).ok_or(SettingsError::Missing("key"))?;
        let audience = args.audience.or(file.audience);
        let runtime = args.runtime.or(file.runtime).unwrap_or(RuntimeName::Docker);
        let identity = Identity::read(
            &key,
            name.clone().into(),
            audience.as_deref().unwrap_or(limits::DEFAULT_AUDIENCE),
        )?;
        Ok(Self {
            server: Endpoint::new(&server, args.plaintext || file.plaintext)?
                .with_ca_file(args.ca_file.or(file.ca_file)),
            identity,
            state_dir: args.state_dir.or(file.state_dir).ok_or(SettingsError::Missing("state-dir"))?,
            runtime: match runtime {
                RuntimeName::Docker => RuntimeChoice::Docker { host: args.docker_host.or(file.docker_host) },
                RuntimeName::Process => RuntimeChoice::Process,
            },
            address: args.address.or(file.address),
            log_limit: args.log_limit.or(file.log_limit).unwrap_or(LOG_LIMIT),
            name,
        })
    }
}
