//! The address of a store.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;

/// The address of a store. What else it takes to use it is said by the testbed's settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreUrl {
    /// A folder of this host: `file:///absolute/path`.
    Folder(PathBuf),
    /// Azure Blob Storage: `az://container/prefix`.
    Azure {
        /// The container.
        container: String,
        /// What the paths of all objects begin with; empty for none.
        prefix: String,
    },
    /// S3, of Amazon or others: `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the paths of all objects begin with; empty for none.
        prefix: String,
    },
}

/// A text that is not the address of a store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreUrlError {
    /// It is of another scheme.
    #[error(
        "`{0}` is not the address of a store: expected `file:///absolute/path`, `az://container/prefix` or `s3://bucket/prefix`"
    )]
    Scheme(String),
    /// The path is not absolute.
    #[error("`{0}` does not name an absolute path: expected `file:///absolute/path`")]
    Relative(String),
    /// There is no bucket or container.
    #[error("`{0}` does not name {1} and a prefix without `.` and `..`")]
    Bucket(String, &'static str),
}

impl StoreUrl {
    /// A folder.
    pub fn folder(path: PathBuf) -> Self {
        Self::Folder(path)
    }

    /// The whole path of an object of this store, in its folder, container or bucket.
    pub(super) fn whole(&self, path: &str) -> String {
        match self {
            Self::Azure { prefix, .. } | Self::S3 { prefix, .. } if !prefix.is_empty() => {
                format!("{prefix}/{path}")
            }
            _ => path.to_owned(),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let bucket = |rest: &str, what| {
            let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            let leaves = rest.split('/').any(|part| part == "." || part == "..");
            if name.is_empty() || !name.chars().all(plain) || leaves {
                return Err(StoreUrlError::Bucket(text.to_owned(), what));
            }
            Ok((name.to_owned(), prefix.to_owned()))
        };
        let path = match text.split_once("://") {
            None => text,
            Some(("file", path)) => path,
            Some(("az", rest)) => {
                let (container, prefix) = bucket(rest, "a container")?;
                return Ok(Self::Azure { container, prefix });
            }
            Some(("s3", rest)) => {
                let (bucket, prefix) = bucket(rest, "a bucket")?;
                return Ok(Self::S3 { bucket, prefix });
            }
            Some(_) => return Err(StoreUrlError::Scheme(text.to_owned())),
        };
        let path = PathBuf::from(path);
        if path.is_absolute() {
            Ok(Self::Folder(path))
        } else {
            Err(StoreUrlError::Relative(text.to_owned()))
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, name, prefix) = match self {
            Self::Folder(path) => return write!(f, "file://{}", path.display()),
            Self::Azure { container, prefix } => ("az", container, prefix),
            Self::S3 { bucket, prefix } => ("s3", bucket, prefix),
        };
        let slash = if prefix.is_empty() { "" } else { "/" };
        write!(f, "{scheme}://{name}{slash}{prefix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, shown) in [
            ("file:///a/b", "file:///a/b"),
            ("/a/b", "file:///a/b"),
            ("az://results", "az://results"),
            ("az://results/2027/", "az://results/2027"),
            ("s3://a.b-c/d/e", "s3://a.b-c/d/e"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<StoreUrl>().unwrap(), url);
        }
        assert_eq!("s3://a/d".parse::<StoreUrl>().unwrap().whole("e/f"), "d/e/f");
        assert_eq!("az://a".parse::<StoreUrl>().unwrap().whole("e/f"), "e/f");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(matches!("a/b".parse::<StoreUrl>(), Err(StoreUrlError::Relative(_))));
        assert!(matches!("ftp://a/b".parse::<StoreUrl>(), Err(StoreUrlError::Scheme(_))));
        for text in ["az://", "s3:///prefix", "s3://a b", "s3://a/../b", "az://a/./b"] {
            assert!(matches!(text.parse::<StoreUrl>(), Err(StoreUrlError::Bucket(..))), "{text}");
        }
    }
}
