//! The configuration: flags, and a file for those that are not given. It is read completely before
//! anything is opened or bound.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use almanac_proto::limits::DEFAULT_AUDIENCE;
use almanac_schemas::Duration;
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use thiserror::Error;

use crate::{
    artifacts::StoreUrl,
    follow::Intervals,
    notify::{Target, TargetError},
    signatures::TrustedKey,
    source::{Access, GitFlags, Location, LocationError},
    webhooks::{WebhookFlags, WebhookSecrets},
};

/// The reconciler of an Almanac testbed.
///
/// Exit codes: 0 it did what it was asked, 1 `sync --once` found errors in the commit, 2 it could not run.
#[derive(Debug, Parser)]
#[command(name = "almanac-reconciler", version, args_override_self = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow the repository and serve the testbed until SIGTERM or SIGINT.
    #[command(args_override_self = true)]
    Serve(ServeFlags),
    /// Look at the repository once, put its commit in force or print what is wrong with it, and end.
    #[command(args_override_self = true)]
    Sync(SyncFlags),
}

/// What both need.
#[derive(Debug, Args, Default)]
pub struct CommonFlags {
    /// The repository: a path (bare or not), file://, https://, ssh:// or user@host:path.
    #[arg(long, value_name = "PATH|URL")]
    pub repo: Option<String>,
    /// The branch to follow [default: main].
    #[arg(long)]
    pub branch: Option<String>,
    /// The folder in the repository that manifests are below [default: .].
    #[arg(long, value_name = "FOLDER")]
    pub subdir: Option<String>,
    /// The database. A file of SQLite is made when it is not there.
    #[arg(long, value_name = "sqlite://FILE|postgres://...")]
    pub database: Option<String>,
    /// The folder for this reconciler's own files [default: beside the database's file; required with PostgreSQL].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where artifacts go, whatever the testbed's settings say [default: as they say, or beside the database].
    #[arg(long, value_name = "DIR|URL")]
    pub artifacts: Option<String>,
    /// How a remote repository is reached.
    #[command(flatten)]
    pub git: GitFlags,
    /// A TOML file with any of these settings, named as the flags are. Flags win.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or a list such as `info,sqlx=warn` [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// The flags of `serve`.
#[derive(Debug, Args, Default)]
pub struct ServeFlags {
    /// What both need.
    #[command(flatten)]
    pub common: CommonFlags,
    /// The address to serve gRPC and HTTP on [default: 127.0.0.1:7600].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The name of this reconciler, which tokens must be made for [default: almanac].
    #[arg(long)]
    pub name: Option<String>,
    /// How often to look at the repository when nothing says that it changed [default: 60s].
    #[arg(long, value_name = "DURATION")]
    pub poll_interval: Option<String>,
    /// How often to compare the whole database with the commit in force [default: 10m].
    #[arg(long, value_name = "DURATION")]
    pub drift_interval: Option<String>,
    /// The certificate chain for TLS, in PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key for TLS, in PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Serve without TLS on an address that other machines reach.
    #[arg(long)]
    pub plaintext: bool,
    /// Who may say that the repository changed.
    #[command(flatten)]
    pub webhooks: WebhookFlags,
}

/// The flags of `sync`.
#[derive(Debug, Args, Default)]
pub struct SyncFlags {
    /// What both need.
    #[command(flatten)]
    pub common: CommonFlags,
    /// One round. It is required, since `serve` is what goes on.
    #[arg(long, required = true)]
    pub once: bool,
}

/// The file of `--config`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct ConfigFile {
    repo: Option<String>,
    branch: Option<String>,
    subdir: Option<String>,
    database: Option<String>,
    data_dir: Option<PathBuf>,
    artifacts: Option<String>,
    log: Option<String>,
    listen: Option<String>,
    name: Option<String>,
    poll_interval: Option<String>,
    drift_interval: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    plaintext: bool,
    git: GitFlags,
    webhooks: WebhookSecrets,
    notify: Vec<Target>,
    trusted_keys: Vec<TrustedKey>,
}

/// What to reconcile: the settings of `sync`, and half of those of `serve`.
#[derive(Clone)]
pub struct Settings {
    /// The repository.
    pub location: Location,
    /// The branch.
    pub branch: String,
    /// The folder in it.
    pub subdir: String,
    /// The database's address.
    pub database: String,
    /// The folder for this reconciler's own files.
    pub data_dir: Option<PathBuf>,
    /// Where artifacts go whatever the testbed's settings say.
    pub artifacts: Option<StoreUrl>,
    /// The filter of the log.
    pub log: String,
    /// How a remote repository is reached.
    pub access: Access,
    /// Keys that may sign commits, whatever the repository declares.
    pub trusted_keys: Vec<TrustedKey>,
}

impl std::fmt::Debug for Settings {
    /// Without the database's address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { location, branch, subdir, .. } = self;
        let mut shown = f.debug_struct("Settings");
        shown
            .field("location", location)
            .field("branch", branch)
            .field("subdir", subdir)
            .finish_non_exhaustive()
    }
}

/// The settings of `serve`.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// What to reconcile.
    pub common: Settings,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whom tokens must be for.
    pub name: String,
    /// How often to look.
    pub intervals: Intervals,
    /// The certificate chain and its key, in PEM.
    pub tls: Option<Tls>,
    /// The secrets of webhooks.
    pub webhooks: WebhookSecrets,
    /// Who is told what happens.
    pub notify: Vec<Target>,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The chain.
    pub certificate: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ConfigError {
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot understand {}", .0.display())]
    File(PathBuf, #[source] Box<toml::de::Error>),
    #[error("`--{0}` is missing; give it as a flag, or as `{0}` in the file of `--config`")]
    Missing(&'static str),
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("`--{flag}` is wrong: {problem}")]
    Value { flag: &'static str, problem: String },
    #[error("`--tls-cert` and `--tls-key` go together; only one of them is given")]
    HalfTls,
    #[error(
        "{0} can be reached by other machines: give `--tls-cert` and `--tls-key`, or `--plaintext` to serve without TLS all the same"
    )]
    Plain(SocketAddr),
}

impl ServeFlags {
    /// The settings that the flags and the file come to.
    ///
    /// # Errors
    ///
    /// When one is missing or wrong.
    pub fn resolve(self) -> Result<ServeSettings, ConfigError> {
        let file = read_file(self.common.config.as_deref())?;
        let listen = self.listen.or(file.listen.clone()).unwrap_or_else(|| "127.0.0.1:7600".to_owned());
        let listen: SocketAddr = listen.parse().map_err(|_| {
            let problem =
                format!("`{listen}` is not an address and port, such as `127.0.0.1:7600` or `[::]:7600`");
            ConfigError::Value { flag: "listen", problem }
        })?;
        let poll = self.poll_interval.or(file.poll_interval.clone());
        let drift = self.drift_interval.or(file.drift_interval.clone());
        let intervals = Intervals {
            poll: interval("poll-interval", poll.as_deref().unwrap_or("60s"))?,
            drift: interval("drift-interval", drift.as_deref().unwrap_or("10m"))?,
        };
        let tls = match (self.tls_cert.or(file.tls_cert.clone()), self.tls_key.or(file.tls_key.clone())) {
            (Some(certificate), Some(key)) => {
                Some(Tls { certificate: read(&certificate)?, key: read(&key)? })
            }
            (None, None) => None,
            _ => return Err(ConfigError::HalfTls),
        };
        if tls.is_none() && !listen.ip().is_loopback() && !self.plaintext && !file.plaintext {
            return Err(ConfigError::Plain(listen));
        }
        let name = self.name.or(file.name.clone()).unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned());
        let notify = file.notify.clone();
        Target::check(&notify)?;
        let webhooks = self.webhooks.resolve(file.webhooks.clone());
        let common = self.common.resolve_with(file)?;
        Ok(ServeSettings { common, listen, name, intervals, tls, webhooks, notify })
    }
}

impl CommonFlags {
    /// The settings that the flags and the file come to.
    ///
    /// # Errors
    ///
    /// When one is missing or wrong.
    pub fn resolve(self) -> Result<Settings, ConfigError> {
        let file = read_file(self.config.as_deref())?;
        self.resolve_with(file)
    }

    fn resolve_with(self, file: ConfigFile) -> Result<Settings, ConfigError> {
        let artifacts = match self.artifacts.or(file.artifacts) {
            Some(text) => Some(store_url(&text)?),
            None => None,
        };
        Ok(Settings {
            location: self.repo.or(file.repo).ok_or(ConfigError::Missing("repo"))?.parse()?,
            branch: self.branch.or(file.branch).unwrap_or_else(|| "main".to_owned()),
            subdir: self.subdir.or(file.subdir).unwrap_or_default(),
            database: self.database.or(file.database).ok_or(ConfigError::Missing("database"))?,
            data_dir: self.data_dir.or(file.data_dir),
            artifacts,
            log: self.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            access: self.git.resolve(file.git),
            trusted_keys: file.trusted_keys,
        })
    }
}

/// A store, or a folder that may be relative to where the program was started.
fn store_url(text: &str) -> Result<StoreUrl, ConfigError> {
    if text.contains("://") {
        return value("artifacts", text.parse());
    }
    let path = std::path::absolute(text);
    Ok(StoreUrl::folder(
        path.map_err(|error| ConfigError::Value { flag: "artifacts", problem: error.to_string() })?,
    ))
}

fn interval(flag: &'static str, text: &str) -> Result<std::time::Duration, ConfigError> {
    let interval: Duration = value(flag, text.parse())?;
    if interval.is_zero() {
        return Err(ConfigError::Value { flag, problem: "it must be longer than nothing".to_owned() });
    }
    Ok(interval.to_std())
}

fn value<T, E: std::fmt::Display>(flag: &'static str, value: Result<T, E>) -> Result<T, ConfigError> {
    value.map_err(|error| ConfigError::Value { flag, problem: error.to_string() })
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| ConfigError::Read(path.to_owned(), error))
}

fn read_file(path: Option<&Path>) -> Result<ConfigFile, ConfigError> {
    let Some(path) = path else { return Ok(ConfigFile::default()) };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    toml::from_str(&text).map_err(|mut error: toml::de::Error| {
        // The error shows the line, and the one of the database may hold a password.
        let start = error.span().map_or(0, |span| text[..span.start].rfind('\n').map_or(0, |at| at + 1));
        if text[start..].trim_start().starts_with("database") {
            error.set_input(None);
        }
        ConfigError::File(path.to_owned(), Box::new(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(arguments: &[&str]) -> Result<ServeSettings, ConfigError> {
        let all = ["almanac-reconciler", "serve"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Serve(flags) => flags.resolve(),
            Command::Sync(_) => unreachable!("`serve` was parsed"),
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reconciler.toml");
        fs::write(
            &path,
            "repo = \"/a\"\nbranch = \"live\"\ndatabase = \"sqlite:///b\"\npoll-interval = \"5m\"\n",
        )
        .unwrap();
        let settings = serve(&["--config", path.to_str().unwrap(), "--branch", "main"]).unwrap();
        assert_eq!(settings.common.branch, "main");
        assert_eq!(settings.common.location, Location::Local("/a".into()));
        assert_eq!(settings.intervals.poll, std::time::Duration::from_secs(300));

        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ forge";
        let trusted = format!(
            "repo = \"/a\"\ndatabase = \"sqlite:///b\"\n[[trusted-keys]]\nname = \"forge\"\nkey = \"{key}\"\n"
        );
        fs::write(&path, trusted).unwrap();
        let settings = serve(&["--config", path.to_str().unwrap()]).unwrap();
        assert_eq!(settings.common.trusted_keys[0].name, "forge");

        fs::write(&path, "repository = \"/a\"\n").unwrap();
        let error = serve(&["--config", path.to_str().unwrap()]).unwrap_err();
        assert!(matches!(error, ConfigError::File(..)));

        for wrong in [
            "database = 'postgres://almanac:s3cret@localhost/almanac\n",
            "database = postgres://a:s3cret@b/c\n",
        ] {
            fs::write(&path, format!("repo = \"/a\"\n{wrong}")).unwrap();
            let error = serve(&["--config", path.to_str().unwrap()]).unwrap_err();
            let shown = format!("{}{error:?}", crate::follow::chain(&error));
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn what_is_missing_or_unsafe_is_refused() {
        let base = ["--repo", "/a", "--database", "sqlite:///b"];
        let with = |more: &[&'static str]| serve(&[&base[..], more].concat());
        assert!(with(&[]).is_ok());
        assert!(matches!(serve(&["--repo", "/a"]), Err(ConfigError::Missing("database"))));
        assert!(matches!(with(&["--listen", "0.0.0.0:7600"]), Err(ConfigError::Plain(_))));
        assert!(with(&["--listen", "0.0.0.0:7600", "--plaintext"]).is_ok());
        assert!(matches!(with(&["--tls-cert", "/c"]), Err(ConfigError::HalfTls)));
        for wrong in [["--listen", "7600"], ["--poll-interval", "0s"], ["--artifacts", "az://a/b"]] {
            assert!(matches!(with(&wrong), Err(ConfigError::Value { .. })), "{wrong:?}");
        }
    }
}
