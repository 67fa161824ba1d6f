//! Which forges may nudge, and where their secrets are.

use std::{collections::BTreeMap, str::FromStr};

use clap::Args;
use serde::Deserialize;

use super::Forge;
use crate::secret::SecretSource;

/// Flags about webhooks.
#[derive(Debug, Default, Args)]
pub struct WebhookFlags {
    /// The secret of the webhook at /hooks/FORGE, where FORGE is github, gitlab, gitea (also for Forgejo) or
    /// generic: where it is, not what it is. May be repeated.
    #[arg(long = "webhook-secret", id = "webhook-secret", value_name = "FORGE=env:NAME|file:PATH")]
    pub secrets: Vec<WebhookSecret>,
}

/// The secret of one forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecret {
    forge: Forge,
    source: SecretSource,
}

/// The secrets of all forges that may nudge, and the table `[webhooks]` of the configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct WebhookSecrets(BTreeMap<Forge, SecretSource>);

impl WebhookFlags {
    /// What flags and the file come to; flags win.
    pub fn resolve(self, file: WebhookSecrets) -> WebhookSecrets {
        let mut all = file.0;
        all.extend(self.secrets.into_iter().map(|secret| (secret.forge, secret.source)));
        WebhookSecrets(all)
    }
}

impl WebhookSecrets {
    /// The secret of a forge, if it may nudge.
    pub fn of(&self, forge: Forge) -> Option<&SecretSource> {
        self.0.get(&forge)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (Forge, &SecretSource)> {
        self.0.iter().map(|(forge, source)| (*forge, source))
    }
}

impl FromIterator<(Forge, SecretSource)> for WebhookSecrets {
    fn from_iter<I: IntoIterator<Item = (Forge, SecretSource)>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl FromStr for WebhookSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (forge, source) = text.split_once('=').ok_or("expected FORGE=env:NAME or FORGE=file:PATH")?;
        let forge = Forge::ALL.into_iter().find(|known| known.name() == forge).ok_or_else(|| {
            let names: Vec<_> = Forge::ALL.into_iter().map(|forge| format!("`{}`", forge.name())).collect();
            format!("there is no forge of that name; expected one of {}", names.join(", "))
        })?;
        Ok(Self { forge, source: source.parse::<SecretSource>().map_err(|error| error.to_string())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let file: WebhookSecrets = toml::from_str("github = \"env:A\"\ngitea = \"file:/b\"\n").unwrap();
        let flags = WebhookFlags { secrets: vec!["github=env:B".parse().unwrap()] };
        let all = flags.resolve(file);
        assert_eq!(all.of(Forge::Github), Some(&"env:B".parse().unwrap()));
        assert_eq!(all.of(Forge::Gitea), Some(&"file:/b".parse().unwrap()));
        assert_eq!(all.of(Forge::Gitlab), None);
        assert!(toml::from_str::<WebhookSecrets>("svn = \"env:A\"\n").is_err());
        for wrong in ["github", "svn=env:A", "github=hunter2"] {
            let error = wrong.parse::<WebhookSecret>().unwrap_err();
            assert!(error.contains("expected") && !error.contains("hunter2"), "{error}");
        }
    }
}
