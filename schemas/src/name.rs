//! Names: what users, nodes, jobs and teams are called.
//!
//! All follow one rule, that of a DNS label (RFC 1123, section 2.1): `[a-z0-9]([-a-z0-9]*[a-z0-9])?`,
//! 63 characters at most. So a name is safe in a path, in a URL, as a label and as a host name.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::text::text_value;

/// The longest name, in characters.
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text has more than [`MAX_NAME`] characters.
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// A character is not allowed in a name.
    #[error("`{text}` is not a name: {} is not one of a-z, 0-9 and `-`", shown(*found))]
    Character {
        /// The whole text.
        text: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// The text starts or ends with a hyphen.
    #[error("`{0}` is not a name: it must start and end with one of a-z and 0-9")]
    Edge(String),
}

/// A character, with its code where it may look like one that is allowed.
fn shown(c: char) -> String {
    if c.is_ascii() { format!("`{c}`") } else { format!("`{c}` (U+{:04X})", u32::from(c)) }
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let length = text.chars().count();
    if length > MAX_NAME {
        return Err(NameError::TooLong(length));
    }
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    if let Some(found) = text.chars().find(|c| !allowed(c)) {
        return Err(NameError::Character { text: text.to_owned(), found });
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Edge(text.to_owned()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $schema_name:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        text_value!($type, $schema_name, {
            "type": "string",
            "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            "maxLength": 63
        });
    };
}

name! {
    /// A user's name.
    UserName, "user name"
}
name! {
    /// A node's name.
    NodeName, "node name"
}
name! {
    /// A job's name.
    JobName, "job name"
}
name! {
    /// The name of a team of users.
    TeamName, "team name"
}
name! {
    /// The name of a user or of a node: they share one namespace, so that a token's subject is
    /// never ambiguous.
    PrincipalName, "principal name"
}
name! {
    /// The name of the testbed's configuration.
    ConfigName, "config name"
}

impl From<UserName> for PrincipalName {
    fn from(name: UserName) -> Self {
        Self(name.0)
    }
}

impl From<NodeName> for PrincipalName {
    fn from(name: NodeName) -> Self {
        Self(name.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_dns_labels() {
        for text in ["a", "0", "london-01", &"a".repeat(63)] {
            assert_eq!(text.parse::<NodeName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_and_says_why() {
        let error = |text: &str| text.parse::<NodeName>().unwrap_err().to_string();
        assert_eq!(error(""), "a name must not be empty");
        assert_eq!(error(&"a".repeat(64)), "a name has at most 63 characters, this one has 64");
        assert_eq!(error("London"), "`London` is not a name: `L` is not one of a-z, 0-9 and `-`");
        assert_eq!(error("a/../b"), "`a/../b` is not a name: `/` is not one of a-z, 0-9 and `-`");
        assert_eq!(
            error("p\u{430}ris"),
            "`p\u{430}ris` is not a name: `\u{430}` (U+0430) is not one of a-z, 0-9 and `-`"
        );
        assert_eq!(error("-a"), "`-a` is not a name: it must start and end with one of a-z and 0-9");
    }
}
