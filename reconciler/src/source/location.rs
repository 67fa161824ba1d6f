//! How a repository is named on the command line.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;

use crate::redact;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder on this machine, bare or with a work tree.
    Local(PathBuf),
    /// Somewhere that `git fetch` reaches.
    Remote(String),
}

/// A text that names no repository.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LocationError {
    /// It is of a scheme that is not known.
    #[error(
        "`{0}` is not the address of a repository: expected a path, file://, https://, ssh:// or user@host:path"
    )]
    Scheme(String),
    /// It carries a password, which would end up in logs and in process lists.
    #[error(
        "the address of the repository carries a password; say where it is with `--git-token env:NAME` or `file:PATH`"
    )]
    Password,
    /// It is empty.
    #[error("the path of the repository is empty")]
    Empty,
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            // As Git reads it: `host:path` without a slash before the colon is SSH.
            let scp = text.split_once(':').is_some_and(|(host, _)| !host.contains('/') && !host.is_empty());
            return Ok(if scp { Self::Remote(text.to_owned()) } else { Self::Local(text.into()) });
        };
        match scheme {
            "file" => Ok(Self::Local(rest.trim_start_matches("localhost").into())),
            "https" | "http" | "ssh" | "git" => {
                let authority = rest.split('/').next().unwrap_or_default();
                let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
                if user.contains(':') {
                    return Err(LocationError::Password);
                }
                Ok(Self::Remote(text.to_owned()))
            }
            _ => Err(LocationError::Scheme(text.to_owned())),
        }
    }
}

impl Location {
    /// The protocol that an address is spoken to with.
    pub(super) fn scheme(address: &str) -> &str {
        match address.split_once("://") {
            Some((scheme, _)) => scheme,
            None if address.split_once(':').is_some_and(|(host, _)| !host.contains('/')) => "ssh",
            None => "file",
        }
    }

    /// The host of an address, with its port.
    pub(super) fn host(address: &str) -> &str {
        let authority = match address.split_once("://") {
            Some((_, rest)) => rest.split('/').next(),
            None if Self::scheme(address) == "ssh" => address.split(':').next(),
            None => None,
        };
        let authority = authority.filter(|text| !text.is_empty()).unwrap_or("this machine");
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            // A token may stand where the user does.
            Self::Remote(address) => f.write_str(&redact::passwords(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_protocol_and_a_host() {
        for (address, scheme, host) in [
            ("https://me@example.org:8443/a.git", "https", "example.org:8443"),
            ("ssh://git@example.org/a", "ssh", "example.org"),
            ("git@example.org:a.git", "ssh", "example.org"),
            ("/srv/a.git", "file", "this machine"),
            ("./a:b", "file", "this machine"),
        ] {
            assert_eq!((Location::scheme(address), Location::host(address)), (scheme, host), "{address}");
        }
    }

    #[test]
    fn reads_paths_and_addresses() {
        let local = |text: &str, path: &str| {
            assert_eq!(text.parse(), Ok(Location::Local(path.into())), "{text}");
        };
        local("/srv/testbed.git", "/srv/testbed.git");
        local("testbed", "testbed");
        local("./a:b", "./a:b");
        local("file:///srv/testbed.git", "/srv/testbed.git");
        for text in ["https://example.org/a.git", "ssh://git@example.org/a", "git@example.org:a.git"] {
            assert_eq!(text.parse(), Ok(Location::Remote(text.to_owned())));
        }
        let token: Location = "https://hunter2@example.org/a.git".parse().unwrap();
        assert_eq!(token.to_string(), "https://***@example.org/a.git");
        assert_eq!("https://me:word@example.org/a".parse::<Location>(), Err(LocationError::Password));
        assert!(matches!("ftp://example.org".parse::<Location>(), Err(LocationError::Scheme(_))));
        assert_eq!("".parse::<Location>(), Err(LocationError::Empty));
    }
}
