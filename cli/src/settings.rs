//! Settings: flags before the environment before the file before defaults.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use almanac_proto::limits;
use almanac_schemas::PrincipalName;

use crate::output::Format;

/// Where a reconciler listens unless something else is said.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7600";

/// What flags and the environment say; clap has merged the two.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The reconciler's address.
    pub server: Option<String>,
    /// Who asks.
    pub user: Option<PrincipalName>,
    /// The private key.
    pub key: Option<PathBuf>,
    /// The reconciler's name.
    pub audience: Option<String>,
    /// The authority to trust.
    pub ca_file: Option<PathBuf>,
    /// Whether a plain connection is wanted.
    pub plaintext: bool,
    /// How data is written.
    pub output: Option<Format>,
    /// The settings file.
    pub config: Option<PathBuf>,
}

/// What the settings file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct File {
    server: Option<String>,
    user: Option<PrincipalName>,
    key: Option<PathBuf>,
    audience: Option<String>,
    ca_file: Option<PathBuf>,
    plaintext: bool,
    output: Option<Format>,
}

/// Where things are kept, as the environment says.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// The user's own folder.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
}

/// Everything a command needs to know to speak to a reconciler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The reconciler's address.
    pub server: String,
    /// Who asks.
    pub user: PrincipalName,
    /// The private key.
    pub key: PathBuf,
    /// The reconciler's name.
    pub audience: String,
    /// The authority to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether a plain connection to another machine is wanted.
    pub plaintext: bool,
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings in {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The file is not what it should be.
    #[error("the settings in {} are wrong", .0.display())]
    Form(PathBuf, #[source] toml::de::Error),
    /// Nothing says who asks.
    #[error("it is not known who you are")]
    NoUser {
        /// The file in which it could be said.
        file: Option<PathBuf>,
    },
    /// Nothing says where the key is.
    #[error("no key file is named, and there is no home folder to look for one")]
    NoKey,
}

impl Folders {
    /// Where the settings file is unless something else is said.
    pub fn settings_file(&self) -> Option<PathBuf> {
        // The XDG specification has relative paths ignored.
        let config = self.config_home.clone().filter(|path| path.is_absolute());
        let config = config.or_else(|| self.home.as_ref().map(|home| home.join(".config")))?;
        Some(config.join("almanac/config.toml"))
    }

    fn expand(&self, path: PathBuf) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path,
        }
    }
}

impl File {
    /// Reads the settings file. One that is not named and does not exist says nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is not what it should be.
    pub fn read(named: Option<&Path>, folders: &Folders) -> Result<Self, SettingsError> {
        let Some(path) = named.map(Path::to_owned).or_else(|| folders.settings_file()) else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| SettingsError::Form(path, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Self::default()),
            Err(error) => Err(SettingsError::Read(path, error)),
        }
    }

    /// How data is written, where the file says it.
    pub const fn output(&self) -> Option<Format> {
        self.output
    }
}

impl Settings {
    /// Puts together what is said where.
    ///
    /// # Errors
    ///
    /// When something is said nowhere and has no default.
    pub fn resolve(given: Given, file: File, folders: &Folders) -> Result<Self, SettingsError> {
        let path = given.config.or_else(|| folders.settings_file());
        let user = given.user.or(file.user).ok_or(SettingsError::NoUser { file: path })?;
        let key = given.key.or_else(|| file.key.map(|key| folders.expand(key)));
        let key = key.or_else(|| folders.home.as_ref().map(|home| home.join(".ssh/id_ed25519")));
        Ok(Self {
            server: given.server.or(file.server).unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
            user,
            key: key.ok_or(SettingsError::NoKey)?,
            audience: given.audience.or(file.audience).unwrap_or_else(|| limits::DEFAULT_AUDIENCE.to_owned()),
            ca_file: given.ca_file.or_else(|| file.ca_file.map(|path| folders.expand(path))),
            plaintext: given.plaintext || file.plaintext,
        })
    }
}

impl SettingsError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoUser { file } => {
                let file = file.as_ref().map_or_else(String::new, |file| {
                    format!(", or write `user = \"NAME\"` into {}", file.display())
                });
                Some(format!("give `--user NAME` before the command, set ALMANAC_USER{file}"))
            }
            Self::NoKey => Some("give `--key FILE` or set ALMANAC_KEY".to_owned()),
            Self::Read(..) | Self::Form(..) => None,
        }
    }
}
