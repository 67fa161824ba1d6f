//! What the program works with, once the sources were understood.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use almanac_schemas::Duration;

use super::{Problem, Problems, Sources, sources::Given};
use crate::{
    artifacts::StoreUrl,
    limits::Limits,
    redact,
    source::Location,
    tls::{self, TlsFiles},
};

/// What to reconcile: the settings of `sync`, and half of those of `serve`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The repository.
    pub location: Location,
    /// The branch.
    pub branch: String,
    /// The folder in it.
    pub subdir: String,
    /// The database's address.
    pub database: String,
    /// Where artifacts go whatever the testbed's settings say.
    pub artifacts: Option<StoreUrl>,
    /// The log.
    pub log: LogSettings,
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
    /// How often to look at the repository.
    pub poll_interval: std::time::Duration,
    /// The files of the certificate chain and its key.
    pub tls: Option<TlsFiles>,
    /// How many connections may be open at a time.
    pub max_connections: NonZeroUsize,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// What a caller may take: the file's `[limits]`.
    pub limits: Limits,
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
        let database = sources.require("database", words);
        let exposed = |value: &super::Value| {
            value.origin == super::Origin::Flag && redact::passwords(&value.text) != value.text
        };
        for name in ["repo", "database"] {
            if let (Some(setting), true) = (super::Setting::of(name), sources.get(name).is_some_and(exposed))
            {
                sources.note(Problem::Exposed { name: setting.name, variable: setting.variable });
            }
        }
        let artifacts = sources.parse("artifacts", store_url);
        let filter = sources
            .parse("log", |text| tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()));
        let format = sources.parse("log-format", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("`{other}` is neither `text` nor `json`")),
        });
        Some(Self {
            branch: sources.parse("branch", words)?,
            subdir: sources.parse("subdir", |text| {
                Ok::<_, &str>(if text == "." { String::new() } else { text.to_owned() })
            })?,
            location: location?,
            database: database?,
            artifacts,
            log: LogSettings { filter: filter?, format: format? },
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
        let limits = Self::tables(sources);
        let listen = sources.parse("listen", |text| {
            text.parse::<SocketAddr>().map_err(|_| {
                format!("`{text}` is not an address and port, such as `127.0.0.1:7600` or `[::]:7600`")
            })
        });
        let poll = sources.parse("poll-interval", |text| match text.parse::<Duration>() {
            Ok(poll) if poll.is_zero() => Err("it must be longer than nothing".to_owned()),
            Ok(poll) => Ok(poll.to_std()),
            Err(error) => Err(error.to_string()),
        });
        let plaintext = sources.parse("plaintext", |text| {
            text.parse::<bool>().map_err(|_| format!("`{text}` is neither `true` nor `false`"))
        });
        let max_connections = sources.parse("max-connections", |text| {
            text.parse::<NonZeroUsize>().map_err(|_| format!("`{text}` is not a number from 1 on"))
        });
        let otlp_endpoint = sources.parse("otlp-endpoint", |text| {
            let scheme = text.starts_with("http://") || text.starts_with("https://");
            scheme
                .then(|| text.to_owned())
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
            poll_interval: poll?,
            tls,
            max_connections: max_connections?,
            otlp_endpoint,
            limits,
        })
    }

    /// The tables of the file.
    fn tables(sources: &mut Sources) -> Limits {
        sources.table("limits")
    }
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
        assert_eq!(settings.poll_interval, std::time::Duration::from_secs(300));
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
        for wrong in [
            ["--listen", "7600"],
            ["--poll-interval", "0s"],
            ["--artifacts", "az://a/b"],
            ["--log", "loud=very"],
            ["--log-format", "xml"],
            ["--max-connections", "0"],
            ["--otlp-endpoint", "example.org:4317"],
        ] {
            assert!(matches!(problem(&wrong), Problem::Value { .. }), "{wrong:?}");
        }
    }
}
