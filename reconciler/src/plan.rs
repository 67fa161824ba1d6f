//! How a plan is recorded.

use std::fmt;

use almanac_schemas::Kind;
use almanac_validate::plan::{Action, Change, Plan};
use serde_json::{Value, json};

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

impl Recorded {
    /// The changes of a plan: users, nodes, jobs, and the settings last.
    pub fn all(plan: &Plan<'_>) -> Vec<Self> {
        let plain = |spec: Value| json!({ "spec": spec });
        let mut all: Vec<Self> = Vec::new();
        all.extend(plan.users.iter().map(|user| Self::of(user, Kind::User, |spec| plain(json!(spec)))));
        all.extend(plan.nodes.iter().map(|node| {
            Self::of(node, Kind::Node, |node| json!({ "labels": node.labels, "spec": node.spec }))
        }));
        all.extend(plan.jobs.iter().map(|job| Self::of(job, Kind::Job, |spec| plain(json!(spec)))));
        all.extend(plan.config.map(|(before, after)| Self {
            kind: Kind::Config,
            name: "global".to_owned(),
            action: Action::Changed,
            before: Some(plain(json!(before))),
            after: Some(plain(json!(after))),
        }));
        all
    }

    fn of<N: fmt::Display, S>(change: &Change<'_, N, S>, kind: Kind, json: impl Fn(&S) -> Value) -> Self {
        Self {
            kind,
            name: change.name.to_string(),
            action: change.edit.action(),
            before: change.edit.before().map(&json),
            after: change.edit.after().map(&json),
        }
    }
}
