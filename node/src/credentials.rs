//! What private registries want to see, from the host's own configuration. Secrets are read when they are used, and
//! never shown.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use thiserror::Error;

use crate::registry::{DOCKER_HUB, is_docker_hub};

/// How to sign in to registries, by host and, where it is given, port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Registries(BTreeMap<String, Access>);

/// How to sign in to one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
enum Access {
    Password { username: String, file: PathBuf },
    DockerConfig(PathBuf),
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    username: Option<String>,
    password_file: Option<PathBuf>,
    docker_config: Option<PathBuf>,
}

/// What a registry is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// Their password, or a token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ...)", self.username)
    }
}

/// Why nobody can sign in.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read {}, which the credentials of the registry `{registry}` are in", .path.display())]
    Read {
        /// The registry.
        registry: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds nothing of use.
    #[error(
        "{} holds no credentials of the registry `{registry}`; `docker login {registry}` without a credential helper writes them",
        .path.display()
    )]
    Absent {
        /// The registry.
        registry: String,
        /// The file.
        path: PathBuf,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a registry has either `username` and `password-file`, or `docker-config`")]
struct FormError;

impl TryFrom<Written> for Access {
    type Error = FormError;

    fn try_from(written: Written) -> Result<Self, FormError> {
        match written {
            Written { username: Some(username), password_file: Some(file), docker_config: None } => {
                Ok(Self::Password { username, file })
            }
            Written { username: None, password_file: None, docker_config: Some(path) } => {
                Ok(Self::DockerConfig(path))
            }
            _ => Err(FormError),
        }
    }
}

impl Registries {
    /// What a registry is shown; nothing where none is configured.
    ///
    /// # Errors
    ///
    /// When what is configured cannot be had.
    pub fn credentials(&self, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        let same = |known: &str| known == registry || (is_docker_hub(known) && is_docker_hub(registry));
        let found = self.0.iter().find(|(known, _)| same(known));
        found.map(|(registry, access)| access.read(registry)).transpose()
    }

    /// Sees to it that all of them can be had.
    ///
    /// # Errors
    ///
    /// When one cannot.
    pub fn check(&self) -> Result<(), CredentialsError> {
        self.0.iter().try_for_each(|(registry, access)| access.read(registry).map(drop))
    }
}

impl Access {
    fn read(&self, registry: &str) -> Result<Credentials, CredentialsError> {
        let absent =
            |path: &Path| CredentialsError::Absent { registry: registry.to_owned(), path: path.to_owned() };
        let text = |path: &Path| {
            fs::read_to_string(path).map_err(|source| CredentialsError::Read {
                registry: registry.to_owned(),
                path: path.to_owned(),
                source,
            })
        };
        match self {
            Self::Password { username, file } => {
                let password = text(file)?.trim_end_matches(['\r', '\n']).to_owned();
                if password.is_empty() {
                    return Err(absent(file));
                }
                Ok(Credentials { username: username.clone(), password })
            }
            Self::DockerConfig(path) => {
                let text = text(path)?;
                let config: DockerConfig = serde_json::from_str(&text).map_err(|_| absent(path))?;
                config.of(registry).ok_or_else(|| absent(path))
            }
        }
    }
}

/// What `docker login` writes, as far as it is of use here. Credential helpers are programs, and are not run.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
}

impl DockerConfig {
    fn of(&self, registry: &str) -> Option<Credentials> {
        let host = |key: &str| {
            let key = key.trim_start_matches("https://").trim_start_matches("http://");
            let host = key.split('/').next().unwrap_or(key);
            if is_docker_hub(host) { DOCKER_HUB.to_owned() } else { host.to_owned() }
        };
        let wanted = host(registry);
        let entry = self.auths.iter().find(|(key, _)| host(key) == wanted)?.1;
        let decoded = String::from_utf8(STANDARD.decode(&entry.auth).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        let given = !username.is_empty() && !password.is_empty();
        given.then(|| Credentials { username: username.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(toml: &str) -> Registries {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn a_password_is_read_from_its_file_when_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "first\n").unwrap();
        let all =
            registries(&format!("[\"r.example.org:5000\"]\nusername = \"probe\"\npassword-file = {file:?}"));
        let password = || all.credentials("r.example.org:5000").unwrap().unwrap().password;
        assert_eq!(password(), "first");
        fs::write(&file, "second\r\n").unwrap();
        assert_eq!(password(), "second");
        assert_eq!(all.credentials("r.example.org").unwrap(), None, "another port is another registry");
        fs::remove_file(&file).unwrap();
        let error = all.check().unwrap_err().to_string();
        assert!(error.contains("password") && error.contains("`r.example.org:5000`"), "{error}");
        let shown = format!("{:?}", Credentials { username: "probe".to_owned(), password: password_text() });
        assert!(!shown.contains(&password_text()), "{shown}");
    }

    fn password_text() -> String {
        "hunter2".to_owned()
    }

    #[test]
    fn what_docker_login_wrote_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        // `probe:hunter2` and `me:secret`.
        let auths = r#"{"auths":{"r.example.org":{"auth":"cHJvYmU6aHVudGVyMg=="},
            "https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"},"helped.example.org":{}},"credsStore":"pass"}"#;
        fs::write(&file, auths).unwrap();
        let all = registries(&format!(
            "[\"r.example.org\"]\ndocker-config = {file:?}\n[\"docker.io\"]\ndocker-config = {file:?}\n\
             [\"helped.example.org\"]\ndocker-config = {file:?}"
        ));
        let of = |registry: &str| all.credentials(registry).unwrap().unwrap();
        assert_eq!(
            (of("r.example.org").username.as_str(), of("r.example.org").password),
            ("probe", password_text())
        );
        assert_eq!(of("docker.io").password, "secret");
        let error = all.credentials("helped.example.org").unwrap_err().to_string();
        assert!(error.contains("docker login helped.example.org"), "{error}");
    }

    #[test]
    fn there_are_two_forms() {
        for wrong in ["username = \"x\"", "docker-config = \"x\"\nusername = \"x\"", "password = \"x\""] {
            assert!(
                toml::from_str::<Registries>(&format!("[\"r.example.org\"]\n{wrong}")).is_err(),
                "{wrong}"
            );
        }
    }
}
