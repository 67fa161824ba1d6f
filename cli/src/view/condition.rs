//! Conditions: how the repository, a node or a job is.

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Instant;

use crate::{
    output::Look,
    table::{Cell, Column, Fit, Tone, table},
    view,
};

/// How something is, as users of Kubernetes know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Stalled` or `Stale`; of a node, also `ClockSkewed` and `Unfetched`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: Option<String>,
    /// Since when.
    pub since: Option<Instant>,
}

/// The condition that says that all is as declared. Of the others it is good when they do not hold.
const READY: &str = "Ready";

const COLUMNS: [Column; 5] = [
    Column { title: "TYPE", fit: Fit::Keep },
    Column { title: "STATUS", fit: Fit::Keep },
    Column { title: "REASON", fit: Fit::Keep },
    Column { title: "SINCE", fit: Fit::Keep },
    Column { title: "MESSAGE", fit: Fit::Wrap },
];

impl TryFrom<v1::Condition> for Condition {
    type Error = FieldError;

    fn try_from(condition: v1::Condition) -> Result<Self, FieldError> {
        Ok(Self {
            kind: condition.r#type,
            status: condition.status,
            reason: condition.reason,
            message: view::text(condition.message),
            since: view::maybe_instant("since", condition.since.as_ref())?,
        })
    }
}

impl Condition {
    fn tone(&self) -> Tone {
        match (self.kind == READY, self.status) {
            (true, true) => Tone::Good,
            (true, false) | (false, true) => Tone::Bad,
            (false, false) => Tone::Plain,
        }
    }

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            self.kind.as_str().into(),
            Cell::toned(if self.status { "True" } else { "False" }, self.tone()),
            self.reason.as_str().into(),
            view::ago(self.since, now).into(),
            view::dash(self.message.as_deref()).into(),
        ]
    }
}

/// The conditions of one thing, from the protocol's form.
pub(super) fn all(conditions: Vec<v1::Condition>) -> Result<Vec<Condition>, FieldError> {
    conditions.into_iter().map(Condition::try_from).collect()
}

/// A heading and a table below it; nothing where there are none.
pub(super) fn text(conditions: &[Condition], look: Look) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    let rows = conditions.iter().map(|condition| condition.cells(look.now)).collect();
    format!("\nconditions:\n{}", table(&COLUMNS, rows, look.style))
}

/// Whether a condition is there and holds.
pub(super) fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.kind == kind && condition.status)
}

/// Whether something is as declared, for the cell of a list; why not is said where it is shown by itself.
pub(super) fn ready(conditions: &[Condition]) -> Cell {
    match conditions.iter().find(|condition| condition.kind == READY) {
        None => "-".into(),
        Some(ready) if ready.status => Cell::toned("yes", Tone::Good),
        Some(_) => Cell::toned("no", Tone::Odd),
    }
}
