//! The plan: what turns one testbed into another.

use std::{collections::BTreeMap, fmt};

use almanac_schemas::{JobName, JobSpec, Kind, NodeName, UserName, UserSpec, config::ConfigSpec};
use almanac_validate::{NodeEntry, Testbed};
use serde_json::{Value, json};
use thiserror::Error;

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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change<'a, N, S> {
    /// Its name.
    pub name: &'a N,
    /// What becomes of it.
    pub edit: Edit<'a, S>,
}

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq)]
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

/// A change of any kind as it is recorded: names as text, specs as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Of what.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// `{ "labels", "spec" }` before.
    pub before: Option<Value>,
    /// `{ "labels", "spec" }` after.
    pub after: Option<Value>,
}

impl<'a> Plan<'a> {
    /// What turns `from` into `to`.
    pub fn between(from: &'a Testbed, to: &'a Testbed) -> Self {
        Self {
            users: diff(&from.users, &to.users),
            nodes: diff(&from.nodes, &to.nodes),
            jobs: diff(&from.jobs, &to.jobs),
            config: (from.config != to.config).then_some((&from.config, &to.config)),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.nodes.is_empty() && self.jobs.is_empty() && self.config.is_none()
    }

    /// How much changes.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { changed: u32::from(self.config.is_some()), ..Counts::default() };
        let users = self.users.iter().map(|change| change.edit.action());
        let nodes = self.nodes.iter().map(|change| change.edit.action());
        let jobs = self.jobs.iter().map(|change| change.edit.action());
        for action in users.chain(nodes).chain(jobs) {
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

    /// The changes as they are recorded: users, nodes, jobs, and the settings last.
    pub fn recorded(&self) -> Vec<Recorded> {
        let plain = |spec: Value| json!({ "spec": spec });
        let mut all: Vec<Recorded> = Vec::new();
        all.extend(self.users.iter().map(|change| change.recorded(Kind::User, |spec| plain(json!(spec)))));
        all.extend(self.nodes.iter().map(|change| {
            change.recorded(Kind::Node, |node| json!({ "labels": node.labels, "spec": node.spec }))
        }));
        all.extend(self.jobs.iter().map(|change| change.recorded(Kind::Job, |spec| plain(json!(spec)))));
        all.extend(self.config.map(|(before, after)| Recorded {
            kind: Kind::Config,
            name: "global".to_owned(),
            action: Action::Changed,
            before: Some(plain(json!(before))),
            after: Some(plain(json!(after))),
        }));
        all
    }
}

fn diff<'a, N: Ord, S: PartialEq>(from: &'a BTreeMap<N, S>, to: &'a BTreeMap<N, S>) -> Vec<Change<'a, N, S>> {
    let gone = from.iter().filter(|(name, _)| !to.contains_key(name));
    let gone = gone.map(|(name, before)| Change { name, edit: Edit::Removed(before) });
    let other = to.iter().filter_map(|(name, after)| match from.get(name) {
        None => Some(Change { name, edit: Edit::Added(after) }),
        Some(before) if before != after => Some(Change { name, edit: Edit::Changed(before, after) }),
        Some(_) => None,
    });
    let mut changes: Vec<_> = gone.chain(other).collect();
    changes.sort_by_key(|change| change.name);
    changes
}

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

impl<N: fmt::Display, S> Change<'_, N, S> {
    fn recorded(&self, kind: Kind, json: impl Fn(&S) -> Value) -> Recorded {
        Recorded {
            kind,
            name: self.name.to_string(),
            action: self.edit.action(),
            before: self.edit.before().map(&json),
            after: self.edit.after().map(&json),
        }
    }
}

/// For people: one line per change and a sum.
impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in self.recorded() {
            let sign = match change.action {
                Action::Added => '+',
                Action::Changed => '~',
                Action::Removed => '-',
            };
            writeln!(f, "{sign} {} {}", change.kind.as_str().to_lowercase(), change.name)?;
        }
        writeln!(f, "{}", self.summary())
    }
}
