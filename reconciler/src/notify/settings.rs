//! Whom to tell: `[[notify]]` in the configuration file.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::secret::SecretSource;

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// How it is named in logs and in the outbox.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// Where it is: the address of a webhook, or of a forge's API where it is not GitHub's own.
    pub url: Option<String>,
    /// The repository on the forge, such as `surrey/testbed`.
    pub repository: Option<String>,
    /// The secret: a token of the forge, or what a webhook is signed with.
    pub secret: SecretSource,
    /// Trust the certificates in this PEM file besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// GitHub: the status of each commit.
    Github,
    /// GitLab: the status of each commit.
    Gitlab,
    /// Gitea or Forgejo: the status of each commit.
    Gitea,
    /// Any server: every event, in JSON, signed.
    Webhook,
}

impl TargetKind {
    /// Whether it is told about conditions besides commits.
    pub const fn takes_conditions(self) -> bool {
        matches!(self, Self::Webhook)
    }
}

/// A target that cannot be told anything.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the target `{name}` of `[[notify]]` is wrong: {problem}")]
pub struct TargetError {
    name: String,
    problem: &'static str,
}

impl Target {
    /// Checks targets as far as that is possible without asking them.
    ///
    /// # Errors
    ///
    /// When one is not whole, or two have the same name.
    pub fn check(targets: &[Self]) -> Result<(), TargetError> {
        let mut names = BTreeSet::new();
        for target in targets {
            let problem = if !names.insert(&target.name) {
                Some("there is another one of that name")
            } else {
                target.problem()
            };
            if let Some(problem) = problem {
                return Err(TargetError { name: target.name.clone(), problem });
            }
        }
        Ok(())
    }

    fn problem(&self) -> Option<&'static str> {
        let forge = self.kind != TargetKind::Webhook;
        let repository = self.repository.as_deref();
        if self.name.is_empty() {
            return Some("`name` is empty");
        }
        if forge && repository.is_none_or(|path| path.split('/').filter(|part| !part.is_empty()).count() < 2)
        {
            return Some(
                "`repository` is missing; it is the repository's path on the forge, such as `surrey/testbed`",
            );
        }
        if !forge && repository.is_some() {
            return Some("a webhook has no `repository`");
        }
        match self.url.as_deref().map(reqwest::Url::parse) {
            None if self.kind != TargetKind::Github => Some("`url` is missing"),
            None => None,
            Some(Err(_)) => Some("`url` is no address"),
            Some(Ok(url)) if !url.username().is_empty() || url.password().is_some() => {
                Some("`url` carries a password; `secret` says where a secret is")
            }
            // The token would be read by whoever listens in.
            Some(Ok(url)) if url.scheme() != "https" && !is_loopback(&url) => Some("`url` is not https://"),
            Some(Ok(_)) => None,
        }
    }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    url.scheme() == "http" && (host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<Target> {
        #[derive(Deserialize)]
        struct File {
            notify: Vec<Target>,
        }
        toml::from_str::<File>(text).unwrap().notify
    }

    #[test]
    fn a_target_is_whole() {
        let good = targets(
            "[[notify]]\nname = \"forge\"\nkind = \"github\"\nrepository = \"surrey/testbed\"\nsecret = \"env:T\"\n\
             [[notify]]\nname = \"chat\"\nkind = \"webhook\"\nurl = \"https://example.org/hook\"\nsecret = \"file:/s\"\n",
        );
        assert_eq!(Target::check(&good), Ok(()));
        let wrong = |more: &str| {
            let all = targets(&format!("[[notify]]\nname = \"a\"\nsecret = \"env:T\"\n{more}"));
            Target::check(&all).unwrap_err().to_string()
        };
        for (more, said) in [
            ("kind = \"github\"", "`repository` is missing"),
            ("kind = \"github\"\nrepository = \"testbed\"", "`repository` is missing"),
            ("kind = \"gitlab\"\nrepository = \"a/b\"", "`url` is missing"),
            ("kind = \"webhook\"\nurl = \"http://example.org\"", "not https"),
            ("kind = \"webhook\"\nurl = \"https://me:word@example.org\"", "carries a password"),
            (
                "kind = \"webhook\"\nurl = \"https://a\"\n[[notify]]\nname = \"a\"\nsecret = \"env:T\"\nkind = \"webhook\"\nurl = \"https://a\"",
                "another one",
            ),
        ] {
            assert!(wrong(more).contains(said), "{more}: {}", wrong(more));
        }
        assert!(targets("notify = []").is_empty());
        let loopback =
            "[[notify]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1\"\nsecret = \"env:T\"";
        assert_eq!(Target::check(&targets(loopback)), Ok(()));
    }
}
