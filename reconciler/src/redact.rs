//! Texts without the secrets that may stand in them.

use std::{borrow::Cow, fmt, ops::Deref};

/// What stands in the place of a secret.
pub const HIDDEN: &str = "***";

/// An address that may carry a password, which is not shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl From<String> for Address {
    fn from(address: String) -> Self {
        Self(address)
    }
}

impl Deref for Address {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&passwords(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        passwords(&self.0).fmt(f)
    }
}

/// A text whose addresses have no passwords: of `scheme://user:password@host`, the password is
/// replaced, and of `scheme://token@host` with anything but ssh, which has no secrets there, the token.
/// A parameter `password=` is replaced too.
pub fn passwords(text: &str) -> Cow<'_, str> {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let scheme = before.trim_end_matches("://").rsplit(|c: char| !c.is_ascii_alphanumeric()).next();
        let end = after.find(['/', '?', '#', ' ', '\t', '\n', '`', '"', '\'']).unwrap_or(after.len());
        let (authority, more) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((userinfo, host)) => {
                match userinfo.split_once(':') {
                    Some((user, _)) => clean.extend([user, ":", HIDDEN]),
                    None if matches!(scheme, Some("http" | "https")) => clean.push_str(HIDDEN),
                    None => clean.push_str(userinfo),
                }
                clean.extend(["@", host]);
            }
            None => clean.push_str(authority),
        }
        rest = more;
    }
    clean.push_str(rest);
    let clean = parameter(&clean);
    if clean == text { Cow::Borrowed(text) } else { Cow::Owned(clean) }
}

/// Hides the value of `password=`, as addresses of databases have it.
fn parameter(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("password=") {
        let (before, after) = rest.split_at(at + "password=".len());
        clean.extend([before, HIDDEN]);
        rest = &after[after.find(['&', ' ', '\n', '`', '"', '\'']).unwrap_or(after.len())..];
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_addresses_are_hidden_and_nothing_else_is() {
        for (text, clean) in [
            ("sqlite:///var/lib/a.db?mode=ro", "sqlite:///var/lib/a.db?mode=ro"),
            ("postgres://almanac:hunter2@db:5432/a", "postgres://almanac:***@db:5432/a"),
            (
                "postgres://db/a?user=b&password=hunter2&sslmode=require",
                "postgres://db/a?user=b&password=***&sslmode=require",
            ),
            (
                "cannot fetch `https://hunter2@example.org/t.git`: no",
                "cannot fetch `https://***@example.org/t.git`: no",
            ),
            (
                "https://a:hunter2@example.org/ and https://b:hunter2@example.org",
                "https://a:***@example.org/ and https://b:***@example.org",
            ),
            ("https://a:p@hunter2@example.org/", "https://a:***@example.org/"),
            ("ssh://git@example.org/t.git", "ssh://git@example.org/t.git"),
            ("git@example.org:t.git", "git@example.org:t.git"),
        ] {
            assert_eq!(passwords(text), clean);
        }
    }
}
