//! What the program works with, once the sources were understood.

use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use almanac_schemas::{Duration, Size};

use super::{Problem, Problems, Sources, sources::Given};
use crate::{
    artifacts::StoreUrl,
    causes::chain,
    data::DataError,
    follow::Intervals,
    limits::Limits,
    notify::Target,
    redact::{self, Address},
    signatures::TrustedKey,
    source::{Access, Location},
    store::Engine,
    tls::{self, TlsFiles},
    webhooks::{Forge, WebhookSecrets},
};

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
    pub database: Address,
    /// The folder for this reconciler's own files.
    pub data_dir: Option<PathBuf>,
    /// Where artifacts go whatever the testbed's settings say.
    pub artifacts: Option<StoreUrl>,
    /// The log.
    pub log: LogSettings,
    /// How a remote repository is reached.
    pub access: Access,
    /// Keys that may sign commits, whatever the repository declares: the file's `[[trusted-keys]]`.
    pub trusted_keys: Vec<TrustedKey>,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default)]
pub struct LogSettings {
    /// The filter, such as `info,sqlx=warn`.
    pub filter: String,
    /// How a line is written.
    pub format: LogFormat,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object.
    Json,
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
    /// The files of the certificate chain and its key.
    pub tls: Option<TlsFiles>,
    /// How many connections may be open at a time.
    pub max_connections: NonZeroUsize,
    /// Where traces go.
    pub otlp_endpoint: Option<Address>,
    /// What a caller may take: the file's `[limits]`.
    pub limits: Limits,
    /// The secrets of webhooks.
    pub webhooks: WebhookSecrets,
    /// Who is told what happens: the file's `[[notify]]`.
    pub notify: Vec<Target>,
}

impl fmt::Debug for Settings {
    /// Without the password of the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("location", &self.location)
            .field("branch", &self.branch)
            .field("subdir", &self.subdir)
            .field("database", &redact::passwords(&self.database))
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The settings of `sync`.
    ///
    /// # Errors
    ///
    /// With everything that is missing or wrong.
    pub fn resolve(given: Given) -> Result<Self, Problems> {
        let mut sources = Sources::read(given);
        let settings = Self::from_sources(&mut sources);
        // What only `serve` needs may stand in the same file.
        let _ = ServeSettings::tables(&mut sources);
        finish(settings, sources)
    }

    fn from_sources(sources: &mut Sources) -> Option<Self> {
        let location = sources.require("repo", str::parse::<Location>);
        let engine = sources.require("database", |address| {
            words(address)?;
            address.parse::<Engine>().map_err(|error| chain(&error))
        });
        let exposed = |value: &super::Value| {
            value.origin == super::Origin::Flag && redact::passwords(&value.text) != value.text
        };
        for name in ["repo", "database"] {
            if let (Some(setting), true) = (super::Setting::of(name), sources.get(name).is_some_and(exposed))
            {
                sources.note(Problem::Exposed { name: setting.name, variable: setting.variable });
            }
        }
        let access = access(sources);
        let data_dir = sources.parse("data-dir", file);
        if matches!(engine, Some(Engine::Postgres { .. })) && sources.get("data-dir").is_none() {
            sources.note(DataError::Missing);
        }
        let database = sources.get("database").map(|value| Address::from(value.text.clone()));
        let artifacts = sources.parse("artifacts", store_url);
        let trusted_keys = sources.table("trusted-keys");
        let filter = sources
            .parse("log", |text| tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()));
        let format = sources.parse("log-format", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("`{other}` is neither `text` nor `json`")),
        });
        Some(Self {
            branch: sources.parse("branch", branch)?,
            subdir: sources.parse("subdir", |text| {
                Ok::<_, &str>(if text == "." { String::new() } else { text.to_owned() })
            })?,
            location: location?,
            database: engine.and(database)?,
            data_dir,
            artifacts,
            log: LogSettings { filter: filter?, format: format? },
            access: access?,
            trusted_keys,
        })
    }
}

impl ServeSettings {
    /// The settings of `serve`.
    ///
    /// # Errors
    ///
    /// With everything that is missing or wrong.
    pub fn resolve(given: Given) -> Result<Self, Problems> {
        let mut sources = Sources::read(given);
        let settings = Self::from_sources(&mut sources);
        finish(settings, sources)
    }

    pub(super) fn from_sources(sources: &mut Sources) -> Option<Self> {
        let common = Settings::from_sources(sources);
        let (limits, notify) = Self::tables(sources);
        if let Err(error) = Target::check(&notify) {
            sources.note(error);
        }
        let secrets = Forge::ALL.map(|forge| Some((forge, sources.parse(forge.setting(), str::parse)?)));
        let webhooks = secrets.into_iter().flatten().collect();
        let listen = sources.parse("listen", |text| {
            text.parse::<SocketAddr>().map_err(|_| {
                format!("`{text}` is not an address and port, such as `127.0.0.1:7600` or `[::]:7600`")
            })
        });
        let poll = sources.parse("poll-interval", interval);
        let drift = sources.parse("drift-interval", interval);
        let plaintext = sources.parse("plaintext", flag);
        let max_connections = sources.parse("max-connections", |text| {
            text.parse::<NonZeroUsize>().map_err(|_| format!("`{text}` is not a number from 1 on"))
        });
        let otlp_endpoint = sources.parse("otlp-endpoint", |text| {
            let scheme = text.starts_with("http://") || text.starts_with("https://");
            scheme
                .then(|| Address::from(text.to_owned()))
                .ok_or_else(|| format!("`{}` is not an http:// or https:// address", redact::passwords(text)))
        });
        let certificate = sources.parse("tls-cert", file);
        let tls = match (certificate, sources.parse("tls-key", file)) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => {
                sources.note(Problem::HalfTls);
                return None;
            }
        };
        if let Some(Err(error)) = tls.as_ref().map(tls::load) {
            sources.note(error);
        }
        if let (None, Some(listen), Some(false)) = (&tls, listen, plaintext)
            && !listen.ip().is_loopback()
        {
            sources.note(Problem::Plain(listen));
        }
        Some(Self {
            name: sources.parse("name", words)?,
            common: common?,
            listen: listen?,
            intervals: Intervals { poll: poll?, drift: drift? },
            tls,
            max_connections: max_connections?,
            otlp_endpoint,
            limits,
            webhooks,
            notify,
        })
    }

    /// The tables of the file.
    fn tables(sources: &mut Sources) -> (Limits, Vec<Target>) {
        (sources.table("limits"), sources.table("notify"))
    }
}

/// How a remote repository is reached.
fn access(sources: &mut Sources) -> Option<Access> {
    let token = sources.parse("git-token", str::parse);
    let username = sources.parse("git-username", words);
    let bearer = sources.parse("git-bearer", flag);
    let [ca_file, ssh_key, known_hosts] =
        ["git-ca-file", "git-ssh-key", "git-known-hosts"].map(|name| sources.parse(name, absolute));
    let timeout = sources.parse("git-timeout", interval);
    let max_size = sources.parse("max-repository-size", str::parse::<Size>);
    Some(Access {
        token,
        username: username?,
        bearer: bearer?,
        ca_file,
        ssh_key,
        known_hosts,
        timeout: timeout?,
        max_size: max_size?,
        ..Access::default()
    })
}

fn interval(text: &str) -> Result<std::time::Duration, String> {
    match text.parse::<Duration>() {
        Ok(interval) if interval.is_zero() => Err("it must be longer than nothing".to_owned()),
        Ok(interval) => Ok(interval.to_std()),
        Err(error) => Err(error.to_string()),
    }
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither `true` nor `false`"))
}

/// A path that means the same wherever a command is run.
fn absolute(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(words(text)?).map_err(|error| error.to_string())
}

fn finish<T>(settings: Option<T>, sources: Sources) -> Result<T, Problems> {
    let problems = sources.problems();
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(Problems(problems)),
    }
}

/// A text that is not empty.
fn words(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
}

fn branch(text: &str) -> Result<String, String> {
    let name = words(text)?;
    if git2::Branch::name_is_valid(&name).unwrap_or(false) {
        Ok(name)
    } else {
        Err(format!("`{text}` is not the name of a branch, such as `main`"))
    }
}

fn file(text: &str) -> Result<PathBuf, &'static str> {
    words(text).map(PathBuf::from)
}

/// A store, or a folder that may be relative to where the program was started.
fn store_url(text: &str) -> Result<StoreUrl, String> {
    if text.contains("://") {
        return text.parse().map_err(|error: crate::artifacts::StoreUrlError| error.to_string());
    }
    std::path::absolute(text).map(StoreUrl::folder).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Invocation;

    fn serve(arguments: &[&str]) -> Result<ServeSettings, Problems> {
        let all = ["almanac-reconciler", "serve"].iter().chain(arguments);
        ServeSettings::resolve(Invocation::try_read(all).unwrap().given)
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reconciler.toml");
        let text = "repo = \"/a\"\nbranch = \"live\"\ndatabase = \"sqlite:///b\"\npoll-interval = \"5m\"\n\
                    max-connections = 7\n[limits]\nburst = 9\n";
        fs::write(&path, text).unwrap();
        let settings = serve(&["--config", path.to_str().unwrap(), "--branch", "main"]).unwrap();
        assert_eq!(settings.common.branch, "main");
        assert_eq!(settings.common.location, Location::Local("/a".into()));
        assert_eq!(settings.intervals.poll, std::time::Duration::from_secs(300));
        assert_eq!((settings.max_connections.get(), settings.limits.burst.get()), (7, 9));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reconciler.toml");
        let text =
            "repository = \"/a\"\npoll = \"1s\"\nlisten = \"7600\"\nlog = [\"info\"]\n[limits]\nbrust = 9\n";
        fs::write(&path, text).unwrap();
        let said = serve(&["--config", path.to_str().unwrap(), "--tls-cert", "/c"]).unwrap_err().to_string();
        for part in [
            "unknown key `repository`; did you mean `repo`?",
            "unknown key `poll`; did you mean `poll-interval`?",
            "`listen` in ",
            "`log` in ",
            "did you mean `burst`?",
            "`--tls-cert` and `--tls-key` go together",
            "`--database` is missing",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn of_a_file_that_cannot_be_read_nothing_is_missing() {
        let problems = serve(&["--config", "/nowhere/reconciler.toml"]).unwrap_err().0;
        assert!(matches!(problems[..], [Problem::Read(..)]), "{problems:?}");
    }

    #[test]
    fn what_is_missing_or_unsafe_is_refused() {
        let base = ["--repo", "/a", "--database", "sqlite:///b"];
        let with = |more: &[&'static str]| serve(&[&base[..], more].concat());
        let problem = |more: &[&'static str]| with(more).unwrap_err().0.remove(0);
        assert!(with(&[]).is_ok());
        assert!(matches!(
            serve(&["--repo", "/a"]).unwrap_err().0[..],
            [Problem::Missing { name: "database", .. }]
        ));
        assert!(matches!(problem(&["--listen", "0.0.0.0:7600"]), Problem::Plain(_)));
        assert!(with(&["--listen", "0.0.0.0:7600", "--plaintext"]).is_ok());
        assert!(matches!(problem(&["--tls-cert", "/c"]), Problem::HalfTls));
        assert!(matches!(
            problem(&["--database", "postgres://almanac:hunter2@example.org/almanac"]),
            Problem::Exposed { name: "database", .. }
        ));
        let postgres = ["--database", "postgres://almanac@example.org/almanac"];
        assert!(matches!(problem(&postgres), Problem::Data(DataError::Missing)));
        assert!(with(&[&postgres[..], &["--data-dir", "/c"]].concat()).is_ok());
        for wrong in [
            ["--listen", "7600"],
            ["--poll-interval", "0s"],
            ["--artifacts", "ftp://a/b"],
            ["--log", "loud=very"],
            ["--log-format", "xml"],
            ["--max-connections", "0"],
            ["--otlp-endpoint", "example.org:4317"],
            ["--database", "mysql://example.org/a"],
            ["--database", "almanac.db"],
            ["--branch", "a b"],
        ] {
            assert!(matches!(problem(&wrong), Problem::Value { .. }), "{wrong:?}");
        }
    }
}
