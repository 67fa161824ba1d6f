//! What Git says when a fetch fails, told apart by what a person has to do about it.

use std::fmt;

use super::{Access, Location};

/// Why a fetch failed, as far as what Git said tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No such host is known.
    HostUnknown,
    /// The host does not answer, or refuses.
    Unreachable,
    /// The host's key is not among those that are trusted.
    HostKeyUnknown,
    /// The host's key is another one than the one that is trusted.
    HostKeyChanged,
    /// The server's certificate is not trusted.
    Certificate,
    /// The server wants to know who asks, or does not let them in.
    Refused,
    /// There is no such repository, or it is hidden from who asks.
    NotFound,
    /// There is no such branch.
    NoBranch,
    /// The server said nothing for too long.
    Silent,
    /// The connection ended before everything was there.
    BrokenOff,
    /// The server sends elsewhere.
    Redirected,
    /// Something else; what Git said has to do.
    Other,
}

/// What Git and its helpers say in English, and what it means. The first that fits counts, so what is
/// more telling comes first: `ssh` and `git` add general remarks to what went wrong.
const SAYINGS: [(&str, Failure); 38] = [
    ("couldn't find remote ref", Failure::NoBranch),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Failure::HostKeyChanged),
    ("Host key verification failed", Failure::HostKeyUnknown),
    ("Could not resolve host", Failure::HostUnknown),
    ("Name or service not known", Failure::HostUnknown),
    ("SSL certificate problem", Failure::Certificate),
    ("server certificate verification failed", Failure::Certificate),
    ("no alternative certificate subject name", Failure::Certificate),
    ("certificate subject name", Failure::Certificate),
    ("error setting certificate verify locations", Failure::Certificate),
    ("error setting certificate file", Failure::Certificate),
    ("Permission denied (", Failure::Refused),
    ("Permission denied, please try again", Failure::Refused),
    ("Too many authentication failures", Failure::Refused),
    ("Authentication failed", Failure::Refused),
    ("could not read Username", Failure::Refused),
    ("could not read Password", Failure::Refused),
    ("HTTP Basic: Access denied", Failure::Refused),
    ("requested URL returned error: 401", Failure::Refused),
    ("requested URL returned error: 403", Failure::Refused),
    ("requested URL returned error: 404", Failure::NotFound),
    ("repository not found", Failure::NotFound),
    ("Repository not found", Failure::NotFound),
    ("does not appear to be a git repository", Failure::NotFound),
    ("' not found", Failure::NotFound),
    ("unable to update url base from redirection", Failure::Redirected),
    ("requested URL returned error: 30", Failure::Redirected),
    ("Operation too slow", Failure::Silent),
    ("not responding", Failure::Silent),
    ("Connection timed out", Failure::Unreachable),
    ("Connection refused", Failure::Unreachable),
    ("No route to host", Failure::Unreachable),
    ("Network is unreachable", Failure::Unreachable),
    ("Failed to connect to", Failure::Unreachable),
    ("early EOF", Failure::BrokenOff),
    ("unexpected disconnect", Failure::BrokenOff),
    ("hung up unexpectedly", Failure::BrokenOff),
    ("RPC failed", Failure::BrokenOff),
];

impl Failure {
    /// What is the matter, by what Git said.
    pub(super) fn of(said: &str) -> Self {
        let found = SAYINGS.iter().find(|(saying, _)| said.contains(saying));
        found.map_or(Self::Other, |(_, failure)| *failure)
    }

    /// What was found at an address and what to do, by how it was reached.
    pub(super) fn explain(self, access: &Access, address: &str) -> impl fmt::Display {
        let (host, known_hosts) = (Location::host(address), access.known_hosts());
        match self {
            Self::HostUnknown => format!("there is no host `{host}`; check the address, and the name server"),
            Self::Unreachable => {
                format!("`{host}` does not answer; check the address, its port, and the network")
            }
            Self::HostKeyUnknown => format!(
                "the key of `{host}` is not known; get it with `ssh-keyscan` (`-p PORT HOST`), compare its fingerprint \
                 with the one that the host publishes, and add it to {known_hosts}"
            ),
            Self::HostKeyChanged => format!(
                "the key of `{host}` is another one than {known_hosts} has: either the host has a new key, or somebody \
                 is in between; compare the fingerprint of what `ssh-keyscan` gets with the one that the host publishes"
            ),
            Self::Certificate => format!(
                "the certificate of `{host}` is not trusted; give the authority that signed it with `--git-ca-file`"
            ),
            Self::Refused => {
                format!("`{host}` does not let the reconciler in; {}", access.let_in(address))
            }
            Self::NotFound => format!(
                "there is no such repository on `{host}`, or it is hidden from who has no right to read it; check the \
                 address, and `--git-token` or `--git-ssh-key`"
            ),
            Self::NoBranch => "there is no such branch".to_owned(),
            Self::Silent => format!(
                "`{host}` said nothing for {} s; check the network, and how the server is",
                access.idle.as_secs()
            ),
            Self::BrokenOff => format!("`{host}` ended the connection before everything was there"),
            Self::Redirected => {
                format!("`{host}` sends elsewhere, where the token is not taken to; give the new address")
            }
            Self::Other => "Git failed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As git 2.39 and 2.47, curl 7.88 and OpenSSH 9.2 say it.
    #[test]
    fn what_git_says_is_told_apart() {
        let table = [
            ("fatal: couldn't find remote ref refs/heads/live", Failure::NoBranch),
            ("fatal: unable to access 'https://x/': Could not resolve host: x", Failure::HostUnknown),
            (
                "ssh: Could not resolve hostname x: Name or service not known\nfatal: Could not read from remote repository.",
                Failure::HostUnknown,
            ),
            (
                "No ED25519 host key is known for [127.0.0.1]:1 and you have requested strict checking.\nHost key verification failed.\nfatal: Could not read from remote repository.",
                Failure::HostKeyUnknown,
            ),
            (
                "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
                Failure::HostKeyChanged,
            ),
            (
                "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.",
                Failure::Refused,
            ),
            ("fatal: could not read Username for 'https://x': terminal prompts disabled", Failure::Refused),
            (
                "error: RPC failed; curl 18 transfer closed with outstanding read data remaining\nfatal: early EOF",
                Failure::BrokenOff,
            ),
            (
                "fatal: unable to access 'https://x/': Operation too slow. Less than 1 bytes/sec transferred the last 30 seconds",
                Failure::Silent,
            ),
            ("fatal: repository 'https://x/a/' not found", Failure::NotFound),
            ("fatal: something new", Failure::Other),
        ];
        for (said, failure) in table {
            assert_eq!(Failure::of(said), failure, "{said}");
        }
    }
}
