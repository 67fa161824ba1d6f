//! Why a store did not do what it was asked.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::{AccessError, StoreUrl};
use crate::causes::chain;

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// Its disk is full.
    #[error("the disk of the store {0} is full")]
    Full(StoreUrl),
    /// The object is not there.
    #[error("`{path}` is not in the store {store} any more")]
    NotFound {
        /// The store.
        store: StoreUrl,
        /// The object.
        path: String,
    },
    /// Nobody can tell how to use it.
    #[error("cannot use the store {0}; see `artifacts` in the testbed's settings")]
    Access(StoreUrl, #[source] AccessError),
    /// It does not know the reconciler, or the reconciler may not do this.
    #[error("the store {0} refuses the reconciler; see `artifacts.credentials` in the testbed's settings")]
    Refused(StoreUrl, #[source] Box<object_store::Error>),
    /// The clocks of the two are too far apart.
    #[error(
        "the store {0} refuses the time of the reconciler's requests; set the clock of the reconciler's host right"
    )]
    Clock(StoreUrl),
    /// Anything else: it is away, or broken.
    #[error("the store {0} failed")]
    Store(StoreUrl, #[source] Box<object_store::Error>),
    /// What is to be stored cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
}

/// What Azure and S3 say to a request of another quarter of an hour.
const CLOCK: [&str; 3] = ["RequestTimeTooSkewed", "Request date header too old", "RequestExpired"];

impl ObjectError {
    /// All that [`ObjectError::reason`] may say.
    pub const REASONS: [&str; 7] =
        ["full", "missing", "settings", "refused", "clock", "failed", "unreadable"];

    /// Why, in one word: the label of a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::NotFound { .. } => "missing",
            Self::Access(..) => "settings",
            Self::Refused(..) => "refused",
            Self::Clock(_) => "clock",
            Self::Store(..) => "failed",
            Self::Read(..) => "unreadable",
        }
    }

    /// The error of a store.
    pub(super) fn of(store: &StoreUrl, error: object_store::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(this) = cause {
            let io = this.downcast_ref::<io::Error>().map(io::Error::kind);
            if matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
                return Self::Full(store.clone());
            }
            cause = this.source();
        }
        let text = chain(&error);
        if CLOCK.iter().any(|word| text.contains(word)) {
            return Self::Clock(store.clone());
        }
        match error {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Self::Refused(store.clone(), Box::new(error))
            }
            // The store is one that says so in HTTP.
            error if text.contains("507 Insufficient Storage") => {
                tracing::warn!(error = text, "a store is full");
                drop(error);
                Self::Full(store.clone())
            }
            error => Self::Store(store.clone(), Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, denied: bool) -> ObjectError {
        let (path, source) = (String::new(), text.to_owned().into());
        let error = if denied {
            object_store::Error::PermissionDenied { path, source }
        } else {
            object_store::Error::Generic { store: "S3", source }
        };
        ObjectError::of(&"s3://a".parse().unwrap(), error)
    }

    #[test]
    fn a_clock_that_is_off_is_told_from_a_wrong_key() {
        let azure = "Server returned error response: AuthenticationFailed: Request date header too old: 'x'";
        assert!(matches!(of(azure, true), ObjectError::Clock(_)));
        assert!(of(azure, true).to_string().contains("clock"));
        assert!(matches!(of("<Code>RequestTimeTooSkewed</Code>", true), ObjectError::Clock(_)));
        assert!(matches!(of("<Code>SignatureDoesNotMatch</Code>", true), ObjectError::Refused(..)));
        assert!(matches!(of("status code: 507 Insufficient Storage", false), ObjectError::Full(_)));
        assert!(matches!(of("no route to host", false), ObjectError::Store(..)));
    }
}
