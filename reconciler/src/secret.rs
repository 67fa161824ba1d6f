//! Secrets of the reconciler's host: where one is, and what it is. A configuration says the first and
//! never the second.

use std::{env, fmt, fs, io, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A secret is a line. More than this is the wrong file.
const MAX: usize = 64 << 10;

/// Where a secret is. It is read when it is used, so that one that was exchanged counts at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In an environment variable: `env:NAME`.
    Env(String),
    /// In a file: `file:PATH`. A line break at its end is no part of it.
    File(PathBuf),
}

/// A secret. It is not shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A text that does not say where a secret is. It is not repeated, as it may be the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected where the secret is, and not the secret itself: `env:NAME` or `file:PATH`")]
pub struct SecretSourceError;

/// Why a secret cannot be used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    /// The file cannot be read.
    #[error("cannot read the secret in {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// There is nothing in it.
    #[error("the secret in {0} is empty")]
    Empty(SecretSource),
    /// It is not something that anybody would have typed.
    #[error("the secret in {0} is not one line of text")]
    NotALine(SecretSource),
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    ///
    /// When it is not there, is empty, or is not one line.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let bytes = match self {
            Self::Env(name) => {
                let value = env::var_os(name).ok_or_else(|| SecretError::Unset(name.clone()))?;
                value.into_encoded_bytes()
            }
            Self::File(path) => {
                fs::read(path).map_err(|error| SecretError::Unreadable(path.clone(), error))?
            }
        };
        let not_a_line = || SecretError::NotALine(self.clone());
        let text = String::from_utf8(bytes).map_err(|_| not_a_line())?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(SecretError::Empty(self.clone()));
        }
        if line.len() > MAX || line.chars().any(char::is_control) {
            return Err(not_a_line());
        }
        Ok(Secret(line.to_owned()))
    }
}

impl Secret {
    /// A part of a secret.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for SecretSource {
    type Err = SecretSourceError;

    fn from_str(text: &str) -> Result<Self, SecretSourceError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains('=') => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(SecretSourceError),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for SecretSource {
    /// As it is given.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Env(name) => serializer.collect_str(&format_args!("env:{name}")),
            Self::File(path) => serializer.collect_str(&format_args!("file:{}", path.display())),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_given_itself() {
        assert_eq!("env:TOKEN".parse(), Ok(SecretSource::Env("TOKEN".to_owned())));
        assert_eq!("file:/run/token".parse(), Ok(SecretSource::File("/run/token".into())));
        for text in ["hunter2", "env:", "file:", "", "env:A=hunter2"] {
            let error = text.parse::<SecretSource>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = SecretSource::File(path.clone());
        assert!(matches!(source.read(), Err(SecretError::Unreadable(..))));
        for (content, secret) in [("one\n", "one"), ("two\r\n", "two"), (" three ", " three ")] {
            fs::write(&path, content).unwrap();
            assert_eq!(source.read().unwrap().reveal(), secret);
        }
        for content in ["", "\n"] {
            fs::write(&path, content).unwrap();
            assert!(matches!(source.read(), Err(SecretError::Empty(_))), "{content:?}");
        }
        for content in [&b"a\nb"[..], b"\xff", b"a\0b"] {
            fs::write(&path, content).unwrap();
            assert!(matches!(source.read(), Err(SecretError::NotALine(_))), "{content:?}");
        }
        assert!(!format!("{:?}", Secret("hunter2".to_owned())).contains("hunter2"));
        assert!(matches!(
            SecretSource::Env("ALMANAC_NOT_SET_ANYWHERE".to_owned()).read(),
            Err(SecretError::Unset(_))
        ));
    }
}
