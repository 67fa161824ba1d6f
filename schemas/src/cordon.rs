//! What keeps new runs off a node, beside its manifest: said by a person, for a while or until it is taken back.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Instant;

/// No new run starts on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cordon {
    /// Who said so.
    pub actor: String,
    /// Why, for people; empty when nobody said.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// When it ends by itself, if it does.
    pub until: Option<Instant>,
    /// When what still runs is stopped, as a drain; absent: it ends as it would have.
    pub stop_at: Option<Instant>,
}

impl Cordon {
    /// Whether it holds at an instant.
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| at < until.0)
    }

    /// Whether what runs at an instant is stopped.
    pub fn stops(&self, at: DateTime<Utc>) -> bool {
        self.holds(at) && self.stop_at.is_some_and(|stop_at| stop_at.0 <= at)
    }

    /// The word for what was done to the node.
    pub const fn deed(&self) -> &'static str {
        if self.stop_at.is_some() { "drained" } else { "cordoned" }
    }
}

impl fmt::Display for Cordon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} the node", self.actor, self.deed())?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}
