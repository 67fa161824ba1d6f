//! Whose key it is.

use std::fmt;

use almanac_schemas::{PublicKey, UserName};
use almanac_validate::{
    Declared,
    ownership::{Author, Branch},
    revision::Difference,
    words::listed,
};

use super::{TrustedKey, refusal::Refusal};

/// Who signed a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signer {
    /// A key of the reconciler's configuration.
    Trusted(String),
    /// A declared user.
    User(UserName),
}

impl Signer {
    /// Who signs with a key. The operator's word goes before that of the repository.
    pub(super) fn of(key: &PublicKey, trusted: &[TrustedKey], rights: &Declared) -> Result<Self, Refusal> {
        if let Some(known) = trusted.iter().find(|known| known.key == *key) {
            return Ok(Self::Trusted(known.name.clone()));
        }
        let users = rights.testbed.users.iter();
        let owners: Vec<&UserName> =
            users.filter(|(_, user)| user.keys.contains(key)).map(|(name, _)| name).collect();
        match owners.as_slice() {
            [] => Err(Refusal::Undeclared(key.fingerprint())),
            [user] => Ok(Self::User((*user).clone())),
            users => Err(Refusal::Shared {
                fingerprint: key.fingerprint(),
                users: listed(users.iter().map(|user| user.as_str())),
            }),
        }
    }

    /// As whom the rule `ownership` knows them; nobody when they may do everything.
    pub(super) fn author(&self, rights: &Declared) -> Option<Author> {
        match self {
            Self::Trusted(_) => None,
            Self::User(name) => match Author::user(rights, name) {
                Author::Admin(_) | Author::Anybody => None,
                author => Some(author),
            },
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusted(name) => f.write_str(name),
            Self::User(name) => name.fmt(f),
        }
    }
}

/// The keys and rights that the branch grants at a point of its history.
pub(super) struct Grants {
    /// The branch, once it is beyond what is in force.
    branch: Option<Branch>,
    /// All users at least.
    people: Declared,
}

impl Grants {
    /// Those in force.
    pub(super) fn in_force(declared: Declared) -> Self {
        Self { branch: None, people: declared }
    }

    /// Goes on to the next commit of the branch. `sources` are the manifests in force.
    pub(super) fn advance<E>(
        &mut self,
        change: &Difference,
        sources: impl FnOnce() -> Result<Branch, E>,
    ) -> Result<(), E> {
        let branch = match &mut self.branch {
            Some(branch) => branch,
            None => self.branch.insert(sources()?),
        };
        if branch.advance(change) {
            self.people = branch.rights(&Difference::default());
        }
        Ok(())
    }

    /// All users.
    pub(super) fn people(&self) -> &Declared {
        &self.people
    }

    /// All that matters for a change.
    pub(super) fn with<T>(&self, change: &Difference, judge: impl FnOnce(&Declared) -> T) -> T {
        match &self.branch {
            None => judge(&self.people),
            Some(branch) => judge(&branch.rights(change)),
        }
    }
}
