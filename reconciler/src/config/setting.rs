//! The list of settings.

/// A setting that is a flag, a variable of the environment and a key of the file.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name: `--NAME`, and the key `NAME` of the file.
    pub name: &'static str,
    /// What its value is, in the help.
    pub value: &'static str,
    /// The value where none is given.
    pub default: Option<&'static str>,
    /// Which commands need it.
    pub scope: Scope,
    /// What it is for.
    pub help: &'static str,
    /// The variable that gives it.
    pub variable: &'static str,
}

/// Which commands need a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `serve` and `sync`.
    Common,
    /// `serve` alone.
    Serve,
}

/// All settings, in the order in which the help and `config show` list them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "repo",
        value: "PATH|URL",
        default: None,
        scope: Scope::Common,
        help: "The repository: a path (bare or not), file://, https://, ssh:// or user@host:path",
        variable: "ALMANAC_RECONCILER_REPO",
    },
    Setting {
        name: "branch",
        value: "BRANCH",
        default: Some("main"),
        scope: Scope::Common,
        help: "The branch to follow",
        variable: "ALMANAC_RECONCILER_BRANCH",
    },
    Setting {
        name: "subdir",
        value: "FOLDER",
        default: Some("."),
        scope: Scope::Common,
        help: "The folder in the repository that manifests are below",
        variable: "ALMANAC_RECONCILER_SUBDIR",
    },
    Setting {
        name: "database",
        value: "URL",
        default: None,
        scope: Scope::Common,
        help: "The database, such as sqlite://FILE, which is made when it is not there. An address with \
               a password is given by the environment or the file",
        variable: "ALMANAC_RECONCILER_DATABASE",
    },
    Setting {
        name: "artifacts",
        value: "DIR|URL",
        default: None,
        scope: Scope::Common,
        help: "Where artifacts go, whatever the testbed's settings say [default: as they say, or beside \
               the database]",
        variable: "ALMANAC_RECONCILER_ARTIFACTS",
    },
    Setting {
        name: "log",
        value: "LEVEL",
        default: Some("info"),
        scope: Scope::Common,
        help: "What is logged: error, warn, info, debug, trace, or a list such as `info,sqlx=warn`",
        variable: "ALMANAC_RECONCILER_LOG",
    },
    Setting {
        name: "log-format",
        value: "text|json",
        default: Some("text"),
        scope: Scope::Common,
        help: "How a line of the log is written",
        variable: "ALMANAC_RECONCILER_LOG_FORMAT",
    },
    Setting {
        name: "listen",
        value: "ADDRESS:PORT",
        default: Some("127.0.0.1:7600"),
        scope: Scope::Serve,
        help: "The address to serve gRPC and HTTP on",
        variable: "ALMANAC_RECONCILER_LISTEN",
    },
    Setting {
        name: "name",
        value: "NAME",
        default: Some(almanac_proto::limits::DEFAULT_AUDIENCE),
        scope: Scope::Serve,
        help: "The name of this reconciler, which tokens must be made for",
        variable: "ALMANAC_RECONCILER_NAME",
    },
    Setting {
        name: "poll-interval",
        value: "DURATION",
        default: Some("60s"),
        scope: Scope::Serve,
        help: "How often to look at the repository when nothing says that it changed",
        variable: "ALMANAC_RECONCILER_POLL_INTERVAL",
    },
    Setting {
        name: "tls-cert",
        value: "FILE",
        default: None,
        scope: Scope::Serve,
        help: "The certificate chain for TLS, in PEM. It is read again when the file changes",
        variable: "ALMANAC_RECONCILER_TLS_CERT",
    },
    Setting {
        name: "tls-key",
        value: "FILE",
        default: None,
        scope: Scope::Serve,
        help: "The private key for TLS, in PEM. It is read again when the file changes",
        variable: "ALMANAC_RECONCILER_TLS_KEY",
    },
    Setting {
        name: "plaintext",
        value: "true|false",
        default: Some("false"),
        scope: Scope::Serve,
        help: "Serve without TLS on an address that other machines reach",
        variable: "ALMANAC_RECONCILER_PLAINTEXT",
    },
    Setting {
        name: "max-connections",
        value: "COUNT",
        default: Some("20000"),
        scope: Scope::Serve,
        help: "How many connections may be open at a time; one more is closed as soon as it is made",
        variable: "ALMANAC_RECONCILER_MAX_CONNECTIONS",
    },
    Setting {
        name: "otlp-endpoint",
        value: "URL",
        default: None,
        scope: Scope::Serve,
        help: "Where traces go, by OTLP over gRPC, such as http://127.0.0.1:4317; \
               OTEL_EXPORTER_OTLP_ENDPOINT counts too",
        variable: "ALMANAC_RECONCILER_OTLP_ENDPOINT",
    },
];

impl Setting {
    /// The setting of a name.
    pub fn of(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// A variable that other programs share and that counts when the setting's own is not set.
    pub fn shared_variable(&self) -> Option<&'static str> {
        (self.name == "otlp-endpoint").then_some("OTEL_EXPORTER_OTLP_ENDPOINT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_as_its_setting() {
        for setting in SETTINGS {
            let name = setting.name.to_uppercase().replace('-', "_");
            assert_eq!(setting.variable, format!("ALMANAC_RECONCILER_{name}"));
        }
    }
}
