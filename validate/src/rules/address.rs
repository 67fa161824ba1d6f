//! Addresses as manifests write them: no more of them than rules ask for.

use std::net::{IpAddr, Ipv6Addr};

/// An address of a service: `scheme://host:port/path?query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub(super) scheme: &'a str,
    /// Without the brackets of an IPv6 address.
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    /// Whether it names a user, with or without a password. Nothing may repeat such an address.
    pub(super) names_user: bool,
    /// What follows the `?`, up to a `#`.
    pub(super) query: Option<&'a str>,
    /// Whether anything follows the host and its port.
    pub(super) goes_on: bool,
}

impl<'a> Address<'a> {
    /// Takes a text apart. Nothing when it has no scheme, or no host that one could ask for.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme =
            scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(of_scheme);
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        let before_fragment = after.split('#').next().unwrap_or_default();
        let query = before_fragment.split_once('?').map(|(_, query)| query);
        let address =
            Self { scheme, host, port, names_user: user.is_some(), query, goes_on: !after.is_empty() };
        is_scheme.then_some(address)
    }

    /// Whether it is one of the web.
    pub(super) fn is_of_web(&self) -> bool {
        ["http", "https"].iter().any(|scheme| self.scheme.eq_ignore_ascii_case(scheme))
    }

    /// Whether what is sent there stays on the machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The names of what its query asks for.
    pub(super) fn asks_for(&self) -> impl Iterator<Item = &'a str> {
        let pairs = self.query.into_iter().flat_map(|query| query.split('&'));
        pairs.map(|pair| pair.split('=').next().unwrap_or_default())
    }
}

fn of_scheme(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+-.".contains(c)
}

fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_unusable = |c: char| c.is_whitespace() || c.is_control() || "<>\"[]^`{|}".contains(c);
            if host.is_empty() || host.contains(is_unusable) {
                return None;
            }
            (host, rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let address = Address::parse("https://example.org:8443/a?b=c&d#e").unwrap();
        assert_eq!((address.scheme, address.host, address.port), ("https", "example.org", Some(8443)));
        assert_eq!(address.asks_for().collect::<Vec<_>>(), ["b", "d"]);
        assert!(address.is_of_web() && address.goes_on && !address.names_user && !address.is_loopback());
        let address = Address::parse("HTTP://a:b@[::1]").unwrap();
        assert!(address.is_of_web() && address.names_user && address.is_loopback() && !address.goes_on);
        assert_eq!((address.host, address.port, address.query), ("::1", None, None));
        // A user is one of the host's, not what a path or a query says.
        assert!(!Address::parse("https://example.org/@a?b@c").unwrap().names_user);
        assert!(Address::parse("http://127.0.0.1:8080").unwrap().is_loopback());
        assert!(!Address::parse("ftp://example.org").unwrap().is_of_web());
    }

    #[test]
    fn what_has_no_host_is_no_address() {
        for text in [
            "",
            "example.org",
            "https:example.org",
            "https://",
            "https:///path",
            "https://:8080",
            "https://a@",
            "https://a b",
            "https://a:b",
            "https://a:65536",
            "https://a:+80",
            "https://a:1:2",
            "https://[::1",
            "https://[x]",
            "https://[::1]x",
            "ht tp://a",
            "://a",
            "1://a",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
