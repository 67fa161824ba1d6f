//! The name of a file of a run.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A plain file name: letters, digits, `.`, `_` and `-`, not starting with a dot. It is safe in any
/// path and store, and can never leave its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

/// A text that is not a plain file name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a plain file name: expected at most 128 of a-z, A-Z, 0-9, `.`, `_` and `-`, not starting with a dot"
)]
pub struct FileNameError(String);

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let good = !text.is_empty() && text.len() <= 128 && !text.starts_with('.') && text.bytes().all(plain);
        good.then(|| Self(text.to_owned())).ok_or_else(|| FileNameError(text.to_owned()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_folder() {
        assert!("artifacts.tar.zst".parse::<FileName>().is_ok());
        for bad in ["", ".", "..", "a/b", "../x", ".hidden", "a\\b", "a b", "ä", &"a".repeat(129)] {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
    }
}
