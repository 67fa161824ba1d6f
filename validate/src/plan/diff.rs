//! The plan: what turns one testbed into another.

use std::{cmp::Ordering, collections::BTreeMap, fmt, sync::Arc};

use almanac_schemas::{JobName, JobSpec, Kind, NodeName, UserName, UserSpec, config::ConfigSpec};
use thiserror::Error;

use crate::{NodeEntry, Testbed, declared::CONFIG};

/// The changes that turn one testbed into another, in the order of names.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'a> {
    /// Users.
    pub users: Vec<Change<'a, UserName, UserSpec>>,
    /// Nodes.
    pub nodes: Vec<Change<'a, NodeName, NodeEntry>>,
    /// Jobs.
    pub jobs: Vec<Change<'a, JobName, JobSpec>>,
    /// The settings, before and after.
    pub config: Option<(&'a ConfigSpec, &'a ConfigSpec)>,
}

/// A change of one thing. It was not there, is not there any more, or is another.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a, N, S> {
    /// Its name.
    pub name: &'a N,
    /// What becomes of it.
    pub edit: Edit<'a, S>,
}

/// What becomes of something.
#[derive(Debug, PartialEq)]
pub enum Edit<'a, S> {
    /// It comes.
    Added(&'a S),
    /// It goes.
    Removed(&'a S),
    /// It was the first and becomes the second.
    Changed(&'a S, &'a S),
}

/// What is done to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It comes.
    Added,
    /// It becomes another.
    Changed,
    /// It goes.
    Removed,
}

/// A word that is not an action's.
#[derive(Debug, Error)]
#[error("expected `added`, `changed` or `removed`")]
pub struct ActionError;

impl Action {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    /// The character for it.
    pub const fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Removed => '-',
        }
    }

    /// The action that a word stands for.
    ///
    /// # Errors
    ///
    /// When it stands for none.
    pub fn from_word(word: &str) -> Result<Self, ActionError> {
        [Self::Added, Self::Changed, Self::Removed]
            .into_iter()
            .find(|action| action.as_str() == word)
            .ok_or(ActionError)
    }
}

/// How many changes of each sort a plan has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many come.
    pub added: u32,
    /// How many become another.
    pub changed: u32,
    /// How many go.
    pub removed: u32,
}

impl<'a> Plan<'a> {
    /// What turns `from` into `to`.
    pub fn between(from: &'a Testbed, to: &'a Testbed) -> Self {
        Self {
            users: diff(&from.users, &to.users, Arc::as_ref),
            nodes: diff(&from.nodes, &to.nodes, |node| node),
            jobs: diff(&from.jobs, &to.jobs, Arc::as_ref),
            config: (!from.config.is_like(&to.config)).then(|| (&*from.config, &*to.config)),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.nodes.is_empty() && self.jobs.is_empty() && self.config.is_none()
    }

    /// Leaves out the changes of things that something else has to be said about.
    pub fn retain(&mut self, keep: impl Fn(Kind, &str) -> bool) {
        self.users.retain(|user| keep(Kind::User, user.name.as_str()));
        self.nodes.retain(|node| keep(Kind::Node, node.name.as_str()));
        self.jobs.retain(|job| keep(Kind::Job, job.name.as_str()));
        self.config = self.config.filter(|_| keep(Kind::Config, CONFIG));
    }

    /// How much changes.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (.., action) in self.actions() {
            match action {
                Action::Added => counts.added += 1,
                Action::Changed => counts.changed += 1,
                Action::Removed => counts.removed += 1,
            }
        }
        counts
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let Counts { added, changed, removed } = self.counts();
        if self.is_empty() {
            "nothing changes".to_owned()
        } else {
            format!("{added} added, {changed} changed, {removed} removed")
        }
    }

    /// Every change with its kind and name: users, nodes, jobs, and the settings last.
    pub fn actions(&self) -> impl Iterator<Item = (Kind, &'a str, Action)> {
        let users = self.users.iter().map(|user| (Kind::User, user.name.as_str(), user.edit.action()));
        let nodes = self.nodes.iter().map(|node| (Kind::Node, node.name.as_str(), node.edit.action()));
        let jobs = self.jobs.iter().map(|job| (Kind::Job, job.name.as_str(), job.edit.action()));
        let config = self.config.map(|_| (Kind::Config, CONFIG, Action::Changed));
        users.chain(nodes).chain(jobs).chain(config)
    }
}

/// The changes from one list to another. `seen` is what they show of each.
fn diff<'a, N: Ord, T: Alike, S>(
    from: &'a BTreeMap<N, T>,
    to: &'a BTreeMap<N, T>,
    seen: impl Fn(&'a T) -> &'a S,
) -> Vec<Change<'a, N, S>> {
    // Both are in the order of names, so that one pass over the two together finds all.
    let (mut before, mut after) = (from.iter().peekable(), to.iter().peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let old = if order.is_le() { before.next() } else { None };
        let new = if order.is_ge() { after.next() } else { None };
        changes.extend(match (old, new) {
            (Some((name, old)), None) => Some(Change { name, edit: Edit::Removed(seen(old)) }),
            (None, Some((name, new))) => Some(Change { name, edit: Edit::Added(seen(new)) }),
            (Some((_, old)), Some((name, new))) if !old.is_like(new) => {
                Some(Change { name, edit: Edit::Changed(seen(old), seen(new)) })
            }
            _ => None,
        });
    }
}

/// What can be compared, and is the same at once where it is shared.
trait Alike {
    fn is_like(&self, other: &Self) -> bool;
}

impl<T: PartialEq> Alike for Arc<T> {
    fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other) || self == other
    }
}

impl Alike for NodeEntry {
    fn is_like(&self, other: &Self) -> bool {
        self.labels == other.labels && self.spec.is_like(&other.spec)
    }
}

// Derived, these would ask the same of what is referred to.
impl<S> Clone for Edit<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Edit<'_, S> {}

impl<'a, S> Edit<'a, S> {
    /// The sort of change.
    pub const fn action(&self) -> Action {
        match self {
            Self::Added(_) => Action::Added,
            Self::Changed(..) => Action::Changed,
            Self::Removed(_) => Action::Removed,
        }
    }

    /// What was before.
    pub const fn before(&self) -> Option<&'a S> {
        match self {
            Self::Added(_) => None,
            Self::Removed(before) | Self::Changed(before, _) => Some(before),
        }
    }

    /// What is after.
    pub const fn after(&self) -> Option<&'a S> {
        match self {
            Self::Removed(_) => None,
            Self::Added(after) | Self::Changed(_, after) => Some(after),
        }
    }
}

/// For people: one line per change and a sum.
impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, name, action) in self.actions() {
            writeln!(f, "{} {} {name}", action.sign(), kind.as_str().to_lowercase())?;
        }
        writeln!(f, "{}", self.summary())
    }
}
