//! Which forges may nudge, and where their secrets are.

use std::collections::BTreeMap;

use super::Forge;
use crate::secret::SecretSource;

/// The secrets of all forges that may nudge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookSecrets(BTreeMap<Forge, SecretSource>);

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
