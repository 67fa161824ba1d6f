//! Where an image comes from, as every engine reads its name: without a registry it is Docker Hub's, and
//! there `busybox` is `library/busybox`.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use thiserror::Error;

use almanac_schemas::container::Image;

/// The registry of names that name none.
pub const DOCKER_HUB: &str = "docker.io";

/// The registry and the path of an image, without its tag and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Host and, where it is given, port.
    pub registry: String,
    /// The path there.
    pub path: String,
}

impl Repository {
    /// Where an image comes from.
    pub fn of(image: &Image) -> Self {
        let text = image.as_str();
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
                let registry = if is_docker_hub(host) { DOCKER_HUB.to_owned() } else { host.to_owned() };
                Self { path: on_its_registry(&registry, path), registry }
            }
            _ => Self { registry: DOCKER_HUB.to_owned(), path: on_its_registry(DOCKER_HUB, name) },
        }
    }
}

fn on_its_registry(registry: &str, path: &str) -> String {
    if registry == DOCKER_HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() }
}

/// Docker Hub has more than one name.
pub fn is_docker_hub(host: &str) -> bool {
    [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"].contains(&host)
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

/// A registry, or what is below a path of one, such as `registry.example.org` or `ghcr.io/example`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Source {
    registry: String,
    /// Empty for all of it.
    path: String,
}

/// A text that names no registry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a registry: expected a host, with a path if only what is below it is meant, such as `registry.example.org` or `ghcr.io/example`"
)]
pub struct SourceError(String);

impl Source {
    /// Whether a repository is of it.
    pub fn holds(&self, repository: &Repository) -> bool {
        let below = repository.path.strip_prefix(&self.path);
        self.registry == repository.registry
            && below.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let error = || SourceError(text.to_owned());
        let (host, path) = match text.split_once('/') {
            Some((_, path)) if path.split('/').any(str::is_empty) => return Err(error()),
            Some(parts) => parts,
            None => (text, ""),
        };
        let is_host = host.contains(['.', ':']) || host == "localhost";
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if !is_host || !host.chars().all(allowed) {
            return Err(error());
        }
        if path.contains([':', '@']) || path.chars().any(char::is_whitespace) {
            return Err(error());
        }
        let registry = if is_docker_hub(host) { DOCKER_HUB.to_owned() } else { host.to_owned() };
        Ok(Self { registry, path: path.to_owned() })
    }
}

impl TryFrom<String> for Source {
    type Error = SourceError;

    fn try_from(text: String) -> Result<Self, SourceError> {
        text.parse()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.registry),
            path => write!(f, "{}/{path}", self.registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_registry_is_of_docker_hub() {
        for (image, repository) in [
            ("busybox", "docker.io/library/busybox"),
            ("busybox:1", "docker.io/library/busybox"),
            ("x/y@sha256:0123", "docker.io/x/y"),
            ("index.docker.io/busybox", "docker.io/library/busybox"),
            ("localhost/x:1", "localhost/x"),
            ("localhost:5000/x/y:latest", "localhost:5000/x/y"),
            ("registry.example.org/probes/iperf:3@sha256:0123", "registry.example.org/probes/iperf"),
        ] {
            assert_eq!(Repository::of(&image.parse().unwrap()).to_string(), repository, "{image}");
        }
    }

    #[test]
    fn a_source_holds_what_is_below_it_and_nothing_that_only_begins_alike() {
        let holds = |source: &str, image: &str| {
            source.parse::<Source>().unwrap().holds(&Repository::of(&image.parse().unwrap()))
        };
        assert!(holds("ghcr.io", "ghcr.io/example/ping:1"));
        assert!(holds("ghcr.io/example", "ghcr.io/example/ping"));
        assert!(holds("ghcr.io/example/ping", "ghcr.io/example/ping@sha256:0"));
        assert!(holds("docker.io/library", "busybox"));
        for (source, image) in [
            ("ghcr.io/example", "ghcr.io/example-evil/ping"),
            ("ghcr.io/example", "ghcr.io/other/example"),
            ("ghcr.io", "ghcr.io.evil.org/x"),
            ("example.org", "example.org:5000/x"),
            ("docker.io/library", "x/busybox"),
        ] {
            assert!(!holds(source, image), "{source} {image}");
        }
        for wrong in ["", "example", "https://example.org", "example.org/", "example.org/x:1", "a b.org"] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
    }
}
