//! Scavenger mode: a node's owner wants its link, for a while or until they say otherwise.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Instant, NodeName};

/// No exclusive run goes on or starts on a node. Others do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scavenging {
    /// Who said so.
    pub actor: String,
    /// Why, for people; empty when nobody said.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// When it ends by itself, if it does.
    pub until: Option<Instant>,
}

impl Scavenging {
    /// Whether it holds at an instant.
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| at < until.0)
    }
}

impl fmt::Display for Scavenging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wants the node's link", self.actor)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// Why the client of a server ends that made room, given why that did.
pub fn of_server(node: &NodeName, why: &str) -> String {
    let what = format!("`{node}`, the node of its server, makes room");
    if why.is_empty() { what } else { format!("{what}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_itself_and_says_who_wants_what() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let forever = Scavenging {
            actor: "alice".to_owned(),
            reason: String::new(),
            since: at("2027-01-01T00:00:00Z"),
            until: None,
        };
        assert!(forever.holds(at("2037-01-01T00:00:00Z").0));
        assert_eq!(forever.to_string(), "alice wants the node's link");
        let until = at("2027-01-01T02:00:00Z");
        let hours = Scavenging { reason: "a video call".to_owned(), until: Some(until), ..forever };
        assert!(hours.holds(at("2027-01-01T01:59:59Z").0));
        assert!(!hours.holds(until.0), "its end is not part of it");
        assert_eq!(hours.to_string(), "alice wants the node's link: a video call");
    }
}
