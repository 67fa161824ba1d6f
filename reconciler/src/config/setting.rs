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

/// What the value of a setting is that says where a secret is.
const SECRET: &str = "env:NAME|file:PATH";

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
        name: "git-token",
        value: SECRET,
        default: None,
        scope: Scope::Common,
        help: "The token or password for https: where it is, not what it is",
        variable: "ALMANAC_RECONCILER_GIT_TOKEN",
    },
    Setting {
        name: "git-username",
        value: "NAME",
        default: Some("x-access-token"),
        scope: Scope::Common,
        help: "The user for https, with `--git-token` as the password",
        variable: "ALMANAC_RECONCILER_GIT_USERNAME",
    },
    Setting {
        name: "git-bearer",
        value: "true|false",
        default: Some("false"),
        scope: Scope::Common,
        help: "Send the token as `Authorization: Bearer`, for servers that want it so",
        variable: "ALMANAC_RECONCILER_GIT_BEARER",
    },
    Setting {
        name: "git-ca-file",
        value: "FILE",
        default: None,
        scope: Scope::Common,
        help: "The certificates that https servers are trusted by, in PEM [default: those of the system]",
        variable: "ALMANAC_RECONCILER_GIT_CA_FILE",
    },
    Setting {
        name: "git-ssh-key",
        value: "FILE",
        default: None,
        scope: Scope::Common,
        help: "The private key for ssh [default: those of the agent, and the user's]",
        variable: "ALMANAC_RECONCILER_GIT_SSH_KEY",
    },
    Setting {
        name: "git-known-hosts",
        value: "FILE",
        default: None,
        scope: Scope::Common,
        help: "The host keys that ssh servers must have [default: the user's and the system's `known_hosts`]",
        variable: "ALMANAC_RECONCILER_GIT_KNOWN_HOSTS",
    },
    Setting {
        name: "git-timeout",
        value: "DURATION",
        default: Some("2m"),
        scope: Scope::Common,
        help: "How long a fetch may take",
        variable: "ALMANAC_RECONCILER_GIT_TIMEOUT",
    },
    Setting {
        name: "max-repository-size",
        value: "SIZE",
        default: Some("2GiB"),
        scope: Scope::Common,
        help: "How much room the mirror of a remote repository may take",
        variable: "ALMANAC_RECONCILER_MAX_REPOSITORY_SIZE",
    },
    Setting {
        name: "database",
        value: "URL",
        default: None,
        scope: Scope::Common,
        help: "The database: sqlite://FILE, which is made when it is not there, or postgres://USER@HOST/NAME. \
               An address with a password is given by the environment or the file",
        variable: "ALMANAC_RECONCILER_DATABASE",
    },
    Setting {
        name: "data-dir",
        value: "DIR",
        default: None,
        scope: Scope::Common,
        help: "The folder for this reconciler's own files [default: beside the file of SQLite; required with PostgreSQL]",
        variable: "ALMANAC_RECONCILER_DATA_DIR",
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
        name: "drift-interval",
        value: "DURATION",
        default: Some("10m"),
        scope: Scope::Serve,
        help: "How often to compare the whole database with the commit in force",
        variable: "ALMANAC_RECONCILER_DRIFT_INTERVAL",
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
        name: "webhook-github",
        value: SECRET,
        default: None,
        scope: Scope::Serve,
        help: "The secret of the webhook at /hooks/github, which GitHub calls: where it is, not what it is",
        variable: "ALMANAC_RECONCILER_WEBHOOK_GITHUB",
    },
    Setting {
        name: "webhook-gitlab",
        value: SECRET,
        default: None,
        scope: Scope::Serve,
        help: "The secret of the webhook at /hooks/gitlab, which GitLab calls: where it is, not what it is",
        variable: "ALMANAC_RECONCILER_WEBHOOK_GITLAB",
    },
    Setting {
        name: "webhook-gitea",
        value: SECRET,
        default: None,
        scope: Scope::Serve,
        help: "The secret of the webhook at /hooks/gitea, which Gitea or Forgejo calls: where it is, not what it is",
        variable: "ALMANAC_RECONCILER_WEBHOOK_GITEA",
    },
    Setting {
        name: "webhook-generic",
        value: SECRET,
        default: None,
        scope: Scope::Serve,
        help: "The secret of the webhook at /hooks/generic, which anybody calls: where it is, not what it is",
        variable: "ALMANAC_RECONCILER_WEBHOOK_GENERIC",
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

    /// Whether it says where a secret is, and never what it is.
    pub fn is_place_of_secret(&self) -> bool {
        self.value == SECRET
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
