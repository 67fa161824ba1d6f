//! Whose change it is.

use almanac_schemas::{Kind, UserName, UserRole};

use crate::{Declared, Key, words::listed};

/// Whoever proposes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// Somebody who may change everything.
    Admin(UserName),
    /// Somebody who may change what is theirs.
    User(UserName),
    /// Whoever it is: there is no admin yet, so somebody has to declare one.
    Anybody,
    /// Somebody who may change nothing.
    Nobody {
        /// How they were named.
        named: String,
        /// Why they may not.
        reason: String,
    },
}

impl Author {
    /// A declared user, whose identity is certain.
    pub fn user(rights: &Declared, name: &UserName) -> Self {
        if open(rights) {
            return Self::Anybody;
        }
        match rights.testbed.users.get(name) {
            Some(user) if user.role == UserRole::Admin => Self::Admin(name.clone()),
            Some(_) => Self::User(name.clone()),
            None => nobody(name.as_str(), "no such user is declared".to_owned()),
        }
    }

    /// The user with an account on the forge, or else of that name. Upper and lower case do not
    /// matter, as on forges.
    ///
    /// The name of a user who has a `login` does not stand for them: on the forge, anybody might have
    /// an account of that name. Neither does what could mean two users.
    pub fn find(rights: &Declared, named: &str) -> Self {
        if open(rights) {
            return Self::Anybody;
        }
        let users = || rights.testbed.users.iter();
        let same = |text: &str| text.eq_ignore_ascii_case(named);
        let by_login = users().filter(|(_, user)| user.login.as_deref().is_some_and(same));
        let by_name = users().filter(|(name, _)| same(name.as_str()));
        let mut names: Vec<&str> = by_login.chain(by_name).map(|(name, _)| name.as_str()).collect();
        // What is wrong with a user's manifest may be the login.
        let damaged = rights.damaged.keys().filter(|(kind, name)| is_user(*kind) && same(name));
        names.extend(damaged.map(|(_, name): &Key| name.as_str()));
        names.sort_unstable();
        names.dedup();
        let [name] = names.as_slice() else {
            return nobody(
                named,
                match names.as_slice() {
                    [] => "no user has this login or name".to_owned(),
                    names => format!("it could be {}", listed(names.iter().copied())),
                },
            );
        };
        let Some((name, user)) = rights.testbed.users.get_key_value(*name) else {
            return nobody(named, "the manifest of this user has errors".to_owned());
        };
        match &user.login {
            Some(login) if !same(login) => {
                nobody(named, format!("user `{name}` is known by the login `{login}`"))
            }
            _ => Self::user(rights, name),
        }
    }

    /// How to speak of them.
    pub fn name(&self) -> &str {
        match self {
            Self::Admin(name) | Self::User(name) => name.as_str(),
            Self::Anybody => "anybody",
            Self::Nobody { named, .. } => named,
        }
    }
}

/// Whether it is certain that no admin is declared.
fn open(rights: &Declared) -> bool {
    let admin = rights.testbed.users.values().any(|user| user.role == UserRole::Admin);
    let hidden = !rights.unreadable.is_empty() || rights.damaged.keys().any(|(kind, _)| is_user(*kind));
    !admin && !hidden
}

fn is_user(kind: Kind) -> bool {
    kind == Kind::User
}

fn nobody(named: &str, reason: String) -> Author {
    Author::Nobody { named: named.to_owned(), reason }
}
