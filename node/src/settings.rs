//! What the agent is told: flags first, then the configuration file. All of it is known and checked
//! before anything is opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use almanac_proto::{Endpoint, Identity, client::EndpointError, identity::IdentityError, limits};
use almanac_schemas::{Duration, NodeName, Size};

use crate::{
    cli::{OnStopName, RunArgs, RuntimeName},
    credentials::{CredentialsError, Registries},
    dispatcher::OnStop,
    housekeeping::HousekeepingSettings,
    images::{self, PullSettings},
    policy::Policy,
    service::Manager,
    telemetry::local::LocalSettings,
};

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
    /// What the host allows.
    pub policy: Policy,
    /// How tidy the host is kept.
    pub housekeeping: HousekeepingSettings,
    /// The service manager, where the agent is its service.
    pub manager: Manager,
    /// How much of a run's log is kept.
    pub log_limit: Size,
    /// How much of what runs left may wait for the reconciler; absent for what fits the disk.
    pub spool_limit: Option<Size>,
    /// What becomes of what runs when it stops.
    pub on_stop: OnStop,
    /// Commands and files of the host that yield telemetry.
    pub local: LocalSettings,
}

/// How long what runs has to end when the agent stops and nothing else is said.
const STOP_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// How much of a run's log is kept where nothing is said.
const LOG_LIMIT: Size = Size::from_bytes(64 << 20);

/// What runs containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// A Docker-compatible engine.
    Docker {
        /// Its socket; absent for Docker's own.
        host: Option<String>,
        /// How images are got.
        pulls: PullSettings,
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
    /// The credentials of a registry cannot be had.
    #[error(transparent)]
    Registry(#[from] CredentialsError),
}

/// The configuration file. What has a flag of the same name is overridden by it; the others are about what containers
/// may do and take, which is written down.
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
    spool_limit: Option<Size>,
    on_stop: Option<OnStopName>,
    stop_deadline: Option<Duration>,
    plaintext: bool,
    pull_patience: Option<Duration>,
    registries: Registries,
    policy: Policy,
    housekeeping: HousekeepingSettings,
    telemetry: TelemetrySection,
}

/// What is measured on this host alone, whatever the node's manifest says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TelemetrySection {
    local: LocalSettings,
}

impl ConfigFile {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|error| SettingsError::Read(path.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| SettingsError::Form(path.to_owned(), Box::new(error)))
    }
}

/// Where the unit of `deploy/` has the configuration.
const USUAL_CONFIG: &str = "/etc/almanac/node.toml";

/// The configuration file where none is named: the usual one, if it is there.
pub fn usual_config() -> Option<PathBuf> {
    Some(PathBuf::from(USUAL_CONFIG)).filter(|path| path.exists())
}

/// The state folder of the agent of a configuration file.
///
/// # Errors
///
/// When the file cannot be understood, or names none.
pub fn state_dir(config: Option<&Path>) -> Result<PathBuf, SettingsError> {
    let file = config.map(ConfigFile::read).transpose()?.unwrap_or_default();
    file.state_dir.ok_or(SettingsError::Missing("state-dir"))
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
                RuntimeName::Docker => {
                    file.registries.check()?;
                    let patience = file.pull_patience.map_or(images::PATIENCE, Duration::to_std);
                    RuntimeChoice::Docker {
                        host: args.docker_host.or(file.docker_host),
                        pulls: PullSettings { registries: file.registries, patience },
                    }
                }
                RuntimeName::Process => RuntimeChoice::Process,
            },
            address: args.address.or(file.address),
            policy: file.policy,
            housekeeping: file.housekeeping,
            local: file.telemetry.local,
            manager: Manager {
                socket: args.notify_socket,
                watchdog: args
                    .watchdog_usec
                    .filter(|micros| *micros > 0)
                    .map(std::time::Duration::from_micros),
            },
            log_limit: args.log_limit.or(file.log_limit).unwrap_or(LOG_LIMIT),
            spool_limit: args.spool_limit.or(file.spool_limit),
            on_stop: match args.on_stop.or(file.on_stop).unwrap_or(OnStopName::Detach) {
                OnStopName::Detach => OnStop::Detach,
                OnStopName::Drain => {
                    let deadline = args.stop_deadline.or(file.stop_deadline);
                    OnStop::Drain(deadline.map_or(STOP_DEADLINE, Duration::to_std))
                }
            },
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_documentation_and_the_example_say_is_understood() {
        let page = include_str!("../../docs/node.md");
        let example = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
        let all: ConfigFile = toml::from_str(example).unwrap();
        assert!(all.policy.capabilities.is_some() && all.policy.quiet_hours.len() == 2);
        assert!(all.policy.disk_reserve.is_some());
        assert_eq!(
            all.housekeeping,
            HousekeepingSettings::default(),
            "what is written there are the defaults"
        );
        assert_eq!(all.pull_patience.map(Duration::to_std), Some(images::PATIENCE));
        // Each setting that there is stands there.
        let named = |key: &str| example.lines().any(|line| line.trim_start_matches("# ").starts_with(key));
        for key in [
            "name",
            "server",
            "key",
            "state-dir",
            "runtime",
            "docker-host",
            "address",
            "ca-file",
            "on-stop",
            "stop-deadline",
        ] {
            assert!(named(key), "{key}");
        }
        toml::from_str::<ConfigFile>(include_str!("../../deploy/node.toml")).unwrap();
    }
}
