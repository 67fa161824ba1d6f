//! How a remote repository is reached: who the reconciler is there, whom it trusts, and how much time
//! and room a fetch may take.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use almanac_schemas::Size;
use thiserror::Error;

use super::Location;
use crate::secret::{Secret, SecretError, SecretSource};

/// How long a fetch may take where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How long a connection may be silent where nothing else is said.
const IDLE: Duration = Duration::from_secs(30);

/// How many times a silent ssh server is asked whether it is there, within what it may be silent for.
const ASKED: u64 = 3;

/// How much room the mirror may take where nothing else is said. A testbed's manifests take megabytes.
const MAX_REPOSITORY: u64 = 2 << 30;

/// The user that forges expect beside a token: GitHub asks for this one, others take any.
const TOKEN_USER: &str = "x-access-token";

/// How a remote repository is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The token or password for https.
    pub token: Option<SecretSource>,
    /// The user for https.
    pub username: String,
    /// Whether the token is sent as `Authorization: Bearer`.
    pub bearer: bool,
    /// The certificates that https servers are trusted by, in PEM; those of the system when absent.
    pub ca_file: Option<PathBuf>,
    /// The private key for ssh; those of the agent and of the user when absent.
    pub ssh_key: Option<PathBuf>,
    /// The host keys that ssh servers must have; those of the user and of the system when absent.
    pub known_hosts: Option<PathBuf>,
    /// How long a fetch may take.
    pub timeout: Duration,
    /// How long a connection may be silent, in whole seconds: Git and ssh know no others.
    pub idle: Duration,
    /// How much room the mirror may take.
    pub max_size: Size,
}

/// Why a repository cannot be reached as it is configured.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The secret is not there.
    #[error("cannot use `--git-token`")]
    Secret(#[from] SecretError),
    /// Anybody on the way could read the secret.
    #[error("`--git-token` is not sent over {0}://, where anybody can read it; use an https:// address")]
    Plain(&'static str),
}

impl Default for Access {
    fn default() -> Self {
        Self {
            token: None,
            username: TOKEN_USER.to_owned(),
            bearer: false,
            ca_file: None,
            ssh_key: None,
            known_hosts: None,
            timeout: TIMEOUT,
            idle: IDLE,
            max_size: Size::from_bytes(MAX_REPOSITORY),
        }
    }
}

impl Access {
    /// Where host keys are looked up, for messages.
    pub(super) fn known_hosts(&self) -> String {
        self.known_hosts.as_ref().map_or_else(
            || {
                "`~/.ssh/known_hosts` of the reconciler's user (or give one with `--git-known-hosts`)"
                    .to_owned()
            },
            |path| format!("`{}`", path.display()),
        )
    }

    /// What to do about a server that does not let the reconciler in.
    pub(super) fn let_in(&self, address: &str) -> String {
        match (Location::scheme(address), &self.ssh_key) {
            ("ssh", Some(path)) => format!(
                "check that the key `{}` of `--git-ssh-key` is there, has no passphrase, and may read the repository",
                path.display()
            ),
            ("ssh", None) => "it was shown the keys of the agent (`SSH_AUTH_SOCK`) and of `~/.ssh`, as far as there are \
                              any: add one that may read to the agent with `ssh-add`, or give one with `--git-ssh-key`"
                .to_owned(),
            _ => "give a token that may read with `--git-token`, and check that it still holds".to_owned(),
        }
    }

    /// Tells a `git` command how to reach an address. Returns the secret, which nothing may repeat.
    ///
    /// # Errors
    ///
    /// When the secret is not there, or would travel in the clear.
    pub(super) fn apply(&self, address: &str, command: &mut Command) -> Result<Option<Secret>, AccessError> {
        command.env("GIT_SSH_COMMAND", self.ssh()).env("GIT_SSH_VARIANT", "ssh");
        let mut config = Config::default();
        let scheme = Location::scheme(address);
        // No other, wherever a server or a user's configuration sends Git.
        config.set(&format!("protocol.{scheme}.allow"), "always");
        // One byte in a while is a server that is counting objects; none is a dead connection.
        config.set("http.lowSpeedLimit", "1");
        config.set("http.lowSpeedTime", &self.idle.as_secs().max(1).to_string());
        if let Some(path) = &self.ca_file {
            config.set("http.sslCAInfo", &path.display().to_string());
        }
        let secret = match (&self.token, scheme) {
            (Some(source), "https") => {
                let secret = source.read()?;
                self.authenticate(address, &secret, &mut config, command);
                Some(secret)
            }
            (Some(_), "http" | "git") => {
                return Err(AccessError::Plain(if scheme == "git" { "git" } else { "http" }));
            }
            _ => None,
        };
        config.apply(command);
        Ok(secret)
    }

    /// Hands a secret to Git through the environment, which only this user can look into; arguments
    /// are for everybody to see.
    fn authenticate(&self, address: &str, secret: &Secret, config: &mut Config, command: &mut Command) {
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let (user, host) = authority.rsplit_once('@').unwrap_or((&self.username, authority));
        if self.bearer {
            config.set("http.extraHeader", &format!("Authorization: Bearer {}", secret.reveal()));
            // A header would go along to wherever the server sends Git.
            config.set("http.followRedirects", "false");
            return;
        }
        // For this host alone, whatever the server redirects to; an empty one forgets the helpers of
        // the user's configuration, which are asked where there is no `--git-token`.
        let helper = format!("credential.https://{host}.helper");
        config.set(&helper, "");
        config.set(
            &helper,
            "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$ALMANAC_GIT_USERNAME\" \"$ALMANAC_GIT_PASSWORD\"; }; f",
        );
        command.env("ALMANAC_GIT_USERNAME", user).env("ALMANAC_GIT_PASSWORD", secret.reveal());
    }

    /// The `ssh` that Git runs. What is said here wins over what the user's configuration says.
    fn ssh(&self) -> OsString {
        let mut line = OsString::from(
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o VerifyHostKeyDNS=no \
             -o NoHostAuthenticationForLocalhost=no -o ControlMaster=no -o ControlPath=none \
             -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no \
             -o ConnectTimeout=15",
        );
        let interval = (self.idle.as_secs() / ASKED).max(1);
        line.push(format!(" -o ServerAliveInterval={interval} -o ServerAliveCountMax={ASKED}"));
        if let Some(path) = &self.known_hosts {
            line.push(format!(
                " -o {} -o GlobalKnownHostsFile=/dev/null",
                option("UserKnownHostsFile", path)
            ));
        }
        if let Some(path) = &self.ssh_key {
            line.push(format!(
                " -o {} -o IdentitiesOnly=yes -o IdentityAgent=none",
                option("IdentityFile", path)
            ));
        }
        line
    }
}

/// An option of `ssh` with a path, for a shell. In a value, `%` begins a token and a space ends it.
fn option(name: &str, path: &Path) -> String {
    let value = path.display().to_string().replace('%', "%%");
    format!("'{}'", format!("{name}=\"{value}\"").replace('\'', "'\\''"))
}

/// Configuration for one run of Git, which is nowhere written down.
#[derive(Default)]
struct Config(Vec<(String, String)>);

impl Config {
    fn set(&mut self, key: &str, value: &str) {
        self.0.push((key.to_owned(), value.to_owned()));
    }

    fn apply(self, command: &mut Command) {
        command.env("GIT_CONFIG_COUNT", self.0.len().to_string());
        for (index, (key, value)) in self.0.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_out_of_arguments_and_off_plain_connections() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hunter2\n").unwrap();
        for bearer in [false, true] {
            let access =
                Access { token: Some(SecretSource::File(path.clone())), bearer, ..Access::default() };
            let mut command = Command::new("git");
            assert!(access.apply("https://example.org/a", &mut command).unwrap().is_some());
            assert!(command.get_args().all(|argument| !argument.to_string_lossy().contains("hunter2")));
            for address in ["http://example.org/a", "git://example.org/a"] {
                assert!(
                    matches!(access.apply(address, &mut command), Err(AccessError::Plain(_))),
                    "{address}"
                );
            }
            assert!(access.apply("ssh://example.org/a", &mut command).unwrap().is_none());
        }
    }

    #[test]
    fn a_path_reaches_ssh_as_it_is() {
        let access = Access { known_hosts: Some("/a b/it's 100%".into()), ..Access::default() };
        let line = access.ssh().into_string().unwrap();
        assert!(line.contains("'UserKnownHostsFile=\"/a b/it'\\''s 100%%\"'"), "{line}");
        assert!(!line.contains("IdentityFile"), "{line}");
    }
}
